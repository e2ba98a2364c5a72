//! Whether an item was said before: the nearest are compared, by rule, and where the rule is unsure by a model.
//!
//! Laws:
//! - Near is not the same: nothing is merged because it lies near. Product, target and error text decide, then a model or a
//!   person.
//! - The newer is a duplicate of the older. Who is a duplicate already is not compared: the item that stands for it is.
//! - A pair is proposed once, whatever became of it.
//! - What a model says against what the rule is sure of is not believed: a person may look at it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::merge::{DUPLICATE_OF, Hand, merge_by, stands_for};
use super::{Outcome, nearest, speaks};
use crate::config::Provider;
use crate::enrich::duplicate::{Side, compare};
use crate::enrich::embed;
use crate::house::House;
use crate::ledger::{Entry, LedgerError, Proposal, ProposalState, Proposed, Tx, What};
use crate::model::{self, Asked, Question};
use crate::review;
use crate::schema::{Body, Entity, EntityId, EntityKind, Feedback, Task, Verdict};

/// How near an item must lie to be worth a look: cosine, by loopd's own n-grams and by a model's embeddings.
/// Of 21 pairs that are one, by n-grams, all lie nearer than 0.15, and half of them nearer than 0.31: it tells little.
const NEAR: (f32, f32) = (0.15, 0.6);
/// Nearer than this, a model is asked even where the rule says no.
const VERY_NEAR: f32 = 0.9;
/// What a word against the rule is worth.
const NOT_BELIEVED: f64 = 0.3;
/// Less than this is not worth a person's time, where only the rule has spoken.
const WORTH_A_LOOK: f64 = 0.5;
/// As sure as this, the rule needs nobody beside it.
const SURE: f64 = 0.8;
/// The rule's name.
const BY_RULE: &str = "offline-duplicate";

/// A pair that may be one.
struct Found {
    other: EntityId,
    confidence: f64,
    because: String,
    model: String,
    prompt: Option<String>,
}

/// Compares an item with its nearest, unless that was done for what it says now.
///
/// # Errors
/// The ledger's.
pub async fn step(house: &House, id: EntityId) -> Result<Outcome, LedgerError> {
    if !nearest::is_on(house, Task::Duplicate) {
        return Ok(Outcome::Done);
    }
    let Some(item) = speaks(house, id)? else { return Ok(Outcome::Done) };
    let said = crate::ledger::digest(&(super::digest(&item), &item.tags.product, &item.tags.model))?;
    if house.ledger.triaged(id)?.done.get(Task::Duplicate.name()) == Some(&said) {
        return Ok(Outcome::Done);
    }
    nearest::settle(house, id)?;
    let mut best: Option<Found> = None;
    if item.duplicate_of.is_none() {
        for (other, cosine) in candidates(house, id, &item)? {
            let Some(feedback) = speaks(house, other)? else { continue };
            let found = match judge(house, (id, &item), (other, &feedback), cosine).await? {
                Judgement::Later(at) => return Ok(Outcome::Later(at)),
                Judgement::No => continue,
                Judgement::May(found) => found,
            };
            if best.as_ref().is_none_or(|best| best.confidence < found.confidence) {
                best = Some(found);
            }
            if best.as_ref().is_some_and(|best| best.confidence >= 0.9) {
                break; // The others would be asked about for nothing.
            }
        }
    }
    let may_act = match &best {
        Some(_) => may_act(house, &item)?,
        None => false,
    };
    house.ledger.transact(|tx| {
        let Some(Entity { body: Body::Feedback(now), .. }) = tx.entity(id)? else { return Ok(()) };
        if super::digest(&now) != super::digest(&item) {
            return Ok(()); // It says something else by now, and is queued again for that.
        }
        if let Some(found) = &best {
            propose(house, tx, (id, &item), found, may_act)?;
        }
        let mut triaged = tx.triaged(id)?;
        triaged.done.insert(Task::Duplicate.name().into(), said);
        tx.put_triaged(id, &triaged)
    })?;
    Ok(Outcome::Done)
}

/// The nearest that may be the same, nearest first.
fn candidates(house: &House, id: EntityId, item: &Feedback) -> Result<Vec<(EntityId, f32)>, LedgerError> {
    let Some((space, vector)) =
        house.near.with(house, |index| Ok(index.of(id).map(|(space, vector)| (space.to_owned(), vector))))?
    else {
        return Ok(Vec::new());
    };
    let least = if space == embed::NAME { NEAR.0 } else { NEAR.1 };
    let count = house.config.triage.neighbours;
    let found = house.near.with(house, |index| {
        index.nearest(&space, (&vector, id), count, |other| may_be_asked(house, (id, item), other))
    })?;
    Ok(found.into_iter().filter(|(_, cosine)| *cosine >= least).collect())
}

