//! The USART: bytes come by interrupt, and are sent by polling.

use crate::board::ring::Ring;
use crate::link::Fault;
use crate::link::serial::Port;
use cortex_m::peripheral::NVIC;
use stm32_metapac::{Interrupt, gpio, usart};

#[cfg(not(feature = "stm32f429"))]
use stm32_metapac::{GPIOA as PINS, USART2 as PORT};
#[cfg(feature = "stm32f429")]
use stm32_metapac::{GPIOD as PINS, USART3 as PORT};

/// The serial port's rate: as fast as the ST-LINK's and common adapters do without errors.
pub const BAUD: u32 = 460_800;

#[cfg(not(feature = "stm32f429"))]
const INTERRUPT: Interrupt = Interrupt::USART2;
#[cfg(feature = "stm32f429")]
const INTERRUPT: Interrupt = Interrupt::USART3;

/// TX and RX.
#[cfg(not(feature = "stm32f429"))]
const PIN_NUMBERS: [usize; 2] = [2, 3];
#[cfg(feature = "stm32f429")]
const PIN_NUMBERS: [usize; 2] = [8, 9];
/// Alternate function of USART1 to USART3 (data sheet, table 9).
const FUNCTION: u8 = 7;

static RECEIVED: Ring = Ring::new();

/// The port, started.
#[derive(Debug)]
pub struct Usart(());

impl Usart {
    /// Starts a port whose clock, of this frequency, and pins are switched on: 8 data bits, no
    /// parity, one stop bit.
    pub(super) fn start(clock: u32) -> Self {
        for pin in PIN_NUMBERS {
            PINS.afr(pin / 8).modify(|w| w.set_afr(pin % 8, FUNCTION));
            PINS.pupdr().modify(|w| w.set_pupdr(pin, gpio::vals::Pupdr::PULL_UP));
            PINS.moder().modify(|w| w.set_moder(pin, gpio::vals::Moder::ALTERNATE));
        }
        // 16 samples for each bit: mantissa and fraction together are the clock divided by the
        // rate.
        PORT.brr().write_value(usart::regs::Brr((clock + BAUD / 2) / BAUD));
        PORT.cr1().write(|w| {
            w.set_ue(true);
            w.set_te(true);
            w.set_re(true);
            w.set_rxneie(true);
        });
        listen();
        Self(())
    }
}

/// Has received bytes taken by interrupt.
fn listen() {
    // SAFETY: the handler shares nothing with the program but the ring, which is made for that.
    unsafe { NVIC::unmask(INTERRUPT) };
}

/// Takes a byte; or leaves it, and the interrupt off, while there is no room: the program switches
/// it on again when it has taken all. (At the controller: QEMU's port goes on interrupting until
/// its byte is taken, whatever its own registers say.) With room to spare for the engine's
/// computations, that happens only where nobody is overrun: in QEMU, which waits.
fn receive() {
    let status = PORT.sr().read();
    if status.ore() {
        RECEIVED.lose();
    }
    if !RECEIVED.has_room() {
        NVIC::mask(INTERRUPT);
    } else if status.rxne() || status.ore() {
        // Reading it after the status clears both flags.
        let byte = PORT.dr().read().dr();
        if status.rxne() {
            RECEIVED.push(byte as u8);
        }
    }
}

#[cfg(not(feature = "stm32f429"))]
// SAFETY: the vector table calls it under this name.
#[unsafe(no_mangle)]
extern "C" fn USART2() {
    receive();
}

#[cfg(feature = "stm32f429")]
// SAFETY: the vector table calls it under this name.
#[unsafe(no_mangle)]
extern "C" fn USART3() {
    receive();
}

impl Port for Usart {
    fn receive(&mut self) -> Result<Option<u8>, Fault> {
        if RECEIVED.lost() {
            return Err(Fault::Overrun);
        }
        if let Some(byte) = RECEIVED.pop() {
            return Ok(Some(byte));
        }
        // Looks for itself: the handler stopped listening when there was no room, and QEMU's port
        // withdraws the interrupt of a byte that comes while the one before is taken.
        NVIC::mask(INTERRUPT);
        receive();
        listen();
        Ok(RECEIVED.pop())
    }

    fn send(&mut self, byte: u8) -> bool {
        let free = PORT.sr().read().txe();
        if free {
            PORT.dr().write(|w| w.set_dr(byte.into()));
        }
        free
    }
}
