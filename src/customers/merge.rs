//! Merging: one customer lives on in another. And undoing that.
//!
//! The law: one transaction makes two one, or one two: names, values, who is whose. Their items, of which there may be
//! thousands, follow piece by piece, from a queued order that a crash does not lose; meanwhile an item shows one or the
//! other, and never neither.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::part::note_parting;
use super::{
    VALUES, called, customer_mut, doubt, family_names, gather, is_nothing, line, set_tier, survivor, value_line,
    with_values, word_of_sources,
};
use crate::follow::{follow, item, records};
use crate::house::House;
use crate::ledger::{Base, ENRICH, Entry, LedgerError, LinkState, Tx, What, When, sync_lane};
use crate::schema::{Body, Customer, Entity, EntityId, EntityKind, Merge, Stood};

/// Relations that are followed, at most.
const MOST_KIN: usize = 256;
/// Items that one piece moves.
const PIECE: usize = 64;

/// What came of a merge, or of undoing one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    pub kept: EntityId,
    pub merged: EntityId,
    /// Its items, which follow.
    pub items: usize,
    pub text: String,
}

/// Merges `lose` into `keep`. Inside: why it cannot be done.
///
/// # Errors
/// A ledger that cannot be read or written.
pub fn merge(house: &House, keep: EntityId, lose: EntityId, by: &str) -> Result<Result<Merged, String>, LedgerError> {
    let done = house.ledger.transact(|tx| {
        let keep = survivor(tx, keep)?;
        let (before_keep, before_lose) = match two(tx, keep, lose)? {
            Ok(both) => both,
            Err(why) => return Ok(Err(why)),
        };
        let (mut after_keep, took, lines) = take_values(house, &before_keep, &before_lose, by)?;
        let mut after_lose = before_lose.clone();
        let handed = hand_over(house, tx, lose, keep)?;
        if let (Some(kept), Some(lost)) = (customer_mut(&mut after_keep), customer_mut(&mut after_lose)) {
            kept.absorbed.push(lose);
            kept.parted_from = kept.parted_from.filter(|from| *from != lose);
            // What a person takes from one that was parted is theirs again when they are one.
            kept.refused.retain(|alias| !lost.given.contains(alias));
            lost.merged = Some(Merge { into: keep, at: house.now(), by: by.to_owned(), took, handed });
        }
        tx.put_entity(&after_lose)?;
        gather(tx, &mut after_keep)?;
        if let Some(kept) = customer_mut(&mut after_keep) {
            set_tier(house, kept);
        }
        tx.put_entity(&after_keep)?;
        for alias in family_names(house, tx, lose)? {
            if tx.customer_by(&alias)?.is_none_or(|owner| owner == lose) {
                tx.name_customer(&alias, keep)?;
            }
        }
        doubt::one(house, tx, keep, lose, by)?;
        for entry in &lines {
            tx.log(keep, entry)?;
        }
        tx.log(keep, &line(house, by, What::Merged, format!("{} was merged into it", called(&before_lose))))?;
        tx.log(lose, &line(house, by, What::Merged, format!("merged into {}", called(&before_keep))))?;
        follow(house, tx, &after_lose, Some(&before_lose), When::Now)?;
        follow(house, tx, &after_keep, Some(&before_keep), When::Now)?;
        tx.queue(ENRICH, 1, lose.as_bytes(), When::Now, house.now())?;
        let text = format!("{} was merged into {}", called(&before_lose), called(&after_keep));
        Ok(Ok(Merged { kept: keep, merged: lose, items: 0, text }))
    })?;
    house.ledger.durable()?;
    Ok(match done {
        Ok(merged) => Ok(Merged { items: house.ledger.referrers(merged.merged)?.len(), ..merged }),
        Err(why) => Err(why),
    })
}

