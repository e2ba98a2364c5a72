//! Eval: how well a subject judges labelled texts. The embedded classifier is one subject, a language model another; both are
//! asked the same and counted alike, so that nobody has to believe what a vendor says of itself.
//!
//! Law: a figure is of the rows of the file and of nothing else; what was left out, renamed or folded is told in the report.
//!
//! [`rows`] reads the file, [`labels`] brings gold and verdicts to one spelling, [`mod@run`] asks, [`score`] counts, [`pairs`] and
//! [`nearest`] measure what finds duplicates and themes.

mod asked;
pub mod labels;
pub mod nearest;
mod offline;
pub mod pairs;
pub mod rows;
pub mod run;
pub mod score;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use serde::Serialize;

pub use asked::WithModel;
pub use labels::Choice;
pub use rows::{Options, Problem, Row, read};
pub use run::{Report, run};

use crate::enrich::Text;

/// What is asked of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    Category,
    Severity,
    Product,
    /// The language, as an ISO 639-1 code.
    Lang,
    /// Whether two texts ask for the same.
    Pairs,
    /// Whether what is near a text has its label: intents, clusters, themes.
    Nearest,
}

impl Task {
    pub const ALL: [Self; 6] = [Self::Category, Self::Severity, Self::Product, Self::Lang, Self::Pairs, Self::Nearest];

    pub fn name(self) -> &'static str {
        match self {
            Self::Category => "category",
            Self::Severity => "severity",
            Self::Product => "product",
            Self::Lang => "lang",
            Self::Pairs => "pairs",
            Self::Nearest => "nearest",
        }
    }
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub task: Task,
    /// One text, or for [`Task::Pairs`] two.
    pub texts: &'a [Text],
    /// What may be answered; empty where the subject knows for itself.
    pub choices: &'a [Choice],
}

/// What it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    pub calls: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// In the currency of the model's prices.
    pub money: f64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.tokens_in += other.tokens_in;
        self.tokens_out += other.tokens_out;
        self.money += other.money;
    }
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// The label of a choice, or the value itself where there were none; `duplicate` or `other` for a pair. `None`: not said.
    pub value: Option<String>,
    /// 0 to 1: how often it is right when it says so.
    pub confidence: f64,
    pub because: Option<String>,
    pub cost: Cost,
}

/// What is measured.
#[async_trait]
pub trait Subject: Send + Sync {
    /// With its version: it stands in the report.
    fn name(&self) -> String;

    /// # Errors
    /// In words, where there is no answer and none is to be expected for the other rows: no key, no money, no server.
    async fn judge(&self, asked: Asked<'_>) -> Result<Judged, String>;

    /// A vector a text, in their order and of one length; what finds neighbours.
    ///
    /// # Errors
    /// As for [`Subject::judge`].
    async fn embed(&self, texts: &[Text]) -> Result<(Vec<Vec<f32>>, Cost), String>;
}

/// The embedded classifier: it costs nothing.
pub struct Offline(crate::enrich::Offline);
