//! What is personal does not leave the house: names, mail addresses, telephone numbers, keys and tokens become marks, and come
//! back into what is answered.
//!
//! Laws: the same thing has the same mark throughout one question; a mark never meets one that the text itself holds; what the
//! marks stand for comes back byte for byte.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// What is hidden, the first that fits: later ones see what earlier ones left.
static PATTERNS: LazyLock<Vec<(&'static str, Regex)>> = LazyLock::new(|| {
    [
        ("KEY", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)"),
        // A password in an address.
        ("KEY", r"://(?P<hide>[^/\s:@]+:[^/\s@]+)@"),
        // Named as what it is.
        ("KEY", r#"(?i)\b(?:api[_ -]?key|access[_ -]?key|secret|token|password|passwd|pwd|passphrase|mot de passe|passwort|bearer|authorization)\b["']?\s*(?:[:=]|\bis\b|\best\b)?\s*["']?(?P<hide>[A-Za-z0-9_\-+/=.~!@#$%^&*]{8,})"#),
        ("KEY", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)?"),
        ("KEY", r"\b(?:sk|pk|rk|whsec|ghp|gho|ghs|ghu|github_pat|glpat|xox[abeprs]|xapp|lin_api|lin_oauth|secret|ntn|pat|dop_v1|npm|pypi|hf|shpat|SG|key|dG9rOg)[-_.][A-Za-z0-9_\-.]{12,}"),
        ("KEY", r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}\b|\bAIza[0-9A-Za-z_\-]{20,}"),
        ("EMAIL", r"[\p{L}\p{N}._%+'\-]+@[\p{L}\p{N}\-]+(?:\.[\p{L}\p{N}\-]+)+"),
        ("EMAIL", r"(?i)\b[\w.+\-]+\s*[\(\[]\s*(?:at|arobase|chez)\s*[\)\]]\s*[\w\-]+(?:\s*(?:[\(\[]\s*(?:dot|point)\s*[\)\]]|\.)\s*[\w\-]+)+"),
        ("IBAN", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"),
        ("PHONE", r"(?:\+|\b00)\d{1,3}[\s.\-/]?(?:\(\d{1,4}\)[\s.\-/]?)?\d(?:[\s.\-/]?\d){6,13}\b"),
        ("PHONE", r"\b0\d(?:[\s.\-]\d{2}){4}\b|\b0[1-9]\d{8}\b"),
        ("PHONE", r"\(\d{3}\)\s?\d{3}[\s.\-]\d{4}\b|\b\d{3}[.\-]\d{3}[.\-]\d{4}\b"),
        ("PHONE", r"\b0\d{2,4}[\s/\-]\d{3,4}[\s\-]?\d{3,5}\b"),
        // Long and random: a key, whatever its name.
        ("KEY", r"\b[A-Za-z0-9_\-+/]{28,}={0,2}"),
        // Handles, but no decorators or packages (`@scope/name`).
        ("HANDLE", r"(?:^|[\s(,;:])(?P<hide>@[A-Za-z][A-Za-z0-9_\-]{1,38})(?:[\s.,;:!?)]|$)"),
        // People who name themselves, greet, or sign.
        ("PERSON", r"(?m)\b(?i:my name is|this is|i am|i'm|je m'appelle|je suis|ich bin|mein name ist|ich hei\u{df}e)\s+(?P<hide>\p{Lu}[\p{L}'\u{2019}\-]+\s+\p{Lu}[\p{L}'\u{2019}\-]+)"),
        ("PERSON", r"(?m)^\s*(?i:hi|hello|hey|dear|bonjour|bonsoir|salut|cher|ch\u{e8}re|hallo|liebe|lieber|guten tag|hola)\s+(?i:(?:mr|mrs|ms|dr|m|mme|herr|frau)\.?\s+)?(?P<hide>\p{Lu}[\p{L}'\u{2019}\-]+(?:\s+\p{Lu}[\p{L}'\u{2019}\-]+){0,2})\s*[,!.\n]"),
        ("PERSON", r"(?m)\b(?:Mr|Mrs|Ms|Dr|Prof|Mme|Mlle|Herr|Frau)\.?\s+(?P<hide>\p{Lu}[\p{L}'\u{2019}\-]+(?:\s+\p{Lu}[\p{L}'\u{2019}\-]+){0,2})"),
        ("PERSON", r"(?m)^\s*(?i:best|best regards|kind regards|regards|warm regards|sincerely|cheers|thanks|many thanks|thank you|cordialement|bien cordialement|bien \u{e0} vous|merci|merci d'avance|\u{e0} bient\u{f4}t|mit freundlichen gr\u{fc}\u{df}en|viele gr\u{fc}\u{df}e|lg)[\s,!.]*\n+\s*(?P<hide>\p{Lu}[\p{L}'\u{2019}\-.]+(?:\s+\p{Lu}[\p{L}'\u{2019}\-.]+){0,3})\s*$"),
        ("PERSON", r"(?i)\b(?:cordialement|best regards|kind regards|regards|cheers|sincerely),?\s+(?P<hide>(?-i:\p{Lu})[\p{L}'\u{2019}\-]+(?:\s+(?-i:\p{Lu})[\p{L}'\u{2019}\-]+){0,2})\s*$"),
    ]
    .into_iter()
    .map(|(kind, pattern)| (kind, Regex::new(pattern).expect("a test compiles every pattern")))
    .collect()
});

/// Words that a long run of letters and digits may be without being a key: it needs all three to be one.
fn is_random(text: &str) -> bool {
    let has = |test: fn(&char) -> bool| text.chars().any(|c| test(&c));
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let hex = text.len() >= 32 && text.chars().all(|c| c.is_ascii_hexdigit());
    hex || (has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase) && digits >= 3 && !text.contains('/'))
        || (digits >= 6 && has(char::is_ascii_alphabetic) && !text.contains(['/', '-']))
}

