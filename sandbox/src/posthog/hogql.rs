//! The little HogQL that is understood:
//!
//! `SELECT 1`, and
//! `SELECT d, a, f, u, c FROM (…) [WHERE condition] ORDER BY d, a, f, u LIMIT n`, where the inner query names two days as
//! `toDate('…')`, and the condition compares `d`, `a`, `f`, `u` (day, account, feature, user; nothing is the empty text) with texts by
//! `=` and `>`, with AND, OR and parentheses.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::used::Used;

const ROWS: usize = 100;
const MOST: usize = 50_000;
const OUTER: &str = "SELECT d, a, f, u, c FROM (";
const ORDER: &str = " ORDER BY d, a, f, u";

pub(super) enum Query {
    One,
    Rows { since: NaiveDate, until: NaiveDate, condition: Option<Condition>, limit: usize },
}

pub(super) enum Condition {
    Compare { column: usize, ordering: Ordering, value: String },
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

impl Query {
    /// # Errors
    /// What is not understood, in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("select 1") {
            return Ok(Self::One);
        }
        let rest = text
            .trim()
            .strip_prefix(OUTER)
            .ok_or("mismatched input: the sandbox knows only queries of five columns")?;
        let (inner, rest) = close(rest).ok_or("mismatched input '<EOF>' expecting ')'")?;
        let mut days = inner
            .match_indices("toDate('")
            .filter_map(|(at, found)| inner.get(at + found.len()..at + found.len() + 10)?.parse().ok());
        let (Some(since), Some(until)) = (days.next(), days.next()) else {
            return Err("the sandbox expects two days, as toDate('2026-11-23')".into());
        };
        let (condition, rest) = match rest.trim_start().strip_prefix("WHERE ") {
            Some(rest) => {
                let mut words = Words { text: rest };
                let condition = words.any()?;
                (Some(condition), words.text)
            }
            None => (None, rest),
        };
        let rest = format!(" {}", rest.trim_start());
        let rest = rest.strip_prefix(ORDER).ok_or("the sandbox expects ORDER BY d, a, f, u")?;
        let limit = match rest.trim().strip_prefix("LIMIT ") {
            Some(limit) => limit.trim().parse().map_err(|_| "LIMIT must be a number")?,
            None if rest.trim().is_empty() => ROWS,
            None => return Err(format!("extraneous input '{}'", rest.trim())),
        };
        Ok(Self::Rows { since, until, condition, limit: limit.min(MOST) })
    }

    pub(super) fn columns(&self) -> &'static [&'static str] {
        match self {
            Self::One => &["1"],
            Self::Rows { .. } => &["d", "a", "f", "u", "c"],
        }
    }

    pub(super) fn limit(&self) -> usize {
        match self {
            Self::One => ROWS,
            Self::Rows { limit, .. } => *limit,
        }
    }

    pub(super) fn run(&self, rows: &[Used]) -> Vec<Vec<String>> {
        let Self::Rows { since, until, condition, limit } = self else { return vec![vec!["1".to_owned()]] };
        let mut sums: BTreeMap<[String; 4], u64> = BTreeMap::new();
        for row in rows.iter().filter(|row| *since <= row.day && row.day <= *until) {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let key = [row.day.to_string(), text(&row.account), row.feature.clone(), text(&row.user)];
            if condition.as_ref().is_none_or(|condition| condition.holds(&key)) {
                *sums.entry(key).or_default() += row.count;
            }
        }
        let rows = sums.into_iter().take(*limit);
        rows.map(|(key, count)| key.into_iter().chain([count.to_string()]).collect()).collect()
    }
}

impl Condition {
    fn holds(&self, row: &[String; 4]) -> bool {
        match self {
            Self::Compare { column, ordering, value } => row[*column].cmp(value) == *ordering,
            Self::All(parts) => parts.iter().all(|part| part.holds(row)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(row)),
        }
    }
}

/// What stands before the parenthesis that closes, and what follows it; texts in quotes are passed over.
fn close(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[..at], &text[at + 1..]));
        }
    }
    None
}

struct Words<'a> {
    text: &'a str,
}

impl Words<'_> {
    fn eat(&mut self, word: &str) -> bool {
        let rest = self.text.trim_start().strip_prefix(word);
        if let Some(rest) = rest {
            self.text = rest;
        }
        rest.is_some()
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.all()?];
        while self.eat("OR ") {
            parts.push(self.all()?);
        }
        Ok(Condition::Any(parts))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.one()?];
        while self.eat("AND ") {
            parts.push(self.one()?);
        }
        Ok(Condition::All(parts))
    }

    fn one(&mut self) -> Result<Condition, String> {
        if self.eat("(") {
            let inner = self.any()?;
            return if self.eat(")") { Ok(inner) } else { Err("missing ')'".into()) };
        }
        let column =
            ["d ", "a ", "f ", "u "].iter().position(|name| self.eat(name)).ok_or("Unable to resolve field")?;
        let ordering = match (self.eat(">"), self.eat("=")) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Equal,
            _ => return Err("the sandbox knows = and >".into()),
        };
        Ok(Condition::Compare { column, ordering, value: self.quoted()? })
    }

    fn quoted(&mut self) -> Result<String, String> {
        if !self.eat("'") {
            return Err("a text in quotes is expected".into());
        }
        let mut value = String::new();
        let mut letters = self.text.char_indices();
        while let Some((at, c)) = letters.next() {
            match c {
                '\'' => {
                    self.text = &self.text[at + 1..];
                    return Ok(value);
                }
                '\\' => match letters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, 'r')) => value.push('\r'),
                    Some((_, 't')) => value.push('\t'),
                    Some((_, '0')) => value.push('\0'),
                    Some((_, c)) => value.push(c),
                    None => break,
                },
                c => value.push(c),
            }
        }
        Err("a text without its end".into())
    }
}
