//! Time, handed in. The one place in this crate that may ask the machine.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// What time it is, for whoever is handed it: the machine's clock, or one that a test or a simulation moves.
pub trait Clock: Send + Sync {
    /// Civil time. May jump.
    fn now(&self) -> DateTime<Utc>;
    /// Time since some fixed moment. Never goes back; quotas and timeouts use it.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock. Its monotonic time begins at zero when it is made, so that it is a stopwatch, too.
#[derive(Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is handed")]
    #[expect(clippy::new_without_default, reason = "asking for the time is not a default")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is handed")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
