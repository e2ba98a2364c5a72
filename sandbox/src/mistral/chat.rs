//! A question and its answer.

use http::StatusCode;
use serde_json::{Value, json};

use super::Mistral;
use super::desk::{Habit, Personality};
use super::errors::Answer;
use super::fill::{Reading, fill};
use super::models::{Does, Entry};
use super::spoil::Spoilt;
use super::text::{self, blocks, order, sentences, warns};
use crate::wire;
use crate::world::Context;

/// Blocks of the cache (prompt caching page, 2026-08).
const CACHED_BY: u64 = 64;

impl Mistral {
    pub(super) fn complete(&mut self, body: &Value, cx: &mut Context<'_>) -> Answer {
        self.check_chat(body)?;
        let name = body["model"].as_str().unwrap_or_default();
        let model = self.model(name, Does::Chat, cx.now)?;
        let effort = body["reasoning_effort"].as_str().filter(|_| self.personality == Personality::Mistral);
        if effort.is_some() && !model.reasoning && self.strict_reasoning {
            return Err(self.bad("reasoning_effort is not supported for this model", "invalid_request_error", "3051"));
        }
        if self.takes_to(Habit::Refusing, cx) {
            if self.personality == Personality::Mistral && cx.rng.chance(0.5) {
                return Err(self.guarded());
            }
            let sorry = "I'm sorry, but I cannot help with that request.".to_owned();
            return Ok(self.say(body, &model, Spoilt::plain(sorry), false, cx));
        }
        let prompt = self.tokens(&text::all(body));
        if prompt > model.context {
            let message = format!(
                "Prompt contains {prompt} tokens and 0 draft tokens, too large for model with {} maximum context length",
                model.context
            );
            let message = match self.personality {
                Personality::LlamaCpp => "the request exceeds the available context size, try increasing it",
                Personality::Vllm => {
                    "This model's maximum context length is exceeded. Please reduce the length of the messages."
                }
                _ => &message,
            };
            let kind = if self.personality == Personality::LlamaCpp {
                "exceed_context_size_error"
            } else {
                "invalid_request_prompt"
            };
            return Err(self.bad(message, kind, "3051"));
        }
        let (said, is_json) = self.think(body, cx);
        let mut said = Spoilt::plain(said);
        if is_json && self.takes_to(Habit::Malformed, cx) {
            said = Spoilt::of(&said.text, cx.rng.below(Spoilt::WAYS));
        }
        let thinks = match effort {
            Some("none") => false,
            Some(_) => model.reasoning,
            None => model.thinks,
        };
        Ok(self.say(body, &model, said, thinks, cx))
    }

    /// What is answered, and whether it is JSON.
    fn think(&self, body: &Value, cx: &mut Context<'_>) -> (String, bool) {
        let of = |role: &str| {
            let messages = body["messages"].as_array().into_iter().flatten();
            messages
                .filter(|message| message["role"] == role)
                .map(|message| text::content(&message["content"]))
                .collect::<Vec<_>>()
        };
        let (system, users) = (of("system").join("\n"), of("user"));
        let user = users.last().map(String::as_str).unwrap_or_default();
        let found = blocks(user);
        let last = found.last().copied();
        let (data, sealed) = last.map_or((user, false), |block| (block.text, block.sealed));
        let warned = warns(&system) || warns(user.get(..user.find(data).unwrap_or(0)).unwrap_or_default());
        let obeys = !(sealed || warned) && self.takes_to(Habit::Obeying, cx)
            || !(sealed && warned) && self.takes_to(Habit::Credulous, cx);
        let reading = Reading {
            text: data,
            other: found.len().checked_sub(2).and_then(|at| found.get(at)).map(|block| block.text),
            system: &system,
            order: order(data).filter(|_| obeys),
            lying: self.takes_to(Habit::Lying, cx),
        };
        let format = &body["response_format"];
        let schema = [&format["json_schema"]["schema"], &format["schema"]]
            .into_iter()
            .find(|schema| schema.is_object())
            .cloned();
        if let Some(schema) = schema.filter(|_| format["type"] == "json_schema") {
            return (fill(&schema, &reading).to_string(), true);
        }
        if format["type"] == "json_object" {
            let asked = format!("{system}\n{user}");
            if !asked.contains("JSON") {
                // Without the word, it writes blanks until it is stopped.
                return (" \n".repeat(500), false);
            }
            let schema = shown(&asked)
                .unwrap_or_else(|| json!({"type": "object", "properties": {"answer": {"type": "string"}}}));
            return (fill(&schema, &reading).to_string(), true);
        }
        let first = sentences(data).first().copied().unwrap_or(data).trim().to_owned();
        (if reading.lying { format!("{first} That is 4711 customers.") } else { first }, false)
    }

