//! The ledger: what is true, what both sides agreed on, and what is left to do. The only room that names the store.
//!
//! Laws:
//! - A room changes the ledger in one [`Tx`]: its result, the work that is done with, and the work that follows.
//! - What a transaction read must still be so when it commits; else it runs again.
//! - A stream's position moves in the same transaction that takes in what was read.
//! - Nothing is acknowledged before [`Ledger::durable`] returned.
//! - Entities are never made up: a link without its entity, or an inverse that disagrees, is corruption
//!   ([`verify`] looks for it).

mod judged;
mod keys;
mod look;
mod mark;
mod memory_store;
mod migrate;
mod place;
pub mod portable;
mod raw;
mod records;
mod sled_store;
mod store;
#[cfg(test)]
mod tests;
mod tx;
mod usage;
mod verify;
mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::Notify;

pub use judged::{Answer, Packed, Proposal, ProposalState, Proposed, Review, Spent, Standing, Triaged, Waits};
pub use memory_store::{MemoryStore, Overlay};
pub use place::stands;
pub use records::{
    Base, Condition, Dead, Doubt, DoubtState, Effect, Entry, FieldBase, GENERATIONS, Input, Known, Letter, Link,
    LinkState, MessageState, Outgoing, Position, Question, Seen, StoredEntity, Via, Waiting, Was, What,
};
pub use sled_store::{FreeSpace, RESERVE, SledStore};
pub use store::{Batch, Row, Store, StoreError, Tree};
pub use tx::Tx;
pub use usage::{Cell, Counts, EXACT, Expiry, FEATURES, Holder, OTHER, PEOPLE, People, Span, Tally, USAGE};
pub use verify::{Broken, verify};
pub use work::{Claim, Slot, When, fetch_item, read_fetch_item};

use crate::schema::{Entity, EntityId};

/// The lane of inputs.
pub const NORMALIZE: &str = "normalize";
/// The lane of feedback that a model should look at.
pub const ENRICH: &str = "enrich";
/// The lane of feedback to be judged.
pub const TRIAGE: &str = "triage";

/// Records to read one by one.
pub fn fetch_lane(connection: &str) -> String {
    format!("fetch/{connection}")
}
/// No work is queued there; it is nudged when a stream should be read now.
pub fn poll_lane(connection: &str) -> String {
    format!("poll/{connection}")
}
/// Records to bring in step with their entity.
pub fn sync_lane(connection: &str) -> String {
    format!("sync/{connection}")
}
/// Messages to send.
pub fn close_lane(connection: &str) -> String {
    format!("close/{connection}")
}

#[derive(Debug, Error)]
pub enum LedgerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The page was read after another position than the stream has now: it would lose or repeat what lies between.
    #[error("stale cursor: stream {stream} of {connection} has moved on")]
    StaleCursor { connection: String, stream: String },
    #[error("a row of {tree} is not what this version writes: {why}")]
    Corrupt { tree: &'static str, why: String },
    #[error("a bug: {0}")]
    Bug(String),
}

/// An input, or the bytes of a row that is none.
pub type Taken = Result<Input, Vec<u8>>;

/// Where a crash test may end the process. In production nothing listens.
pub trait Probe: Send + Sync {
    fn at(&self, point: &'static str);
}

/// Nobody is watching.
pub struct NoProbe;
impl Probe for NoProbe {
    fn at(&self, _point: &'static str) {}
}

/// Numbers that never come twice, also not after a crash: a block of them is reserved before any is used.
struct Sequence {
    store: Arc<dyn Store>,
    next: AtomicU64,
    reserved: AtomicU64,
    reserving: Mutex<()>,
}

const BLOCK: u64 = 100_000;
const SEQUENCE: &str = "sequence";

impl Sequence {
    fn open(store: Arc<dyn Store>) -> Result<Self, LedgerError> {
        let start = match store.get(Tree::Meta, &keys::texts(&[SEQUENCE]))? {
            Some(bytes) => decode(Tree::Meta, &bytes)?,
            None => 1,
        };
        // The first number reserves the first block: who only looks writes nothing, also where the disk is full.
        Ok(Self { store, next: start.into(), reserved: start.into(), reserving: Mutex::default() })
    }

    fn next(&self) -> Result<u64, LedgerError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.reserved.load(Ordering::Acquire) {
            self.reserve(number)?;
        }
        Ok(number)
    }

    fn reserve(&self, number: u64) -> Result<(), LedgerError> {
        let _one = self.reserving.lock().unwrap_or_else(PoisonError::into_inner);
        while self.reserved.load(Ordering::Acquire) <= number {
            let upto = self.reserved.load(Ordering::Acquire) + BLOCK;
            let write = (Tree::Meta, keys::texts(&[SEQUENCE]), Some(encode(&upto)?));
            self.store.apply(Batch { checks: Vec::new(), writes: vec![write] })?;
            self.reserved.store(upto, Ordering::Release);
        }
        Ok(())
    }
}

/// The ledger. Cheap to clone; calls may block for a disk write, so rooms run off the async threads.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    sequence: Sequence,
    probe: Arc<dyn Probe>,
    nudges: Mutex<BTreeMap<String, Arc<Notify>>>,
}

impl Ledger {
    /// The ledger in a folder; made if there is none, migrated if it is older.
    ///
    /// # Errors
    /// In use by another process, unreadable, or written by a newer loopd: then it is left untouched.
    pub fn open(path: &Path, free: FreeSpace, probe: Arc<dyn Probe>) -> Result<Self, LedgerError> {
        Self::over(Arc::new(SledStore::open(path, free)?), probe)
    }