/// Both sides of a merge, where it can be.
fn two(tx: &mut Tx<'_>, keep: EntityId, lose: EntityId) -> Result<Result<(Entity, Entity), String>, LedgerError> {
    let (Some(kept), Some(lost)) = (tx.entity(keep)?, tx.entity(lose)?) else {
        return Ok(Err("one of them does not exist any more".into()));
    };
    for entity in [&kept, &lost] {
        if entity.kind() != EntityKind::Customer {
            return Ok(Err(format!("{} is no customer", entity.short_id())));
        }
    }
    if keep == lose {
        return Ok(Err(format!("{} is one customer already", called(&kept))));
    }
    let lives_in = survivor(tx, lose)?;
    if lives_in == keep {
        return Ok(Err(format!("{} was merged into {} already", called(&lost), called(&kept))));
    }
    if lives_in != lose {
        let other = tx.entity(lives_in)?.map(|other| called(&other)).unwrap_or_default();
        return Ok(Err(format!("{} was merged into {other}\n  = merge that one", called(&lost))));
    }
    Ok(Ok((kept, lost)))
}

type Took = BTreeMap<String, Stood>;

/// What each side says, made one: a person's word before a source's, the later of two persons' words, and of two sources
/// the one that is there. What does not stand is in the log.
fn take_values(
    house: &House,
    keep: &Entity,
    lose: &Entity,
    by: &str,
) -> Result<(Entity, Took, Vec<Entry>), LedgerError> {
    let (ours, theirs) = (keep.to_value(), lose.to_value());
    let nameless = |entity: &Entity| entity.as_customer().is_some_and(Customer::is_nameless);
    let (mut took, mut lines, mut values) = (Took::new(), Vec::new(), Vec::new());
    let mut decided = keep.decided().clone();
    let other = called(lose);
    for path in VALUES {
        let (mine, other_value) = (ours[path].clone(), theirs[path].clone());
        let (said, other_said) = (keep.decided().get(path), lose.decided().get(path));
        let guessed = path == "name" && nameless(keep) && !nameless(lose);
        let wins = match (said, other_said) {
            (None, Some(_)) => true,
            (Some(mine), Some(other)) => other.at > mine.at,
            (Some(_), None) => false,
            (None, None) => is_nothing(&mine) || guessed,
        };
        if wins && (mine != other_value || other_said.is_some()) {
            took.insert(path.to_owned(), Stood { value: mine.clone(), decision: said.cloned() });
            values.push((path.to_owned(), other_value.clone()));
            match other_said {
                Some(said) => drop(decided.insert(path.to_owned(), said.clone())),
                None => drop(decided.remove(path)),
            }
            if mine != other_value {
                let what = if is_nothing(&mine) || guessed { What::Drawn } else { What::Conflict };
                let note = format!("of {other}, which was merged into this");
                lines.push(value_line(house, by, what, path, (mine, other_value), note));
            }
        } else if mine != other_value && !is_nothing(&other_value) {
            let note = format!("{other}, which was merged into this, says otherwise; what stands here stays");
            lines.push(value_line(house, by, What::Conflict, path, (other_value, mine), note));
        }
    }
    let mut entity = with_values(keep, &values)?;
    *entity.decided_mut() = decided;
    Ok((entity, took, lines))
}

/// Records at destinations where only `from` has one become `to`'s: as if it had been one from the start.
fn hand_over(
    house: &House,
    tx: &mut Tx<'_>,
    from: EntityId,
    to: EntityId,
) -> Result<Vec<(String, String)>, LedgerError> {
    let mut handed = Vec::new();
    for (connection, collection, _) in house.ledger.links(from)? {
        let only_written = house.config.mappings.into_for(&connection, &collection, EntityKind::Customer).is_some()
            && house.config.mappings.from_for(&connection, &collection).is_none();
        let at = (connection.as_str(), collection.as_str());
        if only_written && may_hand_over(tx, from, to, at)? {
            pass(tx, from, to, at)?;
            handed.push((connection, collection));
        }
    }
    Ok(handed)
}

