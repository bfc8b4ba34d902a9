//! Where a client keeps garbled tables between the offline and the online phase.

use crate::error::{Error, Result};

/// Sequential storage: RAM, a file, external flash. Filled front to back, then read front to back,
/// once.
pub trait Store {
    /// Forgets everything; the next write starts at the front.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn clear(&mut self) -> Result<()>;
    /// Appends bytes.
    ///
    /// # Errors
    /// [`Error::Store`] if they do not fit or the medium fails.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// Reads the next bytes that were written.
    ///
    /// # Errors
    /// [`Error::Store`] if there are not that many or the medium fails.
    fn read(&mut self, bytes: &mut [u8]) -> Result<()>;
}

impl<S: Store + ?Sized> Store for &mut S {
    fn clear(&mut self) -> Result<()> {
        (**self).clear()
    }
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        (**self).write(bytes)
    }
    fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        (**self).read(bytes)
    }
}

/// For streamed tables: holds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl Store for NoStore {
    fn clear(&mut self) -> Result<()> {
        Ok(())
    }
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() { Ok(()) } else { Err(Error::Store) }
    }
    fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        if bytes.is_empty() { Ok(()) } else { Err(Error::Store) }
    }
}

/// A store in the caller's memory.
#[derive(Debug)]
pub struct SliceStore<'a> {
    memory: &'a mut [u8],
    written: usize,
    read: usize,
}

impl<'a> SliceStore<'a> {
    /// A store over `memory`; [`crate::cost::store_bytes`] says how much a plan needs.
    #[must_use]
    pub const fn new(memory: &'a mut [u8]) -> Self {
        Self { memory, written: 0, read: 0 }
    }
}

impl Store for SliceStore<'_> {
    fn clear(&mut self) -> Result<()> {
        (self.written, self.read) = (0, 0);
        Ok(())
    }
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.written.checked_add(bytes.len()).ok_or(Error::Store)?;
        self.memory.get_mut(self.written..end).ok_or(Error::Store)?.copy_from_slice(bytes);
        self.written = end;
        Ok(())
    }
    fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        let end = self
            .read
            .checked_add(bytes.len())
            .filter(|&e| e <= self.written)
            .ok_or(Error::Store)?;
        bytes.copy_from_slice(self.memory.get(self.read..end).ok_or(Error::Store)?);
        self.read = end;
        Ok(())
    }
}
