//! One question, through all that an answer must pass: mask, cache, budget, models in turn, schema, the caller's own check.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeDelta, Utc};
use connectors::Fault;
use connectors::model::{Chat, ChatRequest, Finish, Model, Schema, Tokens};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::mask::Mask;
use super::prompts::{Prompt, Rendered};
use super::{Answered, Asked, Question, schema};
use crate::config::{Mode, ModelConfig};
use crate::house::House;
use crate::ledger::{Answer, LedgerError, Spent, Tx};
use crate::pause::Pause;
use crate::schema::Task;

/// The name under which what is wrong with the model stands among the conditions.
pub const MODEL: &str = "model";
/// How long a question waits that got no answer for want of credentials.
const LOCKED: TimeDelta = TimeDelta::minutes(5);
const LONGEST: TimeDelta = TimeDelta::hours(2);
/// Characters that one token stands for at least, to estimate from above what a question costs.
const CHARS_A_TOKEN: u64 = 2;

/// Asks, where there is somebody to ask.
///
/// # Errors
/// The ledger's.
pub async fn ask(house: &House, question: &Question<'_>) -> Result<Asked, LedgerError> {
    let config = house.config.task(question.task);
    if config.mode == Mode::Off {
        return Ok(Asked::Alone);
    }
    let Some(model) = house.models.of(question.region.as_deref()) else { return Ok(Asked::Alone) };
    let Some(prompt) = house.config.prompts.get(question.task, &config.prompt) else { return Ok(Asked::Alone) };
    let examples = json!(question.examples);
    let asking = match prepare(prompt, question, &examples) {
        Ok(asking) => asking,
        Err(why) => return Ok(Asked::Unanswered(why)),
    };
    let mut best: Option<(f64, Answered)> = None;
    let mut last = "no model is named".to_owned();
    for name in &config.models {
        let name = house.config.model.named(name);
        match one(house, model.as_ref(), &asking, question, name).await? {
            Tried::Good(answered) => {
                let sure = confidence(&answered.value);
                if sure >= config.escalate_below {
                    return Ok(Asked::Answered(answered));
                }
                // Kept: the next model may give no answer at all.
                if best.as_ref().is_none_or(|(before, _)| sure > *before) {
                    best = Some((sure, answered));
                }
            }
            Tried::Bad(why) => last = why,
            // A dearer opinion can wait; one that there is stands meanwhile.
            Tried::Later(until) => match best {
                Some((_, answered)) => return Ok(Asked::Answered(answered)),
                None => return Ok(Asked::Later(until)),
            },
        }
    }
    Ok(best.map_or_else(|| Asked::Unanswered(last), |(_, answered)| Asked::Answered(answered)))
}

/// As [`ask`], for a command that somebody waits for: a wait of up to two minutes is waited out, a longer one told.
///
/// # Errors
/// The ledger's.
pub async fn ask_patiently(house: &House, question: &Question<'_>, pause: &dyn Pause) -> Result<Asked, LedgerError> {
    const LONGEST: TimeDelta = TimeDelta::minutes(2);
    const TRIES: u32 = 30;
    for _ in 0..TRIES {
        match ask(house, question).await? {
            Asked::Later(until) if until - house.now() <= LONGEST => {
                pause.pause((until - house.now()).to_std().unwrap_or_default()).await;
            }
            asked => return Ok(asked),
        }
    }
    ask(house, question).await
}

/// A question, ready to leave.
pub(super) struct Asking<'a> {
    pub(super) prompt: &'a Prompt,
    pub(super) mask: Mask,
    pub(super) rendered: Rendered,
    pub(super) schema: Value,
}

