//! Counting, within one transaction: however many events come together, each cell is read and written once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use connectors::{Belongs, Counted, Member, Usage};

use super::{
    Cell, Counts, FEATURES, Holder, OTHER, PEOPLE, Standing, bounded, cell_key, counted_key, counted_value,
    counts_name, features_name, hash, holder_prefix, number, span_key,
};
use crate::ledger::store::Tree;
use crate::ledger::tx::Tx;
use crate::ledger::{LedgerError, keys};
use crate::schema::domain::is_mail_provider;
use crate::schema::{Alias, AliasKind};

/// What is counted in one transaction. Who belongs where comes first ([`Tally::join`]), then the events
/// ([`Tally::count`]); [`Tally::write`] puts it into the transaction.
#[derive(Default)]
pub struct Tally {
    cells: BTreeMap<(String, u16), HashMap<(Holder, String), Cell>>,
    connections: BTreeMap<String, Connection>,
    standings: HashMap<(String, String), Standing>,
    at: Option<DateTime<Utc>>,
}

/// What is kept per connection.
struct Connection {
    before: Counts,
    counts: Counts,
    features: BTreeSet<String>,
    news: bool,
}

/// How many other names of a person are followed.
const HOPS: usize = 3;
/// How old the note of when a person was last met may become.
const WEEK: TimeDelta = TimeDelta::days(7);

/// The domain of an address, unless it is a mail provider's.
fn company_of(address: &str) -> Option<String> {
    let domain = Alias::new(AliasKind::Domain, address)?.value;
    (!is_mail_provider(&domain)).then(|| bounded(&domain))
}

impl Tally {
    fn connection<'a>(&'a mut self, tx: &mut Tx<'_>, name: &str) -> Result<&'a mut Connection, LedgerError> {
        if !self.connections.contains_key(name) {
            let counts: Counts = tx.meta(&counts_name(name))?.unwrap_or_default();
            let features = tx.meta(&features_name(name))?.unwrap_or_default();
            let opened = Connection { before: counts, counts, features, news: false };
            self.connections.insert(name.to_owned(), opened);
        }
        self.connections.get_mut(name).ok_or_else(|| LedgerError::Bug("a connection that was just put there".into()))
    }

    /// Takes in who belongs where, and moves what was counted for people who had no place.
    pub fn join(
        &mut self,
        tx: &mut Tx<'_>,
        connection: &str,
        members: &[Member],
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        self.at = Some(now);
        for member in members {
            let user = bounded(&member.user);
            let before = self.standing(tx, connection, &user)?;
            let mut after = before.clone();
            match &member.of {
                Belongs::Account(name) => {
                    let Some(Holder::Account(name)) = Holder::account(name) else { continue };
                    (after.account, after.told) = (Some(name), true);
                }
                Belongs::Email(_) if before.told => {}
                Belongs::Email(address) => {
                    let Some(domain) = company_of(address) else { continue };
                    after.account = Some(domain);
                }
                Belongs::Person(name) if *name == member.user => continue,
                Belongs::Person(name) => after.person = Some(bounded(name)),
            }
            let today = number(now.date_naive());
            let is_new = before == Standing::default();
            if is_new || i64::from(today.saturating_sub(before.day)) >= WEEK.num_days() {
                after.day = today;
            }
            if after == before {
                continue;
            }
            if is_new {
                let known = self.connection(tx, connection)?;
                if known.counts.people >= PEOPLE {
                    continue;
                }
                known.counts.people += 1;
            }
            tx.write(Tree::Members, keys::texts(&[connection, &user]), &after)?;
            self.standings.insert((connection.to_owned(), user.clone()), after);
            let home = self.home(tx, connection, &user)?.0;
            if home != Holder::Person(user.clone()) {
                self.move_in(tx, connection, &Holder::Person(user), &home, now)?;
            }
        }
        Ok(())
    }

    fn standing(&mut self, tx: &mut Tx<'_>, connection: &str, user: &str) -> Result<Standing, LedgerError> {
        let place = (connection.to_owned(), user.to_owned());
        if let Some(known) = self.standings.get(&place) {
            return Ok(known.clone());
        }
        let standing: Standing = tx.read(Tree::Members, keys::texts(&[connection, user]))?.unwrap_or_default();
        self.standings.insert(place, standing.clone());
        Ok(standing)
    }

    /// Where a person belongs, and by what name they are told apart.
    fn home(&mut self, tx: &mut Tx<'_>, connection: &str, user: &str) -> Result<(Holder, String), LedgerError> {
        let mut person = user.to_owned();
        let mut account = None;
        for _ in 0..HOPS {
            let standing = self.standing(tx, connection, &person)?;
            account = standing.account.or(account);
            match standing.person {
                Some(other) => person = other,
                None => break,
            }
        }
        let holder = account.map_or_else(|| Holder::Person(person.clone()), Holder::Account);
        Ok((holder, person))
    }

    /// What was counted for somebody is somebody else's.
    fn move_in(
        &mut self,
        tx: &mut Tx<'_>,
        connection: &str,
        from: &Holder,
        to: &Holder,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let Some(span): Option<super::Span> = tx.read(Tree::UsageOf, span_key(from, connection))? else {
            return Ok(());
        };
        for day in number(span.first)..=number(span.last) {
            let prefix = holder_prefix(connection, day, from);
            for key in tx.keys_below(Tree::Usage, &prefix)? {
                let (Some(moved), Some((_, _, _, feature))) = (tx.cell(&key)?, super::read_cell_key(&key)) else {
                    continue;
                };
                let there = cell_key(connection, day, to, &feature);
                let mut cell = tx.cell(&there)?.unwrap_or_default();
                cell.count = cell.count.saturating_add(moved.count);
                cell.people.join(&moved.people);
                cell.pull = cell.pull.max(moved.pull);
                tx.put_cell(there, &cell);
                tx.remove(Tree::Usage, key);
            }
        }
        tx.remove(Tree::UsageOf, span_key(from, connection));
        tx.stretch(to, connection, number(span.first), number(span.last))?;
        tx.touch(to, now)?;
        let known = self.connection(tx, connection)?;
        known.counts.people = known.counts.people.saturating_sub(1);
        Ok(())
    }

