//! For firmware in C: everything of `minionn.h`, and TCP over the board's Ethernet as in
//! `src/ethernet.h`.
#![no_std]

// Its C functions are what this library is for.
use minionn as _;

use embedded_io::{Read as _, ReadReady as _, Write as _};
use platform::link::Link as _;
use platform::link::ethernet::{Ethernet, Peer};
use static_cell::StaticCell;

/// What C holds on to.
pub struct Connection(Ethernet);

/// Starts the network and connects to a port of the host. `seed` varies ports and sequence numbers.
/// NULL if there is no controller or no peer, and on a second call.
#[unsafe(no_mangle)]
pub extern "C" fn ethernet_open(port: u16, seed: u64) -> *mut Connection {
    start(port, seed).map_or(core::ptr::null_mut(), core::ptr::from_mut)
}

fn start(port: u16, seed: u64) -> Option<&'static mut Connection> {
    static PLACE: StaticCell<Connection> = StaticCell::new();
    let mut link = Ethernet::start(Peer::Host(port), seed)?;
    link.open().ok()?;
    PLACE.try_init(Connection(link))
}

/// Takes what has come, at most `capacity` bytes; never waits.
///
/// # Safety
/// `connection` came from [`ethernet_open`]; `to` points at `capacity` bytes that nobody else uses
/// meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ethernet_read(
    connection: *mut Connection,
    to: *mut u8,
    capacity: usize,
) -> usize {
    // SAFETY: the caller's promise.
    let (Connection(link), to) =
        unsafe { (&mut *connection, core::slice::from_raw_parts_mut(to, capacity)) };
    if matches!(link.read_ready(), Ok(true)) { link.read(to).unwrap_or(0) } else { 0 }
}

/// Sends all of it, waiting for room. Returns how much was taken: less than all only if the
/// connection is gone.
///
/// # Safety
/// `connection` came from [`ethernet_open`]; `from` points at `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ethernet_write(
    connection: *mut Connection,
    from: *const u8,
    len: usize,
) -> usize {
    // SAFETY: the caller's promise.
    let (Connection(link), from) =
        unsafe { (&mut *connection, core::slice::from_raw_parts(from, len)) };
    if link.write_all(from).and_then(|()| link.flush()).is_ok() { len } else { 0 }
}

/// Closes once everything has arrived.
///
/// # Safety
/// `connection` came from [`ethernet_open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ethernet_close(connection: *mut Connection) {
    // SAFETY: the caller's promise.
    unsafe { (*connection).0.close() };
}
