//! The room that lets a changed configuration reach what is in the ledger already.
//!
//! The law: what a record should be follows from its entity *and* from the mappings and routes. So for each of these the
//! ledger remembers, as a digest, under which it was last gone through as a whole; where another is in force now,
//! everything that depends on it is looked at again: entities are queued for sync, and what is kept of a source's
//! records is drawn anew. A walk goes in pieces, its place is in the same commit, a crash resumes it and another
//! change begins it again. Its work ranks behind all other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::house::{House, Stage, Step, Stop};
use crate::ledger::{LedgerError, TRIAGE, Tx, When, digest, sync_lane};
use crate::mapping::{Expression, FromMapping, IntoMapping};
use crate::normalize::redraw;
use crate::schema::{EntityId, EntityKind};
use crate::sync::{BEHIND, RANKS, item};
use crate::triage;

const LANE: &str = "reconcile";
/// Where [`Walks`] stand in `meta`.
const WALKS: &str = "walks";
/// Under these names conditions are raised that belong to no connection.
const NO_CONNECTIONS: [&str; 6] = ["loopd", "customers", "close", "model", "review", "themes"];
/// Rows a commit.
const PIECE: usize = 64;

/// Each walk by its name, and how far it is.
type Walks = BTreeMap<String, Walk>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Walk {
    /// Of the configuration under which it goes.
    digest: u64,
    /// The last row that it looked at.
    after: Option<String>,
    through: bool,
}

