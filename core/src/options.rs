//! How a session runs: what the client chooses and both parties must know.

use crate::error::{Error, Result};
use crate::ot::Repetition;

/// When OTs are made and garbled tables travel: the same bytes in all, but for a frame's head here
/// and there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tables {
    /// Offline, into the client's store.
    Stored = 0,
    /// Online, just before use, one operation at a time: for clients without storage, and for large
    /// networks and stocks.
    Streamed = 1,
}

/// How activations are computed. Both give the same result, bit for bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activations {
    /// By garbled circuits: one round trip, most bytes.
    Garbled,
    /// By comparison with OTs (`crate::compare`) where there is one for the function and it saves
    /// bytes: at least `2^log2_bytes_per_round` for each further round trip. So
    /// `log2_bytes_per_round` is the logarithm of what the link carries in one round trip's time.
    Compared {
        /// At most [`MAX_LOG2_BYTES_PER_ROUND`]; 0: whatever saves a byte.
        log2_bytes_per_round: u8,
    },
}

/// Largest [`Activations::Compared`].
pub const MAX_LOG2_BYTES_PER_ROUND: u8 = 48;

impl Activations {
    /// As a number: 0 for [`Self::Garbled`], else 1 more than `log2_bytes_per_round`.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Garbled => 0,
            Self::Compared { log2_bytes_per_round } => log2_bytes_per_round.saturating_add(1),
        }
    }

    /// The reverse of [`Self::code`].
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Garbled,
            code => Self::Compared { log2_bytes_per_round: code - 1 },
        }
    }
}

/// How a session runs; the client chooses, the server may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Work against bytes in the OT extension.
    pub repetition: Repetition,
    /// When garbled tables travel.
    pub tables: Tables,
    /// Predictions prepared at once, `1..=`[`MAX_STOCK`].
    pub stock: u32,
    /// How activations are computed.
    pub activations: Activations,
}

/// Whether this build can compare. Nothing else asks for the feature.
pub(crate) const COMPARE: bool = cfg!(feature = "compare");

/// Largest stock.
pub const MAX_STOCK: u32 = 4096;

impl Options {
    /// Whether every field is in range.
    ///
    /// # Errors
    /// [`Error::Option`].
    pub const fn check(&self) -> Result<()> {
        let log2_bytes_per_round = match self.activations {
            Activations::Garbled => 0,
            Activations::Compared { log2_bytes_per_round } if COMPARE => log2_bytes_per_round,
            Activations::Compared { .. } => return Err(Error::Option),
        };
        if self.stock == 0
            || self.stock > MAX_STOCK
            || log2_bytes_per_round > MAX_LOG2_BYTES_PER_ROUND
        {
            Err(Error::Option)
        } else {
            Ok(())
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            repetition: Repetition::K8,
            tables: Tables::Stored,
            stock: 1,
            activations: Activations::Garbled,
        }
    }
}
