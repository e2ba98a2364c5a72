//! The port to language models: ask, embed, moderate, and hand over a batch. What is asked, and whether an answer is believed, is
//! the engine's.
//!
//! As with every port: no sleep, no second try of its own, and a [`Fault`] says what to do next. A chat that is made twice costs
//! twice and does nothing else; a batch that is submitted twice is found by its name ([`Batches::find`]).

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Fault, Meter};

pub use crate::mistral::open;

/// One question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    pub model: String,
    /// What is the same for every question of a task comes first: a stable beginning is billed at a tenth.
    pub system: String,
    pub user: String,
    /// The shape of the answer. It is asked for, not promised: check the answer.
    pub schema: Option<Schema>,
    pub temperature: Option<f64>,
    /// Of the answer.
    pub max_tokens: Option<u32>,
    pub seed: Option<u64>,
    /// Names the stable beginning: the task and its prompt's version. No secret, nothing of a customer's.
    pub cache_key: Option<String>,
}

/// A JSON Schema. Only `type`, `enum`, `required`, `properties`, `items` and `description` are sent; whatever else it holds is the
/// caller's own to check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    pub name: String,
    pub schema: Value,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    /// Without what the model thought. Empty where it said nothing.
    pub text: String,
    /// The model that really answered, as the server names it: what an alias stands for drifts.
    pub model: String,
    pub finish: Finish,
    pub tokens: Tokens,
}

/// Why an answer ends where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    Stop,
    /// It is cut off: by `max_tokens`, or by what the model can hold.
    Length,
    Other(String),
}

/// What is billed. Zero where the server does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    pub input: u64,
    pub output: u64,
    /// Of `input`: read from the server's cache.
    pub cached: u64,
}

/// Embeddings of the first inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// In the order of the inputs, of which they may be fewer: go on from there. An empty text has an empty vector.
    pub vectors: Vec<Vec<f32>>,
    pub model: String,
    pub tokens: Tokens,
}

/// What moderation says of one text. The categories are the server's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moderation {
    pub flagged: bool,
    pub scores: BTreeMap<String, f64>,
}

/// A model, as its server describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    pub id: String,
    pub aliases: Vec<String>,
    /// In tokens, where the server says.
    pub context: Option<u64>,
    /// From when on it may be gone.
    pub deprecated: Option<DateTime<Utc>>,
    pub replacement: Option<String>,
    /// It can be asked ([`Model::chat`]). True where the server does not tell.
    pub chat: bool,
    /// Whether it thinks before it answers, or can; `None` where the server does not tell.
    pub reasoning: Option<bool>,
    /// What is used where a request names none.
    pub temperature: Option<f64>,
}

impl ModelCard {
    /// By its id or one of its other names.
    pub fn is_called(&self, name: &str) -> bool {
        self.id == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// A server that holds models.
#[async_trait]
pub trait Model: Send + Sync {
    /// What may be used there; nothing, where the server keeps no list. One cheap read: it proves address and key, too.
    async fn models(&self) -> Result<Vec<ModelCard>, Fault> {
        Ok(Vec::new())
    }

    /// # Errors
    /// `Later`: too many, overloaded, down. `Unknown`: no answer came, or one that is none. `Rejected`: this question never, with the
    /// field that is at fault (`user`, `schema`). `Locked`: the key, the plan, or the model, which may have been retired.
    async fn chat(&self, request: &ChatRequest) -> Result<Chat, Fault>;

    /// As many of the first inputs as one call takes. Of an input that is too long, its beginning is embedded.
    async fn embed(&self, model: &str, inputs: &[String]) -> Result<Embedded, Fault>;

    /// One verdict per input. Nothing calls it by itself: see `docs/vendors/mistral.md` for why.
    async fn moderate(&self, _model: &str, _inputs: &[String]) -> Result<Vec<Moderation>, Fault> {
        Err(Fault::locked("this server has no moderation"))
    }

    /// Many questions at half the price, answered within a day. `None`: this server has no batches.
    fn batches(&self) -> Option<&dyn Batches> {
        None
    }

    /// How long until the quota lets another call out; `None`: now. An estimate: the call itself decides.
    fn wait(&self) -> Option<Duration> {
        None
    }

    /// Calls made so far.
    fn meter(&self) -> Meter {
        Meter::default()
    }
}

/// One question of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchLine {
    /// By which its answer is known; unique in the batch.
    pub custom_id: String,
    pub request: ChatRequest,
}

/// How far a batch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchState {
    Running {
        done: u64,
        total: u64,
    },
    /// Single lines may have failed all the same.
    Done,
    /// Why it ended early. What was answered until then can still be had.
    Failed(String),
}

/// Many questions at once.
#[async_trait]
pub trait Batches: Send + Sync {
    /// The job's id. All lines are for one model. After [`Fault::Unknown`], [`Batches::find`] tells whether it is there.
    async fn submit(&self, name: &str, lines: &[BatchLine]) -> Result<String, Fault>;

    async fn look(&self, job: &str) -> Result<BatchState, Fault>;

    /// The answers by `custom_id`, in no order; `Err` tells why a line failed. Fetch them at once: how long the server keeps them is
    /// not certain.
    async fn results(&self, job: &str) -> Result<Vec<(String, Result<Chat, String>)>, Fault>;

    /// The job that was submitted under this name within the last eight days.
    async fn find(&self, name: &str) -> Result<Option<String>, Fault>;

    /// Done twice, it is as if done once.
    async fn cancel(&self, _job: &str) -> Result<(), Fault> {
        Err(Fault::rejected("this server cancels no batch"))
    }
}
