//! When a stream has its turn: cron with a time zone.
//!
//! The law: every firing happens once. A time that daylight saving skips fires once, late, at the end of the gap (the
//! `cron` crate would leave the whole day out); a time that comes twice fires at its first coming. What runs every hour
//! follows real time through both.
//!
//! Weekdays are cron's own: 0 and 7 are Sunday, 1 is Monday (the crate counts from Sunday = 1).

use std::str::FromStr;

use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use cron::TimeUnitSpec;

/// A cron expression and the time zone that it is read in. Equal when both were written the same.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// As it was written.
    pub cron: String,
    pub zone: Tz,
    parsed: cron::Schedule,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.cron == other.cron && self.zone == other.zone
    }
}

impl Schedule {
    /// Five fields (minute hour day month weekday), six (seconds first) or `@hourly` and the like.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn parse(text: &str, zone: &str) -> Result<Self, String> {
        let zone = Tz::from_str(zone)
            .map_err(|_| format!("there is no time zone {zone:?}; write an IANA name such as Europe/Paris"))?;
        Self::parse_in(text, zone)
    }

    /// # Errors
    /// What is wrong, for people.
    pub fn parse_in(text: &str, zone: Tz) -> Result<Self, String> {
        let parsed = cron::Schedule::from_str(&normal(text)?).map_err(|error| {
            let why = error.to_string();
            format!("{text:?} is no schedule: {}", why.lines().next().unwrap_or_default().trim())
        })?;
        let schedule = Self { cron: text.trim().to_owned(), zone, parsed };
        if schedule.after(DateTime::UNIX_EPOCH + Duration::days(56 * 365)) == DateTime::<Utc>::MAX_UTC {
            return Err(format!("{text:?} never comes"));
        }
        Ok(schedule)
    }

    /// The next firing after `time`.
    pub fn after(&self, time: DateTime<Utc>) -> DateTime<Utc> {
        let local = time.with_timezone(&self.zone);
        let wall = local.naive_local();
        if self.parsed.hours().count() == 24 {
            let offset = wall - time.naive_utc();
            return self.walls(wall).next().map_or(DateTime::<Utc>::MAX_UTC, |next| (next - offset).and_utc());
        }
        // A firing that fell into the gap before `wall` was moved to the gap's end, so at most a day's are looked at.
        let candidates = self.walls(wall - Duration::hours(3)).take(20_000);
        // Walls come in order, and a moved one never overtakes the next: the first that is later is the next.
        let mut instants = candidates.map(|wall| self.instant(wall));
        instants.find(|instant| *instant > time).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Firings as the clock on the wall would show them, in order.
    fn walls(&self, after: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> {
        self.parsed.after_owned(after.and_utc()).map(|time| time.naive_utc())
    }

    fn instant(&self, wall: NaiveDateTime) -> DateTime<Utc> {
        match self.zone.from_local_datetime(&wall) {
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time.to_utc(),
            LocalResult::None => {
                // The gap's end is the first minute that exists; no zone skips more than a day.
                let minute = wall - Duration::seconds(wall.and_utc().timestamp().rem_euclid(60));
                let later = (1..=24 * 60).map(|minutes| minute + Duration::minutes(minutes));
                let end = later.into_iter().find_map(|wall| self.zone.from_local_datetime(&wall).earliest());
                end.map_or(DateTime::<Utc>::MAX_UTC, |end| end.to_utc())
            }
        }
    }
}

/// In the crate's form: seconds first, weekdays by name.
fn normal(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.starts_with('@') {
        return Ok(text.to_owned());
    }
    let mut fields: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    match fields.len() {
        5 => fields.insert(0, "0".to_owned()),
        6 | 7 => {}
        count => {
            return Err(format!(
                "{text:?} has {count} fields; a schedule has five (minute hour day month weekday), or six with seconds first"
            ));
        }
    }
    let any = |field: &str| field == "*" || field == "?";
    if !any(&fields[3]) && !any(&fields[5]) {
        return Err(format!("{text:?} names a day of the month and a weekday; name one and write * for the other"));
    }
    fields[5] = weekdays(&fields[5])?;
    Ok(fields.join(" "))
}

fn weekdays(field: &str) -> Result<String, String> {
    const NAMES: [&str; 8] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
    let day = |text: &str| match text.parse::<usize>() {
        Ok(number) => NAMES
            .get(number)
            .map(|name| (*name).to_owned())
            .ok_or_else(|| format!("there is no weekday {number}; 0 is Sunday, 6 Saturday")),
        Err(_) => Ok(text.to_owned()),
    };
    let item = |item: &str| {
        let (days, step) = item.split_once('/').map_or((item, None), |(days, step)| (days, Some(step)));
        let days = days.split('-').map(day).collect::<Result<Vec<_>, _>>()?.join("-");
        Ok(step.map_or(days.clone(), |step| format!("{days}/{step}")))
    };
    Ok(field.split(',').map(item).collect::<Result<Vec<String>, String>>()?.join(","))
}