    /// The same, with a page cache of `cache` bytes.
    pub fn open_with_cache(
        path: &Path,
        cache: u64,
        free: FreeSpace,
        probe: Arc<dyn Probe>,
    ) -> Result<Self, LedgerError> {
        Self::over(Arc::new(SledStore::open_with_cache(path, cache, free)?), probe)
    }

    /// A ledger over any store.
    pub fn over(store: Arc<dyn Store>, probe: Arc<dyn Probe>) -> Result<Self, LedgerError> {
        migrate::migrate(&*store)?;
        let sequence = Sequence::open(store.clone())?;
        Ok(Self { shared: Arc::new(Shared { store, sequence, probe, nudges: Mutex::default() }) })
    }

    /// A ledger that sees this one and keeps its own changes to itself.
    pub fn overlay(&self) -> Result<Self, LedgerError> {
        Self::over(Arc::new(Overlay::new(self.shared.store.clone())), Arc::new(NoProbe))
    }

    /// Runs `work` until what it read is still true when it commits.
    pub fn transact<T>(&self, mut work: impl FnMut(&mut Tx<'_>) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        const TRIES: u32 = 64;
        for _ in 0..TRIES {
            let mut tx = Tx::new(&*self.shared.store, &self.shared.sequence);
            let result = work(&mut tx)?;
            let (batch, nudges) = tx.into_batch();
            if batch.writes.is_empty() {
                return Ok(result);
            }
            self.shared.probe.at("commit.before");
            match self.shared.store.apply(batch) {
                Ok(()) => {
                    self.shared.probe.at("commit.after");
                    for lane in nudges {
                        self.nudge(&lane);
                    }
                    return Ok(result);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(LedgerError::Bug(format!("a transaction conflicted {TRIES} times")))
    }

    /// Returns when all that was committed before the call survives a power loss.
    pub fn durable(&self) -> Result<(), LedgerError> {
        self.shared.store.durable()?;
        self.shared.probe.at("durable.after");
        Ok(())
    }

    pub fn size_on_disk(&self) -> u64 {
        self.shared.store.size_on_disk()
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    // Nudges

    /// Wakes whoever waits for this lane.
    pub fn nudge(&self, lane: &str) {
        self.nudged(lane).notify_one();
    }

    /// What a lane's room waits on. A nudge only shortens a wait; nothing depends on it.
    pub fn nudged(&self, lane: &str) -> Arc<Notify> {
        let mut nudges = self.shared.nudges.lock().unwrap_or_else(PoisonError::into_inner);
        nudges.entry(lane.to_owned()).or_default().clone()
    }

    /// Ends the retention of raw inputs and, where `log_before` says so, of audit lines: they go. A part whose parent has
    /// not come in that time becomes a dead letter. At most `limit` rows a call; returns how many.
    pub fn retire(
        &self,
        now: DateTime<Utc>,
        raw_before: DateTime<Utc>,
        log_before: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<usize, LedgerError> {
        // Found here, and judged again where they go: a row may be written anew meanwhile.
        let is_over = |tree: Tree, value: &[u8]| match tree {
            Tree::Raw => raw::seen_at(value).is_none_or(|at| at < raw_before.timestamp_millis()),
            Tree::Parked => decode::<Input>(tree, value).map_or(true, |input| input.seen_at < raw_before),
            _ => decode::<Entry>(tree, value).is_ok_and(|entry| log_before.is_some_and(|before| entry.at < before)),
        };
        let mut over = Vec::new();
        for tree in [Some(Tree::Raw), Some(Tree::Parked), log_before.map(|_| Tree::Log)].into_iter().flatten() {
            self.each(tree, &[], |key, value| {
                if over.len() < limit && is_over(tree, value) {
                    over.push((tree, key.to_vec()));
                }
                Ok(over.len() < limit)
            })?;
        }
        let mut gone = 0;
        for piece in over.chunks(64) {
            gone += self.transact(|tx| {
                let mut gone = 0;
                for (tree, key) in piece {
                    gone += usize::from(tx.retire(*tree, key.clone(), |value| is_over(*tree, value), now)?);
                }
                Ok(gone)
            })?;
        }
        Ok(gone)
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, LedgerError> {
    serde_json::to_vec(value).map_err(|error| LedgerError::Bug(error.to_string()))
}

fn decode<T: DeserializeOwned>(tree: Tree, bytes: &[u8]) -> Result<T, LedgerError> {
    serde_json::from_slice(bytes).map_err(|error| LedgerError::Corrupt {
        tree: tree.name(),
        why: format!("{:?} at column {}", error.classify(), error.column()),
    })
}

fn entity_from(id: EntityId, stored: StoredEntity) -> Result<Entity, LedgerError> {
    Entity::from_value(id, stored.kind, stored.body)
        .map_err(|error| LedgerError::Corrupt { tree: "entities", why: format!("{id}: {error}") })
}

/// A digest of any value, stable across runs.
pub fn digest<T: Serialize>(value: &T) -> Result<u64, LedgerError> {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(encode(value)?);
    let (first, _) = hash.split_first_chunk::<8>().ok_or_else(|| LedgerError::Bug("a short hash".into()))?;
    Ok(u64::from_be_bytes(*first))
}
