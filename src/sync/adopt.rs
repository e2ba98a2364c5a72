//! Rows that people made, where mappings say that such rows become entities (themes begin that way). A row that names a
//! customer who is known already is theirs: nobody becomes two.

use chrono::TimeDelta;
use connectors::Sink;
use serde_json::{Map, Value};

use super::follow::{follow, linked};
use super::observe::{ObserveError, agreed_after, line, observe};
use crate::house::House;
use crate::ledger::{Base, FieldBase, Input, LedgerError, Link, LinkState, Tx, What, When};
use crate::mapping::{Flow, IntoMapping};
use crate::schema::{Alias, AliasKind, Body, Decision, Entity, EntityId, Origin};

/// A row that people made where mappings say that such rows become entities.
pub fn adopt(house: &House, tx: &mut Tx<'_>, mapping: &IntoMapping, input: &Input) -> Result<(), ObserveError> {
    let (connection, collection) = (&mapping.connection, &mapping.collection);
    let record = &input.record;
    let (Some(theirs), Some(sink)) = (
        record.body.as_ref().and_then(Value::as_object),
        house.connections.get(connection).and_then(|open| open.connector.sink()),
    ) else {
        return Ok(());
    };
    let now = house.now();
    let id = EntityId::derive(connection, collection, &record.key.id);
    let mut value = Entity::empty(id, mapping.entity).to_value();
    let mut takes = Vec::new();
    let mut base = Base { version: record.version.map(|version| version.0), ..Base::default() };
    for (name, lens) in &mapping.fields {
        let seen = lens.settled(sink.canonical(collection, name, theirs.get(name).cloned().unwrap_or_default()));
        if seen.is_null() {
            continue;
        }
        base.fields.insert(name.clone(), FieldBase { theirs: seen.clone(), ..FieldBase::default() });
        let path = lens.path.as_ref().filter(|_| lens.flow != Flow::Push);
        if let Some(path) = path {
            let inward = lens
                .read_back(&seen)
                .map_err(|error| ObserveError::Refused { field: name.clone(), cause: error.to_string() })?;
            path.set(&mut value, inward);
            takes.push((name.clone(), path.dotted()));
        }
    }
    if takes.is_empty() {
        return Ok(()); // An empty row is somebody about to type.
    }
    let mut entity = Entity::from_value(id, mapping.entity, value)
        .map_err(|error| ObserveError::Refused { field: takes[0].0.clone(), cause: error.to_string() })?;
    for (_, path) in &takes {
        entity.decided_mut().insert(path.clone(), Decision { by: connection.clone(), at: now });
    }
    let origin = Origin {
        connection: connection.clone(),
        collection: collection.clone(),
        id: record.key.id.clone(),
        url: record.url.clone(),
    };
    entity.set_origin(origin);
    if let Body::Customer(customer) = &mut entity.body
        && customer.domains.is_empty()
    {
        customer.domains = domains_of(sink, mapping, theirs);
    }
    let agreed = agreed_after(house, mapping, &entity)?;
    for (name, _) in &takes {
        if let (Some(field), Some(ours)) = (base.fields.get_mut(name), agreed.get(name)) {
            field.ours = ours.clone();
        }
    }
    let link =
        Link { id: record.key.id.clone(), url: record.url.clone(), state: LinkState::Live, generation: 0, since: now };
    let twice = format!("twice {collection} {}", record.key.id);
    tx.clear(connection, &twice)?;
    match known_customer(house, tx, mapping, &entity)? {
        Whose::Nobodys => {}
        Whose::Theirs(known) => {
            // They take over what a person typed, as from any row; what differs is merged at once.
            let note = "a row that a person made there, of a customer who is known by its name";
            tx.put_link(known.id, connection, collection, &link)?;
            tx.log(known.id, &line(now, connection, What::Linked, collection, note))?;
            observe(house, tx, mapping, &known, input)?;
            return Ok(linked(house, tx, &known)?);
        }
        Whose::Another(known) => {
            let what = format!(
                "row {} names {}, which has another row there: it is left alone; delete one of them",
                record.key.id,
                known.short_id()
            );
            tx.raise(connection, &twice, &what, false, now)?;
            return Ok(());
        }
    }
    tx.put_entity(&entity)?;
    tx.put_link(id, connection, collection, &link)?;
    tx.put_base(id, connection, collection, &base)?;
    tx.log(id, &line(now, connection, What::Created, collection, "a row that a person made there"))?;
    crate::recognise::name_customer(house, tx, None, &entity)?;
    let settle = When::Settled(TimeDelta::seconds(house.config.sync.settle_seconds.into()));
    Ok(follow(house, tx, &entity, None, settle)?)
}

/// Whose row it is that a person made.
enum Whose {
    Nobodys,
    /// A known customer's, who has none there yet.
    Theirs(Box<Entity>),
    /// A known customer's, who has one.
    Another(Box<Entity>),
}

/// The customer who is known by a name that a person's row bears: what its name column says, and its domains.
fn known_customer(house: &House, tx: &mut Tx<'_>, mapping: &IntoMapping, row: &Entity) -> Result<Whose, LedgerError> {
    let (connection, collection) = (&mapping.connection, &mapping.collection);
    let Some(customer) = row.as_customer() else { return Ok(Whose::Nobodys) };
    let domains = customer.domains.iter().filter_map(|domain| Alias::new(AliasKind::Domain, domain));
    let name = customer.name.as_deref().and_then(|name| Alias::new(AliasKind::Name, name));
    for alias in domains.chain(name).filter(|alias| house.config.customers.rules.admits(alias)) {
        let Some(id) = tx.customer_by(&alias)? else { continue };
        let id = crate::customers::survivor(tx, id)?;
        let Some(known) = tx.entity(id)?.map(Box::new) else { continue };
        let elsewhere = known.as_customer().is_some_and(|known| !known.domains.is_empty());
        if alias.kind == AliasKind::Name && elsewhere && !customer.domains.is_empty() {
            continue; // A namesake: it has other domains.
        }
        let has = tx.link(id, connection, collection)?.is_some() || tx.effect(id, connection, collection)?.is_some();
        return Ok(if has { Whose::Another(known) } else { Whose::Theirs(known) });
    }
    Ok(Whose::Nobodys)
}

/// The domains that stand in a person's row, in a column that loopd would fill with them.
fn domains_of(sink: &dyn Sink, mapping: &IntoMapping, theirs: &Map<String, Value>) -> Vec<String> {
    let mut domains = Vec::new();
    for (field, _) in mapping.fields.iter().filter(|(_, lens)| lens.speaks_of("domains")) {
        let seen = sink.canonical(&mapping.collection, field, theirs.get(field).cloned().unwrap_or_default());
        let texts = seen.as_array().map_or(std::slice::from_ref(&seen), Vec::as_slice);
        let words = texts.iter().filter_map(Value::as_str).flat_map(|text| text.split([',', ';', ' ', '\n']));
        domains.extend(words.filter_map(|word| Some(Alias::new(AliasKind::Domain, word)?.value)));
    }
    domains
}
