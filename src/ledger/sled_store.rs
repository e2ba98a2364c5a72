//! The store on disk: sled 0.34. The only file that names it.
//!
//! Killing the process loses nothing that was applied. Power loss is another matter: on Linux sled's `flush` issues
//! `sync_file_range`, which is no fsync. So [`Store::durable`] is flush and then fdatasync of sled's file,
//! group-committed.
//!
//! A full disk poisons an open sled for good. So batches are refused while less than a reserve is free; and should the
//! disk fill up all the same, the database is closed and opened anew once there is room.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};

use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};

use super::place::Place;
use super::store::{Batch, Bytes, Row, Store, StoreError, Tree};

/// How much of the disk stays free, in bytes: sled may need this much to finish what it has begun.
pub const RESERVE: u64 = 64 * 1024 * 1024;

/// The size of the page cache where nobody says, in bytes.
const CACHE: u64 = 32 * 1024 * 1024;

/// Bytes free at a path.
pub type FreeSpace = Arc<dyn Fn(&Path) -> u64 + Send + Sync>;

pub struct SledStore {
    path: PathBuf,
    cache: u64,
    free: FreeSpace,
    open: RwLock<Option<Open>>,
    /// One batch at a time: checks and writes must see the same state.
    writer: Mutex<()>,
    group: Mutex<Group>,
    synced: Condvar,
    /// Large values' files that are known to be on the disk.
    blobs: Mutex<BTreeSet<OsString>>,
    /// `None`: who opened this holds it. The last field, for it is let go when the database is closed, and not before.
    _place: Option<Place>,
}

struct Open {
    db: sled::Db,
    trees: Vec<sled::Tree>,
    file: File,
}

impl Drop for SledStore {
    /// sled's own threads may outlive its handle for a moment: who takes the place next must not meet them. Its file's lock
    /// goes with the last of them.
    fn drop(&mut self) {
        let Some(open) = self.open.get_mut().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let Open { db, trees, file } = open;
        drop((db, trees));
        for _ in 0..LINGERS {
            if file.try_lock().is_ok() {
                return;
            }
            linger();
        }
    }
}

/// How often to look whether sled has let go, a millisecond apart.
const LINGERS: u32 = 5000;

#[expect(clippy::disallowed_methods, reason = "sled tells nobody when its last thread is done")]
fn linger() {
    std::thread::sleep(std::time::Duration::from_millis(1));
}

/// Which syncs have begun and ended. A caller needs one that began after it asked.
#[derive(Default)]
struct Group {
    begun: u64,
    ended: u64,
    running: bool,
    /// The last sync that failed, and why: those who waited for it must hear.
    failed: Option<(u64, String)>,
}

impl SledStore {
    /// Opens or makes the database in the folder `path`.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process holds it, [`StoreError::Unreadable`] when it cannot be read.
    pub fn open(path: &Path, free: FreeSpace) -> Result<Self, StoreError> {
        Self::open_with_cache(path, CACHE, free)
    }

    /// The same, with another size of the page cache, in bytes.
    pub fn open_with_cache(path: &Path, cache: u64, free: FreeSpace) -> Result<Self, StoreError> {
        let place = Place::hold(path, &free)?;
        Self::with_place(path, cache, free, Some(place))
    }

    /// The database in a folder whose place the caller holds.
    pub(super) fn inside(path: &Path, free: FreeSpace) -> Result<Self, StoreError> {
        Self::with_place(path, CACHE, free, None)
    }

    fn with_place(path: &Path, cache: u64, free: FreeSpace, place: Option<Place>) -> Result<Self, StoreError> {
        let open = Open::at(path, cache)?;
        Ok(Self {
            path: path.to_owned(),
            cache,
            free,
            open: RwLock::new(Some(open)),
            writer: Mutex::new(()),
            group: Mutex::default(),
            synced: Condvar::new(),
            blobs: Mutex::default(),
            _place: place,
        })
    }

    /// Runs `work` on the open database, opening it anew if a failure closed it.
    fn with<T>(&self, work: impl FnOnce(&Open) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let guard = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = guard.as_ref() {
            return work(open);
        }
        drop(guard);
        self.room()?;
        let mut guard = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            *guard = Some(Open::at(&self.path, self.cache)?);
            tracing::info!("the ledger is open again");
        }
        match guard.as_ref() {
            Some(open) => work(open),
            None => Err(StoreError::Failed("closed".into())),
        }
    }

    fn room(&self) -> Result<(), StoreError> {
        let free = (self.free)(&self.path);
        if free < RESERVE { Err(StoreError::Full { free, reserve: RESERVE }) } else { Ok(()) }
    }

    /// A failed write leaves an open sled unusable: close it; the next caller opens it anew.
    fn close_after(&self, error: &sled::Error) -> StoreError {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
        let full = matches!(error, sled::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull);
        if full {
            StoreError::Full { free: (self.free)(&self.path), reserve: RESERVE }
        } else {
            StoreError::Failed(error.to_string())
        }
    }

    /// sled puts what is larger than a quarter of a segment into files of its own, and syncs none of them.
    fn sync_blobs(&self) -> std::io::Result<()> {
        let folder = self.path.join("blobs");
        let mut known = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut there = BTreeSet::new();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut new = false;
        for entry in entries {
            let entry = entry?;
            if !known.contains(&entry.file_name()) {
                match File::open(entry.path()) {
                    Ok(file) => file.sync_all()?,
                    // Collected meanwhile.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
                new = true;
            }
            there.insert(entry.file_name());
        }
        if new {
            File::open(&folder)?.sync_all()?;
        }
        *known = there;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let outcome = self.with(|open| {
            Ok(match open.db.flush() {
                Ok(_) => self.sync_blobs().and_then(|()| open.file.sync_data()).map_err(sled::Error::Io),
                Err(error) => Err(error),
            })
        })?;
        outcome.map_err(|error| self.close_after(&error))
    }
}

