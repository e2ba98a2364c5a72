//! One transaction: reads that must still hold when it commits, and writes that happen together or not at all.
//!
//! Every row that a [`Tx`] reads becomes a precondition of its batch. So two rooms can never overwrite each other
//! unseen: the slower one is told, and runs again on what is true now ([`super::Ledger::transact`]). Queues are in
//! [`super::work`].

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use connectors::{Cursor, Key};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::records::{
    Base, Condition, Dead, Doubt, Effect, Entry, Input, Letter, Link, Outgoing, Position, Question, Seen, StoredEntity,
    Waiting,
};
use super::store::{Batch, Bytes, Store, Tree};
use super::{LedgerError, Sequence, When, fetch_item, fetch_lane, keys};
use crate::schema::{Alias, Entity, EntityId};

/// The writes of a transaction at some moment.
pub struct Mark(BTreeMap<(Tree, Bytes), Option<Bytes>>);

/// One transaction over the ledger. Nothing is written before it commits.
///
/// # Errors
/// Every method that reads fails where the store does ([`LedgerError::Store`]) and where a row is not what this version
/// writes
/// ([`LedgerError::Corrupt`]). What else one may say stands beside it.
pub struct Tx<'a> {
    store: &'a dyn Store,
    pub(super) sequence: &'a Sequence,
    reads: BTreeMap<(Tree, Bytes), Option<Bytes>>,
    writes: BTreeMap<(Tree, Bytes), Option<Bytes>>,
    pub(super) nudges: BTreeSet<String>,
}

impl<'a> Tx<'a> {
    pub(super) fn new(store: &'a dyn Store, sequence: &'a Sequence) -> Self {
        Self { store, sequence, reads: BTreeMap::new(), writes: BTreeMap::new(), nudges: BTreeSet::new() }
    }

    pub(super) fn into_batch(self) -> (Batch, BTreeSet<String>) {
        let checks = self.reads.into_iter().map(|((tree, key), value)| (tree, key, value)).collect();
        let writes = self.writes.into_iter().map(|((tree, key), value)| (tree, key, value)).collect();
        (Batch { checks, writes }, self.nudges)
    }

    pub(super) fn bytes(&mut self, tree: Tree, key: Bytes) -> Result<Option<Bytes>, LedgerError> {
        let place = (tree, key);
        if let Some(written) = self.writes.get(&place) {
            return Ok(written.clone());
        }
        if let Some(read) = self.reads.get(&place) {
            return Ok(read.clone());
        }
        let value = self.store.get(tree, &place.1)?;
        self.reads.insert(place, value.clone());
        Ok(value)
    }

    pub(super) fn read<T: DeserializeOwned>(&mut self, tree: Tree, key: Bytes) -> Result<Option<T>, LedgerError> {
        let Some(bytes) = self.bytes(tree, key)? else { return Ok(None) };
        super::decode(tree, &bytes).map(Some)
    }

    pub(super) fn write<T: Serialize>(&mut self, tree: Tree, key: Bytes, value: &T) -> Result<(), LedgerError> {
        self.writes.insert((tree, key), Some(super::encode(value)?));
        Ok(())
    }

    /// A row that is no JSON.
    pub(super) fn put(&mut self, tree: Tree, key: Bytes, value: Bytes) {
        self.writes.insert((tree, key), Some(value));
    }

    /// The keys below a prefix, with what this transaction has written. Each is read by itself, and so a precondition; that
    /// there are no more of them is none.
    pub(super) fn keys_below(&mut self, tree: Tree, prefix: &[u8]) -> Result<BTreeSet<Bytes>, LedgerError> {
        let mut found: BTreeSet<Bytes> = BTreeSet::new();
        let mut after: Option<Bytes> = None;
        loop {
            let rows = self.store.scan(tree, prefix, after.as_deref(), 256)?;
            match rows.last() {
                Some((key, _)) => after = Some(key.clone()),
                None => break,
            }
            found.extend(rows.into_iter().map(|(key, _)| key));
        }
        let written = self.writes.range((tree, prefix.to_vec())..);
        for ((_, key), value) in written.take_while(|((of, key), _)| *of == tree && key.starts_with(prefix)) {
            match value {
                Some(_) => found.insert(key.clone()),
                None => found.remove(key),
            };
        }
        Ok(found)
    }

