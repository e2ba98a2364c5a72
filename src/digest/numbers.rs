//! The numbers that a text states, however it writes them, held against those that we computed.
//!
//! Laws:
//! - What is written as a number must be one of ours, in its own kind: money is no count, and a share is neither.
//! - Rounding is ours: `1.2M` stands for 1,234,567 where we show it so, and `1.23M` does not.
//! - A ratio (`twice`, `a third`, `3x`) is never ours: we state none.
//! - What cannot be read as a number of ours is refused. A refusal costs a better text, a false number costs trust.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate};

/// What a text may state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    pub counts: BTreeSet<u64>,
    /// Of those, what counts customers, and what counts pieces of feedback: `12 customers` must be of the one.
    pub customers: BTreeSet<u64>,
    pub pieces: BTreeSet<u64>,
    /// By how much something rose, and fell.
    pub ups: BTreeSet<u64>,
    pub downs: BTreeSet<u64>,
    /// Amounts, exact and as we show them.
    pub money: Vec<f64>,
    /// Whole percents.
    pub shares: BTreeSet<u64>,
    pub days: BTreeSet<NaiveDate>,
    /// The number of the week, of which one says `week 47`.
    pub week: Option<u64>,
    /// How many things we put in an order: `the third` needs three.
    pub ranks: u64,
    /// Names and quotes: what stands in them is theirs.
    pub phrases: BTreeSet<String>,
    /// What is written in one piece and holds digits, in lower case: `fb-7k3q9x`, `2026-w47`.
    pub tokens: BTreeSet<String>,
}

/// A word of the text, as numbers need it.
struct Word {
    /// As it stands, without punctuation around it.
    text: String,
    lower: String,
    /// A sentence or a line ends behind it.
    ends: bool,
}

/// Stands where a name or a quote was.
pub(super) const TAKEN: char = '\u{E000}';

/// Checks every number of a text.
///
/// # Errors
/// The first that is not ours, in words for whoever wrote it.
pub fn check(text: &str, known: &Known) -> Result<(), String> {
    let text = without_phrases(&plain(text), known);
    if let Some(strange) = text.chars().find(|c| c.is_numeric() && !c.is_ascii_digit()) {
        return Err(format!("`{strange}` is no plain digit"));
    }
    let words = words(&text);
    let mut at = 0;
    while at < words.len() {
        at += one(&words, at, known)?.max(1);
    }
    Ok(())
}

/// Without what does not show: emphasis would hide `1**2**`, and a zero-width space `1\u{200B}2`.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let chars: Vec<char> = text.chars().collect();
    for (at, c) in chars.iter().enumerate() {
        let between = |test: fn(&char) -> bool| {
            at > 0 && chars.get(at - 1).is_some_and(test) && chars.get(at + 1).is_some_and(test)
        };
        match c {
            '*' | '`' | '~' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' | '\u{AD}' => {}
            // Groups of a number: 1 200 000.
            '\u{A0}' | '\u{202F}' | '\u{2009}' | '\u{2007}' if between(char::is_ascii_digit) => plain.push('_'),
            '\u{A0}' | '\u{202F}' | '\u{2009}' | '\u{2007}' => plain.push(' '),
            '_' if !between(char::is_ascii_digit) => {}
            '\u{2212}' | '\u{2010}' | '\u{2011}' => plain.push('-'),
            c => plain.push(*c),
        }
    }
    plain
}

