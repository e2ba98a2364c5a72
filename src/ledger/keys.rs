//! How rows are keyed. Parts are length-prefixed, so that no outside id, whatever it holds, can reach into another's.

use chrono::{DateTime, Utc};

use super::store::Bytes;
use crate::schema::EntityId;

/// Texts, each with its length before it.
pub(super) fn texts(parts: &[&str]) -> Bytes {
    let mut key = Vec::new();
    for part in parts {
        push_text(&mut key, part);
    }
    key
}

/// An entity, then texts.
pub(super) fn entity(id: EntityId, parts: &[&str]) -> Bytes {
    let mut key = id.as_bytes().to_vec();
    for part in parts {
        push_text(&mut key, part);
    }
    key
}

/// Two entities: whose, then which.
pub(super) fn pair(a: EntityId, b: EntityId) -> Bytes {
    [a.as_bytes().as_slice(), b.as_bytes()].concat()
}

/// What a name comes down to, then whose it is.
pub(super) fn alike(core: &str, customer: EntityId) -> Bytes {
    let mut key = texts(&[core]);
    key.extend(customer.as_bytes());
    key
}

pub(super) fn sequence(number: u64) -> Bytes {
    number.to_be_bytes().to_vec()
}

pub(super) fn entity_sequence(id: EntityId, number: u64) -> Bytes {
    [id.as_bytes().as_slice(), &number.to_be_bytes()].concat()
}

/// lane, rank, when, item: in the order in which work is done.
pub(super) fn due(lane: &str, rank: u8, at: DateTime<Utc>, item: &[u8]) -> Bytes {
    let mut key = due_prefix(lane, rank);
    key.extend(millis(at).to_be_bytes());
    key.extend(item);
    key
}

pub(super) fn due_prefix(lane: &str, rank: u8) -> Bytes {
    let mut key = texts(&[lane]);
    key.push(rank);
    key
}

/// The time in a key made by [`due`], and the item.
pub(super) fn read_due<'a>(key: &'a [u8], prefix: &[u8]) -> Option<(i64, &'a [u8])> {
    let rest = key.get(prefix.len()..)?;
    let (time, item) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*time).cast_signed(), item))
}

pub(super) fn work(lane: &str, item: &[u8]) -> Bytes {
    let mut key = texts(&[lane]);
    key.extend(item);
    key
}

fn millis(at: DateTime<Utc>) -> u64 {
    at.timestamp_millis().max(0).cast_unsigned()
}

fn push_text(key: &mut Bytes, text: &str) {
    // Longer than any vendor's id; a longer one keeps its place but not its tail's meaning as a prefix.
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    key.extend(length.to_be_bytes());
    key.extend(text.as_bytes());
}

/// Reads back what [`texts`] wrote.
pub(super) fn read_texts(mut key: &[u8]) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    while !key.is_empty() {
        let (length, rest) = key.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        parts.push(String::from_utf8(rest.get(..length)?.to_vec()).ok()?);
        key = &rest[length..];
    }
    Some(parts)
}

/// The entity at the start of a key, and what follows.
pub(super) fn read_entity(key: &[u8]) -> Option<(EntityId, &[u8])> {
    let (id, rest) = key.split_first_chunk::<16>()?;
    Some((EntityId::from_bytes(*id), rest))
}

/// The first text of a key, and what follows.
pub(super) fn read_first_text(key: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    Some((String::from_utf8(rest.get(..length)?.to_vec()).ok()?, &rest[length..]))
}
