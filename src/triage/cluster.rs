//! Themes: an item joins the one that it lies near to; where several lie near each other and have none, one is born.
//!
//! Laws:
//! - One pass: an item that has a theme keeps it, unless a person moves it or its own words change, and then only if it lies
//!   well outside. A theme's middle is the mean of its members, which one more moves ever less. So themes stand still.
//! - A theme's id follows from the item that founded it, its first; it begins as a hypothesis.
//! - What a person said of an item's theme, or of a theme's name, no model changes. Themes are merged and split by people
//!   alone ([`super::themes`]); what looks like it is proposed (`drift.rs`).
//! - Praise joins no theme: a theme is what somebody struggles with. Questions and small talk join one, but open none.

use std::collections::BTreeSet;

use serde_json::Value;

use super::merge::stands_for;
use super::themes::{HYPOTHESIS, THEMES, condition, lives_in};
use super::{Outcome, drift, naming, nearest, speaks};
use crate::enrich::embed;
use crate::follow::follow;
use crate::house::House;
use crate::ledger::{Entry, LedgerError, Proposal, ProposalState, Proposed, TRIAGE, Tx, What, When};
use crate::schema::{Body, Entity, EntityId, Feedback, Task, Theme, Verdict};
use crate::view::{members_of_theme, weigh};

/// How far below the threshold an item may fall before it leaves its theme when its words change.
const SLACK: f32 = 0.1;
/// Loose items that a birth looks at.
const ROUND: usize = 64;
/// The path of the field.
const THEME: &str = "theme";

/// Says nothing that anybody struggles with.
fn is_content(feedback: &Feedback) -> bool {
    matches!(feedback.tags.category.as_deref(), Some("praise" | "behavior_working"))
}

/// Has something to say that a theme may begin with.
fn opens(feedback: &Feedback) -> bool {
    !is_content(feedback) && !matches!(feedback.tags.category.as_deref(), Some("general" | "question"))
}

/// How near is near enough in a space.
pub(super) fn join_from(house: &House, space: &str) -> f32 {
    let triage = &house.config.triage;
    #[expect(clippy::cast_possible_truncation, reason = "a share")]
    let from = if space == embed::NAME { triage.theme_join } else { triage.theme_join_model } as f32;
    from
}

/// Lets an item join the nearest theme, or found one with its neighbours.
///
/// # Errors
/// The ledger's.
pub async fn step(house: &House, id: EntityId) -> Result<Outcome, LedgerError> {
    if !nearest::is_on(house, Task::Theme) {
        return Ok(Outcome::Done);
    }
    nearest::settle(house, id)?;
    let Some(item) = speaks(house, id)? else { return Ok(Outcome::Done) };
    let said = super::digest(&item);
    let theme = if item.decided.contains_key(THEME) { item.theme } else { place(house, id, &item, said)? };
    let Some(theme) = theme else { return Ok(Outcome::Done) };
    let theme = lives_in(&house.ledger, theme)?;
    watch(house, theme)?;
    drift::look(house, theme)?;
    naming::by_model(house, theme).await
}

/// The theme of an item whose theme no person decided, after a look.
fn place(house: &House, id: EntityId, item: &Feedback, said: u64) -> Result<Option<EntityId>, LedgerError> {
    if item.theme.is_some() && house.ledger.triaged(id)?.done.get(Task::Theme.name()) == Some(&said) {
        return Ok(item.theme);
    }
    let Some(near) = look(house, id, item)? else {
        done(house, id, said)?;
        return Ok(item.theme);
    };
    if item.theme.is_some() && near.stays {
        done(house, id, said)?;
        return Ok(item.theme);
    }
    let joined = match near.theme {
        Some((theme, cosine)) if !is_content(item) => join(house, id, said, (theme, cosine), &near)?,
        _ => {
            if item.theme.is_some() && is_ours(item) {
                leave(house, id, said)?;
            }
            None
        }
    };
    if joined.is_some() || item.theme.is_some() {
        return Ok(joined);
    }
    if opens(item) && house.config.review.drafts {
        return found(house, id, said, &near);
    }
    Ok(None)
}

/// Whether the theme that an item has is a model's word.
fn is_ours(item: &Feedback) -> bool {
    let said = item.enrichment.get(THEME).and_then(|verdict| verdict.value.as_str());
    said.is_some() && said == item.theme.map(|theme| theme.to_string()).as_deref()
}