/// Puts a mark where a name or quote of ours stands, longest first.
pub(super) fn without_phrases(text: &str, known: &Known) -> String {
    let mut phrases: Vec<String> = known.phrases.iter().map(|phrase| plain(phrase)).collect();
    phrases.sort_by_key(|phrase| (std::cmp::Reverse(phrase.len()), phrase.clone()));
    let mut text = text.to_owned();
    for phrase in phrases.iter().filter(|phrase| phrase.chars().filter(|c| c.is_alphabetic()).count() > 1) {
        let mut rest = text.as_str();
        let mut out = String::with_capacity(text.len());
        while let Some(at) = rest.find(phrase.as_str()) {
            let end = at + phrase.len();
            let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let before = rest[..at].chars().next_back().or(out.chars().next_back());
            let joined_before = inside(before) && inside(phrase.chars().next());
            let joined_after = inside(rest[end..].chars().next()) && inside(phrase.chars().next_back());
            out.push_str(&rest[..at]);
            if joined_before || joined_after {
                out.push_str(phrase);
            } else {
                out.push(TAKEN);
            }
            rest = &rest[end..];
        }
        out.push_str(rest);
        text = out;
    }
    text
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    for line in text.lines() {
        // The number of a list's item is its place, not a statement.
        let line = line.trim_start();
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let listed = (1..=2).contains(&digits) && line[digits..].starts_with(". ");
        let line = if listed { &line[digits + 2..] } else { line };
        for part in line
            .split(|c: char| c.is_whitespace() || matches!(c, '\u{2013}' | '\u{2014}' | '(' | ')' | '[' | ']' | '|'))
        {
            let ends = part.ends_with(['.', '!', '?', ':', ';']);
            let kept = |c: char| c.is_alphanumeric() || matches!(c, '%' | '+' | '-' | '=' | TAKEN) || is_currency(c);
            let text = part.trim_matches(|c: char| !kept(c)).trim_end_matches(['-', '+', '=']);
            if text.is_empty() {
                if let (true, Some(last)) = (ends, words.last_mut()) {
                    let last: &mut Word = last;
                    last.ends = true;
                }
                continue;
            }
            words.push(Word { text: text.to_owned(), lower: text.to_lowercase(), ends });
        }
        if let Some(last) = words.last_mut() {
            last.ends = true;
        }
    }
    words
}

fn is_currency(c: char) -> bool {
    matches!(c, '$' | '€' | '£' | '¥' | '₹')
}

/// Looks at the word at `at`, and says how many words that took.
fn one(words: &[Word], at: usize, known: &Known) -> Result<usize, String> {
    let word = &words[at];
    if known.tokens.contains(&word.lower) {
        return Ok(1);
    }
    if let Some(taken) = date(words, at, known)? {
        return Ok(taken);
    }
    if word.text.chars().any(|c| c.is_ascii_digit()) {
        return digits(words, at, known);
    }
    refuse_ratio(words, at)?;
    if let Some((value, taken)) = spelt(words, at) {
        let alone = taken == 1 && word.lower == "one" || word.lower == "single";
        if alone && is_pronoun(words, at) {
            return Ok(1);
        }
        let shown = words[at..at + taken].iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        return stated(words, at, taken, &shown, Number { value, ..Number::default() }, known);
    }
    if let Some(rank) = ordinal(&word.lower) {
        return if rank <= known.ranks.max(1) || known.counts.contains(&rank) {
            Ok(1)
        } else {
            Err(format!("`{}` is a place that nothing has", word.text))
        };
    }
    Ok(1)
}

/// A number as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Number {
    value: f64,
    /// It has a currency, a `k` or an `M`: an amount.
    money: bool,
    percent: bool,
    /// `+4`, `-4`.
    sign: Option<bool>,
    ordinal: bool,
    /// It could also be read so: `1.200`.
    or: Option<f64>,
}

