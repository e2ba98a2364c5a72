//! Parting: names that are not this customer's after all go to one of their own, with the sources' records that speak under
//! them and the items that go by them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::merge::{change_customer, undo_in};
use super::{
    VALUES, called, customer_mut, doubt, family, gather, is_nothing, line, names_of, set_tier, survivor, value_line,
    with_values, word_of_sources,
};
use crate::follow::follow;
use crate::house::House;
use crate::ledger::{Base, ENRICH, LedgerError, Link, Tx, What, When};
use crate::recognise::name_customer;
use crate::schema::{Alias, AliasKind, Body, Entity, EntityId, EntityKind, Origin};

/// Items that one piece sorts.
const PIECE: usize = 64;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parted {
    pub from: EntityId,
    /// Those that live of their own now.
    pub into: Vec<EntityId>,
    pub text: String,
}

/// Parts a customer: what goes by these names is another's. Names that came by a merge undo it. Inside: why it cannot be done.
///
/// # Errors
/// A ledger that cannot be read or written.
pub fn part(house: &House, id: EntityId, names: &[Alias], by: &str) -> Result<Result<Parted, String>, LedgerError> {
    let done = house.ledger.transact(|tx| {
        let id = survivor(tx, id)?;
        let mut parted = Parted { from: id, into: Vec::new(), text: String::new() };
        let mut own = Vec::new();
        for alias in names {
            match bearer(house, tx, id, alias)? {
                Some(bearer) if bearer == id => own.push(alias.clone()),
                Some(bearer) if parted.into.contains(&bearer) => {}
                Some(bearer) => match undo_in(house, tx, bearer, by)? {
                    Ok(_) => parted.into.push(bearer),
                    Err(why) => return Ok(Err(why)),
                },
                None => {
                    let way = format!("`loopd customers show {id}` lists its names");
                    return Ok(Err(format!("it does not go by {alias}\n  = {way}")));
                }
            }
        }
        if !own.is_empty() {
            match carve(house, tx, id, &own, by)? {
                Ok(fresh) => parted.into.push(fresh),
                Err(why) => return Ok(Err(why)),
            }
        }
        let mut called_now = Vec::new();
        for id in std::iter::once(&id).chain(&parted.into) {
            called_now.extend(tx.entity(*id)?.map(|entity| called(&entity)));
        }
        parted.text = format!("{} are customers of their own now", called_now.join(" and "));
        Ok(Ok(parted))
    })?;
    house.ledger.durable()?;
    Ok(done)
}

/// Who of a customer's family goes by a name: itself before those that were merged into it.
fn bearer(house: &House, tx: &mut Tx<'_>, id: EntityId, alias: &Alias) -> Result<Option<EntityId>, LedgerError> {
    let family = family(tx, id)?;
    Ok(family.iter().find(|member| names_of(house, member).contains(alias)).map(|member| member.id))
}

/// A source's record of a customer: where it is, its link, and what was agreed on.
type Told = (String, String, Link, Base);

/// Makes a customer of some of another's names.
fn carve(
    house: &House,
    tx: &mut Tx<'_>,
    from: EntityId,
    names: &[Alias],
    by: &str,
) -> Result<Result<EntityId, String>, LedgerError> {
    let Some(before) = tx.entity(from)? else { return Ok(Err("it does not exist any more".into())) };
    let (goes, stays) = told(house, tx, from, names)?;
    let said = |told: &[Told]| told.iter().flat_map(|(.., base)| base.names.clone()).collect::<Vec<Alias>>();
    let (going, staying) = (said(&goes), said(&stays));
    let mut all: Vec<Alias> = names.to_vec();
    all.extend(going.iter().filter(|alias| !staying.contains(alias)).cloned());
    all.sort();
    all.dedup();
    let left = names_of(house, &before);
    let left: Vec<&Alias> = left.iter().filter(|alias| !all.contains(alias) && alias.kind != AliasKind::Name).collect();
    if stays.is_empty() && left.is_empty() {
        let what = "that is all it goes by: nothing would be left";
        return Ok(Err(format!(
            "{what}\n  = name the other part, or give it a name first (`loopd customers alias add`)"
        )));
    }
    let fresh = fresh_id(tx, from, &all)?;
    for (connection, collection, ..) in &goes {
        tx.hand_over(from, fresh, connection, collection)?;
    }
    let entity = new_customer(house, fresh, from, &all, &goes)?;
    let mut after = without(house, tx, &before, &entity, &all, by)?;
    if let Some(customer) = customer_mut(&mut after)
        && goes.iter().any(|told| is_origin(customer.origin.as_ref(), told))
    {
        customer.origin = stays.first().map(origin);
    }
    gather(tx, &mut after)?;
    tx.put_entity(&after)?;
    tx.put_entity(&entity)?;
    for alias in names_of(house, &entity) {
        if tx.customer_by(&alias)? == Some(from) {
            tx.name_customer(&alias, fresh)?;
        }
    }
    // Before the names are gone through, so that what both go by is no doubt.
    doubt::two(house, tx, from, fresh, by)?;
    name_customer(house, tx, Some(&before), &after)?;
    name_customer(house, tx, None, &entity)?;
    let listed: Vec<String> = all.iter().map(Alias::to_string).collect();
    let listed = listed.join(", ");
    tx.log(from, &line(house, by, What::Parted, format!("{listed} went to {}", called(&entity))))?;
    tx.log(fresh, &line(house, by, What::Parted, format!("parted from {}: {listed}", called(&before))))?;
    note_parting(house, tx, from, fresh, house.now())?;
    follow(house, tx, &after, Some(&before), When::Now)?;
    follow(house, tx, &entity, None, When::Now)?;
    Ok(Ok(fresh))
}

