//! The triage room by itself, over a ledger in memory and without any vendor: what is near, what is one, what is a theme. What
//! people see of it at destinations is told in `tests/sync`.

#![expect(unreachable_pub, reason = "its words are for the tests of this binary")]

mod laws;
mod measured;
mod stability;
mod steps;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use loopd::config::{self, Config};
use loopd::daemon::{self, Materials};
use loopd::enrich::Offline;
use loopd::house::{House, Stage, Step};
use loopd::ledger::{Ledger, LedgerError, MemoryStore, NoProbe, TRIAGE, Tx, When};
use loopd::schema::{Author, Body, Entity, EntityId, EntityKind, Feedback, Theme};
use loopd::triage::Triage;
use loopd::view::view;
use serde_json::Value;

/// Time that moves only when told: it starts on Monday 2026-11-23 08:00 UTC.
#[derive(Default)]
pub struct TestClock(AtomicU64);

impl TestClock {
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).expect("a test"), Ordering::Relaxed);
    }
}

impl connectors::Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 23, 8, 0, 0).single().expect("a date") + self.monotonic()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

struct Bare(String);

impl config::World for Bare {
    fn read(&self, path: &Path) -> io::Result<String> {
        if path == Path::new("config.toml") { Ok(self.0.clone()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
    fn list(&self, _: &Path, _: &str) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn credentials(&self) -> Option<PathBuf> {
        None
    }
}

/// The room, and what it stands in.
pub struct Room {
    pub house: Arc<House>,
    pub clock: Arc<TestClock>,
    store: Arc<MemoryStore>,
    config: String,
    triage: Triage,
    runtime: tokio::runtime::Runtime,
}

fn house(store: &Arc<MemoryStore>, clock: &Arc<TestClock>, config: &str) -> Arc<House> {
    let machine = Bare(config.to_owned());
    let config: Config =
        config::load(&PathBuf::from("config.toml"), &machine).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let materials = Materials {
        ledger: Ledger::over(store.clone(), Arc::new(NoProbe)).expect("memory"),
        clock: clock.clone(),
        transport: Arc::new(|_: &str| unreachable!("no connection, no call")),
        classifier: Box::new(Offline::new(Vec::new())),
        vaults: loopd::vault::files(Path::new("nowhere")),
    };
    Arc::new(daemon::build(config, &machine, materials).expect("a good configuration"))
}

impl Room {
    pub fn bare() -> Self {
        Self::with("")
    }

    pub fn with(config: &str) -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::<TestClock>::default());
        let house = house(&store, &clock, config);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        Self { triage: Triage::new(house.clone()), house, clock, store, config: config.to_owned(), runtime }
    }

    /// The engine ends here and begins again.
    pub fn restart(&mut self) {
        self.house = house(&self.store, &self.clock, &self.config);
        self.triage = Triage::new(self.house.clone());
    }

    /// Somebody says something.
    pub fn say(&self, name: &str, change: impl Fn(&mut Feedback)) -> EntityId {
        self.clock.advance(Duration::from_secs(1));
        let id = EntityId::derive("test", "item", name);
        let before = self.house.ledger.entity(id).expect("memory");
        let mut feedback = before.as_ref().and_then(Entity::as_feedback).cloned().unwrap_or_else(|| Feedback {
            received_at: Some(self.house.now()),
            author: Author { handle: Some(format!("{name}-example")), ..Author::default() },
            ..Feedback::default()
        });
        change(&mut feedback);
        self.put(&Entity { id, body: Body::Feedback(Box::new(feedback)) });
        id
    }

    pub fn put(&self, entity: &Entity) {
        self.commit(|tx| {
            tx.put_entity(entity)?;
            tx.queue(TRIAGE, 0, entity.id.as_bytes(), When::Now, self.house.now())
        });
    }

    pub fn commit<T>(&self, work: impl FnMut(&mut Tx<'_>) -> Result<T, LedgerError>) -> T {
        self.house.ledger.transact(work).expect("memory")
    }

    /// All that is queued is done.
    pub fn work(&mut self) {
        self.clock.advance(Duration::from_secs(600));
        for _ in 0..100_000 {
            match self.runtime.block_on(self.triage.step()).expect("memory") {
                Step::Worked => {}
                Step::Idle { .. } => return,
            }
        }
        panic!("the room goes round in circles");
    }

    pub fn item(&self, id: EntityId) -> Feedback {
        let entity = self.house.ledger.entity(id).expect("memory").expect("it is there");
        entity.as_feedback().cloned().expect("feedback")
    }

    pub fn theme(&self, id: EntityId) -> Theme {
        let entity = self.house.ledger.entity(id).expect("memory").expect("it is there");
        entity.as_theme().cloned().expect("a theme")
    }

    pub fn themes(&self) -> Vec<EntityId> {
        self.house.ledger.ids(EntityKind::Theme).expect("memory")
    }

    /// What mappings see.
    pub fn seen(&self, id: EntityId) -> Value {
        let entity = self.house.ledger.entity(id).expect("memory").expect("it is there");
        view(&self.house.ledger, &entity, self.house.now()).expect("memory")
    }
}
