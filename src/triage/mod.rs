//! Triage: what is judged of an item once its words have settled. Extract, classify, compare with what is known, join a theme,
//! ask for the job behind it, weigh the risk; then people review.
//!
//! Laws:
//! - Each step commits its own result, and with it that this text was judged: nothing is judged twice, and a crash loses nothing.
//! - No step decides what is people's: priority, roadmap status, messages to customers, closing as won't do.
//! - Where no model answers, loopd's own models and rules do; what must wait waits alone.

pub mod nearest;
mod stage;

pub use nearest::Near;
pub use stage::Triage;

use chrono::{DateTime, Utc};

use crate::enrich::Text;
use crate::schema::Feedback;

/// What became of one step for one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The model has no time or no budget before this.
    Later(DateTime<Utc>),
}

/// What there is to read of an item.
pub fn text(feedback: &Feedback) -> Text {
    Text {
        title: feedback.title.clone().unwrap_or_default(),
        body: feedback.verbatim.clone().or_else(|| feedback.summary.clone()).unwrap_or_default(),
        origin: feedback.origin.as_ref().map(|origin| origin.id.clone()).unwrap_or_default(),
    }
}

/// Changes when what was said does.
pub fn digest(feedback: &Feedback) -> u64 {
    let turns: Vec<(&str, &str)> = feedback.thread.iter().map(|turn| (turn.id.as_str(), turn.text.as_str())).collect();
    let said = (&feedback.title, &feedback.verbatim, &feedback.summary, turns);
    crate::ledger::digest(&said).unwrap_or_default()
}
