//! Known-answer tests of `minionn-core` on a Cortex-M4F: prints `name ... ok` or `FAILED` and what
//! each test needed of the stack through semihosting, then ends QEMU with exit code 0 (all passed)
//! or 1.
//!
//! To add a test: write `fn() -> bool` in one of the modules, or in a new one, and name it in
//! [`TESTS`].
#![no_std]
#![no_main]

mod garbled;
mod instructions;
mod lattice;
mod network;
mod primitives;
mod random;
mod tiny;

use core::panic::PanicInfo;
use cortex_m_rt::entry;
use platform::board::Board;
use platform::memory;
use semihosting::println;

/// A test: what it shows, and whether it holds.
type Test = (&'static str, fn() -> bool);

/// Every test, in the order in which it runs.
const TESTS: &[Test] = &[
    ("AES-128 (FIPS 197 C.1)", primitives::aes),
    ("TMMO hash", primitives::tmmo),
    ("ChaCha20 stream of a seed", primitives::chacha20),
    ("a source of randomness that failed stays failed", random::failure_is_final),
    ("arithmetic mod 2^44", primitives::power_of_two_ring),
    ("arithmetic mod N", primitives::prime_ring),
    ("NTT: product of degree 4096", lattice::product),
    ("NTT: product of degree 2048", lattice::small_product),
    ("garbled ReLU and truncation", garbled::neurons),
    ("plan: SHA-256 digest", network::plan_digest),
    ("plan: same bytes as on the host", network::plan_bytes),
    ("plan: a damaged byte is refused", network::damage),
    ("model: integers in the clear", network::evaluation),
    ("encryption", instructions::encryption),
    ("decryption", instructions::decryption),
    ("an AND gate, evaluated", instructions::and_gate),
];

#[entry]
fn main() -> ! {
    memory::guard();
    // It starts the counter.
    let _board = Board::start();
    println!("minionn-core self-test, {} tests", TESTS.len());
    let failed = TESTS.iter().filter(|test| !run(test)).count();
    let sizes = memory::sizes();
    println!(
        "flash {}, static RAM {}, deepest stack {} of {} bytes",
        sizes.flash, sizes.fixed, sizes.stack, sizes.free
    );
    println!("{} passed, {failed} failed", TESTS.len() - failed);
    platform::exit(failed == 0 && sizes.sound())
}

/// Runs one test on a freshly painted stack and prints its line.
fn run(&(name, test): &Test) -> bool {
    memory::paint();
    let passed = test();
    let stack = memory::stack_used();
    println!("{name} ... {} (stack {stack})", if passed { "ok" } else { "FAILED" });
    passed
}

/// A panic is a failed self-test: say where, and end.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("FAILED: {info}");
    platform::exit(false)
}
