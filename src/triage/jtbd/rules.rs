//! The job by rule: what stands in the words, and no more. Where somebody did not say what they want it for, it says so.

use crate::schema::{Feedback, Job};
use crate::triage::sentences;

/// Who wrote it, where no model did.
pub const RULES: &str = "rules-1";

/// Stands where nobody said what for.
const NOT_SAID: &str = "… (they did not say: ask)";

/// What opens a wish: what follows is what somebody wants to do.
const WISHES: [&str; 22] = [
    "i would like to ",
    "we would like to ",
    "i'd like to ",
    "we'd like to ",
    "i want to ",
    "we want to ",
    "i need to ",
    "we need to ",
    "i would love to ",
    "we would love to ",
    "i'd love to ",
    "we'd love to ",
    "it would be nice to ",
    "it would be great to ",
    "it would be useful to ",
    "it would be helpful to ",
    "i wish i could ",
    "we wish we could ",
    "be able to ",
    "a way to ",
    "an option to ",
    "the ability to ",
];
/// What opens an order to us: what follows is a thing that they want to have.
const ORDERS: [&str; 14] = [
    "please add ",
    "please support ",
    "please allow ",
    "please make ",
    "could you add ",
    "can you add ",
    "could you please add ",
    "add support for ",
    "support for ",
    "i would like ",
    "we would like ",
    "we need ",
    "i need ",
    "add ",
];
/// Other signs that a sentence asks for something, French among them.
const ASKS: [&str; 17] = [
    "please fix",
    "feature request",
    "would be nice",
    "would be great",
    "would be useful",
    "should support",
    "should have",
    "missing",
    "wish",
    "il faudrait",
    "serait bien",
    "serait utile",
    "j'aimerais",
    "nous aimerions",
    "il manque",
    "pouvoir ",
    "could you",
];
/// What opens what it is wanted for.
const REASONS: [&str; 7] =
    ["so that we can ", "so that i can ", "so we can ", "so i can ", "in order to ", "so that ", "because "];
const INSTEAD: [&str; 6] = ["workaround", "work around", "for now we", "for now i", "by hand", "manually"];
const HURTS: [&str; 3] = ["bug", "pain_point", "behavior_not_working"];

const QUESTIONS: [&str; 4] = [
    "What were you about to do when you needed this?",
    "How do you get it done today, and what does that cost you?",
    "How often does it come up, and for how many people?",
    "What would you do once it works?",
];

/// `None`: nothing in it asks for anything.
pub(super) fn of_text(text: &str, feedback: &Feedback) -> Option<Job> {
    let hurts = feedback.tags.category.as_deref().is_some_and(|category| HURTS.contains(&category));
    let asks = feedback.tags.category.as_deref() == Some("feature_request");
    let (request, wish) = request(text).or_else(|| {
        // The category says that it asks, or hurts: then its first sentence of some length is what it says.
        let first = sentences(text).into_iter().find(|sentence| sentence.split_whitespace().count() >= 3);
        first.filter(|_| hurts || asks).map(|first| (first, None))
    })?;
    let product = feedback.tags.product.as_deref().map_or_else(|| "the product".to_owned(), str::to_owned);
    let want = match (wish, hurts) {
        (Some(wish), _) => wish,
        (None, true) => format!("get past this: “{}”", short(request)),
        (None, false) => format!("have what I ask for: “{}”", short(request)),
    };
    let outcome = reason(text).unwrap_or_else(|| NOT_SAID.into());
    let alternatives = sentences(text)
        .into_iter()
        .filter(|sentence| *sentence != request && INSTEAD.iter().any(|sign| folded(sentence).contains(sign)))
        .take(2)
        .map(|sentence| format!("What they do today: “{}”", short(sentence)));
    Some(Job {
        request: request.to_owned(),
        job: format!("When I use {product}, I want to {want}, so I can {outcome}"),
        questions: QUESTIONS.map(str::to_owned).to_vec(),
        alternatives: alternatives.collect(),
        model: RULES.into(),
    })
}

/// Of the newest that asks for something.
pub(super) fn of_members(members: &[Feedback]) -> Option<Job> {
    let job = |feedback: &Feedback| of_text(&super::said(feedback), feedback);
    let said_what_for = |job: &Job| !job.job.ends_with(NOT_SAID);
    let jobs: Vec<Job> = members.iter().take(200).filter_map(job).collect();
    jobs.iter().find(|job| said_what_for(job)).or(jobs.first()).cloned()
}

/// The sentence that asks, as it stands, and what it wants to do where it says so.
fn request(text: &str) -> Option<(&str, Option<String>)> {
    let all = sentences(text);
    let after = |sentence: &str, openings: &[&str]| -> Option<String> {
        let folded = folded(sentence);
        // Folding keeps every letter in its place only while their lengths agree.
        if folded.len() != sentence.len() {
            return None;
        }
        let at = openings.iter().filter_map(|opening| Some(folded.find(opening)? + opening.len())).min()?;
        let rest = sentence.get(at..)?;
        let end = REASONS.iter().filter_map(|reason| folded.get(at..)?.find(reason)).min().unwrap_or(rest.len());
        let wish = rest.get(..end)?.trim().trim_end_matches(['.', '!', '?', ',', ' ']);
        (wish.split_whitespace().count() > 0).then(|| wish.to_owned())
    };
    for sentence in &all {
        if let Some(wish) = after(sentence, &WISHES) {
            return Some((sentence, Some(wish)));
        }
    }
    for sentence in &all {
        if let Some(thing) = after(sentence, &ORDERS) {
            return Some((sentence, Some(format!("have {thing}"))));
        }
    }
    all.into_iter()
        .find(|sentence| ASKS.iter().any(|sign| folded(sentence).contains(sign)))
        .map(|sentence| (sentence, None))
}

/// What somebody says it is for, in their words.
fn reason(text: &str) -> Option<String> {
    for sentence in sentences(text) {
        let folded = folded(sentence);
        if folded.len() != sentence.len() {
            continue;
        }
        // Only what we can put into `so I can …` as it stands.
        let opening = REASONS[..5].iter().find_map(|reason| Some(folded.find(reason)? + reason.len()));
        if let Some(rest) = opening.and_then(|at| sentence.get(at..)) {
            let rest = rest.trim().trim_end_matches(['.', '!', '?', ' ']);
            if !rest.is_empty() {
                return Some(rest.to_owned());
            }
        }
    }
    None
}

/// In small letters and with plain apostrophes, each as long as before; a letter whose small one is of another length stays.
fn folded(text: &str) -> String {
    text.chars()
        .map(|c| {
            let mut lower = c.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some(small), None) if small.len_utf8() == c.len_utf8() => small,
                _ => c,
            }
        })
        .collect::<String>()
}

fn short(sentence: &str) -> String {
    match sentence.char_indices().nth(160) {
        Some((at, _)) => format!("{}…", &sentence[..at]),
        None => sentence.to_owned(),
    }
}
