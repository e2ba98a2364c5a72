//! GitHub's limits (GitHub docs and vendor sheet, read 2026-11-23): 5,000 requests an hour; and the secondary ones:
//! 900 points a minute (a read 1, a write 5), 80 pieces of content a minute and 500 an hour.
//!
//! The law: the primary limit is told in headers on every answer, a secondary one only when it is hit, and who hits it
//! is refused for a minute.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};

use super::errors::refuse;
use crate::wire;

const AN_HOUR: u64 = 5_000;
const POINTS_A_MINUTE: u64 = 900;
const CONTENT_A_MINUTE: usize = 80;
const CONTENT_AN_HOUR: usize = 500;
const PENALTY: TimeDelta = TimeDelta::seconds(60);

#[derive(Clone, Debug, Default)]
pub(super) struct Quota {
    accounts: BTreeMap<String, Account>,
}

#[derive(Clone, Debug, Default)]
struct Account {
    hour_ends: DateTime<Utc>,
    used: u64,
    /// Times and points of the last minute.
    points: VecDeque<(DateTime<Utc>, u64)>,
    /// Times of content made in the last hour.
    content: VecDeque<DateTime<Utc>>,
    barred_until: DateTime<Utc>,
}

/// What a call costs.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    pub(super) write: bool,
    /// It makes an issue or a comment.
    pub(super) content: bool,
}

impl Quota {
    pub(super) fn admit(&mut self, account: &str, cost: Cost, now: DateTime<Utc>) -> Result<(), Response<Bytes>> {
        let account = self.accounts.entry(account.to_owned()).or_default();
        account.roll(now);
        if now < account.barred_until {
            return Err(secondary(account.barred_until - now));
        }
        if account.used >= AN_HOUR {
            return Err(refuse(StatusCode::FORBIDDEN, "API rate limit exceeded for this account."));
        }
        account.used += 1;
        let points = if cost.write { 5 } else { 1 };
        let minute: u64 = account.points.iter().map(|(_, points)| points).sum();
        let fresh = account.content.iter().filter(|at| **at > now - TimeDelta::minutes(1)).count();
        let too_much = cost.content && (fresh >= CONTENT_A_MINUTE || account.content.len() >= CONTENT_AN_HOUR);
        if too_much || minute + points > POINTS_A_MINUTE {
            account.barred_until = now + PENALTY;
            return Err(secondary(PENALTY));
        }
        account.points.push_back((now, points));
        if cost.content {
            account.content.push_back(now);
        }
        Ok(())
    }

    /// A secondary limit out of the blue, for the `throttle` fault.
    pub(super) fn bar(&mut self, account: &str, now: DateTime<Utc>) -> Response<Bytes> {
        self.accounts.entry(account.to_owned()).or_default().barred_until = now + PENALTY;
        secondary(PENALTY)
    }

    /// An answer that says "unchanged" is free.
    pub(super) fn refund(&mut self, account: &str) {
        if let Some(account) = self.accounts.get_mut(account) {
            account.used = account.used.saturating_sub(1);
        }
    }

    pub(super) fn stamp(&self, account: &str, now: DateTime<Utc>, headers: &mut HeaderMap) {
        let (used, resets) = self.standing(account, now);
        wire::set(headers, "x-ratelimit-limit", &AN_HOUR.to_string());
        wire::set(headers, "x-ratelimit-remaining", &(AN_HOUR - used).to_string());
        wire::set(headers, "x-ratelimit-used", &used.to_string());
        wire::set(headers, "x-ratelimit-reset", &resets.timestamp().to_string());
        wire::set(headers, "x-ratelimit-resource", "core");
    }

    pub(super) fn show(&self, account: &str, now: DateTime<Utc>) -> Value {
        let (used, resets) = self.standing(account, now);
        json!({"limit": AN_HOUR, "remaining": AN_HOUR - used, "reset": resets.timestamp(), "used": used, "resource": "core"})
    }

    /// Uses up the hour's quota, as another client of the same account would.
    pub(super) fn exhaust(&mut self, account: &str, now: DateTime<Utc>) {
        let account = self.accounts.entry(account.to_owned()).or_default();
        account.roll(now);
        account.used = AN_HOUR;
    }

    fn standing(&self, account: &str, now: DateTime<Utc>) -> (u64, DateTime<Utc>) {
        match self.accounts.get(account) {
            Some(account) if now < account.hour_ends => (account.used.min(AN_HOUR), account.hour_ends),
            _ => (0, now + TimeDelta::hours(1)),
        }
    }
}

impl Account {
    fn roll(&mut self, now: DateTime<Utc>) {
        if now >= self.hour_ends {
            self.hour_ends = now + TimeDelta::hours(1);
            self.used = 0;
        }
        while self.points.front().is_some_and(|(at, _)| *at <= now - TimeDelta::minutes(1)) {
            self.points.pop_front();
        }
        while self.content.front().is_some_and(|at| *at <= now - TimeDelta::hours(1)) {
            self.content.pop_front();
        }
    }
}

fn secondary(wait: TimeDelta) -> Response<Bytes> {
    let mut response = refuse(
        StatusCode::FORBIDDEN,
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
    );
    let seconds = (wait.num_milliseconds() + 999) / 1000;
    wire::set(response.headers_mut(), "retry-after", &seconds.max(1).to_string());
    response
}
