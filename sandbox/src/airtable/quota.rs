//! Rate limits (Airtable docs "rate-limits", read 2026-11-23): 5 requests a second per base, whoever asks; 50 a second per
//! user over all bases. One request over, and everything under that limit answers 429 for 30 seconds. There are no quota
//! headers and no Retry-After. A monthly limit, where set, answers 429 with another type; `/meta` still answers then.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::refusal::Refusal;

const PENALTY: TimeDelta = TimeDelta::seconds(30);
const WINDOW: TimeDelta = TimeDelta::seconds(1);

#[derive(Clone)]
pub(super) struct Quota {
    pub(super) per_base: usize,
    pub(super) per_user: usize,
    pub(super) monthly: Option<u64>,
    month: String,
    used: u64,
    /// By base id or user id.
    windows: BTreeMap<String, Window>,
}

#[derive(Clone, Default)]
struct Window {
    hits: VecDeque<DateTime<Utc>>,
    penalty_until: Option<DateTime<Utc>>,
}

impl Default for Quota {
    fn default() -> Self {
        Self { per_base: 5, per_user: 50, monthly: None, month: String::new(), used: 0, windows: BTreeMap::new() }
    }
}

impl Quota {
    /// Counts the call against its user and its base, or refuses it.
    pub(super) fn admit(
        &mut self,
        user: Option<&str>,
        base: Option<&str>,
        meta: bool,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let limits = [(user, self.per_user), (base, self.per_base)];
        for (who, most) in limits.iter().filter_map(|(who, most)| Some(((*who)?, *most))) {
            let window = self.windows.entry(who.to_owned()).or_default();
            if window.penalty_until.is_some_and(|until| now < until) {
                return Err(over());
            }
            while window.hits.front().is_some_and(|hit| *hit + WINDOW <= now) {
                window.hits.pop_front();
            }
            if window.hits.len() >= most {
                window.penalty_until = Some(now + PENALTY);
                window.hits.clear();
                return Err(over());
            }
        }
        if let Some(most) = self.monthly.filter(|_| !meta) {
            let month = now.format("%Y-%m").to_string();
            if self.month != month {
                self.month = month;
                self.used = 0;
            }
            if self.used >= most {
                return Err(Refusal::new(
                    429,
                    "PUBLIC_API_BILLING_LIMIT_EXCEEDED",
                    "The workspace has used its API calls of this month",
                ));
            }
            self.used += 1;
        }
        for who in [user, base].into_iter().flatten() {
            self.windows.entry(who.to_owned()).or_default().hits.push_back(now);
        }
        Ok(())
    }

    /// Starts the penalty as if the limit had been passed.
    pub(super) fn penalize(&mut self, who: &str, now: DateTime<Utc>) -> Refusal {
        self.windows.entry(who.to_owned()).or_default().penalty_until = Some(now + PENALTY);
        over()
    }
}

fn over() -> Refusal {
    Refusal::new(429, "RATE_LIMIT_REACHED", "Rate limit exceeded. Please try again later")
}
