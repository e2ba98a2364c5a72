//! The classifier that needs nothing: no network, no download, no account. It reads, weighs and says what it rests on.
//!
//! Law: the same text gets the same suggestions on every machine; a confidence is the share of held-out verdicts like it that
//! were right (`weights/REPORT.md`), never the model's own enthusiasm; what it cannot read it calls general, unsurely.

use std::ops::Range;

use super::cues;
use super::features::{Features, HASHED, grams};
use super::language::Languages;
use super::model::{Model, Task};
use super::reading::Reading;
use super::vocabulary::{Matcher, Vocabulary};
use super::{Classifier, Suggestion, Text, round};

const WEIGHTS: &[u8] = include_bytes!("weights/offline-1.bin");
pub const CATEGORY: &str = "tags.category";
pub const SEVERITY: &str = "tags.severity";

/// The confidence where there are no words, or none in a script that was trained.
const UNREAD: f64 = 0.1;
/// The model knows English and French. In another language of Latin script cues, loan words and labels still help; how much was
/// not measured for want of data.
const OTHER_LANGUAGE: f64 = 0.6;
/// A language is believed from this confidence on.
const SURELY: f64 = 0.94;
/// Below this share of Latin letters the text counts as not read.
const READABLE: f64 = 0.5;
/// The reasons that are told, and the least that one must weigh.
const REASONS: usize = 3;
const WEIGHTY: f32 = 0.05;
const REASON_CHARS: usize = 40;

/// The embedded model and the configured vocabularies.
pub struct Offline {
    model: Model,
    languages: Languages,
    matchers: Vec<Matcher>,
}

impl Offline {
    pub fn new(vocabularies: Vec<Vocabulary>) -> Self {
        let model = Model::parse(WEIGHTS).expect("the weights in this build are of this build; a test reads them");
        Self::with(model, vocabularies)
    }

    /// With other weights than the embedded ones; the trainer judges its own so.
    pub fn with(model: Model, vocabularies: Vec<Vocabulary>) -> Self {
        Self { model, languages: Languages::new(), matchers: vocabularies.into_iter().map(Matcher::new).collect() }
    }

    fn judge(&self, reading: &Reading, language: Option<&str>) -> Vec<Suggestion> {
        if reading.words().is_empty() || reading.latin() < READABLE {
            let general = "general".to_owned();
            return vec![Suggestion { path: CATEGORY.into(), value: general, confidence: UNREAD, because: None }];
        }
        let known = matches!(language, None | Some("en" | "fr"));
        let features = Features::of(reading, &self.model.idf);
        let judge = |task: &Task| {
            let probabilities = task.probabilities(&features);
            let (class, other) = best_two(&probabilities);
            let confidence = task.confidence(class, probabilities[class]);
            Suggestion {
                path: task.path.clone(),
                value: task.classes[class].clone(),
                confidence: round(if known { confidence } else { confidence * OTHER_LANGUAGE }),
                because: because(reading, &features, task, class, other),
            }
        };
        self.model.tasks.iter().map(judge).collect()
    }
}

impl Classifier for Offline {
    fn name(&self) -> &str {
        "offline-1"
    }

    fn classify(&self, text: &Text) -> Vec<Suggestion> {
        let reading = Reading::of(text);
        let language = self.languages.suggest(&reading);
        // A short text's language is guesswork, and not worth doubting the rest for.
        let sure = language.as_ref().filter(|said| said.confidence >= SURELY).map(|said| said.value.as_str());
        let mut suggestions = self.judge(&reading, sure);
        suggestions.extend(self.matchers.iter().filter_map(|matcher| matcher.suggest(&reading, &text.origin)));
        suggestions.extend(language);
        suggestions
    }
}

/// The likeliest class and the next; the first in order where they are equal.
fn best_two(probabilities: &[f32]) -> (usize, usize) {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
    (order[0], order[1])
}

/// The words and cues that speak most for the class against the next best.
fn because(reading: &Reading, features: &Features, task: &Task, class: usize, other: usize) -> Option<String> {
    let mut leans = vec![0.0_f32; HASHED];
    for (index, share) in &features.share {
        leans[*index] = share * task.lean(*index, class, other);
    }
    let mut words = vec![0.0_f32; reading.words().len()];
    grams(reading, |index, span| {
        let each = leans[index] / if span.len() == 2 { 2.0 } else { 1.0 };
        words[span].iter_mut().for_each(|word| *word += each);
    });
    // A phrase that is a cue stands for its words; all other words for themselves; a mark for itself.
    let mut reasons: Vec<(f32, String)> = Vec::new();
    let mut taken = vec![false; words.len()];
    let shown = |span: Range<usize>| format!("\u{201c}{}\u{201d}", cut(reading.shown(span)));
    for found in &features.cues {
        let lean = task.cue_lean(found, class, other);
        if found.words.is_empty() {
            reasons.push((lean, cues::name(found.cue).to_owned()));
        } else {
            taken[found.words.clone()].fill(true);
            reasons.push((lean + words[found.words.clone()].iter().sum::<f32>(), shown(found.words.clone())));
        }
    }
    for (at, lean) in words.iter().enumerate().filter(|(at, lean)| !taken[*at] && **lean > WEIGHTY) {
        reasons.push((*lean, shown(at..at + 1)));
    }
    reasons.retain(|(lean, _)| *lean > WEIGHTY);
    reasons.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut told: Vec<String> = Vec::with_capacity(REASONS);
    for (_, reason) in reasons {
        if told.len() < REASONS && !told.iter().any(|before| before.to_lowercase() == reason.to_lowercase()) {
            told.push(reason);
        }
    }
    (!told.is_empty()).then(|| told.join(", "))
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(REASON_CHARS).map_or(text, |(end, _)| &text[..end])
}