fn digits(words: &[Word], at: usize, known: &Known) -> Result<usize, String> {
    let word = &words[at];
    if let Some(number) = read(&word.lower) {
        // Groups apart by plain spaces: 1 200 000.
        if number.value < 1000.0 && word.lower.bytes().all(|byte| byte.is_ascii_digit()) {
            let groups = words[at + 1..]
                .iter()
                .take_while(|word| word.lower.len() == 3 && word.lower.bytes().all(|byte| byte.is_ascii_digit()));
            let groups: Vec<&str> = groups.map(|word| word.lower.as_str()).collect();
            if !groups.is_empty() {
                let joined = format!("{}{}", word.lower, groups.concat());
                let number = Number { value: joined.parse().unwrap_or(f64::NAN), ..number };
                if let Ok(taken) = stated(words, at, groups.len() + 1, &joined, number, known) {
                    return Ok(taken);
                }
            }
        }
        return stated(words, at, 1, &word.text, number, known);
    }
    let parts: Vec<&str> = word.lower.split('-').filter(|part| !part.is_empty()).collect();
    if parts.len() > 1 && !word.lower.contains('/') {
        for part in parts {
            let part = Word { text: part.to_owned(), lower: part.to_owned(), ends: true };
            one(&[part], 0, known)?;
        }
        return Ok(1);
    }
    Err(format!("`{}` is not in the data", word.text))
}

/// Whether a number of the text is one of ours.
fn stated(
    words: &[Word],
    at: usize,
    taken: usize,
    shown: &str,
    mut number: Number,
    known: &Known,
) -> Result<usize, String> {
    let mut taken = taken;
    let word = |index: usize| words.get(index).map(|word| word.lower.as_str());
    let joined = |index: usize| !words.get(index).is_none_or(|word| word.ends);
    let mut next = if joined(at + taken - 1) { word(at + taken) } else { None };
    if let Some(scale) = next.and_then(scale) {
        (number.value, number.money, number.or) = (number.value * scale, true, None);
        taken += 1;
        next = if joined(at + taken - 1) { word(at + taken) } else { None };
    }
    match next {
        Some("%" | "percent" | "percentage" | "pct" | "pp") => (number.percent, taken) = (true, taken + 1),
        Some("per") if word(at + taken + 1) == Some("cent") => (number.percent, taken) = (true, taken + 2),
        Some("eur" | "euro" | "euros" | "usd" | "dollars" | "gbp" | "pounds" | "chf") => {
            (number.money, taken) = (true, taken + 1);
        }
        Some("times" | "fold" | "x" | "times'") => {
            return Err(format!("`{shown} times` is a ratio, and the data has none"));
        }
        Some("of" | "in") if number.ordinal => {}
        _ => {}
    }
    let before = at.checked_sub(1).and_then(|index| words.get(index)).filter(|word| !word.ends);
    if before.is_some_and(|word| matches!(word.lower.as_str(), "eur" | "usd" | "gbp" | "chf" | "us$")) {
        number.money = true;
    }
    let not_ours = || Err(format!("`{shown}` is not in the data"));
    let whole = whole(number.value);
    if number.percent {
        return if whole.is_some_and(|whole| known.shares.contains(&whole)) { Ok(taken) } else { not_ours() };
    }
    if number.ordinal {
        return match whole {
            Some(rank) if rank <= known.ranks.max(1) => Ok(taken),
            _ => not_ours(),
        };
    }
    if !number.money && before.is_some_and(|word| word.lower == "week") {
        return if whole.is_some() && whole == known.week { Ok(taken) } else { not_ours() };
    }
    if let (Some(rose), Some(whole), false) = (direction(words, at, taken, number.sign), whole, number.money) {
        let changes = if rose { &known.ups } else { &known.downs };
        return if changes.contains(&whole) { Ok(taken) } else { not_ours() };
    }
    if let (Some(whole), Some(of), false) = (whole, counted(words, at + taken, known), number.money) {
        return if of.contains(&whole) { Ok(taken) } else { not_ours() };
    }
    let amount = |value: f64| known.money.iter().any(|ours| (ours - value).abs() <= ours.abs() * 1e-9);
    let is_ours =
        |value: f64| amount(value) || (!number.money && self::whole(value).is_some_and(|whole| is_count(whole, known)));
    if is_ours(number.value) || number.or.is_some_and(is_ours) { Ok(taken) } else { not_ours() }
}

