//! How fast we may call, so that a vendor never has to say "too many".
//!
//! One [`Quota`] per connection, shared by everything that calls through it. It is `governor` for the configured rate
//! plus a gate that the vendor's own answers move: a 429 or a header that says "nothing left until" closes it for all.
//! It never sleeps: [`Quota::take`] either counts the call or hands back how long to wait.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Rate, RateLimiter};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::{Meter, Pace};

/// A rate: at most `calls` in any `per`, of which `burst` may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub calls: NonZeroU32,
    pub per: Duration,
    /// 1 paces evenly. A burst saves latency when idle, but two bursts can meet inside one window of the vendor's, so
    /// the sustained rate is lowered to make room for it.
    pub burst: NonZeroU32,
}

impl Limit {
    /// Evenly paced.
    ///
    /// # Panics
    /// If `calls` is zero; meant for constants.
    pub fn even(calls: u32, per: Duration) -> Self {
        let calls = NonZeroU32::new(calls).expect("a limit of zero calls is no limit but a lock");
        Self { calls, per, burst: NonZeroU32::MIN }
    }

    #[must_use]
    pub fn with_burst(self, burst: u32) -> Self {
        Self { burst: NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN).min(self.calls), ..self }
    }

    /// The time between two cells. With a burst of b, any window of `per` sees at most b - 1 extra calls, so only
    /// `calls - (b - 1)` may trickle in. A hair (1.8 %) is left for the network to bring calls closer together than they were sent.
    fn interval(self) -> Duration {
        let sustained = self.calls.get() - (self.burst.get() - 1);
        self.per.mul_f64(1.018) / sustained.max(1)
    }
}

/// Our clock, as governor wants it.
#[derive(Clone)]
struct Monotonic(Arc<dyn Clock>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(Duration);

impl std::ops::Add<Nanos> for Moment {
    type Output = Self;
    fn add(self, rhs: Nanos) -> Self {
        Self(self.0 + Duration::from(rhs))
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }
    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration.into()))
    }
}

impl GovernorClock for Monotonic {
    type Instant = Moment;
    fn now(&self) -> Moment {
        Moment(self.0.monotonic())
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Monotonic, NoOpMiddleware<Moment>>;

pub struct Quota {
    clock: Arc<dyn Clock>,
    limit: Limit,
    limiter: Limiter,
    /// Until this moment of the monotonic clock, nothing goes out.
    gate: Mutex<Duration>,
    calls: AtomicU64,
    throttled: AtomicU64,
}

impl Quota {
    pub fn new(limit: Limit, clock: Arc<dyn Clock>) -> Self {
        let interval = limit.interval().max(Duration::from_nanos(1));
        let rate =
            Rate::with_period(interval).unwrap_or_else(|| Rate::per_second(NonZeroU32::MIN)).allow_burst(limit.burst);
        let limiter = RateLimiter::direct_with_clock(rate, Monotonic(clock.clone()));
        Self {
            clock,
            limit,
            limiter,
            gate: Mutex::new(Duration::ZERO),
            calls: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
        }
    }

    /// Counts a call that is about to be made, or says how long to wait before asking again.
    pub fn take(&self) -> Result<(), Duration> {
        let now = self.clock.monotonic();
        let gate = *self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if gate > now {
            return Err(gate - now);
        }
        match self.limiter.check() {
            Ok(()) => {
                self.calls.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(not_until) => Err(not_until.wait_time_from(Moment(now)).max(Duration::from_millis(1))),
        }
    }

    /// The vendor says: nothing for this long. A shorter word never opens the gate early.
    pub fn close_for(&self, wait: Duration) {
        // A header may hold anything; two hours cover every vendor's window.
        let until = self.clock.monotonic() + wait.min(Duration::from_secs(7200));
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        *gate = (*gate).max(until);
    }

    /// Counts an answer that said "too many".
    pub fn note_throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    pub fn meter(&self) -> Meter {
        Meter { calls: self.calls.load(Ordering::Relaxed), throttled: self.throttled.load(Ordering::Relaxed) }
    }

    pub fn pace(&self) -> Pace {
        Pace { calls: self.limit.calls.get(), per: self.limit.per }
    }
}
