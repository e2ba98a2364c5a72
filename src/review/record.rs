//! Hears what people say of a model's verdicts, wherever they say it. Called from [`crate::follow::follow`], through which
//! every changed entity goes, in the transaction of the change.
//!
//! | what changed | what is recorded |
//! |---|---|
//! | a path with a verdict is decided, or decided anew | agreed, if what stands is what the model said |
//! | a decision is taken back | what was recorded of it goes |
//! | `reviewed` is ticked | every suggestion that stands as a draft is accepted: it is decided, by whoever ticked |
//! | it is unticked | those acceptances are taken back, no others |
//!
//! An echo of ours is no decision, and so no review: [`crate::sync::merge`] takes over nothing that loopd wrote itself.

use serde_json::Value;

use super::open::{category_of, open, same, segment_in, short, task_of, waits};
use super::trust::{Turn, cell_name, say, tally};
use super::{calibration, memory};
use crate::house::House;
use crate::ledger::{Entry, LedgerError, Review, Tx, What, digest};
use crate::schema::{Body, Decision, Entity, EntityId, Feedback, Path, Task, Verdict};

/// The connection of the conditions that tell of trust.
pub const TRUST: &str = "review";
const REVIEWED: &str = "reviewed";

/// Records what people said between `before` and `after`, and keeps the list of what waits for them. The entity as it is
/// then, where a tick accepted something; it is in the ledger already.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn learn(
    house: &House,
    tx: &mut Tx<'_>,
    before: Option<&Entity>,
    after: &Entity,
) -> Result<Option<Entity>, LedgerError> {
    let Body::Feedback(now) = &after.body else { return Ok(None) };
    let was = before.and_then(Entity::as_feedback);
    let changed = match was {
        Some(was) => ticked(house, was, now),
        None => None,
    };
    let now = changed.as_ref().unwrap_or(now);
    if let Some(was) = was
        && was.decided != now.decided
    {
        decisions(house, tx, after.id, was, now)?;
    }
    let waits = waits(&house.config, now);
    if tx.waits(after.id)? != waits {
        tx.put_waits(after.id, waits.as_ref())?;
    }
    let Some(changed) = changed else { return Ok(None) };
    let changed = Entity { id: after.id, body: Body::Feedback(Box::new(changed)) };
    tx.put_entity(&changed)?;
    Ok(Some(changed))
}

/// The item after its box was ticked or unticked; `None`: it was not, or nothing follows.
fn ticked(house: &House, was: &Feedback, now: &Feedback) -> Option<Feedback> {
    let (earlier, word) = (was.decided.get(REVIEWED), now.decided.get(REVIEWED));
    if word == earlier && was.reviewed == now.reviewed {
        return None;
    }
    let mut changed = now.clone();
    if now.reviewed {
        let word = word?;
        // Who ticks a box accepts what they see.
        for open in open(now, house.config.enrich.threshold).iter().filter(|open| open.stands) {
            changed.decided.insert(open.path.to_owned(), word.clone());
        }
    } else if was.reviewed {
        let earlier = earlier?;
        let value = serde_json::to_value(now).unwrap_or_default();
        changed.decided.retain(|path, decision| {
            let accepted = now
                .enrichment
                .get(path)
                .is_some_and(|verdict| path.parse::<Path>().is_ok_and(|path| same(path.get(&value), &verdict.value)));
            !(accepted && decision == earlier)
        });
    }
    (changed != *now).then_some(changed)
}

/// Sets a tag; what is more than a word (a theme, a duplicate) is for those who do it whole.
pub(super) fn fill(feedback: &mut Feedback, path: &str, said: &Value) -> bool {
    if task_of(path) != Some(Task::Classify) {
        return false;
    }
    let (Ok(place), Ok(mut value)) = (path.parse::<Path>(), serde_json::to_value(&*feedback)) else { return false };
    place.set(&mut value, said.clone());
    match serde_json::from_value(value) {
        Ok(filled) => {
            *feedback = filled;
            true
        }
        Err(_) => false,
    }
}

fn decisions(house: &House, tx: &mut Tx<'_>, id: EntityId, was: &Feedback, now: &Feedback) -> Result<(), LedgerError> {
    let value = serde_json::to_value(now).unwrap_or_default();
    for (path, decision) in &now.decided {
        // What the person saw is what had been said before.
        let verdict = was.enrichment.get(path).or_else(|| now.enrichment.get(path));
        let (Some(verdict), Some(_), Ok(place)) = (verdict, task_of(path), path.parse::<Path>()) else { continue };
        if was.decided.get(path) != Some(decision) {
            let segment = segment_in(tx, was)?;
            let cell = (category_of(was, path, &verdict.value), segment);
            heard(house, tx, id, path, verdict, place.get(&value), decision, cell)?;
        }
    }
    for path in was.decided.keys().filter(|path| !now.decided.contains_key(*path)) {
        unheard(house, tx, id, path)?;
    }
    memory::keep(tx, id, now)
}

