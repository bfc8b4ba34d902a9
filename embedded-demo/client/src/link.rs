//! Which link: the serial port, or TCP with the feature `ethernet`.

use platform::board::Board;
use platform::link::Link;

#[cfg(not(feature = "ethernet"))]
pub(crate) const NAME: &str = "UART";

#[cfg(not(feature = "ethernet"))]
pub(crate) fn of(board: &Board) -> impl Link + use<> {
    platform::link::serial::Serial(board.serial())
}