/// What lies around an item.
struct Near {
    space: String,
    vector: Vec<f32>,
    /// The nearest theme, if it is near enough.
    theme: Option<(EntityId, f32)>,
    /// The theme that it has is near enough still, or not a model's word.
    stays: bool,
}

fn look(house: &House, id: EntityId, item: &Feedback) -> Result<Option<Near>, LedgerError> {
    // What is one with another belongs where that one does.
    let root = match stands_for(&house.ledger, id)? {
        Some(root) => house.ledger.entity(root)?,
        None => None,
    };
    let of_root = root.as_ref().and_then(Entity::as_feedback).and_then(|root| root.theme);
    house.near.with(house, |index| {
        let Some((space, vector)) = index.of(id).map(|(space, vector)| (space.to_owned(), vector)) else {
            return Ok(None);
        };
        let from = join_from(house, &space);
        let themes = index.themes_near(&space, &vector);
        let own = item.theme.map(|theme| index.lives_in(theme));
        let to_own = own.and_then(|own| index.near_others(&space, (&vector, id), own));
        let stays = item.theme.is_some() && (!is_ours(item) || to_own.is_none_or(|cosine| cosine >= from - SLACK));
        // That it lies near to itself speaks for nothing.
        let mut others = themes.into_iter().filter(|(theme, _)| Some(*theme) != own);
        let mut theme = others.next().filter(|(_, cosine)| *cosine >= from);
        if let Some(of_root) = of_root {
            theme = Some((index.lives_in(of_root), 1.0));
        }
        Ok(Some(Near { space, vector, theme, stays }))
    })
}

/// How sure a cosine makes us: as measured, from about even at the threshold up.
fn confidence(cosine: f32, from: f32) -> f64 {
    let above = f64::from((cosine - from) / (1.0 - from).max(0.01)).clamp(0.0, 1.0);
    ((0.6 + 0.35 * above.sqrt()) * 100.0).round() / 100.0
}

/// The item joins a theme; returns it, or none where a person is to say so first.
fn join(
    house: &House,
    id: EntityId,
    said: u64,
    (theme, cosine): (EntityId, f32),
    near: &Near,
) -> Result<Option<EntityId>, LedgerError> {
    let from = join_from(house, &near.space);
    let joined = house.ledger.transact(|tx| {
        let theme = super::themes::lives_in_tx(tx, theme)?;
        let Some(Entity { body: Body::Theme(body), .. }) = tx.entity(theme)? else { return Ok(None) };
        let Some(before) = tx.entity(id)? else { return Ok(None) };
        let Some(item) = before.as_feedback() else { return Ok(None) };
        if body.withdrawn || item.withdrawn || item.decided.contains_key(THEME) || super::digest(item) != said {
            return Ok(None);
        }
        let name = body.name.clone().unwrap_or_default();
        let sure = confidence(cosine, from);
        let because = format!("it lies near to “{name}” ({cosine:.2})");
        let fill = house.config.review.drafts;
        point(house, tx, &before, theme, fill, &verdict(house, theme, &near.space, sure, because))?;
        mark(tx, id, said)?;
        Ok(fill.then_some(theme))
    })?;
    nearest::settle(house, id)?;
    Ok(joined)
}

fn verdict(house: &House, theme: EntityId, space: &str, confidence: f64, because: String) -> Verdict {
    Verdict {
        value: Value::from(theme.to_string()),
        model: space.to_owned(),
        prompt: None,
        confidence,
        claimed: None,
        at: house.now(),
        because: Some(because),
    }
}

/// Notes the verdict, and lets the item name the theme where it may.
fn point(
    house: &House,
    tx: &mut Tx<'_>,
    before: &Entity,
    theme: EntityId,
    fill: bool,
    verdict: &Verdict,
) -> Result<(), LedgerError> {
    let mut after = before.clone();
    let Body::Feedback(item) = &mut after.body else { return Ok(()) };
    let old = item.theme.map(|theme| Value::from(theme.to_string()));
    item.enrichment.insert(THEME.into(), verdict.clone());
    if fill {
        item.theme = Some(theme);
    }
    tx.put_entity(&after)?;
    if fill {
        tx.log(
            before.id,
            &Entry {
                at: house.now(),
                by: verdict.model.clone(),
                what: What::Suggested,
                field: Some(THEME.into()),
                old,
                new: Some(verdict.value.clone()),
                note: verdict.because.clone(),
            },
        )?;
    }
    follow(house, tx, &after, Some(before), When::Now)
}