    pub(super) fn remove(&mut self, tree: Tree, key: Bytes) {
        self.writes.insert((tree, key), None);
    }

    // Inputs

    /// Takes an input in, unless it is no news (`false`): the same snapshot again, or one older than what is known.
    pub fn ingest(&mut self, input: &Input) -> Result<bool, LedgerError> {
        let key = keys::texts(&[&input.connection, &input.record.key.collection, &input.record.key.id]);
        let digest = super::digest(&(&input.record.body, &input.record.edits))?;
        let version = input.record.version.map(|version| version.0);
        if let Some(seen) = self.read::<Seen>(Tree::Seen, key.clone())? {
            let older = matches!((version, seen.version), (Some(new), Some(old)) if new < old);
            // A deletion has no version of its own, so it is never "older".
            let same = seen.digest == digest && input.record.edits.is_empty();
            if same || (older && input.record.body.is_some()) {
                return Ok(false);
            }
        }
        self.write(Tree::Seen, key, &Seen { digest, version })?;
        let number = self.sequence.next()?;
        self.write(Tree::Inbox, keys::sequence(number), input)?;
        self.nudges.insert(super::NORMALIZE.to_owned());
        Ok(true)
    }

    /// The input is done with, and out of the inbox. What is to be kept of it is another matter: [`Tx::keep_raw`].
    pub fn taken(&mut self, number: u64) {
        self.remove(Tree::Inbox, keys::sequence(number));
    }

    /// Puts an input back in, at the end of the queue, whatever was seen.
    pub fn reingest(&mut self, input: &Input) -> Result<(), LedgerError> {
        // It came past the door: an old digest left there would keep out a record that goes back to what it was.
        self.forget_seen(&input.connection, &input.record.key.collection, &input.record.key.id);
        let number = self.sequence.next()?;
        self.write(Tree::Inbox, keys::sequence(number), input)?;
        self.nudges.insert(super::NORMALIZE.to_owned());
        Ok(())
    }

    /// Keeps what the vendor said, compressed, in place of what it said before of the same record. Upkeep forgets it after
    /// `ledger.raw_days`.
    pub fn keep_raw(&mut self, input: &Input) -> Result<(), LedgerError> {
        let key = keys::texts(&[&input.connection, &input.record.key.collection, &input.record.key.id]);
        let packed = super::raw::pack(input)?;
        self.writes.insert((Tree::Raw, key), Some(packed));
        Ok(())
    }

    /// What a vendor last said of a record, where it is still kept.
    pub fn raw(&mut self, connection: &str, collection: &str, id: &str) -> Result<Option<Input>, LedgerError> {
        let packed = self.bytes(Tree::Raw, keys::texts(&[connection, collection, id]))?;
        packed.map(|packed| super::raw::unpack(&packed)).transpose()
    }

    /// Whether nothing newer than this input has come of its record.
    pub fn is_newest(&mut self, input: &Input) -> Result<bool, LedgerError> {
        let key = keys::texts(&[&input.connection, &input.record.key.collection, &input.record.key.id]);
        let seen: Option<Seen> = self.read(Tree::Seen, key)?;
        Ok(seen.is_none_or(|seen| seen.version == input.record.version.map(|version| version.0)))
    }

    /// The next input of this record is news, whatever it holds.
    pub fn forget_seen(&mut self, connection: &str, collection: &str, id: &str) {
        self.remove(Tree::Seen, keys::texts(&[connection, collection, id]));
    }

    /// Wakes a lane's room when this commits.
    pub fn nudge(&mut self, lane: String) {
        self.nudges.insert(lane);
    }

    /// Whose thread a part belongs to.
    pub fn part(&mut self, connection: &str, key: &Key) -> Result<Option<EntityId>, LedgerError> {
        self.read(Tree::Parts, keys::texts(&[connection, &key.collection, &key.id]))
    }

    pub fn put_part(&mut self, connection: &str, key: &Key, of: EntityId) -> Result<(), LedgerError> {
        self.write(Tree::Parts, keys::texts(&[connection, &key.collection, &key.id]), &of)
    }

