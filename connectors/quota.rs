//! How fast we may call, so that a vendor never has to say "too many".
//!
//! One [`Quota`] per connection, shared by everything that calls through it. Three things must agree to a call:
//!
//! - the *pace*: `governor`, which spreads calls over the window but for a burst;
//! - the *window*: no more than the limit between any moment and the same moment one window later, **as the vendor counts
//!   them**. It counts a call when it arrives there, which is somewhere between our sending it and our having the answer. So a
//!   call whose answer took longer than usual keeps its place in the window for that much longer;
//! - the *gate*, which the vendor's own answers close: a 429, or a header that says "nothing left until".
//!
//! It never sleeps: [`Quota::take`] either counts the call or hands back how long to wait.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Rate, RateLimiter};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::{Meter, Pace};

/// What a window is made longer by, for clocks that do not run alike and vendors that count in milliseconds.
const HAIR: Duration = Duration::from_millis(2);
/// How much longer a late call may hold its place, as a part of the window: at first, and when the vendor has throttled
/// us again and again. (At Airtable a tenth of a second: what opening a connection costs.)
const CARE: u32 = 10;
const UTMOST_CARE: u32 = 2;

/// A window as short as this is waited out before the first call: whoever called before us (the process before this one,
/// the configuration before a reload) may have used it up, and nobody remembers.
const SHORT: Duration = Duration::from_secs(2);

/// A rate: at most `calls` in any `per`, of which `burst` may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub calls: NonZeroU32,
    pub per: Duration,
    /// 1 paces evenly. A burst saves latency when idle; what it takes is missing at the window's end.
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

    /// Between two calls at an even pace.
    fn interval(self) -> Duration {
        ((self.per + HAIR) / self.calls.get()).max(Duration::from_nanos(1))
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

/// A call that was counted, for [`Quota::answered`].
#[derive(Debug)]
#[must_use = "tell the quota when the answer is there"]
pub struct Ticket(u64);

/// The calls of the last window, oldest first.
#[derive(Default)]
struct Window {
    sent: VecDeque<Sent>,
    /// Calls that have left the window: the number of the oldest one still in it.
    left: u64,
    /// How long answers take when nothing holds them up: follows them down fast and up slowly, so that the one which
    /// opened a connection does not pass for usual. Zero until one has come.
    usual: Duration,
    /// How often the vendor throttled us.
    throttled: u32,
}

struct Sent {
    at: Duration,
    /// How long its answer took; `None` while it is awaited.
    took: Option<Duration>,
}

pub struct Quota {
    clock: Arc<dyn Clock>,
    limit: Limit,
    limiter: Limiter,
    window: Mutex<Window>,
    /// Until this moment of the monotonic clock, nothing goes out.
    gate: Mutex<Duration>,
}

impl Quota {
    /// Of a vendor's limit. What others sent in a short window before is waited out first.
    pub fn new(limit: Limit, clock: Arc<dyn Clock>) -> Self {
        let begin = if limit.per <= SHORT { limit.per + HAIR } else { Duration::ZERO };
        let quota = Self::spacing(limit, clock);
        quota.close_for(begin);
        quota
    }

    /// That only spaces calls, which another quota counts.
    pub fn spacing(limit: Limit, clock: Arc<dyn Clock>) -> Self {
        let rate = Rate::with_period(limit.interval())
            .unwrap_or_else(|| Rate::per_second(NonZeroU32::MIN))
            .allow_burst(limit.burst);
        let limiter = RateLimiter::direct_with_clock(rate, Monotonic(clock.clone()));
        Self { clock, limit, limiter, window: Mutex::default(), gate: Mutex::default() }
    }

    /// Counts a call that is about to be made, or says how long to wait before asking again.
    ///
    /// # Errors
    /// The wait, never zero.
    pub fn take(&self) -> Result<Ticket, Duration> {
        let now = self.clock.monotonic();
        let gate = *self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if gate > now {
            return Err(gate - now);
        }
        let mut window = self.window();
        while let Some(wait) = window.sent.front().map(|first| window.until_out(first, self.limit, now)) {
            match wait {
                Duration::ZERO => {
                    window.sent.pop_front();
                    window.left += 1;
                }
                wait if window.sent.len() >= self.limit.calls.get() as usize => return Err(wait),
                _ => break,
            }
        }
        self.limiter
            .check()
            .map_err(|not_until| not_until.wait_time_from(Moment(now)).max(Duration::from_millis(1)))?;
        window.sent.push_back(Sent { at: now, took: None });
        Ok(Ticket(window.calls() - 1))
    }

    /// How long [`Quota::take`] would surely refuse; it may refuse for longer.
    pub fn wait(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let gate = *self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let window = self.window();
        let full = window.sent.len() >= self.limit.calls.get() as usize;
        let place = window.sent.front().filter(|_| full).map(|first| window.until_out(first, self.limit, now));
        let even = window.sent.back().filter(|_| self.limit.burst == NonZeroU32::MIN);
        let pace = even.map(|last| (last.at + self.limit.interval()).saturating_sub(now));
        [Some(gate.saturating_sub(now)), place, pace].into_iter().flatten().max().filter(|wait| !wait.is_zero())
    }

    /// The call's answer is there, or will not come.
    #[expect(clippy::needless_pass_by_value, reason = "a call is answered once")]
    pub fn answered(&self, ticket: Ticket) {
        let now = self.clock.monotonic();
        let mut window = self.window();
        let place = ticket.0.checked_sub(window.left).and_then(|place| usize::try_from(place).ok());
        let Some(sent) = place.and_then(|place| window.sent.get_mut(place)) else { return };
        let took = now.saturating_sub(sent.at);
        sent.took = Some(took);
        let usual = window.usual;
        window.usual = match usual {
            Duration::ZERO => took,
            _ if took < usual => (usual + took) / 2,
            _ => (usual * 7 + took) / 8,
        };
    }

    /// The vendor says: nothing for this long. A shorter word never opens the gate early.
    pub fn close_for(&self, wait: Duration) {
        // A header may hold anything; two hours cover every vendor's window.
        let until = self.clock.monotonic() + wait.min(Duration::from_secs(7200));
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        *gate = (*gate).max(until);
    }

    /// Counts an answer that said "too many". From then on, late calls hold their places twice as long.
    pub fn note_throttled(&self) {
        let mut window = self.window();
        window.throttled = window.throttled.saturating_add(1);
    }

    pub fn meter(&self) -> Meter {
        let window = self.window();
        Meter { calls: window.calls(), throttled: window.throttled.into() }
    }

    pub fn pace(&self) -> Pace {
        Pace { calls: self.limit.calls.get(), per: self.limit.per }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// All that were ever counted.
    fn calls(&self) -> u64 {
        self.left + self.sent.len() as u64
    }

    /// How long it is until the vendor has surely forgotten this call.
    fn until_out(&self, call: &Sent, limit: Limit, now: Duration) -> Duration {
        let took = call.took.unwrap_or_else(|| now.saturating_sub(call.at));
        let late = took.saturating_sub(self.usual);
        let most = (limit.per / CARE * 2_u32.saturating_pow(self.throttled)).min(limit.per / UTMOST_CARE);
        (call.at + limit.per + HAIR + late.min(most)).saturating_sub(now)
    }
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
