//! Questions and orders about customers.

use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::customers::{self, Card, Doubtful, Line};
use crate::house::House;
use crate::ledger::LedgerError;
use crate::schema::EntityId;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskCustomers {
    /// `all`: those that were merged into others too.
    List {
        all: bool,
    },
    Show {
        id: String,
    },
    /// The pairs that may be one.
    Review,
    /// `one`: they are; else they are two, for ever.
    Answer {
        numbers: Vec<u64>,
        one: bool,
        by: String,
    },
    Merge {
        keep: String,
        lose: String,
        by: String,
    },
    Split {
        id: String,
        names: Vec<String>,
        by: String,
    },
    UndoMerge {
        id: String,
        by: String,
    },
    /// Gives it a name, or takes one from it.
    Name {
        id: String,
        name: String,
        give: bool,
        by: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerCustomers {
    Lines(Vec<Line>),
    Card(Box<Card>),
    Doubtful(Vec<Doubtful>),
    Outcomes(Vec<Outcome>),
    /// What was done, and to whom.
    Done {
        text: String,
        ids: Vec<EntityId>,
        items: usize,
    },
    No(String),
}

use AnswerCustomers as A;

pub(super) fn answer(house: &House, ask: AskCustomers) -> Result<AnswerCustomers, LedgerError> {
    Ok(match ask {
        AskCustomers::List { all } => A::Lines(customers::lines(house, all)?),
        AskCustomers::Review => A::Doubtful(customers::doubtful(house)?),
        AskCustomers::Show { id } => one(house, &id, |id| {
            Ok(match customers::card(house, id)? {
                Some(card) => A::Card(Box::new(card)),
                None => A::No(format!("there is no customer {id} any more")),
            })
        })?,
        AskCustomers::Answer { numbers, one, by } => {
            let mut outcomes = Vec::new();
            for number in numbers {
                outcomes.push(match customers::answer(house, number, one, &by)? {
                    Ok(text) => Outcome::done(format!("{number}: {text}")),
                    Err(why) => Outcome::failed(number.to_string(), why),
                });
            }
            A::Outcomes(outcomes)
        }
        AskCustomers::Merge { keep, lose, by } => one(house, &keep, |keep| {
            one(house, &lose, |lose| {
                Ok(match customers::merge(house, keep, lose, &by)? {
                    Ok(merged) => {
                        A::Done { text: merged.text, ids: vec![merged.kept, merged.merged], items: merged.items }
                    }
                    Err(why) => A::No(why),
                })
            })
        })?,
        AskCustomers::UndoMerge { id, by } => one(house, &id, |id| {
            Ok(match customers::undo(house, id, &by)? {
                Ok(merged) => A::Done { text: merged.text, ids: vec![merged.kept, merged.merged], items: 0 },
                Err(why) => A::No(why),
            })
        })?,
        AskCustomers::Split { id, names, by } => one(house, &id, |id| split(house, id, &names, &by))?,
        AskCustomers::Name { id, name, give, by } => one(house, &id, |id| named(house, id, &name, give, &by))?,
    })
}

/// The customer that is meant, and then.
fn one(
    house: &House,
    text: &str,
    then: impl FnOnce(EntityId) -> Result<AnswerCustomers, LedgerError>,
) -> Result<AnswerCustomers, LedgerError> {
    match customers::meant(house, text)? {
        Ok(id) => then(id),
        Err(why) => Ok(A::No(why)),
    }
}

fn split(house: &House, id: EntityId, names: &[String], by: &str) -> Result<AnswerCustomers, LedgerError> {
    let mut aliases = Vec::new();
    for name in names {
        match customers::name_meant(house, id, name)? {
            Ok(alias) => aliases.push(alias),
            Err(why) => return Ok(A::No(why)),
        }
    }
    Ok(match customers::part(house, id, &aliases, by)? {
        Ok(parted) => {
            let ids = std::iter::once(parted.from).chain(parted.into).collect();
            A::Done { text: parted.text, ids, items: 0 }
        }
        Err(why) => A::No(why),
    })
}

fn named(house: &House, id: EntityId, name: &str, give: bool, by: &str) -> Result<AnswerCustomers, LedgerError> {
    let alias = match customers::name_meant(house, id, name)? {
        Ok(alias) => alias,
        Err(why) => return Ok(A::No(why)),
    };
    let done =
        if give { customers::add_name(house, id, &alias, by)? } else { customers::remove_name(house, id, &alias, by)? };
    Ok(match done {
        Ok(text) => A::Done { text, ids: vec![id], items: 0 },
        Err(why) => A::No(why),
    })
}