/// What a number counts, where the word behind it, or the one after that, says so.
fn counted<'a>(words: &[Word], from: usize, known: &'a Known) -> Option<&'a BTreeSet<u64>> {
    if from.checked_sub(1).and_then(|last| words.get(last)).is_none_or(|last| last.ends) {
        return None;
    }
    for word in words.get(from..)?.iter().take(2) {
        match word.lower.as_str() {
            "customer" | "customers" | "account" | "accounts" | "company" | "companies" => {
                return Some(&known.customers);
            }
            "piece" | "pieces" | "item" | "items" | "messages" | "requests" | "complaints" => {
                return Some(&known.pieces);
            }
            // `5 of 7 customers`: the second number is looked at for itself.
            "of" | "from" | "and" | "or" | "to" => return None,
            _ if word.ends || word.lower.contains(|c: char| c.is_ascii_digit()) => return None,
            _ => {}
        }
    }
    None
}

/// Counts and years.
fn is_count(whole: u64, known: &Known) -> bool {
    let year = |day: &NaiveDate| u64::try_from(day.year()).is_ok_and(|year| year == whole);
    known.counts.contains(&whole) || known.days.iter().any(year)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a small whole number")]
fn whole(value: f64) -> Option<u64> {
    (value.fract() == 0.0 && (0.0..1e15).contains(&value)).then_some(value as u64)
}

/// Whether it is said to have risen or fallen by this number.
fn direction(words: &[Word], at: usize, taken: usize, sign: Option<bool>) -> Option<bool> {
    if sign.is_some() {
        return sign;
    }
    if !words.get(at + taken - 1).is_none_or(|word| word.ends) {
        match words.get(at + taken).map(|word| word.lower.as_str()) {
            Some("more") => return Some(true),
            Some("fewer" | "less") => return Some(false),
            _ => {}
        }
    }
    for word in words[..at].iter().rev().take(3).take_while(|word| !word.ends) {
        match word.lower.as_str() {
            "from" | "to" | "at" => return None,
            "up" | "rose" | "rising" | "grew" | "gained" | "increased" | "increase" | "climbed" | "rise" | "growth"
            | "plus" => {
                return Some(true);
            }
            "down" | "fell" | "dropped" | "decreased" | "decrease" | "declined" | "shrank" | "lost" | "drop"
            | "fall" | "minus" => {
                return Some(false);
            }
            _ => {}
        }
    }
    None
}

fn scale(word: &str) -> Option<f64> {
    Some(match word {
        "thousand" | "k" => 1e3,
        "million" | "m" | "mn" => 1e6,
        "billion" | "bn" => 1e9,
        _ => return None,
    })
}

/// `1,200`, `€1.2M`, `+4`, `12%`, `3rd`; nothing else.
fn read(word: &str) -> Option<Number> {
    let mut number = Number::default();
    let mut rest = word;
    for (mark, sign) in [('+', true), ('-', false)] {
        if let Some(after) = rest.strip_prefix(mark) {
            (number.sign, rest) = (Some(sign), after);
        }
    }
    let bare = rest.trim_start_matches("us").trim_start_matches(is_currency);
    if bare.len() != rest.len() {
        (number.money, rest) = (true, bare);
    }
    let bare = rest.trim_end_matches(is_currency);
    if bare.len() != rest.len() {
        (number.money, rest) = (true, bare);
    }
    let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | '_' | '\''))).unwrap_or(rest.len());
    let (figures, suffix) = rest.split_at(end);
    let factor = match suffix {
        "" => 1.0,
        "%" => {
            number.percent = true;
            1.0
        }
        "st" | "nd" | "rd" | "th" => {
            number.ordinal = true;
            1.0
        }
        other => {
            number.money = true;
            scale(other).or((other == "b").then_some(1e9))?
        }
    };
    let (value, or) = figure(figures)?;
    (number.value, number.or) = (value * factor, or.map(|or| or * factor));
    Some(number)
}

