//! Queued work: one slot per lane and item, ordered by rank and then by when it is due.

use chrono::{DateTime, TimeDelta, Utc};
use connectors::Key;
use serde::{Deserialize, Serialize};

use super::store::Tree;
use super::tx::Tx;
use super::{LedgerError, keys};

/// What is known of a queued item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Lower goes first.
    pub rank: u8,
    pub due: DateTime<Utc>,
    /// When it was first queued, for settling and for "how old is the oldest".
    pub since: DateTime<Utc>,
    /// Changes whenever the item is queued again.
    pub stamp: u64,
    /// How often it was tried.
    #[serde(default)]
    pub tries: u32,
    /// How often the batch it was in has been halved, looking for the row that spoils it.
    #[serde(default)]
    pub split: u8,
}

/// When queued work should be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Now,
    /// After this long without another change, so that half-typed values do not travel.
    Settled(TimeDelta),
    At(DateTime<Utc>),
}

/// An item of work, as found in its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub item: Vec<u8>,
    pub slot: Slot,
}

/// A record to fetch, as an item of a fetch lane.
pub fn fetch_item(key: &Key) -> Vec<u8> {
    // A collection's name never holds a line break.
    format!("{}\n{}", key.collection, key.id).into_bytes()
}

pub fn read_fetch_item(item: &[u8]) -> Option<Key> {
    let (collection, id) = std::str::from_utf8(item).ok()?.split_once('\n')?;
    Some(Key::new(collection, id))
}

impl Tx<'_> {
    pub fn slot(&mut self, lane: &str, item: &[u8]) -> Result<Option<Slot>, LedgerError> {
        self.read(Tree::Work, keys::work(lane, item))
    }

    /// Queues work on an item. One slot an item: what is queued already is not queued twice, but marked as changed, so
    /// that work in progress does not count as done.
    pub fn queue(
        &mut self,
        lane: &str,
        rank: u8,
        item: &[u8],
        when: When,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let before = self.slot(lane, item)?;
        let stamp = self.sequence.next()?;
        let mut slot = before.clone().unwrap_or(Slot { rank, due: now, since: now, stamp, tries: 0, split: 0 });
        slot.stamp = stamp;
        slot.rank = slot.rank.min(rank);
        slot.due = match (when, &before) {
            (When::Now, None) => now,
            // Work that failed waits out its delay; other work comes forward.
            (When::Now, Some(before)) if before.tries > 0 => before.due,
            (When::Now, Some(before)) => before.due.min(now),
            (When::Settled(settle), None) => now + settle,
            // What is due is not held up (a new customer's row by each piece of their feedback).
            (When::Settled(_), Some(before)) if before.due <= now && before.tries == 0 => before.due,
            // Each further change waits anew, but not for ever.
            (When::Settled(settle), Some(before)) => {
                (now + settle).min(before.since + settle * 6).max(before.due.min(now + settle))
            }
            (When::At(at), _) => at,
        };
        self.place(lane, item, before.as_ref(), &slot)
    }

    /// Puts work that was tried back, for later.
    pub fn requeue(&mut self, lane: &str, item: &[u8], change: impl FnOnce(&mut Slot)) -> Result<(), LedgerError> {
        let Some(before) = self.slot(lane, item)? else { return Ok(()) };
        let mut slot = before.clone();
        change(&mut slot);
        self.place(lane, item, Some(&before), &slot)
    }

    fn place(&mut self, lane: &str, item: &[u8], before: Option<&Slot>, slot: &Slot) -> Result<(), LedgerError> {
        if let Some(before) = before {
            self.remove(Tree::Due, keys::due(lane, before.rank, before.due, item));
        }
        self.write(Tree::Due, keys::due(lane, slot.rank, slot.due, item), &())?;
        self.write(Tree::Work, keys::work(lane, item), slot)?;
        // Records are fetched by the room that polls.
        self.nudges.insert(lane.strip_prefix("fetch/").map_or_else(|| lane.to_owned(), super::poll_lane));
        Ok(())
    }

    /// The work is done, unless it was queued again since `stamp`.
    pub fn finish(&mut self, lane: &str, item: &[u8], stamp: u64, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let Some(slot) = self.slot(lane, item)? else { return Ok(()) };
        if slot.stamp == stamp {
            self.remove(Tree::Due, keys::due(lane, slot.rank, slot.due, item));
            self.remove(Tree::Work, keys::work(lane, item));
            return Ok(());
        }
        // Changed meanwhile: it stays queued, as fresh work.
        let fresh = Slot { tries: 0, split: 0, since: now, ..slot.clone() };
        self.place(lane, item, Some(&slot), &fresh)
    }
}
