//! The answers themselves, from the ledger.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Answer;
use crate::house::House;
use crate::ledger::{Dead, LedgerError, MessageState, verify as broken_laws};
use crate::report::{Found, find, why::title};
use crate::schema::{Entity, EntityId};
use crate::{close, normalize, report};

/// A dead letter, in a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    pub number: u64,
    pub at: DateTime<Utc>,
    pub room: String,
    pub connection: String,
    pub collection: Option<String>,
    pub record: Option<String>,
    pub entity: Option<String>,
    pub field: Option<String>,
    pub cause: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub id: String,
    pub item: String,
    pub title: String,
    pub connection: String,
    pub collection: String,
    pub to: String,
    pub kind: connectors::MessageKind,
    pub state: String,
    pub prepared: DateTime<Utc>,
    pub body: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub what: String,
    /// `None`: done.
    pub failed: Option<String>,
}

impl Outcome {
    pub(super) fn done(what: impl Into<String>) -> Self {
        Self { what: what.into(), failed: None }
    }

    pub(super) fn failed(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), failed: Some(why.into()) }
    }
}

/// A law of the ledger that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Law {
    pub tree: String,
    pub row: String,
    pub law: String,
}

pub(super) fn why(house: &House, text: &str, field: Option<&str>) -> Result<Answer, LedgerError> {
    let id = match meant(house, text)? {
        Ok(id) => id,
        Err(why) => return Ok(Answer::No(why)),
    };
    match report::why(house, id, field)? {
        Some(why) if field.is_some() && why.fields.is_empty() && why.history.is_empty() => {
            let field = field.unwrap_or_default();
            Ok(Answer::No(format!(
                "{} has no field {field}: without it, `loopd why {text}` lists them all",
                why.short_id
            )))
        }
        Some(why) => Ok(Answer::Why(Box::new(why))),
        None => Ok(Answer::No(format!("there is no {id} any more"))),
    }
}

/// The item that a person means.
pub(super) fn meant(house: &House, text: &str) -> Result<Result<EntityId, String>, LedgerError> {
    Ok(match find(house, text)? {
        Found::One(id) => Ok(id),
        Found::None => {
            let hint = "give a Loopd ID, a short id such as FB-7K3Q9X, the id of a record outside, or its URL";
            Err(format!("nothing is known of {text}: {hint}"))
        }
        Found::Several(several) => {
            let list: Vec<String> = several.iter().map(|(name, id)| format!("  {id}  {name}")).collect();
            Err(format!("{text} may be any of these; give the long id:\n{}", list.join("\n")))
        }
    })
}

pub(super) fn restore(house: &House, text: &str, place: &str, by: &str) -> Result<Answer, LedgerError> {
    let id = match meant(house, text)? {
        Ok(id) => id,
        Err(why) => return Ok(Answer::No(why)),
    };
    let done = crate::restore::restore(house, id, place, by)?;
    house.ledger.durable()?;
    Ok(Answer::Outcomes(vec![match done {
        Ok(place) => Outcome::done(format!("{text} in {place}")),
        Err(why) => Outcome::failed(text, why),
    }]))
}

pub(super) fn letters(house: &House) -> Result<Vec<Letter>, LedgerError> {
    let mut letters = Vec::new();
    for (number, dead) in house.ledger.dead()? {
        letters.push(line(house, number, &dead)?);
    }
    letters.sort_by_key(|letter| letter.at);
    Ok(letters)
}

fn line(house: &House, number: u64, dead: &Dead) -> Result<Letter, LedgerError> {
    let entity = match dead.entity {
        Some(id) => house.ledger.entity(id)?.as_ref().map(Entity::short_id),
        None => None,
    };
    Ok(Letter {
        number,
        at: dead.at,
        room: dead.room.clone(),
        connection: dead.connection.clone(),
        collection: dead.key.as_ref().map(|key| key.collection.clone()),
        record: dead.key.as_ref().map(|key| key.id.clone()),
        entity,
        field: dead.field.clone(),
        cause: dead.cause.clone(),
    })
}

pub(super) fn letter(house: &House, number: u64) -> Result<Answer, LedgerError> {
    let found = house.ledger.dead()?.into_iter().find(|(known, _)| *known == number);
    Ok(match found {
        Some((_, dead)) => Answer::Letter(Box::new(dead)),
        None => Answer::No(format!("there is no dead letter {number}; `loopd dead` lists them")),
    })
}

