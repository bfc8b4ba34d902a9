//! One session with the server: set-up, then offline and online phase for every window.

use crate::network::{OUTPUTS, Window};
use crate::options::options;
use core::ops::AddAssign;
use minionn_core::Result;
use minionn_core::plan::Plan;
use minionn_core::session::blocking::{Blocking, run};
use minionn_core::session::{Client, NoStore, Options, Traffic};
use platform::link::{Link, Metered};
use platform::time::Stopwatch;
use rand_core::TryCryptoRng;

/// By comparison or by circuits.
const OPTIONS: Options = options(cfg!(feature = "compare"));

/// What the phases took, over all windows.
#[derive(Default)]
pub(crate) struct Costs {
    pub(crate) set_up: Phase,
    pub(crate) offline: Phase,
    pub(crate) online: Phase,
}

/// What one phase took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Phase {
    /// The engine's, without the link's.
    pub(crate) instructions: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Phase {
    /// From the start to now.
    fn so_far(engine: &Stopwatch, Traffic { sent, received, .. }: Traffic) -> Self {
        Self { instructions: engine.read(), sent, received }
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            instructions: self.instructions - earlier.instructions,
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
        }
    }
}

impl AddAssign for Phase {
    fn add_assign(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.sent += other.sent;
        self.received += other.received;
    }
}

/// What the network said.
pub(crate) struct Answer {
    /// Index of the largest output.
    pub(crate) largest: usize,
    /// All of them, unless it opens the index only.
    pub(crate) outputs: [i64; OUTPUTS],
}

/// A session over a metered link.
type Session<'a, L> = Client<'a, Blocking<Metered<'a, L>>, NoStore>;

/// Has all `windows` classified over an opened link; `each` is told every answer.
///
/// # Errors
/// Whatever ended the session. Nothing of it is used again: the next one draws its own randomness.
pub(crate) fn classify<L: Link>(
    link: &mut L,
    plan: Plan<'_>,
    memory: &mut [u8],
    random: &mut impl TryCryptoRng,
    windows: &[Window],
    mut each: impl FnMut(&Window, &Answer),
) -> Result<Costs> {
    let engine = Stopwatch::start();
    // Borrowed where it is: moved out of the result, it would stand on the stack twice.
    let mut session = connect(Metered::new(link, &engine), plan, memory, random);
    let client = session.as_mut().map_err(|error| *error)?;
    let mut mark = Phase::so_far(&engine, client.traffic());
    let mut costs = Costs { set_up: mark, ..Costs::default() };
    let mut lap = |phase: &mut Phase, traffic| {
        let now = Phase::so_far(&engine, traffic);
        *phase += now.since(mark);
        mark = now;
    };
    let mut answer = Answer { largest: 0, outputs: [0; OUTPUTS] };
    for window in windows {
        prepare(client)?;
        lap(&mut costs.offline, client.traffic());
        predict(client, window, &mut answer)?;
        lap(&mut costs.online, client.traffic());
        each(window, &answer);
    }
    run(client.close())?;
    Ok(costs)
}

// Not inlined: so the stack holds the future of one phase at a time.

#[inline(never)]
fn connect<'a, L: Link>(
    link: Metered<'a, L>,
    plan: Plan<'a>,
    memory: &'a mut [u8],
    random: &mut impl TryCryptoRng,
) -> Result<Session<'a, L>> {
    run(Client::connect(Blocking(link), NoStore, plan, OPTIONS, memory, random))
}

#[inline(never)]
fn prepare<L: Link>(client: &mut Session<'_, L>) -> Result<()> {
    run(client.prepare())
}

#[inline(never)]
fn predict<L: Link>(
    client: &mut Session<'_, L>,
    window: &Window,
    answer: &mut Answer,
) -> Result<()> {
    answer.largest = run(client.predict(&window.samples, &mut answer.outputs))?;
    Ok(())
}
