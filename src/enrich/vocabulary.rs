//! Finds which of the configured products or models a text is about, by the names that people use for them.
//!
//! Law: a name matches whole words only, whatever its case and accents; the longest name wins and consumes its words, so
//! that `Mistral Large` is never read as `Mistral`. Nothing is guessed: a text that names nothing gets no suggestion.

use std::collections::HashMap;
use std::ops::Range;

use super::reading::{Reading, fold_phrase};
use super::{Suggestion, round};

/// One value that a tag may take, and how people call it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Term {
    /// The tag's value; it is one of the names, too.
    pub value: String,
    /// Other names. One with a `/` or an `@` is a place: a repository (`example/client`), a mailbox; what was said there
    /// is about the term unless the text names another.
    pub words: Vec<String>,
}

impl Term {
    fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.value).chain(&self.words).filter(|word| !is_place(word))
    }

    fn places(&self) -> impl Iterator<Item = &String> {
        self.words.iter().filter(|word| is_place(word))
    }
}

fn is_place(word: &str) -> bool {
    word.contains(['/', '@'])
}

/// The values of one tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// Where the value belongs: `tags.product`.
    pub path: String,
    pub terms: Vec<Term>,
}

/// Words that are also ordinary English or French: alone they say little (`a large file`).
const ORDINARY: &[&str] = &[
    "agent",
    "agents",
    "api",
    "app",
    "assistant",
    "base",
    "billing",
    "build",
    "chat",
    "client",
    "cloud",
    "code",
    "connect",
    "console",
    "core",
    "data",
    "desktop",
    "docs",
    "drive",
    "edge",
    "embed",
    "flow",
    "hub",
    "insight",
    "large",
    "lite",
    "max",
    "medium",
    "mini",
    "mobile",
    "models",
    "nano",
    "next",
    "notes",
    "one",
    "open",
    "other",
    "platform",
    "plus",
    "pro",
    "python",
    "sdk",
    "search",
    "server",
    "small",
    "start",
    "studio",
    "teams",
    "tiny",
    "vibe",
    "vision",
    "voice",
    "web",
    "work",
];

/// What a mention is worth: in the title, in the body, and in the place where it was posted.
const TITLE: f64 = 3.0;
const BODY: f64 = 1.0;
const HINT: f64 = 1.5;
/// Mentions in the body beyond this many add nothing.
const MENTIONS: f64 = 3.0;
/// What an ordinary word is worth, relative to a name.
const WEAK: f64 = 0.25;

/// How often the winner was right, by its evidence, rounded down from what `weights/REPORT.md` measures on few texts: named
/// with hardly a rival, only the place names it, named among others, an ordinary word alone.
const SURE: f64 = 0.75;
const HINTED: f64 = 0.70;
const RIVALLED: f64 = 0.60;
const DOUBTFUL: f64 = 0.40;

struct Name {
    words: Vec<Vec<char>>,
    /// Reading folds digits, versions do not: `3.1` is not `3.2`.
    digits: String,
    ordinary: bool,
    term: usize,
}

/// A vocabulary made ready.
pub(super) struct Matcher {
    vocabulary: Vocabulary,
    /// By first word; the longest first.
    names: HashMap<Vec<char>, Vec<Name>>,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    title: f64,
    body: f64,
    hint: f64,
    strong: bool,
    longest: usize,
    first: Option<Range<usize>>,
    hinted_by: Option<String>,
}

impl Tally {
    fn score(&self) -> f64 {
        self.title.min(TITLE) + self.body.min(MENTIONS) + self.hint
    }
}

impl Matcher {
    pub(super) fn new(vocabulary: Vocabulary) -> Self {
        let mut names: HashMap<Vec<char>, Vec<Name>> = HashMap::new();
        for (term, entry) in vocabulary.terms.iter().enumerate() {
            for name in entry.names() {
                let words = fold_phrase(name);
                let Some(first) = words.first().cloned() else { continue };
                let alone: String = first.iter().collect();
                let ordinary = words.len() == 1 && ORDINARY.contains(&alone.as_str());
                names.entry(first).or_default().push(Name { words, digits: digits(name), ordinary, term });
            }
        }
        for row in names.values_mut() {
            row.sort_by_key(|name| (std::cmp::Reverse(name.words.len()), name.term));
        }
        Self { vocabulary, names }
    }

