//! Classify: a language model suggests tags, where there is one. The small model has suggested its own before, in the enrich
//! room; what the language model says of the same text stands over it.

use serde_json::{Value, json};

use super::{Outcome, digest, names, text};
use crate::enrich::Suggestion;
use crate::enrich::apply::{By, apply};
use crate::follow::follow;
use crate::house::House;
use crate::ledger::{LedgerError, When};
use crate::model::{self, Answered, Asked, Question, quote};
use crate::review;
use crate::schema::{Body, Entity, EntityId, Feedback, Task};

/// The tags that a prompt may fill, by the name that it gives them.
const FIELDS: [(&str, &str); 5] = [
    ("category", "tags.category"),
    ("severity", "tags.severity"),
    ("product", "tags.product"),
    ("model", "tags.model"),
    ("use_case", "tags.use_case"),
];
/// What a model is surer than this of is no surer: nobody is right always.
const SUREST: f64 = 0.98;

/// # Errors
/// The ledger's.
pub async fn step(house: &House, id: EntityId, feedback: &Feedback) -> Result<Outcome, LedgerError> {
    let config = house.config.task(Task::Classify);
    let said = digest(feedback);
    let asked_for = crate::ledger::digest(&(said, &config.prompt, &config.models))?;
    if house.ledger.triaged(id)?.done.get(Task::Classify.name()) == Some(&asked_for) {
        return Ok(Outcome::Done);
    }
    let text = text(feedback);
    let whole = if text.title.is_empty() { text.body.clone() } else { format!("{}\n\n{}", text.title, text.body) };
    if whole.trim().is_empty() {
        return Ok(Outcome::Done);
    }
    let original = whole.clone();
    let check = move |value: &Value| match value["because"].as_str().map(str::trim) {
        Some(because) if !because.is_empty() && quote::find(&original, because).is_none() => {
            Err("`because` is not in the text: copy it exactly".to_owned())
        }
        _ => Ok(()),
    };
    let question = Question {
        task: Task::Classify,
        subject: Some(id),
        region: super::region(house, feedback)?,
        data: vec![("text", whole)],
        context: json!({
            "source": feedback.source.as_deref().unwrap_or("unknown"),
            "vocabularies": vocabularies(house),
            "themes": [],
        }),
        examples: review_examples(house, feedback)?,
        names: names(house, feedback)?,
        check: &check,
    };
    let answered = match model::ask(house, &question).await? {
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
        let mut after = before.clone();
        if let Some(answered) = &answered {
            let mut value = before.to_value();
            let suggestions = suggestions(answered);
            let by = By { task: Task::Classify, model: &answered.model, prompt: Some(&answered.prompt) };
            apply(house, tx, id, now, &mut value, &suggestions, &by)?;
            after = Entity::from_value(id, before.kind(), value)
                .map_err(|error| LedgerError::Bug(format!("a verdict does not fit the schema: {error}")))?;
        }
        if after != before {
            tx.put_entity(&after)?;
            follow(house, tx, &after, Some(&before), When::Now)?;
        }
        super::mark(tx, id, Task::Classify, asked_for)
    })?;
    Ok(Outcome::Done)
}

/// Each value that was said, with how sure the model is of it.
pub fn suggestions(answered: &Answered) -> Vec<Suggestion> {
    let value = &answered.value;
    let because = value["because"].as_str().map(str::trim).filter(|because| !because.is_empty());
    FIELDS
        .iter()
        .filter_map(|(name, path)| {
            let said = value[name].as_str().filter(|said| !said.is_empty())?;
            let sure = value["confidence"][name].as_f64().unwrap_or(0.5).clamp(0.0, SUREST);
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

/// What people made of earlier answers on the like.
fn review_examples(_house: &House, _feedback: &Feedback) -> Result<Vec<model::Example>, LedgerError> {
    let _ = review::WRITABLE;
    Ok(Vec::new())
}