fn mark(tx: &mut Tx<'_>, id: EntityId, said: u64) -> Result<(), LedgerError> {
    let mut triaged = tx.triaged(id)?;
    if triaged.done.insert(Task::Theme.name().into(), said) == Some(said) {
        return Ok(());
    }
    tx.put_triaged(id, &triaged)
}

fn done(house: &House, id: EntityId, said: u64) -> Result<(), LedgerError> {
    house.ledger.transact(|tx| mark(tx, id, said))
}

/// Its words have changed, and it speaks of something else now.
fn leave(house: &House, id: EntityId, said: u64) -> Result<(), LedgerError> {
    house.ledger.transact(|tx| {
        let Some(before) = tx.entity(id)? else { return Ok(()) };
        let mut after = before.clone();
        let Body::Feedback(item) = &mut after.body else { return Ok(()) };
        if item.decided.contains_key(THEME) {
            return Ok(());
        }
        let old = item.theme.take().map(|theme| Value::from(theme.to_string()));
        let by = item.enrichment.remove(THEME).map(|verdict| verdict.model).unwrap_or_default();
        tx.put_entity(&after)?;
        let note = Some("its words have changed, and lie elsewhere now".to_owned());
        tx.log(
            id,
            &Entry { at: house.now(), by, what: What::Suggested, field: Some(THEME.into()), old, new: None, note },
        )?;
        mark(tx, id, said)?;
        follow(house, tx, &after, Some(&before), When::Now)
    })?;
    nearest::settle(house, id)
}

/// Whether an item may be among those that found a theme.
fn is_loose(house: &House, id: EntityId) -> Result<Option<Feedback>, LedgerError> {
    let item = speaks(house, id)?;
    Ok(item.filter(|item| item.theme.is_none() && !item.decided.contains_key(THEME) && opens(item)))
}

/// How many there are, where what is one counts once, and so does what was said in one conversation.
fn counted(house: &House, items: &[(EntityId, Feedback)]) -> Result<usize, LedgerError> {
    let mut roots = BTreeSet::new();
    for (id, item) in items {
        roots.insert(stands_for(&house.ledger, *id)?.or(item.part_of).unwrap_or(*id));
    }
    Ok(roots.len())
}

/// A theme is born, if enough loose items lie near.
fn found(house: &House, id: EntityId, said: u64, near: &Near) -> Result<Option<EntityId>, LedgerError> {
    let from = join_from(house, &near.space);
    let around = house.near.with(house, |index| {
        let loose = |other| Ok(index.theme_of(other).is_none() && is_loose(house, other)?.is_some());
        index.nearest(&near.space, (&near.vector, id), ROUND, loose)
    })?;
    let mut items = Vec::new();
    for other in std::iter::once(id).chain(around.iter().filter(|(_, cosine)| *cosine >= from).map(|(other, _)| *other))
    {
        items.extend(is_loose(house, other)?.map(|item| (other, item)));
    }
    if counted(house, &items)? < house.config.triage.theme_from {
        return Ok(None);
    }
    let Some(founder) = items.iter().min_by_key(|(id, item)| (item.received_at, *id)).map(|(id, _)| *id) else {
        return Ok(None);
    };
    let entities: Vec<Entity> =
        items.iter().map(|(id, item)| Entity { id: *id, body: Body::Feedback(Box::new(item.clone())) }).collect();
    let told = naming::by_rule(house, &entities)?;
    let born = house.ledger.transact(|tx| {
        let mut members = Vec::new();
        for (id, was) in &items {
            let Some(entity) = tx.entity(*id)? else { continue };
            let is_same = entity.as_feedback().is_some_and(|item| {
                item.theme.is_none()
                    && !item.withdrawn
                    && !item.decided.contains_key(THEME)
                    && super::digest(item) == super::digest(was)
            });
            if is_same {
                members.push(entity);
            }
        }
        if members.len() < items.len() {
            return Ok(None); // Something has changed meanwhile, and is looked at again for that.
        }
        let mut theme = founder.branch("theme", 0);
        for turn in 1.. {
            if tx.entity(theme)?.is_none() {
                break;
            }
            theme = founder.branch("theme", turn);
        }
        let body = Theme {
            name: Some(told.name.clone()),
            statement: Some(told.statement.clone()),
            status: Some(HYPOTHESIS.into()),
            ..Theme::default()
        };
        let entity = Entity { id: theme, body: Body::Theme(Box::new(body)) };
        tx.put_entity(&entity)?;
        let note = format!("{} items lie near each other: “{}”", members.len(), told.name);
        tx.log(theme, &super::merge::line(house, &near.space, What::Created, note))?;
        follow(house, tx, &entity, None, When::Now)?;
        for member in &members {
            let because = format!("it founded “{}”, with {} others", told.name, members.len() - 1);
            point(
                house,
                tx,
                member,
                theme,
                true,
                &verdict(house, theme, &near.space, confidence(from, from), because),
            )?;
            mark(tx, member.id, member.as_feedback().map(super::digest).unwrap_or_default())?;
        }
        mark(tx, id, said)?;
        Ok(Some(theme))
    })?;
    if let Some(theme) = born {
        nearest::settle(house, theme)?;
        for (member, _) in &items {
            nearest::settle(house, *member)?;
        }
    }
    Ok(born)
}