/// The value of digits with their marks, and what it would be if the mark meant the other thing.
fn figure(text: &str) -> Option<(f64, Option<f64>)> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let groups: Vec<&str> = text.split(['.', ',', '_', '\'']).collect();
    let marks: Vec<char> = text.chars().filter(|c| !c.is_ascii_digit()).collect();
    let number = |text: String| text.parse::<f64>().ok();
    let (last, before) = groups.split_last()?;
    let grouped = |groups: &[&str]| {
        groups.first().is_some_and(|first| (1..=3).contains(&first.len()))
            && groups.iter().skip(1).all(|group| group.len() == 3)
    };
    match marks.as_slice() {
        [] => Some((number(text.to_owned())?, None)),
        [mark] if last.len() == 3 && grouped(&groups) => {
            let (joined, decimal) = (number(groups.concat())?, number(format!("{}.{last}", before.concat()))?);
            Some(if *mark == '.' { (decimal, Some(joined)) } else { (joined, Some(decimal)) })
        }
        ['.' | ','] => Some((number(format!("{}.{last}", before.concat()))?, None)),
        [first, .., end] if first == end => {
            grouped(&groups).then(|| number(groups.concat())).flatten().map(|n| (n, None))
        }
        [first, rest @ .., end] if matches!(end, '.' | ',') && rest.iter().all(|mark| mark == first) => {
            grouped(before).then(|| number(format!("{}.{last}", before.concat()))).flatten().map(|n| (n, None))
        }
        _ => None,
    }
}

/// A number in words: its value, and how many words it takes.
fn spelt(words: &[Word], at: usize) -> Option<(f64, usize)> {
    let (mut sum, mut group, mut taken, mut any) = (0.0_f64, 0.0_f64, 0, false);
    for (offset, word) in words[at..].iter().enumerate() {
        let parts: Vec<&str> = word.lower.split('-').collect();
        let follows = || words.get(at + offset + 1).filter(|_| !word.ends).map(|word| word.lower.as_str());
        let article = parts == ["a"] || parts == ["an"];
        if !any && article && matches!(follows(), Some("hundred" | "thousand" | "million" | "billion" | "dozen")) {
            (group, any, taken) = (1.0, true, offset + 1);
            continue;
        }
        if any && parts == ["and"] && follows().is_some_and(|next| next.split('-').all(|part| numeral(part).is_some()))
        {
            // `two and three` are two numbers: only what hangs on a hundred goes on.
            if group % 100.0 == 0.0 && group > 0.0 || sum > 0.0 {
                continue;
            }
            break;
        }
        // `two-week`: the number is its first part.
        let numerals: Vec<f64> = parts.iter().map_while(|part| numeral(part)).collect();
        if numerals.is_empty() {
            break;
        }
        let mut fits = true;
        for value in &numerals {
            match *value {
                value if value >= 1000.0 => {
                    sum += group.max(f64::from(u8::from(!any))) * value;
                    group = 0.0;
                }
                100.0 => group = group.max(1.0) * 100.0,
                -12.0 => group = group.max(1.0) * 12.0,
                value
                    if group == 0.0
                        || (group % 100.0 == 0.0)
                        || (group % 10.0 == 0.0 && group % 100.0 >= 20.0 && value < 10.0) =>
                {
                    group += value;
                }
                _ => fits = false,
            }
            any = true;
            if !fits {
                break;
            }
        }
        if !fits {
            break;
        }
        taken = offset + 1;
        if word.ends || numerals.len() < parts.len() {
            break;
        }
    }
    (any && taken > 0).then_some((sum + group, taken))
}

