//! Moderation: a word for each category is enough. What customers write about invoices, contracts and their health trips it, as it
//! does in truth.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::Mistral;
use super::cues::has;
use super::errors::Answer;
use super::models::Does;
use crate::wire;
use crate::world::Context;

const CATEGORIES: &[(&str, &[&str])] = &[
    ("sexual", &["explicit"]),
    ("hate_and_discrimination", &["hate group"]),
    ("violence_and_threats", &["kill", "attack"]),
    ("dangerous", &["weapon"]),
    ("criminal", &["fraud", "steal"]),
    ("selfharm", &["hurt myself"]),
    ("health", &["patient", "medical", "diagnosis"]),
    ("financial", &["invest", "invoice"]),
    ("law", &["contract", "lawyer", "gdpr", "legal"]),
    ("pii", &["@", "phone", "my name is", "address"]),
    ("jailbreaking", &["ignore the above", "ignore all"]),
];

impl Mistral {
    pub(super) fn moderate(&mut self, body: &Value, cx: &mut Context<'_>) -> Answer {
        self.only(body, &["model", "input", "metadata"])?;
        let name =
            body["model"].as_str().ok_or_else(|| self.invalid(&["body", "model"], "Field required", "missing"))?;
        let model = self.model(name, Does::Moderate, cx.now)?;
        let inputs = self.inputs(body)?;
        let results: Vec<Value> = inputs.iter().map(|text| verdict(text)).collect();
        let tokens: u64 = inputs.iter().map(|text| self.tokens(text)).sum();
        self.books().input_tokens += tokens;
        Ok(answer(&model.id, &results, &cx.rng.uuid()))
    }
}

fn answer(model: &str, results: &[Value], id: &str) -> Response<Bytes> {
    wire::json(
        StatusCode::OK,
        &json!({"id": format!("mod-{}", id.replace('-', "")), "model": model, "results": results}),
    )
}

fn verdict(text: &str) -> Value {
    let text = text.to_lowercase();
    let (mut categories, mut scores) = (Map::new(), Map::new());
    for (name, words) in CATEGORIES {
        let found = words.iter().any(|word| has(&text, word));
        categories.insert((*name).into(), found.into());
        scores.insert((*name).into(), if found { 0.93 } else { 0.001 }.into());
    }
    json!({"categories": categories, "category_scores": scores})
}
