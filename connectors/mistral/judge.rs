//! What a refusal means: one `match`.
//!
//! Facts: Mistral's error glossary and issue threads, vLLM's and llama.cpp's sources, all read 2026-11-23. A chat, an embedding and a
//! moderation change nothing at the server, so a 5xx is worth another try; what a 5xx means for a batch is said there.

use std::time::Duration;

use super::said::Said;
use crate::Fault;
use crate::model::ModelCard;

/// After a 502 that names no time (error glossary: wait 30 to 60 seconds).
const GATEWAY: Duration = Duration::from_secs(30);

/// Retired by now (model cards, 2026-08, and the price table, 2026-11), and what takes their place.
const RETIRED: &[(&str, &str)] = &[
    ("mistral-small-25", "mistral-small-latest"),
    ("mistral-small-24", "mistral-small-latest"),
    ("mistral-medium-25", "mistral-medium-latest"),
    ("mistral-medium-23", "mistral-medium-latest"),
    ("mistral-large-24", "mistral-large-latest"),
    ("open-mistral-nemo", "ministral-14b-latest"),
    ("open-mi", "mistral-small-latest"),
    ("magistral-small-", "mistral-small-latest"),
    ("magistral-medium-", "mistral-medium-latest"),
    ("ministral-3b-24", "ministral-3b-latest"),
    ("ministral-8b-24", "ministral-8b-latest"),
    ("mistral-moderation-24", "mistral-moderation-latest"),
];

/// Of a call that names no model.
pub(crate) fn refused(said: &Said) -> Fault {
    let why = &said.why;
    match said.status {
        401 => Fault::locked(format!("the key is refused: {why}")),
        402 => Fault::locked(format!("the plan, or its spending limit, forbids it: {why}")),
        403 if said.speaks_of(&["guardrail", "moderation", "violated"]) => {
            Fault::Rejected { why: format!("a guardrail of the workspace stops it: {why}"), field: Some("user".into()) }
        }
        403 => Fault::locked(format!("forbidden for this key or its workspace: {why}")),
        404 | 405 => Fault::locked(format!("base_url: there is no such call: {why}")),
        408 | 425 | 429 => Fault::Later { after: said.after, why: format!("HTTP {}: {why}", said.status) },
        502 => Fault::Later { after: Some(said.after.unwrap_or(GATEWAY)), why: format!("HTTP 502: {why}") },
        500..=599 => Fault::Later { after: said.after, why: format!("HTTP {}: {why}", said.status) },
        300..=399 => Fault::locked(format!("base_url: it answers with a redirection (HTTP {})", said.status)),
        400..=499 => Fault::Rejected { why: format!("HTTP {}: {why}", said.status), field: ours(said) },
        status => Fault::unknown(format!("HTTP {status} is no documented answer")),
    }
}

/// Of a call that names a model.
pub(crate) fn of_model(said: &Said, model: &str, cards: &[ModelCard]) -> Fault {
    if matches!(said.status, 400 | 404 | 410 | 422) && is_about_the_model(said) {
        let other = replacement(model, cards);
        let other = other.map(|other| format!("; {other} takes its place")).unwrap_or_default();
        return Fault::locked(format!("there is no model {model} for this key, or not any more{other}: {}", said.why));
    }
    refused(said)
}

fn is_about_the_model(said: &Said) -> bool {
    let named =
        said.field.as_deref() == Some("model") || said.speaks_of(&["invalid model", "invalid_model", "unknown model"]);
    let missing = ["does not exist", "not found", "no longer available", "deprecated", "retired"];
    named || said.whole.contains("model") && said.speaks_of(&missing)
}

fn replacement(model: &str, cards: &[ModelCard]) -> Option<String> {
    let told = cards.iter().find(|card| card.is_called(model)).and_then(|card| card.replacement.clone());
    told.or_else(|| RETIRED.iter().find(|(old, _)| model.starts_with(old)).map(|(_, new)| (*new).to_owned()))
}

/// The field of our request that a refusal is about.
fn ours(said: &Said) -> Option<String> {
    let too_long = [
        "context length",
        "context size",
        "context window",
        "exceed_context",
        "too large for model",
        "too many tokens",
        "maximum context",
        "3051",
    ];
    if said.status == 413 || said.speaks_of(&too_long) {
        return Some("user".into());
    }
    if said.speaks_of(&["schema", "grammar", "response_format"]) {
        return Some("schema".into());
    }
    said.field.clone()
}
