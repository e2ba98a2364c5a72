//! Questions and orders about what waits for a person.

use serde::{Deserialize, Serialize};

use super::Outcome;
use super::desk::meant;
use crate::house::House;
use crate::ledger::LedgerError;
use crate::review::agreement::{Agreement, Wanted, agreement};
use crate::review::queue::{Counts, Kind, Waiting, counts, number, queue};
use crate::review::{Choice, act, decide};
use crate::schema::EntityId;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskReview {
    /// What waits, best first.
    List {
        kind: Option<Kind>,
        limit: usize,
    },
    Counts,
    /// No fields: all that is open.
    Accept {
        item: String,
        fields: Vec<String>,
        by: String,
    },
    Correct {
        item: String,
        field: String,
        value: String,
        by: String,
    },
    /// Takes back what this person said of an item.
    Reopen {
        item: String,
        by: String,
    },
    /// What may be chosen for a field.
    Choices {
        field: String,
    },
    Merge {
        number: u64,
        by: String,
    },
    Refuse {
        number: u64,
        by: String,
    },
    Undo {
        number: u64,
        by: String,
    },
    /// Which side of a conflict stands.
    Decide {
        number: u64,
        ours: bool,
        by: String,
    },
    Agreement(Wanted),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerReview {
    Waiting(Vec<Waiting>),
    Counts(Counts),
    Choices(Vec<String>),
    Outcome(Outcome),
    Agreement(Box<Agreement>),
}

use AnswerReview as A;
use AskReview as Q;

impl AskReview {
    /// It changes nothing, or nothing that a connection has to do with: what follows is queued.
    pub(super) fn is_a_look(&self) -> bool {
        // An item that ships by it is answered where it came from.
        !matches!(self, Self::Decide { .. })
    }
}

pub(super) fn answer(house: &House, ask: AskReview) -> Result<AnswerReview, LedgerError> {
    Ok(match ask {
        Q::List { kind, limit } => A::Waiting(queue(house, kind, limit)?),
        Q::Counts => A::Counts(counts(house)?),
        Q::Choices { field } => A::Choices(act::choices(house, &field)),
        Q::Accept { item, fields, by } => of_item(house, &item, |id| act::accept(house, id, &fields, &by))?,
        Q::Correct { item, field, value, by } => {
            of_item(house, &item, |id| act::correct(house, id, &field, &value, &by))?
        }
        Q::Reopen { item, by } => of_item(house, &item, |id| act::reopen(house, id, &by))?,
        Q::Merge { number, by } => outcome(house, &format!("proposal {number}"), act::merge(house, number, &by)?)?,
        Q::Refuse { number, by } => outcome(house, &format!("proposal {number}"), act::refuse(house, number, &by)?)?,
        Q::Undo { number, by } => outcome(house, &format!("proposal {number}"), act::undo(house, number, &by)?)?,
        Q::Decide { number, ours, by } => A::Outcome(decided(house, number, ours, &by)?),
        Q::Agreement(wanted) => A::Agreement(Box::new(agreement(house, &wanted)?)),
    })
}

/// Does something with the item that `text` means.
fn of_item(house: &House, text: &str, done: impl FnOnce(EntityId) -> act::Done) -> Result<AnswerReview, LedgerError> {
    match meant(house, text)? {
        Ok(id) => outcome(house, text, done(id)?),
        Err(why) => Ok(A::Outcome(Outcome::failed(text, why))),
    }
}

fn outcome(house: &House, what: &str, done: Result<String, String>) -> Result<AnswerReview, LedgerError> {
    house.ledger.durable()?;
    Ok(A::Outcome(match done {
        Ok(text) => Outcome::done(format!("{what}: {text}")),
        Err(why) => Outcome::failed(what, why),
    }))
}

fn decided(house: &House, wanted: u64, ours: bool, by: &str) -> Result<Outcome, LedgerError> {
    for question in house.ledger.questions()? {
        if number(&question)? == wanted {
            let choice = if ours { Choice::Ours } else { Choice::Theirs };
            let done = decide(house, &question, choice, by)?;
            house.ledger.durable()?;
            return Ok(match done {
                Ok(()) => {
                    let place = format!("{} in {}.{}", question.field, question.connection, question.collection);
                    Outcome::done(format!("{place} is decided"))
                }
                Err(why) => Outcome::failed(wanted.to_string(), why),
            });
        }
    }
    Ok(Outcome::failed(wanted.to_string(), "there is no such question; `loopd review` lists them"))
}
