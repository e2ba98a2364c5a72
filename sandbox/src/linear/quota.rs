//! Rate limits (linear.app/developers/rate-limiting, read 2026-11-23): leaky buckets of requests and of complexity points
//! per hour and credential, told in every answer's headers; `Reset` is in UTC epoch milliseconds.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use serde_json::{Value, json};

use super::fault::Fault;
use crate::wire;

const HOUR_MS: f64 = 3_600_000.0;
/// What a throttling fault lasts.
const BLOCK: TimeDelta = TimeDelta::seconds(5);

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) requests: f64,
    pub(super) complexity: f64,
}

impl Limits {
    pub(super) const KEY: Self = Self { requests: 2_500.0, complexity: 3_000_000.0 };
    pub(super) const OAUTH: Self = Self { requests: 5_000.0, complexity: 2_000_000.0 };
    pub(super) const ANONYMOUS: Self = Self { requests: 600.0, complexity: 100_000.0 };
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    level: f64,
    at: DateTime<Utc>,
}

impl Bucket {
    fn leak(&mut self, capacity: f64, now: DateTime<Utc>) {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds between two calls")]
        let elapsed = (now - self.at).num_milliseconds().max(0) as f64;
        self.level = (self.level - elapsed * capacity / HOUR_MS).max(0.0);
        self.at = now;
    }

    fn remaining(&self, capacity: f64) -> f64 {
        (capacity - self.level).floor().max(0.0)
    }

    /// When the bucket is empty again.
    fn reset(&self, capacity: f64, now: DateTime<Utc>) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "at most an hour")]
        let wait = (self.level / capacity.max(1.0) * HOUR_MS).ceil() as i64;
        now.timestamp_millis() + wait
    }
}

#[derive(Clone, Default)]
pub(super) struct Quota {
    /// Set by the desk; else the vendor's own.
    pub(super) limits: Option<Limits>,
    /// Requests and complexity, by credential.
    buckets: BTreeMap<String, (Bucket, Bucket)>,
    blocked_until: Option<DateTime<Utc>>,
    /// Of the last call, for its headers.
    last: (String, f64),
}

impl Quota {
    fn limits_of(&self, who: &str) -> Limits {
        self.limits.unwrap_or(match who {
            "anonymous" => Limits::ANONYMOUS,
            who if who.starts_with("oauth:") => Limits::OAUTH,
            _ => Limits::KEY,
        })
    }

    /// Counts a call of `points`, or refuses it.
    pub(super) fn admit(&mut self, who: &str, points: f64, now: DateTime<Utc>) -> Result<(), Fault> {
        self.last = (who.to_owned(), points);
        if self.blocked_until.is_some_and(|until| now < until) {
            return Err(Fault::rate_limited("Too many requests. Please wait before trying again."));
        }
        self.blocked_until = None;
        let limits = self.limits_of(who);
        let (requests, complexity) = self.buckets.entry(who.to_owned()).or_default();
        requests.leak(limits.requests, now);
        complexity.leak(limits.complexity, now);
        if requests.level + 1.0 > limits.requests {
            return Err(Fault::rate_limited("The requests of this hour are used up."));
        }
        if complexity.level + points > limits.complexity {
            return Err(Fault::rate_limited("The complexity points of this hour are used up."));
        }
        requests.level += 1.0;
        complexity.level += points;
        Ok(())
    }

    /// Refuses everything for a few seconds.
    pub(super) fn block(&mut self, now: DateTime<Utc>) -> Fault {
        self.blocked_until = Some(now + BLOCK);
        Fault::rate_limited("Too many requests. Please wait before trying again.")
    }

    pub(super) fn headers(&self, headers: &mut HeaderMap, now: DateTime<Utc>) {
        let (who, points) = &self.last;
        let limits = self.limits_of(who);
        let (mut requests, mut complexity) = self.buckets.get(who).copied().unwrap_or_default();
        requests.leak(limits.requests, now);
        complexity.leak(limits.complexity, now);
        let blocked = self.blocked_until.filter(|until| now < *until);
        let remaining = if blocked.is_some() { 0.0 } else { requests.remaining(limits.requests) };
        let reset = blocked.map_or_else(|| requests.reset(limits.requests, now), |until| until.timestamp_millis());
        let mut set = |name, value: String| wire::set(headers, name, &value);
        set("x-ratelimit-requests-limit", limits.requests.to_string());
        set("x-ratelimit-requests-remaining", remaining.to_string());
        set("x-ratelimit-requests-reset", reset.to_string());
        set("x-complexity", points.ceil().to_string());
        set("x-ratelimit-complexity-limit", limits.complexity.to_string());
        set("x-ratelimit-complexity-remaining", complexity.remaining(limits.complexity).to_string());
        set("x-ratelimit-complexity-reset", complexity.reset(limits.complexity, now).to_string());
    }

    /// `rateLimitStatus`.
    pub(super) fn status(&self, who: &str, now: DateTime<Utc>) -> Value {
        let limits = self.limits_of(who);
        let (mut requests, mut complexity) = self.buckets.get(who).copied().unwrap_or_default();
        requests.leak(limits.requests, now);
        complexity.leak(limits.complexity, now);
        let one = |kind: &str, bucket: &Bucket, allowed: f64, asked: f64| {
            json!({
                "type": kind,
                "requestedAmount": asked,
                "allowedAmount": allowed,
                "period": HOUR_MS,
                "remainingAmount": bucket.remaining(allowed),
                "reset": bucket.reset(allowed, now),
            })
        };
        json!({
            "kind": if who.starts_with("oauth:") { "oauthUser" } else { "user" },
            "identifier": who,
            "limits": [
                one("apiRequest", &requests, limits.requests, 1.0),
                one("complexity", &complexity, limits.complexity, self.last.1),
            ],
        })
    }
}