    /// A moment to go back to: what is written afterwards can be taken back.
    pub fn mark(&self) -> Mark {
        Mark(self.writes.clone())
    }

    pub fn back_to(&mut self, mark: Mark) {
        self.writes = mark.0;
    }

    /// Keeps a part until its parent is known.
    pub fn park(&mut self, parent: &Key, input: &Input) -> Result<(), LedgerError> {
        let at =
            [&input.connection, &parent.collection, &parent.id, &input.record.key.collection, &input.record.key.id];
        self.write(Tree::Parked, keys::texts(&at.map(String::as_str)), input)
    }

    pub fn unpark(&mut self, parent: &Key, input: &Input) {
        let at =
            [&input.connection, &parent.collection, &parent.id, &input.record.key.collection, &input.record.key.id];
        self.remove(Tree::Parked, keys::texts(&at.map(String::as_str)));
    }

    /// Takes out a look at a record that was kept (parked under its own key) until its write was in the books.
    pub fn take_parked(&mut self, connection: &str, key: &Key) -> Result<Option<Input>, LedgerError> {
        let at = keys::texts(&[connection, &key.collection, &key.id, &key.collection, &key.id]);
        let input = self.read(Tree::Parked, at.clone())?;
        if input.is_some() {
            self.remove(Tree::Parked, at);
        }
        Ok(input)
    }

    /// Takes out a row whose time is over, if it is still so. What was accepted and never passed leaves its letter.
    pub(super) fn retire(
        &mut self,
        tree: Tree,
        key: Bytes,
        is_over: impl Fn(&[u8]) -> bool,
        now: DateTime<Utc>,
    ) -> Result<bool, LedgerError> {
        let Some(value) = self.bytes(tree, key.clone())?.filter(|value| is_over(value)) else { return Ok(false) };
        if tree == Tree::Parked {
            let input = super::decode::<Input>(tree, &value).ok();
            self.bury(&Dead {
                at: now,
                room: "upkeep".into(),
                connection: input.as_ref().map(|input| input.connection.clone()).unwrap_or_default(),
                key: input.as_ref().map(|input| input.record.key.clone()),
                entity: None,
                field: None,
                cause: "what it is part of has not come in `ledger.raw_days`".into(),
                letter: match input {
                    Some(input) => Letter::Input { input: Box::new(input) },
                    None => Letter::Unreadable { bytes: value },
                },
                mapping: None,
            })?;
        }
        self.remove(tree, key);
        Ok(true)
    }

    // Positions

    pub fn position(&mut self, connection: &str, stream: &str) -> Result<Position, LedgerError> {
        Ok(self.read(Tree::Cursors, keys::texts(&[connection, stream]))?.unwrap_or_default())
    }

    /// Moves a stream on. `from` is the cursor that the page was read after; if the stream stands elsewhere by now, the
    /// page is refused ([`LedgerError::StaleCursor`]).
    pub fn advance(
        &mut self,
        connection: &str,
        stream: &str,
        from: Option<&Cursor>,
        to: &Position,
    ) -> Result<(), LedgerError> {
        if self.position(connection, stream)?.cursor.as_ref() != from {
            return Err(LedgerError::StaleCursor { connection: connection.into(), stream: stream.into() });
        }
        self.write(Tree::Cursors, keys::texts(&[connection, stream]), to)
    }

    /// Puts a stream somewhere, wherever it stands: for a backfill, and for what is no page. [`Tx::advance`] is for pages.
    pub fn set_position(&mut self, connection: &str, stream: &str, to: &Position) -> Result<(), LedgerError> {
        self.nudges.insert(super::poll_lane(connection));
        self.write(Tree::Cursors, keys::texts(&[connection, stream]), to)
    }

    // Entities

    pub fn entity(&mut self, id: EntityId) -> Result<Option<Entity>, LedgerError> {
        let stored: Option<StoredEntity> = self.read(Tree::Entities, id.as_bytes().to_vec())?;
        stored.map(|stored| super::entity_from(id, stored)).transpose()
    }

