//! Chance, and the faults that a world commits by it.
//!
//! The law: the same seed and the same calls give the same faults. Nothing here reads a clock or ambient randomness.
//!
//! A spec is a comma-separated list, as in
//! `fail_before=0.05,fail_after=0.05,slow=0.1:2000,webhook_drop=0.1,webhook_delay=5000`. Each key is explained at its
//! field in [`Faults`]; a key that is not named stays at zero.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A small seedable generator (xoshiro256**, seeded by splitmix64). Not for secrets.
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

impl Rng {
    pub fn seeded(seed: u64) -> Self {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        Self([next(), next(), next(), next()])
    }

    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let drawn = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let kept = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= kept;
        *d = d.rotate_left(45);
        drawn
    }

    /// Evenly in `0..n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        // Widening multiplication: the bias is below n / 2^64, which no test can see.
        u64::try_from((u128::from(self.next_u64()) * u128::from(n)) >> 64).unwrap_or(0)
    }

    /// True with probability `p`; always draws once, so that a changed probability does not shift what follows.
    pub fn chance(&mut self, p: f64) -> bool {
        let unit = (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < p
    }

    /// `len` characters out of an alphabet (ASCII), for the ids that vendors give.
    pub fn text(&mut self, alphabet: &str, len: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..len).filter_map(|_| letters.get(usize::try_from(self.below(letters.len() as u64)).ok()?).copied()).collect()
    }

    /// A random UUID, version 4, in lower case with hyphens.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.next_u64(), self.next_u64());
        let (high, low) = (high & !0xF000 | 0x4000, low & !(0b11 << 62) | (0b10 << 62));
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xFFFF,
            high & 0xFFFF,
            low >> 48,
            low & 0xFFFF_FFFF_FFFF
        )
    }
}

/// How often what goes wrong. Chances are between 0 and 1 and drawn for each call, or each webhook, by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Nothing is done: half the time a 503, half the time the connection is cut.
    pub fail_before: f64,
    /// It is done, and the answer is lost: half the time cut, else a 500 or a 502.
    pub fail_after: f64,
    /// A 500, nothing done. The client cannot tell it from `fail_after`.
    pub server_error: f64,
    /// The vendor's own throttling answer, with its penalty, though the quota is not used up.
    pub throttle: f64,
    /// The answer comes late, by up to `slow_ms`.
    pub slow: f64,
    pub slow_ms: u64,
    /// A read is answered from the state of `stale_read_ms` ago.
    pub stale_read: f64,
    pub stale_read_ms: u64,
    /// A webhook is never sent.
    pub webhook_drop: f64,
    /// A webhook is sent twice, the second one up to five seconds later.
    pub webhook_double: f64,
    /// A webhook is held back by up to 30 seconds, so that later ones overtake it.
    pub webhook_reorder: f64,
    /// Every webhook is held back by up to so many milliseconds.
    pub webhook_delay: u64,
}

impl Faults {
    pub const NONE: Self = Self {
        fail_before: 0.0,
        fail_after: 0.0,
        server_error: 0.0,
        throttle: 0.0,
        slow: 0.0,
        slow_ms: 0,
        stale_read: 0.0,
        stale_read_ms: 0,
        webhook_drop: 0.0,
        webhook_double: 0.0,
        webhook_reorder: 0.0,
        webhook_delay: 0,
    };

    pub fn stale_window(&self) -> Option<Duration> {
        (self.stale_read > 0.0).then(|| Duration::from_millis(self.stale_read_ms))
    }
}

const KEYS: &str = "fail_before, fail_after, server_error, throttle, slow (chance:ms), stale_read (chance:ms), \
                    webhook_drop, webhook_double, webhook_reorder, webhook_delay (ms)";

/// What is wrong with a spec, in words for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError(String);

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SpecError {}

impl FromStr for Faults {
    type Err = SpecError;

    fn from_str(spec: &str) -> Result<Self, SpecError> {
        let mut faults = Self::NONE;
        for part in spec.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| SpecError(format!("faults: `{part}` has no value; write `{part}=0.1`")))?;
            let (key, value) = (key.trim(), value.trim());
            match key {
                "fail_before" => faults.fail_before = chance(key, value)?,
                "fail_after" => faults.fail_after = chance(key, value)?,
                "server_error" => faults.server_error = chance(key, value)?,
                "throttle" => faults.throttle = chance(key, value)?,
                "webhook_drop" => faults.webhook_drop = chance(key, value)?,
                "webhook_double" => faults.webhook_double = chance(key, value)?,
                "webhook_reorder" => faults.webhook_reorder = chance(key, value)?,
                "webhook_delay" => faults.webhook_delay = millis(key, value)?,
                "slow" => (faults.slow, faults.slow_ms) = chance_and_millis(key, value)?,
                "stale_read" => (faults.stale_read, faults.stale_read_ms) = chance_and_millis(key, value)?,
                other => return Err(SpecError(format!("faults: there is no `{other}`; known are {KEYS}"))),
            }
        }
        Ok(faults)
    }
}