/// Masks, fences and renders.
pub(super) fn prepare<'a>(prompt: &'a Prompt, question: &Question<'_>, examples: &Value) -> Result<Asking<'a>, String> {
    let shown: Vec<&str> = question.examples.iter().map(|example| example.text.as_str()).collect();
    let texts = question.data.iter().map(|(_, text)| text.as_str()).chain(shown.iter().copied());
    let mask = Mask::of(texts, &question.names);
    let mut data = BTreeMap::new();
    for (name, text) in &question.data {
        data.insert(*name, fence(&mask.hide(text)));
    }
    let examples = match examples {
        Value::Array(list) => Value::Array(
            list.iter()
                .map(|example| {
                    let mut example = example.clone();
                    let text = example["text"].as_str().unwrap_or_default().to_owned();
                    example["text"] = fence(&mask.hide(&text)).into();
                    example
                })
                .collect(),
        ),
        other => other.clone(),
    };
    let rendered = prompt.render(&question.context, &data, &examples)?;
    Ok(Asking { prompt, mask, rendered, schema: schema::fill(&prompt.schema, &question.context) })
}

/// Data between marks that it cannot hold: they are made of a digest of all of it.
fn fence(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let nonce: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("=== data {nonce} ===\n{text}\n=== end {nonce} ===")
}

enum Tried {
    Good(Answered),
    Bad(String),
    Later(DateTime<Utc>),
}

async fn one(
    house: &House,
    model: &dyn Model,
    asking: &Asking<'_>,
    question: &Question<'_>,
    name: &str,
) -> Result<Tried, LedgerError> {
    let key = key(asking, name);
    if let Some(kept) = house.ledger.answer(&key)? {
        let day = today(house);
        let more = Spent { cached_answers: 1, ..Spent::default() };
        let value = asking.mask.restore_value(&kept.value);
        // What is checked beside the text may have changed since: a theme that is gone, a vocabulary.
        if schema::check(&value, &asking.schema).is_ok() && (question.check)(&value).is_ok() {
            house.ledger.transact(|tx| tx.spend(day, question.task.name(), &kept.model, more))?;
            return Ok(Tried::Good(Answered { value, model: kept.model, prompt: asking.prompt.name() }));
        }
    }
    if let Some(until) = house.models.held(&key, house.now()) {
        return Ok(Tried::Later(until));
    }
    let mut user = asking.rendered.user.clone();
    let mut last = String::new();
    // The second time, with what was wrong the first.
    for _ in 0..2 {
        let request = request(asking, name, &user);
        let chat = match call(house, model, question.task, name, &request).await? {
            Called::Said(chat) => chat,
            Called::Later(until) => return Ok(Tried::Later(until)),
            Called::Refused(why) => return Ok(Tried::Bad(why)),
        };
        match judge(asking, question, &chat) {
            Ok((masked, value)) => {
                let answer = Answer { value: masked, model: chat.model.clone(), at: house.now() };
                house.ledger.transact(|tx| tx.put_answer(&key, &answer))?;
                return Ok(Tried::Good(Answered { value, model: chat.model, prompt: asking.prompt.name() }));
            }
            Err(why) => {
                let day = today(house);
                let more = Spent { refused: 1, ..Spent::default() };
                house.ledger.transact(|tx| tx.spend(day, question.task.name(), &chat.model, more))?;
                user = format!("{}\n\nYour last answer was refused: {why}. Answer again.", asking.rendered.user);
                last = why;
            }
        }
    }
    Ok(Tried::Bad(format!("{name} gave no answer that holds: {last}")))
}

fn request(asking: &Asking<'_>, name: &str, user: &str) -> ChatRequest {
    ChatRequest {
        model: name.to_owned(),
        system: asking.rendered.system.clone(),
        user: user.to_owned(),
        schema: Some(Schema { name: asking.prompt.task.name().into(), schema: asking.schema.clone() }),
        temperature: Some(asking.prompt.temperature),
        max_tokens: Some(asking.prompt.max_tokens),
        seed: Some(0),
        cache_key: Some(format!("loopd-{}", asking.prompt.name())),
    }
}

/// A question that can be asked in advance.
#[derive(Clone, Debug, PartialEq)]
pub struct Advance {
    pub task: Task,
    /// What its answer is kept under.
    pub key: String,
    pub request: ChatRequest,
}