/// A person's word on a verdict.
#[expect(clippy::too_many_arguments, reason = "it is all that a review is made of")]
pub(super) fn heard(
    house: &House,
    tx: &mut Tx<'_>,
    id: EntityId,
    path: &str,
    verdict: &Verdict,
    stands: &Value,
    decision: &Decision,
    (category, segment): (String, String),
) -> Result<(), LedgerError> {
    let Some(task) = task_of(path) else { return Ok(()) };
    let prompt = verdict.prompt.clone().unwrap_or_default();
    let agreed = same(&verdict.value, stands);
    let mut review = Review {
        at: decision.at,
        by: decision.by.clone(),
        task,
        path: path.to_owned(),
        said: verdict.value.clone(),
        stands: stands.clone(),
        agreed,
        category,
        segment,
        model: verdict.model.clone(),
        prompt,
        confidence: verdict.confidence,
        claimed: verdict.claimed,
    };
    if let Some(earlier) = tx.review(id, path, &review.prompt)? {
        calibration::count(tx, &earlier, false)?;
        if same(&earlier.said, &review.said) {
            // The same verdict: it stays in its cell, whatever became of the item's tags meanwhile.
            review.category.clone_from(&earlier.category);
            review.segment.clone_from(&earlier.segment);
        } else {
            count(house, tx, id, &earlier, None)?;
        }
    }
    count(house, tx, id, &review, Some(agreed))?;
    calibration::count(tx, &review, true)?;
    tx.put_review(id, &review)?;
    let word = if agreed { "agreed with" } else { "corrected" };
    tx.log(
        id,
        &Entry {
            at: house.now(),
            by: review.by.clone(),
            what: What::Reviewed,
            field: Some(path.to_owned()),
            old: Some(review.said.clone()),
            new: Some(review.stands.clone()),
            note: Some(format!("{word} {} ({:.0} % sure)", review.model, review.confidence * 100.0)),
        },
    )
}

/// A word that was taken back, of whichever prompt it was.
fn unheard(house: &House, tx: &mut Tx<'_>, id: EntityId, path: &str) -> Result<(), LedgerError> {
    for known in house.ledger.reviews_of(id, path)? {
        let Some(earlier) = tx.review(id, path, &known.prompt)? else { continue };
        count(house, tx, id, &earlier, None)?;
        calibration::count(tx, &earlier, false)?;
        tx.drop_review(id, path, &earlier.prompt);
        let note = Some("the word on this suggestion was taken back".to_owned());
        let (at, by, field) = (house.now(), earlier.by, Some(path.to_owned()));
        tx.log(id, &Entry { at, by, what: What::Reviewed, field, old: Some(earlier.stands), new: None, note })?;
    }
    Ok(())
}

/// Moves the standing of the review's cell, and tells when trust is earned or lost by it.
fn count(
    house: &House,
    tx: &mut Tx<'_>,
    id: EntityId,
    review: &Review,
    agreed: Option<bool>,
) -> Result<(), LedgerError> {
    let Review { task, category, segment, .. } = review;
    let rule = &house.config.review;
    // 0 is nobody's.
    let whose = digest(&(id, &review.path, &review.prompt))?.max(1);
    let mut standing = tx.standing(*task, category, segment)?;
    let turn = say(&mut standing, whose, agreed, rule, house.now());
    tx.put_standing(*task, category, segment, &standing)?;
    let Some(turn) = turn else { return Ok(()) };
    let (name, cell) = (task.name(), cell_name(category, segment));
    let tally = tally(&standing, rule);
    let condition = format!("{name} on {cell}");
    match turn {
        Turn::Earned => {
            let what = format!("{name} may now act by itself on {cell}: {} of {} agreed", tally.agreed, tally.of);
            tracing::info!(task = name, %cell, agreed = tally.agreed, of = tally.of, "{what}");
            tx.raise(TRUST, &condition, &what, false, house.now())?;
        }
        Turn::Lost => {
            let (agreed, of) = (tally.agreed, tally.of);
            tracing::warn!(task = name, %cell, agreed, of, "{name} may no longer act by itself on {cell}: {agreed} of {of} agreed");
            tx.clear(TRUST, &condition)?;
        }
    }
    let word = if turn == Turn::Earned { "earned" } else { "lost" };
    let note = Some(format!("with this word, {name} has {word} the trust to act by itself on {cell}"));
    let (at, by, field) = (house.now(), review.by.clone(), Some(short(&review.path).to_owned()));
    tx.log(id, &Entry { at, by, what: What::Reviewed, field, old: None, new: None, note })
}