    fn say(
        &mut self,
        body: &Value,
        model: &Entry,
        said: Spoilt,
        thinks: bool,
        cx: &mut Context<'_>,
    ) -> http::Response<bytes::Bytes> {
        let prompt = text::all(body);
        let input = self.tokens(&prompt);
        let cached = body["prompt_cache_key"].as_str().map_or(0, |key| self.cached(key, &prompt));
        let mut answer = said.text;
        let mut finish = said.finish;
        if let Some(most) = body["max_tokens"].as_u64().filter(|most| self.tokens(&answer) > *most) {
            answer =
                answer.chars().take(usize::try_from(most * self.letters_per_token).unwrap_or(usize::MAX)).collect();
            finish = "length";
        }
        let thought = "Let me look at what the text says.";
        let output = self.tokens(&answer) + if thinks { self.tokens(thought) } else { 0 };
        let chunks = json!([{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}, {"type": "text", "text": answer}]);
        let content = match () {
            () if said.nothing => Value::Null,
            () if thinks || said.in_chunks => chunks,
            () => answer.into(),
        };
        self.quota.add(output, cx.now);
        {
            let mut usage = self.books();
            usage.input_tokens += input;
            usage.output_tokens += output;
            usage.cached_tokens += cached;
            usage.answered += 1;
        }
        let mut usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
        let mut message = json!({"role": "assistant", "content": content, "tool_calls": null});
        match self.personality {
            Personality::Mistral => usage["prompt_tokens_details"] = json!({"cached_tokens": cached}),
            Personality::Vllm => {
                usage["prompt_tokens_details"] = Value::Null;
                message["reasoning"] = Value::Null;
            }
            Personality::Ollama => {}
            Personality::LlamaCpp => message["reasoning_content"] = Value::Null,
        }
        let id = cx.rng.uuid().replace('-', "");
        let mut told = json!({
            "id": id, "object": "chat.completion", "model": model.id, "created": cx.now.timestamp(), "usage": usage,
            "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        });
        if self.personality == Personality::LlamaCpp {
            told["timings"] = json!({"prompt_n": input, "predicted_n": output});
        }
        wire::json(StatusCode::OK, &told)
    }

    /// How many tokens of this prompt's beginning the last one under this key had, in whole blocks.
    fn cached(&mut self, key: &str, prompt: &str) -> u64 {
        let last = self.cache.insert(key.to_owned(), prompt.to_owned()).unwrap_or_default();
        let same = last.chars().zip(prompt.chars()).take_while(|(a, b)| a == b).count() as u64;
        same / self.letters_per_token / CACHED_BY * CACHED_BY
    }
}

/// The schema that a prompt shows: the first JSON object that has `properties`.
fn shown(prompt: &str) -> Option<Value> {
    let starts = prompt.match_indices('{').take(50);
    starts.into_iter().find_map(|(at, _)| {
        let mut values = serde_json::Deserializer::from_str(&prompt[at..]).into_iter::<Value>();
        values.next()?.ok().filter(|value| value["properties"].is_object())
    })
}
