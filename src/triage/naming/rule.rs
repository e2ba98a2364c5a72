//! What a theme is called, by rule: the most telling words that its items share, and where they belong.
//!
//! Law: no name of a customer or of a person, no number of theirs, and no sentence of theirs stands in it: only words that
//! several items share. Where there are none, it is called by its product and category.

use std::collections::{BTreeMap, BTreeSet};

use crate::house::House;
use crate::ledger::LedgerError;
use crate::schema::{Entity, Feedback};

/// Characters of a body that are read.
const READ: usize = 600;
/// The share of the items that must hold a phrase.
const SHARE: f64 = 0.4;
/// What a second phrase must tell, beside the first.
const BESIDE: f64 = 0.75;
/// Words of a phrase, at most.
const LONGEST: usize = 3;

/// A name and a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub name: String,
    pub statement: String,
    /// What more than half of the items are of.
    pub segment: Option<String>,
    pub product: Option<String>,
}

/// Names a theme by what its items share.
///
/// # Errors
/// The ledger's, where it is asked for the items' customers.
pub fn by_rule(house: &House, items: &[Entity]) -> Result<Told, LedgerError> {
    let feedback: Vec<&Feedback> = items.iter().filter_map(Entity::as_feedback).collect();
    let names = known_names(house, &feedback)?;
    let mut segments = Vec::new();
    for item in &feedback {
        let customer = match item.customer {
            Some(id) => house.ledger.entity(id)?,
            None => None,
        };
        let industry = customer.as_ref().and_then(Entity::as_customer).and_then(|customer| customer.industry.clone());
        segments.push(item.tags.segment.clone().or(industry));
    }
    let product = most(feedback.iter().map(|item| item.tags.product.clone()));
    let category = most(feedback.iter().map(|item| item.tags.category.clone()));
    let avoided: BTreeSet<String> = names.iter().flat_map(|name| words_of(name)).map(str::to_lowercase).collect();
    let texts: Vec<String> = feedback.iter().map(|item| what_is_read(item)).collect();
    let phrase = phrase(&texts, &avoided);
    let what = match &phrase {
        Some(words) => words.join(" "),
        None => category.as_deref().unwrap_or("feedback").replace('_', " "),
    };
    let shown = title_case(&what);
    let says_product = |product: &str| what.to_lowercase().contains(&product.to_lowercase());
    let name = match product.as_ref().filter(|product| !says_product(product)) {
        Some(product) => format!("{}: {shown}", as_name(product)),
        None => shown,
    };
    let segment = most(segments.into_iter());
    let who = segment.as_ref().map_or_else(|| "customers".to_owned(), |segment| format!("customers in {segment}"));
    let how = if category.as_deref() == Some("feature_request") { "struggle without" } else { "struggle with" };
    let statement = format!("We believe {who} {how} {}.", in_a_sentence(&what.replace(", ", " and ")));
    Ok(Told { name, statement, segment, product })
}

/// The names of the items' customers and authors, which stand in no theme's name.
///
/// # Errors
/// The ledger's.
pub fn known_names(house: &House, items: &[&Feedback]) -> Result<BTreeSet<String>, LedgerError> {
    let mut names = BTreeSet::new();
    for item in items {
        let known = crate::triage::names(house, item)?;
        // Of a domain, what goes before its first dot is a name.
        names.extend(known.iter().filter_map(|name| Some(name.split_once('.')?.0.to_owned())));
        names.extend(known);
    }
    Ok(names)
}

fn what_is_read(item: &Feedback) -> String {
    let body = item.summary.as_ref().or(item.verbatim.as_ref()).map(String::as_str).unwrap_or_default();
    let body: String = body.chars().take(READ).collect();
    format!("{}\n{body}", item.title.as_deref().unwrap_or_default())
}

/// What more than half of them say.
fn most(values: impl Iterator<Item = Option<String>>) -> Option<String> {
    let (mut counts, mut all) = (BTreeMap::<String, usize>::new(), 0);
    for value in values {
        all += 1;
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            *counts.entry(value).or_default() += 1;
        }
    }
    let best = counts.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)))?;
    (best.1 * 2 > all).then_some(best.0)
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '\'' | '’' | '-' | '_')))
        .map(|word| word.trim_matches(['\'', '’', '-', '_']))
        .filter(|word| !word.is_empty())
}

/// What is known of a phrase: who says it, how it is written, and where it stands.
#[derive(Default)]
struct Said {
    items: BTreeSet<usize>,
    forms: BTreeMap<Vec<String>, usize>,
    places: usize,
    times: usize,
}

