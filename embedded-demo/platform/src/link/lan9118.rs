//! SMSC LAN9118 Ethernet controller, polled, as on the MPS2 board; names and bits as in its data
//! sheet. Run in QEMU only.

use crate::board::register::Register;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;

/// Bytes of a frame without its check sequence, in whole words.
pub(super) const FRAME: usize = 1516;
/// Largest frame: header and 1500 bytes.
const LARGEST: usize = 1514;
/// Bytes of the check sequence, which the controller counts when it receives.
const CHECK_SEQUENCE: usize = 4;

const RX_DATA: Register = Register::at(0x4020_0000);
const TX_DATA: Register = Register::at(0x4020_0020);
const RX_STATUS: Register = Register::at(0x4020_0040);
const TX_STATUS: Register = Register::at(0x4020_0048);
const BYTE_TEST: Register = Register::at(0x4020_0064);
const TX_CFG: Register = Register::at(0x4020_0070);
const HW_CFG: Register = Register::at(0x4020_0074);
const RX_FIFO_INF: Register = Register::at(0x4020_007c);
const TX_FIFO_INF: Register = Register::at(0x4020_0080);
const MAC_CSR_CMD: Register = Register::at(0x4020_00a4);
const MAC_CSR_DATA: Register = Register::at(0x4020_00a8);

/// What [`BYTE_TEST`] reads where the bytes are in order.
const BYTE_ORDER: u32 = 0x8765_4321;
/// [`HW_CFG`]: must be one; 5 KiB of the memory for frames to send, the rest for received ones.
const HW_DEFAULT: u32 = 1 << 20 | 5 << 16;
/// [`TX_CFG`]: on.
const TX_ON: u32 = 1 << 1;
/// [`RX_STATUS`]: a damaged frame.
const RX_ERROR: u32 = 1 << 15;
/// First command word: first and last segment.
const WHOLE: u32 = 1 << 13 | 1 << 12;
/// [`MAC_CSR_CMD`]: busy.
const MAC_BUSY: u32 = 1 << 31;
/// Registers of the MAC.
const MAC_CR: u32 = 1;
const ADDRH: u32 = 2;
const ADDRL: u32 = 3;
/// [`MAC_CR`]: transmitter and receiver enabled.
const MAC_ENABLE: u32 = 1 << 3 | 1 << 2;

/// The controller, with room for one frame each way.
pub(super) struct Lan9118 {
    received: [u8; FRAME],
    sending: [u8; FRAME],
}

impl Lan9118 {
    /// Not yet started.
    pub(super) const fn new() -> Self {
        Self { received: [0; FRAME], sending: [0; FRAME] }
    }

    /// Starts it under this address. False if there is none.
    pub(super) fn start(&mut self, EthernetAddress([a, b, c, d, e, f]): EthernetAddress) -> bool {
        if BYTE_TEST.read() != BYTE_ORDER {
            return false;
        }
        HW_CFG.write(HW_DEFAULT);
        TX_CFG.write(TX_ON);
        set_mac(ADDRL, u32::from_le_bytes([a, b, c, d]));
        set_mac(ADDRH, u32::from_le_bytes([e, f, 0, 0]));
        set_mac(MAC_CR, MAC_ENABLE);
        true
    }
}

/// Writes a register of the MAC.
fn set_mac(register: u32, value: u32) {
    MAC_CSR_DATA.write(value);
    MAC_CSR_CMD.write(MAC_BUSY | register);
    while MAC_CSR_CMD.read() & MAC_BUSY != 0 {}
}

/// Takes the oldest received frame out of the controller.
fn receive(frame: &mut [u8; FRAME]) -> Option<usize> {
    while RX_FIFO_INF.read() >> 16 & 0xff > 0 {
        let status = RX_STATUS.read();
        let bytes = (status >> 16 & 0x3fff) as usize;
        let mut words = frame.as_chunks_mut::<4>().0.iter_mut();
        for _ in 0..bytes.div_ceil(4) {
            let word = RX_DATA.read();
            // What does not fit is the check sequence.
            if let Some(to) = words.next() {
                *to = word.to_le_bytes();
            }
        }
        let len = bytes.saturating_sub(CHECK_SEQUENCE);
        if status & RX_ERROR == 0 && len <= LARGEST {
            return Some(len);
        }
    }
    None
}

/// Whether a frame of any length can be sent at once.
fn can_send() -> bool {
    while TX_FIFO_INF.read() >> 16 & 0xff > 0 {
        TX_STATUS.read();
    }
    TX_FIFO_INF.read() & 0xffff >= (FRAME + 16) as u32
}

/// Sends the first `len` bytes.
fn send(frame: &[u8; FRAME], len: usize) {
    TX_DATA.write(WHOLE | len as u32);
    TX_DATA.write(len as u32);
    for &word in frame.as_chunks().0.iter().take(len.div_ceil(4)) {
        TX_DATA.write(u32::from_le_bytes(word));
    }
}

/// A received frame.
pub(super) struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Leave to send a frame.
pub(super) struct Sending<'a>(&'a mut [u8; FRAME]);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        // The stack asks for no more than the capabilities allow.
        let len = len.min(LARGEST);
        let result = f(self.0.get_mut(..len).unwrap_or_default());
        send(self.0, len);
        result
    }
}

impl Device for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        if !can_send() {
            return None;
        }
        let len = receive(&mut self.received)?;
        Some((Received(self.received.get(..len)?), Sending(&mut self.sending)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        can_send().then_some(Sending(&mut self.sending))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = LARGEST;
        capabilities.max_burst_size = Some(1);
        capabilities
    }
}
