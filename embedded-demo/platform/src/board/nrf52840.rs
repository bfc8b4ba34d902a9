//! nRF52840-DK: the serial port of its debug probe, with flow control; random numbers. Built and
//! reviewed, never run: no such board was at hand.

use super::ring::Ring;
use crate::link::Fault;
use crate::link::serial::Port;
use crate::random::{Random, Source, SourceFailed};
use cortex_m::peripheral::{DWT, NVIC};
use nrf_pac::shared::vals::Connect;
use nrf_pac::uart::{Uart, vals};
use nrf_pac::{CLOCK, Interrupt, P0, RNG, UART0, shared};
use rand_core::TryCryptoRng;

/// As in the table of results.
pub const NAME: &str = "nrf52840";
/// The serial port's rate: the fastest, and exact; with flow control.
pub const BAUD: u32 = 1_000_000;
/// The core's clock.
pub const TICKS_PER_SECOND: u32 = 64_000_000;
/// Cycles for each tick.
pub const TICK: u32 = 1;

/// Pins of port 0 that lead to the debug probe.
const RTS: usize = 5;
const TXD: usize = 6;
const CTS: usize = 7;
const RXD: usize = 8;
/// How often a random number is asked for before it is given up: each takes about 120 µs.
const TRIES: u32 = 1 << 20;

/// The serial unit without DMA, which hands over byte by byte and holds back the sender when its
/// six bytes are full.
const PORT: Uart = UART0;

static RECEIVED: Ring = Ring::new();

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
    /// Starts the crystal oscillator, which a serial line's rate needs, and the counter.
    #[must_use]
    pub fn start() -> Self {
        CLOCK.tasks_hfclkstart().write_value(1);
        while CLOCK.events_hfclkstarted().read() == 0 {}
        // SAFETY: nothing else in the firmware uses these units.
        let mut core = unsafe { cortex_m::Peripherals::steal() };
        core.DCB.enable_trace();
        core.DWT.enable_cycle_counter();
        RNG.config().write(|w| w.set_dercen(true));
        RNG.tasks_start().write_value(1);
        Self { random: Random::new(Some(Generator)) }
    }

    /// The port.
    #[must_use]
    pub fn serial(&self) -> SerialPort {
        SerialPort::start()
    }

    /// Randomness of the generator.
    pub const fn random(&mut self) -> &mut (impl TryCryptoRng + use<>) {
        &mut self.random
    }
}

/// The chip's random number generator, its bias corrected.
struct Generator;

impl Source for Generator {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SourceFailed> {
        for byte in bytes {
            (0..TRIES).find(|_| RNG.events_valrdy().read() != 0).ok_or(SourceFailed)?;
            RNG.events_valrdy().write_value(0);
            *byte = RNG.value().read().value();
        }
        Ok(())
    }
}

/// The serial port, started.
#[derive(Debug)]
pub struct SerialPort {
    /// Whether the last byte is still on its way.
    sending: bool,
}

impl SerialPort {
    fn start() -> Self {
        // High before the unit takes the pins over: a line at rest.
        P0.outset().write(|w| [RTS, TXD].into_iter().for_each(|pin| w.set_pin(pin, true)));
        P0.dirset().write(|w| [RTS, TXD].into_iter().for_each(|pin| w.set_pin(pin, true)));
        for (select, pin) in [
            (PORT.psel().rts(), RTS),
            (PORT.psel().txd(), TXD),
            (PORT.psel().cts(), CTS),
            (PORT.psel().rxd(), RXD),
        ] {
            select.write_value(pin_number(pin));
        }
        PORT.baudrate().write(|w| w.set_baudrate(vals::Baudrate::Baud1m));
        PORT.config().write(|w| w.set_hwfc(true));
        PORT.enable().write(|w| w.set_enable(vals::Enable::Enabled));
        PORT.intenset().write(|w| w.set_rxdrdy(true));
        PORT.tasks_startrx().write_value(1);
        PORT.tasks_starttx().write_value(1);
        // SAFETY: the handler shares nothing with the program but the ring, which is made for that.
        unsafe { NVIC::unmask(Interrupt::UARTE0) };
        Self { sending: false }
    }
}

fn pin_number(pin: usize) -> shared::regs::Psel {
    let mut select = shared::regs::Psel(0);
    select.set_pin(pin as u8);
    select.set_connect(Connect::Connected);
    select
}

/// Takes a byte, or leaves it and asks no more while there is no room: then the unit holds back the
/// sender.
// SAFETY: the vector table calls it under this name.
#[unsafe(no_mangle)]
extern "C" fn UARTE0() {
    if PORT.errorsrc().read().overrun() {
        PORT.errorsrc().write(|w| w.set_overrun(true));
        RECEIVED.lose();
    }
    if !RECEIVED.has_room() {
        PORT.intenclr().write(|w| w.set_rxdrdy(true));
    } else if PORT.events_rxdrdy().read() != 0 {
        PORT.events_rxdrdy().write_value(0);
        RECEIVED.push(PORT.rxd().read().rxd());
    }
}

impl Port for SerialPort {
    fn receive(&mut self) -> Result<Option<u8>, Fault> {
        if RECEIVED.lost() {
            return Err(Fault::Overrun);
        }
        let byte = RECEIVED.pop();
        if byte.is_none() {
            // There is room again, if there was none.
            PORT.intenset().write(|w| w.set_rxdrdy(true));
        }
        Ok(byte)
    }

    fn send(&mut self, byte: u8) -> bool {
        if self.sending && PORT.events_txdrdy().read() == 0 {
            return false;
        }
        PORT.events_txdrdy().write_value(0);
        PORT.txd().write(|w| w.set_txd(byte));
        self.sending = true;
        true
    }
}
