//! Two items are one: one fix, or one feature, closes both. And undoing that.
//!
//! Laws:
//! - A duplicate keeps everything that is its own: its words, its records everywhere, its customer. It only names the item that
//!   stands for it. So undoing it loses nothing, in no destination.
//! - Who stands for an item is found by following the names to the last item that is there ([`stands_for`]). Nothing is
//!   rewritten when that one is merged in turn, or deleted at its source: then others stand for themselves again.
//! - A duplicate goes along when the item that stands for it moves on, unless a person said how far it is; its people are told
//!   too when it ships.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::close;
use crate::follow::follow;
use crate::house::House;
use crate::ledger::{Entry, Ledger, LedgerError, Proposal, ProposalState, Proposed, Tx, What, When};
use crate::review::act::judged;
use crate::schema::{Body, Decision, Entity, EntityId, Feedback, Status};

/// Names that are followed, at most.
const CHAIN: usize = 64;
/// The path of the field.
pub const DUPLICATE_OF: &str = "duplicate_of";

/// Whose word it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand<'a> {
    Person(&'a str),
    /// A model that has earned it.
    Model(&'a str),
}

impl Hand<'_> {
    pub fn name(&self) -> &str {
        match self {
            Self::Person(name) | Self::Model(name) => name,
        }
    }
}

/// The item that stands for this one; `None`: it stands for itself.
///
/// # Errors
/// The ledger's.
pub fn stands_for(ledger: &Ledger, item: EntityId) -> Result<Option<EntityId>, LedgerError> {
    last(item, |id| ledger.entity(id))
}

pub(crate) fn stands_for_in(tx: &mut Tx<'_>, item: EntityId) -> Result<Option<EntityId>, LedgerError> {
    last(item, |id| tx.entity(id))
}

/// Follows the names to the last item that was not deleted at its source.
fn last(
    item: EntityId,
    mut read: impl FnMut(EntityId) -> Result<Option<Entity>, LedgerError>,
) -> Result<Option<EntityId>, LedgerError> {
    let (mut at, mut found) = (item, None);
    for _ in 0..CHAIN {
        let Some(entity) = read(at)? else { return Ok(found) };
        let Some(feedback) = entity.as_feedback() else { return Ok(found) };
        if at != item && !feedback.withdrawn {
            found = Some(at);
        }
        match feedback.duplicate_of {
            Some(of) if of != item => at = of,
            _ => return Ok(found),
        }
    }
    Ok(found)
}

/// The items that this one stands for, directly or through others; not itself.
///
/// # Errors
/// The ledger's.
pub fn duplicates(ledger: &Ledger, item: EntityId) -> Result<Vec<(EntityId, Feedback)>, LedgerError> {
    let (mut next, mut seen, mut found) = (vec![item], BTreeSet::from([item]), Vec::new());
    while let Some(of) = next.pop() {
        for id in ledger.referrers(of)? {
            if let Some(Entity { body: Body::Feedback(feedback), .. }) = ledger.entity(id)?
                && feedback.duplicate_of == Some(of)
                && seen.insert(id)
            {
                next.push(id);
                found.push((id, *feedback));
            }
        }
    }
    found.sort_by_key(|(id, _)| *id);
    Ok(found)
}

/// A person says that `item` is the same as `of`. Inside: why it cannot be.
///
/// # Errors
/// The ledger's.
pub fn merge_items(
    house: &House,
    tx: &mut Tx<'_>,
    item: EntityId,
    of: EntityId,
    by: &str,
) -> Result<Result<(), String>, LedgerError> {
    merge_by(house, tx, item, of, Hand::Person(by))
}

