//! Webhooks on their way: queued by due time, with the faults of the way.
//!
//! Drop, double, hold back and delay are decided when a webhook enters, so that a seed decides them once. A retry goes
//! back in without new faults.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::faults::{Faults, Rng};
use crate::world::Outgoing;

/// How far a held-back webhook may fall behind, and its double.
const HELD_BACK_MS: u64 = 30_000;
const DOUBLE_MS: u64 = 5_000;

pub(crate) struct Post {
    rng: Rng,
    next_id: u64,
    waiting: BTreeMap<(DateTime<Utc>, u64), Outgoing>,
}

impl Post {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { rng, next_id: 1, waiting: BTreeMap::new() }
    }

    /// Takes what a stand-in wants sent; says how many were dropped.
    pub(crate) fn take(&mut self, outbox: Vec<Outgoing>, now: DateTime<Utc>, faults: &Faults) -> u64 {
        let mut dropped = 0;
        for outgoing in outbox {
            // Every draw is made for every webhook, so that one's luck does not shift another's.
            let drop = self.rng.chance(faults.webhook_drop);
            let double = self.rng.chance(faults.webhook_double);
            let held = self.rng.chance(faults.webhook_reorder);
            let (hold, again, late) = (
                self.rng.below(HELD_BACK_MS),
                self.rng.below(DOUBLE_MS),
                self.rng.below(faults.webhook_delay.saturating_add(1)),
            );
            if drop {
                dropped += 1;
                continue;
            }
            let due = now + millis(late) + millis(if held { hold } else { 0 });
            if double {
                self.put(outgoing.clone(), due + millis(again));
            }
            self.put(outgoing, due);
        }
        dropped
    }

    pub(crate) fn again(&mut self, mut outgoing: Outgoing, due: DateTime<Utc>) {
        outgoing.attempt += 1;
        self.put(outgoing, due);
    }

    pub(crate) fn due(&mut self, now: DateTime<Utc>) -> Vec<Outgoing> {
        let later = self.waiting.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.waiting, later).into_values().collect()
    }

    pub(crate) fn next(&self) -> Option<DateTime<Utc>> {
        self.waiting.keys().next().map(|(due, _)| *due)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn put(&mut self, mut outgoing: Outgoing, due: DateTime<Utc>) {
        outgoing.id = self.next_id;
        outgoing.due = due;
        self.next_id += 1;
        self.waiting.insert((due, outgoing.id), outgoing);
    }
}

fn millis(ms: u64) -> TimeDelta {
    i64::try_from(ms).ok().and_then(TimeDelta::try_milliseconds).unwrap_or_default()
}
