//! Requests a second and tokens a minute, and the headers that tell of them.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;

use crate::wire;

#[derive(Clone)]
pub(super) struct Quota {
    pub(super) requests: usize,
    pub(super) tokens: u64,
    /// A 429 says when to come back.
    pub(super) tells: bool,
    /// The calls of the last minute and what they cost, oldest first.
    window: VecDeque<(DateTime<Utc>, u64)>,
}

impl Default for Quota {
    /// No number is published: these are made up.
    fn default() -> Self {
        Self { requests: 6, tokens: 2_000_000, tells: true, window: VecDeque::new() }
    }
}

impl Quota {
    /// Counts a call, if it fits.
    pub(super) fn take(&mut self, cost: u64, now: DateTime<Utc>) -> bool {
        self.forget(now);
        let second = self.window.iter().rev().take_while(|(at, _)| now - *at < TimeDelta::seconds(1)).count();
        let spent = self.spent();
        // Whoever asks for more than a minute's worth gets it once nothing else was asked for.
        let fits = second < self.requests && (spent == 0 || cost == 0 || spent + cost <= self.tokens);
        if fits {
            self.window.push_back((now, cost));
        }
        fits
    }

    /// What the last call used beyond what was reckoned.
    pub(super) fn add(&mut self, tokens: u64, now: DateTime<Utc>) {
        if let Some((_, cost)) = self.window.iter_mut().rev().find(|(at, _)| *at == now) {
            *cost += tokens;
        }
    }

    fn forget(&mut self, now: DateTime<Utc>) {
        while self.window.front().is_some_and(|(at, _)| now - *at >= TimeDelta::minutes(1)) {
            self.window.pop_front();
        }
    }

    fn spent(&self) -> u64 {
        self.window.iter().map(|(_, cost)| cost).sum()
    }

    pub(super) fn tell(&mut self, headers: &mut HeaderMap, now: DateTime<Utc>) {
        self.forget(now);
        let requests = self.requests * 60;
        let cost = self.window.back().map_or(0, |(_, cost)| *cost);
        for (name, value) in [
            ("x-ratelimit-limit-req-minute", requests as u64),
            ("x-ratelimit-remaining-req-minute", requests.saturating_sub(self.window.len()) as u64),
            ("x-ratelimit-limit-tokens-minute", self.tokens),
            ("x-ratelimit-remaining-tokens-minute", self.tokens.saturating_sub(self.spent())),
            ("x-ratelimit-tokens-query-cost", cost),
        ] {
            wire::set(headers, name, &value.to_string());
        }
    }
}