/// The sources' records that go with these names, and those that stay: a record goes where its strongest name goes.
fn told(house: &House, tx: &mut Tx<'_>, id: EntityId, names: &[Alias]) -> Result<(Vec<Told>, Vec<Told>), LedgerError> {
    let (mut goes, mut stays) = (Vec::new(), Vec::new());
    for (connection, collection, _) in house.ledger.links(id)? {
        let Some(link) = tx.link(id, &connection, &collection)? else { continue };
        let base = tx.base(id, &connection, &collection)?;
        let Some(strongest) = house.config.customers.rules.order(&base.names).into_iter().next() else { continue };
        let told = (connection, collection, link, base);
        if names.contains(&strongest) { goes.push(told) } else { stays.push(told) }
    }
    goes.sort_by_key(|(_, _, link, _)| link.since);
    stays.sort_by_key(|(_, _, link, _)| link.since);
    Ok((goes, stays))
}

/// An id that follows from whose it was, and that nobody has had.
fn fresh_id(tx: &mut Tx<'_>, from: EntityId, names: &[Alias]) -> Result<EntityId, LedgerError> {
    let first = names.first().map(Alias::to_string).unwrap_or_default();
    let mut time = 0;
    loop {
        let id = EntityId::derive("customers", "parted", &format!("{from} {first} {time}"));
        if tx.entity(id)?.is_none() {
            return Ok(id);
        }
        time += 1;
    }
}

fn new_customer(
    house: &House,
    id: EntityId,
    from: EntityId,
    names: &[Alias],
    told: &[Told],
) -> Result<Entity, LedgerError> {
    let mut values: Vec<(String, Value)> = Vec::new();
    for path in VALUES {
        let said = told.iter().filter_map(|(.., base)| base.drawn.get(path)).find(|said| !is_nothing(said));
        values.extend(said.map(|said| (path.to_owned(), said.clone())));
    }
    let mut entity = with_values(&Entity::empty(id, EntityKind::Customer), &values)?;
    if let Body::Customer(customer) = &mut entity.body {
        customer.aliases = names.to_vec();
        customer.given = names.to_vec();
        let domains = names.iter().filter(|alias| alias.kind == AliasKind::Domain);
        customer.domains = domains.map(|alias| alias.value.clone()).collect();
        customer.parted_from = Some(from);
        customer.origin = told.first().map(origin);
        if customer.name.is_none() {
            customer.name =
                customer.domains.first().cloned().or_else(|| names.first().map(|alias| alias.value.clone()));
        }
        set_tier(house, customer);
    }
    Ok(entity)
}

fn origin(told: &Told) -> Origin {
    let (connection, collection, link, _) = told;
    Origin {
        connection: connection.clone(),
        collection: collection.clone(),
        id: link.id.clone(),
        url: link.url.clone(),
    }
}

fn is_origin(origin: Option<&Origin>, told: &Told) -> bool {
    let (connection, collection, link, _) = told;
    origin.is_some_and(|origin| {
        origin.connection == *connection && origin.collection == *collection && origin.id == link.id
    })
}

