//! Usage: how often each account used each feature on each day, and by how many people. Events are counted and let go.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `usage` | connection, day, whose, feature | a [`Cell`] |
//! | `usage_of` | whose, connection | the first and the last day ([`Span`]) |
//! | `members` | connection, person | where they belong ([`Standing`]) |
//! | `counted` | a hash of connection and event id | the day it came |
//!
//! Laws:
//! - An event is counted in the commit that notes its id. So one that is acknowledged is counted once, and one that is sent
//!   again, for as long as its id is kept (`usage.dedupe_days`), is not counted again.
//! - Days come before accounts in a key: what is counted today stands together, what is too old goes together.
//! - Whoever sends, a ledger stays bounded: [`FEATURES`] features a connection, [`PEOPLE`] people, and days go when their
//!   time is over. What is beyond is counted under [`OTHER`], or under nobody.

mod cell;
mod expire;
mod look;
mod tally;
#[cfg(test)]
mod tests;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use cell::{Cell, EXACT, People};
pub use expire::Expiry;
pub use tally::Tally;

use super::store::{Bytes, Tree};
use super::tx::Tx;
use super::{LedgerError, keys};

/// The lane of accounts whose customer's records show numbers that have changed.
pub const USAGE: &str = "usage";
/// The most features that are told apart in one connection.
pub const FEATURES: usize = 1000;
/// What the others are counted under.
pub const OTHER: &str = "(other)";
/// The most people of one connection of whom something is remembered.
pub const PEOPLE: u64 = 1_000_000;
/// The longest name, in bytes; of a longer one the beginning and a hash are kept.
const NAME: usize = 200;
/// An account's customer is looked up this long after its numbers changed, so that a burst costs one look.
const GATHER: TimeDelta = TimeDelta::seconds(5);

/// Whose usage it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// An account by the vendor's name of it, in lower case.
    Account(String),
    /// A person of whom it is not known where they belong; when it is, their numbers move there.
    Person(String),
    /// Somebody who has not said who they are.
    Nobody,
}

impl Holder {
    /// An account, as it is written everywhere.
    pub fn account(name: &str) -> Option<Self> {
        let name = name.trim().to_lowercase();
        (!name.is_empty()).then(|| Self::Account(bounded(&name)))
    }

    fn to_key(&self) -> String {
        match self {
            Self::Account(name) => format!("a{name}"),
            Self::Person(name) => format!("p{name}"),
            Self::Nobody => "n".to_owned(),
        }
    }

    fn from_key(text: &str) -> Option<Self> {
        match (text.as_bytes().first()?, text.get(1..)?) {
            (b'a', name) => Some(Self::Account(name.to_owned())),
            (b'p', name) => Some(Self::Person(name.to_owned())),
            (b'n', "") => Some(Self::Nobody),
            _ => None,
        }
    }
}

/// The days on which somebody used something in a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub first: NaiveDate,
    pub last: NaiveDate,
}

/// What is remembered of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Standing {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// The account was told, not guessed from an address.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    told: bool,
    /// It is another name of this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<String>,
    /// When they were last met, within a week.
    day: u16,
}

/// What has come by a connection since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Events that were counted.
    pub events: u64,
    /// Events that had been counted before.
    pub duplicates: u64,
    /// Of the events, those whose account was not known when they came.
    pub unplaced: u64,
    /// People of whom something is remembered now.
    pub people: u64,
    /// Numbers that a vendor had added up.
    pub totals: u64,
}

fn counts_name(connection: &str) -> String {
    format!("usage {connection}")
}

fn features_name(connection: &str) -> String {
    format!("usage features {connection}")
}

/// Days since 1970; what no calendar of ours holds is brought to its ends.
fn number(day: NaiveDate) -> u16 {
    u16::try_from((day - NaiveDate::default()).num_days().max(0)).unwrap_or(u16::MAX)
}

fn day_of(number: u16) -> NaiveDate {
    NaiveDate::default() + TimeDelta::days(number.into())
}

fn bounded(name: &str) -> String {
    if name.len() <= NAME {
        return name.to_owned();
    }
    let cut = (0..=NAME - 9).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    format!("{}~{:08x}", &name[..cut], hash(&[name]))
}

/// 32 bits, for telling people apart.
fn hash(parts: &[&str]) -> u32 {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(keys::texts(parts)));
    u32::from_be_bytes([a, b, c, d])
}

// Keys

fn day_prefix(connection: &str, day: u16) -> Bytes {
    let mut key = keys::texts(&[connection]);
    key.extend(day.to_be_bytes());
    key
}

fn holder_prefix(connection: &str, day: u16, holder: &Holder) -> Bytes {
    [day_prefix(connection, day), keys::texts(&[&holder.to_key()])].concat()
}

