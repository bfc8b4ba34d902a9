//! A microcontroller classifies windows of samples that no one else sees: the server gets masked
//! values only.
//!
//! No heap, no operating system. Every window's label is held against the integer model's; what the
//! run took is said at the end, one `result NAME NUMBER` a line, which `cargo xtask embedded`
//! reads.
#![no_std]
#![no_main]

mod link;
mod network;
#[path = "../../options.rs"]
mod options;
mod reconstruction;
mod session;

use core::panic::PanicInfo;
use cortex_m_rt::entry;
use defmt::println;
use minionn_core::Error;
use minionn_core::plan::Plan;
use network::{PLAN, WINDOWS, WORKSPACE, Window};
use platform::board::{self, Board};
use platform::link::Link;
use platform::memory;
use session::{Answer, Costs, Phase};
use static_cell::ConstStaticCell;

/// Sessions that are tried before the device gives up.
const ATTEMPTS: u32 = 5;

/// What the engine carves.
#[repr(align(16))]
struct Workspace([u8; WORKSPACE]);

static MEMORY: ConstStaticCell<Workspace> = ConstStaticCell::new(Workspace([0; WORKSPACE]));

#[entry]
fn main() -> ! {
    memory::guard();
    memory::paint();
    let mut board = Board::start();
    platform::exit(run(&mut board).is_some())
}

/// Everything, up to the verdict; `None` if something was wrong, and was said.
fn run(board: &mut Board) -> Option<()> {
    let Some(plan) = plan() else { return failed("the plan is damaged") };
    println!("{=str} on {=str} over {=str}", plan.name(), board::NAME, link::NAME);
    if platform::SEEDED_BY_HOST {
        println!(
            "WARNING: QEMU has no source of randomness, the seed is the host's: good for tests only"
        );
    }
    let memory = MEMORY.try_take()?;
    let Some(mut link) = link::of(board) else { return failed("there is no link") };
    let wanted = platform::argument("windows").map_or(WINDOWS.len(), usize::from);
    let windows = WINDOWS.get(..wanted).unwrap_or(&WINDOWS);
    for _ in 0..ATTEMPTS {
        if let Err(fault) = link.open() {
            println!("no connection: {}", fault);
            continue;
        }
        let mut right = 0;
        let each = |window: &Window, answer: &Answer| right += u32::from(judge(window, answer));
        match session::classify(&mut link, plan, &mut memory.0, board.random(), windows, each) {
            Ok(costs) => {
                link.close();
                return report(&costs, windows.len() as u32, right);
            }
            // It stays failed, so no further session can begin.
            Err(Error::Random) => return failed("no randomness"),
            Err(error) => println!("session broken: error {=u16}", error.code()),
        }
    }
    failed("no session came to its end")
}

/// The plan, checked. Not inlined: what the check needs of the stack, a session has again.
#[inline(never)]
fn plan() -> Option<Plan<'static>> {
    Plan::parse(PLAN).ok()
}

/// Whether an answer is the integer model's, bit for bit.
fn judge(window: &Window, answer: &Answer) -> bool {
    let label = window.label_of(answer.largest, &answer.outputs);
    let same = answer
        .outputs
        .iter()
        .zip(&window.outputs)
        .all(|(&got, &expected)| got == i64::from(expected));
    let right = label == window.label && same;
    let verdict = if right { "PASS" } else { "FAIL" };
    println!("label {=usize}, expected {=usize}: {=str}", label, window.label, verdict);
    right
}

/// Says what a run took. `None` if a window was wrong or the stack too small.
fn report(costs: &Costs, windows: u32, right: u32) -> Option<()> {
    phase("set-up", &costs.set_up);
    phase("offline", &costs.offline);
    phase("online", &costs.online);
    memory::stack_used();
    let sizes = memory::sizes();
    result("workspace", WORKSPACE as u64);
    result("flash", sizes.flash as u64);
    result("static", sizes.fixed as u64);
    result("stack", sizes.stack as u64);
    result("windows", windows.into());
    result("right", right.into());
    if right != windows || !sizes.sound() {
        return failed("see above");
    }
    println!("PASS");
    Some(())
}

fn phase(name: &str, Phase { instructions, sent, received }: &Phase) {
    println!("result {=str}.instructions {=u64}", name, instructions);
    println!("result {=str}.sent {=u64}", name, sent);
    println!("result {=str}.received {=u64}", name, received);
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