/// The words that tell most of what the texts share, as they are mostly written.
fn phrase(texts: &[String], avoided: &BTreeSet<String>) -> Option<Vec<String>> {
    let mut said: BTreeMap<Vec<String>, Said> = BTreeMap::new();
    for (item, text) in texts.iter().enumerate() {
        for sentence in
            text.split(['.', '!', '?', '\n', ',', ';', ':', '(', ')', '"', '“', '”', '[', ']', '`', '|', '#', '*'])
        {
            let words: Vec<&str> = words_of(sentence).collect();
            for start in 0..words.len() {
                for length in 1..=LONGEST.min(words.len() - start) {
                    note(&mut said, (item, start), &words[start..start + length], avoided);
                }
            }
        }
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few items"
    )]
    let least = ((texts.len() as f64 * SHARE).ceil() as usize).max(2).min(texts.len());
    let mut ranked: Vec<(f64, Vec<String>, Said)> = said
        .into_iter()
        .filter(|(_, said)| said.items.len() >= least)
        .map(|(key, said)| (worth(&key, &said, texts.len()), key, said))
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let (most, key, first) = ranked.first()?;
    // One phrase alone tells half of it: another that tells nearly as much stands beside it, in the order in which they are said.
    let is_other = |other: &Vec<String>| !other.iter().any(|word| key.contains(word));
    let nearly = if key.len() > 1 { most * BESIDE } else { 0.0 };
    let second =
        ranked.iter().find(|(worth, other, _)| is_other(other) && *worth >= nearly && other.len() <= key.len());
    let mut pair: Vec<&Said> = std::iter::once(first).chain(second.map(|(.., said)| said)).collect();
    pair.sort_by(|a, b| (a.places * b.times).cmp(&(b.places * a.times)));
    let mut words: Vec<Vec<String>> = pair.into_iter().filter_map(usual).collect();
    if let [before, _] = words.as_mut_slice()
        && key.len() > 1
        && let Some(last) = before.last_mut()
    {
        last.push(',');
    }
    Some(words.concat())
}

fn note(
    said: &mut BTreeMap<Vec<String>, Said>,
    (item, place): (usize, usize),
    words: &[&str],
    avoided: &BTreeSet<String>,
) {
    let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let is_weak = |word: &String| WEAK.contains(&word.as_str()) || word.chars().count() < 2;
    if lower.first().is_none_or(is_weak) || lower.last().is_none_or(is_weak) {
        return;
    }
    if lower.iter().any(|word| avoided.contains(word) || word.chars().any(|letter| letter.is_ascii_digit())) {
        return;
    }
    let entry = said.entry(lower.iter().map(|word| stem(word)).collect()).or_default();
    entry.items.insert(item);
    entry.places += place;
    entry.times += 1;
    *entry.forms.entry(words.iter().map(|word| (*word).to_owned()).collect()).or_default() += 1;
}

/// How much a phrase tells: who shares it, and how much there is of it.
#[expect(clippy::cast_precision_loss, reason = "a few items and letters")]
fn worth(key: &[String], said: &Said, of: usize) -> f64 {
    let share = said.items.len() as f64 / of.max(1) as f64;
    let letters: usize =
        key.iter().filter(|word| !WEAK.contains(&word.as_str())).map(|word| word.chars().count().min(10)).sum();
    share * (letters as f64).sqrt() * if key.len() > 1 { 1.4 } else { 1.0 }
}

fn usual(said: &Said) -> Option<Vec<String>> {
    let best = said.forms.iter().max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0)));
    best.map(|(form, _)| form.clone())
}

/// Enough to take "exports" for "export".
fn stem(word: &str) -> String {
    for ending in ["ings", "ing", "ies", "ed", "es", "s"] {
        if let Some(root) = word.strip_suffix(ending)
            && root.chars().count() >= 4
        {
            return root.to_owned();
        }
    }
    word.to_owned()
}

