//! The unit of garbling, OT and GGM trees.

/// A label, key or seed of 128 bits. On the wire: 16 bytes, little-endian.
pub type Block = u128;