    /// Stores the entity and keeps the index of who names whom in step.
    pub fn put_entity(&mut self, entity: &Entity) -> Result<(), LedgerError> {
        let before = self.entity(entity.id)?;
        let old: BTreeSet<EntityId> = before.iter().flat_map(Entity::refers_to).collect();
        let new: BTreeSet<EntityId> = entity.refers_to().into_iter().collect();
        for gone in old.difference(&new) {
            self.remove(Tree::Refs, keys::pair(*gone, entity.id));
        }
        for come in new.difference(&old) {
            self.write(Tree::Refs, keys::pair(*come, entity.id), &())?;
        }
        let stored = StoredEntity { kind: entity.kind(), body: entity.to_value() };
        self.write(Tree::Entities, entity.id.as_bytes().to_vec(), &stored)
    }

    /// Whose name this is.
    pub fn customer_by(&mut self, alias: &Alias) -> Result<Option<EntityId>, LedgerError> {
        self.read(Tree::Aliases, keys::texts(&[&alias.to_string()]))
    }

    pub fn name_customer(&mut self, alias: &Alias, customer: EntityId) -> Result<(), LedgerError> {
        self.write(Tree::Aliases, keys::texts(&[&alias.to_string()]), &customer)
    }

    pub fn unname_customer(&mut self, alias: &Alias) {
        self.remove(Tree::Aliases, keys::texts(&[&alias.to_string()]));
    }

    /// The feedback is to be looked at again when a customer of this name becomes known.
    pub fn wait_for(&mut self, alias: &Alias, feedback: EntityId) -> Result<(), LedgerError> {
        let mut key = keys::texts(&[&alias.to_string()]);
        key.extend(feedback.as_bytes());
        self.write(Tree::Waiting, key, &Waiting { alias: alias.clone() })
    }

    pub fn wait_no_more(&mut self, alias: &Alias, feedback: EntityId) {
        let mut key = keys::texts(&[&alias.to_string()]);
        key.extend(feedback.as_bytes());
        self.remove(Tree::Waiting, key);
    }

    /// What is known of these two being one.
    pub fn doubt(&mut self, a: EntityId, b: EntityId) -> Result<Option<Doubt>, LedgerError> {
        self.read(Tree::Pairs, keys::pair(a, b))
    }

    pub fn put_doubt(&mut self, a: EntityId, b: EntityId, doubt: &Doubt) -> Result<(), LedgerError> {
        self.write(Tree::Pairs, keys::pair(a, b), doubt)?;
        self.write(Tree::Pairs, keys::pair(b, a), doubt)
    }

    /// The customer's name comes down to this.
    pub fn put_alike(&mut self, core: &str, customer: EntityId) -> Result<(), LedgerError> {
        self.write(Tree::Alike, keys::alike(core, customer), &())
    }

    pub fn drop_alike(&mut self, core: &str, customer: EntityId) {
        self.remove(Tree::Alike, keys::alike(core, customer));
    }

    // Links

    /// The record becomes another entity's, with what was agreed on about it.
    pub fn hand_over(
        &mut self,
        from: EntityId,
        to: EntityId,
        connection: &str,
        collection: &str,
    ) -> Result<(), LedgerError> {
        let Some(link) = self.link(from, connection, collection)? else { return Ok(()) };
        let base = self.base(from, connection, collection)?;
        self.remove(Tree::Links, keys::entity(from, &[connection, collection]));
        self.remove(Tree::Bases, keys::entity(from, &[connection, collection]));
        self.put_link(to, connection, collection, &link)?;
        self.put_base(to, connection, collection, &base)
    }

    pub fn link(&mut self, entity: EntityId, connection: &str, collection: &str) -> Result<Option<Link>, LedgerError> {
        self.read(Tree::Links, keys::entity(entity, &[connection, collection]))
    }

    pub fn linked(&mut self, connection: &str, collection: &str, id: &str) -> Result<Option<EntityId>, LedgerError> {
        self.read(Tree::Linked, keys::texts(&[connection, collection, id]))
    }

