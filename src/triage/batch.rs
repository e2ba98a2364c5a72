//! A backfill by the provider's batches: half the price, and out of the way of what was just said.
//!
//! A batch only fills the cache of answers: its items wait in their queue until it is through, and are then judged as every item
//! is, by the same checks. So what a batch loses, refuses or answers badly is simply asked anew, one by one.
//!
//! Laws: one batch a model at a time. Its name stands in the ledger before it is submitted, so that one whose submission got no
//! answer is found, and not made twice. Its results are fetched as soon as it is through: providers keep them for a day. What it
//! may cost is held of the budget until its answers are in the books.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use connectors::Fault;
use connectors::model::{BatchLine, BatchState, Batches, Chat};
use serde::{Deserialize, Serialize};

use crate::house::House;
use crate::ledger::{Answer, LedgerError, TRIAGE};
use crate::model::{self, Advance, schema};
use crate::schema::Task;

/// Where [`Batching`] stands in `meta`.
const META: &str = "batches";
/// Items that are looked at, and questions of one batch.
const MOST: usize = 10_000;
/// How often one that is under way is looked at.
const LOOK: TimeDelta = TimeDelta::minutes(2);
/// After a batch that failed, questions are asked one by one for so long.
const AFTER_FAILURE: TimeDelta = TimeDelta::hours(12);
/// The same of what a batch has lost.
const AFTER_LOSS: TimeDelta = TimeDelta::hours(1);
/// How long it may take before its questions are asked one by one.
const LONGEST: TimeDelta = TimeDelta::hours(30);

/// What is under way, by model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Batching {
    under_way: BTreeMap<String, Pending>,
    /// No batch is made before this.
    not_before: Option<DateTime<Utc>>,
}

/// A batch that is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pending {
    name: String,
    /// The provider's id of it; `None`: it is not known whether it was taken.
    job: Option<String>,
    /// What its questions are known by, and whose they are.
    asked: BTreeMap<String, Task>,
    /// At most.
    micro_usd: u64,
    since: DateTime<Utc>,
    look_at: DateTime<Utc>,
}

/// What a look at a batch comes to.
enum Fate {
    Waits(DateTime<Utc>),
    /// It is over. What it did not answer is asked one by one until then.
    Over(Option<TimeDelta>),
}

/// Looks after the batches that are under way, and makes some where enough waits.
///
/// # Errors
/// The ledger's.
pub async fn step(house: &House) -> Result<(), LedgerError> {
    let Some(batches) = house.models.everywhere.as_ref().and_then(|model| model.batches()) else { return Ok(()) };
    let now = house.now();
    let batching: Batching = house.ledger.transact(|tx| tx.meta(META))?.unwrap_or_default();
    for (model, pending) in &batching.under_way {
        hold(house, model, pending);
        if pending.look_at <= now && house.models.rests(now).is_none() {
            tend(house, batches, model, pending.clone()).await?;
        }
    }
    // Where no more are wanted, those that are under way are brought to their end all the same.
    if house.config.model.batch { make(house, batches).await } else { Ok(()) }
}

fn hold(house: &House, model: &str, pending: &Pending) {
    house.models.hold(model, pending.asked.keys(), pending.look_at + LOOK, pending.micro_usd);
}

fn change(house: &House, change: impl Fn(&mut Batching)) -> Result<(), LedgerError> {
    house.ledger.transact(|tx| {
        let mut batching: Batching = tx.meta(META)?.unwrap_or_default();
        change(&mut batching);
        tx.set_meta(META, &batching)
    })
}

fn keep(house: &House, model: &str, pending: &Pending) -> Result<(), LedgerError> {
    change(house, |batching| drop(batching.under_way.insert(model.to_owned(), pending.clone())))?;
    hold(house, model, pending);
    Ok(())
}

fn let_go(house: &House, model: &str, not_before: Option<DateTime<Utc>>) -> Result<(), LedgerError> {
    house.models.let_go(model);
    change(house, |batching| {
        batching.under_way.remove(model);
        batching.not_before = batching.not_before.max(not_before);
    })
}

async fn tend(house: &House, batches: &dyn Batches, model: &str, mut pending: Pending) -> Result<(), LedgerError> {
    match look(house, batches, &mut pending).await? {
        Fate::Waits(until) => {
            pending.look_at = until;
            keep(house, model, &pending)
        }
        Fate::Over(pause) => let_go(house, model, pause.map(|pause| house.now() + pause)),
    }
}

async fn look(house: &House, batches: &dyn Batches, pending: &mut Pending) -> Result<Fate, LedgerError> {
    let now = house.now();
    let overdue = now - pending.since > LONGEST;
    let job = match &pending.job {
        Some(job) => job.clone(),
        None => match batches.find(&pending.name).await {
            Ok(Some(job)) => job,
            // It was never taken.
            Ok(None) => return Ok(Fate::Over(None)),
            Err(_) if overdue => return Ok(Fate::Over(Some(AFTER_FAILURE))),
            Err(fault) => return later(house, &fault),
        },
    };
    pending.job = Some(job.clone());
    match batches.look(&job).await {
        Ok(BatchState::Running { done, total }) => {
            tracing::info!(done, total, "the batch {} is under way", pending.name);
            if !overdue {
                return Ok(Fate::Waits(now + LOOK));
            }
            tracing::warn!(
                done,
                total,
                "the batch {} takes too long: its questions are asked one by one",
                pending.name
            );
            if let Err(fault) = batches.cancel(&job).await {
                tracing::warn!(%fault, "it could not be cancelled, and may be billed");
            }
            Ok(Fate::Over(Some(AFTER_FAILURE)))
        }
        Ok(BatchState::Done) => match batches.results(&job).await {
            Ok(results) => {
                let answered = take(house, pending, &results)?;
                Ok(Fate::Over((answered < pending.asked.len()).then_some(AFTER_LOSS)))
            }
            Err(fault) => lost(house, pending, overdue, &fault),
        },
        Ok(BatchState::Failed(why)) => {
            tracing::warn!(%why, "the batch {} failed: its questions are asked one by one", pending.name);
            // What was answered until then is billed, and counts.
            if let Ok(results) = batches.results(&job).await {
                take(house, pending, &results)?;
            }
            Ok(Fate::Over(Some(AFTER_FAILURE)))
        }
        Err(fault) => lost(house, pending, overdue, &fault),
    }
}

