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

const WEIGHTS: &[u8] = include_bytes!("weights/offline-2.bin");
pub const CATEGORY: &str = "tags.category";
pub const SEVERITY: &str = "tags.severity";
pub const PRODUCT: &str = "tags.product";

/// What a class is called where the configured categories have no word for it, and what a tag gets that nobody else fits.
const GENERAL: &str = "general";
/// The categories where none are configured: a question is general, as mappings know no other word for it.
const CATEGORIES: [&str; 6] = ["bug", "feature_request", "pain_point", "praise", "churn_signal", GENERAL];
/// The trained products that no other company has. Where a vocabulary knows fewer than [`OURS`] of them, it is about
/// other products, and what was learned of these says nothing there.
const PROPER: [&str; 7] = ["codestral", "devstral", "le_chat", "magistral", "pixtral", "vibe", "voxtral"];
const OURS: usize = 3;

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
    /// The classes of the category that may be said.
    categories: Vec<String>,
    /// What each trained product is called here; `None` where the vocabulary has no such word.
    products: Vec<Option<String>>,
}

/// What the model gives each class of one task.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// `tags.category`, `tags.severity` or `tags.product`.
    pub path: String,
    /// Classes and probabilities, which sum to 1; by the class in the order of the weights.
    pub classes: Vec<(String, f64)>,
}

impl Offline {
    /// A vocabulary for `tags.category` says which categories there are: what it has no word for is called general. One for
    /// `tags.product` says which products there are: a name in the text wins, else the model speaks, of these products only.
    pub fn new(vocabularies: Vec<Vocabulary>) -> Self {
        Self::with(embedded(), vocabularies)
    }

    /// With other weights than the embedded ones; the trainer judges its own so.
    pub fn with(model: Model, vocabularies: Vec<Vocabulary>) -> Self {
        let configured = |path: &str| vocabularies.iter().find(|vocabulary| vocabulary.path == path);
        let categories = match configured(CATEGORY) {
            Some(vocabulary) => vocabulary.terms.iter().map(|term| term.value.clone()).collect(),
            None => CATEGORIES.map(str::to_owned).into(),
        };
        let trained = model.task(PRODUCT).map(|task| task.classes.as_slice()).unwrap_or_default();
        let named = |class: &String| {
            let terms = configured(PRODUCT).map(|vocabulary| vocabulary.terms.as_slice()).unwrap_or_default();
            let known = |name: &String| plain(name) == plain(class);
            terms.iter().find(|term| known(&term.value) || term.words.iter().any(known)).map(|term| term.value.clone())
        };
        let mut products: Vec<Option<String>> = trained.iter().map(named).collect();
        let proper =
            trained.iter().zip(&products).filter(|(class, name)| PROPER.contains(&class.as_str()) && name.is_some());
        if proper.count() < OURS {
            products.fill(None);
        }
        let matchers = vocabularies.into_iter().filter(|vocabulary| vocabulary.path != CATEGORY).map(Matcher::new);
        Self { matchers: matchers.collect(), model, languages: Languages::new(), categories, products }
    }

    /// All that was learned, with no configuration between: every trained category and product under its own name.
    pub fn trained() -> Self {
        let model = embedded();
        let classes = |path| model.task(path).map(|task| task.classes.clone()).unwrap_or_default();
        let (categories, products) = (classes(CATEGORY), classes(PRODUCT).into_iter().map(Some).collect());
        Self { model, languages: Languages::new(), matchers: Vec::new(), categories, products }
    }

    /// Whether products are a configured vocabulary's, so that [`Offline::shares`] does not tell what would be said.
    pub fn names_products(&self) -> bool {
        self.matchers.iter().any(|matcher| matcher.path() == PRODUCT)
    }

    /// What the model gives each class, task by task; nothing where the text cannot be read.
    pub fn shares(&self, text: &Text) -> Vec<Shares> {
        let reading = Reading::of(text);
        if unreadable(&reading) {
            return Vec::new();
        }
        let features = Features::of(&reading, &self.model.idf);
        let of = |task: &Task| Shares {
            path: task.path.clone(),
            classes: task
                .classes
                .iter()
                .cloned()
                .zip(task.probabilities(&features).into_iter().map(f64::from))
                .collect(),
        };
        self.model.tasks.iter().map(of).collect()
    }

    /// How often a class was right on unseen text when it was given this probability.
    pub fn confidence(&self, path: &str, class: &str, probability: f64) -> f64 {
        let found =
            self.model.task(path).and_then(|task| Some((task, task.classes.iter().position(|name| name == class)?)));
        found.map_or(probability, |(task, class)| task.confidence(class, single(probability)))
    }

    fn judge(&self, reading: &Reading, language: Option<&str>) -> Vec<Suggestion> {
        if unreadable(reading) {
            return vec![Suggestion {
                path: CATEGORY.into(),
                value: GENERAL.into(),
                confidence: UNREAD,
                because: None,
            }];
        }
        let known = matches!(language, None | Some("en" | "fr"));
        let features = Features::of(reading, &self.model.idf);
        let judge = |task: &Task| {
            let probabilities = task.probabilities(&features);
            let (class, other) = best_two(&probabilities);
            let confidence = task.confidence(class, probabilities[class]);
            Some(Suggestion {
                path: task.path.clone(),
                value: self.called(task, class)?,
                confidence: round(if known { confidence } else { confidence * OTHER_LANGUAGE }),
                because: because(reading, &features, task, class, other),
            })
        };
        self.model.tasks.iter().filter_map(judge).collect()
    }

    /// The word for a class here, if there is one.
    fn called(&self, task: &Task, class: usize) -> Option<String> {
        let name = &task.classes[class];
        match task.path.as_str() {
            PRODUCT => self.products.get(class).cloned().flatten(),
            CATEGORY if !self.categories.contains(name) => Some(GENERAL.to_owned()),
            _ => Some(name.clone()),
        }
    }
}

pub(super) fn embedded() -> Model {
    Model::parse(WEIGHTS).expect("the weights in this build are of this build; a test reads them")
}

fn unreadable(reading: &Reading) -> bool {
    reading.words().is_empty() || reading.latin() < READABLE
}

/// `Le Chat`, `le-chat` and `le_chat` are one name.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a share between 0 and 1 loses nothing that matters")]
fn single(share: f64) -> f32 {
    share as f32
}

impl Classifier for Offline {
    fn name(&self) -> &str {
        "offline-2"
    }

    fn classify(&self, text: &Text) -> Vec<Suggestion> {
        let reading = Reading::of(text);
        let language = self.languages.suggest(&reading);
        // A short text's language is guesswork, and not worth doubting the rest for.
        let sure = language.as_ref().filter(|said| said.confidence >= SURELY).map(|said| said.value.as_str());
        let mut suggestions = self.judge(&reading, sure);
        for said in self.matchers.iter().filter_map(|matcher| matcher.suggest(&reading, &text.origin)) {
            // What a text names is surer than what it sounds like.
            suggestions.retain(|model| model.path != said.path);
            suggestions.push(said);
        }
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