/// Whether a pair can be judged: both speak for themselves, in different conversations, and nobody has judged them.
fn may_be_asked(house: &House, (id, item): (EntityId, &Feedback), other: EntityId) -> Result<bool, LedgerError> {
    let Some(feedback) = speaks(house, other)? else { return Ok(false) };
    let one_conversation = item.part_of.is_some() && item.part_of == feedback.part_of
        || item.part_of == Some(other)
        || feedback.part_of == Some(id);
    if one_conversation || feedback.duplicate_of.is_some() || stands_for(&house.ledger, other)? == Some(id) {
        return Ok(false);
    }
    let what = Proposed::Duplicate { item: id, of: other };
    Ok(house.ledger.proposal(what.number()?)?.is_none())
}

enum Judgement {
    No,
    May(Found),
    Later(chrono::DateTime<chrono::Utc>),
}

/// What the rule says of two items.
struct Judged {
    verdict: Rule,
    /// How likely they are one.
    confidence: f64,
    because: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Same,
    Different,
    Unsure,
}

fn by_rule(a: &Feedback, b: &Feedback) -> Judged {
    let (left, right) = (super::text(a), super::text(b));
    let words = |text: &crate::enrich::Text| {
        format!("{} {}", text.title, text.body).split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
    };
    let who = |item: &Feedback| item.author.email.clone().or(item.author.handle.clone()).or(item.author.name.clone());
    if who(a).is_some() && who(a) == who(b) && words(&left) == words(&right) && !words(&left).trim().is_empty() {
        let because = "the same person sent the same words again".into();
        return Judged { verdict: Rule::Same, confidence: 0.98, because };
    }
    let said = compare(&side(&left, a), &side(&right, b));
    let verdict = match said.duplicate {
        _ if said.confidence < SURE => Rule::Unsure,
        true => Rule::Same,
        false => Rule::Different,
    };
    let confidence = if said.duplicate { said.confidence } else { 1.0 - said.confidence };
    Judged { verdict, confidence, because: said.because }
}

fn side<'a>(text: &'a crate::enrich::Text, item: &'a Feedback) -> Side<'a> {
    Side {
        title: &text.title,
        body: &text.body,
        product: item.tags.product.as_deref(),
        category: item.tags.category.as_deref(),
    }
}

async fn judge(
    house: &House,
    (id, item): (EntityId, &Feedback),
    (other, feedback): (EntityId, &Feedback),
    cosine: f32,
) -> Result<Judgement, LedgerError> {
    let rule = by_rule(item, feedback);
    let found =
        |confidence: f64, because: String| Found { other, confidence, because, model: BY_RULE.into(), prompt: None };
    match rule.verdict {
        Rule::Same => return Ok(Judgement::May(found(rule.confidence, rule.because))),
        Rule::Different if cosine < VERY_NEAR => return Ok(Judgement::No),
        Rule::Different | Rule::Unsure => {}
    }
    if house.config.model.provider == Provider::None {
        let worth = rule.verdict == Rule::Unsure && rule.confidence >= WORTH_A_LOOK;
        return Ok(if worth { Judgement::May(found(rule.confidence, rule.because)) } else { Judgement::No });
    }
    Ok(match ask(house, (id, item), feedback).await? {
        Asked::Answered(answered) => {
            let Ok(said) = serde_json::from_value::<Said>(answered.value) else { return Ok(Judgement::No) };
            let confidence = match () {
                () if !said.duplicate => return Ok(Judgement::No),
                () if rule.verdict == Rule::Different => said.confidence.min(NOT_BELIEVED),
                () if !said.same_product || !said.same_target => said.confidence.min(NOT_BELIEVED),
                () => said.confidence,
            };
            let because = match rule.verdict {
                Rule::Different => format!("{}; but {}", said.reason, rule.because),
                Rule::Same | Rule::Unsure => said.reason,
            };
            Judgement::May(Found { other, confidence, because, model: answered.model, prompt: Some(answered.prompt) })
        }
        Asked::Later(at) => Judgement::Later(at),
        Asked::Alone | Asked::Unanswered(_) if rule.verdict == Rule::Unsure && rule.confidence >= WORTH_A_LOOK => {
            Judgement::May(found(rule.confidence, rule.because))
        }
        Asked::Alone | Asked::Unanswered(_) => Judgement::No,
    })
}

/// What a model says of a pair.
#[derive(Debug, Deserialize)]
struct Said {
    duplicate: bool,
    confidence: f64,
    reason: String,
    same_product: bool,
    same_target: bool,
}

