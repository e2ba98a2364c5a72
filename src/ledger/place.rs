//! Where a ledger stands: its folder, what may stand beside it, and who may touch either.
//!
//! The law: nobody opens, looks into, renames or removes the folder or a sibling of it without the lock. It is one file,
//! `<folder>.lock`, locked for as long as a process is at the ledger, and never removed: a lock on a removed file locks
//! nothing.
//!
//! What may stand beside it, after a crash:
//!
//! | sibling | what it is | [`Place::hold`] |
//! |---|---|---|
//! | `.compacting` | a copy that was being made | removes it |
//! | `.importing` | an import that was being read | removes it |
//! | `.checking` | a copy that was being read | removes it |
//! | `.before-compact` | the whole ledger from before a swap | puts it back where nothing stands at the place; discards it where the same rows stand there; else a person must choose |
//! | `.discarded` | what was on its way out | removes it |

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::portable::Seal;
use super::sled_store::{FreeSpace, SledStore};
use super::store::StoreError;

/// A ledger's folder and its siblings, for this process alone until it is dropped.
pub(super) struct Place {
    path: PathBuf,
    _lock: File,
}

/// Whether a ledger stands there, or would after a swap that was cut short. Needs no lock, and makes nothing.
pub fn stands(path: &Path) -> bool {
    path.join("db").exists() || beside(path, "before-compact").join("db").exists()
}

impl Place {
    /// Takes the place and puts in order what a crash left there.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process is there.
    pub(super) fn hold(path: &Path, free: &FreeSpace) -> Result<Self, StoreError> {
        let place = Self { _lock: lock(path)?, path: path.to_owned() };
        place.settle(free)?;
        Ok(place)
    }

    fn settle(&self, free: &FreeSpace) -> Result<(), StoreError> {
        remove(&self.beside("discarded"))?;
        remove(&self.beside("importing"))?;
        remove(&self.beside("checking"))?;
        let old = self.beside("before-compact");
        if old.exists() {
            if !self.path.exists() {
                self.rename(&old, &self.path)?;
            } else if self.seal_of(&old, free)? == self.seal_of(&self.path, free)? {
                self.discard(&old)?;
            } else {
                let why = format!(
                    "{} stands beside it and holds other rows. Move away the one that is not wanted",
                    old.display()
                );
                return Err(StoreError::Unreadable { path: self.path.display().to_string(), why });
            }
        }
        remove(&self.beside("compacting"))
    }

    /// Puts a whole ledger from beside the place into it. What stood there is kept until the new one, at its place, is
    /// seen to hold the rows of `seal`.
    pub(super) fn swap_in(&self, fresh: &Path, seal: &Seal, free: &FreeSpace) -> Result<(), StoreError> {
        let old = self.beside("before-compact");
        self.rename(&self.path, &old)?;
        self.rename(fresh, &self.path)?;
        let found = self.seal_of(&self.path, free)?;
        if found != *seal {
            self.discard(&self.path)?;
            self.rename(&old, &self.path)?;
            return Err(StoreError::Failed(
                "the fresh ledger does not hold the rows of the old one, which is kept".into(),
            ));
        }
        self.discard(&old)
    }

    /// Puts a whole ledger into a place where none is.
    pub(super) fn move_in(&self, fresh: &Path) -> Result<(), StoreError> {
        self.rename(fresh, &self.path)
    }

    fn seal_of(&self, folder: &Path, free: &FreeSpace) -> Result<Seal, StoreError> {
        Seal::of(&SledStore::inside(folder, free.clone())?)
    }

    /// In two steps: a folder that is half removed has another name than one that is whole.
    fn discard(&self, folder: &Path) -> Result<(), StoreError> {
        let discarded = self.beside("discarded");
        self.rename(folder, &discarded)?;
        remove(&discarded)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        std::fs::rename(from, to).map_err(|error| failed(from, &error))?;
        let parent = parent(&self.path);
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(|error| failed(parent, &error))
    }

    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        beside(&self.path, suffix)
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let parent = parent(path);
    std::fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
    let at = beside(path, "lock");
    let file = File::options().create(true).append(true).open(&at).map_err(|error| failed(&at, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(failed(&at, &error)),
    }
}

pub(super) fn remove(folder: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(folder, &error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Failed(format!("{}: {error}", path.display()))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}
