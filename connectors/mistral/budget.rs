//! What may be spent in any minute: calls, or tokens. A server counts what others spend with the same key as well, and its headers
//! say what is left; so a budget is corrected by them and otherwise counts for itself.

use std::collections::VecDeque;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct Budget {
    /// What ops allow.
    own: Option<u64>,
    /// What the server says it allows.
    told: Option<u64>,
    /// When it was spent and how much, oldest first.
    spent: VecDeque<(Duration, u64)>,
}

impl Budget {
    pub(crate) fn new(own: Option<u64>) -> Self {
        Self { own, told: None, spent: VecDeque::new() }
    }

    fn limit(&self) -> Option<u64> {
        [self.own, self.told].into_iter().flatten().min()
    }

    fn sum(&mut self, now: Duration) -> u64 {
        while self.spent.front().is_some_and(|(at, _)| *at + MINUTE <= now) {
            self.spent.pop_front();
        }
        self.spent.iter().map(|(_, cost)| cost).sum()
    }

    /// How long until `cost` fits. More than a whole minute's worth fits into an empty minute: the server may yet take it.
    pub(crate) fn wait(&mut self, cost: u64, now: Duration) -> Option<Duration> {
        let limit = self.limit()?;
        let mut left = self.sum(now);
        let mut until = None;
        for (at, spent) in &self.spent {
            if left + cost.min(limit) <= limit {
                break;
            }
            left -= spent;
            until = Some((*at + MINUTE).saturating_sub(now).max(Duration::from_millis(1)));
        }
        until
    }

    pub(crate) fn spend(&mut self, cost: u64, now: Duration) {
        self.spent.push_back((now, cost));
    }

    /// What was reckoned for the call of this moment was in truth so much.
    pub(crate) fn correct(&mut self, at: Duration, reckoned: u64, cost: u64) {
        if let Some(entry) = self.spent.iter_mut().rev().find(|entry| **entry == (at, reckoned)) {
            entry.1 = cost;
        }
    }

    /// What the server's headers say. What it counts and we do not was spent by others, just now for all we know.
    pub(crate) fn told(&mut self, limit: Option<u64>, left: Option<u64>, now: Duration) {
        if let Some(limit) = limit.filter(|limit| *limit > 0) {
            self.told = Some(limit);
        }
        if let (Some(limit), Some(left)) = (self.told, left) {
            let others = limit.saturating_sub(left).saturating_sub(self.sum(now));
            if others > 0 {
                self.spend(others, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_does_not_fit_waits_until_enough_is_a_minute_old() {
        let mut budget = Budget::new(Some(100));
        assert_eq!(budget.wait(500, at(0)), None, "more than a minute's worth, alone");
        budget.spend(60, at(0));
        budget.spend(40, at(10));
        assert_eq!((budget.wait(1, at(20)), budget.wait(61, at(20))), (Some(at(40)), Some(at(50))));
        assert_eq!(budget.wait(60, at(60)), None);
        budget.correct(at(10), 40, 5);
        assert_eq!(budget.wait(95, at(60)), None);
        assert_eq!(Budget::new(None).wait(u64::MAX, at(0)), None);
    }

    #[test]
    fn what_others_spent_is_counted() {
        let mut budget = Budget::new(None);
        budget.spend(10, at(0));
        budget.told(Some(100), Some(90), at(0));
        assert_eq!(budget.wait(90, at(0)), None);
        budget.told(Some(100), Some(5), at(1));
        assert_eq!(budget.wait(90, at(1)), Some(at(60)));
        budget.told(None, Some(0), at(2));
        budget.told(Some(0), None, at(2));
        assert_eq!(budget.wait(1, at(2)), Some(at(58)));
    }
}
