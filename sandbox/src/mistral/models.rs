//! Which models there are (model cards of 2026-08 and the price table of 2026-11).

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::Mistral;
use super::desk::Personality;
use super::errors::Answer;
use crate::wire;
use crate::world::Context;

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) aliases: Vec<String>,
    pub(super) context: u64,
    pub(super) does: Does,
    /// It can think.
    pub(super) reasoning: bool,
    /// And does, unless told not to.
    pub(super) thinks: bool,
    pub(super) retired: Option<DateTime<Utc>>,
    pub(super) replacement: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Chat,
    Embed,
    Moderate,
}

impl Entry {
    fn new(id: &str, aliases: &[&str], context: u64, does: Does) -> Self {
        Self {
            id: id.to_owned(),
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
            context,
            does,
            reasoning: false,
            thinks: false,
            retired: None,
            replacement: None,
        }
    }

    pub(super) fn own(id: &str, context: u64) -> Self {
        Self::new(id, &[], context, Does::Chat)
    }

    fn thinking(self, thinks: bool) -> Self {
        Self { reasoning: true, thinks, ..self }
    }

    fn until(self, year: i32, month: u32, day: u32, replacement: &str) -> Self {
        let day = NaiveDate::from_ymd_opt(year, month, day).map(|day| day.and_time(NaiveTime::MIN).and_utc());
        Self { retired: day, replacement: Some(replacement.to_owned()), ..self }
    }

    fn is_gone(&self, now: DateTime<Utc>) -> bool {
        self.retired.is_some_and(|at| at <= now)
    }
}

pub(super) fn catalogue() -> Vec<Entry> {
    const LONG: u64 = 262_144;
    let chat = |id: &str, aliases: &[&str]| Entry::new(id, aliases, LONG, Does::Chat);
    vec![
        chat("mistral-small-2603", &["mistral-small-latest"]).thinking(false),
        chat("mistral-medium-3-5", &["mistral-medium-2604", "mistral-medium-latest", "mistral-medium-3"])
            .thinking(false),
        chat("mistral-large-2512", &["mistral-large-latest"]),
        Entry::new("mistral-large-4-0", &["mistral-large-4"], 1_048_576, Does::Chat).thinking(true),
        chat("ministral-3b-2512", &["ministral-3b-latest"]),
        chat("ministral-8b-2512", &["ministral-8b-latest"]),
        chat("ministral-14b-2512", &["ministral-14b-latest"]),
        chat("codestral-2508", &["codestral-latest"]).until(2027, 1, 31, "mistral-medium-latest"),
        chat("mistral-small-2506", &[]).until(2026, 7, 31, "mistral-small-latest"),
        chat("mistral-medium-2508", &[]).until(2026, 8, 31, "mistral-medium-latest"),
        chat("mistral-large-2411", &[]).until(2026, 5, 31, "mistral-large-latest"),
        chat("open-mistral-nemo-2407", &["open-mistral-nemo"]).until(2026, 7, 31, "ministral-14b-latest"),
        Entry::new("mistral-embed-2312", &["mistral-embed"], 8_192, Does::Embed),
        Entry::new("mistral-moderation-2603", &["mistral-moderation-latest"], 131_072, Does::Moderate),
        Entry::new("mistral-moderation-2411", &[], 8_192, Does::Moderate).until(
            2026,
            6,
            30,
            "mistral-moderation-latest",
        ),
    ]
}

impl Mistral {
    /// The model of this name, if it can do that and is not gone.
    pub(super) fn model(&self, name: &str, does: Does, now: DateTime<Utc>) -> Result<Entry, Response<Bytes>> {
        let called = |model: &&Entry| model.id == name || model.aliases.iter().any(|alias| alias == name);
        let known = self.models.iter().find(called).filter(|model| !model.is_gone(now));
        // llama.cpp serves the model it was started with, whatever it is called.
        let any =
            || Some(Entry { does, ..Entry::own(name, 32_768) }).filter(|_| self.personality == Personality::LlamaCpp);
        let model = known.cloned().or_else(any).ok_or_else(|| self.no_model(name))?;
        if model.does == does {
            return Ok(model);
        }
        Err(self.bad(&format!("Invalid model: {name} cannot be used here"), "invalid_model", "1500"))
    }

    pub(super) fn list_models(&self, cx: &Context<'_>) -> Response<Bytes> {
        let alive = self.models.iter().filter(|model| !model.is_gone(cx.now));
        let data: Vec<Value> = alive.map(|model| self.card(model, &model.id)).collect();
        wire::json(StatusCode::OK, &json!({"object": "list", "data": data}))
    }

    pub(super) fn get_model(&self, id: &str, cx: &Context<'_>) -> Answer {
        let named = |model: &&Entry| model.id == id || model.aliases.iter().any(|alias| alias == id);
        let model = self.models.iter().find(named).filter(|model| !model.is_gone(cx.now));
        let model = model.ok_or_else(|| self.missing("model"))?;
        Ok(wire::json(StatusCode::OK, &self.card(model, id)))
    }

    fn card(&self, model: &Entry, id: &str) -> Value {
        match self.personality {
            Personality::Mistral => json!({
                "id": id, "object": "model", "created": 1_790_000_000, "owned_by": "mistralai",
                "capabilities": {"completion_chat": model.does == Does::Chat, "completion_fim": false, "function_calling": model.does == Does::Chat,
                    "fine_tuning": false, "vision": false, "classification": false, "moderation": model.does == Does::Moderate, "reasoning": model.reasoning},
                "name": model.id, "description": null, "max_context_length": model.context, "aliases": model.aliases,
                "deprecation": model.retired.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
                "deprecation_replacement_model": model.replacement, "default_model_temperature": 0.3, "type": "base",
            }),
            Personality::Vllm => {
                json!({"id": id, "object": "model", "created": 1_790_000_000, "owned_by": "vllm", "root": id, "parent": null, "max_model_len": model.context, "permission": []})
            }
            Personality::Ollama => {
                json!({"id": id, "object": "model", "created": 1_790_000_000, "owned_by": "library"})
            }
            Personality::LlamaCpp => {
                json!({"id": id, "object": "model", "created": 1_790_000_000, "owned_by": "llamacpp", "meta": {"n_ctx_train": model.context}})
            }
        }
    }
}
