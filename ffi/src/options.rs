//! How a session runs.

use crate::pointer::checked;
use crate::status::{Result, Status, guard, minionn_status};
use minionn_core::ot::Repetition;
use minionn_core::session::engine::Buffers;
use minionn_core::session::{Activations, MAX_LOG2_BYTES_PER_ROUND, Options, Tables};

/// OTs are made and garbled tables travel offline, into the client's memory.
pub const MINIONN_TABLES_STORED: u8 = 0;
/// OTs are made and garbled tables travel online, just before use: for clients without storage.
pub const MINIONN_TABLES_STREAMED: u8 = 1;

/// Activations are computed by garbled circuits: one round trip for each layer, most bytes.
pub const MINIONN_ACTIVATIONS_GARBLED: u8 = 0;
/// Activations are computed by comparison with OTs, where there is one for the function and it
/// saves bytes: several round trips for each layer, fewest bytes.
pub const MINIONN_ACTIVATIONS_COMPARED: u8 = 1;
/// Layer by layer, whichever is faster on the link that link_rtt_us and link_bits_per_s describe.
pub const MINIONN_ACTIVATIONS_AUTO: u8 = 2;

/// How a session runs. The client chooses; the server takes repetition, tables, activations, link
/// and stock from the client's greeting. MUST be filled by minionn_options_init() before fields are
/// set: later versions append fields.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct minionn_options {
    /// Bytes of this struct in the caller's header; set by minionn_options_init().
    pub size: usize,
    /// Work against bytes in the OT extension: 1, 2, 4 or 8. 8 sends least, 2 is for devices.
    pub repetition: u8,
    /// MINIONN_TABLES_STORED or MINIONN_TABLES_STREAMED.
    pub tables: u8,
    /// MINIONN_ACTIVATIONS_GARBLED, MINIONN_ACTIVATIONS_COMPARED or MINIONN_ACTIVATIONS_AUTO. The
    /// result is the same, bit for bit.
    pub activations: u8,
    /// Predictions prepared at once, 1 to MINIONN_STOCK_MAX.
    pub stock: u32,
    /// For MINIONN_ACTIVATIONS_AUTO, at least 1: microseconds from sending a byte to having its
    /// answer, the work of the other side left out. Not read otherwise.
    pub link_rtt_us: u32,
    /// For MINIONN_ACTIVATIONS_AUTO, at least 1: bits of payload that the link carries in a second,
    /// each way; a byte has eight. Not read otherwise.
    pub link_bits_per_s: u64,
    /// Bytes of this party's buffer for bytes from the peer, at least MINIONN_BUFFER_MIN. Need not
    /// be the peer's.
    pub inbox: usize,
    /// Bytes of this party's buffer for bytes to the peer, at least MINIONN_BUFFER_MIN. Need not
    /// be the peer's.
    pub outbox: usize,
}

/// Usual links, see minionn_options_set_link().
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum minionn_link {
    /// A local network: 1 ms for a round trip, 1 Gbit/s.
    MINIONN_LINK_LAN = 0,
    /// A wide one: 50 ms, 100 Mbit/s.
    MINIONN_LINK_WAN = 1,
    /// A serial line of 921600 baud behind a USB adapter: 2 ms, 10 bits for a byte.
    MINIONN_LINK_UART = 2,
    /// Bluetooth Low Energy: 30 ms, 700 kbit/s.
    MINIONN_LINK_BLE = 3,
}

/// Microseconds of a round trip, and bits of payload in a second.
type Link = (u32, u64);

/// The preset with this number.
const fn preset(link: i32) -> Option<Link> {
    use minionn_link::*;
    const LAN: i32 = MINIONN_LINK_LAN as i32;
    const WAN: i32 = MINIONN_LINK_WAN as i32;
    const UART: i32 = MINIONN_LINK_UART as i32;
    const BLE: i32 = MINIONN_LINK_BLE as i32;
    match link {
        LAN => Some((1_000, 1_000_000_000)),
        WAN => Some((50_000, 100_000_000)),
        UART => Some((2_000, 737_280)),
        BLE => Some((30_000, 700_000)),
        _ => None,
    }
}

/// Microseconds times bits per second: a byte.
const BYTE: u128 = 8 * 1_000_000;

/// The bytes that a link carries in the time of one round trip, as a power of two that is not
/// more: garbling takes the parties' time as well.
fn log2_bytes_per_round((rtt_us, bits_per_s): Link) -> Result<u8> {
    if rtt_us == 0 || bits_per_s == 0 {
        return Err(Status::MINIONN_ERROR_OPTION);
    }
    let product = u128::from(rtt_us) * u128::from(bits_per_s);
    // Without a division of 128 bits, which is a kilobyte of flash on a microcontroller.
    let mut log2 = 0;
    while log2 < MAX_LOG2_BYTES_PER_ROUND && BYTE << (log2 + 1) <= product {
        log2 += 1;
    }
    Ok(log2)
}

/// A link that carries `2^log2` bytes in one round trip: the greeting tells no more of it.
const fn link_of(log2: u8) -> Link {
    (1_000, 8_000 << log2)
}

impl minionn_options {
    fn new(options: &Options, buffers: Buffers) -> Self {
        let (activations, (link_rtt_us, link_bits_per_s)) = match options.activations {
            Activations::Garbled => (MINIONN_ACTIVATIONS_GARBLED, (0, 0)),
            Activations::Compared { log2_bytes_per_round: 0 } => {
                (MINIONN_ACTIVATIONS_COMPARED, (0, 0))
            }
            Activations::Compared { log2_bytes_per_round } => {
                (MINIONN_ACTIVATIONS_AUTO, link_of(log2_bytes_per_round))
            }
        };
        Self {
            size: size_of::<Self>(),
            repetition: options.repetition.k() as u8,
            tables: options.tables as u8,
            activations,
            stock: options.stock,
            link_rtt_us,
            link_bits_per_s,
            inbox: buffers.inbox,
            outbox: buffers.outbox,
        }
    }

