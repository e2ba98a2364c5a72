//! Which words speak for which value, in English and French, for values that taggings commonly have.

/// A beginning of a word is enough: `crash` is in `crashes`.
const CUES: &[(&str, &[&str])] = &[
    (
        "bug",
        &[
            "bug",
            "error",
            "crash",
            "fail",
            "broken",
            "exception",
            "doesn't work",
            "does not work",
            "stack trace",
            "regression",
            "plante",
            "erreur",
            "ne marche pas",
            "ne fonctionne pas",
        ],
    ),
    (
        "feature request",
        &[
            "please add",
            "would be nice",
            "would be great",
            "feature request",
            "could you add",
            "we need a",
            "wish",
            "it would help",
            "support for",
            "il manque",
            "ce serait bien",
            "pourriez-vous ajouter",
        ],
    ),
    (
        "question",
        &[
            "how do i",
            "how can",
            "how to",
            "is there a way",
            "what is",
            "where do",
            "can i ",
            "comment faire",
            "est-ce que",
        ],
    ),
    (
        "praise",
        &[
            "love",
            "great work",
            "thank",
            "awesome",
            "fantastic",
            "excellent",
            "merci",
            "super outil",
            "génial",
            "parfait",
        ],
    ),
    (
        "churn signal",
        &[
            "cancel",
            "switch to",
            "switching",
            "leaving",
            "moving to",
            "not renew",
            "evaluating",
            "résilier",
            "résilie",
            "passer à la concurrence",
        ],
    ),
    (
        "pain point",
        &[
            "slow",
            "annoying",
            "frustrat",
            "painful",
            "tedious",
            "confusing",
            "every time",
            "takes forever",
            "lent",
            "pénible",
            "agaçant",
        ],
    ),
    ("behavior working", &["works well", "works fine", "working as", "fonctionne bien"]),
    ("behavior not working", &["not working", "stopped working", "no longer works", "ne fonctionne plus"]),
    (
        "critical",
        &[
            "critical",
            "outage",
            "data loss",
            "lost data",
            "production is down",
            "everything is down",
            "whole team",
            "urgent",
            "en panne",
        ],
    ),
    ("high", &["blocked", "blocker", "cannot work", "unusable", "no workaround", "crash", "fail", "bloqué"]),
    ("medium", &["workaround", "sometimes", "intermittent", "slow", "parfois"]),
    ("low", &["cosmetic", "typo", "minor", "small thing", "documentation", "mineur"]),
    ("positive", &["love", "great", "thank", "happy", "merci"]),
    ("negative", &["slow", "fail", "frustrat", "cancel", "angry", "broken"]),
    ("en", &["the", "and", "is ", "this", "we "]),
    ("english", &["the", "and", "is ", "this", "we "]),
    ("fr", &["le ", "les ", "est ", "nous", "une ", "pas ", "merci"]),
    ("french", &["le ", "les ", "est ", "nous", "une ", "pas ", "merci"]),
    ("renewal", &["renew", "contract end", "renouvel"]),
    ("escalation", &["escalat", "your manager", "unacceptable", "inacceptable"]),
    ("competitor", &["competitor", "switch to", "instead of you", "concurrent"]),
    ("churn", &["cancel", "leaving", "switch to", "not renew", "résilier"]),
];

/// Values that say "nothing in particular", best first.
pub(super) const NEUTRAL: [&str; 12] =
    ["general", "none", "other", "unknown", "unsure", "unclear", "neutral", "no", "medium", "low", "en", "not stated"];

/// A value as it is spoken: `feature_request` and `Feature request` are one.
pub(super) fn spoken(value: &str) -> String {
    value.to_lowercase().replace(['_', '-'], " ")
}

/// Whether a text, in lower case, holds words that begin so.
pub(super) fn has(text: &str, words: &str) -> bool {
    count(text, words) > 0
}

fn count(text: &str, words: &str) -> u32 {
    let starts = |at: usize| !text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
    let mut found = 0;
    for (at, _) in text.match_indices(words).take(50) {
        found += u32::from(starts(at) || !words.starts_with(char::is_alphanumeric));
    }
    found
}

/// How much of a text, in lower case, speaks for a value. Its own words count twice.
pub(super) fn evidence(value: &str, text: &str) -> u32 {
    let spoken = spoken(value);
    if spoken.trim().is_empty() {
        return 0;
    }
    let cues = CUES.iter().filter(|(name, _)| *name == spoken).flat_map(|(_, cues)| cues.iter());
    let by_cues: u32 = cues.map(|cue| count(text, cue).min(3)).sum();
    let short = spoken.len() <= 2 || NEUTRAL.contains(&spoken.as_str());
    by_cues + if short { 0 } else { 2 * count(text, &spoken).min(2) }
}

/// Whether anything in a text, in lower case, is a cue for anything that is worth a remark.
pub(super) fn is_remark(text: &str) -> bool {
    CUES.iter().take(8).any(|(_, cues)| cues.iter().any(|cue| has(text, cue)))
}

/// The share of words that two texts have in common, from 0 to 1.
pub(super) fn overlap(a: &str, b: &str) -> f64 {
    let words = |text: &str| {
        let lower = text.to_lowercase();
        let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 3);
        words.map(|word| word.chars().take(6).collect::<String>()).collect::<std::collections::BTreeSet<_>>()
    };
    let (a, b) = (words(a), words(b));
    let least = a.len().min(b.len());
    if least == 0 { 0.0 } else { a.intersection(&b).count() as f64 / least as f64 }
}