/// The question as the first model of its task would get it; `None`: there is nobody to ask for it in a batch, or it is answered.
///
/// # Errors
/// The ledger's.
pub fn in_advance(house: &House, question: &Question<'_>) -> Result<Option<Advance>, LedgerError> {
    let config = house.config.task(question.task);
    let own = question.region.as_ref().is_some_and(|region| house.models.regions.contains_key(region));
    let (Some(prompt), Some(name)) = (house.config.prompts.get(question.task, &config.prompt), config.models.first())
    else {
        return Ok(None);
    };
    if config.mode == Mode::Off || own {
        return Ok(None);
    }
    let Ok(asking) = prepare(prompt, question, &json!(question.examples)) else { return Ok(None) };
    let name = house.config.model.named(name);
    let key = key(&asking, name);
    if house.ledger.answer(&key)?.is_some() {
        return Ok(None);
    }
    let user = asking.rendered.user.clone();
    Ok(Some(Advance { task: question.task, key, request: request(&asking, name, &user) }))
}

/// How many of these questions, at half the price, the budget bears, and what these cost at most, in millionths of a dollar. Half
/// of what is left stays for what is said meanwhile.
///
/// # Errors
/// The ledger's.
pub fn within_budget<'a>(
    house: &House,
    requests: impl Iterator<Item = &'a ChatRequest>,
) -> Result<(usize, u64), LedgerError> {
    let (mut sum, mut count) = (0, 0);
    let estimates: Vec<u64> =
        requests.map(|request| estimate(&house.config.model, &request.model, request).div_ceil(2)).collect();
    for piece in estimates.chunks(100) {
        let more: u64 = piece.iter().sum();
        if exceeds(house, 2 * (sum + more))?.is_some() {
            break;
        }
        sum += more;
        count += piece.len();
    }
    Ok((count, sum))
}

