//! How long to wait between tries, when nobody says.
//!
//! The numbers come from `backoff` 0.4, which is unmaintained (RUSTSEC-2025-0012): this is the only file that names it,
//! and nothing of it sleeps or asks for the time. To replace it: double from 0.5 s to 60 s.

use backoff::backoff::Backoff;
use chrono::TimeDelta;

/// Doubles from half a second to a minute.
pub struct Delay(backoff::exponential::ExponentialBackoff<Frozen>);

/// `backoff` wants a clock to know when to give up; we never give up.
#[derive(Default)]
struct Frozen(std::sync::OnceLock<std::time::Instant>);

impl backoff::Clock for Frozen {
    #[expect(clippy::disallowed_methods, reason = "a fixed point that nothing is measured against")]
    fn now(&self) -> std::time::Instant {
        *self.0.get_or_init(std::time::Instant::now)
    }
}

impl Default for Delay {
    fn default() -> Self {
        Self(backoff::exponential::ExponentialBackoff {
            current_interval: std::time::Duration::from_millis(500),
            initial_interval: std::time::Duration::from_millis(500),
            // Chance is handed in; a single process per vendor account has nobody to be out of step with.
            randomization_factor: 0.0,
            multiplier: 2.0,
            max_interval: std::time::Duration::from_secs(60),
            max_elapsed_time: None,
            ..backoff::exponential::ExponentialBackoff::default()
        })
    }
}

impl Delay {
    pub fn wait(&mut self) -> TimeDelta {
        self.0.next_backoff().and_then(|wait| TimeDelta::from_std(wait).ok()).unwrap_or(TimeDelta::seconds(60))
    }

    pub fn reset(&mut self) {
        // Not `Backoff::reset`: it would ask the clock.
        self.0.current_interval = self.0.initial_interval;
    }

    /// The wait before try number `tries` + 1.
    pub fn of(tries: u32) -> TimeDelta {
        let mut delay = Self::default();
        (0..tries.min(12)).for_each(|_| {
            delay.wait();
        });
        delay.wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_minute_and_starts_over() {
        let mut delay = Delay::default();
        let waits: Vec<i64> = (0..9).map(|_| delay.wait().num_milliseconds()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        delay.reset();
        assert_eq!(delay.wait().num_milliseconds(), 500);
        assert_eq!(Delay::of(2).num_milliseconds(), 2000);
    }
}
