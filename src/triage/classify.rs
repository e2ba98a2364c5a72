//! Classify: a language model suggests tags, where there is one. The small model has suggested its own before, in the enrich
//! room; what the language model says of the same text stands over it.

use serde_json::{Value, json};

use super::{Outcome, digest, names, text};
use crate::enrich::apply::{By, apply};
use crate::enrich::{Suggestion, Text};
use crate::follow::follow;
use crate::house::House;
use crate::ledger::{LedgerError, When};
use crate::model::{self, Advance, Answered, Asked, Question, quote};
use crate::pause::Pause;
use crate::review::calibration;
use crate::review::examples::few_shot;
use crate::schema::{Body, Entity, EntityId, Feedback, Task};

/// The tags that a prompt may fill, by the name that it gives them.
const FIELDS: [(&str, &str); 5] = [
    ("category", "tags.category"),
    ("severity", "tags.severity"),
    ("product", "tags.product"),
    ("model", "tags.model"),
    ("use_case", "tags.use_case"),
];

/// # Errors
/// The ledger's.
pub async fn step(house: &House, id: EntityId, feedback: &Feedback) -> Result<Outcome, LedgerError> {
    let (said, asked_for) = (digest(feedback), asked_for(house, feedback)?);
    if house.ledger.triaged(id)?.done.get(Task::Classify.name()) == Some(&asked_for) {
        return Ok(Outcome::Done);
    }
    let reading = read(house, feedback)?;
    if reading.whole().trim().is_empty() {
        return Ok(Outcome::Done);
    }
    let answered = match ask(house, Some(id), &reading).await? {
        Asked::Alone => return Ok(Outcome::Done),
        Asked::Later(until) => return Ok(Outcome::Later(until)),
        Asked::Answered(answered) => Some(answered),
        Asked::Unanswered(why) => {
            super::unanswered(id, Task::Classify, &why);
            None
        }
    };
    house.ledger.transact(|tx| {
        let Some(before) = tx.entity(id)? else { return Ok(()) };
        let Body::Feedback(now) = &before.body else { return Ok(()) };
        // Another text has come meanwhile; it is in the queue.
        if digest(now) != said {
            return Ok(());
        }
        let mut now = now.clone();
        let (by, suggestions) = match &answered {
            Some(answered) => {
                let by = By { task: Task::Classify, model: &answered.model, prompt: Some(&answered.prompt) };
                (by, suggestions(answered))
            }
            None => {
                take_back(&mut now);
                let by = By { task: Task::Classify, model: house.classifier.name(), prompt: None };
                (by, house.classifier.classify(&text(&now)))
            }
        };
        let mut value = Entity { id, body: Body::Feedback(now.clone()) }.to_value();
        apply(house, tx, id, &now, &mut value, &suggestions, &by)?;
        let after = Entity::from_value(id, before.kind(), value)
            .map_err(|error| LedgerError::Bug(format!("a verdict does not fit the schema: {error}")))?;
        if after != before {
            tx.put_entity(&after)?;
            follow(house, tx, &after, Some(&before), When::Now)?;
        }
        super::mark(tx, id, Task::Classify, asked_for)
    })?;
    Ok(Outcome::Done)
}

/// What a model said of another text counts no more; nor does it stand in a field, unless a person let it.
fn take_back(feedback: &mut Feedback) {
    for (_, path) in FIELDS {
        if feedback.enrichment.get(path).is_none_or(|verdict| verdict.prompt.is_none()) {
            continue;
        }
        let Some(verdict) = feedback.enrichment.remove(path) else { continue };
        let tags = &mut feedback.tags;
        let tag = match path {
            "tags.category" => &mut tags.category,
            "tags.severity" => &mut tags.severity,
            "tags.product" => &mut tags.product,
            "tags.model" => &mut tags.model,
            _ => &mut tags.use_case,
        };
        if !feedback.decided.contains_key(path) && tag.as_deref() == verdict.value.as_str() {
            *tag = None;
        }
    }
}

/// What a model is given of an item.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Reading {
    pub text: Text,
    pub source: Option<String>,
    pub region: Option<String>,
    /// Known names that may stand in the text.
    pub names: Vec<String>,
    pub examples: Vec<model::Example>,
    /// Other words than the configured ones, by the tag's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabularies: Option<Value>,
}

impl Reading {
    /// Title and words.
    pub fn whole(&self) -> String {
        match self.text.title.as_str() {
            "" => self.text.body.clone(),
            title => format!("{title}\n\n{}", self.text.body),
        }
    }
}

/// Asks for the tags of one text.
///
/// # Errors
/// The ledger's.
pub async fn ask(house: &House, subject: Option<EntityId>, reading: &Reading) -> Result<Asked, LedgerError> {
    model::ask(house, &question(house, subject, reading, &Holds(reading.whole()).check())).await
}

