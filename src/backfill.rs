//! Backfill: sets streams back to their beginning, so that they are read again.
//!
//! The law: only positions move. What was read before is recognised and no news; what was missed is taken in.

use chrono::{DateTime, Utc};
use connectors::Source;
use serde::{Deserialize, Serialize};

use crate::house::House;
use crate::ledger::{LedgerError, Position};

/// How far a stream has been read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub stream: String,
    /// Records so far, since it was set back.
    pub records: u64,
    pub caught_up: Option<DateTime<Utc>>,
}

/// The streams of a connection, or the one of that name. A name may leave out what follows its colon (`issues`).
pub fn streams(house: &House, connection: &str, wanted: Option<&str>) -> Vec<String> {
    let source = house.connections.get(connection).and_then(|open| open.connector.source());
    let names = source.map(Source::streams).unwrap_or_default().into_iter().map(|stream| stream.name);
    names.filter(|name| wanted.is_none_or(|wanted| name == wanted || name.split(':').next() == Some(wanted))).collect()
}

/// Sets streams back. Says, for each, how many records it had brought before: about so many are to come.
///
/// # Errors
/// A ledger that cannot be written.
pub fn set_back(house: &House, connection: &str, streams: &[String]) -> Result<u64, LedgerError> {
    let before = house.ledger.transact(|tx| {
        let mut before = 0;
        for stream in streams {
            before += tx.position(connection, stream)?.records;
            tx.set_position(connection, stream, &Position::default())?;
        }
        Ok(before)
    })?;
    house.ledger.durable()?;
    Ok(before)
}

/// How far the streams are, and how much is queued behind them.
///
/// # Errors
/// A ledger that cannot be read.
pub fn standing(house: &House, connection: &str, streams: &[String]) -> Result<(Vec<Standing>, u64), LedgerError> {
    let mut standings = Vec::new();
    for stream in streams {
        let position = house.ledger.position(connection, stream)?;
        standings.push(Standing { stream: stream.clone(), records: position.records, caught_up: position.caught_up });
    }
    let queued: usize = house.ledger.queues()?.values().map(|(count, _)| count).sum();
    Ok((standings, (queued + house.ledger.count(crate::ledger::Tree::Inbox)?) as u64))
}

/// All have been read to their end.
pub fn is_through(standings: &[Standing]) -> bool {
    standings.iter().all(|standing| standing.caught_up.is_some())
}
