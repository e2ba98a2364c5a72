//! Whether a text that a model wrote about a week may be shown: its numbers, its quotes, its names.

use super::numbers::{self, TAKEN, plain, without_phrases};
use super::week::Week;

/// # Errors
/// What does not hold, in words for whoever wrote it.
pub fn check(text: &str, week: &Week) -> Result<(), String> {
    if text.contains(['<', '>', '[', ']', '{', '}', '#', '|']) || text.contains("://") || text.contains("&") {
        return Err("write plain sentences and lists: no headings, links, tables, block quotes or HTML".into());
    }
    quotes(text, week)?;
    let known = week.known();
    numbers::check(text, &known)?;
    names(&without_phrases(&plain(text), &known), week)
}

/// What stands between quotation marks was said so, or is a name.
fn quotes(text: &str, week: &Week) -> Result<(), String> {
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\u{201C}', '\u{201D}', '\u{AB}', '\u{BB}', '\u{201E}']) {
        let mark = rest[at..].chars().next().unwrap_or('"');
        let after = &rest[at + mark.len_utf8()..];
        let closing: &[char] = match mark {
            '"' => &['"'],
            '\u{201C}' | '\u{201E}' => &['\u{201D}', '\u{201C}'],
            '\u{AB}' => &['\u{BB}'],
            _ => return Err("a quotation ends that never began".into()),
        };
        let end = after.find(closing).ok_or("a quotation does not end")?;
        let quoted = after[..end].trim();
        let said =
            |phrase: &str| phrase == quoted || (quoted.split_whitespace().count() > 1 && is_span(phrase, quoted));
        if !week.phrases().any(said) {
            return Err(format!("nobody said “{quoted}” in these words: quote only what is given, unchanged"));
        }
        let closed = after[end..].chars().next().map_or(1, char::len_utf8);
        rest = &after[end + closed..];
    }
    Ok(())
}

/// Whole words of it.
fn is_span(phrase: &str, quoted: &str) -> bool {
    phrase.match_indices(quoted).any(|(at, _)| {
        let before = phrase[..at].chars().next_back();
        let after = phrase[at + quoted.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

/// What may begin with a capital besides names.
const CAPITALS: [&str; 14] = [
    "i",
    "i'm",
    "arr",
    "voice",
    "customer",
    "customers",
    "voc",
    "nps",
    "segment",
    "product",
    "source",
    "theme",
    "week",
    "we",
];

/// A name that we did not give is made up. At the beginning of a sentence any word has a capital, and nothing can be told.
fn names(text: &str, week: &Week) -> Result<(), String> {
    let given: std::collections::BTreeSet<String> = week
        .phrases()
        .flat_map(|phrase| phrase.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).collect::<Vec<_>>())
        .collect();
    for line in text.lines() {
        let mut begins = true;
        for part in line.split_whitespace() {
            let word = part.trim_matches(|c: char| !c.is_alphanumeric() && c != TAKEN);
            if word.chars().any(|c| c.is_alphabetic() && c > '\u{24F}') {
                return Err(format!("`{word}` is not written in Latin letters"));
            }
            let bare = word.split(['\'', '\u{2019}', '-', '/']).next().unwrap_or_default().to_lowercase();
            let capital = word.chars().next().is_some_and(char::is_uppercase);
            let holds_digits = word.bytes().any(|byte| byte.is_ascii_digit());
            let month = numbers::is_month(&bare);
            if capital
                && !begins
                && !holds_digits
                && !month
                && !given.contains(&bare)
                && !CAPITALS.contains(&bare.as_str())
            {
                return Err(format!("`{word}` is a name that is not in the data"));
            }
            begins = part.ends_with(['.', '!', '?', ':', ';']) || (begins && word.is_empty());
        }
    }
    Ok(())
}
