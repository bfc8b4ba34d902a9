//! TCP, memory and randomness for the engine.

use anyhow::Context as _;
use core::time::Duration;
use minionn_core::rng::Seed;
use minionn_core::session::Store;
use minionn_core::{Error, Result};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::net::TcpStream;

/// A buffered TCP connection as the engine's blocking byte stream.
pub struct Link {
    reader: BufReader<TcpStream>,
    writer: BufWriter<TcpStream>,
    /// Bytes that were looked at already and are read again first.
    again: std::io::Cursor<Vec<u8>>,
}

/// How long a failed connection is read on, see [`Link::end`].
const LINGER: Duration = Duration::from_secs(5);
/// Bytes buffered each way.
const BUFFER: usize = 1 << 17;

/// A failed read or write; the engine reports it as [`Error::Io`].
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LinkError(#[from] std::io::Error);

impl embedded_io::Error for LinkError {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::Other
    }
}

impl Link {
    /// Wraps a connection. A peer that is silent for `idle` ends the session with an error.
    ///
    /// # Errors
    /// If the socket's options cannot be set.
    pub fn new(stream: TcpStream, idle: Duration) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(idle))?;
        stream.set_write_timeout(Some(idle))?;
        let reader = BufReader::with_capacity(BUFFER, stream.try_clone()?);
        Ok(Self {
            reader,
            writer: BufWriter::with_capacity(BUFFER, stream),
            again: std::io::Cursor::default(),
        })
    }

    /// Ends a connection on which the peer may still be sending: closing at once would reset it,
    /// and the peer would never read why. Whatever comes is thrown away, for at most five
    /// seconds.
    pub fn end(mut self) {
        let stream = self.reader.get_ref();
        let _ = self.writer.flush();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let until = std::time::Instant::now() + LINGER;
        let mut waste = vec![0; 1 << 16];
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero()
                || self.reader.get_ref().set_read_timeout(Some(left)).is_err()
                || !matches!(self.reader.read(&mut waste), Ok(1..))
            {
                return;
            }
        }
    }
}

/// A byte stream on which a server looks at the first message before the engine reads it.
pub trait Connection:
    embedded_io::Read<Error = LinkError> + embedded_io::Write<Error = LinkError>
{
    /// Has `bytes`, read before, read again.
    fn read_again(&mut self, bytes: Vec<u8>);
}

impl Connection for Link {
    fn read_again(&mut self, bytes: Vec<u8>) {
        self.again = std::io::Cursor::new(bytes);
    }
}

impl embedded_io::ErrorType for Link {
    type Error = LinkError;
}

impl embedded_io::Read for Link {
    fn read(&mut self, buf: &mut [u8]) -> core::result::Result<usize, LinkError> {
        match self.again.read(buf)? {
            0 => Ok(self.reader.read(buf)?),
            n => Ok(n),
        }
    }
}

impl embedded_io::Write for Link {
    fn write(&mut self, buf: &[u8]) -> core::result::Result<usize, LinkError> {
        Ok(self.writer.write(buf)?)
    }
    fn flush(&mut self) -> core::result::Result<(), LinkError> {
        Ok(self.writer.flush()?)
    }
}

/// Zeroed memory with the alignment that the engine asks for. What is large comes from the system
/// in large pages where there are some, and goes back to it at once: a large stock would fault on
/// millions of small ones.
pub struct Memory(Pages, usize);

enum Pages {
    Own(Vec<u128>),
    Mapped(memmap2::MmapMut),
}

impl Memory {
    /// From so many bytes on it is mapped: two large pages.
    const LARGE: usize = 4 << 20;

    /// `bytes` bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let own = || Pages::Own(vec![0; bytes.div_ceil(size_of::<u128>())]);
        Self(
            if bytes < Self::LARGE { own() } else { mapped(bytes).map_or_else(own, Pages::Mapped) },
            bytes,
        )
    }

    /// The memory.
    pub fn bytes(&mut self) -> &mut [u8] {
        let all: &mut [u8] = match &mut self.0 {
            Pages::Own(words) => bytemuck::cast_slice_mut(words),
            Pages::Mapped(pages) => pages,
        };
        all.get_mut(..self.1).unwrap_or_default()
    }
}

/// Memory of its own, if the system has it to give.
fn mapped(bytes: usize) -> Option<memmap2::MmapMut> {
    let pages = memmap2::MmapMut::map_anon(bytes).ok()?;
    #[cfg(target_os = "linux")]
    let _ = pages.advise(memmap2::Advice::HugePage); // a wish: without it, it only takes longer
    Some(pages)
}

/// A fresh seed from the operating system.
///
/// # Errors
/// If the system has no randomness to give; nothing else is used instead.
pub fn fresh_seed() -> anyhow::Result<Seed> {
    let mut seed = Seed([0; 32]);
    getrandom::fill(&mut seed.0)
        .map_err(std::io::Error::from)
        .context("the operating system gave no randomness")?;
    Ok(seed)
}

/// Garbled tables in a file.
pub struct FileStore {
    writer: BufWriter<File>,
    reader: Option<BufReader<File>>,
}

impl FileStore {
    /// A store in `file`, which is opened for reading and writing; its content is replaced.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { writer: BufWriter::with_capacity(BUFFER, file), reader: None }
    }

    fn rewound(&mut self) -> std::io::Result<File> {
        self.writer.flush()?;
        let mut file = self.writer.get_ref().try_clone()?;
        file.rewind()?;
        Ok(file)
    }
}

impl Store for FileStore {
    fn clear(&mut self) -> Result<()> {
        self.reader = None;
        self.rewound().and_then(|file| file.set_len(0)).map_err(|_| Error::Store)
    }
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(|_| Error::Store)
    }
    fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        if self.reader.is_none() {
            let file = self.rewound().map_err(|_| Error::Store)?;
            self.reader = Some(BufReader::with_capacity(BUFFER, file));
        }
        let reader = self.reader.as_mut().ok_or(Error::Store)?;
        reader.read_exact(bytes).map_err(|_| Error::Store)
    }
}