/// The customer without what went: its names, and the values that only the records which went had said.
fn without(
    house: &House,
    tx: &mut Tx<'_>,
    before: &Entity,
    went: &Entity,
    names: &[Alias],
    by: &str,
) -> Result<Entity, LedgerError> {
    let (now, theirs) = (before.to_value(), went.to_value());
    let mut values = Vec::new();
    for path in VALUES {
        if before.decided().contains_key(path) || is_nothing(&theirs[path]) || now[path] != theirs[path] {
            continue;
        }
        let own = word_of_sources(house, tx, before.id, path)?.unwrap_or_default();
        if own != now[path] {
            let note = format!("it was said of {}", called(went));
            tx.log(before.id, &value_line(house, by, What::Parted, path, (now[path].clone(), own.clone()), note))?;
            values.push((path.to_owned(), own));
        }
    }
    let mut after = with_values(before, &values)?;
    if let Some(customer) = customer_mut(&mut after) {
        customer.aliases.retain(|alias| !names.contains(alias));
        customer.given.retain(|alias| !names.contains(alias));
        let more: Vec<Alias> = names.iter().filter(|alias| !customer.refused.contains(alias)).cloned().collect();
        customer.refused.extend(more);
        if customer.name.is_none() {
            let taken = |domain: &&String| names.iter().any(|alias| alias.value == **domain);
            let name = customer.domains.iter().find(|domain| !taken(domain)).cloned();
            customer.name = name.or_else(|| customer.aliases.first().map(|alias| alias.value.clone()));
        }
        set_tier(house, customer);
    }
    Ok(after)
}

/// Customers that were parted from this one since its items were last gone through, and what was before which moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Partings(Vec<(EntityId, DateTime<Utc>)>);

fn partings_of(id: EntityId) -> String {
    format!("parted from {id}")
}

/// Orders the items of `from` to be gone through: `parted` has left it. `since`: they were one from then on.
pub(super) fn note_parting(
    house: &House,
    tx: &mut Tx<'_>,
    from: EntityId,
    parted: EntityId,
    since: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let mut partings: Partings = tx.meta(&partings_of(from))?.unwrap_or_default();
    partings.0.push((parted, since));
    tx.set_meta(&partings_of(from), &partings)?;
    tx.queue(ENRICH, 1, from.as_bytes(), When::Now, house.now())
}

/// Goes through the items of a customer from whom others were parted: what was theirs goes back, and what goes by their
/// names is recognised anew. Called from the enrich room, until it is done.
///
/// # Errors
/// A ledger that cannot be read or written.
pub fn sort_items(house: &House, from: EntityId) -> Result<(), LedgerError> {
    let partings: Partings = house.ledger.transact(|tx| tx.meta(&partings_of(from)))?.unwrap_or_default();
    if partings.0.is_empty() {
        return Ok(());
    }
    for piece in house.ledger.referrers(from)?.chunks(PIECE) {
        house.ledger.transact(|tx| {
            for id in piece {
                sort(house, tx, from, *id, &partings)?;
            }
            Ok(())
        })?;
    }
    house.ledger.transact(|tx| {
        let mut left: Partings = tx.meta(&partings_of(from))?.unwrap_or_default();
        // Another may have been parted meanwhile.
        left.0.retain(|parting| !partings.0.contains(parting));
        tx.set_meta(&partings_of(from), &left)
    })
}

fn sort(house: &House, tx: &mut Tx<'_>, from: EntityId, id: EntityId, partings: &Partings) -> Result<(), LedgerError> {
    let Some(before) = tx.entity(id)? else { return Ok(()) };
    let Body::Feedback(feedback) = &before.body else { return Ok(()) };
    if feedback.customer != Some(from) {
        return Ok(());
    }
    let theirs = partings.0.iter().find(|(parted, _)| feedback.merged_from.contains(parted));
    let Some((parted, since)) = theirs else {
        if !feedback.decided.contains_key("customer") {
            tx.queue(ENRICH, 0, id.as_bytes(), When::Now, house.now())?;
        }
        return Ok(());
    };
    let mut back = feedback.clone();
    back.merged_from.retain(|merged| merged != parted);
    // Somebody has said since then whose it is.
    if feedback.decided.get("customer").is_some_and(|decision| decision.at > *since) {
        return tx.put_entity(&Entity { id, body: Body::Feedback(back) });
    }
    back.customer = Some(survivor(tx, *parted)?);
    if back.customer == Some(from) {
        back.merged_from.clone_from(&feedback.merged_from);
        return Ok(());
    }
    change_customer(house, tx, &before, back, What::Parted)
}