/// What was asked, of whom: the same gets the same answer.
fn key(asking: &Asking<'_>, model: &str) -> String {
    let mut hasher = Sha256::new();
    let schema = asking.schema.to_string();
    for part in [asking.prompt.name().as_str(), model, &asking.rendered.system, &asking.rendered.user, &schema] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The answer as it came (masked) and as it reads, if it holds.
fn judge(asking: &Asking<'_>, question: &Question<'_>, chat: &Chat) -> Result<(Value, Value), String> {
    if chat.finish == Finish::Length {
        return Err("it was cut off; be brief".into());
    }
    let masked = schema::read(&chat.text).ok_or("it is no JSON object")?;
    schema::check(&masked, &asking.schema)?;
    let value = asking.mask.restore_value(&masked);
    (question.check)(&value)?;
    Ok((masked, value))
}

/// How sure an answer says it is: its `confidence`, or the least of those that it gives; 1 where it gives none.
pub fn confidence(value: &Value) -> f64 {
    let number = |value: &Value| value.as_f64().map(|sure| sure.clamp(0.0, 1.0));
    match &value["confidence"] {
        Value::Object(each) => {
            // What is not said needs no confidence.
            let said = each.iter().filter(|(name, _)| value.get(name.as_str()).is_some_and(|said| !said.is_null()));
            said.filter_map(|(_, sure)| number(sure)).fold(1.0, f64::min)
        }
        one => number(one).unwrap_or(1.0),
    }
}

enum Called {
    Said(Chat),
    Later(DateTime<Utc>),
    Refused(String),
}

/// One call, within the budget, entered in the books.
async fn call(
    house: &House,
    model: &dyn Model,
    task: Task,
    name: &str,
    request: &ChatRequest,
) -> Result<Called, LedgerError> {
    let now = house.now();
    if let Some(until) = house.models.rests(now) {
        return Ok(Called::Later(until));
    }
    let estimate = estimate(&house.config.model, name, request);
    if let Some(until) = spent(house, estimate)? {
        return Ok(Called::Later(until));
    }
    let held = house.models.reserve(estimate);
    let answer = model.chat(request).await;
    drop(held);
    match answer {
        Ok(chat) => {
            spend(house, task.name(), &chat.model, chat.tokens)?;
            Ok(Called::Said(chat))
        }
        Err(Fault::Rejected { why, .. }) => Ok(Called::Refused(format!("{name} refused: {why}"))),
        Err(fault) => Ok(Called::Later(fail(house, &fault)?)),
    }
}

/// When to come back after a fault, noting it where a person must act.
///
/// # Errors
/// The ledger's.
pub fn fail(house: &House, fault: &Fault) -> Result<DateTime<Utc>, LedgerError> {
    let now = house.now();
    match fault {
        Fault::Locked { why } => {
            house.models.rest_until(now + LOCKED);
            tracing::warn!(%why, "the language model is locked; loopd judges alone, and tries again in 5 minutes");
            house.ledger.transact(|tx| tx.raise(MODEL, "locked", why, false, now))?;
            Ok(now + LOCKED)
        }
        Fault::Later { after: Some(after), .. } => {
            let until = now + TimeDelta::from_std(*after).unwrap_or(LONGEST).min(LONGEST);
            house.models.rest_until(until);
            Ok(until)
        }
        Fault::Later { why, .. } | Fault::Unknown { why } | Fault::Rejected { why, .. } => {
            let (until, since) = house.models.trouble(now);
            if now - since >= TimeDelta::minutes(1) {
                let what = format!(
                    "the language model has not answered for a minute ({why}); loopd judges alone and tries again by itself"
                );
                house.ledger.transact(|tx| tx.raise(MODEL, "unreachable", &what, false, now))?;
            }
            Ok(until)
        }
    }
}

/// Why no model answers before then, as far as it is known.
///
/// # Errors
/// The ledger's.
pub fn why_not(house: &House, until: DateTime<Utc>) -> Result<String, LedgerError> {
    let until = until.format("%Y-%m-%d %H:%M:%S UTC");
    for name in ["locked", "budget", "unreachable"] {
        if let Some(condition) = house.ledger.condition(MODEL, name)? {
            return Ok(format!("the language model does not answer before {until}: {}", condition.what));
        }
    }
    Ok(format!("the language model does not answer before {until}: `loopd check --live` says what is wrong"))
}

fn today(house: &House) -> NaiveDate {
    house.now().with_timezone(&house.config.timezone).date_naive()
}

/// Millionths of a dollar. What the provider had cached costs a tenth (docs: prompt caching, 2026-11-23).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "tokens are few"
)]
pub fn price(config: &ModelConfig, model: &str, tokens: Tokens) -> u64 {
    let price = config.price(model);
    let cached = tokens.cached.min(tokens.input);
    let input = (tokens.input - cached) as f64 + cached as f64 * 0.1;
    (input * price.input + tokens.output as f64 * price.output).ceil() as u64
}

/// Enters an answered call into the books.
///
/// # Errors
/// The ledger's.
pub fn spend(house: &House, task: &str, model: &str, tokens: Tokens) -> Result<(), LedgerError> {
    let well = house.models.went_well();
    house.ledger.transact(|tx| {
        if well {
            tx.clear(MODEL, "unreachable")?;
            tx.clear(MODEL, "locked")?;
        }
        tx.spend(today(house), task, model, cost(house, model, tokens, 1))
    })
}

/// The same of a question in a batch, which is billed at half (docs: batch processing, 2026-11-23).
///
/// # Errors
/// The ledger's.
pub fn spend_batch(house: &House, tx: &mut Tx<'_>, task: Task, model: &str, tokens: Tokens) -> Result<(), LedgerError> {
    tx.spend(today(house), task.name(), model, cost(house, model, tokens, 2))
}

