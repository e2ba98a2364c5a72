//! Queries: names that are names, texts that are quoted, lists cut so that they fit into an address.
//! ("SOQL and SOSL Reference: quoted strings", read 2026-11-23.)

use chrono::{DateTime, Utc};

/// Address and headers may hold 16,384 bytes together; the rest is for them.
pub(super) const ROOM: usize = 12_000;

/// The most rows of one page.
pub(super) const PAGE: usize = 2000;

/// An API name of an object or field: nothing that could end a query's clause.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 128
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A text as a literal.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for letter in text.chars() {
        match letter {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            letter => out.push(letter),
        }
    }
    out.push('\'');
    out
}

/// An instant, which stands without quotes. To the second, as Salesforce keeps it.
pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long a text is in an address.
pub(super) fn encoded_length(text: &str) -> usize {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) { 1 } else { 3 }).sum()
}

/// Lists of so many values that each fits into a query beside `taken` bytes, as literals; a value is never cut.
pub(super) fn lists(values: &[String], taken: usize) -> Vec<&[String]> {
    let room = ROOM.saturating_sub(taken).max(200);
    let (mut lists, mut begin, mut used) = (Vec::new(), 0, 0);
    for (at, value) in values.iter().enumerate() {
        let size = encoded_length(&quoted(value)) + 3;
        if used + size > room && at > begin {
            lists.push(&values[begin..at]);
            (begin, used) = (at, 0);
        }
        used += size;
    }
    if begin < values.len() {
        lists.push(&values[begin..]);
    }
    lists
}

/// `field IN ('a','b')`
pub(super) fn among(field: &str, values: &[String]) -> String {
    format!("{field} IN ({})", values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(","))
}

/// An id as Salesforce writes it, 18 characters; one of 15 gets its last three. What is no id stays as it is.
pub(super) fn long_id(id: &str) -> String {
    let id = id.trim();
    if id.len() != 15 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    let mut long = id.to_owned();
    for part in id.as_bytes().chunks(5) {
        let capitals = part.iter().enumerate().filter(|(_, byte)| byte.is_ascii_uppercase());
        let sum: usize = capitals.map(|(place, _)| 1 << place).sum();
        long.push(char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[sum]));
    }
    long
}
