//! Sizes of a plan's parts, and how large what it describes may be.

/// Bytes of the header.
pub const HEADER: usize = 80;
/// Bytes of one entry; an operation takes one or more.
pub const OP: usize = 16;
/// Bytes of the digest at the end.
pub const DIGEST: usize = 32;
/// Most entries in one plan.
pub const MAX_OPS: usize = 16384;
/// Bytes of a step and an offset of the input.
pub(crate) const FEATURE: usize = 8;
/// Most bytes of steps and text behind the entries.
pub(crate) const MAX_EXTRA: usize = 1 << 15;
/// Most bytes of a plan.
pub const MAX_BYTES: usize = HEADER + MAX_OPS * OP + MAX_EXTRA + DIGEST;
/// Most elements of one tensor.
pub const MAX_LEN: u32 = 1 << 24;
/// Most elements of all tensors of one prediction: 1 GiB of shares.
pub const MAX_ELEMENTS: usize = 1 << 27;
/// Most classes of an argmax.
pub const MAX_CLASSES: u32 = 1 << 16;
/// Most elements that one strided add copies or adds up.
pub const MAX_COPIES: u64 = 1 << 26;
/// Most elements that all strided adds of a plan copy or add up.
pub const MAX_MOVES: u64 = 4 * MAX_COPIES;
/// Most weights of one layer.
pub const MAX_WEIGHTS: u64 = 1 << 28;
