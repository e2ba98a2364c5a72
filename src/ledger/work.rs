//! Queued work: one slot per lane and item, ordered by rank and then by when it is due.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

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
