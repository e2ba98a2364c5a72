//! Responses that came by webhook lately. The API may not show them for half an hour, which is no reason to believe them
//! deleted. Kept in memory only: what is forgotten by a restart is put right by the next look.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Clock;

/// Twice as long as the lag that Typeform speaks of, and some more.
const KEEP: Duration = Duration::from_secs(7200);
const MOST: usize = 20_000;

#[derive(Default)]
pub(super) struct Young(Mutex<BTreeMap<String, Duration>>);

impl Young {
    /// By a record's id.
    pub(super) fn note(&self, clock: &dyn Clock, id: &str) {
        let now = clock.monotonic();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, since| now.saturating_sub(*since) <= KEEP);
        }
        if known.len() < MOST {
            known.insert(id.to_owned(), now);
        }
    }

    pub(super) fn holds(&self, clock: &dyn Clock, id: &str) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(id).is_some_and(|since| clock.monotonic().saturating_sub(*since) <= KEEP)
    }

    pub(super) fn all(&self, clock: &dyn Clock) -> Vec<String> {
        let now = clock.monotonic();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, since| now.saturating_sub(*since) <= KEEP);
        known.keys().cloned().collect()
    }
}
