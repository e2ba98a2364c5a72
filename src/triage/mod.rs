//! Triage: what is judged of an item once its words have settled. Extract, classify, compare with what is known, join a theme,
//! ask for the job behind it, weigh the risk; then people review.
//!
//! Laws:
//! - Each step commits its own result, and with it that this text was judged: nothing is judged twice, and a crash loses nothing.
//! - No step decides what is people's: priority, roadmap status, messages to customers, closing as won't do.
//! - Where no model answers, loopd's own models and rules do; what must wait waits alone.

pub mod backtest;
pub mod batch;
pub mod classify;
pub mod cluster;
pub mod dedupe;
mod drift;
pub mod embed;
pub mod extract;
pub mod jtbd;
pub mod merge;
pub mod naming;
pub mod nearest;
pub mod risk;
mod sentence;
mod stage;
#[cfg(test)]
pub(crate) mod testing;
pub mod themes;

use chrono::{DateTime, Utc};

pub use nearest::Near;
pub use sentence::sentences;
pub use stage::Triage;

use crate::config::Mode;
use crate::enrich::Text;
use crate::house::House;
use crate::ledger::{LedgerError, Tx};
use crate::model::Advance;
use crate::schema::{Entity, EntityId, Feedback, Task};

/// The tasks whose questions hang on no other answer: a batch asks them before an item's steps do.
pub const IN_ADVANCE: [Task; 3] = [Task::Extract, Task::Classify, Task::Risk];

/// The questions of such tasks about an item that are not answered.
///
/// # Errors
/// The ledger's.
pub fn in_advance(house: &House, id: EntityId, tasks: &[Task]) -> Result<Vec<Advance>, LedgerError> {
    let Some(feedback) = stage::read(house, id)? else { return Ok(Vec::new()) };
    let mut asked = Vec::new();
    for task in tasks.iter().filter(|task| house.config.task(**task).mode != Mode::Off) {
        match task {
            Task::Extract => asked.extend(extract::in_advance(house, id, &feedback)?),
            Task::Classify => asked.extend(classify::in_advance(house, id, &feedback)?),
            // A conversation speaks through its items.
            Task::Risk if !extract::is_conversation(house, &feedback) => {
                asked.extend(risk::in_advance(house, id, &feedback)?);
            }
            _ => {}
        }
    }
    Ok(asked)
}

/// What became of one step for one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The model has no time or no budget before this.
    Later(DateTime<Utc>),
}

/// What there is to read of an item.
pub fn text(feedback: &Feedback) -> Text {
    Text {
        title: feedback.title.clone().unwrap_or_default(),
        body: feedback.verbatim.clone().or_else(|| feedback.summary.clone()).unwrap_or_default(),
        origin: feedback.origin.as_ref().map(|origin| origin.id.clone()).unwrap_or_default(),
    }
}

/// Changes when what was said does.
pub fn digest(feedback: &Feedback) -> u64 {
    let turns: Vec<(&str, &str)> = feedback.thread.iter().map(|turn| (turn.id.as_str(), turn.text.as_str())).collect();
    let said = (&feedback.title, &feedback.verbatim, &feedback.summary, turns);
    crate::ledger::digest(&said).unwrap_or_default()
}

/// What people did to an item or theme anywhere is taken up: where it lies, what was proposed, whose status follows. Also for
/// what was withdrawn. Doing it twice changes nothing.
///
/// # Errors
/// The ledger's.
pub fn settle(house: &House, id: EntityId) -> Result<(), LedgerError> {
    nearest::settle(house, id)?;
    merge::settle(house, id)?;
    cluster::settle(house, id)
}

/// The item, if it can be compared and grouped: it was not deleted, what it was extracted from is there, and nothing was
/// extracted from it (then its parts speak).
pub(crate) fn speaks(house: &House, id: EntityId) -> Result<Option<Feedback>, LedgerError> {
    let Some(entity) = house.ledger.entity(id)? else { return Ok(None) };
    let Some(feedback) = entity.as_feedback().filter(|feedback| !feedback.withdrawn) else { return Ok(None) };
    if let Some(whole) = feedback.part_of {
        let whole = house.ledger.entity(whole)?;
        if whole.as_ref().and_then(Entity::as_feedback).is_none_or(|whole| whole.withdrawn) {
            return Ok(None);
        }
    }
    for other in house.ledger.referrers(id)? {
        let other = house.ledger.entity(other)?;
        let is_part = |other: &Feedback| other.part_of == Some(id) && !other.withdrawn;
        if other.as_ref().and_then(Entity::as_feedback).is_some_and(is_part) {
            return Ok(None);
        }
    }
    Ok(Some(feedback.clone()))
}

/// The names that are known to stand in what was said: who wrote, who took part, whose account it is.
///
/// # Errors
/// The ledger's.
pub fn names(house: &House, feedback: &Feedback) -> Result<Vec<String>, LedgerError> {
    let author = &feedback.author;
    let mut names: Vec<String> = [&author.name, &author.email, &author.handle].into_iter().flatten().cloned().collect();
    names.extend(feedback.thread.iter().filter_map(|turn| turn.author.clone()));
    if let Some(customer) = feedback.customer
        && let Some(customer) = house.ledger.entity(customer)?.as_ref().and_then(Entity::as_customer)
    {
        names.extend(customer.name.clone());
        names.extend(customer.owner.clone());
        names.extend(customer.domains.iter().cloned());
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Where it was said, in lower case: as it is tagged, or as its customer is.
///
/// # Errors
/// The ledger's.
pub fn region(house: &House, feedback: &Feedback) -> Result<Option<String>, LedgerError> {
    if let Some(region) = &feedback.tags.region {
        return Ok(Some(region.to_lowercase()));
    }
    let Some(customer) = feedback.customer else { return Ok(None) };
    let customer = house.ledger.entity(customer)?;
    Ok(customer
        .as_ref()
        .and_then(Entity::as_customer)
        .and_then(|customer| customer.region.as_ref())
        .map(|region| region.to_lowercase()))
}

/// Notes that a task is done with an item as it is.
fn mark(tx: &mut Tx<'_>, id: EntityId, task: Task, asked_for: u64) -> Result<(), LedgerError> {
    mark_as(tx, id, task.name(), asked_for)
}

fn mark_as(tx: &mut Tx<'_>, id: EntityId, name: &str, asked_for: u64) -> Result<(), LedgerError> {
    let mut triaged = tx.triaged(id)?;
    triaged.done.insert(name.to_owned(), asked_for);
    tx.put_triaged(id, &triaged)
}

/// No model gave an answer that holds: what loopd's own models said stands, and a person sees the item in the queue as before.
fn unanswered(id: EntityId, task: Task, why: &str) {
    let item = id.short(crate::schema::EntityKind::Feedback);
    tracing::warn!(%item, task = task.name(), %why, "no model gave an answer that holds: left to a person");
}

/// All of the configuration that decides by whom and how items are judged.
pub fn judged_by(house: &House) -> impl serde::Serialize {
    let tasks: Vec<String> =
        house.config.tasks.iter().map(|(task, config)| format!("{} {config:?}", task.name())).collect();
    (
        tasks,
        format!("{:?}", house.config.model.provider),
        embed::space(house).to_owned(),
        format!("{:?}", house.config.triage),
    )
}
