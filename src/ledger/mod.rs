//! The ledger: what is true, what both sides agreed on, and what is left to do. The only room that names the store.
//!
//! Laws:
//! - A room changes the ledger in one [`Tx`]: its result, the work that is done with, and the work that follows.
//! - What a transaction read must still be so when it commits; else it runs again.
//! - A stream's position moves in the same transaction that takes in what was read.
//! - Nothing is acknowledged before [`Ledger::durable`] returned.
//! - Entities are never made up: a link without its entity, or an inverse that disagrees, is corruption
//!   ([`verify`] looks for it).

mod keys;
mod memory_store;
mod migrate;
pub mod portable;
mod raw;
mod records;
mod sled_store;
mod store;
#[cfg(test)]
mod tests;
mod tx;
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

pub use memory_store::{MemoryStore, Overlay};
pub use records::{
    Base, Condition, Dead, Effect, Entry, FieldBase, Input, Letter, Link, LinkState, MessageState, Outgoing, Position,
    Question, Seen, StoredEntity, Via, Waiting, Was, What,
};
pub use sled_store::{FreeSpace, RESERVE, SledStore};
pub use store::{Batch, Row, Store, StoreError, Tree};
pub use tx::Tx;
pub use verify::{Broken, verify};
pub use work::{Claim, Slot, When};

use crate::schema::{Alias, Entity, EntityId, EntityKind};

/// The lane of inputs.
pub const NORMALIZE: &str = "normalize";
/// The lane of feedback that a model should look at.
pub const ENRICH: &str = "enrich";

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

