//! What a theme is called: by rule when it is born, then once by a model, where there is one; and then by people alone.

mod rule;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

pub use rule::{Told, by_rule, known_names};

use super::dedupe::region;
use super::{Outcome, text};
use crate::follow::follow;
use crate::house::House;
use crate::ledger::{Entry, LedgerError, What, When};
use crate::model::{self, Asked, Question};
use crate::schema::{Body, Entity, EntityId, Feedback, Task};
use crate::view::members_of_theme;

/// Items that a model reads to name a theme.
const READ: usize = 8;

/// What a model calls a theme.
#[derive(Debug, Deserialize)]
struct Called {
    name: String,
    statement: String,
}

fn check(value: &Value, names: &BTreeSet<String>) -> Result<(), String> {
    let called: Called = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    let letters = |text: &str| text.trim().chars().count();
    if !(3..=60).contains(&letters(&called.name)) || called.name.lines().count() > 1 {
        return Err("name: a line of 3 to 60 characters".into());
    }
    if !(20..=300).contains(&letters(&called.statement)) || called.statement.lines().count() > 1 {
        return Err("statement: a sentence of 20 to 300 characters".into());
    }
    let both = format!("{} {}", called.name, called.statement);
    if both.contains(['"', '“', '”', '«', '»', '„']) {
        return Err("no quotes: say it in your own words".into());
    }
    let lower = both.to_lowercase();
    let words: BTreeSet<&str> = lower.split(|letter: char| !letter.is_alphanumeric()).collect();
    let named = names.iter().find(|name| {
        let name = name.to_lowercase();
        letters(&name) >= 3
            && (words.contains(name.as_str()) || (name.contains([' ', '@', '.']) && lower.contains(&name)))
    });
    if named.is_some() {
        return Err("no names of customers or people".into());
    }
    Ok(())
}

/// Has a model name a theme that was named by rule, once. People's names stay.
///
/// # Errors
/// The ledger's.
pub async fn by_model(house: &House, theme: EntityId) -> Result<Outcome, LedgerError> {
    let Some(Entity { body: Body::Theme(body), .. }) = house.ledger.entity(theme)? else { return Ok(Outcome::Done) };
    let is_peoples = body.origin.is_some() || body.decided.contains_key("name") || body.withdrawn;
    let once = Task::Theme.name();
    if is_peoples
        || house.config.model.provider == crate::config::Provider::None
        || house.ledger.triaged(theme)?.done.contains_key(once)
    {
        return Ok(Outcome::Done);
    }
    let members = members_of_theme(&house.ledger, theme)?;
    let items: Vec<&Feedback> = members.iter().take(READ).map(|(_, item)| item).collect();
    let names = known_names(house, &items)?;
    let entities: Vec<Entity> = members
        .iter()
        .take(READ)
        .map(|(id, item)| Entity { id: *id, body: Body::Feedback(Box::new(item.clone())) })
        .collect();
    let by_rule = by_rule(house, &entities)?;
    let told: Vec<String> = items
        .iter()
        .map(|item| {
            let text = text(item);
            format!("{}\n{}", text.title, text.body.chars().take(600).collect::<String>()).trim().to_owned()
        })
        .collect();
    let checked = |value: &Value| check(value, &names);
    let question = Question {
        task: Task::Theme,
        subject: Some(theme),
        region: region(house, &items)?,
        data: vec![("items", told.join("\n\n---\n\n"))],
        context: json!({ "segment": by_rule.segment, "product": by_rule.product }),
        examples: Vec::new(),
        names: names.iter().cloned().collect(),
        check: &checked,
    };
    let answered = match model::ask(house, &question).await? {
        Asked::Later(at) => return Ok(Outcome::Later(at)),
        Asked::Alone => return Ok(Outcome::Done),
        Asked::Answered(answered) => Some(answered),
        Asked::Unanswered(_) => None,
    };
    house.ledger.transact(|tx| {
        let Some(before) = tx.entity(theme)? else { return Ok(()) };
        let mut after = before.clone();
        let Body::Theme(body) = &mut after.body else { return Ok(()) };
        if let Some(answered) = &answered
            && let Ok(called) = serde_json::from_value::<Called>(answered.value.clone())
        {
            let mut lines = Vec::new();
            for (path, value, place) in
                [("name", called.name, &mut body.name), ("statement", called.statement, &mut body.statement)]
            {
                if body.decided.contains_key(path) || place.as_deref() == Some(value.trim()) {
                    continue;
                }
                let old = place.replace(value.trim().to_owned()).map(Value::from);
                lines.push((path, old, value.trim().to_owned()));
            }
            for (path, old, new) in lines {
                tx.log(
                    theme,
                    &Entry {
                        at: house.now(),
                        by: answered.model.clone(),
                        what: What::Suggested,
                        field: Some(path.into()),
                        old,
                        new: Some(new.into()),
                        note: Some(answered.prompt.clone()),
                    },
                )?;
            }
        }
        if after != before {
            tx.put_entity(&after)?;
            follow(house, tx, &after, Some(&before), When::Now)?;
        }
        let mut triaged = tx.triaged(theme)?;
        triaged.done.insert(once.into(), 1);
        tx.put_triaged(theme, &triaged)
    })?;
    Ok(Outcome::Done)
}
