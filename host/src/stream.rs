//! Byte streams as the engine reads and writes them.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use embedded_io_async::{ErrorType, Read, Write};
use minionn_core::session::blocking::Blocking;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// How long a failed connection is read on, see [`end`].
const LINGER: Duration = Duration::from_secs(5);
/// Bytes buffered each way.
pub(crate) const BUFFER: usize = 1 << 17;

/// A blocking byte stream with a buffer in each direction: the engine reads and writes in small
/// parts.
pub struct Buffered<S> {
    stream: S,
    inbox: Box<[u8]>,
    /// The part of the inbox that was not read yet.
    unread: core::ops::Range<usize>,
    outbox: Vec<u8>,
}

impl<S: io::Read + io::Write> Buffered<S> {
    /// Over a stream that waits: for one that does not, reading fails.
    #[must_use]
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            inbox: vec![0; BUFFER].into(),
            unread: 0..0,
            outbox: Vec::with_capacity(BUFFER),
        }
    }

    /// The stream. Bytes may be left in the buffers.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }
}

/// A socket that several may hold: one reads and writes, others can cut it.
pub(crate) struct Tcp(Arc<TcpStream>);

impl io::Read for Tcp {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(to)
    }
}

impl io::Write for Tcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

/// A socket on which a peer that is silent for `idle` ends the session with an error.
pub(crate) fn tcp(stream: Arc<TcpStream>, idle: Duration) -> io::Result<Buffered<Tcp>> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(idle))?;
    stream.set_write_timeout(Some(idle))?;
    Ok(Buffered::new(Tcp(stream)))
}

impl<S> embedded_io::ErrorType for Buffered<S> {
    type Error = io::Error;
}

impl<S: io::Read + io::Write> embedded_io::Read for Buffered<S> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            if to.len() >= BUFFER {
                return retried(|| self.stream.read(to));
            }
            let n = retried(|| self.stream.read(&mut self.inbox))?;
            self.unread = 0..n;
        }
        let mut from = self.inbox.get(self.unread.clone()).ok_or(ErrorKind::InvalidData)?;
        let n = io::Read::read(&mut from, to)?;
        self.unread.start += n;
        Ok(n)
    }
}

impl<S: io::Read + io::Write> embedded_io::Write for Buffered<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.outbox.len() >= BUFFER {
            self.hand_over()?;
        }
        if self.outbox.is_empty() && bytes.len() >= BUFFER {
            return retried(|| self.stream.write(bytes));
        }
        let fits = bytes.len().min(BUFFER - self.outbox.len());
        io::Write::write(&mut self.outbox, bytes.split_at(fits).0)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_over()?;
        self.stream.flush().map_err(timed_out)
    }
}

impl<S: io::Write> Buffered<S> {
    /// Writes what waits to be written. After an error that is gone: the session is over.
    fn hand_over(&mut self) -> io::Result<()> {
        let written = self.stream.write_all(&self.outbox);
        self.outbox.clear();
        written.map_err(timed_out)
    }
}

/// Again, where a signal came in between.
fn retried(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result.map_err(timed_out),
        }
    }
}

/// Some systems say that a read which waited long enough would have had to wait.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => silence(),
        _ => error,
    }
}

/// A peer was silent for too long.
pub(crate) fn silence() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the peer was silent for too long")
}

/// Ends a connection on which the peer may still be sending: closing at once would reset it, and
/// the peer would never read why. Whatever comes is thrown away, for at most five seconds.
pub(crate) fn end(mut stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let until = Instant::now() + LINGER;
    let mut waste = vec![0; 1 << 16];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero()
            || stream.set_read_timeout(Some(left)).is_err()
            || !matches!(io::Read::read(&mut stream, &mut waste), Ok(1..))
        {
            return;
        }
    }
}

/// Why a stream has failed: the engine only knows that it did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<io::Error>>>);

impl Failure {
    pub(crate) fn note(&self, error: io::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(crate) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A byte stream of the engine's kind, blocking or not.
pub(crate) trait Medium: Read<Error = io::Error> + Write {
    /// The client's hello has been read from it: a session begins.
    fn session_begins(&mut self) {}
}

impl<S: io::Read + io::Write> Medium for Blocking<Buffered<S>> {}

/// A [`Medium`] that remembers why it failed, and on which a server looks at the first message
/// before the engine reads it.
pub(crate) struct Wire<M> {
    medium: M,
    failure: Failure,
    /// Bytes that were looked at already and are read again first.
    again: io::Cursor<Vec<u8>>,
    /// Set whenever something has come.
    busy: Arc<AtomicBool>,
}

impl<M: Medium> Wire<M> {
    pub(crate) fn new(medium: M) -> Self {
        Self::watched(medium, Arc::default())
    }

    /// Sets `busy` whenever something has come.
    pub(crate) fn watched(medium: M, busy: Arc<AtomicBool>) -> Self {
        Self { medium, failure: Failure::default(), again: io::Cursor::default(), busy }
    }

    pub(crate) fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Has the bytes of a hello, and what came behind it, read again.
    pub(crate) fn read_again(&mut self, bytes: Vec<u8>) {
        self.again = io::Cursor::new(bytes);
        self.medium.session_begins();
    }

    fn noted(&self, error: io::Error) -> embedded_io::ErrorKind {
        let kind = embedded_io::Error::kind(&error);
        self.failure.note(error);
        kind
    }
}

impl<M: Medium> ErrorType for Wire<M> {
    type Error = embedded_io::ErrorKind;
}

impl<M: Medium> Read for Wire<M> {
    async fn read(&mut self, to: &mut [u8]) -> Result<usize, Self::Error> {
        let n = io::Read::read(&mut self.again, to).map_err(|error| self.noted(error))?;
        if n > 0 {
            return Ok(n);
        }
        match self.medium.read(to).await {
            Ok(n) => {
                self.busy.store(true, Ordering::SeqCst);
                Ok(n)
            }
            Err(error) => Err(self.noted(error)),
        }
    }
}

impl<M: Medium> Write for Wire<M> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.medium.write(bytes).await.map_err(|error| self.noted(error))
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.medium.flush().await.map_err(|error| self.noted(error))
    }
}
