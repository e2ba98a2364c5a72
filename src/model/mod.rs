//! The language model, as the rooms ask it: one question, and an answer that was checked, or none.
//!
//! Laws:
//! - What leaves is masked: names, addresses, numbers and keys come back into the answer here.
//! - What customers said is data: it stands between marks that it cannot know, and is never an instruction.
//! - An answer counts once its schema, its vocabularies and its quotes hold; one try more, then the next model, then a person.
//! - The same question is asked once: answers are kept under what was asked.
//! - A budget is kept: when it is spent, or nobody answers, whoever asked comes back later, and everything else goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use connectors::model::Model;
use serde_json::Value;

use crate::house::House;
use crate::ledger::LedgerError;
use crate::schema::{EntityId, Task};

/// The endpoints that may be asked.
#[derive(Default)]
pub struct Models {
    /// `None`: loopd judges alone.
    pub everywhere: Option<Arc<dyn Model>>,
    /// By region in lower case: what is said there goes nowhere else.
    pub regions: BTreeMap<String, Arc<dyn Model>>,
}

/// What a room asks.
pub struct Question<'a> {
    pub task: Task,
    /// Whose budget line and log it is.
    pub subject: Option<EntityId>,
    /// Where it was said, in lower case.
    pub region: Option<String>,
    /// What customers said, by the name that the prompt gives it.
    pub data: Vec<(&'static str, String)>,
    /// What the prompt sees besides: vocabularies, known themes, numbers of ours.
    pub context: Value,
    /// Names known to stand in the data.
    pub names: Vec<String>,
    /// Whether an answer that fits the schema may count; the complaint is put to the model once.
    pub check: &'a (dyn Fn(&Value) -> Result<(), String> + Send + Sync),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    Answered(Answered),
    /// There is no model, or the task is off for models: loopd judges alone.
    Alone,
    /// Not now: the budget is spent, or nobody answers.
    Later(DateTime<Utc>),
    /// No model gave an answer that holds. A person should look.
    Unanswered(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    pub value: Value,
    /// Which model really answered.
    pub model: String,
    /// `classify/1`
    pub prompt: String,
}

/// Asks, where there is somebody to ask.
///
/// # Errors
/// The ledger's.
pub async fn ask(_house: &House, _question: &Question<'_>) -> Result<Asked, LedgerError> {
    Ok(Asked::Alone)
}
