//! Questions and orders about themes, and about which items are one.

use serde::{Deserialize, Serialize};

use crate::house::House;
use crate::ledger::{LedgerError, Tx};
use crate::report::themes::{Card, Line, Proposing, Sort, card, lines, meant, one, proposals};
use crate::schema::{Entity, EntityId, EntityKind};
use crate::triage::themes;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskThemes {
    /// `all`: those that were merged into others too.
    List {
        sort: Sort,
        all: bool,
    },
    Show {
        id: String,
    },
    Rename {
        id: String,
        name: String,
        by: String,
    },
    Merge {
        keep: String,
        lose: String,
        by: String,
    },
    Split {
        id: String,
        items: Vec<String>,
        name: Option<String>,
        by: String,
    },
    /// `theme`: none takes it out of its theme.
    Move {
        item: String,
        theme: Option<String>,
        by: String,
    },
    Undo {
        id: String,
        by: String,
    },
    Verify {
        id: String,
        by: String,
    },
    /// To something that is proposed, by its number.
    Answer {
        number: u64,
        yes: bool,
        by: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerThemes {
    Lines { lines: Vec<Line>, proposals: Vec<Proposing> },
    Card(Box<Card>),
    Done { text: String },
    No(String),
}

use AnswerThemes as A;

type Said<T> = Result<Result<T, String>, LedgerError>;

pub(super) fn answer(house: &House, ask: AskThemes) -> Result<AnswerThemes, LedgerError> {
    let said = match ask {
        AskThemes::List { sort, all } => {
            return Ok(A::Lines { lines: lines(house, sort, all)?, proposals: proposals(house)? });
        }
        AskThemes::Show { id } => {
            return Ok(match meant(house, &id)? {
                Ok(id) => match card(house, id)? {
                    Some(card) => A::Card(Box::new(card)),
                    None => A::No(format!("there is no {id} any more")),
                },
                Err(why) => A::No(why),
            });
        }
        order => obey(house, order)?,
    };
    house.ledger.durable()?;
    Ok(match said {
        Ok(text) => A::Done { text },
        Err(why) => A::No(why),
    })
}

/// Does what was ordered; returns what was done, or why it cannot be.
fn obey(house: &House, order: AskThemes) -> Said<String> {
    match order {
        AskThemes::Rename { id, name, by } => on(house, &meant(house, &id)?, |tx, id| {
            Ok(themes::rename(house, tx, id, &name, &by)?.map(|()| format!("{} is called {name}", short(id))))
        }),
        AskThemes::Verify { id, by } => on(house, &meant(house, &id)?, |tx, id| {
            Ok(themes::verify(house, tx, id, &by)?.map(|()| format!("{} is validated", short(id))))
        }),
        AskThemes::Merge { keep, lose, by } => {
            let lose = meant(house, &lose)?;
            on(house, &meant(house, &keep)?, |tx, keep| {
                let lose = match &lose {
                    Ok(lose) => *lose,
                    Err(why) => return Ok(Err(why.clone())),
                };
                let done = themes::merge_themes(house, tx, lose, keep, &by)?;
                Ok(done.map(|()| {
                    format!(
                        "{} lives on in {}; `loopd themes undo {}` parts them",
                        short(lose),
                        short(keep),
                        short(lose)
                    )
                }))
            })
        }
        AskThemes::Split { id, items, name, by } => {
            let items: Result<Vec<Result<EntityId, String>>, LedgerError> =
                items.iter().map(|item| one(house, item)).collect();
            let items: Result<Vec<EntityId>, String> = items?.into_iter().collect();
            on(house, &meant(house, &id)?, |tx, id| {
                let items = match &items {
                    Ok(items) => items,
                    Err(why) => return Ok(Err(why.clone())),
                };
                let done = themes::split_theme(house, tx, id, items, name.as_deref(), &by)?;
                Ok(match done {
                    Ok(split) => Ok(format!("{} items are now {}", items.len(), named(tx, split)?)),
                    Err(why) => Err(why),
                })
            })
        }
        AskThemes::Move { item, theme, by } => {
            let theme = match theme.map(|theme| meant(house, &theme)).transpose()?.transpose() {
                Ok(theme) => theme,
                Err(why) => return Ok(Err(why)),
            };
            on(house, &one(house, &item)?, |tx, item| {
                let done = themes::move_item(house, tx, item, theme, &by)?;
                let where_to = match theme {
                    Some(theme) => format!("in {}", named(tx, theme)?),
                    None => "in no theme".to_owned(),
                };
                Ok(done.map(|()| format!("{} is {where_to}", item.short(EntityKind::Feedback))))
            })
        }
        AskThemes::Undo { id, by } => {
            let id = match meant(house, &id)? {
                Ok(id) => Ok(id),
                Err(_) => one(house, &id)?,
            };
            on(house, &id, |tx, id| themes::undo(house, tx, id, &by))
        }
        AskThemes::Answer { number, yes, by } => Ok(house
            .ledger
            .transact(|tx| themes::decide(house, tx, number, yes, &by))?
            .map(|text| format!("{number}: {text}"))),
        AskThemes::List { .. } | AskThemes::Show { .. } => Ok(Err("that is a question, and no order".into())),
    }
}

fn short(id: EntityId) -> String {
    id.short(EntityKind::Theme)
}

fn named(tx: &mut Tx<'_>, id: EntityId) -> Result<String, LedgerError> {
    Ok(tx.entity(id)?.as_ref().map_or_else(|| short(id), |entity: &Entity| themes::called(entity)))
}

fn on(
    house: &House,
    id: &Result<EntityId, String>,
    mut then: impl FnMut(&mut Tx<'_>, EntityId) -> Said<String>,
) -> Said<String> {
    match id {
        Ok(id) => house.ledger.transact(|tx| then(tx, *id)),
        Err(why) => Ok(Err(why.clone())),
    }
}