    /// Counts events that have not been counted yet, and takes in what vendors have added up.
    pub fn count(
        &mut self,
        tx: &mut Tx<'_>,
        connection: &str,
        usage: &[Usage],
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        self.at = Some(now);
        for usage in usage {
            if let Counted::Once(id) = &usage.count {
                let key = counted_key(connection, id);
                if tx.bytes(Tree::Counted, key.clone())?.is_some() {
                    self.connection(tx, connection)?.counts.duplicates += 1;
                    continue;
                }
                tx.put(Tree::Counted, key, counted_value(now));
            }
            let (holder, person) = self.holder(tx, connection, usage)?;
            let feature = self.feature(tx, connection, &usage.feature)?;
            let counts = &mut self.connection(tx, connection)?.counts;
            counts.unplaced += u64::from(!matches!(holder, Holder::Account(_)));
            match usage.count {
                Counted::Once(_) => counts.events += 1,
                Counted::Total { .. } => counts.totals += 1,
            }
            let day = self.cells.entry((connection.to_owned(), number(usage.day))).or_default();
            let cell = day.entry((holder, feature)).or_default();
            match usage.count {
                Counted::Once(_) => cell.count += 1,
                Counted::Total { count, pull } => {
                    if pull > cell.pull {
                        *cell = Cell { pull, ..Cell::default() };
                    }
                    cell.count = cell.count.saturating_add(count);
                }
            }
            if let Some(person) = person {
                cell.people.insert(hash(&[connection, &person]));
            }
        }
        Ok(())
    }

    /// Whose it is, and who did it.
    fn holder(
        &mut self,
        tx: &mut Tx<'_>,
        connection: &str,
        usage: &Usage,
    ) -> Result<(Holder, Option<String>), LedgerError> {
        let known = usage.user.as_deref().map(bounded);
        let named = match known.as_ref().or(usage.anonymous.as_ref()) {
            Some(name) => Some(self.home(tx, connection, &bounded(name))?),
            None => None,
        };
        let person = named.as_ref().map(|(_, person)| person.clone());
        if let Some(account) = usage.account.as_deref().and_then(Holder::account) {
            return Ok((account, person));
        }
        let home = named.map(|(holder, _)| holder);
        if let Some(account @ Holder::Account(_)) = home {
            return Ok((account, person));
        }
        if let Some(domain) = usage.email.as_deref().and_then(company_of) {
            return Ok((Holder::Account(domain), person));
        }
        // Strangers are many, and few of them ever say who they are.
        let is_person =
            known.is_some() || matches!(&home, Some(Holder::Person(name)) if Some(name) != usage.anonymous.as_ref());
        match home.filter(|_| is_person) {
            Some(holder) => {
                let new = tx.bytes(Tree::UsageOf, span_key(&holder, connection))?.is_none();
                let full = new && self.connection(tx, connection)?.counts.people >= PEOPLE;
                Ok((if full { Holder::Nobody } else { holder }, person))
            }
            None => Ok((Holder::Nobody, person)),
        }
    }

    fn feature(&mut self, tx: &mut Tx<'_>, connection: &str, name: &str) -> Result<String, LedgerError> {
        let name = bounded(name.trim());
        let known = self.connection(tx, connection)?;
        if known.features.contains(&name) {
            return Ok(name);
        }
        if known.features.len() >= FEATURES {
            return Ok(OTHER.to_owned());
        }
        known.features.insert(name.clone());
        known.news = true;
        Ok(name)
    }

    /// Puts what was counted into the transaction.
    pub fn write(mut self, tx: &mut Tx<'_>) -> Result<(), LedgerError> {
        let Some(now) = self.at else { return Ok(()) };
        let mut spans: BTreeMap<(Holder, String), (u16, u16)> = BTreeMap::new();
        for ((connection, day), cells) in std::mem::take(&mut self.cells) {
            for ((holder, feature), news) in cells {
                let key = cell_key(&connection, day, &holder, &feature);
                let mut cell = tx.cell(&key)?.unwrap_or_default();
                match news.pull {
                    pull if pull < cell.pull => continue,
                    pull if pull > cell.pull => cell = news,
                    _ => {
                        cell.count = cell.count.saturating_add(news.count);
                        cell.people.join(&news.people);
                    }
                }
                tx.put_cell(key, &cell);
                let span = spans.entry((holder, connection.clone())).or_insert((day, day));
                *span = (span.0.min(day), span.1.max(day));
            }
        }
        for ((holder, connection), (first, last)) in spans {
            if tx.stretch(&holder, &connection, first, last)? && matches!(holder, Holder::Person(_)) {
                self.connection(tx, &connection)?.counts.people += 1;
            }
            tx.touch(&holder, now)?;
        }
        for (name, connection) in &self.connections {
            if connection.counts != connection.before {
                tx.set_meta(&counts_name(name), &connection.counts)?;
            }
            if connection.news {
                tx.set_meta(&features_name(name), &connection.features)?;
            }
        }
        Ok(())
    }
}
