//! What set-up makes, kept for later sessions: a client's half in a file or elsewhere, and where a
//! server keeps those of its clients. All of it is secret.

use crate::error::{Error, Result};
use core::fmt;
use minionn_core::session::{Pairing, PairingId, Party};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// An exported half.
pub type Half = Zeroizing<Vec<u8>>;

/// Where a client keeps its half of a pairing, so that set-up is done once.
///
/// It is secret: whoever has it and what went over the wire can read the inputs of all sessions
/// that use it. Keep it on an encrypted medium, or in the keyring of the system.
pub trait PairingStore: fmt::Debug + Send + Sync {
    /// What was kept, if anything was.
    ///
    /// # Errors
    /// If it cannot be read. A pairing that is there but cannot be read is an error, never none.
    fn load(&self) -> io::Result<Option<Half>>;

    /// Keeps what set-up has made; later calls of [`PairingStore::load`] return it.
    ///
    /// # Errors
    /// If it cannot be kept.
    fn save(&self, half: &[u8]) -> io::Result<()>;

    /// Its name, for errors.
    fn place(&self) -> String;
}

/// A client's half of a pairing in a file that only its owner may read.
#[derive(Clone, Debug)]
pub struct PairingFile(PathBuf);

impl PairingFile {
    /// In the file at `path`, which is read if it is there, and written if not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl PairingStore for PairingFile {
    fn load(&self) -> io::Result<Option<Half>> {
        read(&self.0)
    }

    fn save(&self, half: &[u8]) -> io::Result<()> {
        write(&self.0, half)
    }

    fn place(&self) -> String {
        self.0.display().to_string()
    }
}

/// Writes a file that only its owner may read (on Unix: mode 0600), whole or not at all.
fn write(path: &Path, half: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Left over, if this process was stopped here once.
    let _ = fs::remove_file(&fresh);
    let attempt = || {
        let mut file = options.open(&fresh)?;
        file.write_all(half)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    attempt().inspect_err(|_| drop(fs::remove_file(&fresh)))
}

/// Reads a file, if there is one.
fn read(path: &Path) -> io::Result<Option<Half>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A server's halves up to a number: the one that was not used for longest goes first.
pub struct Pairings {
    most: usize,
    place: Place,
}

enum Place {
    /// Each with the time of its last use.
    Memory(Mutex<Shelf>),
    /// One file each, which shows the time of its last use.
    Folder(PathBuf, Mutex<()>),
}

#[derive(Default)]
struct Shelf {
    halves: HashMap<PairingId, (u64, Half)>,
    clock: u64,
}

impl Pairings {
    /// How many a server keeps if nothing else is asked for: 59 MB.
    pub const DEFAULT: usize = 1024;

    /// Kept as long as the process runs.
    #[must_use]
    pub fn in_memory(most: usize) -> Self {
        Self { most, place: Place::Memory(Mutex::default()) }
    }

    /// Kept in a folder, which is made if need be (on Unix: mode 0700). It belongs to one server at
    /// a time.
    ///
    /// # Errors
    /// [`Error::File`] if there is no such folder and none can be made.
    pub fn in_folder(folder: impl AsRef<Path>, most: usize) -> Result<Self> {
        let folder = folder.as_ref();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(Error::file(folder))?;
        Ok(Self { most, place: Place::Folder(folder.to_owned(), Mutex::default()) })
    }

    /// The half of this pairing, unless it was never kept, has gone, or is damaged.
    #[must_use]
    pub fn get(&self, id: &PairingId) -> Option<Half> {
        let half = match &self.place {
            Place::Memory(shelf) => shelf.lock().unwrap_or_else(PoisonError::into_inner).get(id)?,
            Place::Folder(folder, lock) => {
                let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
                let path = file(folder, id);
                let half = read(&path).ok()??;
                // A medium that cannot note the time only makes the order of going worse.
                let _ = File::options()
                    .write(true)
                    .open(&path)
                    .and_then(|f| f.set_modified(SystemTime::now()));
                half
            }
        };
        let sound = Pairing::parse(&half).is_ok_and(|p| p.party() == Party::Server && p.id() == id);
        sound.then_some(half)
    }

    /// Keeps a half.
    ///
    /// # Errors
    /// [`Error::Format`] if it is none, [`Error::File`] if the folder cannot take it.
    pub fn keep(&self, half: Half) -> Result<()> {
        let id = *Pairing::parse(&half)
            .map_err(|error| Error::Format { what: "pairing".into(), error })?
            .id();
        match &self.place {
            Place::Memory(shelf) => {
                shelf.lock().unwrap_or_else(PoisonError::into_inner).put(id, half, self.most)
            }
            Place::Folder(folder, lock) => {
                let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
                if self.most > 0 {
                    write(&file(folder, &id), &half).map_err(Error::file(folder))?;
                }
                thin_out(folder, self.most).map_err(Error::file(folder))?;
            }
        }
        Ok(())
    }

    /// Forgets a half, if it is kept: its client was caught cheating.
    ///
    /// # Errors
    /// [`Error::File`] if it stays in the folder.
    pub fn forget(&self, id: &PairingId) -> Result<()> {
        match &self.place {
            Place::Memory(shelf) => {
                shelf.lock().unwrap_or_else(PoisonError::into_inner).halves.remove(id);
                Ok(())
            }
            Place::Folder(folder, lock) => {
                let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
                match fs::remove_file(file(folder, id)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        Err(Error::file(folder)(error))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

impl fmt::Debug for Pairings {
    /// Not the halves: they are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.place {
            Place::Memory(_) => "memory".to_owned(),
            Place::Folder(folder, _) => folder.display().to_string(),
        };
        f.debug_struct("Pairings").field("most", &self.most).field("place", &place).finish()
    }
}

impl Shelf {
    fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn get(&mut self, id: &PairingId) -> Option<Half> {
        let now = self.now();
        let (used, half) = self.halves.get_mut(id)?;
        *used = now;
        Some(half.clone())
    }

    fn put(&mut self, id: PairingId, half: Half, most: usize) {
        let now = self.now();
        self.halves.insert(id, (now, half));
        while self.halves.len() > most {
            let Some(oldest) =
                self.halves.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id)
            else {
                return;
            };
            self.halves.remove(&oldest);
        }
    }
}

const EXTENSION: &str = "pairing";

fn file(folder: &Path, id: &PairingId) -> PathBuf {
    folder.join(format!("{:032x}.{EXTENSION}", u128::from_be_bytes(*id)))
}

/// Removes the files that were not used for longest, down to `most`.
fn thin_out(folder: &Path, most: usize) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == EXTENSION) {
            files.push((fs::metadata(&path)?.modified()?, path));
        }
    }
    files.sort();
    let surplus = files.len().saturating_sub(most);
    files.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
}
