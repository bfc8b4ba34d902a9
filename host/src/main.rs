//! The `minionn` command (being written).
fn main() {}
