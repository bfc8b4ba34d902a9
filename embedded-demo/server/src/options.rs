//! What this server offers; its build script needs the same. A client that asks for anything else is refused.

use minionn_core::ot::Repetition;
use minionn_core::session::{Options, Tables};

/// Least memory: one prediction at a time, and only one operation's labels.
pub(crate) const OPTIONS: Options =
    Options { repetition: Repetition::K2, tables: Tables::Streamed, stock: 1, activations: minionn_core::session::Activations::Garbled };
