//! Whether two items ask for the same: one fix, or one feature, would close both.
//!
//! Law: similar is not duplicate. What decides is the product, the target (the words that say what is asked or what fails), and the
//! error's own text; nearness only supports them. The rule is made to miss some rather than to merge what differs, and says why.

use std::collections::{BTreeMap, BTreeSet};

use super::Text;
use super::cues;
use super::embed::{codes, cosine, embed};
use super::reading::Reading;

/// One of the two. `product` and `category` are values of tags, where somebody or something has set them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Side<'a> {
    pub title: &'a str,
    pub body: &'a str,
    pub product: Option<&'a str>,
    pub category: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub duplicate: bool,
    /// Of the verdict, either way; 0.5 to 1.
    pub confidence: f64,
    pub because: String,
}

/// What the parts are worth on the scale of a logistic curve: chosen on 53 labelled pairs, with round numbers on purpose.
const NEAR: f64 = 6.0;
const TARGET: f64 = 6.0;
const PHRASE: f64 = 1.0;
const CODE: f64 = 1.5;
const OTHER_CODE: f64 = -1.5;
const OTHER_QUOTE: f64 = -1.5;
const OTHER_CATEGORY: f64 = -1.0;
const START: f64 = -4.0;
/// Shared phrases beyond this many add nothing.
const PHRASES: usize = 2;
/// Shared codes beyond this many add nothing.
const CODES: usize = 2;
/// A word's stem: `load`, `loads` and `loading` are one.
const STEM: usize = 5;

/// Words that say that something is asked or fails, and not what.
const EMPTY: &str = "about above after again against also although and another any are around because been before being below both bug but can cannot \
     client could day did does doing done down each error errors even every fail failed failing fails feat feature few file find first fix for from get gets give had has have \
     having help here hers him his how however http https into issue its just last like make makes many may mistral model models more most must need needs new not \
     now off often one only onto other our out over please problem provider request response same see seems should show since some still such support supported \
     system than that the their them then there these they thing this those though through too tool try trying under until update updated use used user users \
     using very via want wants was well were what when where which while who why will with without work worked working works would wrong you your add added adding api \
     able available always nice great love really instead option possible \
     aussie avec aux avoir bien car ce cela ces cette comme dans des donc du elle encore est et etre faire fait faut il ils je la le les leur lors mais merci \
     name named mistralai ai mes mon ne nous on ou par pas plus pour pouvoir quand que qui sa sans se ses si son sont sur tous tout tres un une vers vous votre";

pub fn compare(a: &Side<'_>, b: &Side<'_>) -> Judged {
    if let (Some(one), Some(other)) = (a.product, b.product)
        && !one.eq_ignore_ascii_case(other)
    {
        return Judged {
            duplicate: false,
            confidence: 0.9,
            because: format!("one is about {one}, the other about {other}"),
        };
    }
    let (left, right) = (Read::of(a), Read::of(b));
    if left.words.is_empty() || right.words.is_empty() {
        return Judged { duplicate: false, confidence: 0.5, because: "one of them has no words to compare".into() };
    }
    let weighed = weigh(a, b, &left, &right);
    let sure = 1.0 / (1.0 + (-weighed.score).exp());
    let duplicate = sure >= 0.5;
    let confidence = if duplicate { sure } else { 1.0 - sure };
    Judged { duplicate, confidence: confidence.clamp(0.5, 0.97), because: weighed.because(duplicate) }
}

/// What was found in common and apart.
#[derive(Debug)]
struct Weighed {
    score: f64,
    near: f64,
    shared_words: Vec<String>,
    shared_phrases: Vec<String>,
    shared_codes: Vec<String>,
    other_codes: bool,
    other_quotes: bool,
    other_category: bool,
}

fn weigh(a: &Side<'_>, b: &Side<'_>, left: &Read, right: &Read) -> Weighed {
    let near = f64::from(cosine(&left.vector, &right.vector));
    let shared_words: Vec<String> =
        left.words.iter().filter(|(stem, _)| right.words.contains_key(*stem)).map(|(_, word)| word.clone()).collect();
    // Of the shorter side: a long report that holds all of a short one may well be the same.
    let fewer = left.words.len().min(right.words.len()).clamp(4, 12);
    let target = (count(shared_words.len()) / count(fewer)).min(1.0);
    let shared_phrases: Vec<String> = left.phrases.intersection(&right.phrases).cloned().collect();
    let shared_codes: Vec<String> = left.codes.intersection(&right.codes).cloned().collect();
    let other_codes = shared_codes.is_empty() && !left.failures.is_empty() && !right.failures.is_empty();
    let meets =
        |one: &String| right.quotes.iter().any(|other| one.contains(other.as_str()) || other.contains(one.as_str()));
    let other_quotes = !left.quotes.is_empty() && !right.quotes.is_empty() && !left.quotes.iter().any(meets);
    let category = |side: &Side<'_>| side.category.map(str::to_ascii_lowercase);
    let other_category = matches!((category(a), category(b)), (Some(one), Some(other)) if one != other);
    let score = START
        + NEAR * near
        + TARGET * target
        + PHRASE * count(shared_phrases.len().min(PHRASES))
        + CODE * count(shared_codes.len().min(CODES))
        + if other_codes { OTHER_CODE } else { 0.0 }
        + if other_quotes { OTHER_QUOTE } else { 0.0 }
        + if other_category { OTHER_CATEGORY } else { 0.0 };
    Weighed { score, near, shared_words, shared_phrases, shared_codes, other_codes, other_quotes, other_category }
}