/// The question about an item, for a batch; `None`: it is answered, or need not be asked.
pub(super) fn in_advance(house: &House, id: EntityId, feedback: &Feedback) -> Result<Option<Advance>, LedgerError> {
    let reading = read(house, feedback)?;
    let is_done = house.ledger.triaged(id)?.done.get(Task::Classify.name()) == Some(&asked_for(house, feedback)?);
    if is_done || reading.whole().trim().is_empty() {
        return Ok(None);
    }
    model::in_advance(house, &question(house, Some(id), &reading, &|_| Ok(())))
}

fn read(house: &House, feedback: &Feedback) -> Result<Reading, LedgerError> {
    let (text, region, mut names) = (text(feedback), super::region(house, feedback)?, names(house, feedback)?);
    let examples = corrections(house, &text, region.as_deref(), &mut names)?;
    Ok(Reading { text, source: feedback.source.clone(), region, names, examples, vocabularies: None })
}

/// Changes when the text does, or who judges it.
///
/// # Errors
/// None that can be foreseen: it is a digest of plain data.
pub fn asked_for(house: &House, feedback: &Feedback) -> Result<u64, LedgerError> {
    let config = house.config.task(Task::Classify);
    crate::ledger::digest(&(digest(feedback), &config.prompt, &config.models))
}

/// As [`ask`], for a command that somebody waits for.
///
/// # Errors
/// The ledger's.
pub async fn ask_patiently(house: &House, reading: &Reading, pause: &dyn Pause) -> Result<Asked, LedgerError> {
    let check = Holds(reading.whole()).check();
    model::ask_patiently(house, &question(house, None, reading, &check), pause).await
}

/// Whether what decided stands in the text.
struct Holds(String);

impl Holds {
    fn check(self) -> impl Fn(&Value) -> Result<(), String> + Send + Sync {
        move |value| match value["quote"].as_str().map(str::trim) {
            Some(quoted) if !quoted.is_empty() && quote::find(&self.0, quoted).is_none() => {
                Err("`quote` is not in the text: copy it exactly".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn question<'a>(
    house: &House,
    subject: Option<EntityId>,
    reading: &Reading,
    check: &'a (dyn Fn(&Value) -> Result<(), String> + Send + Sync),
) -> Question<'a> {
    Question {
        task: Task::Classify,
        subject,
        region: reading.region.clone(),
        data: vec![("text", reading.whole())],
        context: json!({
            "source": reading.source.as_deref().unwrap_or("unknown"),
            "vocabularies": reading.vocabularies.clone().unwrap_or_else(|| vocabularies(house)),
        }),
        examples: reading.examples.clone(),
        names: reading.names.clone(),
        check,
    }
}

/// Each value that was said, with how sure the model is of it.
pub fn suggestions(answered: &Answered) -> Vec<Suggestion> {
    let value = &answered.value;
    let because = value["quote"].as_str().map(str::trim).filter(|quote| !quote.is_empty());
    FIELDS
        .iter()
        .filter_map(|(name, path)| {
            let said = value[name].as_str().filter(|said| !said.is_empty())?;
            let sure = value["confidence"][name].as_f64().unwrap_or(0.5).clamp(0.0, calibration::SUREST);
            let because = because.map(|because| format!("\u{201c}{because}\u{201d}"));
            Some(Suggestion { path: (*path).into(), value: said.to_owned(), confidence: sure, because })
        })
        .collect()
}

/// The words that each tag may take.
pub fn vocabularies(house: &House) -> Value {
    let words = house.config.vocabularies.iter().map(|(name, terms)| {
        let values: Vec<&str> = terms.iter().map(|term| term.value.as_str()).collect();
        (name.clone(), json!(values))
    });
    Value::Object(words.collect())
}

/// What people made of earlier answers on the like; and the names that stand in what they spoke of, so that those do not leave.
fn corrections(
    house: &House,
    text: &Text,
    region: Option<&str>,
    names: &mut Vec<String>,
) -> Result<Vec<model::Example>, LedgerError> {
    let kept = few_shot(house, Task::Classify, text, region, house.config.triage.examples)?;
    let mut examples = Vec::new();
    for example in kept {
        if let Some(item) = house.ledger.entity(example.id)?.as_ref().and_then(Entity::as_feedback) {
            names.extend(super::names(house, item)?);
        }
        let told = |values: &serde_json::Map<String, Value>| {
            let each = values.iter().map(|(name, value)| format!("{name} {}", value.as_str().unwrap_or("none")));
            each.collect::<Vec<_>>().join(", ")
        };
        let (said, stands) = (told(&example.said), told(&example.stands));
        examples.push(model::Example { text: example.text, said, stands });
    }
    Ok(examples)
}
