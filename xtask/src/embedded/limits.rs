//! What the firmware may take: every limit, in one place.

/// Bytes of flash of a client, plan and windows included. The aim is 128 KiB; tables of the transform take 80 KiB.
pub(crate) const FLASH: u64 = 256 << 10;
/// Bytes of RAM of a client in all: static variables (workspace and network buffers among them) and deepest stack.
pub(crate) const RAM: u64 = 96 << 10;
/// Bytes of RAM of a server in all.
pub(crate) const SERVER_RAM: u64 = 256 << 10;
/// Instructions of a client's set-up, link apart.
pub(crate) const SET_UP: u64 = 60_000_000;
/// Symbols that show a heap.
pub(crate) const HEAP: &[&str] = &["malloc", "__rust_alloc", "__rdl_alloc", "_sbrk"];
/// Symbols that show that numbers are formatted on the device. (The aim is that nothing can panic, either.)
pub(crate) const FORMATTING: &[&str] = &["4core3fmt"];
/// Bytes that the server's process may grow by for each session that is cut off. One holds more than twice as much, buffers included; some
/// stay with the allocator.
pub(crate) const SERVER_GROWTH: u64 = 256 << 10;
