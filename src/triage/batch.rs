//! A backfill by the provider's batches: half the price, and out of the way of what was just said.
//!
//! A batch only fills the cache of answers: its items wait in their queue until it is through, and are then judged as every item
//! is, by the same checks. So what a batch loses, refuses or answers badly is simply asked anew, one by one.
//!
//! Laws: one batch at a time. Its name stands in the ledger before it is submitted, so that one whose submission got no answer is
//! found, and not made twice. Its results are fetched as soon as it is through: providers keep them for a day.

use chrono::{DateTime, TimeDelta, Utc};
use connectors::Fault;
use connectors::model::{BatchLine, BatchState, Batches};
use serde::{Deserialize, Serialize};

use super::classify;
use crate::house::House;
use crate::ledger::{Answer, LedgerError, TRIAGE};
use crate::model::{self, schema};
use crate::schema::{EntityId, Task};

/// Where [`Pending`] stands in `meta`.
const META: &str = "batch";
/// Questions of one batch.
const MOST: usize = 10_000;
/// How often one that is under way is looked at.
const LOOK: TimeDelta = TimeDelta::minutes(2);
/// After a batch that failed, questions are asked one by one for so long.
const AFTER_FAILURE: TimeDelta = TimeDelta::hours(12);
/// How long it may take before its questions are asked one by one.
const LONGEST: TimeDelta = TimeDelta::hours(30);

/// A batch that is under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Pending {
    name: String,
    /// The provider's id of it; `None`: it is not known whether it was taken.
    job: Option<String>,
    /// What its questions will be known by.
    keys: Vec<String>,
    since: Option<DateTime<Utc>>,
    look_at: Option<DateTime<Utc>>,
    /// None is made before this.
    not_before: Option<DateTime<Utc>>,
}

/// Looks after the batch that is under way, or makes one where enough waits.
///
/// # Errors
/// The ledger's.
pub async fn step(house: &House) -> Result<(), LedgerError> {
    if !house.config.model.batch {
        return Ok(());
    }
    let Some(batches) = house.models.everywhere.as_ref().and_then(|model| model.batches()) else { return Ok(()) };
    let now = house.now();
    let pending: Pending = house.ledger.transact(|tx| tx.meta(META))?.unwrap_or_default();
    if pending.keys.is_empty() {
        if pending.not_before.is_none_or(|moment| moment <= now) {
            return make(house, batches).await;
        }
        return Ok(());
    }
    house.models.hold(&pending.keys, pending.look_at.unwrap_or(now) + LOOK);
    if pending.look_at.is_some_and(|moment| moment > now) || house.models.rests(now).is_some() {
        return Ok(());
    }
    match look(house, batches, pending.clone()).await? {
        Some(next) => keep(house, &next),
        None => let_go(house, None),
    }
}

fn keep(house: &House, pending: &Pending) -> Result<(), LedgerError> {
    house.ledger.transact(|tx| tx.set_meta(META, pending))?;
    house.models.hold(&pending.keys, pending.look_at.unwrap_or(house.now()) + LOOK);
    Ok(())
}

/// Its questions are asked one by one from now on, or answered from the cache.
fn let_go(house: &House, not_before: Option<DateTime<Utc>>) -> Result<(), LedgerError> {
    house.models.let_go();
    house.ledger.transact(|tx| tx.set_meta(META, &Pending { not_before, ..Pending::default() }))
}