impl Open {
    fn at(path: &Path, cache: u64) -> Result<Self, StoreError> {
        let shown = || path.display().to_string();
        let unreadable = |why: String| StoreError::Unreadable { path: shown(), why };
        let db = sled::Config::new().path(path).cache_capacity(cache).open().map_err(|error| {
            let text = error.to_string();
            // sled says so only in words.
            if text.contains("could not acquire lock") || text.contains("WouldBlock") {
                StoreError::Locked { path: shown() }
            } else {
                unreadable(text)
            }
        })?;
        let trees = Tree::ALL
            .iter()
            .map(|tree| db.open_tree(tree.name()).map_err(|error| unreadable(error.to_string())))
            .collect::<Result<_, _>>()?;
        let file = File::open(path.join("db")).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { db, trees, file })
    }

    fn tree(&self, tree: Tree) -> &sled::Tree {
        &self.trees[tree as usize]
    }
}

fn failed(error: &sled::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl Store for SledStore {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let found = self.with(|open| Ok(open.tree(tree).get(key)))?;
        Ok(found.map_err(|error| self.close_after(&error))?.map(|value| value.to_vec()))
    }

    fn scan(&self, tree: Tree, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        use std::ops::Bound;
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.to_vec()),
            _ => Bound::Included(prefix.to_vec()),
        };
        let rows = self.with(|open| {
            let rows = open.tree(tree).range::<Vec<u8>, _>((from, Bound::Unbounded)).take(limit);
            let ours =
                |row: &sled::Result<_>| row.as_ref().map_or(true, |(key, _): &(sled::IVec, _)| key.starts_with(prefix));
            let both =
                |row: sled::Result<(sled::IVec, sled::IVec)>| row.map(|(key, value)| (key.to_vec(), value.to_vec()));
            Ok(rows.take_while(ours).map(both).collect::<sled::Result<Vec<Row>>>())
        })?;
        rows.map_err(|error| self.close_after(&error))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.room()?;
        let _one_at_a_time = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.with(|open| {
            for (tree, key, expected) in &batch.checks {
                let found = open.tree(*tree).get(key).map_err(|error| failed(&error))?;
                if found.as_deref() != expected.as_deref() {
                    return Err(StoreError::Conflict { tree: *tree });
                }
            }
            let mut per_tree: Vec<(Tree, sled::Batch)> = Vec::new();
            for (tree, key, value) in batch.writes {
                let place = per_tree.iter().position(|(other, _)| *other == tree).unwrap_or_else(|| {
                    per_tree.push((tree, sled::Batch::default()));
                    per_tree.len() - 1
                });
                match value {
                    Some(value) => per_tree[place].1.insert(key, value),
                    None => per_tree[place].1.remove(key),
                }
            }
            let trees: Vec<sled::Tree> = per_tree.iter().map(|(tree, _)| open.tree(*tree).clone()).collect();
            if trees.is_empty() {
                return Ok(Ok(()));
            }
            let done = trees.as_slice().transaction(|trees| {
                for (tree, (_, writes)) in trees.iter().zip(&per_tree) {
                    tree.apply_batch(writes)?;
                }
                Ok::<(), ConflictableTransactionError<()>>(())
            });
            Ok(match done {
                Ok(()) => Ok(()),
                Err(TransactionError::Abort(())) => Err(sled::Error::Unsupported("nothing aborts".into())),
                Err(TransactionError::Storage(error)) => Err(error),
            })
        })?;
        outcome.map_err(|error| self.close_after(&error))
    }

    fn durable(&self) -> Result<(), StoreError> {
        let mut group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        let need = group.begun + 1;
        loop {
            if group.ended >= need {
                return match &group.failed {
                    Some((sync, why)) if *sync >= need => Err(StoreError::Failed(why.clone())),
                    _ => Ok(()),
                };
            }
            if group.running {
                group = self.synced.wait(group).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            group.running = true;
            group.begun += 1;
            let mine = group.begun;
            drop(group);
            let outcome = self.sync();
            group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
            group.running = false;
            group.ended = mine;
            if let Err(error) = &outcome {
                group.failed = Some((mine, error.to_string()));
            }
            self.synced.notify_all();
            return outcome;
        }
    }

    fn size_on_disk(&self) -> u64 {
        self.with(|open| open.db.size_on_disk().map_err(|error| failed(&error))).unwrap_or(0)
    }
}
