//! Time in a rehearsal: it stands still while there is something to do, and jumps to whatever is due next.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use connectors::Clock;

/// A clock that only jumps.
pub struct Jumping {
    began: DateTime<Utc>,
    millis: AtomicI64,
}

impl Jumping {
    pub fn from(began: DateTime<Utc>) -> Self {
        Self { began, millis: AtomicI64::new(0) }
    }

    /// Never back.
    pub fn jump_to(&self, moment: DateTime<Utc>) {
        // Rounded up: what is due at a fraction of a millisecond must be due after the jump.
        let ahead = (moment - self.began).num_milliseconds().saturating_add(1);
        self.millis.fetch_max(ahead, Ordering::Relaxed);
    }

    pub fn passed(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.millis.load(Ordering::Relaxed))
    }
}

impl Clock for Jumping {
    fn now(&self) -> DateTime<Utc> {
        self.began + self.passed()
    }

    fn monotonic(&self) -> Duration {
        self.passed().to_std().unwrap_or_default()
    }
}