async fn look(house: &House, batches: &dyn Batches, pending: Pending) -> Result<Option<Pending>, LedgerError> {
    let now = house.now();
    let job = match &pending.job {
        Some(job) => job.clone(),
        None => match batches.find(&pending.name).await {
            Ok(Some(job)) => job,
            // It was never taken.
            Ok(None) => return Ok(None),
            Err(fault) => return later(house, &fault, pending).map(Some),
        },
    };
    let pending = Pending { job: Some(job.clone()), ..pending };
    match batches.look(&job).await {
        Ok(BatchState::Running { done, total }) => {
            tracing::info!(done, total, "the batch {} is under way", pending.name);
            let overdue = pending.since.is_some_and(|since| now - since > LONGEST);
            Ok((!overdue).then(|| Pending { look_at: Some(now + LOOK), ..pending }))
        }
        Ok(BatchState::Done) => match batches.results(&job).await {
            Ok(results) => {
                take(house, &results)?;
                Ok(None)
            }
            Err(fault) => later(house, &fault, pending).map(Some),
        },
        Ok(BatchState::Failed(why)) => {
            tracing::warn!(%why, "the batch {} failed: its questions are asked one by one", pending.name);
            house.models.let_go();
            Ok(Some(Pending { not_before: Some(now + AFTER_FAILURE), ..Pending::default() }))
        }
        Err(fault) => later(house, &fault, pending).map(Some),
    }
}

fn later(house: &House, fault: &Fault, pending: Pending) -> Result<Pending, LedgerError> {
    let until = model::fail(house, fault)?;
    Ok(Pending { look_at: Some(until.max(house.now() + LOOK)), ..pending })
}

/// What was answered goes into the cache, a piece a commit. Whether it holds is judged where it is used.
fn take(house: &House, results: &[(String, Result<connectors::model::Chat, String>)]) -> Result<(), LedgerError> {
    for piece in results.chunks(64) {
        for (key, result) in piece {
            let Ok(chat) = result else { continue };
            model::spend_batch(house, Task::Classify, &chat.model, chat.tokens)?;
            let Some(value) = schema::read(&chat.text) else { continue };
            let answer = Answer { value, model: chat.model.clone(), at: house.now() };
            house.ledger.transact(|tx| tx.put_answer(key, &answer))?;
        }
    }
    Ok(())
}

async fn make(house: &House, batches: &dyn Batches) -> Result<(), LedgerError> {
    let now = house.now();
    let enough = usize::try_from(house.config.model.batch_from).unwrap_or(usize::MAX);
    let ranks = super::stage::RANKS;
    if house.ledger.due(TRIAGE, ranks, now, enough)?.len() < enough || !house.models.may_gather(now) {
        return Ok(());
    }
    let mut lines: Vec<BatchLine> = Vec::new();
    for claim in house.ledger.due(TRIAGE, ranks, now, MOST)? {
        let Some(id) = <[u8; 16]>::try_from(claim.item.as_slice()).ok().map(EntityId::from_bytes) else { continue };
        let Some((custom_id, request)) = classify::in_advance(house, id)? else { continue };
        if lines.first().is_none_or(|first| first.request.model == request.model) {
            lines.push(BatchLine { custom_id, request });
        }
    }
    lines.sort_by(|a, b| a.custom_id.cmp(&b.custom_id));
    lines.dedup_by(|a, b| a.custom_id == b.custom_id);
    // What the budget bears; the rest goes by another, or tomorrow.
    let within = model::within_budget(house, lines.iter().map(|line| &line.request))?;
    lines.truncate(within);
    if lines.len() < enough {
        return Ok(());
    }
    let keys: Vec<String> = lines.iter().map(|line| line.custom_id.clone()).collect();
    let name = format!("loopd-{:016x}-{}", crate::ledger::digest(&keys)?, now.timestamp());
    let pending =
        Pending { name: name.clone(), job: None, keys, since: Some(now), look_at: Some(now + LOOK), not_before: None };
    keep(house, &pending)?;
    house.ledger.durable()?;
    match batches.submit(&name, &lines).await {
        Ok(job) => {
            tracing::info!(questions = lines.len(), "a batch of {} questions is under way", lines.len());
            keep(house, &Pending { job: Some(job), ..pending })
        }
        // Whether it was taken shows when it is looked for.
        Err(fault @ Fault::Unknown { .. }) => model::fail(house, &fault).map(|_| ()),
        Err(fault) => {
            let until = match &fault {
                Fault::Rejected { why, .. } => {
                    tracing::warn!(%why, "a batch was refused: questions are asked one by one");
                    now + AFTER_FAILURE
                }
                other => model::fail(house, other)?,
            };
            let_go(house, Some(until))
        }
    }
}
