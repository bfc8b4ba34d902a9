//! Byte streams to the other party, blocking, behind `embedded-io`: the engine sees no difference.

#[cfg(feature = "ethernet")]
pub mod ethernet;
#[cfg(feature = "ethernet")]
mod lan9118;
pub mod serial;

use crate::time::Stopwatch;
use embedded_io::{ErrorKind, Read, Write};

/// How long a silent peer is waited for. A server has at most one layer to compute meanwhile.
pub const PATIENCE_MS: u32 = 10_000;

/// Why a link failed. The session is over; [`Link::open`] begins the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "log", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// Nothing came for [`PATIENCE_MS`], or nothing could be sent.
    Silent,
    /// Bytes came faster than they were taken, and some were lost.
    Overrun,
    /// The peer closed or refused the connection.
    Closed,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Silent => "the peer is silent",
            Self::Overrun => "bytes were lost",
            Self::Closed => "the peer closed the connection",
        })
    }
}

impl core::error::Error for Fault {}

impl embedded_io::Error for Fault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Silent => ErrorKind::TimedOut,
            Self::Overrun => ErrorKind::Other,
            Self::Closed => ErrorKind::ConnectionAborted,
        }
    }
}

/// A link that can be opened again after a session has broken.
pub trait Link: Read<Error = Fault> + Write<Error = Fault> {
    /// Opens the connection; on a line that is always open, throws away what an earlier session
    /// left on it.
    ///
    /// # Errors
    /// If no peer is there.
    fn open(&mut self) -> Result<(), Fault>;

    /// Ends the connection once everything has arrived. A line stays open.
    fn close(&mut self);
}

/// A link that stops a [`Stopwatch`] while it works or waits: what the watch counts is the engine's
/// own work.
#[derive(Debug)]
pub struct Metered<'a, L> {
    link: &'a mut L,
    engine: &'a Stopwatch,
}

impl<'a, L> Metered<'a, L> {
    /// Stops `engine` inside of `link`.
    pub const fn new(link: &'a mut L, engine: &'a Stopwatch) -> Self {
        Self { link, engine }
    }

    fn apart<T>(&mut self, call: impl FnOnce(&mut L) -> T) -> T {
        self.engine.stop();
        let result = call(self.link);
        self.engine.go();
        result
    }
}

impl<L> embedded_io::ErrorType for Metered<'_, L> {
    type Error = Fault;
}

impl<L: Link> Read for Metered<'_, L> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        self.apart(|link| link.read(buf))
    }
}

impl<L: Link> Write for Metered<'_, L> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Fault> {
        self.apart(|link| link.write(buf))
    }
    fn flush(&mut self) -> Result<(), Fault> {
        self.apart(Write::flush)
    }
}
