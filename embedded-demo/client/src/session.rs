//! One session with the server: set-up, then offline and online phase for every window.

use crate::network::{INPUTS, OUTPUTS, Window};
use crate::options::OPTIONS;
use core::ops::AddAssign;
use minionn_core::Result;
use minionn_core::plan::Plan;
use minionn_core::rng::Seed;
use minionn_core::session::blocking::{Blocking, run};
use minionn_core::session::{Client, NoStore, Traffic};
use platform::link::{Link, Metered};
use platform::time::Stopwatch;

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

/// A classified window.
pub(crate) struct Answer {
    pub(crate) label: usize,
    pub(crate) outputs: [i64; OUTPUTS],
}

/// Has all `windows` classified over an opened link; `each` is told every answer.
///
/// # Errors
/// Whatever ended the session. Nothing of it is used again: the next one has another seed.
pub(crate) fn classify(
    link: &mut impl Link,
    plan: Plan<'_>,
    memory: &mut [u8],
    seed: Seed,
    windows: &[Window],
    mut each: impl FnMut(&Window, &Answer),
) -> Result<Costs> {
    let engine = Stopwatch::start();
    let link = Metered::new(link, &engine);
    let mut client = run(Client::connect(Blocking(link), NoStore, plan, OPTIONS, memory, seed))?;
    let mut mark = Phase::so_far(&engine, client.traffic());
    let mut costs = Costs { set_up: mark, ..Costs::default() };
    let mut lap = |phase: &mut Phase, traffic| {
        let now = Phase::so_far(&engine, traffic);
        *phase += now.since(mark);
        mark = now;
    };
    for window in windows {
        run(client.prepare())?;
        lap(&mut costs.offline, client.traffic());
        let mut x = [0; INPUTS];
        for (to, &from) in x.iter_mut().zip(&window.samples) {
            *to = from.into();
        }
        let mut outputs = [0; OUTPUTS];
        let label = run(client.predict(&x, &mut outputs))?;
        lap(&mut costs.online, client.traffic());
        each(window, &Answer { label, outputs });
    }
    run(client.close())?;
    Ok(costs)
}
