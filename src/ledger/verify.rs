//! The ledger's laws, checked over every row.

use std::collections::BTreeSet;

use serde::Serialize;

use super::records::{Base, Condition, Dead, Doubt, Effect, Entry, Input, Link, Outgoing, Position, Question, Seen};
use super::store::Tree;
use super::work::Slot;
use super::{Ledger, LedgerError, decode, keys, raw, usage};
use crate::schema::EntityId;

/// A law that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    pub tree: &'static str,
    pub row: String,
    pub law: String,
}

/// Whether a row can be read.
type Check = fn(&[u8]) -> Result<(), LedgerError>;

/// Looks at every row. An empty answer is a sound ledger. Where rows cannot be read, that is all that is told.
pub fn verify(ledger: &Ledger) -> Result<Vec<Broken>, LedgerError> {
    let mut broken = Vec::new();
    let mut note = |tree: Tree, row: String, law: &str| broken.push(Broken { tree: tree.name(), row, law: law.into() });
    for tree in Tree::ALL {
        if let Err(error) = ledger.each(tree, &[], |_, _| Ok(true)) {
            note(tree, "-".into(), &format!("every row can be read: {error}"));
        }
    }
    if !broken.is_empty() {
        return Ok(broken);
    }

    let mut note = |tree: Tree, row: String, law: &str| broken.push(Broken { tree: tree.name(), row, law: law.into() });
    let mut entities = BTreeSet::new();
    let mut refs = BTreeSet::new();

    ledger.each(Tree::Entities, &[], |key, value| {
        let Some((id, _)) = keys::read_entity(key) else {
            note(Tree::Entities, format!("{key:02x?}"), "a key is an entity id");
            return Ok(true);
        };
        match decode(Tree::Entities, value).and_then(|stored| super::entity_from(id, stored)) {
            Ok(entity) => {
                refs.extend(entity.refers_to().into_iter().map(|to| (to, id)));
                entities.insert(id);
            }
            Err(error) => note(Tree::Entities, id.to_string(), &error.to_string()),
        }
        Ok(true)
    })?;

    for (to, from) in &refs {
        if !entities.contains(to) {
            note(Tree::Entities, from.to_string(), &format!("it names {to}, which does not exist"));
        }
        if ledger.store().get(Tree::Refs, &keys::pair(*to, *from))?.is_none() {
            note(Tree::Refs, format!("{to} <- {from}"), "every reference has its inverse");
        }
    }
    ledger.each(Tree::Refs, &[], |key, _| {
        let pair = keys::read_entity(key).and_then(|(to, rest)| Some((to, keys::read_entity(rest)?.0)));
        if !pair.is_some_and(|pair| refs.contains(&pair)) {
            note(Tree::Refs, format!("{pair:?}"), "every inverse has its reference");
        }
        Ok(true)
    })?;

    ledger.each(Tree::Links, &[], |key, value| {
        let Some((id, connection, collection)) = entity_place(key) else {
            note(Tree::Links, format!("{key:02x?}"), "a key is entity, connection, collection");
            return Ok(true);
        };
        let row = format!("{id} in {connection}.{collection}");
        if !entities.contains(&id) {
            note(Tree::Links, row.clone(), "no link without its entity");
        }
        match decode::<Link>(Tree::Links, value) {
            Ok(link) => {
                if ledger.linked(&connection, &collection, &link.id)? != Some(id) {
                    note(Tree::Links, row, "the inverse names the same entity");
                }
            }
            Err(error) => note(Tree::Links, row, &error.to_string()),
        }
        Ok(true)
    })?;
    ledger.each(Tree::Linked, &[], |key, value| {
        let Some([connection, collection, outside]) =
            keys::read_texts(key).and_then(|parts| <[String; 3]>::try_from(parts).ok())
        else {
            note(Tree::Linked, format!("{key:02x?}"), "a key is connection, collection, outside id");
            return Ok(true);
        };
        let row = format!("{connection}.{collection} {outside}");
        match decode::<EntityId>(Tree::Linked, value) {
            Ok(id) => {
                if ledger.link(id, &connection, &collection)?.is_none_or(|link| link.id != outside) {
                    note(Tree::Linked, row, "the link names the same record");
                }
            }
            Err(error) => note(Tree::Linked, row, &error.to_string()),
        }
        Ok(true)
    })?;

    for (tree, law) in [(Tree::Bases, "no base without its link"), (Tree::Effects, "no effect without its entity")] {
        ledger.each(tree, &[], |key, value| {
            let Some((id, connection, collection)) = entity_place(key) else {
                note(tree, format!("{key:02x?}"), "a key is entity, connection, collection");
                return Ok(true);
            };
            let row = format!("{id} in {connection}.{collection}");
            let (readable, lawful) = match tree {
                Tree::Bases => {
                    (decode::<Base>(tree, value).map(|_| ()), ledger.link(id, &connection, &collection)?.is_some())
                }
                _ => (decode::<Effect>(tree, value).map(|_| ()), entities.contains(&id)),
            };
            if let Err(error) = readable {
                note(tree, row, &error.to_string());
            } else if !lawful {
                note(tree, row, law);
            }
            Ok(true)
        })?;
    }

    ledger.each(Tree::Work, &[], |key, value| {
        let Some((lane, item)) = keys::read_first_text(key) else {
            note(Tree::Work, format!("{key:02x?}"), "a key is lane and item");
            return Ok(true);
        };
        let row = format!("{lane} {item:02x?}");
        match decode::<Slot>(Tree::Work, value) {
            Ok(slot) => {
                if ledger.store().get(Tree::Due, &keys::due(&lane, slot.rank, slot.due, item))?.is_none() {
                    note(Tree::Work, row.clone(), "every slot stands in the order of what is due");
                }
                let about =
                    if lane == super::ENRICH || lane.starts_with("sync/") { keys::read_entity(item) } else { None };
                if about.is_some_and(|(id, _)| !entities.contains(&id)) {
                    note(Tree::Work, row, "no work for what does not exist");
                }
            }
            Err(error) => note(Tree::Work, row, &error.to_string()),
        }
        Ok(true)
    })?;
    ledger.each(Tree::Due, &[], |key, _| {
        let slot = keys::read_first_text(key).and_then(|(lane, rest)| {
            let (_, item) = rest.get(1..)?.split_first_chunk::<8>()?;
            Some(keys::work(&lane, item))
        });
        let stands = match &slot {
            Some(slot) => ledger.store().get(Tree::Work, slot)?.is_some(),
            None => false,
        };
        if !stands {
            note(Tree::Due, format!("{key:02x?}"), "what is due has its slot");
        }
        Ok(true)
    })?;

    ledger.each(Tree::Aliases, &[], |key, value| {
        let row = keys::read_texts(key).unwrap_or_default().join(" ");
        if !decode::<EntityId>(Tree::Aliases, value).is_ok_and(|id| entities.contains(&id)) {
            note(Tree::Aliases, row, "a name leads to a customer that exists");
        }
        Ok(true)
    })?;
    ledger.each(Tree::Alike, &[], |key, _| {
        let whose = keys::read_first_text(key).and_then(|(_, rest)| keys::read_entity(rest));
        if !whose.is_some_and(|(id, _)| entities.contains(&id)) {
            note(Tree::Alike, format!("{key:02x?}"), "what a name comes down to leads to a customer that exists");
        }
        Ok(true)
    })?;
    ledger.each(Tree::Messages, &[], |key, value| {
        let row = keys::read_texts(key).unwrap_or_default().join(" ");
        if !decode::<Outgoing>(Tree::Messages, value).is_ok_and(|message| entities.contains(&message.entity)) {
            note(Tree::Messages, row, "a message is about an entity that exists");
        }
        Ok(true)
    })?;

    for tree in [Tree::Usage, Tree::UsageOf, Tree::Members, Tree::Counted] {
        ledger.each(tree, &[], |key, value| {
            if let Err(law) = usage::check(tree, key, value) {
                note(tree, format!("{key:02x?}"), &law);
            } else if tree == Tree::Usage && !usage::is_spanned(ledger, key)? {
                note(tree, format!("{key:02x?}"), "the days of an account are known");
            }
            Ok(true)
        })?;
    }

    let readable: [(Tree, Check); 10] = [
        (Tree::Inbox, |value| decode::<Input>(Tree::Inbox, value).map(|_| ())),
        (Tree::Parked, |value| decode::<Input>(Tree::Parked, value).map(|_| ())),
        (Tree::Seen, |value| decode::<Seen>(Tree::Seen, value).map(|_| ())),
        (Tree::Raw, |value| raw::unpack(value).map(|_| ())),
        (Tree::Cursors, |value| decode::<Position>(Tree::Cursors, value).map(|_| ())),
        (Tree::Dead, |value| decode::<Dead>(Tree::Dead, value).map(|_| ())),
        (Tree::Log, |value| decode::<Entry>(Tree::Log, value).map(|_| ())),
        (Tree::Review, |value| decode::<Question>(Tree::Review, value).map(|_| ())),
        (Tree::Conditions, |value| decode::<Condition>(Tree::Conditions, value).map(|_| ())),
        (Tree::Pairs, |value| decode::<Doubt>(Tree::Pairs, value).map(|_| ())),
    ];
    for (tree, check) in readable {
        ledger.each(tree, &[], |key, value| {
            if let Err(error) = check(value) {
                note(tree, format!("{key:02x?}"), &error.to_string());
            }
            Ok(true)
        })?;
    }
    Ok(broken)
}

fn entity_place(key: &[u8]) -> Option<(EntityId, String, String)> {
    let (id, rest) = keys::read_entity(key)?;
    let [connection, collection] = <[String; 2]>::try_from(keys::read_texts(rest)?).ok()?;
    Some((id, connection, collection))
}
