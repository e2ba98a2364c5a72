//! Review: conflicts that a mapping leaves to a person (`wins = "ask"`), and their answers.

use crate::follow::follow;
use crate::house::House;
use crate::ledger::{Entry, LedgerError, Question, Tx, What, When};
use crate::schema::{Decision, Entity, Path};

/// Which side a person chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Ours,
    Theirs,
}

/// Takes a person's answer: the chosen value becomes the entity's and travels everywhere.
pub fn decide(house: &House, question: &Question, choice: Choice, by: &str) -> Result<Result<(), String>, LedgerError> {
    house.ledger.transact(|tx| answer(house, tx, question, choice, by))
}

fn answer(
    house: &House,
    tx: &mut Tx<'_>,
    question: &Question,
    choice: Choice,
    by: &str,
) -> Result<Result<(), String>, LedgerError> {
    let now = house.now();
    let Some(before) = tx.entity(question.entity)? else { return Ok(Err("its item does not exist any more".into())) };
    let mut base = tx.base(question.entity, &question.connection, &question.collection)?;
    if let Some(field) = base.fields.get_mut(&question.field) {
        field.held = false;
        field.restore = true;
        tx.put_base(question.entity, &question.connection, &question.collection, &base)?;
    }
    let chosen = match choice {
        Choice::Ours => question.ours.clone(),
        Choice::Theirs => question.theirs.clone(),
    };
    let Ok(path) = question.path.parse::<Path>() else { return Ok(Err(format!("{} is no path", question.path))) };
    let mut value = before.to_value();
    path.set(&mut value, chosen.clone());
    let mut after = match Entity::from_value(before.id, before.kind(), value) {
        Ok(after) => after,
        Err(error) => return Ok(Err(format!("the value does not fit {}: {error}", question.path))),
    };
    after.decided_mut().insert(question.path.clone(), Decision { by: by.to_owned(), at: now });
    tx.answered(question.entity, &question.connection, &question.collection, &question.field);
    tx.put_entity(&after)?;
    tx.log(
        after.id,
        &Entry {
            at: now,
            by: by.into(),
            what: What::Decided,
            field: Some(question.path.clone()),
            old: None,
            new: Some(chosen),
            note: None,
        },
    )?;
    follow(house, tx, &after, Some(&before), When::Now)?;
    Ok(Ok(()))
}

/// Placeholder until the people's side lands.
pub const WRITABLE: [&str; 10] = [
    "tags.category",
    "tags.severity",
    "tags.product",
    "tags.model",
    "tags.segment",
    "tags.region",
    "tags.use_case",
    "language",
    "theme",
    "duplicate_of",
];

/// Placeholder until the people's side lands.
pub fn may_act(_: &House, _: crate::schema::Task, _: &str, _: &str) -> Result<bool, LedgerError> {
    Ok(false)
}

/// Placeholder until the people's side lands.
pub fn wilson(_: usize, _: usize) -> (f64, f64) {
    (0.0, 1.0)
}