/// What is hidden in one question.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// What stands in the text, and its mark; the longest first, so that an address goes before a name in it.
    marks: Vec<(String, String)>,
}

impl Mask {
    /// Finds all that is personal in these texts. `names`: those that are known from elsewhere (who wrote, who took part, whose
    /// account it is).
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>, names: &[String]) -> Self {
        let texts: Vec<&str> = texts.into_iter().collect();
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for text in &texts {
            let mut left = (*text).to_owned();
            for (kind, pattern) in PATTERNS.iter() {
                let hits: Vec<String> = pattern
                    .captures_iter(&left)
                    .filter_map(|captures| {
                        let named = captures.name("hide");
                        let hit = named.or_else(|| captures.get(0))?.as_str();
                        is_hidden(kind, hit, named.is_some()).then(|| hit.to_owned())
                    })
                    .collect();
                for hit in hits {
                    left = left.replace(&hit, "[]");
                    found.push((kind, hit));
                }
            }
        }
        for name in names.iter().map(|name| name.trim()).filter(|name| name.chars().count() > 1) {
            for spelling in spellings(name) {
                if texts.iter().any(|text| words(text, &spelling).next().is_some()) {
                    found.push(("NAME", spelling));
                }
            }
        }
        let mut mask = Self::default();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (kind, hidden) in found {
            if mask.marks.iter().any(|(known, _)| *known == hidden) {
                continue;
            }
            let count = counts.entry(kind).or_default();
            let mark = loop {
                *count += 1;
                let mark = format!("[{kind}_{count}]");
                if !texts.iter().any(|text| text.contains(&mark)) {
                    break mark;
                }
            };
            mask.marks.push((hidden, mark));
        }
        mask.marks.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.0.cmp(&b.0)));
        mask
    }

    /// The text as it may leave.
    pub fn hide(&self, text: &str) -> String {
        self.marks.iter().fold(text.to_owned(), |text, (hidden, mark)| {
            // A name is a word of its own; an address is itself wherever it stands.
            if mark.starts_with("[PERSON") || mark.starts_with("[NAME") {
                replace_words(text, hidden, mark)
            } else {
                text.replace(hidden.as_str(), mark)
            }
        })
    }

    /// What was said, from what was answered.
    pub fn restore(&self, text: &str) -> String {
        if !text.contains('[') {
            return text.to_owned();
        }
        // `[NAME_12]` holds no `[NAME_1]`: the bracket ends a mark.
        self.marks.iter().fold(text.to_owned(), |text, (hidden, mark)| text.replace(mark.as_str(), hidden))
    }

    /// [`Mask::restore`] in every text of a value.
    pub fn restore_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.restore(text)),
            Value::Array(list) => Value::Array(list.iter().map(|inner| self.restore_value(inner)).collect()),
            Value::Object(map) => {
                Value::Object(map.iter().map(|(key, inner)| (key.clone(), self.restore_value(inner))).collect())
            }
            other => other.clone(),
        }
    }

    /// How many things are hidden.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }
}