/// Is it written as a name is: `API`, `OAuth`?
fn is_a_name(word: &str) -> bool {
    word.chars().skip(1).any(char::is_uppercase)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn title_case(text: &str) -> String {
    let words = text.split(' ').enumerate().map(|(at, word)| match word {
        word if is_a_name(word) => word.to_owned(),
        word if at > 0 && SMALL.contains(&word.to_lowercase().as_str()) => word.to_lowercase(),
        word => capital(&word.to_lowercase()),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn in_a_sentence(text: &str) -> String {
    let words = text.split(' ').map(|word| if is_a_name(word) { word.to_owned() } else { word.to_lowercase() });
    words.collect::<Vec<_>>().join(" ")
}

/// A value of a vocabulary, for people: `sdk` is `SDK`, `le_chat` is `Le Chat`.
fn as_name(value: &str) -> String {
    if value.chars().count() <= 3 && value.chars().all(|letter| letter.is_ascii_lowercase()) {
        return value.to_uppercase();
    }
    value
        .split(['_', ' '])
        .map(|word| if is_a_name(word) { word.to_owned() } else { capital(word) })
        .collect::<Vec<_>>()
        .join(" ")
}

const SMALL: [&str; 22] = [
    "a", "an", "and", "as", "at", "by", "for", "from", "in", "into", "of", "on", "or", "the", "to", "with", "de",
    "des", "du", "la", "le", "les",
];

/// Words with which no phrase begins or ends: they tell nothing by themselves.
const WEAK: &[&str] = &[
    // English
    "a",
    "about",
    "after",
    "again",
    "all",
    "also",
    "always",
    "am",
    "an",
    "and",
    "any",
    "are",
    "aren't",
    "as",
    "at",
    "be",
    "because",
    "been",
    "before",
    "being",
    "but",
    "by",
    "can",
    "can't",
    "cannot",
    "could",
    "did",
    "didn't",
    "do",
    "does",
    "doesn't",
    "doing",
    "don't",
    "done",
    "down",
    "each",
    "even",
    "ever",
    "every",
    "few",
    "for",
    "from",
    "get",
    "gets",
    "getting",
    "give",
    "go",
    "goes",
    "going",
    "good",
    "got",
    "had",
    "has",
    "have",
    "having",
    "he",
    "her",
    "here",
    "his",
    "how",
    "i",
    "i'd",
    "i'm",
    "i've",
    "if",
    "in",
    "into",
    "is",
    "isn't",
    "it",
    "it's",
    "its",
    "just",
    "keep",
    "keeps",
    "know",
    "let",
    "like",
    "make",
    "makes",
    "many",
    "may",
    "me",
    "might",
    "more",
    "most",
    "much",
    "must",
    "my",
    "need",
    "needs",
    "never",
    "new",
    "no",
    "not",
    "nothing",
    "now",
    "of",
    "off",
    "often",
    "on",
    "once",
    "one",
    "only",
    "or",
    "other",
    "our",
    "out",
    "over",
    "own",
    "really",
    "same",
    "see",
    "seems",
    "she",
    "should",
    "since",
    "so",
    "some",
    "something",
    "sometimes",
    "still",
    "stop",
    "such",
    "than",
    "that",
    "that's",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "though",
    "through",
    "to",
    "too",
    "try",
    "trying",
    "under",
    "until",
    "up",
    "us",
    "use",
    "used",
    "using",
    "very",
    "via",
    "want",
    "wants",
    "was",
    "wasn't",
    "way",
    "we",
    "well",
    "were",
    "what",
    "when",
    "where",
    "whether",
    "which",
    "while",
    "who",
    "why",
    "will",
    "with",
    "without",
    "won't",
    "work",
    "working",
    "works",
    "would",
    "yes",
    "yet",
    "you",
    "your",
    "every",
    // What any feedback says
    "bug",
    "bugs",
    "feature",
    "features",
    "feedback",
    "hello",
    "help",
    "hey",
    "hi",
    "issue",
    "issues",
    "please",
    "problem",
    "problems",
    "question",
    "request",
    "requests",
    "support",
    "team",
    "thank",
    "thanks",
    "think",
    "today",
    "user",
    "users",
    "customer",
    "customers",
    "app",
    "time",
    "times",
    "day",
    "week",
    "month",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    // French
    "au",
    "aux",
    "avec",
    "bonjour",
    "ce",
    "cela",
    "ces",
    "cette",
    "chez",
    "dans",
    "de",
    "des",
    "du",
    "elle",
    "en",
    "est",
    "et",
    "il",
    "ils",
    "je",
    "la",
    "le",
    "les",
    "leur",
    "lors",
    "lui",
    "ma",
    "mais",
    "me",
    "merci",
    "mes",
    "moi",
    "mon",
    "ne",
    "nos",
    "notre",
    "nous",
    "on",
    "ou",
    "où",
    "par",
    "pas",
    "plus",
    "pour",
    "qu",
    "que",
    "quand",
    "qui",
    "sa",
    "sans",
    "se",
    "ses",
    "si",
    "son",
    "sont",
    "sur",
    "ta",
    "tes",
    "toi",
    "ton",
    "très",
    "tu",
    "un",
    "une",
    "vos",
    "votre",
    "vous",
    "y",
    "été",
    "être",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn named(texts: &[&str]) -> Option<String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        phrase(&texts, &["lumen".to_owned()].into()).map(|words| title_case(&words.join(" ")))
    }

    #[test]
    fn a_theme_is_called_by_what_its_items_share() {
        let exports = ["The CSV export times out", "CSV exports are slow on Lumen", "Please speed up csv export"];
        assert_eq!(named(&exports).as_deref(), Some("CSV Export"));
        let single = ["Sign-in by SSO fails", "SSO: a loop", "our SSO users see an error"];
        assert!(named(&single).is_some_and(|name| name.contains("SSO")), "{:?}", named(&single));
    }

    #[test]
    fn no_name_of_a_customer_and_no_number_stands_in_it() {
        let texts = ["Lumen export 4711", "Lumen export 4711", "Lumen export 4711"];
        assert_eq!(named(&texts).as_deref(), Some("Export"));
        assert_eq!(named(&["Lumen 4711", "Lumen 4711"]), None);
    }

    #[test]
    fn what_shares_nothing_has_no_phrase() {
        assert_eq!(named(&["alpha beta", "gamma delta", "epsilon zeta"]), None);
        assert_eq!(named(&[]), None);
    }
}
