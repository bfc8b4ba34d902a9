//! The chip itself, at 168 MHz. Built and reviewed, never run: no such board was at hand.

use super::Usart;
use crate::random::{Random, Source, SourceFailed};
use cortex_m::peripheral::DWT;
use rand_core::TryCryptoRng;
use rand_core::utils::fill_bytes_via_next_word;
use stm32_metapac::{FLASH, PWR, RCC, RNG, flash, pwr, rcc};

/// As in the table of results.
#[cfg(feature = "stm32f407")]
pub const NAME: &str = "stm32f407";
/// As in the table of results.
#[cfg(feature = "stm32f429")]
pub const NAME: &str = "stm32f429";
/// The core's clock.
pub const TICKS_PER_SECOND: u32 = 168_000_000;
/// Cycles for each tick.
pub const TICK: u32 = 1;
/// Clock of the buses with the serial port: a quarter of the core's.
const BUS_CLOCK: u32 = TICKS_PER_SECOND / 4;
/// How often an oscillator or a random number is asked for before it is given up.
const TRIES: u32 = 1 << 20;

/// Cycles of the core.
#[must_use]
pub fn ticks() -> u32 {
    DWT::cycle_count()
}

/// The board, once started.
pub struct Board {
    random: Random<Generator>,
}

impl Board {
    /// Starts clocks and counter.
    #[must_use]
    pub fn start() -> Self {
        start_clocks();
        start_counter();
        RCC.ahb1enr().modify(|w| {
            w.set_gpioaen(true);
            w.set_gpioden(true);
        });
        RCC.ahb2enr().modify(|w| w.set_rngen(true));
        RCC.apb1enr().modify(|w| {
            w.set_usart2en(true);
            w.set_usart3en(true);
        });
        RNG.cr().write(|w| w.set_rngen(true));
        Self { random: Random::new(Some(Generator)) }
    }

    /// The port.
    #[must_use]
    pub fn serial(&self) -> Usart {
        Usart::start(BUS_CLOCK)
    }

    /// Randomness of the generator.
    pub const fn random(&mut self) -> &mut (impl TryCryptoRng + use<>) {
        &mut self.random
    }
}

/// The chip's random number generator.
struct Generator;

impl Source for Generator {
    /// Fails if the generator finds itself faulty, or repeats itself (reference manual RM0090,
    /// 24.3.1). The first number of each call only serves the comparison: so none that was handed
    /// out is kept for it.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SourceFailed> {
        let mut last = number()?;
        fill_bytes_via_next_word(bytes, || {
            let next = number()?;
            if next == last {
                return Err(SourceFailed);
            }
            last = next;
            Ok(next)
        })
    }
}

/// The generator's next number, if clock and source are in order.
fn number() -> Result<u32, SourceFailed> {
    (0..TRIES).find(|_| RNG.sr().read().drdy()).ok_or(SourceFailed)?;
    let (status, number) = (RNG.sr().read(), RNG.dr().read());
    let sound = !status.cecs() && !status.secs() && !status.ceis() && !status.seis();
    sound.then_some(number).ok_or(SourceFailed)
}

/// 168 MHz from the board's 8 MHz, or from the internal 16 MHz where nothing comes in: VCO input 2
/// MHz, VCO 336 MHz, core 1/2, random numbers 1/7 = 48 MHz (RM0090, 7.3.2). The internal oscillator
/// keeps a serial line's rate at room temperature only.
fn start_clocks() {
    RCC.apb1enr().modify(|w| w.set_pwren(true));
    PWR.cr1().modify(|w| w.set_vos(pwr::vals::Vos::SCALE1));
    // The Nucleo's 8 MHz are made by its ST-LINK; the Discovery has a crystal.
    RCC.cr().modify(|w| {
        w.set_hsebyp(cfg!(feature = "stm32f429"));
        w.set_hseon(true);
    });
    let external = (0..TRIES).any(|_| RCC.cr().read().hserdy());
    let (source, divisor) =
        if external { (rcc::vals::Pllsrc::HSE, 4) } else { (rcc::vals::Pllsrc::HSI, 8) };
    RCC.pllcfgr().write(|w| {
        w.set_pllsrc(source);
        w.set_pllm(rcc::vals::Pllm::from_bits(divisor));
        w.set_plln(rcc::vals::Plln::MUL168);
        w.set_pllp(rcc::vals::Pllp::DIV2);
        w.set_pllq(rcc::vals::Pllq::DIV7);
    });
    RCC.cr().modify(|w| w.set_pllon(true));
    while !RCC.cr().read().pllrdy() {}
    // Flash needs five wait states at this clock and 3.3 V (RM0090, table 11).
    FLASH.acr().write(|w| {
        w.set_latency(flash::vals::Latency::WS5);
        w.set_prften(true);
        w.set_icen(true);
        w.set_dcen(true);
    });
    RCC.cfgr().modify(|w| {
        w.set_ppre1(rcc::vals::Ppre::DIV4);
        w.set_ppre2(rcc::vals::Ppre::DIV2);
        w.set_sw(rcc::vals::Sw::PLL1_P);
    });
    while RCC.cfgr().read().sws() != rcc::vals::Sw::PLL1_P {}
}

/// The core's cycle counter.
fn start_counter() {
    // SAFETY: nothing else in the firmware uses these two units.
    let mut core = unsafe { cortex_m::Peripherals::steal() };
    core.DCB.enable_trace();
    core.DWT.enable_cycle_counter();
}
