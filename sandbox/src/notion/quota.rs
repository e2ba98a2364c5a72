//! 180 calls in any minute, for each connection. (Notion "request limits", read 2026-11-23.)

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::refusal::Refusal;

const WINDOW: TimeDelta = TimeDelta::seconds(60);

#[derive(Clone)]
pub(super) struct Quota {
    most: usize,
    calls: BTreeMap<String, VecDeque<DateTime<Utc>>>,
}

impl Default for Quota {
    fn default() -> Self {
        Self { most: 180, calls: BTreeMap::new() }
    }
}

impl Quota {
    pub(super) fn set(&mut self, most: usize) {
        self.most = most;
    }

    pub(super) fn admit(&mut self, token: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
        let calls = self.calls.entry(token.to_owned()).or_default();
        while calls.front().is_some_and(|at| *at + WINDOW <= now) {
            calls.pop_front();
        }
        match calls.front() {
            Some(first) if calls.len() >= self.most => Err(refusal((*first + WINDOW - now).num_milliseconds())),
            _ => {
                calls.push_back(now);
                Ok(())
            }
        }
    }
}

pub(super) fn refusal(milliseconds: i64) -> Refusal {
    let seconds = (milliseconds + 999).div_euclid(1000).clamp(1, 60);
    Refusal {
        more: json!({ "rate_limit_reason": "public_api_request_rate_limit", "retry_after": seconds }),
        ..Refusal::new(429, "rate_limited", "You have been rate limited. Please try again in a few minutes.")
    }
}
