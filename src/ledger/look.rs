//! Looking at the ledger outside a transaction: for showing, and for finding work. What is decided on is read again
//! inside one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::records::{
    Base, Condition, Dead, Doubt, Effect, Entry, Input, Link, Outgoing, Position, Question, StoredEntity,
};
use super::store::Tree;
use super::work::{Claim, Slot};
use super::{Ledger, LedgerError, Taken, decode, entity_from, keys, raw};
use crate::schema::{Alias, Entity, EntityId, EntityKind};

impl Ledger {
    pub(super) fn get<T: DeserializeOwned>(&self, tree: Tree, key: &[u8]) -> Result<Option<T>, LedgerError> {
        self.shared.store.get(tree, key)?.map(|bytes| decode(tree, &bytes)).transpose()
    }

    /// All rows below a prefix, a page at a time, until `see` says stop.
    pub(super) fn each(
        &self,
        tree: Tree,
        prefix: &[u8],
        mut see: impl FnMut(&[u8], &[u8]) -> Result<bool, LedgerError>,
    ) -> Result<(), LedgerError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self.shared.store.scan(tree, prefix, after.as_deref(), 256)?;
            let full = rows.len() == 256;
            for (key, value) in &rows {
                if !see(key, value)? {
                    return Ok(());
                }
            }
            match rows.into_iter().next_back() {
                Some((key, _)) if full => after = Some(key),
                _ => return Ok(()),
            }
        }
    }

    pub fn entity(&self, id: EntityId) -> Result<Option<Entity>, LedgerError> {
        let stored: Option<StoredEntity> = self.get(Tree::Entities, id.as_bytes())?;
        stored.map(|stored| entity_from(id, stored)).transpose()
    }

    /// Every entity, in no meaningful order.
    pub fn each_entity(&self, mut see: impl FnMut(Entity) -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        self.each(Tree::Entities, &[], |key, value| {
            let Some((id, _)) = keys::read_entity(key) else { return Ok(true) };
            see(entity_from(id, decode(Tree::Entities, value)?)?)?;
            Ok(true)
        })
    }

    /// The ids of every entity of a kind.
    pub fn ids(&self, kind: EntityKind) -> Result<Vec<EntityId>, LedgerError> {
        let mut ids = Vec::new();
        self.each_entity(|entity| {
            if entity.kind() == kind {
                ids.push(entity.id);
            }
            Ok(())
        })?;
        Ok(ids)
    }

    /// The ids of the entities that come after one, in the order of their keys; at most `limit`.
    pub fn entities_after(&self, after: Option<EntityId>, limit: usize) -> Result<Vec<EntityId>, LedgerError> {
        let after = after.map(|id| id.as_bytes().to_vec());
        let rows = self.shared.store.scan(Tree::Entities, &[], after.as_deref(), limit)?;
        Ok(rows.iter().filter_map(|(key, _)| keys::read_entity(key)).map(|(id, _)| id).collect())
    }

    /// How many entities of a kind there are. Walks them all.
    pub fn count_of(&self, kind: EntityKind) -> Result<usize, LedgerError> {
        let mut count = 0;
        self.each(Tree::Entities, &[], |_, value| {
            count += usize::from(decode(Tree::Entities, value).is_ok_and(|stored: StoredEntity| stored.kind == kind));
            Ok(true)
        })?;
        Ok(count)
    }

    /// The records of a collection of which what the vendor said is kept: their outside ids, those after `after`.
    pub fn raw_after(
        &self,
        connection: &str,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, LedgerError> {
        self.outside_after(Tree::Raw, connection, collection, after, limit)
    }

    /// How many they are. Walks them.
    pub fn raw_count(&self, connection: &str, collection: &str) -> Result<usize, LedgerError> {
        let mut count = 0;
        self.each(Tree::Raw, &keys::texts(&[connection, collection]), |_, _| {
            count += 1;
            Ok(true)
        })?;
        Ok(count)
    }

    /// The records of a collection that were taken in: their outside ids, those after `after`.
    pub fn seen_after(
        &self,
        connection: &str,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, LedgerError> {
        self.outside_after(Tree::Seen, connection, collection, after, limit)
    }

    fn outside_after(
        &self,
        tree: Tree,
        connection: &str,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, LedgerError> {
        let after = after.map(|id| keys::texts(&[connection, collection, id]));
        let rows = self.shared.store.scan(tree, &keys::texts(&[connection, collection]), after.as_deref(), limit)?;
        Ok(rows.iter().filter_map(|(key, _)| keys::read_texts(key)?.pop()).collect())
    }

    /// The links of an entity: (connection, collection, link).
    pub fn links(&self, entity: EntityId) -> Result<Vec<(String, String, Link)>, LedgerError> {
        let mut links = Vec::new();
        self.each(Tree::Links, entity.as_bytes(), |key, value| {
            if let Some([connection, collection]) = key.get(16..).and_then(keys::read_texts).as_deref() {
                links.push((connection.clone(), collection.clone(), decode(Tree::Links, value)?));
            }
            Ok(true)
        })?;
        Ok(links)
    }

    /// The entity's record in a collection; `None`: it never had one there.
    pub fn link(&self, entity: EntityId, connection: &str, collection: &str) -> Result<Option<Link>, LedgerError> {
        self.get(Tree::Links, &keys::entity(entity, &[connection, collection]))
    }

    pub fn base(&self, entity: EntityId, connection: &str, collection: &str) -> Result<Option<Base>, LedgerError> {
        self.get(Tree::Bases, &keys::entity(entity, &[connection, collection]))
    }

    /// The outside records linked in a collection: (outside id, entity).
    pub fn each_linked(
        &self,
        connection: &str,
        collection: &str,
        mut see: impl FnMut(String, EntityId) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        self.each(Tree::Linked, &keys::texts(&[connection, collection]), |key, value| {
            if let Some([_, _, id]) = keys::read_texts(key).as_deref() {
                see(id.clone(), decode(Tree::Linked, value)?)?;
            }
            Ok(true)
        })
    }

    /// The first `limit` of them whose outside id comes after `after`, in an order of its own.
    pub fn linked_after(
        &self,
        connection: &str,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, EntityId)>, LedgerError> {
        let prefix = keys::texts(&[connection, collection]);
        let after = after.map(|id| keys::texts(&[connection, collection, id]));
        let mut found = Vec::new();
        for (key, value) in self.shared.store.scan(Tree::Linked, &prefix, after.as_deref(), limit)? {
            if let Some([_, _, id]) = keys::read_texts(&key).as_deref() {
                found.push((id.clone(), decode(Tree::Linked, &value)?));
            }
        }
        Ok(found)
    }

    /// Whose record this is, by the outside id.
    pub fn linked(&self, connection: &str, collection: &str, id: &str) -> Result<Option<EntityId>, LedgerError> {
        self.get(Tree::Linked, &keys::texts(&[connection, collection, id]))
    }

    /// Who names this entity.
    pub fn referrers(&self, entity: EntityId) -> Result<Vec<EntityId>, LedgerError> {
        let mut ids = Vec::new();
        self.each(Tree::Refs, entity.as_bytes(), |key, _| {
            ids.extend(key.get(16..).and_then(keys::read_entity).map(|(id, _)| id));
            Ok(true)
        })?;
        Ok(ids)
    }

    /// Whose name this is.
    pub fn named_customer(&self, alias: &Alias) -> Result<Option<EntityId>, LedgerError> {
        self.get(Tree::Aliases, &keys::texts(&[&alias.to_string()]))
    }

    /// The feedback that waits for a customer of this name.
    pub fn waiting(&self, alias: &Alias) -> Result<Vec<EntityId>, LedgerError> {
        let prefix = keys::texts(&[&alias.to_string()]);
        let mut ids = Vec::new();
        self.each(Tree::Waiting, &prefix, |key, _| {
            ids.extend(keys::read_entity(&key[prefix.len()..]).map(|(id, _)| id));
            Ok(true)
        })?;
        Ok(ids)
    }

    /// Whose name this is.
    pub fn customer_by(&self, alias: &Alias) -> Result<Option<EntityId>, LedgerError> {
        self.get(Tree::Aliases, &keys::texts(&[&alias.to_string()]))
    }

    /// Every pair of customers that was ever in doubt, once.
    pub fn doubts(&self) -> Result<Vec<(EntityId, EntityId, Doubt)>, LedgerError> {
        let mut doubts = Vec::new();
        self.each(Tree::Pairs, &[], |key, value| {
            if let Some((a, rest)) = keys::read_entity(key)
                && let Some((b, _)) = keys::read_entity(rest)
                && a < b
            {
                doubts.push((a, b, decode(Tree::Pairs, value)?));
            }
            Ok(true)
        })?;
        Ok(doubts)
    }

    /// With whom this customer was ever in doubt.
    pub fn doubted_with(&self, customer: EntityId) -> Result<Vec<EntityId>, LedgerError> {
        let mut others = Vec::new();
        self.each(Tree::Pairs, customer.as_bytes(), |key, _| {
            others.extend(key.get(16..).and_then(keys::read_entity).map(|(id, _)| id));
            Ok(true)
        })?;
        Ok(others)
    }

    /// Customers whose names come down to this; at most `limit`.
    pub fn alike(&self, core: &str, limit: usize) -> Result<Vec<EntityId>, LedgerError> {
        let prefix = keys::texts(&[core]);
        let rows = self.shared.store.scan(Tree::Alike, &prefix, None, limit)?;
        Ok(rows.iter().filter_map(|(key, _)| keys::read_entity(&key[prefix.len()..])).map(|(id, _)| id).collect())
    }

    /// Parts that wait for this parent.
    pub fn parked(&self, connection: &str, parent: &connectors::Key) -> Result<Vec<Input>, LedgerError> {
        let mut inputs = Vec::new();
        self.each(Tree::Parked, &keys::texts(&[connection, &parent.collection, &parent.id]), |_, value| {
            inputs.push(decode(Tree::Parked, value)?);
            Ok(true)
        })?;
        Ok(inputs)
    }

    /// The oldest inputs. A row that cannot be read comes as its bytes.
    pub fn inbox(&self, limit: usize) -> Result<Vec<(u64, Taken)>, LedgerError> {
        let rows = self.shared.store.scan(Tree::Inbox, &[], None, limit)?;
        Ok(rows
            .into_iter()
            .map(|(key, value)| {
                let number = key.try_into().map(u64::from_be_bytes).unwrap_or_default();
                (number, decode(Tree::Inbox, &value).map_err(|_| value))
            })
            .collect())
    }

    /// Whether an input of this connection has not been taken yet.
    pub fn has_input_of(&self, connection: &str) -> Result<bool, LedgerError> {
        let mut found = false;
        self.each(Tree::Inbox, &[], |_, value| {
            found = decode::<Input>(Tree::Inbox, value).is_ok_and(|input| input.connection == connection);
            Ok(!found)
        })?;
        Ok(found)
    }

    /// What is due on a lane, best first.
    pub fn due(&self, lane: &str, ranks: u8, now: DateTime<Utc>, limit: usize) -> Result<Vec<Claim>, LedgerError> {
        let mut claims = Vec::new();
        for rank in 0..ranks {
            let prefix = keys::due_prefix(lane, rank);
            for (key, _) in self.shared.store.scan(Tree::Due, &prefix, None, limit - claims.len())? {
                let Some((at, item)) = keys::read_due(&key, &prefix) else { continue };
                if at > now.timestamp_millis() {
                    break;
                }
                if let Some(slot) = self.get(Tree::Work, &keys::work(lane, item))? {
                    claims.push(Claim { item: item.to_vec(), slot });
                }
            }
            if claims.len() >= limit {
                break;
            }
        }
        Ok(claims)
    }

    /// When the next work of a lane is due; `None` when there is none.
    pub fn next_due(&self, lane: &str, ranks: u8) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let mut next: Option<i64> = None;
        for rank in 0..ranks {
            let prefix = keys::due_prefix(lane, rank);
            if let Some((key, _)) = self.shared.store.scan(Tree::Due, &prefix, None, 1)?.into_iter().next()
                && let Some((at, _)) = keys::read_due(&key, &prefix)
            {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        Ok(next.and_then(DateTime::from_timestamp_millis))
    }

    /// How much is queued: (lane, items, oldest). Walks the queues; for people, not for rooms.
    pub fn queues(&self) -> Result<BTreeMap<String, (usize, DateTime<Utc>)>, LedgerError> {
        let mut queues: BTreeMap<String, (usize, DateTime<Utc>)> = BTreeMap::new();
        self.each(Tree::Work, &[], |key, value| {
            let slot: Slot = decode(Tree::Work, value)?;
            let Some((lane, _)) = keys::read_first_text(key) else { return Ok(true) };
            let queue = queues.entry(lane).or_insert((0, slot.since));
            *queue = (queue.0 + 1, queue.1.min(slot.since));
            Ok(true)
        })?;
        Ok(queues)
    }

    /// How many rows a tree has. Walks it.
    pub fn count(&self, tree: Tree) -> Result<usize, LedgerError> {
        let mut count = 0;
        self.each(tree, &[], |_, _| {
            count += 1;
            Ok(true)
        })?;
        Ok(count)
    }

    /// Where a stream stands; one that was never read stands at its beginning.
    pub fn position(&self, connection: &str, stream: &str) -> Result<Position, LedgerError> {
        Ok(self.get(Tree::Cursors, &keys::texts(&[connection, stream]))?.unwrap_or_default())
    }

    pub fn positions(&self) -> Result<Vec<(String, String, Position)>, LedgerError> {
        self.named(Tree::Cursors)
    }

    /// What is wrong now: (connection, name, condition).
    pub fn conditions(&self) -> Result<Vec<(String, String, Condition)>, LedgerError> {
        self.named(Tree::Conditions)
    }

    pub(super) fn named<T: DeserializeOwned>(&self, tree: Tree) -> Result<Vec<(String, String, T)>, LedgerError> {
        let mut found = Vec::new();
        self.each(tree, &[], |key, value| {
            if let Some([a, b]) = keys::read_texts(key).as_deref() {
                found.push((a.clone(), b.clone(), decode(tree, value)?));
            }
            Ok(true)
        })?;
        Ok(found)
    }

    pub fn condition(&self, connection: &str, name: &str) -> Result<Option<Condition>, LedgerError> {
        self.get(Tree::Conditions, &keys::texts(&[connection, name]))
    }

    /// What the connector found at its last attach, in its own shape; it may hold a webhook secret.
    pub fn binding(&self, connection: &str) -> Result<Option<serde_json::Value>, LedgerError> {
        self.get(Tree::Bindings, &keys::texts(&[connection]))
    }

    pub fn slot(&self, lane: &str, item: &[u8]) -> Result<Option<Slot>, LedgerError> {
        self.get(Tree::Work, &keys::work(lane, item))
    }

    pub fn effect(&self, entity: EntityId, connection: &str, collection: &str) -> Result<Option<Effect>, LedgerError> {
        self.get(Tree::Effects, &keys::entity(entity, &[connection, collection]))
    }

    /// The audit log of an entity, oldest first, as far back as `ledger.audit_days` keeps it.
    pub fn history(&self, entity: EntityId) -> Result<Vec<Entry>, LedgerError> {
        let mut entries = Vec::new();
        self.each(Tree::Log, entity.as_bytes(), |_, value| {
            entries.push(decode(Tree::Log, value)?);
            Ok(true)
        })?;
        Ok(entries)
    }

    /// One dead letter.
    pub fn dead_letter(&self, number: u64) -> Result<Option<Dead>, LedgerError> {
        self.get(Tree::Dead, &keys::sequence(number))
    }

    /// The dead letters, each by its number: a digest of what it is about. One that cannot be read is told in the log and
    /// left out.
    pub fn dead(&self) -> Result<Vec<(u64, Dead)>, LedgerError> {
        let mut letters = Vec::new();
        self.each(Tree::Dead, &[], |key, value| {
            if let Ok(number) = key.try_into().map(u64::from_be_bytes) {
                match decode(Tree::Dead, value) {
                    Ok(dead) => letters.push((number, dead)),
                    Err(error) => {
                        tracing::error!(number, %error, "a dead letter cannot be read; `loopd ledger verify` shows it");
                    }
                }
            }
            Ok(true)
        })?;
        Ok(letters)
    }

    /// Every message to a customer, by its id, whatever its state.
    pub fn messages(&self) -> Result<Vec<(String, Outgoing)>, LedgerError> {
        let mut messages = Vec::new();
        self.each(Tree::Messages, &[], |key, value| {
            if let Some([id]) = keys::read_texts(key).as_deref() {
                messages.push((id.clone(), decode(Tree::Messages, value)?));
            }
            Ok(true)
        })?;
        Ok(messages)
    }

    pub fn message(&self, id: &str) -> Result<Option<Outgoing>, LedgerError> {
        self.get(Tree::Messages, &keys::texts(&[id]))
    }

    /// The conflicts that wait for a person.
    pub fn questions(&self) -> Result<Vec<Question>, LedgerError> {
        let mut questions = Vec::new();
        self.each(Tree::Review, &[], |_, value| {
            questions.push(decode(Tree::Review, value)?);
            Ok(true)
        })?;
        Ok(questions)
    }

    /// What a vendor last said of a record, where it is still kept.
    pub fn raw(&self, connection: &str, collection: &str, id: &str) -> Result<Option<Input>, LedgerError> {
        let packed = self.shared.store.get(Tree::Raw, &keys::texts(&[connection, collection, id]))?;
        packed.map(|packed| raw::unpack(&packed)).transpose()
    }
}
