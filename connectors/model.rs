//! The port of a language model: what a provider of models looks like to the engine.
//!
//! As the other ports: it never sleeps, never asks twice by itself, and says what happened ([`Fault`]).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::{Fault, Outside, SettingsError};

/// One question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    pub model: String,
    pub system: String,
    pub user: String,
    pub schema: Option<Schema>,
    pub temperature: Option<f64>,
    pub max_tokens: Option<u32>,
    pub seed: Option<u64>,
    /// Names what stays the same before the data, for the provider's cache of prompts. Holds no secret.
    pub cache_key: Option<String>,
}

/// The JSON Schema that an answer must fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    pub name: String,
    pub schema: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    pub text: String,
    /// The model that really answered: names without a version drift.
    pub model: String,
    pub finish: Finish,
    pub tokens: Tokens,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    Stop,
    /// Cut off.
    Length,
    Other(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of them, `cached` were known to the provider from an earlier call.
    pub input: u64,
    pub output: u64,
    pub cached: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// Of the first inputs, in their order; maybe not of all.
    pub vectors: Vec<Vec<f32>>,
    pub model: String,
    pub tokens: Tokens,
}

#[async_trait]
pub trait Model: Send + Sync {
    async fn chat(&self, request: &ChatRequest) -> Result<Chat, Fault>;
    /// Takes a beginning of `inputs`; the caller goes on behind it.
    async fn embed(&self, model: &str, inputs: &[String]) -> Result<Embedded, Fault>;
    fn batches(&self) -> Option<&dyn Batches>;
    fn wait(&self) -> Option<Duration>;
}

#[derive(Clone, Debug, PartialEq)]
pub struct BatchLine {
    pub custom_id: String,
    pub request: ChatRequest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchState {
    Running { done: u64, total: u64 },
    Done,
    Failed(String),
}

#[async_trait]
pub trait Batches: Send + Sync {
    async fn submit(&self, name: &str, lines: &[BatchLine]) -> Result<String, Fault>;
    async fn look(&self, job: &str) -> Result<BatchState, Fault>;
    async fn results(&self, job: &str) -> Result<Vec<(String, Result<Chat, String>)>, Fault>;
    async fn find(&self, name: &str) -> Result<Option<String>, Fault>;
}

/// Opens a provider.
pub fn open(
    _settings: &Map<String, Value>,
    _key: Option<SecretString>,
    _outside: &Outside,
) -> Result<Arc<dyn Model>, SettingsError> {
    Err(SettingsError { key: None, why: "this build has no client".into() })
}
