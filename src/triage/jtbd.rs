//! The job to be done: what was literally asked for, what it is wanted for, what to ask before building, what else would do.
//!
//! Laws:
//! - What was literally asked of an item is a span of its words.
//! - Where no model answers, the rules say what stands in the text, and that the rest was not said. They make nothing up.
//! - What a person wrote stands.

mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::themes::lives_in;
use super::{Outcome, digest};
use crate::config::Mode;
use crate::follow::follow;
use crate::house::House;
use crate::ledger::{Entry, LedgerError, Tx, What, When};
use crate::model::{Answered, Asked, Question, ask, quote};
use crate::review;
use crate::schema::{Body, Entity, EntityId, Feedback, Job, Task};
use crate::view::members_of_theme;

pub use rules::RULES;

/// Where it stands in an item or theme, and in its decisions.
pub const PATH: &str = "job";
/// Under this name a theme's row of what was judged keeps how many items it had when its job was written.
const MEMBERS: &str = "jtbd.members";
/// Items of a theme that a model reads; newest first.
const READ: usize = 20;
/// Characters of each of them.
const EACH: usize = 600;
/// Questions, and alternatives, at most.
const MOST: usize = 5;

/// What the steps of an item do here: its own job where the configuration wants that, and its theme's where it is due.
///
/// # Errors
/// When the ledger cannot be read or written.
pub async fn step(house: &House, id: EntityId) -> Result<Outcome, LedgerError> {
    let Some(entity) = house.ledger.entity(id)? else { return Ok(Outcome::Done) };
    let Some(feedback) = entity.as_feedback() else { return Ok(Outcome::Done) };
    if house.config.task(Task::Jtbd).mode == Mode::Off {
        return Ok(Outcome::Done);
    }
    // What nobody has asked for stands as a draft, or by trust that the task has earned.
    let category = feedback.tags.category.as_deref().unwrap_or_default();
    let segment = feedback.tags.segment.as_deref().unwrap_or_default();
    if !house.config.review.drafts && !review::may_act(house, Task::Jtbd, category, segment)? {
        return Ok(Outcome::Done);
    }
    let own =
        if house.config.triage.job_of_items && asks(feedback) { of_item(house, id).await? } else { Outcome::Done };
    let of_theme = match feedback.theme {
        Some(theme) => of_theme(house, lives_in(&house.ledger, theme)?).await?,
        None => Outcome::Done,
    };
    Ok(match (own, of_theme) {
        (Outcome::Later(a), Outcome::Later(b)) => Outcome::Later(a.min(b)),
        (Outcome::Later(at), Outcome::Done) | (Outcome::Done, Outcome::Later(at)) => Outcome::Later(at),
        (Outcome::Done, Outcome::Done) => Outcome::Done,
    })
}

/// Praise asks for nothing.
fn asks(feedback: &Feedback) -> bool {
    !feedback.withdrawn && !matches!(feedback.tags.category.as_deref(), Some("praise" | "behavior_working" | "general"))
}

/// Writes the job of an item, unless that was done for these words.
///
/// # Errors
/// When the ledger cannot be read or written.
pub async fn of_item(house: &House, id: EntityId) -> Result<Outcome, LedgerError> {
    let Some(entity) = house.ledger.entity(id)? else { return Ok(Outcome::Done) };
    let Some(feedback) = entity.as_feedback() else { return Ok(Outcome::Done) };
    let state = state(house, feedback)?;
    if feedback.withdrawn
        || feedback.decided.contains_key(PATH)
        || house.ledger.triaged(id)?.done.get(Task::Jtbd.name()) == Some(&state)
    {
        return Ok(Outcome::Done);
    }
    let text = said(feedback);
    let (job, outcome) = match consult(house, &entity, std::slice::from_ref(&text), Some(&text)).await? {
        Asked::Answered(answered) => (read(&answered, Some(&text)), Outcome::Done),
        Asked::Alone | Asked::Unanswered(_) => (rules::of_text(&text, feedback), Outcome::Done),
        Asked::Later(at) => (rules::of_text(&text, feedback), Outcome::Later(at)),
    };
    house.ledger.transact(|tx| {
        let Some(before) = tx.entity(id)? else { return Ok(()) };
        let Body::Feedback(feedback) = &before.body else { return Ok(()) };
        if self::state(house, feedback)? != state || feedback.decided.contains_key(PATH) {
            return Ok(());
        }
        let mut feedback = feedback.clone();
        feedback.job.clone_from(&job);
        put(house, tx, &before, &Entity { id, body: Body::Feedback(feedback) }, job.as_ref())?;
        if outcome == Outcome::Done {
            done(tx, id, state, None)?;
        }
        Ok(())
    })?;
    Ok(outcome)
}

