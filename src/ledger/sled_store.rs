//! The store on disk: sled 0.34. The only file that names it.
//!
//! Killing the process loses nothing that was applied. Power loss is another matter: on Linux sled's `flush` issues
//! `sync_file_range`, which is no fsync. So [`Store::durable`] is flush and then fdatasync of sled's file,
//! group-committed.
//!
//! sled panics over what it cannot read; such a panic becomes [`StoreError::Unreadable`] or [`StoreError::Damaged`]. What
//! must hold before sled may open a ledger at all is in [`mark`].
//!
//! A full disk poisons an open sled for good. So batches are refused while less than a reserve is free; and should the
//! disk fill up all the same, the database is closed and opened anew once there is room.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};

use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};

use super::mark::{self, Mark};
use super::place::{self, Place};
use super::store::{Batch, Bytes, Row, Store, StoreError, Tree};

/// How much of the disk stays free at the least, in bytes: sled may need this much to finish what it has begun.
pub const RESERVE: u64 = 64 * 1024 * 1024;

/// The size of the page cache where nobody says, in bytes.
const CACHE: u64 = 32 * 1024 * 1024;

/// Bytes free at a path.
pub type FreeSpace = Arc<dyn Fn(&Path) -> u64 + Send + Sync>;

pub struct SledStore {
    path: PathBuf,
    cache: u64,
    free: FreeSpace,
    reserve: AtomicU64,
    open: RwLock<Option<Open>>,
    /// The mark's file, and the number of the last sync.
    marked: Mutex<(File, u64)>,
    /// Something was written since the last sync began.
    unsynced: AtomicBool,
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
    /// Closes in order, if nothing has gone wrong.
    fn drop(&mut self) {
        if self.open.get_mut().unwrap_or_else(PoisonError::into_inner).is_none() {
            return;
        }
        let synced = !self.unsynced.load(Ordering::Acquire) || self.sync().is_ok();
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(file) = open.and_then(Open::close).filter(|_| synced) else { return };
        let (to, epoch) = &*self.marked.get_mut().unwrap_or_else(PoisonError::into_inner);
        let marked = file.metadata().and_then(|meta| {
            let sum = mark::sum(&self.path, true)?;
            Mark { epoch: *epoch, length: meta.len(), sum: Some(sum) }.write(to)?;
            to.sync_all()
        });
        if let Err(error) = marked {
            tracing::debug!(%error, "the ledger's mark could not be written");
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
        let unreadable = |why: String| StoreError::Unreadable { path: path.display().to_string(), why };
        let known = Mark::read(path);
        if let Some(known) = known {
            inspect(path, known).map_err(unreadable)?;
        }
        let open = Open::at(path, cache)?;
        let epoch = match (open.epoch(), known) {
            (Ok(epoch), Some(known)) if epoch < known.epoch => Err(lost(known.epoch, epoch)),
            (epoch, _) => epoch.map_err(|error| error.to_string()),
        };
        let epoch = match epoch {
            Ok(epoch) => epoch,
            Err(why) => {
                open.close();
                return Err(unreadable(why));
            }
        };
        let file = mark::file(path).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            cache,
            free,
            reserve: RESERVE.into(),
            open: RwLock::new(Some(open)),
            marked: Mutex::new((file, epoch)),
            unsynced: AtomicBool::new(false),
            writer: Mutex::new(()),
            group: Mutex::default(),
            synced: Condvar::new(),
            blobs: Mutex::default(),
            _place: place,
        })
    }

    /// Runs `work` on the open database, opening it anew if a failure closed it.
    fn with<T>(&self, work: impl FnOnce(&Open) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let calm = |open: &Open| calmly(|| work(open)).unwrap_or_else(|why| Err(self.damaged(why)));
        let guard = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = guard.as_ref() {
            return calm(open);
        }
        drop(guard);
        self.room()?;
        let mut guard = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            *guard = Some(Open::at(&self.path, self.cache)?);
            tracing::info!("the ledger is open again");
        }
        match guard.as_ref() {
            Some(open) => calm(open),
            None => Err(StoreError::Failed("closed".into())),
        }
    }

    fn damaged(&self, why: String) -> StoreError {
        StoreError::Damaged { path: self.path.display().to_string(), why }
    }

    fn room(&self) -> Result<(), StoreError> {
        let free = (self.free)(&self.path);
        let reserve = self.kept_free();
        if free < reserve { Err(StoreError::Full { free, reserve }) } else { Ok(()) }
    }

    /// A failed write leaves an open sled unusable: close it; the next caller opens it anew.
    fn close_after(&self, error: &sled::Error) -> StoreError {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
        let full = matches!(error, sled::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull);
        if full {
            StoreError::Full { free: (self.free)(&self.path), reserve: self.kept_free() }
        } else if matches!(error, sled::Error::Corruption { .. } | sled::Error::ReportableBug(_)) {
            self.damaged(error.to_string())
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
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        // Without room nothing new can have been written, and sled must not write either.
        let news = self.room().is_ok() && self.unsynced.swap(false, Ordering::AcqRel);
        let epoch = marked.1 + u64::from(news);
        let outcome = self.with(|open| {
            let noted = if news { open.set_epoch(epoch) } else { Ok(()) };
            Ok(match noted.and_then(|()| open.db.flush()) {
                Ok(_) => self.sync_blobs().and_then(|()| open.file.sync_data()).map_err(sled::Error::Io),
                Err(error) => Err(error),
            })
        })?;
        outcome.map_err(|error| self.close_after(&error))?;
        marked.1 = epoch;
        // It only ever refuses what has lost something: one that could not be written does no harm.
        if let Ok(length) = std::fs::metadata(self.path.join("db")).map(|file| file.len())
            && let Err(error) = (Mark { epoch, length, sum: None }).write(&marked.0)
        {
            tracing::debug!(%error, "the ledger's mark could not be written");
        }
        Ok(())
    }
}

