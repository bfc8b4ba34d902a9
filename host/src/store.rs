//! Garbled tables in a file.

use crate::stream::BUFFER;
use minionn_core::session::Store;
use minionn_core::{Error, Result};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::Path;

/// Garbled tables in a file.
pub(crate) struct FileStore {
    writer: BufWriter<File>,
    reader: Option<BufReader<File>>,
}

impl FileStore {
    /// A store in the file at `path`, whose content is replaced.
    pub(crate) fn create(path: &Path) -> std::io::Result<Self> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Self { writer: BufWriter::with_capacity(BUFFER, file), reader: None })
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