fn numeral(word: &str) -> Option<f64> {
    Some(match word {
        "zero" | "nil" => 0.0,
        "one" | "single" => 1.0,
        "two" => 2.0,
        "three" => 3.0,
        "four" => 4.0,
        "five" => 5.0,
        "six" => 6.0,
        "seven" => 7.0,
        "eight" => 8.0,
        "nine" => 9.0,
        "ten" => 10.0,
        "eleven" => 11.0,
        "twelve" => 12.0,
        "thirteen" => 13.0,
        "fourteen" => 14.0,
        "fifteen" => 15.0,
        "sixteen" => 16.0,
        "seventeen" => 17.0,
        "eighteen" => 18.0,
        "nineteen" => 19.0,
        "twenty" => 20.0,
        "thirty" => 30.0,
        "forty" => 40.0,
        "fifty" => 50.0,
        "sixty" => 60.0,
        "seventy" => 70.0,
        "eighty" => 80.0,
        "ninety" => 90.0,
        "hundred" => 100.0,
        "dozen" => -12.0,
        "thousand" => 1e3,
        "million" => 1e6,
        "billion" => 1e9,
        _ => return None,
    })
}

fn ordinal(word: &str) -> Option<u64> {
    const ORDINALS: [&str; 20] = [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
        "eleventh",
        "twelfth",
        "thirteenth",
        "fourteenth",
        "fifteenth",
        "sixteenth",
        "seventeenth",
        "eighteenth",
        "nineteenth",
        "twentieth",
    ];
    ORDINALS.iter().position(|known| *known == word).and_then(|at| u64::try_from(at + 1).ok())
}

/// `no one`, `one of them`: counts nothing.
fn is_pronoun(words: &[Word], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|index| words.get(index)).filter(|word| !word.ends);
    let before = before.is_some_and(|word| {
        matches!(
            word.lower.as_str(),
            "no" | "any" | "every" | "each" | "this" | "that" | "which" | "the" | "another" | "as"
        )
    });
    let after = words.get(at + 1).filter(|_| !words[at].ends).map(|word| word.lower.as_str());
    before || matches!(after, Some("of" | "another"))
}

