//! A question as the server takes it, and an answer as it comes.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use serde_json::{Map, Value, json};

use super::said::Said;
use super::settings::{Dialect, Field, Settings, Shape};
use super::{Mistral, embed, judge, schema};
use crate::Fault;
use crate::http::Call;
use crate::json::{array, text};
use crate::model::{Chat, ChatRequest, Finish, ModelCard, Tokens};

/// What an answer is reckoned at where its length is not bounded.
const ANSWER: u64 = 512;

impl Mistral {
    pub(super) async fn ask(&self, request: &ChatRequest) -> Result<Chat, Fault> {
        let cards = self.cards();
        let without = self.without.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let body = body(&self.settings, request, &cards, &without);
        let private = [request.user.as_str(), request.system.as_str()];
        let call = Call::post("/v1/chat/completions", body.clone()).reads(true);
        let said = match self.client.call(call, cost(request), &private).await? {
            Ok(answer) => return read(&answer.json()?, self.settings.dialect),
            Err(said) => said,
        };
        if let Some(field) = refused_field(&said, &body) {
            let known = (request.model.clone(), field);
            self.without.lock().unwrap_or_else(PoisonError::into_inner).insert(known);
            let why = format!("{} takes no {}; it is asked again without", request.model, field.name());
            return Err(Fault::Later { after: Some(std::time::Duration::ZERO), why });
        }
        Err(judge::of_model(&said, &request.model, &cards))
    }
}

/// What a question will use of a minute's tokens, by estimate.
pub(super) fn cost(request: &ChatRequest) -> u64 {
    embed::tokens(&request.system) + embed::tokens(&request.user) + request.max_tokens.map_or(ANSWER, u64::from)
}

/// The body of the call. `without`: fields that a model has refused.
pub(super) fn body(
    settings: &Settings,
    request: &ChatRequest,
    cards: &[ModelCard],
    without: &BTreeSet<(String, Field)>,
) -> Value {
    let mut system = request.system.clone();
    let mut body = Map::new();
    body.insert("model".into(), request.model.as_str().into());
    if let Some(wanted) = &request.schema {
        let name = schema::name(&wanted.name);
        let sent = schema::sent(&wanted.schema);
        let format = match settings.shape() {
            Shape::Strict => {
                json!({"type": "json_schema", "json_schema": {"name": name, "schema": sent, "strict": true}})
            }
            Shape::Plain => json!({"type": "json_schema", "json_schema": {"name": name, "schema": sent}}),
            Shape::Flat => json!({"type": "json_schema", "schema": sent}),
            Shape::Object => {
                // Without the word JSON in the prompt, this mode may write blanks without end (known limitations, 2026-08).
                let asked =
                    format!("Answer with one JSON object, and nothing else, that fits this JSON Schema:\n{sent}");
                system = if system.is_empty() { asked } else { format!("{system}\n\n{asked}") };
                json!({"type": "json_object"})
            }
        };
        body.insert("response_format".into(), format);
    }
    let mut messages = Vec::new();
    if !system.is_empty() {
        messages.push(json!({"role": "system", "content": system}));
    }
    messages.push(json!({"role": "user", "content": request.user}));
    body.insert("messages".into(), messages.into());
    for field in Field::ALL {
        let refused = without.contains(&(request.model.clone(), field));
        if settings.sends(field)
            && !refused
            && let Some(value) = value(field, request, cards)
        {
            body.insert(field.name().into(), value);
        }
    }
    Value::Object(body)
}

fn value(field: Field, request: &ChatRequest, cards: &[ModelCard]) -> Option<Value> {
    match field {
        Field::Temperature => request.temperature.filter(|heat| heat.is_finite()).map(Value::from),
        Field::MaxTokens => request.max_tokens.map(Value::from),
        Field::Seed | Field::RandomSeed => request.seed.map(Value::from),
        Field::ReasoningEffort => {
            let card = cards.iter().find(|card| card.is_called(&request.model));
            let thinks = card.and_then(|card| card.reasoning);
            (thinks != Some(false)).then(|| "none".into())
        }
        Field::PromptCacheKey => request.cache_key.as_deref().filter(|key| !key.is_empty()).map(Value::from),
    }
}

/// The optional field that a server refuses by its name, if it was sent.
fn refused_field(said: &Said, body: &Value) -> Option<Field> {
    if !matches!(said.status, 400 | 422) {
        return None;
    }
    let sent = |field: &Field| body.get(field.name()).is_some();
    let named = said.field.as_deref();
    Field::ALL.into_iter().filter(sent).find(|field| {
        named == Some(field.name())
            || named.is_none()
                && said.whole.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == field.name())
    })
}

/// An answer's body.
pub(super) fn read(told: &Value, dialect: Dialect) -> Result<Chat, Fault> {
    let Some(choice) = array(told, "choices").first() else {
        return Err(Fault::unknown("an answer without choices"));
    };
    let mut said = content(&choice["message"]["content"]);
    if dialect == Dialect::Compatible {
        said = without_thoughts(&said).to_owned();
    }
    Ok(Chat {
        text: said,
        model: text(told, "model").unwrap_or_default(),
        finish: match choice["finish_reason"].as_str() {
            None | Some("stop") => Finish::Stop,
            Some("length" | "model_length") => Finish::Length,
            Some(other) => Finish::Other(other.chars().take(40).collect()),
        },
        tokens: usage(told),
    })
}

/// A text, or the texts among its chunks; what was thought is left out.
fn content(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(chunks) => {
            let of = |chunk: &Value| match chunk {
                Value::String(text) => Some(text.clone()),
                chunk if chunk["type"].is_null() || chunk["type"] == "text" => text(chunk, "text"),
                _ => None,
            };
            chunks.iter().filter_map(of).collect()
        }
        _ => String::new(),
    }
}

/// A server without a parser for it leaves what a model thought before the answer.
fn without_thoughts(said: &str) -> &str {
    for (begin, end) in [("<think>", "</think>"), ("[THINK]", "[/THINK]")] {
        if let Some((_, after)) = said.trim_start().strip_prefix(begin).and_then(|thought| thought.split_once(end)) {
            return after.trim_start();
        }
    }
    said
}

/// Any of it may lack, be null, or go by another name.
pub(super) fn usage(told: &Value) -> Tokens {
    let usage = &told["usage"];
    let number = |name: &str| usage[name].as_u64().unwrap_or(0);
    let details = ["prompt_tokens_details", "prompt_token_details"];
    let cached = details.iter().find_map(|details| usage[*details]["cached_tokens"].as_u64());
    let input = number("prompt_tokens");
    Tokens { input, output: number("completion_tokens"), cached: cached.unwrap_or(0).min(input) }
}
