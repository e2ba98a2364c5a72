//! A short memory for what was just paid for.
//!
//! Some ports need several calls (the schema, then the webhook). When the quota says "later" in between, the engine
//! comes back and starts over; at an evenly paced quota it would never get past the first call. A [`Memo`] keeps the
//! answers of the first calls for the minute in which it comes back. Nothing is kept longer: the vendor is the truth.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Clock;

/// Longer than Airtable's penalty (30 s), shorter than anyone's patience with stale facts.
const KEEP: Duration = Duration::from_secs(60);

pub(crate) struct Memo<T> {
    kept: Mutex<Option<(Duration, T)>>,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { kept: Mutex::new(None) }
    }
}

impl<T> Memo<T> {
    pub(crate) fn get(&self, clock: &dyn Clock) -> Option<T>
    where
        T: Clone,
    {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(at, _)| clock.monotonic().saturating_sub(*at) < KEEP).map(|(_, value)| value.clone())
    }

    pub(crate) fn put(&self, clock: &dyn Clock, value: T) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((clock.monotonic(), value));
    }

    pub(crate) fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
