//! What the firmware may take: every limit, in one place.

/// Limits of a client with one network.
pub(crate) struct Client {
    /// Bytes, plan and windows included.
    pub(crate) flash: u64,
    /// Bytes in all: static variables (workspace and network buffers among them) and deepest
    /// stack.
    pub(crate) ram: u64,
    /// Instructions, link apart.
    pub(crate) set_up: u64,
}

/// The window classifier, 384-32-7. The check of OTs takes it beyond 128 KiB of flash.
const SENSOR: Client = Client { flash: 133 << 10, ram: 80 << 10, set_up: 50_000_000 };
/// The same by comparison, which is more code.
const SENSOR_COMPARED: Client = Client { flash: 181 << 10, ram: 90 << 10, ..SENSOR };
/// The same in C over Ethernet: 13 kB more than Rust takes, as over a UART.
const SENSOR_IN_C_ON_ETHERNET: Client = Client { flash: 148 << 10, ..SENSOR };
/// The auto-encoder, 640-…-640.
const ANOMALY: Client = Client { flash: 1 << 20, ram: 124 << 10, set_up: 50_000_000 };

impl Client {
    /// By the network's name in `models/`, the firmware's language, the link, and whether
    /// activations are compared.
    pub(crate) fn of(model: &str, language: &str, link: &str, compared: bool) -> Self {
        match (model, language, link) {
            ("anomaly", ..) => ANOMALY,
            _ if compared => SENSOR_COMPARED,
            (_, "C", "Ethernet") => SENSOR_IN_C_ON_ETHERNET,
            _ => SENSOR,
        }
    }
}

/// By comparison: how many times fewer bytes a window takes online than by circuits, and how many
/// percent of the instructions in all.
pub(crate) const COMPARED_FEWER_BYTES: u64 = 8;
pub(crate) const COMPARED_INSTRUCTIONS: u64 = 150;
/// Bytes of RAM of a server in all.
pub(crate) const SERVER_RAM: u64 = 216 << 10;
/// Symbols that show a heap.
pub(crate) const HEAP: &[&str] = &["malloc", "__rust_alloc", "__rdl_alloc", "_sbrk"];
/// Symbols that show that numbers are formatted on the device.
pub(crate) const FORMATTING: &[&str] = &["4core3fmt"];
/// Symbols of what a panic needs.
pub(crate) const PANICS: &[&str] = &["panic", "unwind"];
/// Bytes of all of these. Branches that the compiler puts at the end of an asynchronous function
/// and before a division end there, in a jump to the handler, without a message, a place, or
/// unwinding.
pub(crate) const PANIC: u64 = 96;
/// Bytes that the server's process may grow by for each of the first sessions that are cut off. One
/// holds more; some stay with the allocator: after twenty there are 3 MB, and no more after a
/// hundred.
pub(crate) const SERVER_GROWTH: u64 = 512 << 10;