/// The same, by whoever has the right to.
pub(super) fn merge_by(
    house: &House,
    tx: &mut Tx<'_>,
    item: EntityId,
    of: EntityId,
    hand: Hand<'_>,
) -> Result<Result<(), String>, LedgerError> {
    let (Some(before), Some(other)) = (tx.entity(item)?, tx.entity(of)?) else {
        return Ok(Err("one of them does not exist any more".into()));
    };
    let (Body::Feedback(feedback), Body::Feedback(other_feedback)) = (&before.body, &other.body) else {
        return Ok(Err("only feedback can be a duplicate of feedback".into()));
    };
    let root = stands_for_in(tx, of)?.unwrap_or(of);
    if root == item || of == item {
        let what = format!("{} stands for {} already", before.short_id(), other.short_id());
        return Ok(Err(if of == item { "an item is no duplicate of itself".into() } else { what }));
    }
    if other_feedback.withdrawn && root == of {
        return Ok(Err(format!("{} was deleted at its source: it cannot stand for another", other.short_id())));
    }
    if feedback.duplicate_of == Some(root) {
        return Ok(Err(format!("{} is a duplicate of it already", before.short_id())));
    }
    if let Some(old) = feedback.duplicate_of {
        let undone = ProposalState::Undone { by: hand.name().into(), at: house.now() };
        judge(house, tx, &Proposed::Duplicate { item, of: old }, Some(undone), hand)?;
    }
    let mut feedback = feedback.clone();
    feedback.duplicate_of = Some(root);
    if let Hand::Person(by) = hand {
        feedback.decided.insert(DUPLICATE_OF.into(), Decision { by: by.into(), at: house.now() });
    }
    let after = Entity { id: item, body: Body::Feedback(feedback) };
    tx.put_entity(&after)?;
    let name = hand.name();
    let root_name = root.short(crate::schema::EntityKind::Feedback);
    tx.log(item, &value_line(house, name, (None, Some(root)), format!("one with {root_name}, which stands for it")))?;
    tx.log(
        root,
        &line(house, name, What::Merged, format!("{} is the same, and was merged into it", after.short_id())),
    )?;
    let done = ProposalState::Done { by: name.into(), at: house.now() };
    judge(house, tx, &Proposed::Duplicate { item, of: root }, Some(done), hand)?;
    follow(house, tx, &after, Some(&before), When::Now)?;
    Ok(Ok(()))
}

/// A person says that the item is no duplicate: it stands for itself again, as it did.
///
/// # Errors
/// The ledger's.
pub fn unmerge_item(
    house: &House,
    tx: &mut Tx<'_>,
    item: EntityId,
    by: &str,
) -> Result<Result<(), String>, LedgerError> {
    let Some(before) = tx.entity(item)? else { return Ok(Err("it does not exist any more".into())) };
    let Body::Feedback(feedback) = &before.body else { return Ok(Err(format!("{} is no item", before.short_id()))) };
    let Some(of) = feedback.duplicate_of else {
        return Ok(Err(format!("{} is no duplicate", before.short_id())));
    };
    let mut feedback = feedback.clone();
    feedback.duplicate_of = None;
    feedback.decided.insert(DUPLICATE_OF.into(), Decision { by: by.into(), at: house.now() });
    tx.log(item, &value_line(house, by, (Some(of), None), "it stands for itself again".into()))?;
    let note = format!("{} is another after all, and stands for itself again", before.short_id());
    tx.log(of, &line(house, by, What::Parted, note))?;
    let undone = ProposalState::Undone { by: by.into(), at: house.now() };
    judge(house, tx, &Proposed::Duplicate { item, of }, Some(undone), Hand::Person(by))?;
    let after = Entity { id: item, body: Body::Feedback(feedback) };
    tx.put_entity(&after)?;
    follow(house, tx, &after, Some(&before), When::Now)?;
    stand_alone(house, tx, item)?;
    Ok(Ok(()))
}

/// Gives an item that is no duplicate any more the status that was its own, and takes back what was prepared to be said of it.
fn stand_alone(house: &House, tx: &mut Tx<'_>, item: EntityId) -> Result<(), LedgerError> {
    let Some(before) = tx.entity(item)? else { return Ok(()) };
    let Some(feedback) = before.as_feedback() else { return Ok(()) };
    let (None, Some(own)) = (feedback.duplicate_of, feedback.own_status) else { return Ok(()) };
    let mut feedback = feedback.clone();
    feedback.own_status = None;
    let was = feedback.status;
    if !feedback.decided.contains_key("status") && was != own {
        feedback.status = own;
        tx.log(item, &status_line(house, "duplicates", (was, own), "its own again: it is no duplicate"))?;
        if was == Status::Shipped {
            close::take_back(house, tx, item)?;
        }
    }
    let after = Entity { id: item, body: Body::Feedback(Box::new(feedback)) };
    tx.put_entity(&after)?;
    follow(house, tx, &after, Some(&before), When::Now)
}

