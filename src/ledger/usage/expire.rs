//! What goes: days whose time is over, people who were not met again, ids that no sender repeats any more; and what a vendor
//! tells no more.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use connectors::Whole;

use super::{
    Cell, Counts, Holder, Span, Standing, counted_day, counts_name, day_of, day_prefix, number, read_cell_key,
    read_span_key,
};
use crate::ledger::store::{Bytes, Tree};
use crate::ledger::{Ledger, LedgerError, decode, keys};

/// Rows that one look reads.
const PIECE: usize = 4096;

/// How far a walk over the trees has come. It begins anew after a restart; what it does is the same.
#[derive(Clone, Debug, Default)]
pub struct Expiry {
    /// The tree that it is in, and behind which key.
    at: usize,
    after: Option<Bytes>,
}

const TREES: [Tree; 4] = [Tree::Usage, Tree::UsageOf, Tree::Members, Tree::Counted];

impl Ledger {
    /// One piece of a walk that lets go of days before `now - days` and of ids before `now - ids`. `true`: there is more.
    pub fn expire_usage(
        &self,
        walk: &mut Expiry,
        now: DateTime<Utc>,
        days: u32,
        ids: u32,
    ) -> Result<bool, LedgerError> {
        let Some(tree) = TREES.get(walk.at).copied() else { return Ok(false) };
        let oldest = number(now.date_naive() - TimeDelta::days(days.into()));
        let oldest_id = number(now.date_naive() - TimeDelta::days(ids.into()));
        let rows = self.store().scan(tree, &[], walk.after.as_deref(), PIECE)?;
        let mut over: Vec<Bytes> = Vec::new();
        let mut next = None;
        for (key, value) in &rows {
            next = Some(key.clone());
            match tree {
                Tree::Usage => match read_cell_key(key) {
                    Some((_, day, ..)) if day < oldest => over.push(key.clone()),
                    Some((connection, ..)) => {
                        // Every later day of this connection stays.
                        next = Some([keys::texts(&[&connection]), vec![0xff; 3]].concat());
                        break;
                    }
                    None => {}
                },
                Tree::UsageOf if decode::<Span>(tree, value).is_ok_and(|span| number(span.first) < oldest) => {
                    over.push(key.clone());
                }
                Tree::Members if decode::<Standing>(tree, value).is_ok_and(|known| known.day < oldest) => {
                    over.push(key.clone());
                }
                Tree::Counted if counted_day(value).is_some_and(|day| day < oldest_id) => over.push(key.clone()),
                _ => {}
            }
        }
        for piece in over.chunks(256) {
            self.transact(|tx| {
                for key in piece {
                    match tree {
                        Tree::UsageOf => shorten(tx, key, oldest)?,
                        Tree::Members => {
                            let stays: Option<Standing> = tx.read(tree, key.clone())?;
                            if stays.is_some_and(|known| known.day < oldest) {
                                tx.remove(tree, key.clone());
                                if let Some(connection) = keys::read_first_text(key).map(|(name, _)| name) {
                                    forget_one(tx, &connection)?;
                                }
                            }
                        }
                        // A day that is over is not counted in any more, and an id is noted once.
                        _ => tx.remove(tree, key.clone()),
                    }
                }
                Ok(())
            })?;
        }
        match next {
            Some(next) => walk.after = Some(next),
            None => *walk = Expiry { at: walk.at + 1, after: None },
        }
        Ok(walk.at < TREES.len())
    }

    /// Takes out what an earlier pull brought of these days and this one did not.
    pub fn drop_untold(&self, connection: &str, whole: Whole) -> Result<(), LedgerError> {
        let is_untold = |value: &[u8]| Cell::decode(value).is_some_and(|cell| cell.pull != 0 && cell.pull < whole.pull);
        for day in number(whole.from)..=number(whole.to) {
            let mut untold: Vec<Bytes> = Vec::new();
            self.each(Tree::Usage, &day_prefix(connection, day), |key, value| {
                if is_untold(value) {
                    untold.push(key.to_vec());
                }
                Ok(true)
            })?;
            for piece in untold.chunks(256) {
                self.transact(|tx| {
                    for key in piece {
                        if tx.bytes(Tree::Usage, key.clone())?.is_some_and(|value| is_untold(&value)) {
                            tx.remove(Tree::Usage, key.clone());
                            if let Some((_, _, holder, _)) = read_cell_key(key) {
                                tx.touch(&holder, DateTime::from_timestamp_millis(whole.pull).unwrap_or_default())?;
                            }
                        }
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// The first day that is kept.
    pub fn first_usage_day(now: DateTime<Utc>, days: u32) -> NaiveDate {
        day_of(number(now.date_naive() - TimeDelta::days(days.into())))
    }
}

/// A span begins where the days that are kept begin, or goes with its last day.
fn shorten(tx: &mut crate::ledger::Tx<'_>, key: &[u8], oldest: u16) -> Result<(), LedgerError> {
    let Some(span): Option<Span> = tx.read(Tree::UsageOf, key.to_vec())? else { return Ok(()) };
    if number(span.last) >= oldest {
        return tx.write(Tree::UsageOf, key.to_vec(), &Span { first: day_of(oldest).max(span.first), ..span });
    }
    tx.remove(Tree::UsageOf, key.to_vec());
    match read_span_key(key) {
        Some((Holder::Person(_), connection)) => forget_one(tx, &connection),
        _ => Ok(()),
    }
}

fn forget_one(tx: &mut crate::ledger::Tx<'_>, connection: &str) -> Result<(), LedgerError> {
    let name = counts_name(connection);
    let counts: Counts = tx.meta(&name)?.unwrap_or_default();
    tx.set_meta(&name, &Counts { people: counts.people.saturating_sub(1), ..counts })
}