/// Tells people, once, that enough stands behind a hypothesis to look at it.
fn watch(house: &House, theme: EntityId) -> Result<(), LedgerError> {
    let what = Proposed::VerifyTheme { theme };
    if house.ledger.proposal(what.number()?)?.is_some() {
        return Ok(());
    }
    let Some(Entity { body: Body::Theme(body), .. }) = house.ledger.entity(theme)? else { return Ok(()) };
    let is_hypothesis = body.status.as_deref().is_none_or(|status| status == HYPOTHESIS);
    if body.withdrawn || !is_hypothesis {
        return Ok(());
    }
    let weight = weigh(&house.ledger, &members_of_theme(&house.ledger, theme)?)?;
    if weight.count < house.config.triage.verify_from {
        return Ok(());
    }
    let count = weight.count;
    house.ledger.transact(|tx| {
        if tx.proposal(what.number()?)?.is_some() {
            return Ok(());
        }
        let Some(entity) = tx.entity(theme)? else { return Ok(()) };
        tx.put_proposal(&Proposal {
            at: house.now(),
            what: what.clone(),
            because: format!("{count} items stand behind it"),
            confidence: 1.0,
            model: String::new(),
            prompt: String::new(),
            state: ProposalState::Open,
        })?;
        let short = entity.short_id();
        let what = format!(
            "{} has {count} items, time to verify: `loopd themes show {short}`, then `loopd themes verify {short}`",
            super::themes::called(&entity)
        );
        tx.raise(THEMES, &condition(theme), &what, false, house.now())?;
        tx.log(theme, &super::merge::line(house, "loopd", What::Suggested, format!("{count} items: time to verify")))?;
        // Its records show it.
        follow(house, tx, &entity, Some(&entity), When::Now)?;
        crate::follow::records(house, tx, &entity, When::Now)
    })
}

/// What follows from what people did to an item or theme elsewhere.
///
/// # Errors
/// The ledger's.
pub fn settle(house: &House, id: EntityId) -> Result<(), LedgerError> {
    let Some(entity) = house.ledger.entity(id)? else { return Ok(()) };
    match &entity.body {
        Body::Feedback(item) => match item.theme {
            Some(theme) => watch(house, lives_in(&house.ledger, theme)?),
            None => Ok(()),
        },
        Body::Theme(theme) => {
            let is_hypothesis = theme.status.as_deref().is_none_or(|status| status == HYPOTHESIS);
            if !is_hypothesis || theme.withdrawn || theme.merged_into.is_some() {
                house.ledger.transact(|tx| tx.clear(THEMES, &condition(id)).map(|_| ()))?;
            } else {
                watch(house, id)?;
            }
            if theme.origin.is_some() { call(house, id) } else { Ok(()) }
        }
        Body::Customer(_) => Ok(()),
    }
}

/// People have made a theme, or changed its words: loose items that lie near are looked at again.
fn call(house: &House, theme: EntityId) -> Result<(), LedgerError> {
    let near = house.near.with(house, |index| {
        let Some((_, middle, _)) = index.middles(embed::NAME).into_iter().find(|(id, ..)| *id == theme) else {
            return Ok(Vec::new());
        };
        let loose = |other| Ok(index.theme_of(other).is_none());
        index.nearest(embed::NAME, (&middle, theme), ROUND, loose)
    })?;
    let from = join_from(house, embed::NAME);
    house.ledger.transact(|tx| {
        for (item, _) in near.iter().filter(|(_, cosine)| *cosine >= from) {
            tx.queue(TRIAGE, 0, item.as_bytes(), When::Now, house.now())?;
        }
        Ok(())
    })
}