    /// Stores the link and its inverse; an earlier record of the same place is no longer found by its id.
    pub fn put_link(
        &mut self,
        entity: EntityId,
        connection: &str,
        collection: &str,
        link: &Link,
    ) -> Result<(), LedgerError> {
        let before = self.link(entity, connection, collection)?.map(|before| before.id);
        if let Some(before) = before.as_ref().filter(|before| **before != link.id) {
            self.remove(Tree::Linked, keys::texts(&[connection, collection, before]));
        }
        self.write(Tree::Links, keys::entity(entity, &[connection, collection]), link)?;
        self.write(Tree::Linked, keys::texts(&[connection, collection, &link.id]), &entity)?;
        if before.as_ref() == Some(&link.id) { Ok(()) } else { self.has_come(connection, link) }
    }

    /// A held field links to `outside`, a record that is not known: it is read anew when that one gets its link.
    pub fn await_record(
        &mut self,
        connection: &str,
        outside: &str,
        (collection, entity, field): (&str, EntityId, &str),
    ) -> Result<(), LedgerError> {
        let row = awaited(connection, outside);
        let mut waiting: BTreeSet<(String, EntityId, String)> = self.meta(&row)?.unwrap_or_default();
        if waiting.insert((collection.into(), entity, field.into())) { self.set_meta(&row, &waiting) } else { Ok(()) }
    }

    fn has_come(&mut self, connection: &str, link: &Link) -> Result<(), LedgerError> {
        let row = awaited(connection, &link.id);
        let Some(waiting) = self.meta::<BTreeSet<(String, EntityId, String)>>(&row)? else { return Ok(()) };
        self.remove(Tree::Meta, keys::texts(&[&row]));
        for (collection, entity, field) in waiting {
            self.read_anew(connection, &collection, entity, &field, link.since)?;
        }
        Ok(())
    }

    /// A field whose value there could not be taken is held; what it means may have been mended since: it is read anew, as
    /// if for the first time.
    pub fn read_anew(
        &mut self,
        connection: &str,
        collection: &str,
        entity: EntityId,
        field: &str,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let mut base = self.base(entity, connection, collection)?;
        if !base.fields.get(field).is_some_and(|field| field.held) {
            return Ok(());
        }
        base.fields.remove(field);
        self.put_base(entity, connection, collection, &base)?;
        if let Some(link) = self.link(entity, connection, collection)? {
            let item = fetch_item(&Key::new(collection, &link.id));
            self.queue(&fetch_lane(connection), 0, &item, When::Now, now)?;
        }
        Ok(())
    }

    pub fn base(&mut self, entity: EntityId, connection: &str, collection: &str) -> Result<Base, LedgerError> {
        Ok(self.read(Tree::Bases, keys::entity(entity, &[connection, collection]))?.unwrap_or_default())
    }

    pub fn put_base(
        &mut self,
        entity: EntityId,
        connection: &str,
        collection: &str,
        base: &Base,
    ) -> Result<(), LedgerError> {
        // What is told of a held field is over when it is held no more, however that came.
        for (field, _) in self.base(entity, connection, collection)?.fields.into_iter().filter(|(_, field)| field.held)
        {
            if !base.fields.get(&field).is_some_and(|field| field.held) {
                let letter = Letter::Held { collection: collection.into(), entity, field };
                self.resurrected(letter.number(connection)?)?;
            }
        }
        self.write(Tree::Bases, keys::entity(entity, &[connection, collection]), base)
    }

    // Effects

    /// The write to this record whose outcome is not in the books.
    pub fn effect(
        &mut self,
        entity: EntityId,
        connection: &str,
        collection: &str,
    ) -> Result<Option<Effect>, LedgerError> {
        self.read(Tree::Effects, keys::entity(entity, &[connection, collection]))
    }

    pub fn put_effect(
        &mut self,
        entity: EntityId,
        connection: &str,
        collection: &str,
        effect: &Effect,
    ) -> Result<(), LedgerError> {
        self.write(Tree::Effects, keys::entity(entity, &[connection, collection]), effect)
    }

    pub fn drop_effect(&mut self, entity: EntityId, connection: &str, collection: &str) {
        self.remove(Tree::Effects, keys::entity(entity, &[connection, collection]));
    }

    // The rest