/// `from` has a record there, `to` has none, and nothing is just being written.
fn may_hand_over(tx: &mut Tx<'_>, from: EntityId, to: EntityId, at: (&str, &str)) -> Result<bool, LedgerError> {
    let live = tx.link(from, at.0, at.1)?.is_some_and(|link| link.state == LinkState::Live);
    Ok(live
        && tx.link(to, at.0, at.1)?.is_none()
        && tx.effect(from, at.0, at.1)?.is_none()
        && tx.effect(to, at.0, at.1)?.is_none())
}

fn pass(tx: &mut Tx<'_>, from: EntityId, to: EntityId, at: (&str, &str)) -> Result<(), LedgerError> {
    tx.hand_over(from, to, at.0, at.1)?;
    // So that the id in it is written anew.
    let mut base = tx.base(to, at.0, at.1)?;
    base.written_at = None;
    tx.put_base(to, at.0, at.1, &base)
}

/// The items of a customer that was merged follow it. Called from the enrich room, until it is done.
///
/// # Errors
/// A ledger that cannot be read or written.
pub fn move_items(house: &House, merged: EntityId) -> Result<(), LedgerError> {
    for piece in house.ledger.referrers(merged)?.chunks(PIECE) {
        house.ledger.transact(|tx| {
            let to = survivor(tx, merged)?;
            for id in piece {
                let Some(before) = tx.entity(*id)? else { continue };
                let Body::Feedback(feedback) = &before.body else {
                    // Who was merged into it shows where it lives now.
                    records(house, tx, &before, When::Now)?;
                    continue;
                };
                if feedback.customer != Some(merged) || to == merged {
                    continue;
                }
                let mut feedback = feedback.clone();
                feedback.customer = Some(to);
                feedback.merged_from.extend(passed(tx, merged)?);
                change_customer(house, tx, &before, feedback, What::Merged)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Those through whom something of this customer's comes to where it lives now, itself first.
fn passed(tx: &mut Tx<'_>, merged: EntityId) -> Result<Vec<EntityId>, LedgerError> {
    let mut passed = Vec::new();
    let mut at = merged;
    while let Some(merge) = tx.entity(at)?.and_then(|entity| entity.as_customer()?.merged.clone()) {
        passed.push(at);
        at = merge.into;
    }
    Ok(passed)
}

/// An item is another customer's now.
pub(super) fn change_customer(
    house: &House,
    tx: &mut Tx<'_>,
    before: &Entity,
    feedback: Box<crate::schema::Feedback>,
    what: What,
) -> Result<(), LedgerError> {
    let was = before.as_feedback().and_then(|feedback| feedback.customer);
    let named = |tx: &mut Tx<'_>, id: Option<EntityId>| -> Result<String, LedgerError> {
        let Some(id) = id else { return Ok("nobody".into()) };
        Ok(tx.entity(id)?.map(|entity| called(&entity)).unwrap_or_default())
    };
    let (from, to) = (named(tx, was)?, named(tx, feedback.customer)?);
    let ids = (Value::from(was.map(|id| id.to_string())), Value::from(feedback.customer.map(|id| id.to_string())));
    let note = format!("from {from} to {to}");
    tx.log(before.id, &value_line(house, "customers", what, "customer", ids, note))?;
    let after = Entity { id: before.id, body: Body::Feedback(feedback) };
    tx.put_entity(&after)?;
    follow(house, tx, &after, Some(before), When::Now)
}

/// Undoes a merge: who was merged lives again, with its names, its records and its items, and never is it asked again
/// whether the two are one. Inside: why it cannot be done.
///
/// # Errors
/// A ledger that cannot be read or written.
pub fn undo(house: &House, merged: EntityId, by: &str) -> Result<Result<Merged, String>, LedgerError> {
    let done = house.ledger.transact(|tx| undo_in(house, tx, merged, by))?;
    house.ledger.durable()?;
    Ok(done)
}

pub(super) fn undo_in(
    house: &House,
    tx: &mut Tx<'_>,
    merged: EntityId,
    by: &str,
) -> Result<Result<Merged, String>, LedgerError> {
    let Some(before_lose) = tx.entity(merged)? else { return Ok(Err("it does not exist any more".into())) };
    let Some(merge) = before_lose.as_customer().and_then(|customer| customer.merged.clone()) else {
        return Ok(Err(format!("{} was not merged into another", called(&before_lose))));
    };
    let keep = merge.into;
    let Some(before_keep) = tx.entity(keep)? else {
        return Ok(Err("the one it lives in does not exist any more".into()));
    };
    if before_keep.as_customer().is_some_and(Customer::is_merged) {
        let first = called(&before_keep);
        let way = format!("undo that first: loopd customers split --undo-merge {}", before_keep.short_id());
        return Ok(Err(format!("{first}, into which it was merged, was merged itself\n  = {way}")));
    }
    let mut after_lose = before_lose.clone();
    let (mut after_keep, lines) = give_back(house, tx, &before_keep, &before_lose, &merge, by)?;
    let own: BTreeSet<String> = own_domains(house, tx, &before_keep)?;
    if let (Some(kept), Some(lost)) = (customer_mut(&mut after_keep), customer_mut(&mut after_lose)) {
        kept.absorbed.retain(|id| *id != merged);
        kept.domains.retain(|domain| own.contains(domain) || !lost.domains.contains(domain));
        set_tier(house, kept);
        lost.merged = None;
        lost.parted_from = Some(keep);
    }
    let names = family_names(house, tx, merged)?;
    tx.put_entity(&after_lose)?;
    tx.put_entity(&after_keep)?;
    let kept_names = family_names(house, tx, keep)?;
    for alias in names.difference(&kept_names) {
        if tx.customer_by(alias)? == Some(keep) {
            tx.name_customer(alias, merged)?;
        }
    }
    for (connection, collection) in &merge.handed {
        let at = (connection.as_str(), collection.as_str());
        if may_hand_over(tx, keep, merged, at)? {
            pass(tx, keep, merged, at)?;
        }
    }
    doubt::two(house, tx, keep, merged, by)?;
    for entry in &lines {
        tx.log(keep, entry)?;
    }
    tx.log(keep, &line(house, by, What::Parted, format!("{} is another customer again", called(&before_lose))))?;
    tx.log(merged, &line(house, by, What::Parted, format!("parted from {} again", called(&before_keep))))?;
    note_parting(house, tx, keep, merged, merge.at)?;
    follow(house, tx, &after_keep, Some(&before_keep), When::Now)?;
    follow(house, tx, &after_lose, Some(&before_lose), When::Now)?;
    let text = format!("{} and {} are two again", called(&after_keep), called(&after_lose));
    Ok(Ok(Merged { kept: keep, merged, items: 0, text }))
}

/// The values that a merge brought, taken back wherever nobody has decided otherwise since.
fn give_back(
    house: &House,
    tx: &mut Tx<'_>,
    keep: &Entity,
    lose: &Entity,
    merge: &Merge,
    by: &str,
) -> Result<(Entity, Vec<Entry>), LedgerError> {
    let (now, theirs) = (keep.to_value(), lose.to_value());
    let mut decided = keep.decided().clone();
    let (mut values, mut lines) = (Vec::new(), Vec::new());
    for path in VALUES {
        let stood = merge.took.get(path);
        let since = decided.get(path).is_some_and(|decision| decision.at > merge.at);
        let from_them = stood.is_some() || (now[path] == theirs[path] && !decided.contains_key(path));
        if since || !from_them {
            continue;
        }
        let own = word_of_sources(house, tx, keep.id, path)?;
        let back = match (stood, own) {
            (Some(stood), _) if stood.decision.is_some() => stood.value.clone(),
            (_, Some(own)) => own,
            (Some(stood), None) => stood.value.clone(),
            // Both say the same, and nothing says that it came from there.
            (None, None) => continue,
        };
        match stood.and_then(|stood| stood.decision.clone()) {
            Some(decision) => drop(decided.insert(path.to_owned(), decision)),
            None if stood.is_some() => drop(decided.remove(path)),
            None => {}
        }
        if back != now[path] {
            let note = format!("what came from {} goes back", called(lose));
            lines.push(value_line(house, by, What::Parted, path, (now[path].clone(), back.clone()), note));
            values.push((path.to_owned(), back));
        }
    }
    let mut entity = with_values(keep, &values)?;
    *entity.decided_mut() = decided;
    Ok((entity, lines))
}

/// The domains that a customer has by itself: its sources' and its people's.
pub(crate) fn own_domains(house: &House, tx: &mut Tx<'_>, customer: &Entity) -> Result<BTreeSet<String>, LedgerError> {
    let mut own: BTreeSet<String> = BTreeSet::new();
    if let Some(Value::Array(said)) = word_of_sources(house, tx, customer.id, "domains")? {
        own.extend(said.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    let stated = customer.as_customer().into_iter().flat_map(|customer| customer.aliases.iter().chain(&customer.given));
    own.extend(stated.filter(|alias| alias.kind == crate::schema::AliasKind::Domain).map(|alias| alias.value.clone()));
    Ok(own)
}

/// When the last of those is due whose record holds what this one's is to take and can be only one's (a domain, at some
/// vendors): it is given up before it is taken. `wanted`: what the record should hold; `base`: what it is known to hold.
///
/// # Errors
/// A ledger that cannot be read.
pub(crate) fn goes_after(
    house: &House,
    entity: &Entity,
    (connection, collection): (&str, &str),
    wanted: &BTreeMap<String, Value>,
    base: &Base,
) -> Result<Option<DateTime<Utc>>, LedgerError> {
    // Who lives on in another only gives up.
    if entity.as_customer().is_none_or(Customer::is_merged) {
        return Ok(None);
    }
    let has = |field: &str| texts(base.fields.get(field).map(|field| &field.theirs));
    let takes: BTreeMap<&str, BTreeSet<String>> = wanted
        .iter()
        .filter(|(_, value)| value.is_array())
        .map(|(field, value)| (field.as_str(), &texts(Some(value)) - &has(field)))
        .filter(|(_, takes)| !takes.is_empty())
        .collect();
    // Before it has a record: one that was handed back bears its id until it is written anew, and would be met by it.
    let makes = house.ledger.link(entity.id, connection, collection)?.is_none();
    if takes.is_empty() && !makes {
        return Ok(None);
    }
    let mut due = None;
    for other in kin(house, entity)? {
        let there = house.ledger.base(other, connection, collection)?;
        let handed = makes && there.as_ref().is_some_and(|there| there.written_at.is_none());
        let there = there.unwrap_or_default();
        let effect = house.ledger.effect(other, connection, collection)?;
        let holds = takes.iter().any(|(field, takes)| {
            let stands = texts(there.fields.get(*field).map(|field| &field.theirs));
            let written = texts(effect.as_ref().and_then(|effect| effect.write.fields.get(*field)));
            !takes.is_disjoint(&stands) || !takes.is_disjoint(&written)
        });
        if (holds || handed)
            && let Some(slot) = house.ledger.slot(&sync_lane(connection), &item(other, collection))?
        {
            due = due.max(Some(slot.due));
        }
    }
    Ok(due)
}

fn texts(value: Option<&Value>) -> BTreeSet<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_lowercase).collect()
}

/// Customers with whom this one was ever one, or was ever taken for one.
fn kin(house: &House, entity: &Entity) -> Result<BTreeSet<EntityId>, LedgerError> {
    let mut kin = BTreeSet::new();
    let mut next = vec![entity.id];
    while let Some(id) = next.pop() {
        if kin.len() > MOST_KIN || !kin.insert(id) {
            continue;
        }
        let Some(known) = house.ledger.entity(id)? else { continue };
        let Some(customer) = known.as_customer() else { continue };
        next.extend(customer.absorbed.iter().chain(&customer.parted_from));
        next.extend(customer.merged.as_ref().map(|merge| merge.into));
        // Also those that were parted from it: each pair of which a person has said anything is kept.
        next.extend(house.ledger.doubted_with(id)?);
    }
    kin.remove(&entity.id);
    Ok(kin)
}
