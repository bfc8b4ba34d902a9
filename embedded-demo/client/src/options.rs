//! How the device's sessions run; its build script needs the same.

use minionn_core::ot::Repetition;
use minionn_core::session::{Options, Tables};

/// Fewest instructions and least memory: OTs of one bit of the choice at a time, no table is kept.
pub(crate) const OPTIONS: Options =
    Options { repetition: Repetition::K2, tables: Tables::Streamed, stock: 1, activations: minionn_core::session::Activations::Garbled };