/// Ratios and fractions in words: we compute none, so none can be right.
fn refuse_ratio(words: &[Word], at: usize) -> Result<(), String> {
    let word = words[at].lower.as_str();
    let before =
        at.checked_sub(1).and_then(|index| words.get(index)).filter(|word| !word.ends).map(|word| word.lower.as_str());
    let after = words.get(at + 1).filter(|_| !words[at].ends).map(|word| word.lower.as_str());
    let ratio = word.split('-').any(|part| {
        const STEMS: [&str; 8] = ["doubl", "tripl", "trebl", "quadrupl", "quintupl", "halv", "twofold", "threefold"];
        const WHOLE: [&str; 19] = [
            "twice",
            "thrice",
            "half",
            "thirds",
            "quarters",
            "fifths",
            "tenths",
            "dozens",
            "hundreds",
            "thousands",
            "millions",
            "billions",
            "majority",
            "minority",
            "couple",
            "fold",
            "fourths",
            "sixths",
            "score",
        ];
        STEMS.iter().any(|stem| part.starts_with(stem))
            || WHOLE.contains(&part)
            || (part.len() > 4 && part.ends_with("fold") && numeral(&part[..part.len() - 4]).is_some())
    });
    let counted = before.is_some_and(|before| matches!(before, "a" | "an") || numeral(before).is_some());
    let of = after == Some("of");
    let fraction = match word {
        "quarter" | "third" | "fifth" | "tenth" | "fourth" | "sixth" | "eighth" => counted || of,
        "most" => matches!(after, Some("of" | "customers" | "accounts" | "items" | "feedback" | "people" | "users")),
        _ => word.split_once('-').is_some_and(|(number, part)| numeral(number).is_some() && ordinal(part).is_some()),
    };
    if ratio || fraction {
        return Err(format!("`{}` is a share or a ratio, and the data has none in words", words[at].text));
    }
    Ok(())
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Whether a word, in small letters, names a month.
pub(super) fn is_month(word: &str) -> bool {
    MONTHS.contains(&word)
}

/// The month that a word names; `may` and `march` in small letters are no months.
fn month(word: &Word) -> Option<u32> {
    let capital = word.text.starts_with(char::is_uppercase);
    let named = |(_, month): &(usize, &&str)| {
        **month == word.lower || (word.lower.len() >= 3 && word.lower.len() <= 4 && month.starts_with(&word.lower))
    };
    let at = MONTHS.iter().enumerate().filter(|_| capital).find(named)?.0;
    u32::try_from(at + 1).ok()
}

/// A day of the calendar, in any order: the words that it took.
fn date(words: &[Word], at: usize, known: &Known) -> Result<Option<usize>, String> {
    let word = &words[at];
    if WEEKDAYS.contains(&word.lower.as_str()) || WEEKDAYS.iter().any(|day| word.lower == format!("{day}s")) {
        return Err(format!("`{}`: the data names no weekdays", word.text));
    }
    let get = |index: usize| words.get(index);
    let joined = |index: usize| words.get(index).is_some_and(|word| !word.ends);
    let day_at = |index: usize| get(index).and_then(|word| day(&word.lower));
    let year_at = |index: usize| {
        let word = get(index)?;
        let year: i32 = (word.lower.len() == 4).then(|| word.lower.parse().ok()).flatten()?;
        (1900..2200).contains(&year).then_some(year)
    };
    let is = |day: Option<u32>, month: u32, year: Option<i32>| {
        known.days.iter().any(|known| {
            known.month() == month
                && day.is_none_or(|day| known.day() == day)
                && year.is_none_or(|year| known.year() == year)
        })
    };
    let told = |taken: usize, day: Option<u32>, month: u32, year: Option<i32>| {
        if is(day, month, year) {
            return Ok(Some(taken));
        }
        let shown: Vec<&str> = words[at..at + taken].iter().map(|word| word.text.as_str()).collect();
        Err(format!("`{}` is a date that is not in the data", shown.join(" ")))
    };
    // 16 November 2026; 16 to 22 November; 16 of November
    if let Some(first) = day_at(at).filter(|_| joined(at)) {
        let of = usize::from(get(at + 1).is_some_and(|word| word.lower == "of"));
        if let Some(month) = get(at + 1 + of).and_then(month) {
            let year = if joined(at + 1 + of) { year_at(at + 2 + of) } else { None };
            return told(2 + of + usize::from(year.is_some()), Some(first), month, year);
        }
        let to =
            usize::from(get(at + 1).is_some_and(|word| matches!(word.lower.as_str(), "to" | "and" | "until" | "-")));
        if let (Some(_), Some(month)) = (day_at(at + 1 + to), get(at + 2 + to).and_then(month)) {
            // The second day is looked at next, with its month.
            return told(1 + to, Some(first), month, None);
        }
    }
    // November 16, 2026; November 2026; November
    let Some(month) = month(word) else { return Ok(None) };
    if joined(at) || word.text.len() > 3 {
        if let Some(day) = day_at(at + 1).filter(|_| joined(at)) {
            let year = if joined(at + 1) { year_at(at + 2) } else { None };
            return told(2 + usize::from(year.is_some()), Some(day), month, year);
        }
        if let Some(year) = year_at(at + 1).filter(|_| joined(at)) {
            return told(2, None, month, Some(year));
        }
    }
    if word.lower == "may" || word.lower == "march" {
        // At the beginning of a sentence it is more likely no month.
        return Ok(Some(1));
    }
    told(1, None, month, None)
}

fn day(word: &str) -> Option<u32> {
    let bare = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
    let day: u32 = (bare.len() <= 2).then(|| bare.parse().ok()).flatten()?;
    (1..=31).contains(&day).then_some(day)
}

#[cfg(test)]
mod tests;
