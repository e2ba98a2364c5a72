//! Work of several calls that the quota stopped halfway.
//!
//! A port that needs several calls starts over when the engine comes back. At an evenly paced quota each attempt gets
//! one call through and stops at the next, for ever. So what was done is kept here, under the name of the work, and
//! taken up by the next attempt. It is kept for minutes only, and only in memory: the vendor is the truth.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Clock;

const KEEP: Duration = Duration::from_secs(300);
const MOST: usize = 256;

pub(crate) struct Unfinished<T> {
    kept: Mutex<BTreeMap<String, (Duration, T)>>,
}

impl<T> Default for Unfinished<T> {
    fn default() -> Self {
        Self { kept: Mutex::default() }
    }
}

impl<T> Unfinished<T> {
    /// What the last attempt at this work left, once.
    pub(crate) fn take(&self, clock: &dyn Clock, work: &str) -> Option<T> {
        let (since, left) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(work)?;
        (clock.monotonic().saturating_sub(since) <= KEEP).then_some(left)
    }

    pub(crate) fn put(&self, clock: &dyn Clock, work: &str, left: T) {
        let now = clock.monotonic();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (since, _)| now.saturating_sub(*since) <= KEEP);
        if kept.len() < MOST {
            kept.insert(work.to_owned(), (now, left));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::StillClock;

    #[test]
    fn it_is_taken_once_and_not_kept_long() {
        let (clock, left) = (StillClock::default(), Unfinished::default());
        left.put(&clock, "a", 1);
        assert_eq!((left.take(&clock, "b"), left.take(&clock, "a"), left.take(&clock, "a")), (None, Some(1), None));
        left.put(&clock, "a", 2);
        clock.advance(301);
        assert_eq!(left.take(&clock, "a"), None);
    }
}