/// Writes the job of a theme: once it has items, and again when there are twice as many.
///
/// # Errors
/// When the ledger cannot be read or written.
pub async fn of_theme(house: &House, id: EntityId) -> Result<Outcome, LedgerError> {
    if house.config.task(Task::Jtbd).mode == Mode::Off {
        return Ok(Outcome::Done);
    }
    let Some(entity) = house.ledger.entity(id)? else { return Ok(Outcome::Done) };
    let Some(theme) = entity.as_theme() else { return Ok(Outcome::Done) };
    if theme.withdrawn || theme.merged_into.is_some() || theme.decided.contains_key(PATH) {
        return Ok(Outcome::Done);
    }
    let then = house.ledger.triaged(id)?.done.get(MEMBERS).copied();
    // A model that has come since writes anew what the rules had written.
    let by_rules = theme.job.as_ref().is_some_and(|job| job.model == RULES);
    let better = by_rules
        && house.models.everywhere.is_some()
        && house.ledger.triaged(id)?.done.get(Task::Jtbd.name()) != Some(&WITH_MODEL);
    let is_due = |count: usize| then.is_none_or(|then| count as u64 >= then.saturating_mul(2)) || better;
    // Thousands may stand behind a theme: they are read when it is time, and not for each that comes.
    if !is_due(house.near.with(house, |index| Ok(index.size(id).map_or(0, |(_, members)| members)))?) {
        return Ok(Outcome::Done);
    }
    let members = members(house, id)?;
    if members.is_empty() || !is_due(members.len()) {
        return Ok(Outcome::Done);
    }
    write_theme(house, &entity, &members).await
}

/// Digest of a theme's row when a model was there to be asked.
const WITH_MODEL: u64 = 1;

async fn write_theme(house: &House, entity: &Entity, members: &[Feedback]) -> Result<Outcome, LedgerError> {
    let id = entity.id;
    let count = u64::try_from(members.len()).unwrap_or(u64::MAX);
    let texts: Vec<String> = members.iter().take(READ).map(|feedback| head(&said(feedback), EACH).to_owned()).collect();
    let (job, outcome) = match consult(house, entity, &texts, None).await? {
        Asked::Answered(answered) => (read(&answered, None), Outcome::Done),
        Asked::Alone | Asked::Unanswered(_) => (rules::of_members(members), Outcome::Done),
        Asked::Later(at) => (rules::of_members(members), Outcome::Later(at)),
    };
    house.ledger.transact(|tx| {
        let Some(before) = tx.entity(id)? else { return Ok(()) };
        let Body::Theme(theme) = &before.body else { return Ok(()) };
        if theme.decided.contains_key(PATH) {
            return Ok(());
        }
        let mut theme = theme.clone();
        // A model that has no time takes nothing from what it wrote before.
        let kept = matches!(outcome, Outcome::Later(_)) && theme.job.as_ref().is_some_and(|job| job.model != RULES);
        if !kept {
            theme.job.clone_from(&job);
        }
        put(house, tx, &before, &Entity { id, body: Body::Theme(theme) }, job.as_ref())?;
        if outcome == Outcome::Done {
            let asked = if house.models.everywhere.is_some() { WITH_MODEL } else { 0 };
            done(tx, id, asked, Some(count))?;
        }
        Ok(())
    })?;
    Ok(outcome)
}

