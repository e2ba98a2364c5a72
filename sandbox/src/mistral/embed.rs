//! Embeddings: words hashed into 1,024 dimensions, of length one, so that texts that share words are near.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::Mistral;
use super::errors::Answer;
use super::models::Does;
use crate::wire;
use crate::world::Context;

const DIMENSIONS: usize = 1024;
const MOST_INPUTS: usize = 512;
const MOST_TOKENS: u64 = 16_384;

impl Mistral {
    pub(super) fn embed(&mut self, body: &Value, cx: &mut Context<'_>) -> Answer {
        self.only(body, &["model", "input", "metadata", "output_dimension", "output_dtype", "encoding_format"])?;
        let name =
            body["model"].as_str().ok_or_else(|| self.invalid(&["body", "model"], "Field required", "missing"))?;
        let model = self.model(name, Does::Embed, cx.now)?;
        let inputs = self.inputs(body)?;
        let tokens: Vec<u64> = inputs.iter().map(|text| self.tokens(text)).collect();
        let sum: u64 = tokens.iter().sum();
        if inputs.len() > MOST_INPUTS {
            return Err(self.bad(
                "Too many inputs in request, split into more batches.",
                "invalid_request_prompt",
                "3210",
            ));
        }
        if sum > MOST_TOKENS || tokens.iter().any(|tokens| *tokens > model.context) {
            return Err(self.bad(
                "Too many tokens overall, split into more batches.",
                "invalid_request_prompt",
                "3210",
            ));
        }
        let mut data: Vec<Value> = inputs
            .iter()
            .enumerate()
            .map(|(index, text)| json!({"object": "embedding", "embedding": vector(text), "index": index}))
            .collect();
        // In no order: the index says which is whose.
        for at in (1..data.len()).rev() {
            data.swap(at, usize::try_from(cx.rng.below(at as u64 + 1)).unwrap_or(0));
        }
        let mut usage = self.books();
        usage.input_tokens += sum;
        usage.answered += 1;
        drop(usage);
        Ok(wire::json(
            StatusCode::OK,
            &json!({"id": cx.rng.uuid().replace('-', ""), "object": "list", "data": data, "model": model.id, "usage": {
                "prompt_tokens": sum, "completion_tokens": 0, "total_tokens": sum, "prompt_audio_seconds": null, "prompt_token_details": null}}),
        ))
    }

    /// A text or a list of them; none of them empty.
    pub(super) fn inputs(&self, body: &Value) -> Result<Vec<String>, Response<Bytes>> {
        let wrong =
            || self.invalid(&["body", "input"], "Input should be a valid string or list of strings", "string_type");
        let inputs: Vec<String> = match &body["input"] {
            Value::String(text) => vec![text.clone()],
            Value::Array(texts) => {
                texts.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<_>>().ok_or_else(wrong)?
            }
            Value::Null => return Err(self.invalid(&["body", "input"], "Field required", "missing")),
            _ => return Err(wrong()),
        };
        if inputs.is_empty() || inputs.iter().any(String::is_empty) {
            return Err(self.bad("Input cannot be empty.", "invalid_request_prompt", "3200"));
        }
        Ok(inputs)
    }
}

/// A word counts by itself and by its beginning, so that `export` and `exports` are related.
pub(super) fn vector(text: &str) -> Vec<f64> {
    let mut sum = vec![0.0_f64; DIMENSIONS];
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 2) {
        let stem: String = word.chars().take(5).collect();
        for (part, weight) in [(word, 1.0), (stem.as_str(), 1.0)] {
            let hash = hash(part);
            let place = usize::try_from(hash % DIMENSIONS as u64).unwrap_or(0);
            if let Some(cell) = sum.get_mut(place) {
                *cell += if hash >> 32 & 1 == 0 { weight } else { -weight };
            }
        }
    }
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length == 0.0 {
        sum.fill(1.0 / (DIMENSIONS as f64).sqrt());
        return sum;
    }
    sum.iter().map(|x| x / length).collect()
}

/// FNV-1a, mixed once more: its low bits alone are poor.
fn hash(text: &str) -> u64 {
    let fnv = text
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    (fnv ^ (fnv >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) ^ (fnv >> 32)
}