/// What is refused for good is not waited for; nor is anything for ever.
fn lost(house: &House, pending: &Pending, overdue: bool, fault: &Fault) -> Result<Fate, LedgerError> {
    if overdue || matches!(fault, Fault::Rejected { .. }) {
        tracing::warn!(%fault, "the batch {} is lost: its questions are asked one by one", pending.name);
        return Ok(Fate::Over(Some(AFTER_FAILURE)));
    }
    later(house, fault)
}

fn later(house: &House, fault: &Fault) -> Result<Fate, LedgerError> {
    Ok(Fate::Waits(model::fail(house, fault)?.max(house.now() + LOOK)))
}

/// What was answered goes into the cache, with what it cost into the books; how many answers there are. Whether one holds is judged
/// where it is used.
fn take(house: &House, pending: &Pending, results: &[(String, Result<Chat, String>)]) -> Result<usize, LedgerError> {
    let mut answered = 0;
    for (key, result) in results {
        let (Ok(chat), Some(task)) = (result, pending.asked.get(key)) else { continue };
        // loopd was stopped while it took them.
        if house.ledger.answer(key)?.is_some() {
            answered += 1;
            continue;
        }
        let answer = schema::read(&chat.text).map(|value| Answer { value, model: chat.model.clone(), at: house.now() });
        answered += usize::from(answer.is_some());
        house.ledger.transact(|tx| {
            model::spend_batch(house, tx, *task, &chat.model, chat.tokens)?;
            answer.as_ref().map_or(Ok(()), |answer| tx.put_answer(key, answer))
        })?;
    }
    Ok(answered)
}

async fn make(house: &House, batches: &dyn Batches) -> Result<(), LedgerError> {
    let now = house.now();
    let enough = usize::try_from(house.config.model.batch_from).unwrap_or(usize::MAX);
    let ranks = super::stage::RANKS;
    if house.ledger.due(TRIAGE, ranks, now, enough)?.len() < enough || !house.models.may_gather(now) {
        return Ok(());
    }
    let batching = house.ledger.transact(|tx| tx.meta::<Batching>(META))?.unwrap_or_default();
    // Whose model is busy is not asked for.
    let is_free = |task: &Task| {
        let first = house.config.task(*task).models.first();
        first.is_some_and(|name| !batching.under_way.contains_key(house.config.model.named(name)))
    };
    let tasks: Vec<Task> = super::IN_ADVANCE.into_iter().filter(is_free).collect();
    if tasks.is_empty() || batching.not_before.is_some_and(|moment| moment > now) {
        return Ok(());
    }
    // By its key, the same question stands once, whoever asks it.
    let mut asked: BTreeMap<String, BTreeMap<String, Advance>> = BTreeMap::new();
    for claim in house.ledger.due(TRIAGE, ranks, now, MOST)? {
        let Some(id) = super::stage::item(&claim) else { continue };
        for advance in super::in_advance(house, id, &tasks)? {
            let of = asked.entry(advance.request.model.clone()).or_default();
            if of.len() < MOST {
                of.insert(advance.key.clone(), advance);
            }
        }
    }
    for (model, asked) in asked {
        if asked.len() >= enough && !submit(house, batches, &model, asked.into_values().collect(), enough).await? {
            break;
        }
    }
    Ok(())
}

/// `false`: no batch is taken now.
async fn submit(
    house: &House,
    batches: &dyn Batches,
    model: &str,
    mut asked: Vec<Advance>,
    enough: usize,
) -> Result<bool, LedgerError> {
    let now = house.now();
    // The rest goes by another, or tomorrow.
    let (within, micro_usd) = model::within_budget(house, asked.iter().map(|advance| &advance.request))?;
    asked.truncate(within);
    if asked.len() < enough {
        return Ok(true);
    }
    let known: BTreeMap<String, Task> = asked.iter().map(|advance| (advance.key.clone(), advance.task)).collect();
    let lines: Vec<BatchLine> =
        asked.into_iter().map(|advance| BatchLine { custom_id: advance.key, request: advance.request }).collect();
    let name = format!("loopd-{:016x}-{}", crate::ledger::digest(&known)?, now.timestamp());
    let mut pending =
        Pending { name: name.clone(), job: None, asked: known, micro_usd, since: now, look_at: now + LOOK };
    keep(house, model, &pending)?;
    house.ledger.durable()?;
    match batches.submit(&name, &lines).await {
        Ok(job) => {
            tracing::info!(%model, questions = lines.len(), "a batch of {} questions is under way", lines.len());
            pending.job = Some(job);
            keep(house, model, &pending).map(|()| true)
        }
        // Whether it was taken shows when it is looked for.
        Err(fault @ Fault::Unknown { .. }) => model::fail(house, &fault).map(|_| false),
        Err(fault) => {
            let until = match &fault {
                Fault::Rejected { why, .. } => {
                    tracing::warn!(%why, "a batch was refused: questions are asked one by one");
                    now + AFTER_FAILURE
                }
                other => model::fail(house, other)?,
            };
            let_go(house, model, Some(until)).map(|()| false)
        }
    }
}
