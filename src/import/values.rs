//! Amounts, days and times, as spreadsheets of half the world write them.
//!
//! `6/7/2024` and `1.234` mean different things in different places. So a file is looked through first: one day that is
//! beyond the twelfth month, or one amount with two digits after its comma, tells for all of it.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// In which order a file writes day and month where both are numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// `27/06/2024`
    Dmy,
    /// `06/27/2024`
    #[default]
    Mdy,
}

/// What is telling about a file's habits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Habits {
    /// Days that can only be day first, and those that can only be month first.
    pub day_first: u64,
    pub month_first: u64,
    /// Days that can be either.
    pub either: u64,
    /// Amounts whose comma can only stand before cents, and those whose point can.
    pub comma_cents: u64,
    pub point_cents: u64,
}

impl Habits {
    pub(super) fn see_date(&mut self, text: &str) {
        let Some((a, b, separator)) = two_numbers(text) else { return };
        match (a > 12, b > 12) {
            _ if separator == '.' => {}
            (true, false) => self.day_first += 1,
            (false, true) => self.month_first += 1,
            (false, false) if a != b => self.either += 1,
            _ => {}
        }
    }

    pub(super) fn see_amount(&mut self, text: &str) {
        let bare = bare(text);
        match (bare.rfind(','), bare.rfind('.')) {
            (Some(comma), Some(point)) if comma > point => self.comma_cents += 1,
            (Some(_), Some(_)) => self.point_cents += 1,
            (Some(comma), None) if bare.matches(',').count() == 1 && bare.len() - comma != 4 => self.comma_cents += 1,
            (None, Some(point)) if bare.matches('.').count() == 1 && bare.len() - point != 4 => self.point_cents += 1,
            _ => {}
        }
    }

    /// The order of day and month, and whether the file leaves it open.
    pub(super) fn order(&self) -> (Order, bool) {
        let order = if self.day_first > self.month_first { Order::Dmy } else { Order::Mdy };
        (order, self.either > 0 && self.day_first == 0 && self.month_first == 0)
    }

    pub(super) fn comma_is_decimal(&self) -> bool {
        self.comma_cents > self.point_cents
    }
}

/// The first two of three numbers with one separator between them, where the last may be a year.
fn two_numbers(text: &str) -> Option<(u32, u32, char)> {
    let head = text.trim().split([' ', ',', 'T']).next()?;
    let separator = head.chars().find(|c| matches!(c, '/' | '.' | '-'))?;
    let parts: Vec<&str> = head.split(separator).collect();
    let [a, b, year] = parts.as_slice() else { return None };
    let year_last = a.len() <= 2 && b.len() <= 2 && matches!(year.len(), 2 | 4);
    let number = |part: &str| part.parse::<u32>().ok();
    number(year)?;
    year_last.then(|| Some((number(a)?, number(b)?, separator))).flatten()
}

/// A time in UTC as RFC 3339; a day alone is its beginning.
pub(super) fn moment(text: &str, order: Order) -> Result<Value, String> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>()
        && matches!(text.len(), 10 | 13)
    {
        let millis = if text.len() == 13 { number } else { number * 1000 };
        return DateTime::from_timestamp_millis(millis).map(rfc3339).ok_or_else(|| no_date(text));
    }
    for format in
        ["%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S%.f%z"]
    {
        if let Ok(at) = DateTime::parse_from_str(text, format) {
            return Ok(rfc3339(at.to_utc()));
        }
    }
    let text = text.trim_end_matches('Z').trim_end_matches(" UTC");
    let (day, rest) = date(text, order).ok_or_else(|| no_date(text))?;
    let rest = rest.trim_matches(|c: char| c.is_whitespace() || matches!(c, ',' | 'T'));
    let (time, offset) =
        if rest.is_empty() { (NaiveTime::MIN, TimeDelta::zero()) } else { time(rest).ok_or_else(|| no_date(text))? };
    // An offset may lead into the day before or after.
    let at = NaiveDateTime::new(day, time).checked_sub_signed(offset).ok_or_else(|| no_date(text))?;
    Ok(rfc3339(at.and_utc()))
}

/// `YYYY-MM-DD`; a time beside it is left away.
pub(super) fn day(text: &str, order: Order) -> Result<Value, String> {
    let at = moment(text, order)?;
    Ok(at.as_str().and_then(|at| at.get(..10)).map(Value::from).unwrap_or_default())
}

fn no_date(text: &str) -> String {
    format!("`{}` is no date; write it as 2024-06-27", short(text))
}

