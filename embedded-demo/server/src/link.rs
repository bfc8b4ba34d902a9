//! Which link: the serial port, or TCP with the feature `ethernet`.

use platform::board::Board;
use platform::link::Link;

#[cfg(not(feature = "ethernet"))]
pub(crate) const NAME: &str = "UART";
#[cfg(feature = "ethernet")]
pub(crate) const NAME: &str = "Ethernet";

/// Where clients come from.
#[cfg(not(feature = "ethernet"))]
pub(crate) fn of(board: &mut Board) -> Option<impl Link + use<>> {
    Some(platform::link::serial::Serial(board.serial()))
}

/// Where every MiniONN server listens.
#[cfg(feature = "ethernet")]
const PORT: u16 = 7650;

/// Where clients come from: connections to the port on which every MiniONN server listens.
#[cfg(feature = "ethernet")]
pub(crate) fn of(board: &mut Board) -> Option<impl Link + use<>> {
    use platform::link::ethernet::{Ethernet, Peer};
    use rand_core::TryRng as _;
    Ethernet::start(Peer::Any(PORT), board.random().try_next_u64().ok()?)
}
