//! QEMU's netduinoplus2: an STM32F405 whose clock and random number units are not there. With
//! `-icount shift=0` an instruction takes a nanosecond.

use super::Usart;
use crate::random::Random;
use crate::semihosting::Host;
use rand_core::TryCryptoRng;
use stm32_metapac::TIM2;

/// As in the table of results.
pub const NAME: &str = "netduinoplus2";
/// QEMU's timers count nanoseconds; divided, as a counter of 32 bits would go round in 4 s.
pub const TICKS_PER_SECOND: u32 = 1_000_000_000 / TICK;
/// Nanoseconds, hence instructions, for each tick.
pub const TICK: u32 = 40;
/// After reset, from the internal oscillator. QEMU's port does not look at the rate.
const CLOCK: u32 = 16_000_000;

/// Counts up.
#[must_use]
pub fn ticks() -> u32 {
    TIM2.cnt().read()
}

/// The board, once started.
pub struct Board {
    random: Random<Host>,
}

impl Board {
    /// Starts the counter.
    #[must_use]
    pub fn start() -> Self {
        TIM2.psc().write_value(TICK as u16 - 1);
        TIM2.arr().write_value(u32::MAX);
        TIM2.egr().write(|w| w.set_ug(true));
        TIM2.cr1().write(|w| w.set_cen(true));
        Self { random: Host::random() }
    }

    /// The port.
    #[must_use]
    pub fn serial(&self) -> Usart {
        Usart::start(CLOCK)
    }

    /// Randomness, made from the host's seed.
    pub const fn random(&mut self) -> &mut (impl TryCryptoRng + use<>) {
        &mut self.random
    }
}
