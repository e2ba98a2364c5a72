//! What ops may set for a server of models.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::SettingsError;
use crate::quota::Limit;
use crate::settings::{Rate, base_url, read};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// With or without `/v1` at its end.
    #[serde(default = "home")]
    pub(crate) base_url: String,
    #[serde(default)]
    pub(crate) dialect: Dialect,
    /// The optional fields that are sent, instead of the dialect's.
    pub(crate) send: Option<BTreeSet<Field>>,
    /// How the shape of an answer is asked for, instead of the dialect's way.
    pub(crate) json_schema: Option<Shape>,
    /// Another rate than five calls a second.
    pub(crate) quota: Option<Rate>,
    /// At most so many tokens in any minute, in and out. Without it: what the server's headers say.
    pub(crate) tokens_per_minute: Option<u64>,
    #[serde(default = "timeout_seconds")]
    pub(crate) timeout_seconds: u64,
    /// What one embeddings call takes.
    #[serde(default)]
    pub(crate) embed: Room,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dialect {
    /// Mistral's own servers.
    #[default]
    Mistral,
    /// vLLM, Ollama, llama.cpp: `seed`, no fields of Mistral's own, no batches, no moderation.
    Compatible,
}

/// A field that a question can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Field {
    Temperature,
    MaxTokens,
    /// What compatible servers call it.
    Seed,
    /// What Mistral calls it.
    RandomSeed,
    /// Always `none`: what a model thinks is paid for and not read.
    ReasoningEffort,
    PromptCacheKey,
}

impl Field {
    pub(crate) const ALL: [Self; 6] =
        [Self::Temperature, Self::MaxTokens, Self::Seed, Self::RandomSeed, Self::ReasoningEffort, Self::PromptCacheKey];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Temperature => "temperature",
            Self::MaxTokens => "max_tokens",
            Self::Seed => "seed",
            Self::RandomSeed => "random_seed",
            Self::ReasoningEffort => "reasoning_effort",
            Self::PromptCacheKey => "prompt_cache_key",
        }
    }
}

/// How the shape of an answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// `{type: json_schema, json_schema: {name, schema, strict: true}}`: Mistral.
    Strict,
    /// The same without `strict`: vLLM, Ollama.
    Plain,
    /// `{type: json_schema, schema}`: llama.cpp.
    Flat,
    /// `{type: json_object}`, and the schema in the prompt: whatever knows no schemas.
    Object,
}

/// What one embeddings call takes, and how much of one text.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Room {
    pub(crate) inputs: usize,
    pub(crate) tokens: u64,
    pub(crate) input_tokens: u64,
}

impl Default for Room {
    /// Mistral's, known from its errors (2026-05) and its model cards.
    fn default() -> Self {
        Self { inputs: 512, tokens: 16_384, input_tokens: 8_192 }
    }
}

fn home() -> String {
    "https://api.mistral.ai".into()
}
fn timeout_seconds() -> u64 {
    120
}

impl Settings {
    pub(crate) fn parse(settings: &Map<String, Value>) -> Result<Self, SettingsError> {
        let mut parsed: Self = read(&Value::Object(settings.clone()))?;
        let base = base_url(&parsed.base_url)?;
        parsed.base_url = base.strip_suffix("/v1").unwrap_or(&base).trim_end_matches('/').to_owned();
        if !(1..=3600).contains(&parsed.timeout_seconds) {
            return Err(SettingsError::key("timeout_seconds", "must be between 1 and 3600"));
        }
        if parsed.tokens_per_minute == Some(0) {
            return Err(SettingsError::key(
                "tokens_per_minute",
                "must be more than 0; leave it out for no limit of your own",
            ));
        }
        let room = parsed.embed;
        if room.inputs == 0 || room.tokens == 0 || room.input_tokens == 0 {
            return Err(SettingsError::key("embed", "inputs, tokens and input_tokens must be more than 0"));
        }
        Ok(parsed)
    }

    /// Five calls a second: no number is published, and the headers of the answers correct it.
    pub(crate) fn limit(&self) -> Limit {
        self.quota.map_or_else(|| Limit::even(5, Duration::from_secs(1)).with_burst(5), Rate::limit)
    }

    pub(crate) fn sends(&self, field: Field) -> bool {
        match (&self.send, self.dialect) {
            (Some(chosen), _) => chosen.contains(&field),
            (None, Dialect::Mistral) => field != Field::Seed,
            (None, Dialect::Compatible) => matches!(field, Field::Temperature | Field::MaxTokens | Field::Seed),
        }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.json_schema.unwrap_or(match self.dialect {
            Dialect::Mistral => Shape::Strict,
            Dialect::Compatible => Shape::Plain,
        })
    }
}
