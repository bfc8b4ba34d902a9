//! STM32F405, F407 and F429: serial port by interrupt, clocks, random numbers.
//!
//! | board | feature | port | pins (TX, RX) |
//! |---|---|---|---|
//! | STM32F4 Discovery (F407) | `stm32f407` | USART2 | PA2, PA3 to a serial adapter |
//! | Nucleo-F429ZI | `stm32f429` | USART3 | PD8, PD9, wired to its ST-LINK |
//! | QEMU's netduinoplus2 | `netduinoplus2` | USART2 | |

#[cfg(not(feature = "netduinoplus2"))]
mod chip;
#[cfg(feature = "netduinoplus2")]
mod emulated;
mod serial;

#[cfg(not(feature = "netduinoplus2"))]
pub use chip::{Board, NAME, TICK, TICKS_PER_SECOND, ticks};
#[cfg(feature = "netduinoplus2")]
pub use emulated::{Board, NAME, TICK, TICKS_PER_SECOND, ticks};
pub use serial::{BAUD, Usart};
