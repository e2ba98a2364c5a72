//! What of a request is refused before anybody thinks about it.

use bytes::Bytes;
use http::Response;
use serde_json::Value;

use super::Mistral;
use super::desk::Personality;

/// The document's fields, and those that client 3.7.0 adds.
pub(super) const CHAT: &[&str] = &[
    "model",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "stream",
    "stop",
    "random_seed",
    "metadata",
    "response_format",
    "tools",
    "tool_choice",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "prediction",
    "parallel_tool_calls",
    "reasoning_effort",
    "prompt_mode",
    "guardrails",
    "prompt_cache_key",
    "service_tier",
    "safe_prompt",
    "min_tokens",
    "repetition_penalty",
    "top_k",
    "logprobs",
    "top_logprobs",
    "prompt_logprobs",
    "top_prompt_logprobs",
];
/// Keywords that its grammar did not take (2025-02, 2025-08).
const REFUSED: [&str; 3] = ["format", "$schema", "$id"];

impl Mistral {
    /// Only Mistral refuses what it does not know; the others pass it over.
    pub(super) fn only(&self, body: &Value, known: &[&str]) -> Result<(), Response<Bytes>> {
        let unknown =
            body.as_object().into_iter().flatten().map(|(name, _)| name).find(|name| !known.contains(&name.as_str()));
        match unknown.filter(|_| self.personality == Personality::Mistral) {
            Some(name) => Err(self.invalid(&["body", name], "Extra inputs are not permitted", "extra_forbidden")),
            None => Ok(()),
        }
    }

    pub(super) fn check_chat(&self, body: &Value) -> Result<(), Response<Bytes>> {
        self.only(body, CHAT)?;
        if body["model"].as_str().is_none_or(str::is_empty) {
            return Err(self.invalid(&["body", "model"], "Field required", "missing"));
        }
        let messages = body["messages"]
            .as_array()
            .ok_or_else(|| self.invalid(&["body", "messages"], "Field required", "missing"))?;
        for (at, message) in messages.iter().enumerate() {
            let at = at.to_string();
            if !["system", "user", "assistant", "tool"].iter().any(|role| message["role"] == *role) {
                return Err(self.invalid(
                    &["body", "messages", &at, "role"],
                    "Input should be 'system', 'user', 'assistant' or 'tool'",
                    "literal_error",
                ));
            }
            if !message["content"].is_string() && !message["content"].is_array() {
                return Err(self.invalid(&["body", "messages", &at, "content"], "Field required", "missing"));
            }
        }
        let last = messages.last().map(|message| &message["role"]);
        if !last.is_some_and(|role| role == "user" || role == "tool") {
            return Err(self.bad(
                "Expected last role User or Tool (or Assistant with prefix True) for serving",
                "invalid_request_message_order",
                "3230",
            ));
        }
        let heat = &body["temperature"];
        if !heat.is_null() && !heat.as_f64().is_some_and(|heat| (0.0..=1.5).contains(&heat)) {
            return Err(self.invalid(
                &["body", "temperature"],
                "Input should be less than or equal to 1.5",
                "less_than_equal",
            ));
        }
        if body["random_seed"].as_i64().is_some_and(|seed| seed < 0) {
            return Err(self.invalid(
                &["body", "random_seed"],
                "Input should be greater than or equal to 0",
                "greater_than_equal",
            ));
        }
        if body["stream"] == true {
            return Err(self.bad("the stand-in does not stream", "invalid_request_error", ""));
        }
        self.check_format(&body["response_format"])
    }

    fn check_format(&self, format: &Value) -> Result<(), Response<Bytes>> {
        let place = ["body", "response_format"];
        match (format["type"].as_str(), self.personality) {
            (None, _) if format.is_null() => Ok(()),
            (Some("text" | "json_object"), _) => Ok(()),
            (Some("json_schema"), Personality::LlamaCpp) if !format["schema"].is_object() => {
                // A build of early 2025, whose README shows the shape that it takes.
                Err(self.bad("Unsupported response_format: json_schema needs a schema", "invalid_request_error", ""))
            }
            (Some("json_schema"), Personality::LlamaCpp) => Ok(()),
            (Some("json_schema"), Personality::Ollama | Personality::Vllm) => match format["json_schema"]["schema"]
                .is_object()
            {
                true => Ok(()),
                false => Err(self.bad("response_format.json_schema.schema is required", "invalid_request_error", "")),
            },
            (Some("json_schema"), Personality::Mistral) => {
                let known = |value: &Value, known: &[&str]| {
                    value
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|(name, _)| name.clone())
                        .find(|name| !known.contains(&name.as_str()))
                };
                if let Some(name) = known(format, &["type", "json_schema"]) {
                    return Err(self.invalid(
                        &["body", "response_format", &name],
                        "Extra inputs are not permitted",
                        "extra_forbidden",
                    ));
                }
                let wanted = &format["json_schema"];
                if let Some(name) = known(wanted, &["name", "description", "schema", "strict"]) {
                    return Err(self.invalid(
                        &["body", "response_format", "json_schema", &name],
                        "Extra inputs are not permitted",
                        "extra_forbidden",
                    ));
                }
                for name in ["name", "schema"] {
                    if wanted[name].is_null() {
                        return Err(self.invalid(
                            &["body", "response_format", "json_schema", name],
                            "Field required",
                            "missing",
                        ));
                    }
                }
                match refused(&wanted["schema"]) {
                    Some("format") => {
                        Err(self.bad("Received unsupported keyword `format` in schema.", "invalid_request_error", ""))
                    }
                    Some(_) => {
                        Err(self.bad("Grammar error: failed to compile JSON schema", "invalid_request_error", ""))
                    }
                    None => Ok(()),
                }
            }
            _ => Err(self.invalid(&place, "Input should be 'text', 'json_object' or 'json_schema'", "enum")),
        }
    }
}

/// A keyword that is not taken. The names of properties are no keywords.
fn refused(schema: &Value) -> Option<&'static str> {
    let fields = schema.as_object()?;
    if let Some(found) = REFUSED.into_iter().find(|keyword| fields.contains_key(*keyword)) {
        return Some(found);
    }
    fields.iter().find_map(|(keyword, inner)| match (keyword.as_str(), inner) {
        ("properties" | "$defs" | "definitions", Value::Object(named)) => named.values().find_map(refused),
        ("items" | "additionalProperties", inner) => refused(inner),
        ("anyOf" | "oneOf" | "allOf", Value::Array(options)) => options.iter().find_map(refused),
        _ => None,
    })
}
