//! Exported pairings on a host: a client's file, and where a server keeps those of its clients. All
//! of it is secret.

use anyhow::Context as _;
use minionn_core::session::{Pairing, PairingId, Party};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// An exported half.
pub type Half = Zeroizing<Vec<u8>>;

/// Writes a file that only its owner may read (on Unix: mode 0600), whole or not at all.
///
/// # Errors
/// If the folder or the medium does not allow it.
pub fn write(path: &Path, half: &[u8]) -> anyhow::Result<()> {
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
    attempt()
        .inspect_err(|_| drop(fs::remove_file(&fresh)))
        .with_context(|| path.display().to_string())
}

/// Reads a file, if there is one.
///
/// # Errors
/// If it cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Option<Half>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// A server's halves, at most so many: the one that was not used for longest goes first.
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
    pub const MOST: usize = 1024;

    /// Kept as long as the process runs.
    #[must_use]
    pub fn in_memory(most: usize) -> Self {
        Self { most, place: Place::Memory(Mutex::default()) }
    }

    /// Kept in a folder, which is made if need be (on Unix: mode 0700). It belongs to one server at
    /// a time.
    ///
    /// # Errors
    /// If there is no such folder and none can be made.
    pub fn in_folder(folder: &Path, most: usize) -> anyhow::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).with_context(|| folder.display().to_string())?;
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
    /// If it is none, or the folder cannot take it.
    pub fn keep(&self, half: Half) -> anyhow::Result<()> {
        let id = *Pairing::parse(&half)?.id();
        match &self.place {
            Place::Memory(shelf) => {
                shelf.lock().unwrap_or_else(PoisonError::into_inner).put(id, half, self.most)
            }
            Place::Folder(folder, lock) => {
                let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
                if self.most > 0 {
                    write(&file(folder, &id), &half)?;
                }
                thin_out(folder, self.most).with_context(|| folder.display().to_string())?;
            }
        }
        Ok(())
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

/// Removes the files that were not used for longest, down to so many.
fn thin_out(folder: &Path, most: usize) -> std::io::Result<()> {
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