/// One call, at this part of the price.
fn cost(house: &House, model: &str, tokens: Tokens, part: u64) -> Spent {
    Spent {
        calls: 1,
        input_tokens: tokens.input,
        cached_tokens: tokens.cached,
        output_tokens: tokens.output,
        micro_usd: price(&house.config.model, model, tokens).div_ceil(part),
        ..Spent::default()
    }
}

/// Whether a text of so many bytes may be sent to a model now; when it may, if not.
///
/// # Errors
/// The ledger's.
pub fn may_spend(house: &House, model: &str, bytes: usize) -> Result<Option<DateTime<Utc>>, LedgerError> {
    if let Some(until) = house.models.rests(house.now()) {
        return Ok(Some(until));
    }
    spent(house, embedding(house, model, bytes))
}

/// Whether the budget bears texts of so many bytes; nothing is told of it.
///
/// # Errors
/// The ledger's.
pub fn bears(house: &House, model: &str, bytes: usize) -> Result<bool, LedgerError> {
    Ok(exceeds(house, embedding(house, model, bytes))?.is_none())
}

fn embedding(house: &House, model: &str, bytes: usize) -> u64 {
    let tokens = Tokens { input: bytes as u64 / CHARS_A_TOKEN, output: 0, cached: 0 };
    price(&house.config.model, model, tokens)
}

/// At most what a question may cost.
fn estimate(config: &ModelConfig, model: &str, request: &ChatRequest) -> u64 {
    price(config, model, tokens_at_most(request))
}

/// By estimate, from above: no provider tells before it is asked.
pub fn tokens_at_most(request: &ChatRequest) -> Tokens {
    let schema = request.schema.as_ref().map_or(0, |schema| schema.schema.to_string().len());
    let chars = (request.system.len() + request.user.len() + schema) as u64;
    Tokens { input: chars / CHARS_A_TOKEN, output: request.max_tokens.unwrap_or(1000).into(), cached: 0 }
}

/// When there is money again, if a question of this price would exceed the budget.
fn exceeds(house: &House, estimate: u64) -> Result<Option<DateTime<Utc>>, LedgerError> {
    let config = &house.config.model;
    if config.day_micro_usd.is_none() && config.month_micro_usd.is_none() {
        return Ok(None);
    }
    let day = today(house);
    let more = estimate + house.models.reserved();
    let begins = |day: NaiveDate| {
        let midnight = day.and_hms_opt(0, 0, 0).unwrap_or_default();
        // Where a day begins with an hour that is not there, it begins at the next.
        let local = midnight.and_local_timezone(house.config.timezone).earliest();
        local.map_or(house.now() + TimeDelta::hours(24), |local| local.with_timezone(&Utc))
    };
    let mut until = None;
    if let Some(limit) = config.day_micro_usd
        && house.ledger.spent_on(day)? + more > limit
    {
        until = Some(begins(day + Days::new(1)));
    }
    if let Some(limit) = config.month_micro_usd {
        let mut sum = 0;
        for (of, _, _, row) in house.ledger.spent()? {
            if (of.year(), of.month()) == (day.year(), day.month()) {
                sum += row.micro_usd;
            }
        }
        if sum + more > limit {
            until = until.max(Some(begins(day.with_day(1).unwrap_or(day) + Months::new(1))));
        }
    }
    Ok(until)
}

/// The same, and people are told.
fn spent(house: &House, estimate: u64) -> Result<Option<DateTime<Utc>>, LedgerError> {
    let until = exceeds(house, estimate)?;
    let now = house.now();
    if let Some(until) = until {
        let what =
            format!("the budget for the language model is spent until {until}; loopd judges alone, and the rest waits");
        house.ledger.transact(|tx| tx.raise(MODEL, "budget", &what, false, now))?;
    } else if house.ledger.condition(MODEL, "budget")?.is_some() {
        house.ledger.transact(|tx| tx.clear(MODEL, "budget").map(|_| ()))?;
    }
    Ok(until)
}

/// An example for a prompt: what a person made of an earlier answer.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Example {
    pub text: String,
    pub said: String,
    pub stands: String,
}
