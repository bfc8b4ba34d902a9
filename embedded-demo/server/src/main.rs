//! A microcontroller serves the network in its flash: clients get predictions, it learns nothing of
//! their inputs, they nothing of its weights.
//!
//! No heap, no operating system. Weights stay in flash and are transformed limb by limb when they
//! are needed. In QEMU it ends after the number of sessions that it was started with (`sessions=N`)
//! and says what they took, one `result NAME NUMBER` a line; a board goes on.
#![no_std]
#![no_main]

mod link;
mod model;
#[path = "../../options.rs"]
mod options;

use core::panic::PanicInfo;
use cortex_m_rt::entry;
use defmt::println;
use minionn_core::model::Model;
use minionn_core::session::blocking::{Blocking, run};
use minionn_core::session::{Event, Options, Prepared, Server};
use minionn_core::{Error, Result};
use model::{MODEL, WORKSPACE};
use options::options;
use platform::board::{self, Board};
use platform::link::{Link, Metered};
use platform::memory;
use platform::time::Stopwatch;
use rand_core::TryCryptoRng;
use static_cell::ConstStaticCell;

/// What this server offers: a client that asks for anything else is refused.
const OPTIONS: Options = options(cfg!(feature = "compare"));

/// What the engine carves.
#[repr(align(16))]
struct Workspace([u8; WORKSPACE]);

static MEMORY: ConstStaticCell<Workspace> = ConstStaticCell::new(Workspace([0; WORKSPACE]));

/// A session over a metered link.
type Session<'a, L> = Server<'a, Blocking<Metered<'a, L>>>;

/// Instructions of the engine in all sessions.
#[derive(Default)]
struct Costs {
    set_up: u64,
    offline: u64,
    online: u64,
}

#[entry]
fn main() -> ! {
    memory::guard();
    memory::paint();
    let mut board = Board::start();
    platform::exit(serve(&mut board).is_some())
}

/// Serves sessions, one after the other; `None` if something was wrong, and was said.
fn serve(board: &mut Board) -> Option<()> {
    let Ok(model) = Model::parse(MODEL) else { return failed("the model is damaged") };
    let Ok(prepared) = Prepared::small(model, OPTIONS.stock) else {
        return failed("the options are out of range");
    };
    println!("{=str} on {=str} over {=str}", model.plan().name(), board::NAME, link::NAME);
    if platform::SEEDED_BY_HOST {
        println!(
            "WARNING: QEMU has no source of randomness, the seed is the host's: good for tests only"
        );
    }
    let memory = MEMORY.try_take()?;
    let Some(mut link) = link::of(board) else { return failed("there is no link") };
    let wanted = platform::argument("sessions");
    let (mut costs, mut predictions, mut sessions) = (Costs::default(), 0, 0);
    while wanted.is_none_or(|wanted| sessions < wanted) {
        if let Err(fault) = link.open() {
            println!("no connection: {}", fault);
            continue;
        }
        match session(
            &mut link,
            &prepared,
            &mut memory.0,
            board.random(),
            &mut costs,
            &mut predictions,
        ) {
            Ok(()) => {
                sessions += 1;
                println!("session in order");
            }
            // It stays failed, so no further session can begin.
            Err(Error::Random) => return failed("no randomness"),
            Err(error) => println!("session broken: error {=u16}", error.code()),
        }
        link.close();
    }
    report(&costs, sessions, predictions)
}

/// One client's session.
fn session(
    link: &mut impl Link,
    prepared: &Prepared<'_>,
    memory: &mut [u8],
    random: &mut impl TryCryptoRng,
    costs: &mut Costs,
    predictions: &mut u32,
) -> Result<()> {
    let engine = Stopwatch::start();
    // Borrowed where it is: moved out of the result, it would stand on the stack twice.
    let mut session = accept(Metered::new(link, &engine), prepared, memory, random);
    let server = session.as_mut().map_err(|error| *error)?;
    let mut mark = engine.read();
    costs.set_up += mark;
    let mut lap = |sum: &mut u64| {
        let now = engine.read();
        *sum += now - mark;
        mark = now;
    };
    loop {
        match request(server)? {
            Event::Prepared => lap(&mut costs.offline),
            Event::Predicted => {
                lap(&mut costs.online);
                *predictions += 1;
            }
            Event::Closed => return Ok(()),
            _ => {}
        }
    }
}

// Not inlined: so the stack holds the future of one phase at a time.

#[inline(never)]
fn accept<'a, L: Link>(
    link: Metered<'a, L>,
    prepared: &'a Prepared<'a>,
    memory: &'a mut [u8],
    random: &mut impl TryCryptoRng,
) -> Result<Session<'a, L>> {
    run(Server::accept(Blocking(link), prepared, OPTIONS, memory, random))
}

#[inline(never)]
fn request<L: Link>(server: &mut Session<'_, L>) -> Result<Event> {
    run(server.serve())
}

/// Says what the sessions took. `None` if the stack was too small.
fn report(costs: &Costs, sessions: u16, predictions: u32) -> Option<()> {
    memory::stack_used();
    let sizes = memory::sizes();
    result("set-up.instructions", costs.set_up);
    result("offline.instructions", costs.offline);
    result("online.instructions", costs.online);
    result("workspace", WORKSPACE as u64);
    result("flash", sizes.flash as u64);
    result("static", sizes.fixed as u64);
    result("stack", sizes.stack as u64);
    result("sessions", sessions.into());
    result("predictions", predictions.into());
    if !sizes.sound() {
        return failed("the stack reached the guard");
    }
    println!("PASS");
    Some(())
}

fn result(name: &str, value: u64) {
    println!("result {=str} {=u64}", name, value);
}

fn failed(why: &str) -> Option<()> {
    println!("FAIL: {=str}", why);
    None
}

/// Needed by the compiler. The linker drops it with everything that could have come here; where
/// something remains that could, it ends the run.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    platform::exit(false)
}
