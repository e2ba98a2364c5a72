//! Enrich: what a text is about. It suggests tags; people, mappings and routes decide what follows from them.
//!
//! [`Classifier`] is the seam. [`Offline`] stands behind it and needs nothing: a linear model over hashed n-grams and
//! explicit cues, embedded in the program, and the configured vocabularies. How it was trained, on what, and how well it does
//! on text that it has not seen is in `weights/README.md` and `weights/REPORT.md`; `examples/train_offline_model` makes them.

pub mod apply;
pub mod classify;
pub mod cues;
pub mod duplicate;
pub mod embed;
pub mod features;
mod language;
pub mod model;
pub mod reading;
pub mod sentences;
pub mod stage;
#[cfg(test)]
mod tests;
pub mod vocabulary;

pub use classify::Offline;
pub use vocabulary::{Term, Vocabulary};

/// What there is to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Text {
    /// Empty where there is none.
    pub title: String,
    /// The verbatim.
    pub body: String,
    /// Where it was said, for vocabularies: a repository with or without its number, a URL, a mailbox. May be empty.
    pub origin: String,
}

/// A value for a tag, with what one needs to judge it.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// `tags.category`, `tags.severity`, the path of a vocabulary, `language`.
    pub path: String,
    pub value: String,
    /// 0 to 1: how often it is right when it says so.
    pub confidence: f64,
    /// What in the text made it say so.
    pub because: Option<String>,
}

/// Reads a text and suggests tags, at most one value a path. Where it has nothing to say it leaves the path out.
pub trait Classifier: Send + Sync {
    /// Who judged, with its version: `offline-1`. It is stored beside each verdict.
    fn name(&self) -> &str;

    fn classify(&self, text: &Text) -> Vec<Suggestion>;
}

/// Two digits: more would claim a precision that was not measured.
fn round(confidence: f64) -> f64 {
    (confidence * 100.0).round() / 100.0
}
