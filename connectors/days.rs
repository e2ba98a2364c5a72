//! Reading what a vendor has added up by days, again and again: the last days are read anew at every turn, for their numbers
//! still change there.
//!
//! A *pull* reads some days to their end, over many pages. What it brings takes the place of what an earlier pull brought
//! ([`crate::Counted::Total`]); when it has brought everything, what it did not bring is no more ([`crate::Whole`]). A pull that
//! is broken off begins again as a new one, and nothing is added up twice.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{Counted, Cursor, Fault, Next, Page, Usage, Whole};

/// How far back the first pull goes, where nobody says: what a trend over two months needs.
const FIRST: i64 = 61;

/// Where a stream of days stands. `P`: the vendor's own place within a pull.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "P: serde::de::DeserializeOwned"))]
pub(crate) struct Place<P> {
    /// The last day of the last whole pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) through: Option<NaiveDate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pull: Option<Pull<P>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pull<P> {
    /// When it began, in milliseconds since 1970: its name.
    pub(crate) began: i64,
    pub(crate) from: NaiveDate,
    pub(crate) to: NaiveDate,
    /// Something was withheld or rounded: what is missing may be there all the same.
    #[serde(default)]
    pub(crate) lossy: bool,
    /// `None`: every row has come.
    pub(crate) at: Option<P>,
}

/// What the settings say of days.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Days {
    /// The first day that is read at all.
    pub(crate) start: Option<DateTime<Utc>>,
    /// How many days before the last one may still change.
    pub(crate) settle: u32,
}

impl<P: Serialize + serde::de::DeserializeOwned> Place<P> {
    /// The place in a cursor; one that is not ours begins anew.
    pub(crate) fn read(cursor: Option<&Cursor>) -> Self {
        let found = cursor.and_then(|cursor| Self::deserialize(&cursor.0).ok());
        found.unwrap_or(Self { through: None, pull: None })
    }

    /// The pull that is under way, or the next one. `begin` is its first place.
    pub(crate) fn pull(&mut self, days: Days, now: DateTime<Utc>, begin: impl FnOnce() -> P) -> &mut Pull<P> {
        let through = self.through;
        self.pull.get_or_insert_with(|| {
            let to = now.date_naive();
            let start = days.start.map_or(to - TimeDelta::days(FIRST - 1), |start| start.date_naive());
            let again = through.map(|through| through - TimeDelta::days(days.settle.into()));
            let from = again.map_or(start, |again| again.max(start)).min(to);
            Pull { began: now.timestamp_millis(), from, to, lossy: false, at: Some(begin()) }
        })
    }

    /// A page of the pull, or the end of it.
    pub(crate) fn page(self, usage: Vec<Usage>) -> Result<Page, Fault> {
        let next = serde_json::to_value(&self).map_err(|error| Fault::unknown(format!("a bug: {error}")))?;
        Ok(Page::of_usage(usage, Next::More(Cursor(next))))
    }

    /// The last page, without rows: all of the pull's days are told.
    pub(crate) fn finish(mut self) -> Result<Page, Fault> {
        let done = self.pull.take();
        self.through = done.as_ref().map(|pull| pull.to).or(self.through);
        let whole = done.filter(|pull| !pull.lossy);
        let whole = whole.map(|pull| Whole { from: pull.from, to: pull.to, pull: pull.began });
        let next = serde_json::to_value(&self).map_err(|error| Fault::unknown(format!("a bug: {error}")))?;
        Ok(Page { whole, ..Page::of_usage(Vec::new(), Next::CaughtUp(Cursor(next))) })
    }
}

/// One row as vendors tell it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row {
    pub(crate) account: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) feature: String,
    pub(crate) day: String,
    pub(crate) count: String,
}

impl Row {
    /// # Errors
    /// What in it is no day or no number, in words.
    pub(crate) fn usage(self, pull: i64) -> Result<Usage, String> {
        let day = read_day(&self.day).ok_or_else(|| format!("`day` is no day: {:?}", short(&self.day)))?;
        let count = read_count(&self.count).ok_or_else(|| format!("`count` is no number: {:?}", short(&self.count)))?;
        let text = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Ok(Usage {
            account: text(self.account),
            user: text(self.user),
            anonymous: None,
            email: None,
            feature: self.feature,
            day,
            count: Counted::Total { count, pull },
        })
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// `2026-11-23`, with a time behind it or not, or `20261123`.
fn read_day(text: &str) -> Option<NaiveDate> {
    let text = text.trim();
    let dashed = text.get(..10).and_then(|day| day.parse().ok());
    dashed.or_else(|| NaiveDate::parse_from_str(text, "%Y%m%d").ok())
}

/// A whole number; some vendors write it with a point (`17.0`).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be whole, positive and below 2^53"
)]
fn read_count(text: &str) -> Option<u64> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(day: &str) -> DateTime<Utc> {
        format!("{day}T08:00:00Z").parse().expect("a time")
    }

    #[test]
    fn the_last_days_are_read_again_and_none_is_left_out() {
        let days = Days { start: None, settle: 3 };
        let mut place: Place<u32> = Place::read(None);
        let pull = place.pull(days, now("2026-11-23"), || 0).clone();
        assert_eq!((pull.from.to_string(), pull.to.to_string()), ("2026-09-24".into(), "2026-11-23".into()));
        // It goes on where it was, whatever the day is by then.
        let page = place.clone().page(Vec::new()).expect("plain data");
        let Next::More(cursor) = page.next else { panic!("there is more") };
        let mut place: Place<u32> = Place::read(Some(&cursor));
        assert_eq!(*place.pull(days, now("2026-11-25"), || 9), pull);
        let last = place.finish().expect("plain data");
        assert_eq!(last.whole, Some(Whole { from: pull.from, to: pull.to, pull: pull.began }));
        let Next::CaughtUp(cursor) = last.next else { panic!("it is the end") };
        let mut place: Place<u32> = Place::read(Some(&cursor));
        let next = place.pull(days, now("2026-11-26"), || 0);
        assert_eq!((next.from.to_string(), next.to.to_string()), ("2026-11-20".into(), "2026-11-26".into()));
        next.lossy = true;
        assert_eq!(place.finish().expect("plain data").whole, None, "what is missing may be there");
    }

    #[test]
    fn a_start_is_kept_to() {
        let days = Days { start: Some(now("2026-11-22")), settle: 3 };
        let mut place: Place<u32> = Place { through: Some("2026-11-23".parse().expect("a day")), pull: None };
        assert_eq!(place.pull(days, now("2026-11-24"), || 0).from.to_string(), "2026-11-22");
        // A cursor of another kind begins anew.
        assert_eq!(Place::<u32>::read(Some(&Cursor(serde_json::json!(["?"])))), Place { through: None, pull: None });
    }

    #[test]
    fn days_and_numbers_are_read_as_vendors_write_them() {
        for day in ["2026-11-23", "20261123", "2026-11-23T00:00:00Z", " 2026-11-23 "] {
            assert_eq!(read_day(day), "2026-11-23".parse().ok(), "{day}");
        }
        assert_eq!((read_day("yesterday"), read_day(""), read_day("2026-13-01")), (None, None, None));
        assert_eq!((read_count("17"), read_count("17.0"), read_count("1e3")), (Some(17), Some(17), Some(1000)));
        assert_eq!((read_count("-1"), read_count("1.5"), read_count("many")), (None, None, None));
        let row = Row { day: "soon".into(), count: "1".into(), ..Row::default() };
        assert!(row.usage(1).expect_err("no day").contains("`day`"));
    }
}
