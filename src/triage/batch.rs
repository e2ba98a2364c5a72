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

/// Where [`Batching`] and [`Taken`] stand in `meta`.
const META: &str = "batches";
const TAKEN: &str = "batch taken";
/// Answers that are entered with one commit.
const PIECE: usize = 64;
/// Items that are looked at, and questions of one batch.
const MOST: usize = 10_000;
/// How often one that is under way is looked at.
const LOOK: TimeDelta = TimeDelta::minutes(2);
/// After a batch that failed, its model is asked one by one for so long.
const AFTER_FAILURE: TimeDelta = TimeDelta::hours(12);
/// The same of what was lost: of one that was never taken, and of the lines that a batch did not answer.
const AFTER_LOSS: TimeDelta = TimeDelta::hours(1);
/// How long one may take before it is cancelled; and then, before it is forgotten.
const LONGEST: TimeDelta = TimeDelta::hours(30);
const CANCELLING: TimeDelta = TimeDelta::hours(1);
/// How long nobody may answer for one before it is given up.
const SILENCE: TimeDelta = TimeDelta::hours(6);

/// What there is of batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Batching {
    /// By model.
    under_way: BTreeMap<String, Pending>,
    /// Of a model here no batch is made before this.
    not_before: BTreeMap<String, DateTime<Utc>>,
    /// Questions that no batch asks before this.
    lost: BTreeMap<String, DateTime<Utc>>,
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
    /// Since when nobody has answered for it.
    silent: Option<DateTime<Utc>>,
}

/// How many of a batch's answers, in the order of their keys, are in the books: they are entered once, whenever loopd stops.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Taken {
    name: String,
    answers: usize,
}

/// What a look at a batch comes to.
enum Fate {
    Waits(DateTime<Utc>),
    Over(After),
}

/// What is asked one by one when a batch is over.
#[derive(Default)]
struct After {
    /// All of its model, for so long.
    pause: Option<TimeDelta>,
    /// What it did not answer.
    lost: Vec<String>,
}

