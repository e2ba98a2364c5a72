//! A language model as a subject: asked as the triage room asks it, by the prompts in use, masked, checked and entered in the books.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::labels::{CATEGORIES, SEVERITIES};
use super::{Asked, Choice, Cost, Judged, Offline, Subject, Task};
use crate::enrich::Text;
use crate::enrich::embed::embed;
use crate::house::House;
use crate::model::{self, Question};
use crate::pause::{RealPause, patiently};
use crate::schema;
use crate::triage::classify::{self, Reading};

/// Asks in a house of its own, with a ledger in memory.
pub struct WithModel {
    house: Arc<House>,
    /// For what needs no model.
    offline: Offline,
    /// The words of each task, as the file calls for them: one question answers all tasks.
    words: Mutex<Map<String, Value>>,
}

impl WithModel {
    pub fn new(house: Arc<House>) -> Self {
        let mut words = match classify::vocabularies(&house) {
            Value::Object(words) => words,
            _ => Map::new(),
        };
        words.insert("category".into(), json!(CATEGORIES));
        words.insert("severity".into(), json!(SEVERITIES));
        Self { house, offline: Offline::new(Vec::new()), words: Mutex::new(words) }
    }

    /// All that was spent so far.
    fn spent(&self) -> Result<Cost, String> {
        let rows = self.house.ledger.spent().map_err(|error| error.to_string())?;
        Ok(rows.iter().fold(Cost::default(), |mut sum, (.., row)| {
            sum += Cost {
                calls: row.calls,
                tokens_in: row.input_tokens,
                tokens_out: row.output_tokens,
                money: crate::report::cost::usd(row.micro_usd),
            };
            sum
        }))
    }

    fn why_not(&self, until: DateTime<Utc>) -> String {
        model::why_not(&self.house, until).unwrap_or_else(|error| error.to_string())
    }

    async fn tags(&self, name: &str, text: &Text, choices: &[Choice]) -> Result<Judged, String> {
        let words = {
            let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
            if !choices.is_empty() {
                let classes: Vec<&String> = choices.iter().flat_map(|choice| &choice.classes).collect();
                words.insert(name.to_owned(), json!(classes));
            }
            Value::Object(words.clone())
        };
        let reading = Reading { text: text.clone(), vocabularies: Some(words), ..Reading::default() };
        let answered = match classify::ask_patiently(&self.house, &reading, &RealPause)
            .await
            .map_err(|error| error.to_string())?
        {
            model::Asked::Answered(answered) => answered,
            model::Asked::Unanswered(_) => return Ok(Judged::default()),
            model::Asked::Alone => return Err("no language model is configured: see [model] and [tasks]".into()),
            model::Asked::Later(until) => return Err(self.why_not(until)),
        };
        let path = format!("tags.{name}");
        let said = classify::suggestions(&answered).into_iter().find(|said| said.path == path);
        Ok(said.map_or_else(Judged::default, |said| {
            let choice = choices.iter().find(|choice| choice.classes.contains(&said.value));
            let value = choice.map_or(said.value, |choice| choice.label.clone());
            Judged { value: Some(value), confidence: said.confidence, because: said.because, cost: Cost::default() }
        }))
    }

    async fn pair(&self, one: &Text, other: &Text) -> Result<Judged, String> {
        let told = |text: &Text| format!("{}\n\n{}", text.title, text.body).trim().to_owned();
        let question = Question {
            task: schema::Task::Duplicate,
            subject: None,
            region: None,
            data: vec![("first", told(one)), ("second", told(other))],
            context: json!({ "first_product": null, "second_product": null }),
            examples: Vec::new(),
            names: Vec::new(),
            check: &|_| Ok(()),
        };
        let asked = model::ask_patiently(&self.house, &question, &RealPause).await;
        match asked.map_err(|error| error.to_string())? {
            model::Asked::Answered(answered) => Ok(Judged {
                value: Some(if answered.value["duplicate"] == true { "duplicate" } else { "other" }.to_owned()),
                confidence: model::confidence(&answered.value),
                because: answered.value["reason"].as_str().map(str::to_owned),
                cost: Cost::default(),
            }),
            model::Asked::Unanswered(_) => Ok(Judged::default()),
            model::Asked::Alone => Err("no language model is configured: see [model] and [tasks]".into()),
            model::Asked::Later(until) => Err(self.why_not(until)),
        }
    }
}

#[async_trait]
impl Subject for WithModel {
    fn name(&self) -> String {
        let task = self.house.config.task(schema::Task::Classify);
        let models: Vec<&str> = task.models.iter().map(|name| self.house.config.model.named(name)).collect();
        format!("{} (classify/{})", models.join(", then "), task.prompt)
    }

    async fn judge(&self, asked: Asked<'_>) -> Result<Judged, String> {
        let [text, more @ ..] = asked.texts else { return Ok(Judged::default()) };
        let before = self.spent()?;
        let judged = match asked.task {
            Task::Category | Task::Severity | Task::Product => {
                self.tags(asked.task.name(), text, asked.choices).await?
            }
            // Told apart here: no model is asked for it.
            Task::Lang => return self.offline.judge(asked).await,
            Task::Pairs | Task::Nearest => match more.first() {
                Some(other) => self.pair(text, other).await?,
                None => return Ok(Judged::default()),
            },
        };
        let after = self.spent()?;
        let cost = Cost {
            calls: after.calls - before.calls,
            tokens_in: after.tokens_in - before.tokens_in,
            tokens_out: after.tokens_out - before.tokens_out,
            money: after.money - before.money,
        };
        Ok(Judged { cost, ..judged })
    }

    async fn embed(&self, texts: &[Text]) -> Result<(Vec<Vec<f32>>, Cost), String> {
        let own = (texts.iter().map(embed).collect(), Cost::default());
        let (Some(name), Some(model)) = (&self.house.config.model.embed, &self.house.models.everywhere) else {
            return Ok(own);
        };
        let whole: Vec<String> = texts.iter().map(|text| format!("{}\n{}", text.title, text.body)).collect();
        let hidden: Vec<String> =
            whole.iter().map(|text| model::mask::Mask::of([text.as_str()], &[]).hide(text)).collect();
        let before = self.spent()?;
        let mut vectors: Vec<Vec<f32>> = Vec::new();
        while vectors.len() < hidden.len() {
            let embedded = patiently(&RealPause, || model.embed(name, &hidden[vectors.len()..])).await;
            let embedded = embedded.map_err(|fault| fault.to_string())?;
            if embedded.vectors.is_empty() {
                return Err("the model embeds nothing".into());
            }
            model::spend(&self.house, "embed", &embedded.model, embedded.tokens).map_err(|error| error.to_string())?;
            vectors.extend(embedded.vectors);
        }
        let after = self.spent()?;
        let (calls, tokens_in) = (after.calls - before.calls, after.tokens_in - before.tokens_in);
        Ok((vectors, Cost { calls, tokens_in, tokens_out: 0, money: after.money - before.money }))
    }
}