fn check(value: &Value) -> Result<(), String> {
    let said: Said = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    if !(0.0..=1.0).contains(&said.confidence) {
        return Err(format!("confidence is from 0 to 1, and not {}", said.confidence));
    }
    if said.reason.trim().is_empty() {
        return Err("reason: say in a sentence why".into());
    }
    if said.reason.chars().count() > 500 {
        return Err("reason: one sentence is enough".into());
    }
    Ok(())
}

async fn ask(house: &House, (id, item): (EntityId, &Feedback), other: &Feedback) -> Result<Asked, LedgerError> {
    let told = |feedback: &Feedback| {
        let text = super::text(feedback);
        if text.title.is_empty() { text.body } else { format!("{}\n\n{}", text.title, text.body) }
    };
    let names = super::naming::known_names(house, &[item, other])?;
    let question = Question {
        task: Task::Duplicate,
        subject: Some(id),
        region: region(house, &[item, other])?,
        data: vec![("first", told(item)), ("second", told(other))],
        context: json!({ "first_product": item.tags.product, "second_product": other.tags.product }),
        examples: Vec::new(),
        names: names.into_iter().collect(),
        check: &check,
    };
    model::ask(house, &question).await
}

/// Where it was said: of several, one that has an endpoint of its own, for what is said there goes nowhere else.
pub(super) fn region(house: &House, items: &[&Feedback]) -> Result<Option<String>, LedgerError> {
    let mut found: Vec<String> = Vec::new();
    for item in items {
        found.extend(super::region(house, item)?);
    }
    let bound = found.iter().find(|region| house.config.model.regions.contains_key(*region)).cloned();
    Ok(bound.or_else(|| found.into_iter().next()))
}

/// Whether merges are done at once in this category and segment.
fn may_act(house: &House, item: &Feedback) -> Result<bool, LedgerError> {
    let customer = match item.customer {
        Some(id) => house.ledger.entity(id)?,
        None => None,
    };
    let industry = customer.as_ref().and_then(Entity::as_customer).and_then(|customer| customer.industry.clone());
    let segment = item.tags.segment.clone().or(industry).unwrap_or_default();
    review::may_act(house, Task::Duplicate, item.tags.category.as_deref().unwrap_or_default(), &segment)
}

/// Of two items, the newer and the older.
fn in_order(a: (EntityId, &Feedback), b: (EntityId, &Feedback)) -> (EntityId, EntityId) {
    let key = |(id, item): (EntityId, &Feedback)| (item.received_at, id);
    if key(a) >= key(b) { (a.0, b.0) } else { (b.0, a.0) }
}

fn propose(
    house: &House,
    tx: &mut Tx<'_>,
    (id, item): (EntityId, &Feedback),
    found: &Found,
    may_act: bool,
) -> Result<(), LedgerError> {
    let Some(Entity { body: Body::Feedback(other), .. }) = tx.entity(found.other)? else { return Ok(()) };
    let (newer, older) = in_order((id, item), (found.other, &other));
    let what = Proposed::Duplicate { item: newer, of: older };
    if tx.proposal(what.number()?)?.is_some() {
        return Ok(());
    }
    let prompt = found.prompt.clone();
    tx.put_proposal(&Proposal {
        at: house.now(),
        what,
        because: found.because.clone(),
        confidence: found.confidence,
        model: found.model.clone(),
        prompt: prompt.clone().unwrap_or_default(),
        state: ProposalState::Open,
    })?;
    let Some(mut entity) = tx.entity(newer)? else { return Ok(()) };
    let Body::Feedback(body) = &mut entity.body else { return Ok(()) };
    let is_free = !body.decided.contains_key(DUPLICATE_OF) && body.duplicate_of.is_none();
    let value = Value::from(older.to_string());
    let verdict = Verdict {
        value: value.clone(),
        model: found.model.clone(),
        prompt,
        confidence: found.confidence,
        claimed: None,
        at: house.now(),
        because: Some(found.because.clone()),
    };
    body.enrichment.insert(DUPLICATE_OF.into(), verdict);
    tx.put_entity(&entity)?;
    let of = older.short(EntityKind::Feedback);
    tx.log(
        newer,
        &Entry {
            at: house.now(),
            by: found.model.clone(),
            what: What::Suggested,
            field: Some(DUPLICATE_OF.into()),
            old: None,
            new: Some(value),
            note: Some(format!("may be one with {of}, {:.0} % sure: {}", found.confidence * 100.0, found.because)),
        },
    )?;
    let sure = house.config.task(Task::Duplicate).escalate_below;
    if may_act && is_free && found.confidence >= sure {
        // What cannot be (it stands for that one already) stays a proposal.
        let _ = merge_by(house, tx, newer, older, Hand::Model(&found.model))?;
    }
    Ok(())
}