    pub fn log(&mut self, entity: EntityId, entry: &Entry) -> Result<(), LedgerError> {
        let number = self.sequence.next()?;
        self.write(Tree::Log, keys::entity_sequence(entity, number), entry)
    }

    /// One letter a thing: the same thing dying again replaces its letter.
    pub fn bury(&mut self, dead: &Dead) -> Result<u64, LedgerError> {
        let number = dead.number()?;
        self.write(Tree::Dead, keys::sequence(number), dead)?;
        Ok(number)
    }

    /// What `dead` is about has passed after all.
    pub fn resurrected(&mut self, number: u64) -> Result<(), LedgerError> {
        // Read first: most things have no letter, and a blind removal would be a write.
        if self.bytes(Tree::Dead, keys::sequence(number))?.is_some() {
            self.remove(Tree::Dead, keys::sequence(number));
        }
        Ok(())
    }

    /// Takes a dead letter out of its place, to be sent through again; `None`: there is none of that number.
    pub fn unbury(&mut self, number: u64) -> Result<Option<Dead>, LedgerError> {
        let dead = self.read(Tree::Dead, keys::sequence(number))?;
        self.remove(Tree::Dead, keys::sequence(number));
        Ok(dead)
    }

    pub fn message(&mut self, id: &str) -> Result<Option<Outgoing>, LedgerError> {
        self.read(Tree::Messages, keys::texts(&[id]))
    }

    pub fn put_message(&mut self, id: &str, message: &Outgoing) -> Result<(), LedgerError> {
        self.write(Tree::Messages, keys::texts(&[id]), message)
    }

    /// A message that nobody has said yet is none.
    pub fn forget_message(&mut self, id: &str) {
        self.remove(Tree::Messages, keys::texts(&[id]));
    }

    pub fn ask(&mut self, question: &Question) -> Result<(), LedgerError> {
        let key = keys::entity(question.entity, &[&question.connection, &question.collection, &question.field]);
        self.write(Tree::Review, key, question)
    }

    pub fn answered(&mut self, entity: EntityId, connection: &str, collection: &str, field: &str) {
        self.remove(Tree::Review, keys::entity(entity, &[connection, collection, field]));
    }

    /// Stores what an attach found, in the connector's own shape.
    pub fn set_binding(&mut self, connection: &str, binding: &serde_json::Value) -> Result<(), LedgerError> {
        self.write(Tree::Bindings, keys::texts(&[connection]), binding)
    }

    /// Notes what is wrong; keeps the time since when.
    pub fn raise(
        &mut self,
        connection: &str,
        name: &str,
        what: &str,
        stops: bool,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let key = keys::texts(&[connection, name]);
        let before: Option<Condition> = self.read(Tree::Conditions, key.clone())?;
        let since = before.map_or(now, |before| before.since);
        self.write(Tree::Conditions, key, &Condition { since, what: what.into(), stops })
    }

    /// What was wrong is well again. `false`: nothing was.
    pub fn clear(&mut self, connection: &str, name: &str) -> Result<bool, LedgerError> {
        let key = keys::texts(&[connection, name]);
        let was = self.bytes(Tree::Conditions, key.clone())?.is_some();
        if was {
            self.remove(Tree::Conditions, key);
        }
        Ok(was)
    }

    /// What was wrong, if it is so since before this moment, is told no more.
    pub fn clear_before(&mut self, connection: &str, name: &str, moment: DateTime<Utc>) -> Result<(), LedgerError> {
        let condition: Option<Condition> = self.read(Tree::Conditions, keys::texts(&[connection, name]))?;
        if condition.is_some_and(|condition| condition.since < moment) {
            self.clear(connection, name)?;
        }
        Ok(())
    }

    pub fn meta<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, LedgerError> {
        self.read(Tree::Meta, keys::texts(&[name]))
    }

    pub fn set_meta<T: Serialize>(&mut self, name: &str, value: &T) -> Result<(), LedgerError> {
        self.write(Tree::Meta, keys::texts(&[name]), value)
    }
}

/// The row of those that wait for this record.
fn awaited(connection: &str, outside: &str) -> String {
    format!("awaited {connection} {outside}")
}