    /// What a peer asked for, with one's own buffers.
    pub(crate) fn replace(self, options: &Options) -> Self {
        Self::new(options, Buffers { inbox: self.inbox, outbox: self.outbox })
    }

    pub(crate) fn parse(&self) -> Result<(Options, Buffers)> {
        let tables = match self.tables {
            MINIONN_TABLES_STORED => Tables::Stored,
            MINIONN_TABLES_STREAMED => Tables::Streamed,
            _ => return Err(Status::MINIONN_ERROR_OPTION),
        };
        let repetition = Repetition::from_k(self.repetition).ok_or(Status::MINIONN_ERROR_OPTION)?;
        let activations = self.activations()?;
        let options = Options { repetition, tables, stock: self.stock, activations };
        options.check()?;
        Ok((options, Buffers { inbox: self.inbox, outbox: self.outbox }))
    }

    fn activations(&self) -> Result<Activations> {
        match self.activations {
            MINIONN_ACTIVATIONS_GARBLED => Ok(Activations::Garbled),
            // Firmware without comparisons carries no arithmetic on links.
            _ if !cfg!(feature = "compare") => Err(Status::MINIONN_ERROR_OPTION),
            MINIONN_ACTIVATIONS_COMPARED => Ok(Activations::Compared { log2_bytes_per_round: 0 }),
            MINIONN_ACTIVATIONS_AUTO => {
                let link = (self.link_rtt_us, self.link_bits_per_s);
                Ok(Activations::Compared { log2_bytes_per_round: log2_bytes_per_round(link)? })
            }
            _ => Err(Status::MINIONN_ERROR_OPTION),
        }
    }
}

/// Copies options of a size that this version knows.
///
/// # Safety
/// Unless NULL or crooked, `options` points at as many readable bytes as its first field says.
pub(crate) unsafe fn read(options: *const minionn_options) -> Result<minionn_options> {
    checked(options)?;
    // SAFETY: aligned and not NULL, checked above. All fields are plain numbers; none is read
    // before the size is known.
    unsafe {
        if (&raw const (*options).size).read() != size_of::<minionn_options>() {
            return Err(Status::MINIONN_ERROR_OPTION);
        }
        Ok(options.read())
    }
}

/// Fills in the defaults: repetition 8, stored tables, garbled activations, a stock of 1, buffers
/// that suit the machine.
///
/// `size` MUST be `sizeof(minionn_options)`.
///
/// \retval MINIONN_ERROR_OPTION `size` is none that this version knows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_options_init(
    options: *mut minionn_options,
    size: usize,
) -> minionn_status {
    guard(|| {
        checked(options.cast_const())?;
        if size != size_of::<minionn_options>() {
            return Err(Status::MINIONN_ERROR_OPTION);
        }
        // SAFETY: not NULL and aligned, checked above; the caller says that `size` bytes are there.
        unsafe { options.write(minionn_options::new(&Options::default(), Buffers::default())) };
        Ok(())
    })
}

/// Chooses MINIONN_ACTIVATIONS_AUTO for a usual link, one of minionn_link: sets activations,
/// link_rtt_us and link_bits_per_s. For any other link, set the three fields.
///
/// \retval MINIONN_ERROR_OPTION there is no such link, or `options` were not filled by
/// minionn_options_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_options_set_link(
    options: *mut minionn_options,
    link: i32,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let mut changed = unsafe { read(options)? };
        let (link_rtt_us, link_bits_per_s) = preset(link).ok_or(Status::MINIONN_ERROR_OPTION)?;
        changed.activations = MINIONN_ACTIVATIONS_AUTO;
        (changed.link_rtt_us, changed.link_bits_per_s) = (link_rtt_us, link_bits_per_s);
        // SAFETY: `read` found it neither NULL nor crooked, and of full size.
        unsafe { options.write(changed) };
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_rounded_down_to_a_power_of_two() {
        let presets = [16, 19, 7, 11];
        for (link, log2) in (0..).zip(presets) {
            assert_eq!(preset(link).map(log2_bytes_per_round), Some(Ok(log2)), "preset {link}");
        }
        assert_eq!(preset(-1), None);
        assert_eq!(preset(4), None);
        // 1000 µs at 8 Mbit/s are 1000 bytes; 1023 and 1024 are on both sides of a power of two.
        for (bits_per_s, log2) in [(1, 0), (8_000, 0), (16_000, 1), (8_000_000, 9)] {
            assert_eq!(log2_bytes_per_round((1_000, bits_per_s)), Ok(log2), "{bits_per_s}");
        }
        assert_eq!(log2_bytes_per_round((1_000, 8_191_999)), Ok(9));
        assert_eq!(log2_bytes_per_round((1_000, 8_192_000)), Ok(10));
        assert_eq!(log2_bytes_per_round((u32::MAX, u64::MAX)), Ok(MAX_LOG2_BYTES_PER_ROUND));
        for link in [(0, 1), (1, 0), (0, 0)] {
            assert_eq!(log2_bytes_per_round(link), Err(Status::MINIONN_ERROR_OPTION));
        }
    }

    #[test]
    #[cfg(feature = "compare")]
    fn what_a_greeting_can_say_comes_back() {
        for code in 0..=MAX_LOG2_BYTES_PER_ROUND + 1 {
            let activations = Activations::from_code(code);
            let options = Options { activations, ..Options::default() };
            let ours = minionn_options::new(&options, Buffers::default());
            assert_eq!(ours.parse().map(|(parsed, _)| parsed), Ok(options), "code {code}");
        }
    }
}
