//! Backfill: sets streams back to their beginning, so that they are read again.
//!
//! The laws: only positions move. What was read before is recognised and no news; what was missed is taken in. A backfill
//! is through when its source has been read and what that brought is normalized: no other connection can hold it up.

use chrono::{DateTime, Utc};
use connectors::Source;
use serde::{Deserialize, Serialize};

use crate::house::House;
use crate::ledger::{LedgerError, Position, fetch_lane};
use crate::report::Status;
use crate::report::status::State;

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

/// How far a backfill is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub standings: Vec<Standing>,
    /// The connection reads records one by one, or what it brought is not normalized yet.
    pub busy: bool,
    /// Why it cannot go on by itself.
    pub stopped: Option<String>,
}

impl Progress {
    pub fn records(&self) -> u64 {
        self.standings.iter().map(|standing| standing.records).sum()
    }

    /// All streams have been read to their end.
    pub fn is_read(&self) -> bool {
        self.standings.iter().all(|standing| standing.caught_up.is_some())
    }
}

/// What stopped these streams before is tried again; it is noted anew if it still stands.
///
/// # Errors
/// A ledger that cannot be written.
pub fn forget_conditions(house: &House, connection: &str, streams: &[String]) -> Result<(), LedgerError> {
    house.ledger.transact(|tx| {
        tx.clear(connection, "locked")?;
        tx.clear(connection, "attach")?;
        for stream in streams {
            tx.clear(connection, &format!("stream {stream}"))?;
        }
        Ok(())
    })
}

/// How far the streams are. What other connections do, or cannot do, is none of a backfill's.
///
/// # Errors
/// A ledger that cannot be read.
pub fn progress(house: &House, connection: &str, streams: &[String]) -> Result<Progress, LedgerError> {
    let ledger = &house.ledger;
    let mut standings = Vec::new();
    for stream in streams {
        let position = ledger.position(connection, stream)?;
        standings.push(Standing { stream: stream.clone(), records: position.records, caught_up: position.caught_up });
    }
    let busy = ledger.next_due(&fetch_lane(connection), 1)?.is_some() || ledger.has_input_of(connection)?;
    let concerns = |name: &str| name == "attach" || streams.iter().any(|stream| name == format!("stream {stream}"));
    let stopped = ledger.conditions()?.into_iter().find_map(|(of, name, condition)| {
        (of == connection && (condition.stops || concerns(&name))).then(|| format!("{name}: {}", condition.what))
    });
    Ok(Progress { standings, busy, stopped })
}

/// Something that a backfill leaves behind, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rest {
    pub queue: String,
    pub items: usize,
    pub why: String,
}

/// What still waits, where, and why.
pub fn rest(status: &Status) -> Vec<Rest> {
    let waits = status.queues.iter().filter(|queue| queue.items > 0);
    waits
        .map(|queue| {
            let connection = queue.name.split_once('/').map(|(_, connection)| connection);
            let open = status.connections.iter().find(|open| Some(open.name.as_str()) == connection);
            let why = match open {
                Some(open) if open.state == State::Unopened => format!("{} lacks a secret", open.name),
                Some(open) if !open.conditions.is_empty() => {
                    let words =
                        open.conditions.iter().map(|condition| format!("{}: {}", condition.name, condition.what));
                    words.collect::<Vec<_>>().join("; ")
                }
                None if connection.is_some() => "the configuration has no such connection".to_owned(),
                _ if status.daemon => "its turn comes; the daemon is at it".to_owned(),
                _ => "`loopd run` goes on with it".to_owned(),
            };
            Rest { queue: queue.name.clone(), items: queue.items, why }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::status::{Condition, Connection, Queue};

    #[test]
    fn what_waits_is_told_with_its_reason() {
        let connection = |name: &str, state, conditions| Connection {
            name: name.into(),
            kind: "github".into(),
            state,
            webhook: false,
            calls: 0,
            throttled: 0,
            quota_calls: 1,
            quota_seconds: 1.0,
            quota_wait_seconds: None,
            conditions,
        };
        let queue = |name: &str, items| Queue { name: name.into(), items, oldest: None };
        let at = DateTime::UNIX_EPOCH;
        let locked = Condition { name: "locked".into(), what: "the token was revoked".into(), since: at, stops: true };
        let status = Status {
            at,
            version: String::new(),
            daemon: false,
            connections: vec![
                connection("down", State::Locked, vec![locked]),
                connection("shut", State::Unopened, vec![]),
                connection("slow", State::Idle, vec![]),
            ],
            streams: vec![],
            queues: ["normalize", "sync/down", "sync/shut", "sync/slow", "sync/gone"].map(|name| queue(name, 3)).into(),
            dead: 0,
            messages: 0,
            questions: 0,
            doubtful_customers: 0,
            review: Default::default(),
            ledger_bytes: 0,
            usage: std::collections::BTreeMap::new(),
            conditions: vec![],
            needs: vec![],
        };
        let whys: Vec<String> = rest(&status).into_iter().map(|rest| rest.why).collect();
        assert_eq!(
            whys,
            [
                "`loopd run` goes on with it",
                "locked: the token was revoked",
                "shut lacks a secret",
                "`loopd run` goes on with it",
                "the configuration has no such connection",
            ]
        );
        assert_eq!(rest(&Status { daemon: true, ..status })[0].why, "its turn comes; the daemon is at it");
    }
}