/// Parts of names that are words, too, and would be torn out of every sentence.
fn is_name(part: &str) -> bool {
    const WORDS: &[&str] = &[
        "will",
        "mark",
        "may",
        "april",
        "june",
        "august",
        "rose",
        "grace",
        "hope",
        "faith",
        "bill",
        "art",
        "van",
        "von",
        "der",
        "den",
        "the",
        "and",
        "team",
        "support",
        "admin",
        "info",
        "sales",
        "api",
        "app",
        "labs",
        "inc",
        "ltd",
        "llc",
        "gmbh",
        "sas",
        "bank",
        "group",
        "data",
        "cloud",
        "software",
        "systems",
        "tech",
        "digital",
        "solutions",
        "services",
        "global",
        "international",
        "example",
        "example2",
        "com",
        "org",
        "net",
        "www",
    ];
    part.chars().next().is_some_and(char::is_uppercase) && !WORDS.contains(&part.to_lowercase().as_str())
}

/// A greeting to all is to nobody.
fn is_person(name: &str) -> bool {
    const ALL: &[&str] = &[
        "team",
        "all",
        "everyone",
        "everybody",
        "there",
        "folks",
        "support",
        "sir",
        "madam",
        "madame",
        "monsieur",
        "mistral",
        "api",
        "in",
        "the",
        "we",
        "our",
        "please",
        "thanks",
        "merci",
        "and",
        "but",
        "it",
        "is",
        "a",
        "to",
        "not",
        "i",
    ];
    let first = name.split_whitespace().next().unwrap_or_default().to_lowercase();
    !ALL.contains(&first.as_str())
}

fn is_hidden(kind: &str, hit: &str, named: bool) -> bool {
    match kind {
        "PERSON" => is_person(hit),
        // Only the last pattern is unsure of what it found.
        "KEY" if !named && hit.len() >= 28 && !hit.contains(['.', ' ', '\n']) && !hit.starts_with("AIza") => {
            is_random(hit) || hit.contains(['_', '-']) && is_random(&hit.replace(['_', '-'], ""))
        }
        _ => !hit.is_empty(),
    }
}

/// How a known name may stand in a text: as it is, in small or capital letters, and by each of its parts. A part that is an
/// ordinary word stays, and so does a single name in small letters.
fn spellings(name: &str) -> Vec<String> {
    let mut spellings = vec![name.to_owned(), name.to_uppercase()];
    if name.contains([' ', '@', '.', '-', '_']) || name.chars().any(|c| c.is_ascii_digit()) {
        spellings.push(name.to_lowercase());
    }
    let parts = name.split([' ', '.']).filter(|part| part.chars().count() > 2 && is_name(part));
    spellings.extend(parts.filter(|part| *part != name).map(str::to_owned));
    spellings.sort();
    spellings.dedup();
    spellings
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The places where this stands in the text as words of its own.
fn words<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back().is_none_or(|c| !is_word(c));
        let after = text[at + name.len()..].chars().next().is_none_or(|c| !is_word(c));
        before && after
    })
}