fn chance(key: &str, value: &str) -> Result<f64, SpecError> {
    value
        .parse::<f64>()
        .ok()
        .filter(|p| (0.0..=1.0).contains(p))
        .ok_or_else(|| SpecError(format!("faults: `{key}={value}`: a chance is a number from 0 to 1")))
}

fn millis(key: &str, value: &str) -> Result<u64, SpecError> {
    value.parse().map_err(|_| SpecError(format!("faults: `{key}={value}`: expected whole milliseconds")))
}

fn chance_and_millis(key: &str, value: &str) -> Result<(f64, u64), SpecError> {
    let (p, ms) = value.split_once(':').ok_or_else(|| {
        SpecError(format!("faults: `{key}={value}`: write a chance and milliseconds, as in `{key}=0.1:2000`"))
    })?;
    Ok((chance(key, p)?, millis(key, ms)?))
}

impl fmt::Display for Faults {
    /// The spec that parses to these faults; empty for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let plain = [
            ("fail_before", self.fail_before),
            ("fail_after", self.fail_after),
            ("server_error", self.server_error),
            ("throttle", self.throttle),
            ("webhook_drop", self.webhook_drop),
            ("webhook_double", self.webhook_double),
            ("webhook_reorder", self.webhook_reorder),
        ];
        parts.extend(plain.iter().filter(|(_, p)| *p > 0.0).map(|(key, p)| format!("{key}={p}")));
        for (key, p, ms) in [("slow", self.slow, self.slow_ms), ("stale_read", self.stale_read, self.stale_read_ms)] {
            if p > 0.0 {
                parts.push(format!("{key}={p}:{ms}"));
            }
        }
        if self.webhook_delay > 0 {
            parts.push(format!("webhook_delay={}", self.webhook_delay));
        }
        f.write_str(&parts.join(","))
    }
}

/// A fault for the next calls, whatever the chances say. See [`crate::World::fail_next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailKind {
    /// 503, nothing done.
    Unavailable,
    /// 500, nothing done.
    ServerError,
    /// The vendor's throttling answer, nothing done.
    Throttled,
    /// Cut, nothing done.
    CutBefore,
    /// Done, then cut.
    CutAfter,
    /// Done, then a 500.
    ErrorAfter,
    /// Done, then a 502 with a gateway's HTML page.
    BadGatewayAfter,
}

impl FailKind {
    /// Whether the vendor does what was asked.
    pub fn committed(self) -> bool {
        matches!(self, Self::CutAfter | Self::ErrorAfter | Self::BadGatewayAfter)
    }
}

/// What befalls one call.
pub(crate) struct Fate {
    pub(crate) fail: Option<FailKind>,
    pub(crate) stale: bool,
    pub(crate) delay: Duration,
}

impl Faults {
    /// Draws a call's fate; always the same number of draws, so that calls do not disturb each other's luck.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Fate {
        let (before, after) = (rng.chance(self.fail_before), rng.chance(self.fail_after));
        let (error, throttle) = (rng.chance(self.server_error), rng.chance(self.throttle));
        let (slow, stale) = (rng.chance(self.slow), rng.chance(self.stale_read));
        let (half, other_half) = (rng.below(2) == 0, rng.below(2) == 0);
        let wait = rng.below(self.slow_ms.saturating_add(1));
        let fail = match (throttle, before, error, after) {
            (true, ..) => Some(FailKind::Throttled),
            (_, true, ..) => Some(if half { FailKind::Unavailable } else { FailKind::CutBefore }),
            (_, _, true, _) => Some(FailKind::ServerError),
            (.., true) if half => Some(FailKind::CutAfter),
            (.., true) => Some(if other_half { FailKind::ErrorAfter } else { FailKind::BadGatewayAfter }),
            _ => None,
        };
        Fate { fail, stale, delay: if slow { Duration::from_millis(wait) } else { Duration::ZERO } }
    }
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
