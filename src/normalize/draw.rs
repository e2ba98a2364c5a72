//! From a source's record to an entity: the mapping draws fields, and only those that the source changed since it last
//! spoke are taken over. What a person decided stays.

use std::collections::BTreeMap;

use connectors::Key;
use serde_json::Value;

use super::{Failed, Refused, text};
use crate::customers::{self, gather, set_tier};
use crate::follow::follow;
use crate::house::House;
use crate::ledger::{ENRICH, Entry, Input, LedgerError, Link, LinkState, Tx, What, When, fetch_item, fetch_lane};
use crate::mapping::{Drawn, FromMapping};
use crate::recognise::name_customer;
use crate::schema::{Alias, Body, Customer, Entity, EntityId, EntityKind, Feedback, Origin, Path, Status, Turn};

pub(super) fn draw(house: &House, tx: &mut Tx<'_>, mapping: &FromMapping, input: &Input) -> Result<(), Failed> {
    let refused = |field: Option<String>, cause: String| {
        Failed::Refused(Refused { field, cause, mapping: Some(mapping.digest()) })
    };
    let Some(body) = &input.record.body else {
        return Ok(withdraw(house, tx, mapping, input)?);
    };
    let drawn = mapping.draw(body).map_err(|error| refused(Some(error.field.clone()), error.to_string()))?;
    if drawn.skip {
        return Ok(());
    }
    if drawn.taken_back {
        return Ok(take_back(house, tx, input)?);
    }
    if let Some(part_of) = &mapping.part_of {
        let parent = drawn
            .part_of
            .clone()
            .ok_or_else(|| refused(Some("part_of".into()), "it does not say what it is part of".into()))?;
        return part(house, tx, mapping, &Key::new(&part_of.collection, parent), input, &drawn);
    }
    whole(house, tx, mapping, input, &drawn).map_err(|error| match error {
        Whole::Typed { field, cause } => refused(Some(field), cause),
        Whole::Ledger(error) => Failed::Ledger(error),
    })
}

enum Whole {
    Typed { field: String, cause: String },
    Ledger(LedgerError),
}