/// Writes it now, whatever was judged before, for a person who asks. Inside: why there is none.
///
/// # Errors
/// When the ledger cannot be read or written.
pub async fn asked_for(
    house: &House,
    id: EntityId,
) -> Result<Result<(Job, Option<DateTime<Utc>>), String>, LedgerError> {
    let Some(entity) = house.ledger.entity(id)? else { return Ok(Err(format!("there is no {id} any more"))) };
    let outcome = match &entity.body {
        Body::Customer(_) => return Ok(Err(format!("{} is a customer: give an item or a theme", entity.short_id()))),
        Body::Feedback(_) => of_item(house, id).await?,
        Body::Theme(_) => {
            let members = members(house, id)?;
            if members.is_empty() {
                return Ok(Err(format!("{} has no items", entity.short_id())));
            }
            match of_theme(house, id).await? {
                Outcome::Done if house.ledger.entity(id)?.is_some_and(|entity| job_of(&entity).is_none()) => {
                    write_theme(house, &entity, &members).await?
                }
                outcome => outcome,
            }
        }
    };
    let later = match outcome {
        Outcome::Later(at) => Some(at),
        Outcome::Done => None,
    };
    let job = house.ledger.entity(id)?.and_then(|entity| job_of(&entity).cloned());
    Ok(job.map(|job| (job, later)).ok_or_else(|| {
        format!("{} asks for nothing: there is no request or complaint in its words", entity.short_id())
    }))
}

fn job_of(entity: &Entity) -> Option<&Job> {
    match &entity.body {
        Body::Feedback(feedback) => feedback.job.as_ref(),
        Body::Theme(theme) => theme.job.as_ref(),
        Body::Customer(_) => None,
    }
}

fn put(house: &House, tx: &mut Tx<'_>, before: &Entity, after: &Entity, job: Option<&Job>) -> Result<(), LedgerError> {
    if after == before {
        return Ok(());
    }
    tx.put_entity(after)?;
    let text = |entity: &Entity| job_of(entity).map(|job| Value::from(job.job.as_str()));
    tx.log(
        after.id,
        &Entry {
            at: house.now(),
            by: job.map_or_else(|| RULES.to_owned(), |job| job.model.clone()),
            what: What::Suggested,
            field: Some(PATH.into()),
            old: text(before),
            new: text(after),
            note: None,
        },
    )?;
    follow(house, tx, after, Some(before), When::Now)
}

fn done(tx: &mut Tx<'_>, id: EntityId, state: u64, members: Option<u64>) -> Result<(), LedgerError> {
    let mut triaged = tx.triaged(id)?;
    triaged.done.insert(Task::Jtbd.name().into(), state);
    if let Some(members) = members {
        triaged.done.insert(MEMBERS.into(), members);
    }
    tx.put_triaged(id, &triaged)
}

fn state(house: &House, feedback: &Feedback) -> Result<u64, LedgerError> {
    let who = house.models.everywhere.is_some().then(|| house.config.task(Task::Jtbd).prompt.clone());
    crate::ledger::digest(&(digest(feedback), RULES, &feedback.tags.category, &feedback.tags.product, who))
}

/// Newest first, with those of the themes that live on in it. A conversation speaks through its items.
fn members(house: &House, theme: EntityId) -> Result<Vec<Feedback>, LedgerError> {
    let mut members = members_of_theme(&house.ledger, theme)?;
    let wholes: BTreeSet<EntityId> = members.iter().filter_map(|(_, feedback)| feedback.part_of).collect();
    members.retain(|(id, _)| !wholes.contains(id));
    members.sort_by(|(a, one), (b, other)| other.received_at.cmp(&one.received_at).then(a.cmp(b)));
    Ok(members.into_iter().map(|(_, feedback)| feedback).collect())
}

/// The words of an item: its title, and what was said.
fn said(feedback: &Feedback) -> String {
    let body = feedback.verbatim.as_deref().or(feedback.summary.as_deref()).unwrap_or_default();
    match feedback.title.as_deref() {
        Some(title) if !body.contains(title) && !title.trim().is_empty() => format!("{title}\n\n{body}"),
        _ => body.to_owned(),
    }
}

fn head(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(at, _)| &text[..at])
}

