//! A house for tests of one step: a ledger in memory, no connection, a clock that stands; and a model that says what it is told to,
//! where a test wants one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use connectors::model::{Chat, ChatRequest, Embedded, Finish, Model, Tokens};
use connectors::{Clock, Fault};

use crate::config::{World, load_text};
use crate::house::House;
use crate::ledger::{Ledger, MemoryStore, NoProbe};
use crate::model::Models;
use crate::schema::{Body, Customer, Entity, EntityId, Feedback, Theme};

pub(crate) const NOW: DateTime<Utc> = DateTime::from_timestamp(1_795_000_000, 0).expect("a time");

struct Stands;

impl Clock for Stands {
    fn now(&self) -> DateTime<Utc> {
        NOW
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Says the same to every question, and remembers what it was asked.
pub(crate) struct Says {
    says: String,
    asked: Mutex<Vec<String>>,
}

impl Says {
    /// All that has left the house.
    pub(crate) fn heard(&self) -> String {
        self.asked.lock().expect("one thread").join("\n")
    }
}

#[async_trait]
impl Model for Says {
    async fn chat(&self, request: &ChatRequest) -> Result<Chat, Fault> {
        self.asked.lock().expect("one thread").push(format!("{}\n{}", request.system, request.user));
        Ok(Chat {
            text: self.says.clone(),
            model: request.model.clone(),
            finish: Finish::Stop,
            tokens: Tokens::default(),
        })
    }
    async fn embed(&self, _: &str, _: &[String]) -> Result<Embedded, Fault> {
        Err(Fault::rejected("no"))
    }
}

struct Bare;

impl World for Bare {
    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn list(&self, _: &Path, _: &str) -> io::Result<Vec<PathBuf>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn credentials(&self) -> Option<PathBuf> {
        None
    }
}

/// A house whose model answers every question so.
pub(crate) fn house_where_a_model_says(config: &str, says: &serde_json::Value) -> (House, Arc<Says>) {
    let model = Arc::new(Says { says: says.to_string(), asked: Mutex::default() });
    let mut house = house(config);
    house.models = Models::new(Some(model.clone()), BTreeMap::new());
    (house, model)
}

pub(crate) fn house(config: &str) -> House {
    let config = load_text("config.toml", config, Path::new("/etc/loopd"), &Bare);
    let config = config.unwrap_or_else(|problems| panic!("{problems:#?}"));
    House {
        classifier: crate::daemon::classifier(&config),
        config,
        ledger: Ledger::over(Arc::new(MemoryStore::new()), Arc::new(NoProbe)).expect("a ledger in memory"),
        clock: Arc::new(Stands),
        connections: BTreeMap::new(),
        models: Models::default(),
        near: super::Near::default(),
    }
}

pub(crate) fn id(number: u8) -> EntityId {
    EntityId::from_bytes([number; 16])
}

#[expect(clippy::needless_pass_by_value, reason = "tests make bodies on the spot")]
pub(crate) fn put(house: &House, number: u8, body: Body) -> EntityId {
    let id = id(number);
    house.ledger.transact(|tx| tx.put_entity(&Entity { id, body: body.clone() })).expect("memory");
    id
}

pub(crate) fn feedback(verbatim: &str) -> Feedback {
    Feedback { verbatim: Some(verbatim.into()), received_at: Some(NOW), ..Feedback::default() }
}

pub(crate) fn customer(name: &str, arr: f64) -> Body {
    Body::Customer(Box::new(Customer { name: Some(name.into()), arr: Some(arr), ..Customer::default() }))
}

pub(crate) fn theme(name: &str) -> Body {
    Body::Theme(Box::new(Theme { name: Some(name.into()), ..Theme::default() }))
}

pub(crate) fn read(house: &House, id: EntityId) -> Entity {
    house.ledger.entity(id).expect("memory").expect("it is there")
}