pub(super) fn retry(house: &House, numbers: &[u64]) -> Result<Vec<Outcome>, LedgerError> {
    let all: BTreeMap<u64, Dead> = house.ledger.dead()?.into_iter().collect();
    let numbers: Vec<u64> = if numbers.is_empty() { all.keys().copied().collect() } else { numbers.to_vec() };
    let mut outcomes = Vec::new();
    for number in numbers {
        outcomes.push(if normalize::retry(house, number)? {
            Outcome::done(number.to_string())
        } else if let Some(dead) = all.get(&number) {
            let why = match &dead.letter {
                crate::ledger::Letter::Line { file, .. } => format!("mend the line and import {file} again"),
                _ => "it cannot be read, so it cannot be sent through; it is kept".into(),
            };
            Outcome::failed(number.to_string(), why)
        } else {
            Outcome::failed(number.to_string(), "there is no such dead letter")
        });
    }
    house.ledger.durable()?;
    Ok(outcomes)
}

pub(super) fn messages(house: &House, all: bool) -> Result<Vec<Message>, LedgerError> {
    let mut messages = Vec::new();
    for (id, message) in house.ledger.messages()? {
        if !all && message.state != MessageState::Prepared {
            continue;
        }
        let entity = house.ledger.entity(message.entity)?;
        messages.push(Message {
            id,
            item: entity.as_ref().map(Entity::short_id).unwrap_or_default(),
            title: entity.as_ref().map(title).unwrap_or_default(),
            connection: message.connection,
            collection: message.to.collection,
            to: message.to.id,
            kind: message.kind,
            state: message.state.name().to_owned(),
            prepared: message.prepared,
            body: message.body,
        });
    }
    messages.sort_by_key(|message| message.prepared);
    Ok(messages)
}

/// Approves or drops messages. An id may be shortened, or be that of the item.
pub(super) fn decide_messages(
    house: &House,
    ids: &[String],
    by: &str,
    approve: bool,
) -> Result<Vec<Outcome>, LedgerError> {
    let known = messages(house, true)?;
    let decide = |id: &str| match approve {
        true => close::approve(house, id, by),
        false => close::drop_message(house, id, by),
    };
    let outcomes = ids.iter().map(|text| about(&known, text, decide)).collect::<Result<_, _>>()?;
    house.ledger.durable()?;
    Ok(outcomes)
}

/// Gives a message other words. Its id is meant as by [`decide_messages`].
pub(super) fn reword(house: &House, id: &str, by: &str, body: &str) -> Result<Outcome, LedgerError> {
    let outcome = about(&messages(house, true)?, id, |id| close::reword(house, id, by, body))?;
    house.ledger.durable()?;
    Ok(outcome)
}

/// Does something with the message that `text` means.
fn about(
    known: &[Message],
    text: &str,
    done: impl FnOnce(&str) -> Result<Result<(), String>, LedgerError>,
) -> Result<Outcome, LedgerError> {
    let meant: Vec<&Message> = known
        .iter()
        .filter(|message| message.id.starts_with(&text.to_lowercase()) || message.item.eq_ignore_ascii_case(text))
        .collect();
    Ok(match meant.as_slice() {
        [] => Outcome::failed(text, "there is no such message; `loopd close` lists them"),
        [message] => match done(&message.id)? {
            Ok(()) => Outcome::done(format!("{} ({})", message.item, message.to)),
            Err(why) => Outcome::failed(text, why),
        },
        several => Outcome::failed(text, format!("it may be any of {}: give more of the id", several.len())),
    })
}

pub(super) fn verify(house: &House) -> Result<Vec<Law>, LedgerError> {
    let broken = broken_laws(&house.ledger)?;
    Ok(broken
        .into_iter()
        .map(|broken| Law { tree: broken.tree.to_owned(), row: broken.row, law: broken.law })
        .collect())
}

/// Streams to read again.
pub(super) fn set_back(house: &House, connection: &str, stream: Option<&str>) -> anyhow::Result<Answer> {
    let streams = crate::backfill::streams(house, connection, stream);
    if streams.is_empty() {
        let known = crate::backfill::streams(house, connection, None).join(", ");
        return Ok(Answer::No(format!("{connection} has no such stream; there are {known}")));
    }
    let before = crate::backfill::set_back(house, connection, &streams)?;
    Ok(Answer::SetBack { streams, before })
}