/// An item has moved on: those that it stands for go along, where no person said how far they are. Called by
/// [`follow`], for each of them in turn.
///
/// # Errors
/// The ledger's.
pub fn take_along(house: &House, tx: &mut Tx<'_>, item: EntityId, status: Status) -> Result<(), LedgerError> {
    for id in house.ledger.referrers(item)? {
        let Some(before) = tx.entity(id)? else { continue };
        let Some(feedback) = before.as_feedback() else { continue };
        let goes = feedback.duplicate_of == Some(item)
            && !feedback.withdrawn
            && feedback.status != status
            && !feedback.decided.contains_key("status");
        if !goes {
            continue;
        }
        let mut feedback = feedback.clone();
        let was = std::mem::replace(&mut feedback.status, status);
        feedback.own_status.get_or_insert(was);
        let of = item.short(crate::schema::EntityKind::Feedback);
        tx.log(id, &status_line(house, "duplicates", (was, status), &format!("as {of}, which stands for it")))?;
        let after = Entity { id, body: Body::Feedback(Box::new(feedback)) };
        tx.put_entity(&after)?;
        follow(house, tx, &after, Some(&before), When::Now)?;
    }
    Ok(())
}

/// What follows from what people did elsewhere: in a cell, in a row. Nothing, mostly.
///
/// # Errors
/// The ledger's.
pub fn settle(house: &House, item: EntityId) -> Result<(), LedgerError> {
    let Some(entity) = house.ledger.entity(item)? else { return Ok(()) };
    let Some(feedback) = entity.as_feedback() else { return Ok(()) };
    if feedback.duplicate_of.is_none() && feedback.own_status.is_some() {
        house.ledger.transact(|tx| stand_alone(house, tx, item))?;
    }
    let Some(decision) = feedback.decided.get(DUPLICATE_OF) else { return Ok(()) };
    // The word of a person in a cell is a review of what was proposed.
    let stands = feedback.duplicate_of;
    let ours = house.ledger.proposals()?.into_iter().filter_map(|(number, proposal)| match proposal.what {
        Proposed::Duplicate { item: of_item, of } if of_item == item => Some((number, of, proposal.state)),
        _ => None,
    });
    for (number, of, state) in ours {
        let (by, at) = (decision.by.clone(), decision.at);
        let next = match (&state, stands == Some(of)) {
            (ProposalState::Open, true) => ProposalState::Done { by, at },
            (ProposalState::Done { .. }, false) => ProposalState::Undone { by, at },
            _ => continue,
        };
        house.ledger.transact(|tx| set_state(tx, number, &next))?;
    }
    Ok(())
}

pub(super) fn set_state(tx: &mut Tx<'_>, number: u64, state: &ProposalState) -> Result<(), LedgerError> {
    match tx.proposal(number)? {
        Some(proposal) if proposal.state != *state => tx.put_proposal(&Proposal { state: state.clone(), ..proposal }),
        _ => Ok(()),
    }
}

/// Notes what became of a proposal, whether it was ever made or not, so that it is not made again.
pub(super) fn judge(
    house: &House,
    tx: &mut Tx<'_>,
    what: &Proposed,
    state: Option<ProposalState>,
    hand: Hand<'_>,
) -> Result<(), LedgerError> {
    let Some(state) = state else { return Ok(()) };
    let number = what.number()?;
    if let Some(proposal) = tx.proposal(number)? {
        if let Hand::Person(by) = hand
            && !proposal.model.is_empty()
        {
            let agreed = matches!(state, ProposalState::Done { .. });
            judged(house, tx, &proposal, agreed, &Decision { by: by.into(), at: house.now() })?;
        }
        return set_state(tx, number, &state);
    }
    let because = match hand {
        Hand::Person(_) => "a person said so",
        Hand::Model(_) => "it has earned to say so",
    };
    tx.put_proposal(&Proposal {
        at: house.now(),
        what: what.clone(),
        because: because.into(),
        confidence: 1.0,
        model: String::new(),
        prompt: String::new(),
        state,
    })
}

pub(super) fn line(house: &House, by: &str, what: What, note: String) -> Entry {
    Entry { at: house.now(), by: by.into(), what, field: None, old: None, new: None, note: Some(note) }
}

fn value_line(house: &House, by: &str, (old, new): (Option<EntityId>, Option<EntityId>), note: String) -> Entry {
    let said = |id: Option<EntityId>| id.map(|id| Value::from(id.to_string()));
    let what = if new.is_some() { What::Merged } else { What::Parted };
    Entry {
        at: house.now(),
        by: by.into(),
        what,
        field: Some(DUPLICATE_OF.into()),
        old: said(old),
        new: said(new),
        note: Some(note),
    }
}

fn status_line(house: &House, by: &str, (old, new): (Status, Status), note: &str) -> Entry {
    Entry {
        at: house.now(),
        by: by.into(),
        what: What::Drawn,
        field: Some("status".into()),
        old: Some(old.name().into()),
        new: Some(new.name().into()),
        note: Some(note.into()),
    }
}
