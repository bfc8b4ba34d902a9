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
    use platform::link::ethernet::{Ethernet, Peer};
    use rand_core::TryRng as _;
    let port = platform::argument("port")?;
    Ethernet::start(Peer::Host(port), board.random().try_next_u64().ok()?)
}
