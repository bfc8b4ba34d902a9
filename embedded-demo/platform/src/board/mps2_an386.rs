//! Arm's MPS2 with the AN386 image, a Cortex-M4F, as QEMU emulates it. With `-icount shift=0` an
//! instruction takes a nanosecond.

use super::register::Register;
use crate::link::Fault;
use crate::link::serial::Port;
use crate::random::Random;
use crate::semihosting::Host;
use rand_core::TryCryptoRng;

/// As in the table of results.
pub const NAME: &str = "mps2-an386";
/// The serial port's rate. The emulated one takes and gives bytes as they come.
pub const BAUD: u32 = 115_200;
/// The timers' clock.
pub const TICKS_PER_SECOND: u32 = 25_000_000;
/// Nanoseconds, hence instructions, for each tick.
pub const TICK: u32 = 1_000_000_000 / TICKS_PER_SECOND;

/// CMSDK timer 0 (Cortex-M System Design Kit, 4.4), counting down. The system timer of the core
/// loses ticks under `-icount`.
mod timer {
    use super::Register;
    pub(super) const CONTROL: Register = Register::at(0x4000_0000);
    pub(super) const VALUE: Register = Register::at(0x4000_0004);
    pub(super) const RELOAD: Register = Register::at(0x4000_0008);
    pub(super) const ENABLE: u32 = 1;
}

/// CMSDK UART 0 (4.3).
mod uart {
    use super::Register;
    pub(super) const DATA: Register = Register::at(0x4000_4000);
    pub(super) const STATE: Register = Register::at(0x4000_4004);
    pub(super) const CONTROL: Register = Register::at(0x4000_4008);
    pub(super) const DIVISOR: Register = Register::at(0x4000_4010);
    pub(super) const SEND_FULL: u32 = 1;
    pub(super) const RECEIVE_FULL: u32 = 1 << 1;
    pub(super) const SEND_AND_RECEIVE: u32 = 0b11;
}

/// Counts up.
#[must_use]
pub fn ticks() -> u32 {
    !timer::VALUE.read()
}

/// The board, once started.
pub struct Board {
    /// QEMU has no random number generator.
    random: Random<Host>,
}

impl Board {
    /// Starts counter and serial port.
    #[must_use]
    pub fn start() -> Self {
        timer::RELOAD.write(u32::MAX);
        timer::VALUE.write(u32::MAX);
        timer::CONTROL.write(timer::ENABLE);
        uart::DIVISOR.write(TICKS_PER_SECOND / BAUD);
        uart::CONTROL.write(uart::SEND_AND_RECEIVE);
        Self { random: Host::random() }
    }

    /// The port.
    #[must_use]
    pub const fn serial(&self) -> Uart {
        Uart(())
    }

    /// Randomness, made from the host's seed.
    pub const fn random(&mut self) -> &mut (impl TryCryptoRng + use<>) {
        &mut self.random
    }
}

/// CMSDK UART 0. It has room for one byte: QEMU holds back the next one until this is taken.
#[derive(Debug)]
pub struct Uart(());

impl Port for Uart {
    fn receive(&mut self) -> Result<Option<u8>, Fault> {
        let full = uart::STATE.read() & uart::RECEIVE_FULL != 0;
        Ok(full.then(|| uart::DATA.read() as u8))
    }

    fn send(&mut self, byte: u8) -> bool {
        let free = uart::STATE.read() & uart::SEND_FULL == 0;
        if free {
            uart::DATA.write(u32::from(byte));
        }
        free
    }
}