fn cell_key(connection: &str, day: u16, holder: &Holder, feature: &str) -> Bytes {
    [day_prefix(connection, day), keys::texts(&[&holder.to_key(), feature])].concat()
}

/// Connection, day, whose, feature.
fn read_cell_key(key: &[u8]) -> Option<(String, u16, Holder, String)> {
    let (connection, rest) = keys::read_first_text(key)?;
    let (day, rest) = rest.split_first_chunk::<2>()?;
    let [holder, feature] = <[String; 2]>::try_from(keys::read_texts(rest)?).ok()?;
    Some((connection, u16::from_be_bytes(*day), Holder::from_key(&holder)?, feature))
}

fn span_key(holder: &Holder, connection: &str) -> Bytes {
    keys::texts(&[&holder.to_key(), connection])
}

fn read_span_key(key: &[u8]) -> Option<(Holder, String)> {
    let [holder, connection] = <[String; 2]>::try_from(keys::read_texts(key)?).ok()?;
    Some((Holder::from_key(&holder)?, connection))
}

/// Ten bytes: of ten million ids, two are the same by chance once in ten thousand million.
fn counted_key(connection: &str, id: &str) -> Bytes {
    Sha256::digest(keys::texts(&[connection, id]))[..10].to_vec()
}

/// The first byte keeps an export from taking it for JSON.
fn counted_value(now: DateTime<Utc>) -> Bytes {
    let [high, low] = number(now.date_naive()).to_be_bytes();
    vec![0, high, low]
}

fn counted_day(value: &[u8]) -> Option<u16> {
    let [0, high, low] = value else { return None };
    Some(u16::from_be_bytes([*high, *low]))
}

fn corrupt(tree: Tree, why: &str) -> LedgerError {
    LedgerError::Corrupt { tree: tree.name(), why: why.to_owned() }
}

/// Whether a row is what this version writes, for `verify`.
pub(super) fn check(tree: Tree, key: &[u8], value: &[u8]) -> Result<(), String> {
    let good = match tree {
        Tree::Usage => read_cell_key(key).is_some() && Cell::decode(value).is_some(),
        Tree::UsageOf => read_span_key(key).is_some() && serde_json::from_slice::<Span>(value).is_ok(),
        Tree::Members => {
            keys::read_texts(key).is_some_and(|parts| parts.len() == 2)
                && serde_json::from_slice::<Standing>(value).is_ok()
        }
        _ => key.len() == 10 && counted_day(value).is_some(),
    };
    if good { Ok(()) } else { Err("it is not what this version writes".to_owned()) }
}

/// Of a cell, whether the span of its holder is there and covers its day.
pub(super) fn is_spanned(ledger: &super::Ledger, key: &[u8]) -> Result<bool, LedgerError> {
    let Some((connection, day, holder, _)) = read_cell_key(key) else { return Ok(true) };
    let span: Option<Span> = ledger.get(Tree::UsageOf, &span_key(&holder, &connection))?;
    Ok(span.is_some_and(|span| number(span.first) <= day && day <= number(span.last)))
}

impl Tx<'_> {
    fn cell(&mut self, key: &Bytes) -> Result<Option<Cell>, LedgerError> {
        let Some(bytes) = self.bytes(Tree::Usage, key.clone())? else { return Ok(None) };
        Cell::decode(&bytes).map(Some).ok_or_else(|| corrupt(Tree::Usage, "no cell"))
    }

    fn put_cell(&mut self, key: Bytes, cell: &Cell) {
        self.put(Tree::Usage, key, cell.encode());
    }

    /// The holder used something on these days, too.
    fn stretch(&mut self, holder: &Holder, connection: &str, first: u16, last: u16) -> Result<bool, LedgerError> {
        let key = span_key(holder, connection);
        let before: Option<Span> = self.read(Tree::UsageOf, key.clone())?;
        let (first, last) = (day_of(first), day_of(last));
        let after = before
            .map_or(Span { first, last }, |span| Span { first: span.first.min(first), last: span.last.max(last) });
        if before != Some(after) {
            self.write(Tree::UsageOf, key, &after)?;
        }
        Ok(before.is_none())
    }

    /// The account's customer has other numbers now. Whoever looks, looks after this commit; so what is queued already need
    /// not be queued again.
    fn touch(&mut self, holder: &Holder, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let Holder::Account(account) = holder else { return Ok(()) };
        if self.slot(USAGE, account.as_bytes())?.is_none() {
            self.queue(USAGE, 0, account.as_bytes(), super::When::At(now + GATHER), now)?;
        }
        Ok(())
    }
}
