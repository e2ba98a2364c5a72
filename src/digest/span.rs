//! ISO weeks in the workspace's time zone.

use chrono::{DateTime, Datelike, Days, IsoWeek, NaiveDate, NaiveTime, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

/// Seven days from a Monday on, where the workspace is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub monday: NaiveDate,
    pub zone: Tz,
}

impl Span {
    /// The week that runs at a moment.
    pub fn at(now: DateTime<Utc>, zone: Tz) -> Self {
        let today = now.with_timezone(&zone).date_naive();
        Self { monday: today.week(Weekday::Mon).first_day(), zone }
    }

    /// `2026-W47`, in any case.
    pub fn parse(text: &str, zone: Tz) -> Option<Self> {
        let (year, week) = text.trim().split_once(['-', ' '])?;
        let week = week.strip_prefix(['W', 'w'])?;
        if year.len() != 4 || !(1..=2).contains(&week.len()) {
            return None;
        }
        let monday = NaiveDate::from_isoywd_opt(year.parse().ok()?, week.parse().ok()?, Weekday::Mon)?;
        Some(Self { monday, zone })
    }

    #[must_use]
    pub fn before(self) -> Self {
        Self { monday: self.monday - Days::new(7), ..self }
    }

    fn iso(self) -> IsoWeek {
        self.monday.iso_week()
    }

    /// `2026-W47`
    pub fn name(self) -> String {
        format!("{}-W{:02}", self.iso().year(), self.iso().week())
    }

    pub fn number(self) -> u32 {
        self.iso().week()
    }

    pub fn year(self) -> i32 {
        self.iso().year()
    }

    pub fn sunday(self) -> NaiveDate {
        self.monday + Days::new(6)
    }

    pub fn from(self) -> DateTime<Utc> {
        self.midnight(self.monday)
    }

    /// The first moment after it.
    pub fn to(self) -> DateTime<Utc> {
        self.midnight(self.monday + Days::new(7))
    }

    /// So many days before its end.
    pub fn days_before_end(self, days: u64) -> DateTime<Utc> {
        self.midnight(self.monday + Days::new(7) - Days::new(days))
    }

    pub fn holds(self, at: DateTime<Utc>) -> bool {
        (self.from()..self.to()).contains(&at)
    }

    /// The day of a moment, where the workspace is.
    pub fn day(self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.zone).date_naive()
    }

    /// A day's first moment: where summer time takes midnight away, the first that there is.
    fn midnight(self, day: NaiveDate) -> DateTime<Utc> {
        let midnight = day.and_time(NaiveTime::MIN);
        let later = (0..=3).filter_map(|hours| {
            self.zone.from_local_datetime(&(midnight + chrono::TimeDelta::hours(hours))).earliest()
        });
        later.map(|at| at.to_utc()).next().unwrap_or_else(|| midnight.and_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_are_those_of_the_calendar_where_the_workspace_is() {
        let span = Span::parse("2026-w47", Tz::Europe__Paris).expect("a week");
        assert_eq!((span.name().as_str(), span.monday.to_string().as_str()), ("2026-W47", "2026-11-16"));
        assert_eq!(span.from().to_rfc3339(), "2026-11-15T23:00:00+00:00");
        assert_eq!(span.to().to_rfc3339(), "2026-11-22T23:00:00+00:00");
        assert_eq!(span.sunday().to_string(), "2026-11-22");
        assert_eq!(span.before().name(), "2026-W46");
        // A year's last days may be of the next year's first week; 2026 has 53 weeks.
        assert_eq!(Span::parse("2026-W53", Tz::UTC).map(Span::name).as_deref(), Some("2026-W53"));
        assert_eq!(Span::parse("2027-W01", Tz::UTC).map(|span| span.before().name()).as_deref(), Some("2026-W53"));
        // Summer time ends within it: it has an hour more.
        let long = Span::parse("2026-W43", Tz::Europe__Paris).expect("a week");
        assert_eq!((long.to() - long.from()).num_hours(), 7 * 24 + 1);
        for bad in ["2026-W54", "2027-W53", "2026-47", "W47", "", "2026-W", "2026-W00", "20266-W10", "2026-W-1"] {
            assert_eq!(Span::parse(bad, Tz::UTC), None, "{bad}");
        }
        let at = "2026-11-22T23:30:00Z".parse().expect("a time");
        assert_eq!(Span::at(at, Tz::UTC).name(), "2026-W47");
        assert_eq!(Span::at(at, Tz::Europe__Paris).name(), "2026-W48");
        // Midnight that does not exist: Beirut's summer time begins at midnight.
        let beirut = Span::parse("2026-W13", Tz::Asia__Beirut).expect("a week");
        assert!(beirut.from() < beirut.to());
    }
}
