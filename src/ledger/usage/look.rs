//! Reading what was counted.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::{
    Cell, Counts, Holder, Span, corrupt, counts_name, day_of, day_prefix, number, read_cell_key, read_span_key,
};
use crate::ledger::store::Tree;
use crate::ledger::{Ledger, LedgerError, decode, keys};

/// One cell: connection, day, whose, feature, and what was counted.
pub(in crate::ledger) type Counted<'a> = (&'a str, NaiveDate, &'a Holder, &'a str, Cell);

impl Ledger {
    /// The connections of which something was counted.
    pub fn usage_connections(&self) -> Result<Vec<String>, LedgerError> {
        let mut names: Vec<String> = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        while let Some((key, _)) = self.store().scan(Tree::Usage, &[], after.as_deref(), 1)?.into_iter().next() {
            let Some((name, _)) = keys::read_first_text(&key) else {
                return Err(corrupt(Tree::Usage, "a key is connection, day, whose, feature"));
            };
            // Beyond every day of this connection.
            after = Some([keys::texts(&[&name]), vec![0xff; 3]].concat());
            names.push(name);
        }
        Ok(names)
    }

    /// Everything that was counted on some days, both included.
    pub fn usage_between(
        &self,
        from: NaiveDate,
        to: NaiveDate,
        mut see: impl FnMut(Counted<'_>) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        for connection in self.usage_connections()? {
            let mut after = Some(day_prefix(&connection, number(from)));
            while let Some(place) = after.take() {
                let rows = self.store().scan(Tree::Usage, &keys::texts(&[&connection]), Some(&place), 512)?;
                for (key, value) in &rows {
                    let Some((_, day, holder, feature)) = read_cell_key(key) else {
                        return Err(corrupt(Tree::Usage, "a key is connection, day, whose, feature"));
                    };
                    if day > number(to) {
                        after = None;
                        break;
                    }
                    let cell = Cell::decode(value).ok_or_else(|| corrupt(Tree::Usage, "no cell"))?;
                    see((&connection, day_of(day), &holder, &feature, cell))?;
                    after = Some(key.clone());
                }
            }
        }
        Ok(())
    }

    /// What was counted for one holder in a connection on some days, both included.
    pub fn usage_of(
        &self,
        holder: &Holder,
        connection: &str,
        from: NaiveDate,
        to: NaiveDate,
        mut see: impl FnMut(NaiveDate, &str, Cell),
    ) -> Result<(), LedgerError> {
        for day in number(from)..=number(to) {
            self.each(Tree::Usage, &super::holder_prefix(connection, day, holder), |key, value| {
                if let (Some((_, _, _, feature)), Some(cell)) = (read_cell_key(key), Cell::decode(value)) {
                    see(day_of(day), &feature, cell);
                }
                Ok(true)
            })?;
        }
        Ok(())
    }

    /// In which connections something was counted for this holder, and when.
    pub fn usage_spans(&self, holder: &Holder) -> Result<Vec<(String, Span)>, LedgerError> {
        let mut spans = Vec::new();
        self.each(Tree::UsageOf, &keys::texts(&[&holder.to_key()]), |key, value| {
            if let Some((_, connection)) = read_span_key(key) {
                spans.push((connection, decode(Tree::UsageOf, value)?));
            }
            Ok(true)
        })?;
        Ok(spans)
    }

    /// What has come by each connection since the beginning, of these.
    pub fn usage_counts<'a>(
        &self,
        connections: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, Counts>, LedgerError> {
        let mut counts = BTreeMap::new();
        for name in connections {
            if let Some(found) = self.get(Tree::Meta, &keys::texts(&[&counts_name(name)]))? {
                counts.insert(name.to_owned(), found);
            }
        }
        Ok(counts)
    }
}
