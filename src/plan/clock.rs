//! Time in a rehearsal: it stands still while there is something to do, and jumps to whatever is due next.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use connectors::Clock;

/// Real waiting, for the quota of real reads.
#[async_trait]
pub trait Pause: Send + Sync {
    async fn pause(&self, wait: Duration);
}

/// Waits as long as it says.
pub struct RealPause;

#[async_trait]
impl Pause for RealPause {
    #[expect(
        clippy::disallowed_methods,
        reason = "a command that reads under a quota waits for it; no room is held up"
    )]
    async fn pause(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}

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
