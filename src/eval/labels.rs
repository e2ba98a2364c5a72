//! One spelling for what labels call the same, and which classes count as which label of a file.
//!
//! Law: a label is only renamed where its meaning is plain; what a file has no word for is folded into what it has, and told.

use std::collections::BTreeSet;

use super::Task;

/// A label that may be answered, and the classes of ours that are it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub label: String,
    pub classes: Vec<String>,
}

pub const CATEGORIES: [&str; 7] =
    ["bug", "feature_request", "question", "pain_point", "praise", "churn_signal", "general"];
pub const SEVERITIES: [&str; 4] = ["critical", "high", "medium", "low"];
/// What the offline product model was trained on.
pub const PRODUCTS: [&str; 19] = [
    "api",
    "codestral",
    "competitor",
    "devstral",
    "docs",
    "embed",
    "large",
    "le_chat",
    "magistral",
    "medium",
    "ocr",
    "open_weights",
    "other",
    "pixtral",
    "platform",
    "sdk",
    "small",
    "vibe",
    "voxtral",
];

/// Our category, and how others spell it.
const SPELLINGS: &[(&str, &str)] = &[
    ("bug", "bugs bug_report problem problem_report defect issue error failure crash incident bogue"),
    (
        "feature_request",
        "feature features feature_requests featurerequest request enhancement enhancements improvement suggestion proposal idea wish",
    ),
    ("question", "questions help support usage how_to howto inquiry q"),
    ("pain_point", "pain pain_points painpoint friction frustration complaint"),
    ("praise", "compliment positive kudos love thanks"),
    ("churn_signal", "churn churn_signals churn_risk churnsignal cancellation leaving"),
    ("general", "other irrelevant misc miscellaneous none noise neutral off_topic not_actionable"),
];
const GRAVITIES: &[(&str, &str)] = &[
    ("critical", "blocker urgent p0 sev0 sev1 s1 highest"),
    ("high", "major p1 sev2 s2 severe important"),
    ("medium", "moderate normal p2 sev3 s3 med"),
    ("low", "minor trivial p3 p4 sev4 s4 lowest"),
];
/// Where a product is not told apart from a broader one, it is that one.
const BROADER: &[(&str, &str)] = &[
    ("sdk", "api"),
    ("ocr", "api"),
    ("voxtral", "api"),
    ("devstral", "codestral"),
    ("magistral", "open_weights"),
    ("docs", "platform"),
    ("vibe", "other"),
    ("competitor", "other"),
];

/// Small letters, with `_` for all that stands between: `Feature Request` is `feature_request`.
pub fn plain(label: &str) -> String {
    let words = label.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("_")
}

/// Our word for a label, where it has one.
pub fn known(task: Task, label: &str) -> Option<&'static str> {
    let label = plain(label);
    let spelt = |table: &'static [(&'static str, &'static str)]| {
        table
            .iter()
            .find(|(name, others)| *name == label || others.split(' ').any(|other| other == label))
            .map(|(name, _)| *name)
    };
    match task {
        Task::Category => spelt(SPELLINGS),
        Task::Severity => spelt(GRAVITIES),
        Task::Product => PRODUCTS.iter().find(|product| **product == label).copied(),
        Task::Lang | Task::Pairs | Task::Nearest => None,
    }
}

/// The labels that may be answered, of the labels that the file has (in our spelling) and those that `--only` names; and remarks.
///
/// `reviews`: the file calls what is not to be acted on irrelevant, as app reviews are labelled; then pain and leaving are
/// problems, and praise and questions are not to be acted on.
pub fn choices(task: Task, gold: &BTreeSet<String>, only: &[String], reviews: bool) -> (Vec<Choice>, Vec<String>) {
    let classes: &[&str] = match task {
        Task::Category => &CATEGORIES,
        Task::Severity => &SEVERITIES,
        Task::Product => &PRODUCTS,
        Task::Lang | Task::Pairs | Task::Nearest => return (Vec::new(), Vec::new()),
    };
    let has = |name: &str| gold.contains(name);
    let (mut choices, mut notes): (Vec<Choice>, Vec<String>) = (Vec::new(), Vec::new());
    for class in classes {
        let parent = match task {
            Task::Category if reviews => match *class {
                "pain_point" | "churn_signal" => Some("bug"),
                "praise" | "question" => Some("general"),
                _ => None,
            },
            Task::Category if *class == "question" && !has("question") && has("general") => Some("general"),
            Task::Product if !has(class) => BROADER.iter().find(|(name, _)| name == class).map(|(_, broader)| *broader),
            _ => None,
        };
        let label = parent.filter(|parent| has(parent) && !has(class)).unwrap_or(class);
        if label != *class && only.is_empty() {
            notes.push(format!("the file has no {class}: it counts as {label}"));
        }
        match choices.iter_mut().find(|choice| choice.label == label) {
            Some(choice) => choice.classes.push((*class).to_owned()),
            None => choices.push(Choice { label: label.to_owned(), classes: vec![(*class).to_owned()] }),
        }
    }
    // What a file alone knows can be no answer of ours, and is counted as missed.
    if !only.is_empty() {
        // The model chooses among these only: what it gives to others is no evidence for any of them.
        if !reviews {
            choices.iter_mut().for_each(|choice| choice.classes.retain(|class| *class == choice.label));
        }
        choices.retain(|choice| only.contains(&choice.label));
    }
    (choices, notes)
}
