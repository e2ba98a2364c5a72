//! Mistral's API, and servers that speak its chat dialect (vLLM, Ollama, llama.cpp).
//!
//! | what | call |
//! |---|---|
//! | which models there are | `GET /v1/models` |
//! | a question | `POST /v1/chat/completions` |
//! | embeddings | `POST /v1/embeddings`, 512 inputs and 16,384 tokens at most, halved where that is too much |
//! | moderation | `POST /v1/moderations`; nothing calls it by itself |
//! | a batch | `POST /v1/batch/jobs`, with its lines inside or, when they are many, as a file (`POST /v1/files`) |
//!
//! No fact about an answer is relied upon: `content` is a text, nothing or an array of chunks; usage may lack or hold anything; an
//! error is flat, nested, or a page of HTML. An optional field that a server refuses by name is left out from then on.
//!
//! The law: no prompt, no answer and no key is in a [`Fault`] or a log.

mod batch;
mod budget;
mod chat;
mod client;
mod embed;
mod judge;
mod models;
mod said;
mod schema;
mod settings;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_batch;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use self::batch::Unfetched;
use self::client::Client;
use self::settings::{Dialect, Field, Settings};
use crate::http::Call;
use crate::json::array;
use crate::model::{Batches, Chat, ChatRequest, Embedded, Model, ModelCard, Moderation};
use crate::unfinished::Unfinished;
use crate::{Fault, Meter, Outside, SettingsError};

/// A server of models.
pub struct Mistral {
    settings: Settings,
    client: Client,
    /// As they were last told: what a model can do, and what takes a retired one's place.
    cards: Mutex<Vec<ModelCard>>,
    /// Optional fields that a model has refused.
    without: Mutex<BTreeSet<(String, Field)>>,
    /// Files of batches whose job is not made yet, by the batch's name.
    uploaded: Unfinished<String>,
    /// Results whose fetching the quota put off, by job.
    unfetched: Unfinished<Unfetched>,
    /// The page to go on from in looking for a job, by its name.
    looking: Unfinished<u64>,
}

/// Opens a connection to a server of models; calls nobody.
///
/// # Errors
/// Settings of another shape, or no key where Mistral's own servers are called.
pub fn open(
    settings: &Map<String, Value>,
    key: Option<SecretString>,
    outside: &Outside,
) -> Result<Arc<dyn Model>, SettingsError> {
    let settings = Settings::parse(settings)?;
    let key = key.filter(|key| !key.expose_secret().trim().is_empty());
    if key.is_none() && settings.dialect == Dialect::Mistral {
        return Err(SettingsError::key(
            "key",
            "is missing: an API key of console.mistral.ai (a compatible server may need none: dialect = \"compatible\")",
        ));
    }
    let client = Client::new(&settings, key, outside);
    Ok(Arc::new(Mistral {
        settings,
        client,
        cards: Mutex::default(),
        without: Mutex::default(),
        uploaded: Unfinished::default(),
        unfetched: Unfinished::default(),
        looking: Unfinished::default(),
    }))
}

impl Mistral {
    fn cards(&self) -> Vec<ModelCard> {
        self.cards.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Model for Mistral {
    async fn models(&self) -> Result<Vec<ModelCard>, Fault> {
        let answer = self.client.call(Call::get("/v1/models"), 0, &[]).await?.map_err(|said| judge::refused(&said))?;
        let cards = models::read(&answer.json()?);
        self.cards.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&cards);
        Ok(cards)
    }

    async fn chat(&self, request: &ChatRequest) -> Result<Chat, Fault> {
        self.ask(request).await
    }

    async fn embed(&self, model: &str, inputs: &[String]) -> Result<Embedded, Fault> {
        self.embed_some(model, inputs).await
    }

    async fn moderate(&self, model: &str, inputs: &[String]) -> Result<Vec<Moderation>, Fault> {
        if self.settings.dialect == Dialect::Compatible {
            return Err(Fault::locked("dialect: a compatible server has no moderation"));
        }
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let body = json!({"model": model, "input": inputs});
        let call = Call::post("/v1/moderations", body).reads(true);
        let texts: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let cost = texts.iter().map(|text| embed::tokens(text)).sum();
        let answer = self.client.call(call, cost, &texts).await?;
        let answer: Value = answer.map_err(|said| judge::of_model(&said, model, &self.cards()))?.json()?;
        let results = array(&answer, "results");
        if results.len() != inputs.len() {
            return Err(Fault::unknown(format!("{} texts were moderated of {}", results.len(), inputs.len())));
        }
        Ok(results.iter().map(moderation).collect())
    }

    fn batches(&self) -> Option<&dyn Batches> {
        (self.settings.dialect == Dialect::Mistral).then_some(self)
    }

    fn wait(&self) -> Option<Duration> {
        self.client.wait()
    }

    fn meter(&self) -> Meter {
        self.client.meter()
    }
}

fn moderation(result: &Value) -> Moderation {
    let scores = result["category_scores"].as_object().into_iter().flatten();
    let categories = result["categories"].as_object().into_iter().flatten();
    Moderation {
        flagged: categories.into_iter().any(|(_, flagged)| flagged == &Value::Bool(true)),
        scores: scores.filter_map(|(name, score)| Some((name.clone(), score.as_f64()?))).collect(),
    }
}
