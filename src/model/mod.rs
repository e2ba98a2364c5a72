//! The language model, as the rooms ask it: one question, and an answer that was checked, or none.
//!
//! Laws:
//! - What leaves is masked: names, addresses, numbers and keys come back into the answer here.
//! - What customers said is data: it stands between marks that it cannot know, and is never an instruction.
//! - An answer counts once its schema, its vocabularies and its quotes hold; one try more, then the next model, then a person.
//! - The same question is asked once: answers are kept under what was asked.
//! - A budget is kept: when it is spent, or nobody answers, whoever asked comes back later, and everything else goes on.

mod ask;
pub mod mask;
pub mod prompts;
pub mod quote;
pub mod schema;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use connectors::model::Model;
use serde_json::Value;

pub use ask::{
    Advance, Example, MODEL, ask, ask_patiently, bears, confidence, fail, in_advance, may_spend, price, spend,
    spend_batch, tokens_at_most, why_not, within_budget,
};

use crate::delay::Delay;
use crate::house::House;
use crate::pause::Pause;
use crate::schema::{EntityId, Task};

/// The endpoints that may be asked.
#[derive(Default)]
pub struct Models {
    /// `None`: loopd judges alone.
    pub everywhere: Option<Arc<dyn Model>>,
    /// By region in lower case: what is said there goes nowhere else.
    pub regions: BTreeMap<String, Arc<dyn Model>>,
    gate: Mutex<Gate>,
    /// What questions that are on their way may cost, in millionths of a dollar.
    reserved: AtomicU64,
}

#[derive(Default)]
struct Gate {
    until: Option<DateTime<Utc>>,
    /// Since when no call has gone well.
    trouble: Option<DateTime<Utc>>,
    delay: Delay,
    shut: bool,
    /// The batches that are under way, by their model.
    held: BTreeMap<String, Batched>,
    /// Until when what their questions are made of stands still.
    still_until: Option<DateTime<Utc>>,
    gathered: Option<DateTime<Utc>>,
}

/// What a batch is asked, so that nobody else asks it.
struct Batched {
    keys: BTreeSet<String>,
    /// When to come back for them.
    until: DateTime<Utc>,
    micro_usd: u64,
}

/// How long it takes at most until what a batch has answered is used.
const STILL: TimeDelta = TimeDelta::hours(1);
/// How often what waits is counted for a batch.
const GATHER: TimeDelta = TimeDelta::minutes(1);

impl Models {
    pub fn new(everywhere: Option<Arc<dyn Model>>, regions: BTreeMap<String, Arc<dyn Model>>) -> Self {
        Self { everywhere, regions, ..Self::default() }
    }

    /// Who may be asked about what was said in a region.
    pub fn of(&self, region: Option<&str>) -> Option<&Arc<dyn Model>> {
        let own = region.and_then(|region| self.regions.get(&region.to_lowercase()));
        own.or(self.everywhere.as_ref())
    }

    fn gate(&self) -> std::sync::MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when nobody should ask.
    pub fn rests(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.gate().until.filter(|until| *until > now)
    }

    fn rest_until(&self, until: DateTime<Utc>) {
        let mut gate = self.gate();
        gate.until = gate.until.max(Some(until));
        gate.shut = true;
    }

    /// No answer came: when to ask again, and since when that is so.
    fn trouble(&self, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        let mut gate = self.gate();
        let until = now + gate.delay.wait();
        gate.until = gate.until.max(Some(until));
        gate.shut = true;
        (until, *gate.trouble.get_or_insert(now))
    }

    /// An answer came. `true`: after a time without.
    fn went_well(&self) -> bool {
        let mut gate = self.gate();
        gate.delay.reset();
        gate.until = None;
        gate.trouble = None;
        std::mem::take(&mut gate.shut)
    }

    /// These questions are answered by a batch of this model, for at most so much: nobody asks them before this.
    pub fn hold<'a>(
        &self,
        model: &str,
        keys: impl ExactSizeIterator<Item = &'a String>,
        until: DateTime<Utc>,
        micro_usd: u64,
    ) {
        let mut gate = self.gate();
        gate.still_until = gate.still_until.max(Some(until + STILL));
        match gate.held.get_mut(model) {
            Some(held) if held.keys.len() == keys.len() => held.until = until,
            _ => {
                let held = Batched { keys: keys.cloned().collect(), until, micro_usd };
                gate.held.insert(model.to_owned(), held);
            }
        }
    }

    pub fn let_go(&self, model: &str) {
        self.gate().held.remove(model);
    }

    /// Whether a batch is under way, or was a moment ago: what its questions are made of stands still until its answers are used.
    pub fn stands_still(&self, now: DateTime<Utc>) -> bool {
        self.gate().still_until.is_some_and(|until| until > now)
    }

    fn held(&self, key: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let gate = self.gate();
        let of = gate.held.values().find(|held| held.keys.contains(key));
        of.map(|held| held.until).filter(|until| *until > now)
    }

    /// Whether it is time again to see whether enough waits for a batch.
    pub fn may_gather(&self, now: DateTime<Utc>) -> bool {
        let mut gate = self.gate();
        let may = gate.gathered.is_none_or(|before| now - before >= GATHER);
        if may {
            gate.gathered = Some(now);
        }
        may
    }

    /// Holds what a question may cost until its answer is in the books.
    fn reserve(&self, micro_usd: u64) -> Held<'_> {
        self.reserved.fetch_add(micro_usd, Ordering::AcqRel);
        Held { models: self, micro_usd }
    }

    /// What is asked and not yet in the books, batches among it.
    fn reserved(&self) -> u64 {
        let batched: u64 = self.gate().held.values().map(|held| held.micro_usd).sum();
        self.reserved.load(Ordering::Acquire) + batched
    }
}

/// Waits, for a command that asks one question, until the quota lets it out: a new one is shut for its first moment.
pub async fn ready(house: &House, pause: &dyn Pause) {
    const LONGEST: Duration = Duration::from_secs(5);
    let models = house.models.everywhere.iter().chain(house.models.regions.values());
    if let Some(wait) = models.filter_map(|model| model.wait()).max() {
        pause.pause(wait.min(LONGEST)).await;
    }
}

struct Held<'a> {
    models: &'a Models,
    micro_usd: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.models.reserved.fetch_sub(self.micro_usd, Ordering::AcqRel);
    }
}

/// What a room asks.
pub struct Question<'a> {
    pub task: Task,
    /// Whose budget line and log it is.
    pub subject: Option<EntityId>,
    /// Where it was said, in lower case.
    pub region: Option<String>,
    /// What customers said, by the name that the prompt gives it.
    pub data: Vec<(&'static str, String)>,
    /// What the prompt sees besides: vocabularies, known themes, numbers of ours.
    pub context: Value,
    /// What people made of earlier answers.
    pub examples: Vec<Example>,
    /// Names known to stand in the data.
    pub names: Vec<String>,
    /// Whether an answer that fits the schema may count; the complaint is put to the model once.
    pub check: &'a (dyn Fn(&Value) -> Result<(), String> + Send + Sync),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    Answered(Answered),
    /// There is no model, or the task is off for models: loopd judges alone.
    Alone,
    /// Not now: the budget is spent, or nobody answers.
    Later(DateTime<Utc>),
    /// No model gave an answer that holds. A person should look.
    Unanswered(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    pub value: Value,
    /// Which model really answered.
    pub model: String,
    /// `classify/1`
    pub prompt: String,
}
