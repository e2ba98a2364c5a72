//! Pieces of what people said and called things, short enough for a digest. What is quoted is never changed: it is a span of
//! the original, or it is not quoted.

use crate::report::voices::Voice;
use crate::triage::sentences;

/// Of a quote.
const LEAST_WORDS: usize = 4;
const MOST_WORDS: usize = 32;
const MOST_CHARS: usize = 240;

/// In one line, cut at a word where it is too long.
pub(super) fn clip(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let cut: String = line.chars().take(most - 1).collect();
    let end = cut.rfind(' ').filter(|end| *end > most / 2).unwrap_or(cut.len());
    format!("{}…", cut[..end].trim_end_matches([',', '.', ' ', ';', ':']))
}

pub(super) fn title(item: &Voice) -> Option<String> {
    let words = item.words.as_ref()?;
    let text = words.title.as_deref().or(words.verbatim.as_deref())?;
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    Some(clip(line, 60))
}

/// Whether it can stand in a digest as it is.
pub(super) fn is_short(text: &str) -> bool {
    let words = text.split_whitespace().count();
    (2..=MOST_WORDS).contains(&words) && text.chars().count() <= MOST_CHARS && !text.contains('\n') && is_fit(text)
}

/// The sentence to quote: of a sign of risk its words, else the first that says something. It names no addresses and no
/// numbers that may be somebody's own.
pub(super) fn quotable(item: &Voice) -> Option<String> {
    let words = item.words.as_ref()?;
    let verbatim = words.verbatim.as_deref()?;
    let sign = item.risk.iter().flat_map(|risk| &risk.reasons).max_by(|a, b| a.weight.total_cmp(&b.weight));
    if let Some(sign) = sign
        && let Some(at) = verbatim.find(sign.quote.text.as_str()).filter(|_| !sign.quote.text.is_empty())
        && let Some(sentence) = sentences(verbatim).into_iter().find(|sentence| {
            let start = sentence.as_ptr() as usize - verbatim.as_ptr() as usize;
            (start..start + sentence.len()).contains(&at)
        })
        && is_quotable(sentence)
    {
        return Some(sentence.to_owned());
    }
    sentences(verbatim).into_iter().find(|sentence| is_quotable(sentence) && !is_greeting(sentence)).map(str::to_owned)
}

fn is_quotable(sentence: &str) -> bool {
    let count = sentence.split_whitespace().count();
    (LEAST_WORDS..=MOST_WORDS).contains(&count) && sentence.chars().count() <= MOST_CHARS && is_fit(sentence)
}

fn is_fit(text: &str) -> bool {
    let digits = text.split(|c: char| !(c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '/' | '(' | ')')));
    let long_number = digits.map(|run| run.bytes().filter(u8::is_ascii_digit).count()).max().unwrap_or(0) > 6;
    let long_word = text.split_whitespace().any(|word| word.chars().count() > 30);
    let marks = ['@', '<', '>', '`', '|', '[', ']', '{', '}', '*', '_', '#', '\u{201C}', '\u{201D}', '"'];
    !long_number && !long_word && !text.contains(marks) && !text.contains("://")
}

fn is_greeting(sentence: &str) -> bool {
    let first = sentence.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default().to_lowercase();
    matches!(first.as_str(), "hi" | "hello" | "hey" | "dear" | "bonjour" | "salut" | "thanks" | "thank" | "merci")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_is_cut_at_a_word() {
        assert_eq!(clip("short", 60), "short");
        assert_eq!(clip("a line\nand  another", 60), "a line and another");
        assert_eq!(clip("exports of large sheets fail again", 20), "exports of large…");
        assert_eq!(clip("ééééééééééééééééééééééééé", 10), "ééééééééé…");
    }

    #[test]
    fn what_may_name_a_person_is_not_quoted() {
        assert!(is_quotable("The export fails on large sheets."));
        for text in [
            "Write to ada@lumen.example.com please now.",
            "Call me on 06 12 34 56 78 today please.",
            "See https://lumen.example.com for more of it.",
        ] {
            assert!(!is_quotable(text), "{text}");
        }
    }
}