impl Fate {
    fn over(pause: TimeDelta) -> Self {
        Self::Over(After { pause: Some(pause), ..After::default() })
    }
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

fn let_go(house: &House, model: &str, after: &After) -> Result<(), LedgerError> {
    let now = house.now();
    house.models.let_go(model);
    change(house, |batching| {
        batching.under_way.remove(model);
        if let Some(pause) = after.pause {
            batching.not_before.insert(model.to_owned(), now + pause);
        }
        batching.lost.retain(|_, until| *until > now);
        batching.lost.extend(after.lost.iter().map(|key| (key.clone(), now + AFTER_LOSS)));
    })
}

async fn tend(house: &House, batches: &dyn Batches, model: &str, mut pending: Pending) -> Result<(), LedgerError> {
    match look(house, batches, &mut pending).await? {
        Fate::Waits(until) => {
            pending.look_at = until;
            keep(house, model, &pending)
        }
        Fate::Over(after) => let_go(house, model, &after),
    }
}

async fn look(house: &House, batches: &dyn Batches, pending: &mut Pending) -> Result<Fate, LedgerError> {
    let now = house.now();
    let job = match &pending.job {
        Some(job) => job.clone(),
        None => match batches.find(&pending.name).await {
            Ok(Some(job)) => job,
            // It was never taken.
            Ok(None) => return Ok(Fate::over(AFTER_LOSS)),
            Err(fault) => return silent(house, pending, &fault),
        },
    };
    pending.job = Some(job.clone());
    let state = match batches.look(&job).await {
        Ok(state) => state,
        Err(fault) => return silent(house, pending, &fault),
    };
    if let BatchState::Running { done, total } = state {
        pending.silent = None;
        return running(batches, pending, (done, total), now).await;
    }
    // What was answered until one failed is billed, too, and counts.
    match batches.results(&job).await {
        Ok(results) => {
            let lost = take(house, pending, results)?;
            let BatchState::Failed(why) = state else { return Ok(Fate::Over(After { lost, pause: None })) };
            tracing::warn!(%why, "the batch {} failed: its questions are asked one by one", pending.name);
            Ok(Fate::over(AFTER_FAILURE))
        }
        Err(fault) => silent(house, pending, &fault),
    }
}

async fn running(
    batches: &dyn Batches,
    pending: &Pending,
    (done, total): (u64, u64),
    now: DateTime<Utc>,
) -> Result<Fate, LedgerError> {
    tracing::info!(done, total, "the batch {} is under way", pending.name);
    let age = now - pending.since;
    if age > LONGEST + CANCELLING {
        return Ok(Fate::over(AFTER_FAILURE));
    }
    if age > LONGEST
        && let Some(job) = &pending.job
    {
        tracing::warn!("the batch {} takes too long, and is cancelled", pending.name);
        if let Err(fault) = batches.cancel(job).await {
            tracing::warn!(%fault, "it could not be cancelled, and may be billed");
        }
    }
    Ok(Fate::Waits(now + LOOK))
}

/// What is refused for good is not waited for; nor is anything for ever.
fn silent(house: &House, pending: &mut Pending, fault: &Fault) -> Result<Fate, LedgerError> {
    let now = house.now();
    let since = *pending.silent.get_or_insert(now);
    if now - since > SILENCE || matches!(fault, Fault::Rejected { .. }) {
        tracing::warn!(%fault, "the batch {} is lost: its questions are asked one by one", pending.name);
        return Ok(Fate::over(AFTER_FAILURE));
    }
    Ok(Fate::Waits(model::fail(house, fault)?.max(now + LOOK)))
}

/// What was answered goes into the cache, and with it what it cost into the books; the questions that were not answered. Whether an
/// answer holds is judged where it is used.
fn take(
    house: &House,
    pending: &Pending,
    mut results: Vec<(String, Result<Chat, String>)>,
) -> Result<Vec<String>, LedgerError> {
    results.sort_by(|(a, _), (b, _)| a.cmp(b));
    results.dedup_by(|(a, _), (b, _)| a == b);
    let mut lost = pending.asked.clone();
    let taken: Taken = house.ledger.transact(|tx| tx.meta(TAKEN))?.unwrap_or_default();
    let before = if taken.name == pending.name { taken.answers } else { 0 };
    for (at, piece) in results.chunks(PIECE).enumerate() {
        let answers: Vec<(&String, Task, &Chat, Option<Answer>)> = piece
            .iter()
            .filter_map(|(key, result)| {
                let (Ok(chat), Some(task)) = (result, pending.asked.get(key)) else { return None };
                let value = schema::read(&chat.text);
                let answer = value.map(|value| Answer { value, model: chat.model.clone(), at: house.now() });
                Some((key, *task, chat, answer))
            })
            .collect();
        for (key, ..) in answers.iter().filter(|(.., answer)| answer.is_some()) {
            lost.remove(*key);
        }
        let done = (at * PIECE + piece.len()).min(results.len());
        if done <= before {
            continue;
        }
        house.ledger.transact(|tx| {
            for (key, task, chat, answer) in &answers {
                model::spend_batch(house, tx, *task, &chat.model, chat.tokens)?;
                if let Some(answer) = answer {
                    tx.put_answer(key, answer)?;
                }
            }
            tx.set_meta(TAKEN, &Taken { name: pending.name.clone(), answers: done })
        })?;
    }
    Ok(lost.into_keys().collect())
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
        let Some(first) = house.config.task(*task).models.first() else { return false };
        let model = house.config.model.named(first);
        !batching.under_way.contains_key(model) && batching.not_before.get(model).is_none_or(|moment| *moment <= now)
    };
    let tasks: Vec<Task> = super::IN_ADVANCE.into_iter().filter(is_free).collect();
    if tasks.is_empty() {
        return Ok(());
    }
    // By its key, the same question stands once, whoever asks it.
    let mut asked: BTreeMap<String, BTreeMap<String, Advance>> = BTreeMap::new();
    for claim in house.ledger.due(TRIAGE, ranks, now, MOST)? {
        let Some(id) = super::stage::item(&claim) else { continue };
        for advance in super::in_advance(house, id, &tasks)? {
            let of = asked.entry(advance.request.model.clone()).or_default();
            if of.len() < MOST && batching.lost.get(&advance.key).is_none_or(|until| *until <= now) {
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

/// `false`: no batch of any model is taken now.
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
    let mut pending = Pending {
        name: name.clone(),
        job: None,
        asked: known,
        micro_usd,
        since: now,
        look_at: now + LOOK,
        silent: None,
    };
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
            let refused = matches!(fault, Fault::Rejected { .. });
            let pause = if refused { AFTER_FAILURE } else { model::fail(house, &fault)? - now };
            tracing::warn!(%fault, "a batch was not taken: for now, questions are asked one by one");
            let_go(house, model, &After { pause: Some(pause), ..After::default() }).map(|()| refused)
        }
    }
}
