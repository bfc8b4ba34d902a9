//! What the firmware shares: boards, links to the other party, memory in numbers, logs.
//!
//! | module | what it is |
//! |---|---|
//! | [`board`] | one board, chosen by a feature: clocks, serial port, ticks, fresh randomness |
//! | [`link`] | byte streams for the engine: [`link::serial`], [`link::ethernet`] |
//! | [`random`] | a board's randomness behind `rand_core`'s traits |
//! | [`memory`] | stack guard, stack painting, sizes of flash and RAM |
//! | [`time`] | ticks, for instruction counts and for silence on a link |
//! | `log`, `semihosting` | through semihosting, in QEMU only: defmt frames, start arguments, end |
#![no_std]

pub mod board;
mod fault;
pub mod link;
#[cfg(all(feature = "log", feature = "semihosting"))]
mod log;
pub mod memory;
pub mod random;
#[cfg(feature = "semihosting")]
pub mod semihosting;
pub mod time;

#[cfg(feature = "rtt")]
use defmt_rtt as _;

/// Ends the program: QEMU with this verdict as its exit code, a board by waiting for its reset.
pub fn exit(success: bool) -> ! {
    #[cfg(feature = "semihosting")]
    semihosting::exit(success);
    #[cfg(not(feature = "semihosting"))]
    loop {
        let _ = success;
        cortex_m::asm::wfi();
    }
}

/// A number that the program was started with, as `key=number`; only QEMU can.
#[must_use]
pub fn argument(key: &str) -> Option<u16> {
    #[cfg(feature = "semihosting")]
    return semihosting::Arguments::get().number(key);
    #[cfg(not(feature = "semihosting"))]
    {
        let _ = key;
        None
    }
}

/// Whether randomness comes from whoever started QEMU, because the board has no source:
/// good for tests only.
pub const SEEDED_BY_HOST: bool = cfg!(feature = "semihosting");