    pub(super) fn path(&self) -> &str {
        &self.vocabulary.path
    }

    pub(super) fn suggest(&self, reading: &Reading, origin: &str) -> Option<Suggestion> {
        let mut tallies = vec![Tally::default(); self.vocabulary.terms.len()];
        self.count_names(reading, &mut tallies);
        self.count_origin(origin, &mut tallies);
        let order = |a: &&(usize, f64), b: &&(usize, f64)| {
            let place = |term: usize| tallies[term].first.as_ref().map_or(usize::MAX, |words| words.start);
            a.1.total_cmp(&b.1)
                .then(tallies[a.0].longest.cmp(&tallies[b.0].longest))
                .then(place(b.0).cmp(&place(a.0)))
                .then(b.0.cmp(&a.0))
        };
        let scores: Vec<(usize, f64)> =
            tallies.iter().map(Tally::score).enumerate().filter(|(_, score)| *score > 0.0).collect();
        let (winner, score) = *scores.iter().max_by(order)?;
        let share = score / scores.iter().map(|(_, score)| score).sum::<f64>();
        let tally = &tallies[winner];
        let confidence = match (tally.strong, &tally.first) {
            (true, _) if share >= 0.7 => SURE,
            (true, _) => RIVALLED,
            (false, None) => HINTED,
            (false, Some(_)) => DOUBTFUL,
        };
        let because = match (&tally.first, &tally.hinted_by) {
            (Some(words), _) => format!("names \u{201c}{}\u{201d}", reading.shown(words.clone())),
            (None, Some(hint)) => format!("posted in {hint}"),
            (None, None) => return None,
        };
        Some(Suggestion {
            path: self.vocabulary.path.clone(),
            value: self.vocabulary.terms[winner].value.clone(),
            confidence: round(confidence),
            because: Some(because),
        })
    }

    fn count_names(&self, reading: &Reading, tallies: &mut [Tally]) {
        let words = reading.words();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let fits = |name: &&Name| {
                let end = at + name.words.len();
                let here = words.get(at..end).unwrap_or_default();
                // A name does not reach over the end of the title.
                let one_place = (at < reading.title_words) == (end <= reading.title_words);
                let alike = || name.words.iter().zip(here).all(|(letters, word)| letters == reading.folded(word));
                let versions = || name.digits.is_empty() || name.digits == digits(reading.shown(at..end));
                here.len() == name.words.len() && one_place && alike() && versions()
            };
            let Some(name) = self.names.get(reading.folded(word)).and_then(|row| row.iter().find(fits)) else {
                at += 1;
                continue;
            };
            let tally = &mut tallies[name.term];
            let worth = if name.ordinary { WEAK } else { 1.0 };
            if at < reading.title_words {
                tally.title += TITLE * worth;
            } else {
                tally.body += BODY * worth;
            }
            tally.longest = tally.longest.max(name.words.len());
            // What is shown as the reason is the surest mention.
            if tally.first.is_none() || (!tally.strong && !name.ordinary) {
                tally.first = Some(at..at + name.words.len());
            }
            tally.strong |= !name.ordinary;
            at += name.words.len();
        }
    }

    fn count_origin(&self, origin: &str, tallies: &mut [Tally]) {
        for (term, tally) in self.vocabulary.terms.iter().zip(tallies) {
            let place = term.places().find(|place| names_place(origin, place));
            if let Some(place) = place {
                tally.hint = HINT;
                tally.hinted_by = Some(place.clone());
            }
        }
    }
}

/// Whether `place` stands in `origin` as whole path segments: `example/client` in `https://…/example/client/issues/7`.
fn names_place(origin: &str, place: &str) -> bool {
    let (origin, place) = (origin.to_lowercase(), place.trim().to_lowercase());
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    !place.is_empty()
        && origin.match_indices(&place).any(|(at, found)| {
            !inside(origin[..at].chars().next_back()) && !inside(origin[at + found.len()..].chars().next())
        })
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}