/// What must hold before sled may open a ledger that has a mark; in words, what does not.
fn inspect(path: &Path, known: Mark) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    if let Some(sum) = known.sum {
        if mark::sum(path, false).map_err(told)? != sum {
            return Err("its files are not as they were left: a damaged disk, or something changed or cut them".into());
        }
        let file = mark::file(path).map_err(told)?;
        return Mark { sum: None, ..known }.write(&file).and_then(|()| file.sync_all()).map_err(told);
    }
    let length = std::fs::metadata(path.join("db")).map_err(told)?.len();
    if length >= known.length {
        return Ok(());
    }
    let copy = place::beside(path, "checking");
    let checked = mark::copy(path, &copy).map_err(told).and_then(|()| whole(&copy, known));
    let removed = place::remove(&copy).map_err(|error| error.to_string());
    checked.map_err(|why| format!("its file was cut from {} to {length} bytes: {why}", known.length)).and(removed)
}

/// Whether every row can be read, and the last sync is there.
fn whole(folder: &Path, known: Mark) -> Result<(), String> {
    let open = Open::at(folder, CACHE).map_err(|error| error.to_string())?;
    let epoch = open.epoch();
    let read = || open.trees.iter().try_for_each(|tree| tree.iter().try_for_each(|row| row.map(|_| ())));
    let rows = calmly(read);
    open.close();
    match epoch.map_err(|error| error.to_string())? {
        epoch if epoch < known.epoch => Err(lost(known.epoch, epoch)),
        _ => rows?.map_err(|error| error.to_string()),
    }
}

fn lost(known: u64, found: u64) -> String {
    format!("of {known} syncs it holds only {found}: its end was lost")
}

/// What sled panics over, as an error.
fn calmly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it says nothing more");
        format!("the store gave up: {text}")
    })
}

impl Open {
    fn at(path: &Path, cache: u64) -> Result<Self, StoreError> {
        let shown = || path.display().to_string();
        let unreadable = |why: String| StoreError::Unreadable { path: shown(), why };
        let opened = calmly(|| sled::Config::new().path(path).cache_capacity(cache).open()).map_err(unreadable)?;
        let db = opened.map_err(|error| {
            let text = error.to_string();
            // sled says so only in words.
            if text.contains("could not acquire lock") || text.contains("WouldBlock") {
                StoreError::Locked { path: shown() }
            } else {
                unreadable(text)
            }
        })?;
        let trees = calmly(|| Tree::ALL.iter().map(|tree| db.open_tree(tree.name())).collect::<sled::Result<_>>())
            .map_err(unreadable)?
            .map_err(|error| unreadable(error.to_string()))?;
        let file = File::open(path.join("db")).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { db, trees, file })
    }

    /// sled's own threads may outlive its handle for a moment, and who comes next must not meet them: its file's lock goes
    /// with the last of them. Returns the file, unless sled would not let go.
    fn close(self) -> Option<File> {
        let Self { db, trees, file } = self;
        let closed = calmly(|| drop((trees, db))).is_ok();
        for _ in 0..LINGERS {
            if file.try_lock().is_ok() {
                return Some(file).filter(|_| closed);
            }
            linger();
        }
        None
    }

    /// The number of the last sync, beside the rows.
    fn epoch(&self) -> Result<u64, StoreError> {
        let read = || self.db.open_tree(EPOCH)?.get(EPOCH);
        let found = calmly(read).map_err(StoreError::Failed)?.map_err(|error| failed(&error))?;
        Ok(found.and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?))).unwrap_or(0))
    }

    fn set_epoch(&self, epoch: u64) -> sled::Result<()> {
        self.db.open_tree(EPOCH)?.insert(EPOCH, &epoch.to_be_bytes()).map(|_| ())
    }

    fn tree(&self, tree: Tree) -> &sled::Tree {
        &self.trees[tree as usize]
    }
}

/// No tree of the ledger's: it is in no export.
const EPOCH: &str = "epoch";

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
        self.unsynced.store(true, Ordering::Release);
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

    fn has_room(&self) -> Result<(), StoreError> {
        self.room()
    }

    fn keep_free(&self, bytes: u64) {
        self.reserve.store(bytes.max(RESERVE), Ordering::Relaxed);
    }

    fn kept_free(&self) -> u64 {
        self.reserve.load(Ordering::Relaxed)
    }

    fn size_on_disk(&self) -> u64 {
        self.with(|open| open.db.size_on_disk().map_err(|error| failed(&error))).unwrap_or(0)
    }
}
