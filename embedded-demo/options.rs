//! How a device's sessions run. Client, server, their build scripts and what tests them need the
//! same.

use minionn_core::ot::Repetition;
use minionn_core::session::{Activations, Options, Tables};

/// Fewest instructions and least memory: OTs of one bit of the choice at a time, no table is kept.
const GARBLED: Options = Options {
    repetition: Repetition::K2,
    tables: Tables::Streamed,
    stock: 1,
    activations: Activations::Garbled,
};

/// Fewest bytes online: what OTs leave waits in memory, and there are no tables. On a serial line,
/// each further round trip is worth 128 bytes.
const COMPARED: Options = Options {
    tables: Tables::Stored,
    activations: Activations::Compared { log2_bytes_per_round: 7 },
    ..GARBLED
};

/// With the feature `compare`, or without.
pub(crate) const fn options(compare: bool) -> Options {
    if compare { COMPARED } else { GARBLED }
}