async fn consult(
    house: &House,
    entity: &Entity,
    texts: &[String],
    original: Option<&str>,
) -> Result<Asked, LedgerError> {
    if texts.iter().all(|text| text.trim().is_empty()) {
        return Ok(Asked::Alone);
    }
    let mut names = Vec::new();
    let mut region = None;
    let of = if original.is_some() { "item" } else { "theme" };
    let mut context = json!({ "of": of, "theme": null, "product": null, "segment": null });
    match &entity.body {
        Body::Feedback(feedback) => {
            let customer = match feedback.customer {
                Some(customer) => house.ledger.entity(customer)?,
                None => None,
            };
            let customer = customer.as_ref().and_then(Entity::as_customer);
            names = super::names(house, feedback)?;
            region = super::region(house, feedback)?;
            context["product"] = json!(feedback.tags.product);
            context["segment"] = json!(
                feedback.tags.segment.clone().or_else(|| customer.and_then(|customer| customer.industry.clone()))
            );
        }
        Body::Theme(theme) => {
            context["theme"] = json!(theme.name);
            for id in house.ledger.referrers(entity.id)?.into_iter().take(READ * 10) {
                let Some(member) = house.ledger.entity(id)? else { continue };
                let Some(feedback) = member.as_feedback() else { continue };
                names.extend(super::names(house, feedback)?);
                // One region keeps all of it at its endpoint.
                region = region
                    .or(super::region(house, feedback)?
                        .filter(|region| house.config.model.regions.contains_key(region)));
            }
        }
        Body::Customer(_) => {}
    }
    names.sort();
    names.dedup();
    let holds = |answer: &Value| holds(answer, original);
    let question = Question {
        task: Task::Jtbd,
        subject: Some(entity.id),
        region,
        data: vec![("text", texts.join("\n\n---\n\n"))],
        context,
        examples: Vec::new(),
        names,
        check: &holds,
    };
    ask(house, &question).await
}

/// `original`: the words of which the request must be a span.
fn holds(answer: &Value, original: Option<&str>) -> Result<(), String> {
    let text = |key: &str| answer[key].as_str().map(str::trim).unwrap_or_default();
    let request = text("request");
    if request.is_empty() || request.chars().count() > 400 {
        return Err("`request` is what was literally asked for, in at most 400 characters".into());
    }
    if let Some(original) = original
        && quote::find(original, request).is_none()
    {
        return Err("`request` does not stand in the text: copy a sentence letter for letter".into());
    }
    if !is_job(text("job")) {
        return Err("`job` is one sentence: When …, I want to …, so I can …".into());
    }
    for key in ["questions", "alternatives"] {
        let list = answer[key].as_array().ok_or(format!("`{key}` is missing"))?;
        if list.iter().any(|line| line.as_str().is_none_or(|line| line.chars().count() > 300)) {
            return Err(format!("`{key}` are short sentences"));
        }
    }
    let open = |line: &Value| line.as_str().is_some_and(|line| line.trim_end().ends_with('?'));
    if !answer["questions"].as_array().is_some_and(|list| !list.is_empty() && list.iter().all(open)) {
        return Err("`questions` are questions, at least one".into());
    }
    Ok(())
}

/// "When …, I want to …, so I can …", with something in each place.
fn is_job(text: &str) -> bool {
    let lower = text.to_lowercase();
    let Some(rest) = lower.strip_prefix("when ") else { return false };
    let Some((situation, rest)) = rest.split_once(", i want ") else { return false };
    let so = [", so i can ", " so i can ", " so that i can ", ", so that i can ", " so we can "];
    let Some((wish, outcome)) = so.iter().find_map(|so| rest.split_once(so)) else { return false };
    let some = |text: &str| text.chars().filter(|c| c.is_alphabetic()).count() > 2;
    some(situation) && some(wish) && some(outcome) && !text.contains('\n') && text.chars().count() <= 500
}

/// An answer that holds, as a job.
fn read(answered: &Answered, original: Option<&str>) -> Option<Job> {
    let answer = &answered.value;
    holds(answer, original).ok()?;
    let text = |key: &str| answer[key].as_str().map(str::trim).unwrap_or_default().to_owned();
    let list = |key: &str| -> Vec<String> {
        let lines = answer[key].as_array().map_or(&[][..], Vec::as_slice);
        let lines = lines.iter().filter_map(Value::as_str).map(str::trim).filter(|line| !line.is_empty());
        lines.take(MOST).map(str::to_owned).collect()
    };
    let request = text("request");
    let request = original
        .and_then(|original| original.get(quote::find(original, &request)?))
        .map_or(request.clone(), str::to_owned);
    Some(Job {
        request,
        job: text("job"),
        questions: list("questions"),
        alternatives: list("alternatives"),
        model: format!("{} ({})", answered.model, answered.prompt),
    })
}