/// What is gone through when its part of the configuration changes.
enum Ground<'a> {
    /// The entities that a mapping, and the routes beside it, bring into a collection.
    Entities(&'a IntoMapping),
    /// What is kept of a source's records.
    Kept(&'a FromMapping),
    /// What is kept no longer: it is forgotten that it was seen, so that `loopd backfill` draws it anew.
    Seen(&'a FromMapping),
    /// What was judged by other prompts or models, or not at all.
    Judged,
}

impl Ground<'_> {
    fn name(&self) -> String {
        match self {
            Self::Entities(into) => format!("into {}.{} {}", into.connection, into.collection, into.entity.name()),
            Self::Kept(from) => format!("from {}.{}", from.connection, from.collection),
            Self::Seen(from) => format!("seen {}.{}", from.connection, from.collection),
            Self::Judged => "judged".into(),
        }
    }

    /// Of all that the outcome depends on beside the row itself.
    fn digest(&self, house: &House) -> Result<u64, LedgerError> {
        match self {
            Self::Entities(into) => {
                let routes: Vec<Option<&str>> = routes(house, into).map(|when| when.map(Expression::text)).collect();
                let homes: Vec<Option<&str>> =
                    into.fields.values().map(|lens| lens.link.as_ref()?.collection.as_deref()).collect();
                digest(&(into.digest(), routes, homes))
            }
            Self::Kept(from) | Self::Seen(from) => {
                let tiers =
                    (from.entity == EntityKind::Customer).then(|| format!("{:?}", house.config.customers.tiers));
                digest(&(from.digest(), tiers, &house.config.customers.rules))
            }
            Self::Judged => digest(&triage::judged_by(house)),
        }
    }

    /// The rows after `after`, in their order.
    fn rows(&self, house: &House, after: Option<&str>) -> Result<Vec<String>, LedgerError> {
        let ledger = &house.ledger;
        match self {
            Self::Entities(_) | Self::Judged => {
                let after = after.and_then(|id| id.parse().ok());
                Ok(ledger.entities_after(after, PIECE)?.iter().map(EntityId::to_string).collect())
            }
            Self::Kept(from) => ledger.raw_after(&from.connection, &from.collection, after, PIECE),
            Self::Seen(from) => ledger.seen_after(&from.connection, &from.collection, after, PIECE),
        }
    }

    fn look_at(&self, house: &House, tx: &mut Tx<'_>, row: &str) -> Result<(), LedgerError> {
        match self {
            Self::Entities(into) => queue(house, tx, into, row),
            Self::Kept(from) => match tx.raw(&from.connection, &from.collection, row)? {
                Some(input) => redraw(house, tx, input),
                None => Ok(()),
            },
            Self::Seen(from) => {
                if tx.raw(&from.connection, &from.collection, row)?.is_none() {
                    tx.forget_seen(&from.connection, &from.collection, row);
                }
                Ok(())
            }
            Self::Judged => judge_again(house, tx, row),
        }
    }

    fn tell(&self, house: &House) -> Result<(), LedgerError> {
        match self {
            Self::Entities(into) => {
                let (connection, collection) = (&into.connection, &into.collection);
                let records = house.ledger.count_of(into.entity)?;
                if records > 0 {
                    tracing::info!(%connection, %collection, records, "mapping {connection}.{collection} has changed: {records} records are looked at again");
                }
            }
            Self::Kept(from) => {
                let (connection, collection) = (&from.connection, &from.collection);
                let records = house.ledger.raw_count(connection, collection)?;
                if records > 0 {
                    tracing::info!(%connection, %collection, records, "mapping {connection}.{collection} has changed: {records} records are drawn again; what is kept no longer takes `loopd backfill {connection}`");
                }
            }
            Self::Judged => {
                let items = house.ledger.count_of(EntityKind::Feedback)?;
                if items > 0 {
                    tracing::info!(
                        items,
                        "what judges has changed: {items} items are looked at again, and asked about where nothing is known yet"
                    );
                }
            }
            Self::Seen(_) => {}
        }
        Ok(())
    }
}

/// The conditions of the routes into a mapping's collection.
fn routes<'a>(house: &'a House, into: &'a IntoMapping) -> impl Iterator<Item = Option<&'a Expression>> {
    let here = |route: &&crate::config::Route| {
        route.entity == into.entity && route.connection == into.connection && route.collection == into.collection
    };
    house.config.routes.iter().filter(here).map(|route| route.when.as_ref())
}

/// The sync room compares, and writes only what differs.
fn queue(house: &House, tx: &mut Tx<'_>, into: &IntoMapping, id: &str) -> Result<(), LedgerError> {
    let Some(id) = id.parse::<EntityId>().ok() else { return Ok(()) };
    let Some(entity) = tx.entity(id)? else { return Ok(()) };
    let (connection, collection) = (&into.connection, &into.collection);
    // A link alone is no reason to write: it may be that of the record where the entity came from.
    if entity.kind() != into.entity || routes(house, into).next().is_none() {
        return Ok(());
    }
    let rank = BEHIND + entity.kind().rank();
    tx.queue(&sync_lane(connection), rank, &item(id, collection), When::Now, house.now())
}

/// The triage room asks only what was not answered by the prompt and the models in force.
fn judge_again(house: &House, tx: &mut Tx<'_>, id: &str) -> Result<(), LedgerError> {
    let Some(id) = id.parse::<EntityId>().ok() else { return Ok(()) };
    match tx.entity(id)? {
        Some(entity) if entity.kind() == EntityKind::Feedback => {
            tx.queue(TRIAGE, 1, id.as_bytes(), When::Now, house.now())
        }
        _ => Ok(()),
    }
}

pub struct Reconcile {
    house: Arc<House>,
    begun: bool,
    through: bool,
}

impl Reconcile {
    pub fn new(house: Arc<House>) -> Self {
        Self { house, begun: false, through: false }
    }

    fn grounds(&self) -> impl Iterator<Item = Ground<'_>> {
        let (mappings, connections) = (&self.house.config.mappings, &self.house.config.connections);
        let into = mappings.into.iter().filter(|into| connections.contains_key(&into.connection));
        let kept = mappings.from.iter().map(Ground::Kept);
        let seen = mappings.from.iter().map(Ground::Seen);
        kept.chain(seen).chain(into.map(Ground::Entities)).chain([Ground::Judged])
    }

    /// What belongs to connections that are configured no more: what is wrong there concerns nobody, and what was to be
    /// written or read there is let go, since all of it is looked at again should the connection come back. Messages that a
    /// person approved are kept until then.
    fn leave(&self) -> Result<(), LedgerError> {
        let house = &*self.house;
        let known = |connection: &str| house.config.connections.contains_key(connection);
        for (connection, name, _) in house.ledger.conditions()? {
            if !known(&connection) && !NO_CONNECTIONS.contains(&connection.as_str()) {
                house.ledger.transact(|tx| tx.clear(&connection, &name))?;
            }
        }
        for (lane, (count, _)) in house.ledger.queues()? {
            match lane.split_once('/').filter(|(_, connection)| !known(connection)) {
                Some(("sync" | "fetch", connection)) => {
                    tracing::warn!(
                        connection,
                        count,
                        "{connection} is configured no more: {count} records that waited for it are let go"
                    );
                    self.let_go(&lane)?;
                }
                Some((_, connection)) => {
                    tracing::warn!(
                        connection,
                        count,
                        "{connection} is configured no more: {count} messages wait until it is"
                    );
                }
                None => {}
            }
        }
        Ok(())
    }

    fn let_go(&self, lane: &str) -> Result<(), LedgerError> {
        let ledger = &self.house.ledger;
        loop {
            let claims = ledger.due(lane, RANKS, DateTime::<Utc>::MAX_UTC, PIECE)?;
            if claims.is_empty() {
                return Ok(());
            }
            ledger.transact(|tx| {
                claims.iter().try_for_each(|claim| tx.finish(lane, &claim.item, claim.slot.stamp, self.house.now()))
            })?;
        }
    }

    /// Begins a walk wherever another configuration is in force than the last walk saw.
    fn begin(&self) -> Result<(), LedgerError> {
        let mut changed = Vec::new();
        let mut wanted = BTreeMap::new();
        let mut forgets = BTreeSet::new();
        for ground in self.grounds() {
            if matches!(ground, Ground::Seen(_)) {
                forgets.insert(ground.name());
            }
            wanted.insert(ground.name(), ground.digest(&self.house)?);
        }
        let begun = self.house.ledger.transact(|tx| {
            let before: Walks = tx.meta(WALKS)?.unwrap_or_default();
            let mut begun = Vec::new();
            let mut walks = Walks::new();
            for (name, digest) in &wanted {
                // What is configured no more is forgotten: when it comes back, it has missed what happened meanwhile.
                let walk = before.get(name).filter(|walk| walk.digest == *digest).cloned();
                let walk = walk.unwrap_or_else(|| {
                    begun.push(name.clone());
                    // At the very first start nothing was drawn by another mapping, and what has just come in may wait in
                    // the inbox yet: not kept, and not to be forgotten.
                    let through = before.is_empty() && forgets.contains(name);
                    Walk { digest: *digest, after: None, through }
                });
                walks.insert(name.clone(), walk);
            }
            if walks != before {
                tx.set_meta(WALKS, &walks)?;
            }
            Ok(begun)
        })?;
        changed.extend(self.grounds().filter(|ground| begun.contains(&ground.name())));
        changed.iter().try_for_each(|ground| ground.tell(&self.house))
    }

    /// One piece of the first walk that is not through. `false`: all are.
    fn walk(&self) -> Result<bool, LedgerError> {
        let house = &*self.house;
        let walks: Walks = house.ledger.transact(|tx| tx.meta(WALKS))?.unwrap_or_default();
        let next = self.grounds().find_map(|ground| {
            let (name, walk) = walks.get_key_value(&ground.name())?;
            (!walk.through).then(|| (ground, name.clone(), walk.clone()))
        });
        let Some((ground, name, walk)) = next else { return Ok(false) };
        let rows = ground.rows(house, walk.after.as_deref())?;
        let after = rows.last().cloned().or_else(|| walk.after.clone());
        let next = Walk { after, through: rows.len() < PIECE, ..walk.clone() };
        house.ledger.transact(|tx| {
            for row in &rows {
                let mark = tx.mark();
                match ground.look_at(house, tx, row) {
                    Err(LedgerError::Corrupt { tree, why }) => {
                        // One bad row must not stop the others.
                        tx.back_to(mark);
                        tracing::error!(
                            tree,
                            why,
                            "a row cannot be read and is left out; `loopd ledger verify` shows it"
                        );
                    }
                    looked => looked?,
                }
            }
            let mut walks: Walks = tx.meta(WALKS)?.unwrap_or_default();
            walks.insert(name.clone(), next.clone());
            tx.set_meta(WALKS, &walks)
        })?;
        Ok(true)
    }
}

#[async_trait]
impl Stage for Reconcile {
    fn name(&self) -> String {
        LANE.into()
    }

    fn lane(&self) -> String {
        LANE.into()
    }

    async fn step(&mut self) -> Result<Step, Stop> {
        // The configuration of a house never changes: once is enough.
        if self.through {
            return Ok(Step::Idle { until: None });
        }
        if !self.begun {
            self.leave()?;
            self.begin()?;
            self.begun = true;
        }
        self.through = !self.walk()?;
        Ok(if self.through { Step::Idle { until: None } } else { Step::Worked })
    }
}