impl LedgerError {
    /// The disk is full, or the store is closed for a moment: worth another try.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Store(StoreError::Full { .. } | StoreError::Failed(_) | StoreError::Conflict { .. }))
    }
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
        let sequence = Self { store, next: start.into(), reserved: start.into(), reserving: Mutex::default() };
        sequence.reserve(start)?;
        Ok(sequence)
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

    // Reads outside a transaction: for looking, not for deciding.

    fn get<T: DeserializeOwned>(&self, tree: Tree, key: &[u8]) -> Result<Option<T>, LedgerError> {
        self.shared.store.get(tree, key)?.map(|bytes| decode(tree, &bytes)).transpose()
    }

    /// All rows below a prefix, a page at a time, until `see` says stop.
    fn each(
        &self,
        tree: Tree,
        prefix: &[u8],
        mut see: impl FnMut(&[u8], &[u8]) -> Result<bool, LedgerError>,
    ) -> Result<(), LedgerError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self.shared.store.scan(tree, prefix, after.as_deref(), 256)?;
            let full = rows.len() == 256;
            for (key, value) in &rows {
                if !see(key, value)? {
                    return Ok(());
                }
            }
            match rows.into_iter().next_back() {
                Some((key, _)) if full => after = Some(key),
                _ => return Ok(()),
            }
        }
    }

    pub fn entity(&self, id: EntityId) -> Result<Option<Entity>, LedgerError> {
        let stored: Option<StoredEntity> = self.get(Tree::Entities, id.as_bytes())?;
        stored.map(|stored| entity_from(id, stored)).transpose()
    }

    /// Every entity, in no meaningful order.
    pub fn each_entity(&self, mut see: impl FnMut(Entity) -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        self.each(Tree::Entities, &[], |key, value| {
            let Some((id, _)) = keys::read_entity(key) else { return Ok(true) };
            see(entity_from(id, decode(Tree::Entities, value)?)?)?;
            Ok(true)
        })
    }

    /// The ids of every entity of a kind.
    pub fn ids(&self, kind: EntityKind) -> Result<Vec<EntityId>, LedgerError> {
        let mut ids = Vec::new();
        self.each_entity(|entity| {
            if entity.kind() == kind {
                ids.push(entity.id);
            }
            Ok(())
        })?;
        Ok(ids)
    }

    /// The links of an entity: (connection, collection, link).
    pub fn links(&self, entity: EntityId) -> Result<Vec<(String, String, Link)>, LedgerError> {
        let mut links = Vec::new();
        self.each(Tree::Links, entity.as_bytes(), |key, value| {
            if let Some([connection, collection]) = key.get(16..).and_then(keys::read_texts).as_deref() {
                links.push((connection.clone(), collection.clone(), decode(Tree::Links, value)?));
            }
            Ok(true)
        })?;
        Ok(links)
    }

    pub fn link(&self, entity: EntityId, connection: &str, collection: &str) -> Result<Option<Link>, LedgerError> {
        self.get(Tree::Links, &keys::entity(entity, &[connection, collection]))
    }

    pub fn base(&self, entity: EntityId, connection: &str, collection: &str) -> Result<Option<Base>, LedgerError> {
        self.get(Tree::Bases, &keys::entity(entity, &[connection, collection]))
    }

    /// The outside records linked in a collection: (outside id, entity).
    pub fn each_linked(
        &self,
        connection: &str,
        collection: &str,
        mut see: impl FnMut(String, EntityId) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        self.each(Tree::Linked, &keys::texts(&[connection, collection]), |key, value| {
            if let Some([_, _, id]) = keys::read_texts(key).as_deref() {
                see(id.clone(), decode(Tree::Linked, value)?)?;
            }
            Ok(true)
        })
    }

    pub fn linked(&self, connection: &str, collection: &str, id: &str) -> Result<Option<EntityId>, LedgerError> {
        self.get(Tree::Linked, &keys::texts(&[connection, collection, id]))
    }

    /// Who names this entity.
    pub fn referrers(&self, entity: EntityId) -> Result<Vec<EntityId>, LedgerError> {
        let mut ids = Vec::new();
        self.each(Tree::Refs, entity.as_bytes(), |key, _| {
            ids.extend(key.get(16..).and_then(keys::read_entity).map(|(id, _)| id));
            Ok(true)
        })?;
        Ok(ids)
    }

    /// The feedback that waits for a customer of this name.
    pub fn waiting(&self, alias: &Alias) -> Result<Vec<EntityId>, LedgerError> {
        let prefix = keys::texts(&[&alias.to_string()]);
        let mut ids = Vec::new();
        self.each(Tree::Waiting, &prefix, |key, _| {
            ids.extend(keys::read_entity(&key[prefix.len()..]).map(|(id, _)| id));
            Ok(true)
        })?;
        Ok(ids)
    }

    /// Parts that wait for this parent.
    pub fn parked(&self, connection: &str, parent: &connectors::Key) -> Result<Vec<Input>, LedgerError> {
        let mut inputs = Vec::new();
        self.each(Tree::Parked, &keys::texts(&[connection, &parent.collection, &parent.id]), |_, value| {
            inputs.push(decode(Tree::Parked, value)?);
            Ok(true)
        })?;
        Ok(inputs)
    }

    /// The oldest inputs. A row that cannot be read comes as its bytes.
    pub fn inbox(&self, limit: usize) -> Result<Vec<(u64, Taken)>, LedgerError> {
        let rows = self.shared.store.scan(Tree::Inbox, &[], None, limit)?;
        Ok(rows
            .into_iter()
            .map(|(key, value)| {
                let number = key.try_into().map(u64::from_be_bytes).unwrap_or_default();
                (number, decode(Tree::Inbox, &value).map_err(|_| value))
            })
            .collect())
    }

    /// What is due on a lane, best first.
    pub fn due(&self, lane: &str, ranks: u8, now: DateTime<Utc>, limit: usize) -> Result<Vec<Claim>, LedgerError> {
        let mut claims = Vec::new();
        for rank in 0..ranks {
            let prefix = keys::due_prefix(lane, rank);
            for (key, _) in self.shared.store.scan(Tree::Due, &prefix, None, limit - claims.len())? {
                let Some((at, item)) = keys::read_due(&key, &prefix) else { continue };
                if at > now.timestamp_millis() {
                    break;
                }
                if let Some(slot) = self.get(Tree::Work, &keys::work(lane, item))? {
                    claims.push(Claim { item: item.to_vec(), slot });
                }
            }
            if claims.len() >= limit {
                break;
            }
        }
        Ok(claims)
    }

    /// When the next work of a lane is due; `None` when there is none.
    pub fn next_due(&self, lane: &str, ranks: u8) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let mut next: Option<i64> = None;
        for rank in 0..ranks {
            let prefix = keys::due_prefix(lane, rank);
            if let Some((key, _)) = self.shared.store.scan(Tree::Due, &prefix, None, 1)?.into_iter().next()
                && let Some((at, _)) = keys::read_due(&key, &prefix)
            {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        Ok(next.and_then(DateTime::from_timestamp_millis))
    }

    /// How much is queued: (lane, items, oldest). Walks the queues; for people, not for rooms.
    pub fn queues(&self) -> Result<BTreeMap<String, (usize, DateTime<Utc>)>, LedgerError> {
        let mut queues: BTreeMap<String, (usize, DateTime<Utc>)> = BTreeMap::new();
        self.each(Tree::Work, &[], |key, value| {
            let slot: Slot = decode(Tree::Work, value)?;
            let Some((lane, _)) = keys::read_first_text(key) else { return Ok(true) };
            let queue = queues.entry(lane).or_insert((0, slot.since));
            *queue = (queue.0 + 1, queue.1.min(slot.since));
            Ok(true)
        })?;
        Ok(queues)
    }

    /// How many rows a tree has. Walks it.
    pub fn count(&self, tree: Tree) -> Result<usize, LedgerError> {
        let mut count = 0;
        self.each(tree, &[], |_, _| {
            count += 1;
            Ok(true)
        })?;
        Ok(count)
    }

    pub fn position(&self, connection: &str, stream: &str) -> Result<Position, LedgerError> {
        Ok(self.get(Tree::Cursors, &keys::texts(&[connection, stream]))?.unwrap_or_default())
    }

    pub fn positions(&self) -> Result<Vec<(String, String, Position)>, LedgerError> {
        self.named(Tree::Cursors)
    }

    pub fn conditions(&self) -> Result<Vec<(String, String, Condition)>, LedgerError> {
        self.named(Tree::Conditions)
    }

    fn named<T: DeserializeOwned>(&self, tree: Tree) -> Result<Vec<(String, String, T)>, LedgerError> {
        let mut found = Vec::new();
        self.each(tree, &[], |key, value| {
            if let Some([a, b]) = keys::read_texts(key).as_deref() {
                found.push((a.clone(), b.clone(), decode(tree, value)?));
            }
            Ok(true)
        })?;
        Ok(found)
    }

    pub fn condition(&self, connection: &str, name: &str) -> Result<Option<Condition>, LedgerError> {
        self.get(Tree::Conditions, &keys::texts(&[connection, name]))
    }

    pub fn binding(&self, connection: &str) -> Result<Option<serde_json::Value>, LedgerError> {
        self.get(Tree::Bindings, &keys::texts(&[connection]))
    }

    pub fn slot(&self, lane: &str, item: &[u8]) -> Result<Option<Slot>, LedgerError> {
        self.get(Tree::Work, &keys::work(lane, item))
    }

    pub fn effect(&self, entity: EntityId, connection: &str, collection: &str) -> Result<Option<Effect>, LedgerError> {
        self.get(Tree::Effects, &keys::entity(entity, &[connection, collection]))
    }

    pub fn history(&self, entity: EntityId) -> Result<Vec<Entry>, LedgerError> {
        let mut entries = Vec::new();
        self.each(Tree::Log, entity.as_bytes(), |_, value| {
            entries.push(decode(Tree::Log, value)?);
            Ok(true)
        })?;
        Ok(entries)
    }

    pub fn dead(&self) -> Result<Vec<(u64, Dead)>, LedgerError> {
        let mut letters = Vec::new();
        self.each(Tree::Dead, &[], |key, value| {
            if let Ok(number) = key.try_into().map(u64::from_be_bytes) {
                letters.push((number, decode(Tree::Dead, value)?));
            }
            Ok(true)
        })?;
        Ok(letters)
    }

    pub fn messages(&self) -> Result<Vec<(String, Outgoing)>, LedgerError> {
        let mut messages = Vec::new();
        self.each(Tree::Messages, &[], |key, value| {
            if let Some([id]) = keys::read_texts(key).as_deref() {
                messages.push((id.clone(), decode(Tree::Messages, value)?));
            }
            Ok(true)
        })?;
        Ok(messages)
    }

    pub fn message(&self, id: &str) -> Result<Option<Outgoing>, LedgerError> {
        self.get(Tree::Messages, &keys::texts(&[id]))
    }

    pub fn questions(&self) -> Result<Vec<Question>, LedgerError> {
        let mut questions = Vec::new();
        self.each(Tree::Review, &[], |_, value| {
            questions.push(decode(Tree::Review, value)?);
            Ok(true)
        })?;
        Ok(questions)
    }

    /// What a vendor last said of a record, where it is still kept.
    pub fn raw(&self, connection: &str, collection: &str, id: &str) -> Result<Option<Input>, LedgerError> {
        let packed = self.shared.store.get(Tree::Raw, &keys::texts(&[connection, collection, id]))?;
        packed.map(|packed| raw::unpack(&packed)).transpose()
    }

    /// Every raw record that is kept.
    pub fn each_raw(&self, mut see: impl FnMut(Input) -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        self.each(Tree::Raw, &[], |_, value| {
            see(raw::unpack(value)?)?;
            Ok(true)
        })
    }

    /// Forgets raw inputs (and, where `log_before` says so, audit lines) that are older than their retention; at most
    /// `limit` rows a call. Returns how many went.
    pub fn retire(
        &self,
        raw_before: DateTime<Utc>,
        log_before: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<usize, LedgerError> {
        let mut writes = Vec::new();
        self.each(Tree::Raw, &[], |key, value| {
            if raw::unpack(value).map_or(true, |input| input.seen_at < raw_before) {
                writes.push((Tree::Raw, key.to_vec(), None));
            }
            Ok(writes.len() < limit)
        })?;
        if let Some(before) = log_before {
            self.each(Tree::Log, &[], |key, value| {
                if decode::<Entry>(Tree::Log, value).is_ok_and(|entry| entry.at < before) {
                    writes.push((Tree::Log, key.to_vec(), None));
                }
                Ok(writes.len() < limit)
            })?;
        }
        let gone = writes.len();
        if gone > 0 {
            self.shared.store.apply(Batch { checks: Vec::new(), writes })?;
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
