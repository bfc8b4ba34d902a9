//! Which link: the serial port, or TCP with the feature `ethernet`.

use platform::board::Board;
use platform::link::Link;

#[cfg(not(feature = "ethernet"))]
pub(crate) const NAME: &str = "UART";
#[cfg(feature = "ethernet")]
pub(crate) const NAME: &str = "Ethernet";

/// The link to the server, not yet opened.
#[cfg(not(feature = "ethernet"))]
pub(crate) fn of(board: &mut Board) -> Option<impl Link + use<>> {
    Some(platform::link::serial::Serial(board.serial()))
}

/// The link to the server on the host's port that the program was started with.
#[cfg(feature = "ethernet")]
pub(crate) fn of(board: &mut Board) -> Option<impl Link + use<>> {
    use platform::link::ethernet::{Ethernet, Memory, NO_SOCKETS, Peer, Sockets};
    use static_cell::ConstStaticCell;
    let port = platform::argument("port")?;
    static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
    static SOCKETS: ConstStaticCell<Sockets> = ConstStaticCell::new(NO_SOCKETS);
    let [a, b, c, d, e, f, g, h, ..] = board.seed()?.0;
    Ethernet::start(MEMORY.try_take()?, SOCKETS.try_take()?, Peer::Host(port), u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}