impl Weighed {
    fn because(&self, duplicate: bool) -> String {
        let list = |words: &[String]| {
            words.iter().take(4).map(|word| format!("\u{201c}{word}\u{201d}")).collect::<Vec<_>>().join(", ")
        };
        let mut told = Vec::new();
        if !self.shared_codes.is_empty() {
            told.push(format!("both name {}", list(&self.shared_codes)));
        }
        if !self.shared_phrases.is_empty() {
            told.push(format!("both say {}", list(&self.shared_phrases)));
        } else if duplicate && !self.shared_words.is_empty() {
            told.push(format!("both speak of {}", list(&self.shared_words)));
        }
        if !duplicate {
            if self.other_codes {
                told.push("their errors differ".to_owned());
            }
            if self.other_quotes {
                told.push("what they quote differs".to_owned());
            }
            if self.other_category {
                told.push("they are not of one category".to_owned());
            }
            if self.shared_words.len() < 3 {
                told.push("what they ask for differs".to_owned());
            }
        }
        told.push(format!("{:.0} % alike", self.near.max(0.0) * 100.0));
        told.join("; ")
    }
}

/// A side, read.
struct Read {
    vector: Vec<f32>,
    /// The words that say what it is about, by their stems.
    words: BTreeMap<String, String>,
    /// Two of them side by side.
    phrases: BTreeSet<String>,
    /// Numbers and identifiers.
    codes: BTreeSet<String>,
    /// Those of them that are errors: a status, or a name that says so.
    failures: BTreeSet<String>,
    /// What stands in quotation marks: a message, or the name of the thing that fails.
    quotes: BTreeSet<String>,
}

impl Read {
    fn of(side: &Side<'_>) -> Self {
        let text = Text { title: side.title.into(), body: side.body.into(), origin: String::new() };
        let reading = Reading::of(&text);
        // A product's name is not what is asked of it.
        let named = cues::find(&reading).into_iter().filter(|found| cues::is_name(found.cue));
        let names: BTreeSet<&[char]> = named
            .flat_map(|found| reading.words()[found.words].iter().map(|word| reading.folded(word)).collect::<Vec<_>>())
            .collect();
        let (mut words, mut phrases) = (BTreeMap::new(), BTreeSet::new());
        let mut before: Option<String> = None;
        for word in reading.words().iter().skip(reading.label_words) {
            let folded: String = reading.folded(word).iter().collect();
            let plain = folded.chars().count() >= 3 && !folded.starts_with('0');
            if !plain || names.contains(reading.folded(word)) || EMPTY.split_whitespace().any(|empty| empty == folded) {
                before = None;
                continue;
            }
            if let Some(before) = before.filter(|_| !word.begins) {
                phrases.insert(format!("{before} {folded}"));
            }
            words.entry(folded.chars().take(STEM).collect()).or_insert_with(|| folded.clone());
            before = Some(folded);
        }
        let codes: BTreeSet<String> =
            codes(reading.prose()).map(str::to_lowercase).filter(|code| !is_version(code)).collect();
        let failures = codes.iter().filter(|code| is_failure(code)).cloned().collect();
        Self { words, phrases, failures, quotes: quotes(reading.prose()), codes, vector: embed(&text) }
    }
}

/// Short pieces between two marks of one kind, in small letters; an apostrophe within a word is no mark.
fn quotes(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (open, close) in
        [('\'', '\''), ('"', '"'), ('`', '`'), ('\u{201c}', '\u{201d}'), ('\u{2018}', '\u{2019}'), ('\u{ab}', '\u{bb}')]
    {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(open) {
            rest = after;
            if before.ends_with(char::is_alphanumeric) {
                continue;
            }
            let Some((inside, after)) = after.split_once(close) else { break };
            if (2..=60).contains(&inside.trim().len()) && !inside.contains('\n') {
                found.insert(inside.trim().to_lowercase());
                rest = after;
            }
        }
    }
    found
}

/// A model's or a package's: many items name one and have nothing else in common.
fn is_version(code: &str) -> bool {
    code.contains('.') || code.contains('-') || (code.len() <= 4 && code.ends_with('b'))
}

fn is_failure(code: &str) -> bool {
    let status = code.len() == 3 && code.starts_with(['4', '5']) && code.bytes().all(|byte| byte.is_ascii_digit());
    status || ["error", "exception", "err_", "fault", "panic"].iter().any(|mark| code.contains(mark))
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