impl From<LedgerError> for Whole {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

fn whole(house: &House, tx: &mut Tx<'_>, mapping: &FromMapping, input: &Input, drawn: &Drawn) -> Result<(), Whole> {
    let (connection, key) = (&input.connection, &input.record.key);
    let now = house.now();
    let drawn = &Drawn { hints: house.config.customers.rules.order(&drawn.hints), ..drawn.clone() };
    let id = resolve(house, tx, mapping, input, drawn)?;
    let before = tx.entity(id)?;
    let mut entity = before.clone().unwrap_or_else(|| Entity::empty(id, mapping.entity));
    let mut base = tx.base(id, connection, &key.collection)?;
    if matches!((input.record.version, base.version), (Some(new), Some(old)) if new.0 < old) {
        return Ok(()); // A read that was slower than the news.
    }
    let said_before = base.drawn.clone();
    let (changed, lines) = overlay(house, connection, &entity, &said_before, drawn, before.is_none())?;
    if let Some(changed) = changed {
        entity = changed;
    }
    let origin = Origin {
        connection: connection.clone(),
        collection: key.collection.clone(),
        id: key.id.clone(),
        url: input.record.url.clone(),
    };
    if before.is_none() {
        entity.set_origin(origin);
        if let Body::Feedback(feedback) = &mut entity.body {
            // A source that does not say when: it came when it came in, and a repeat changes nothing of that.
            feedback.received_at.get_or_insert(input.seen_at);
        }
    }
    restore(&mut entity);
    let dropped = match mapping.partial {
        true => Vec::new(),
        false => no_longer_said(house, id, (connection, &key.collection), &base.names, drawn)?,
    };
    take_names(house, &mut entity, drawn, &dropped);
    gather(tx, &mut entity)?;
    if mapping.entity == EntityKind::Customer {
        if !mapping.partial {
            base.names.clear();
        }
        let known: Vec<Alias> = drawn.hints.iter().filter(|alias| !base.names.contains(alias)).cloned().collect();
        base.names.extend(known);
    }
    let said = drawn.fields.iter().map(|(path, value)| (path.dotted(), value.clone()));
    if mapping.partial {
        base.drawn.extend(said);
    } else {
        base.drawn = said.collect();
    }
    base.version = input.record.version.map(|version| version.0).or(base.version);

    let link = tx.link(id, connection, &key.collection)?;
    let url = input.record.url.clone();
    if link
        .as_ref()
        .is_none_or(|link| link.id != key.id || link.url != url || matches!(link.state, LinkState::Gone { .. }))
    {
        let since = link.as_ref().map_or(now, |link| link.since);
        let link = Link { id: key.id.clone(), url, state: LinkState::Live, generation: 0, since };
        tx.put_link(id, connection, &key.collection, &link)?;
    }
    tx.put_base(id, connection, &key.collection, &base)?;
    if before.is_none() {
        tx.log(
            id,
            &entry(now, connection, What::Created, Some(key.collection.clone()), Some(Value::from(key.id.as_str()))),
        )?;
    }
    for line in &lines {
        tx.log(id, line)?;
    }
    if before.as_ref() != Some(&entity) {
        tx.put_entity(&entity)?;
        name_customer(house, tx, before.as_ref(), &entity)?;
        match &entity.body {
            // Recognising the customer and classifying come first; then its records.
            Body::Feedback(feedback) => {
                tx.queue(ENRICH, 0, id.as_bytes(), When::Now, now)?;
                let was = before.as_ref().and_then(Entity::as_feedback);
                if was.is_some_and(|was| was.status != feedback.status || was.withdrawn != feedback.withdrawn) {
                    // The enrich room would not see what moved.
                    follow(house, tx, &entity, before.as_ref(), When::Now)?;
                }
            }
            Body::Customer(_) | Body::Theme(_) => follow(house, tx, &entity, before.as_ref(), When::Now)?,
        }
    }
    pass_on(house, tx, connection, &entity, &said_before, drawn)?;
    if before.is_none() {
        for part in house.ledger.parked(connection, key)? {
            tx.unpark(key, &part);
            // Its own edit or deletion may have come since.
            if tx.is_newest(&part)? {
                tx.reingest(&part)?;
            }
        }
    }
    Ok(())
}

/// What a source says of a customer that was merged is said of the one in which it lives.
fn pass_on(
    house: &House,
    tx: &mut Tx<'_>,
    by: &str,
    entity: &Entity,
    said_before: &BTreeMap<String, Value>,
    drawn: &Drawn,
) -> Result<(), Whole> {
    let listed = |said: Option<&Value>| -> Vec<String> {
        said.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let says = listed(drawn.fields.iter().find(|(path, _)| path.dotted() == "domains").map(|(_, said)| said));
    let gone: Vec<String> =
        listed(said_before.get("domains")).into_iter().filter(|domain| !says.contains(domain)).collect();
    let mut from = entity.as_customer().and_then(|customer| customer.merged.as_ref()).map(|merge| merge.into);
    while let Some(id) = from {
        let Some(before) = tx.entity(id)? else { return Ok(()) };
        let mut drawn = drawn.clone();
        // These are made one, and not taken from either.
        drawn.fields.retain(|path, _| path.dotted() != "domains");
        let (changed, lines) = overlay(house, by, &before, said_before, &drawn, false)?;
        let mut after = changed.unwrap_or_else(|| before.clone());
        if let Body::Customer(customer) = &mut after.body {
            if !gone.is_empty() {
                let own = customers::own_domains(house, tx, &before)?;
                customer.domains.retain(|domain| own.contains(domain) || !gone.contains(domain));
            }
            set_tier(house, customer);
        }
        gather(tx, &mut after)?;
        for line in &lines {
            tx.log(id, line)?;
        }
        if after != before {
            tx.put_entity(&after)?;
            name_customer(house, tx, Some(&before), &after)?;
            follow(house, tx, &after, Some(&before), When::Now)?;
        }
        from = after.as_customer().and_then(|customer| customer.merged.as_ref()).map(|merge| merge.into);
    }
    Ok(())
}

/// The entity that this record speaks of.
fn resolve(
    house: &House,
    tx: &mut Tx<'_>,
    mapping: &FromMapping,
    input: &Input,
    drawn: &Drawn,
) -> Result<EntityId, LedgerError> {
    let (connection, key) = (&input.connection, &input.record.key);
    if let Some(id) = tx.linked(connection, &key.collection, &key.id)? {
        return Ok(id);
    }
    if mapping.entity == EntityKind::Customer {
        // Another source of a customer that is known by one of these names. A second record of the same source is
        // another customer, whatever its name: two are never made one without a person.
        let certain = drawn.hints.iter().filter(|alias| house.config.customers.rules.is_certain(alias));
        for alias in certain {
            let Some(id) = tx.customer_by(alias)? else { continue };
            let id = customers::survivor(tx, id)?;
            let mut has_one = false;
            for member in customers::family(tx, id)? {
                has_one |= tx.link(member.id, connection, &key.collection)?.is_some();
            }
            if !has_one {
                return Ok(id);
            }
        }
    }
    Ok(EntityId::derive(connection, &key.collection, &key.id))
}

/// The entity with what the source changed, and the log of it; `None` when it says nothing new.
fn overlay(
    house: &House,
    by: &str,
    entity: &Entity,
    base: &BTreeMap<String, Value>,
    drawn: &Drawn,
    new: bool,
) -> Result<(Option<Entity>, Vec<Entry>), Whole> {
    let mut value = entity.to_value();
    let blank = Entity::empty(entity.id, entity.kind()).to_value();
    let mut lines = Vec::new();
    let mut touched = None;
    for (path, said) in &drawn.fields {
        let dotted = path.dotted();
        let before = base.get(&dotted);
        if before == Some(said) || (before.is_none() && said.is_null()) {
            continue;
        }
        let current = path.get(&value).clone();
        if current == *said {
            continue;
        }
        // A person's word stands against the source's, and what one source said stands against another that comes later.
        // (A domain in the place of a name was said by nobody.)
        let guessed = dotted == "name" && entity.as_customer().is_some_and(Customer::is_nameless);
        let said_by_another = before.is_none() && !new && current != *path.get(&blank) && !guessed;
        if entity.decided().contains_key(&dotted) || said_by_another {
            let mut line = entry(house.now(), by, What::Conflict, Some(dotted), Some(current.clone()));
            line.old = Some(said.clone());
            line.note = Some("the source says otherwise; what stands here stays".into());
            lines.push(line);
            continue;
        }
        if !new {
            let mut line = entry(house.now(), by, What::Drawn, Some(dotted.clone()), Some(said.clone()));
            line.old = Some(current);
            lines.push(line);
        }
        path.set(&mut value, said.clone());
        touched = Some(dotted);
    }
    let Some(field) = touched else { return Ok((None, lines)) };
    // serde's message may quote the value: name the field, not the text.
    let changed = Entity::from_value(entity.id, entity.kind(), value).map_err(|error| Whole::Typed {
        field: culprit(entity, drawn).unwrap_or(field),
        cause: format!("the value drawn is of another type than the schema's ({:?})", error.classify()),
    })?;
    Ok((Some(changed), lines))
}

/// The drawn field that the schema refuses.
fn culprit(entity: &Entity, drawn: &Drawn) -> Option<String> {
    let refuses = |(path, said): &(&Path, &Value)| {
        let mut value = entity.to_value();
        path.set(&mut value, (*said).clone());
        Entity::from_value(entity.id, entity.kind(), value).is_err()
    };
    drawn.fields.iter().find(refuses).map(|(path, _)| path.dotted())
}

/// It is there again.
fn restore(entity: &mut Entity) {
    match &mut entity.body {
        Body::Feedback(body) => body.withdrawn = false,
        Body::Customer(body) => body.withdrawn = false,
        Body::Theme(body) => body.withdrawn = false,
    }
}

/// Names of a customer that this source said, says no more, and that no other of its sources says.
fn no_longer_said(
    house: &House,
    id: EntityId,
    this: (&str, &str),
    said: &[Alias],
    drawn: &Drawn,
) -> Result<Vec<Alias>, LedgerError> {
    let mut dropped: Vec<Alias> = said.iter().filter(|alias| !drawn.hints.contains(alias)).cloned().collect();
    if dropped.is_empty() {
        return Ok(dropped);
    }
    for (connection, collection, _) in house.ledger.links(id)? {
        if (connection.as_str(), collection.as_str()) != this {
            let other = house.ledger.base(id, &connection, &collection)?.unwrap_or_default();
            dropped.retain(|alias| !other.names.contains(alias));
        }
    }
    Ok(dropped)
}

fn take_names(house: &House, entity: &mut Entity, drawn: &Drawn, dropped: &[Alias]) {
    match &mut entity.body {
        Body::Feedback(feedback) => feedback.hints.clone_from(&drawn.hints),
        Body::Customer(customer) => {
            customer.aliases.retain(|alias| !dropped.contains(alias));
            for alias in &drawn.hints {
                if !customer.aliases.contains(alias) {
                    customer.aliases.push(alias.clone());
                }
            }
            set_tier(house, customer);
        }
        Body::Theme(_) => {}
    }
}

/// Deleted at its source: what was said stays known, and is marked.
fn withdraw(house: &House, tx: &mut Tx<'_>, mapping: &FromMapping, input: &Input) -> Result<(), LedgerError> {
    let (connection, key) = (&input.connection, &input.record.key);
    let now = house.now();
    if mapping.part_of.is_some() {
        return remove_turn(house, tx, input);
    }
    let Some(id) = tx.linked(connection, &key.collection, &key.id)? else { return Ok(()) };
    let (Some(before), Some(mut link)) = (tx.entity(id)?, tx.link(id, connection, &key.collection)?) else {
        return Ok(());
    };
    if !link.is_live() {
        return Ok(());
    }
    link.state = LinkState::Gone { at: now };
    tx.put_link(id, connection, &key.collection, &link)?;
    tx.log(id, &entry(now, connection, What::GoneThere, Some(key.collection.clone()), None))?;
    let mut entity = before.clone();
    let came_from_here = |origin: &Option<Origin>| {
        origin.as_ref().is_some_and(|origin| origin.connection == *connection && origin.id == key.id)
    };
    match &mut entity.body {
        Body::Feedback(body) if came_from_here(&body.origin) => body.withdrawn = true,
        Body::Customer(body) if came_from_here(&body.origin) => body.withdrawn = true,
        Body::Theme(body) if came_from_here(&body.origin) => body.withdrawn = true,
        _ => {}
    }
    tx.put_entity(&entity)?;
    follow(house, tx, &entity, Some(&before), When::Now)
}

/// What a mapping draws of a record that its source takes back.
const TAKEN_BACK: &str = "withdrawn";

/// Its source takes back what it gave (a reaction was removed, a label): as if it had never been said, unless somebody has worked on
/// it meanwhile. Then it stays, and the log says why. What was never drawn needs no taking back.
fn take_back(house: &House, tx: &mut Tx<'_>, input: &Input) -> Result<(), LedgerError> {
    let (connection, key) = (&input.connection, &input.record.key);
    let Some(id) = tx.linked(connection, &key.collection, &key.id)? else { return Ok(()) };
    let Some(before) = tx.entity(id)? else { return Ok(()) };
    let mut base = tx.base(id, connection, &key.collection)?;
    if matches!((input.record.version, base.version), (Some(new), Some(old)) if new.0 < old) {
        return Ok(());
    }
    if base.drawn.insert(TAKEN_BACK.into(), Value::Bool(true)) == Some(Value::Bool(true)) {
        return Ok(()); // Heard already, and decided then.
    }
    base.version = input.record.version.map(|version| version.0).or(base.version);
    tx.put_base(id, connection, &key.collection, &base)?;
    let mut entity = before.clone();
    let Body::Feedback(feedback) = &mut entity.body else { return Ok(()) };
    let from_here =
        feedback.origin.as_ref().is_some_and(|origin| origin.connection == *connection && origin.id == key.id);
    if !from_here || feedback.withdrawn {
        return Ok(());
    }
    let line = |what, note: String| Entry {
        note: Some(note),
        old: Some(Value::Bool(false)),
        ..entry(house.now(), connection, what, Some(TAKEN_BACK.into()), Some(Value::Bool(true)))
    };
    if let Some(work) = work_on(feedback) {
        return tx.log(id, &line(What::Conflict, format!("the source takes it back; it stays, because {work}")));
    }
    feedback.withdrawn = true;
    tx.log(id, &line(What::Drawn, "the source takes it back, and nobody has worked on it".into()))?;
    tx.put_entity(&entity)?;
    follow(house, tx, &entity, Some(&before), When::Now)
}

/// What people have made of a piece of feedback, if they have. What models said and where it was copied to is no work of theirs.
fn work_on(feedback: &Feedback) -> Option<String> {
    if feedback.status != Status::New {
        return Some(format!("its status is {}", feedback.status.name()));
    }
    let decided: Vec<&str> = feedback.decided.keys().map(String::as_str).collect();
    (!decided.is_empty()).then(|| format!("somebody has decided {}", decided.join(", ")))
}

/// A part (a comment) becomes a turn of its parent's thread; it waits if the parent is not known yet.
fn part(
    house: &House,
    tx: &mut Tx<'_>,
    mapping: &FromMapping,
    parent: &Key,
    input: &Input,
    drawn: &Drawn,
) -> Result<(), Failed> {
    let connection = &input.connection;
    let Some(id) = tx.linked(connection, &parent.collection, &parent.id)? else {
        tx.park(parent, input)?;
        tx.queue(&fetch_lane(connection), 0, &fetch_item(parent), When::Now, house.now())?;
        return Ok(());
    };
    let Some(before) = tx.entity(id)? else { return Ok(()) };
    let fields: serde_json::Map<String, Value> = drawn
        .fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(path, value)| (path.dotted(), value.clone()))
        .collect();
    let mut turn: Turn = serde_json::from_value(Value::Object(fields)).map_err(|error| {
        Failed::Refused(Refused {
            field: None,
            cause: format!("the part drawn is not a turn of a thread ({:?}): it needs id, at, text", error.classify()),
            mapping: Some(mapping.digest()),
        })
    })?;
    turn.id.clone_from(&input.record.key.id);
    let mut entity = before.clone();
    let Body::Feedback(feedback) = &mut entity.body else { return Ok(()) };
    match feedback.thread.iter_mut().find(|known| known.id == turn.id) {
        Some(known) => *known = turn,
        None => feedback.thread.push(turn),
    }
    feedback.thread.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    if entity != before {
        // So that its deletion, which names only itself, finds the thread.
        tx.put_part(connection, &input.record.key, id)?;
        tx.put_entity(&entity)?;
        follow(house, tx, &entity, Some(&before), When::Now)?;
    }
    Ok(())
}

fn remove_turn(house: &House, tx: &mut Tx<'_>, input: &Input) -> Result<(), LedgerError> {
    let Some(id) = tx.part(&input.connection, &input.record.key)? else { return Ok(()) };
    let Some(before) = tx.entity(id)? else { return Ok(()) };
    let mut entity = before.clone();
    if let Body::Feedback(feedback) = &mut entity.body {
        feedback.thread.retain(|turn| turn.id != input.record.key.id);
    }
    if entity == before {
        return Ok(());
    }
    tx.put_entity(&entity)?;
    follow(house, tx, &entity, Some(&before), When::Now)
}

fn entry(at: chrono::DateTime<chrono::Utc>, by: &str, what: What, field: Option<String>, new: Option<Value>) -> Entry {
    let new = new.filter(|value| !value.is_string() || text(value).is_some());
    Entry { at, by: by.into(), what, field, old: None, new, note: None }
}