fn rfc3339(at: DateTime<Utc>) -> Value {
    Value::from(at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// The day at the start of a text, and what follows it.
fn date(text: &str, order: Order) -> Option<(NaiveDate, &str)> {
    if let Some((a, b, separator)) = two_numbers(text) {
        let head = text.split([' ', ',', 'T']).next()?;
        let rest = &text[head.len()..];
        let year: i32 = head.rsplit(separator).next()?.parse().ok()?;
        // As spreadsheets do: up to 49 it is this century.
        let year = if year < 50 {
            2000 + year
        } else if year < 100 {
            1900 + year
        } else {
            year
        };
        let (day, month) = match order {
            _ if separator == '.' => (a, b),
            Order::Dmy => (a, b),
            Order::Mdy => (b, a),
        };
        return NaiveDate::from_ymd_opt(year, month, day).map(|day| (day, rest));
    }
    for format in
        ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d-%b-%Y", "%d %b %Y", "%d. %b %Y", "%b %d, %Y", "%b %d %Y", "%d %b, %Y"]
    {
        if let Ok((day, rest)) = NaiveDate::parse_and_remainder(text, format) {
            return Some((day, rest));
        }
    }
    None
}

/// A time of day, and how far its zone is ahead of UTC.
fn time(text: &str) -> Option<(NaiveTime, TimeDelta)> {
    let text = text.trim().to_uppercase().replace('\u{202f}', " ");
    let formats = ["%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p"];
    if text.ends_with('M') {
        let time = formats[2..].iter().find_map(|format| NaiveTime::parse_from_str(&text, format).ok())?;
        return Some((time, TimeDelta::zero()));
    }
    // An offset of a time beside a day that is no RFC 3339.
    let (bare, offset) = match text.rfind(['+', '-']) {
        Some(at) => (text[..at].trim(), offset(&text[at..])?),
        None => (text.as_str(), TimeDelta::zero()),
    };
    let time = formats[..2].iter().find_map(|format| NaiveTime::parse_from_str(bare, format).ok())?;
    Some((time, offset))
}

fn offset(text: &str) -> Option<TimeDelta> {
    let digits: String = text[1..].chars().filter(char::is_ascii_digit).collect();
    let minutes = digits.get(..2)?.parse::<i64>().ok()? * 60 + digits.get(2..4).map_or(Some(0), |m| m.parse().ok())?;
    Some(TimeDelta::minutes(if text.starts_with('-') { -minutes } else { minutes }))
}

/// `USD 1,234.00`, `€ 1.200.000,50`, `120000`, `1.5m`, `80k`, `(1,234)`.
pub(super) fn amount(text: &str, comma_is_decimal: bool) -> Result<Value, String> {
    let bad = || format!("`{}` is no amount; write 120000", short(text));
    let bare = bare(text);
    let (digits, factor) = match bare.chars().last() {
        Some('k') => (&bare[..bare.len() - 1], 1e3),
        Some('m') => (&bare[..bare.len() - 1], 1e6),
        Some('b') => (&bare[..bare.len() - 1], 1e9),
        _ => (bare.as_str(), 1.0),
    };
    // What stands last, and once, before anything but three digits, is the decimal mark; of these two the file's habit.
    let decimal = match (digits.rfind(','), digits.rfind('.')) {
        (Some(comma), Some(point)) => {
            let last = comma.max(point);
            let mark = &digits[last..=last];
            if digits.matches(mark).count() > 1 {
                return Err(bad());
            }
            Some(last)
        }
        (Some(comma), None) if digits.matches(',').count() == 1 => {
            (comma_is_decimal || digits.len() - comma != 4 || factor > 1.0).then_some(comma)
        }
        (None, Some(point)) if digits.matches('.').count() == 1 => {
            (!comma_is_decimal || digits.len() - point != 4).then_some(point)
        }
        _ => None,
    };
    let plain: String = digits
        .char_indices()
        .filter_map(|(at, c)| match c {
            ',' | '.' => (Some(at) == decimal).then_some('.'),
            other => Some(other),
        })
        .collect();
    let negative = text.trim().starts_with('(') && text.trim().ends_with(')');
    let number = plain.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(bad)?;
    let number = number * factor * if negative { -1.0 } else { 1.0 };
    Number::from_f64(number).map(Value::Number).ok_or_else(bad)
}

/// Without what stands around the digits: currencies, spaces, brackets, and marks between thousands that are none.
fn bare(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, ',' | '.' | '-');
    let bare: String = lower.chars().filter(kept).collect();
    let bare = bare.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    // A currency after the digits is no `k` or `m`.
    let end = bare.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &bare[end.len()..];
    let number = end.trim_end_matches(['.', ',']);
    match unit {
        "k" | "m" | "b" => format!("{number}{unit}"),
        "mio" | "mm" | "mn" => format!("{number}m"),
        "bn" => format!("{number}b"),
        _ => number.to_owned(),
    }
}

pub(super) fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_half_the_world() {
        let cases: [(&str, bool, f64); 18] = [
            ("USD 1,234.00", false, 1234.0),
            ("1234", false, 1234.0),
            ("€ 1.200.000,50", false, 1_200_000.5),
            ("1,234", false, 1234.0),
            ("1,234", true, 1.234),
            ("1.234", true, 1234.0),
            ("1.234", false, 1.234),
            ("12,5", false, 12.5),
            ("1 234 567,8", false, 1_234_567.8),
            ("1\u{202f}234,00 €", false, 1234.0),
            ("1'234.50 CHF", false, 1234.5),
            ("1.5m", false, 1_500_000.0),
            ("80k", false, 80_000.0),
            ("1,2 Mio", false, 1_200_000.0),
            ("(1,234)", false, -1234.0),
            ("-5", false, -5.0),
            ("1,234,567", true, 1_234_567.0),
            ("120000 EUR", false, 120_000.0),
        ];
        for (text, comma, wanted) in cases {
            assert_eq!(amount(text, comma), Ok(Value::from(wanted)), "{text} {comma}");
        }
        for bad in ["lots", "", "1.2.3,4,5x", "--5", "NaN"] {
            assert!(amount(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn days_and_times_of_half_the_world() {
        let cases: [(&str, Order, &str); 21] = [
            ("2024-06-27", Order::Mdy, "2024-06-27T00:00:00Z"),
            ("2024/06/27", Order::Mdy, "2024-06-27T00:00:00Z"),
            ("2024-06-27T10:00:00.000Z", Order::Mdy, "2024-06-27T10:00:00Z"),
            ("2024-06-27T10:00:00.000+0000", Order::Mdy, "2024-06-27T10:00:00Z"),
            ("2024-06-27T10:00:00+02:00", Order::Mdy, "2024-06-27T08:00:00Z"),
            ("2024-06-27 10:05", Order::Mdy, "2024-06-27T10:05:00Z"),
            ("2024-06-27 10:05:09 UTC", Order::Mdy, "2024-06-27T10:05:09Z"),
            ("6/27/2024", Order::Mdy, "2024-06-27T00:00:00Z"),
            ("6/27/2024, 3:05 PM", Order::Mdy, "2024-06-27T15:05:00Z"),
            ("27/06/2024 10:05", Order::Dmy, "2024-06-27T10:05:00Z"),
            ("6/7/2024", Order::Mdy, "2024-06-07T00:00:00Z"),
            ("6/7/2024", Order::Dmy, "2024-07-06T00:00:00Z"),
            ("27.06.2024, 10:05", Order::Mdy, "2024-06-27T10:05:00Z"),
            ("27.06.2024 01:00 +02:00", Order::Mdy, "2024-06-26T23:00:00Z"),
            ("27/06/2024 23:30 -0100", Order::Dmy, "2024-06-28T00:30:00Z"),
            ("27.6.24", Order::Mdy, "2024-06-27T00:00:00Z"),
            ("27 Jun 2024", Order::Mdy, "2024-06-27T00:00:00Z"),
            ("Jun 27, 2024", Order::Mdy, "2024-06-27T00:00:00Z"),
            ("27-Jun-2024", Order::Mdy, "2024-06-27T00:00:00Z"),
            ("1719482700", Order::Mdy, "2024-06-27T10:05:00Z"),
            ("1719482700000", Order::Mdy, "2024-06-27T10:05:00Z"),
        ];
        for (text, order, wanted) in cases {
            assert_eq!(moment(text, order), Ok(Value::from(wanted)), "{text} {order:?}");
        }
        for bad in ["soon", "2024-13-01", "31/02/2024", "12", "6/27/2024 25:00"] {
            assert!(moment(bad, Order::Dmy).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_tells_its_habits() {
        let mut habits = Habits::default();
        habits.see_date("6/7/2024");
        assert_eq!(habits.order(), (Order::Mdy, true), "it may be either");
        habits.see_date("27/06/2024 10:00");
        assert_eq!(habits.order(), (Order::Dmy, false));
        habits.see_amount("1,234");
        assert!(!habits.comma_is_decimal());
        habits.see_amount("1.234,56");
        assert!(habits.comma_is_decimal());
    }
}