fn replace_words(mut text: String, name: &str, mark: &str) -> String {
    let places: Vec<usize> = words(&text, name).collect();
    for at in places.into_iter().rev() {
        text.replace_range(at..at + name.len(), mark);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each text with what must not be left of it.
    const PERSONAL: &[(&str, &[&str])] = &[
        ("Hello Marguerite,\nthe export fails.\n\nBest regards,\nJasper Quillon", &["Marguerite", "Jasper", "Quillon"]),
        ("Bonjour Mme Trucmuche, appelez-moi au 06 12 34 56 78 ou +33 6 12 34 56 78.", &["Trucmuche", "12 34 56"]),
        (
            "write to ada.example+bugs@lumen.example.com or bo (at) lumen (dot) example",
            &["ada.example", "lumen.example", "bo (at)"],
        ),
        ("call +1 (555) 010-9999, (555) 010-1234 or 555-010-4321", &["010"]),
        ("our key sk-live_4f9a8b7c6d5e4f3a2b1c and ghp_abcdefghijklmnopqrst0123456789AB leaked", &["4f9a", "ghp_"]),
        ("MISTRAL_API_KEY=Zk3vQ8xYp1LmN0aB2cD4eF6gH8jK", &["Zk3v"]),
        ("Authorization: Bearer abcDEF123456ghiJKL", &["abcDEF"]),
        ("password is hunter2hunter2 for now", &["hunter2"]),
        ("postgres://app:s3cretpass@db.example.com/x", &["s3cretpass"]),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", &["eyJ"]),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----", &["MIIEow"]),
        ("wire it to FR76 3000 6000 0112 3456 7890 189", &["3000 6000"]),
        ("cc @adaexample please", &["@adaexample"]),
        ("I am Odo Testperson from Lumen", &["Odo", "Testperson"]),
        ("digest 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", &["9f86d081"]),
    ];

    #[test]
    fn what_is_personal_does_not_stay_and_comes_back_byte_for_byte() {
        for (text, personal) in PERSONAL {
            let mask = Mask::of([*text], &[]);
            let hidden = mask.hide(text);
            for piece in *personal {
                assert!(!hidden.contains(piece), "{piece} is left in: {hidden}");
            }
            assert_eq!(mask.restore(&hidden), *text);
        }
    }

    #[test]
    fn what_engineers_need_stays() {
        for text in [
            "mistral-large-2512 fails since 2026-11-20 10:12:33 with HTTP 429, code 1300, in 0.4.12-beta.3",
            "Error: tool_calls.0.function.arguments must be a string (request_id missing) at client/chat_completions.py:214",
            "from @mistralai/mistralai import Mistral; see /usr/lib/python3.12/site-packages/mistralai/models/embeddings",
            "The 128,000 token context of codestral-2508 costs 0.30 / 0.90; port 8080, 192.0.2.1",
            "Hi team, thanks! Could you add SSO?",
            "NullPointerException in FeedbackServiceImplementationFactoryBean",
        ] {
            let mask = Mask::of([text], &[]);
            assert_eq!(mask.hide(text), text, "{:?}", mask.marks);
        }
    }

    #[test]
    fn known_names_are_hidden_in_every_spelling() {
        let names = ["Ada Example".to_owned(), "lumen labs".into(), "ada-ex".into(), "Will May".into()];
        let text = "ADA EXAMPLE said: Ada will call; ada-ex wrote. Lumen Labs? lumen labs! will it may. Adamant.";
        let mask = Mask::of([text], &names);
        let hidden = mask.hide(text);
        for gone in ["ADA EX", "Ada ", "ada-ex", "lumen labs"] {
            assert!(!hidden.contains(gone), "{hidden}");
        }
        assert!(hidden.contains(" will it may. Adamant."), "{hidden}");
        assert_eq!(mask.restore(&hidden), text);
        let tricky = "[NAME_1] wrote to Ada Example";
        let mask = Mask::of([tricky], &names);
        assert_eq!(mask.restore(&mask.hide(tricky)), tricky, "a text that holds a mark of its own");
        assert!(mask.hide(tricky).starts_with("[NAME_1] wrote to [NAME_"), "{}", mask.hide(tricky));
    }

    #[test]
    fn answers_come_back_whole() {
        let mask = Mask::of(["mail ada@lumen.example"], &[]);
        let answer = serde_json::json!({"quote": "mail [EMAIL_1]", "n": 1, "list": [{"a": "[EMAIL_1]!"}]});
        let restored =
            serde_json::json!({"quote": "mail ada@lumen.example", "n": 1, "list": [{"a": "ada@lumen.example!"}]});
        assert_eq!(mask.restore_value(&answer), restored);
    }

    #[test]
    fn any_text_comes_back() {
        use proptest::prelude::*;
        proptest!(|(text in "[ -~\u{e0}-\u{ff}\n]{0,200}")| {
            let mask = Mask::of([text.as_str()], &["Ada Example".into()]);
            prop_assert_eq!(mask.restore(&mask.hide(&text)), text);
        });
    }
}
