//! One board, chosen by a feature. Every board offers the same:
//!
//! | | |
//! |---|---|
//! | `NAME` | as in the table of results |
//! | `BAUD` | of the serial port |
//! | `ticks()` | a counter that goes round at 2^32 |
//! | `TICK`, `TICKS_PER_SECOND` | instructions (QEMU) or cycles (board) for each tick; its speed |
//! | `Board::start()` | clocks, pins, serial port; once |
//! | `Board::serial()` | the port |
//! | `Board::random()` | fresh randomness, by `rand_core`'s traits |

#[cfg(feature = "mps2-an386")]
mod mps2_an386;
#[cfg(feature = "mps2-an386")]
pub use mps2_an386::*;

#[cfg(feature = "mps2-an386")]
pub(crate) mod register;

#[cfg(feature = "nrf52840")]
mod nrf52840;
#[cfg(feature = "nrf52840")]
pub use nrf52840::*;

#[cfg(any(feature = "netduinoplus2", feature = "stm32f407", feature = "stm32f429"))]
mod stm32f4;
#[cfg(any(feature = "netduinoplus2", feature = "stm32f407", feature = "stm32f429"))]
pub use stm32f4::*;

#[cfg(any(
    feature = "netduinoplus2",
    feature = "stm32f407",
    feature = "stm32f429",
    feature = "nrf52840"
))]
mod ring;

#[cfg(not(any(
    feature = "mps2-an386",
    feature = "netduinoplus2",
    feature = "stm32f407",
    feature = "stm32f429",
    feature = "nrf52840"
)))]
compile_error!(
    "choose a board: --features mps2-an386, netduinoplus2, stm32f407, stm32f429 or nrf52840"
);
