//! How a session runs.

use crate::pointer::checked;
use crate::status::{Result, Status, guard};
use minionn_core::ot::Repetition;
use minionn_core::session::engine::Buffers;
use minionn_core::session::{Activations, Options, Tables};

/// OTs are made and garbled tables travel offline, into the client's memory.
pub const MINIONN_TABLES_STORED: u8 = 0;
/// OTs are made and garbled tables travel online, just before use: for clients without storage.
pub const MINIONN_TABLES_STREAMED: u8 = 1;

/// Activations are computed by garbled circuits.
pub const MINIONN_ACTIVATIONS_GARBLED: u8 = 0;
/// Activations are computed by comparison with OTs, where there is one for the function and it
/// saves bytes. Plus `n`, at most 48: where it saves 2^n bytes for each further round trip, so `n`
/// is the logarithm of the bytes that the link carries in one.
pub const MINIONN_ACTIVATIONS_COMPARED: u8 = 1;
/// Comparison where it saves time on a local network: 1 ms for a round trip, 1 Gbit/s.
pub const MINIONN_ACTIVATIONS_LAN: u8 = MINIONN_ACTIVATIONS_COMPARED + 17;
/// Comparison where it saves time on a wide one: 50 ms, 100 Mbit/s.
pub const MINIONN_ACTIVATIONS_WAN: u8 = MINIONN_ACTIVATIONS_COMPARED + 20;
/// Comparison where it saves time on a serial line: 2 ms, 921600 baud.
pub const MINIONN_ACTIVATIONS_UART: u8 = MINIONN_ACTIVATIONS_COMPARED + 8;
/// Comparison where it saves time over Bluetooth Low Energy: 30 ms, 700 kbit/s.
pub const MINIONN_ACTIVATIONS_BLE: u8 = MINIONN_ACTIVATIONS_COMPARED + 12;

/// How a session runs. The client chooses; the server takes repetition, tables, activations and
/// stock from the client's greeting. MUST be filled by minionn_options_init() before fields are
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
    /// MINIONN_ACTIVATIONS_GARBLED, or MINIONN_ACTIVATIONS_COMPARED plus a number. The result is
    /// the same.
    pub activations: u8,
    /// Predictions prepared at once, 1 to MINIONN_STOCK_MAX.
    pub stock: u32,
    /// Bytes of this party's buffer for bytes from the peer, at least MINIONN_BUFFER_MIN. Need not
    /// be the peer's.
    pub inbox: usize,
    /// Bytes of this party's buffer for bytes to the peer, at least MINIONN_BUFFER_MIN. Need not
    /// be the peer's.
    pub outbox: usize,
}

impl minionn_options {
    fn new(options: &Options, buffers: Buffers) -> Self {
        Self {
            size: size_of::<Self>(),
            repetition: options.repetition.k() as u8,
            tables: options.tables as u8,
            activations: options.activations.code(),
            stock: options.stock,
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
        let activations = Activations::from_code(self.activations);
        let options = Options { repetition, tables, stock: self.stock, activations };
        options.check()?;
        Ok((options, Buffers { inbox: self.inbox, outbox: self.outbox }))
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

use crate::status::minionn_status;
