//! Web: receives webhooks and what our own apps send, and tells machines how the daemon is.
//!
//! The law: whatever comes in costs a bounded amount of memory and time, and nothing of an unverified body goes further
//! than its verification. What comes in is answered with a 2xx only when it is on disk.

mod address;
mod body;
mod hook;
mod keyed;
mod limits;
mod listen;
mod metrics;
mod places;
mod public;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use connectors::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use listen::Listening;

use crate::house::House;
use crate::intake::{Current, Door};
use crate::ledger::{FreeSpace, Tree};

/// Bytes of webhook bodies that may be in memory at once beyond the first [`body::PIECE`] of each, in KiB.
const BODIES_KIB: usize = 64 * 1024;

/// Readings of the ledger that may be under way for `/readyz`, and for `/metrics`: whoever asks more often waits, without
/// holding a thread.
const LOOKS: usize = 4;
const SCRAPES: usize = 1;

/// What the handlers share.
pub struct Web {
    current: Current,
    door: Door,
    free: FreeSpace,
    ledger_path: PathBuf,
    counts: Counts,
    /// A room that has died; the daemon is about to end.
    dead_room: Mutex<Option<String>>,
    bodies: Arc<Semaphore>,
    /// Of the first house: what the buckets remember outlives a reload, and so must what they count in.
    clock: Arc<dyn Clock>,
    buckets: limits::Buckets,
    scraped: metrics::Scraped,
    looks: Semaphore,
    scrapes: Semaphore,
}

impl Web {
    pub fn new(current: Current, door: Door, free: FreeSpace) -> Arc<Self> {
        let house = current.read().unwrap_or_else(PoisonError::into_inner).clone();
        Arc::new(Self {
            current,
            door,
            free,
            ledger_path: house.config.ledger.path.clone(),
            counts: Counts::default(),
            dead_room: Mutex::default(),
            bodies: Arc::new(Semaphore::new(BODIES_KIB)),
            clock: house.clock.clone(),
            buckets: limits::Buckets::default(),
            scraped: metrics::Scraped::default(),
            looks: Semaphore::new(LOOKS),
            scrapes: Semaphore::new(SCRAPES),
        })
    }

    /// The house as it is now; a reload replaces it.
    fn house(&self) -> Arc<House> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For `/readyz`, until the process ends.
    pub fn room_died(&self, room: &str) {
        *self.dead_room.lock().unwrap_or_else(PoisonError::into_inner) = Some(room.to_owned());
    }

    pub fn routes(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/hooks/{connection}", post(hook::receive))
            .route("/v1/{*path}", any(public::answer))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(scrape))
            .with_state(self.clone())
    }
}

/// Serves until [`Listening::stop`].
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(web: &Arc<Web>, address: SocketAddr) -> std::io::Result<Listening> {
    let listener = TcpListener::bind(address).await?;
    Listening::start(listener, web.clone(), web.routes())
}

/// Webhooks received, and refused by reason, per connection.
#[derive(Default)]
pub struct Counts {
    received: Mutex<BTreeMap<String, u64>>,
    refused: Mutex<BTreeMap<(String, &'static str), u64>>,
}

impl Counts {
    fn received(&self, connection: &str) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        match received.get_mut(connection) {
            Some(count) => *count += 1,
            None => drop(received.insert(connection.to_owned(), 1)),
        }
    }

    /// `connection` is one that exists: names that strangers make up are counted together.
    fn refused(&self, connection: &str, label: &'static str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry((connection.to_owned(), label)).or_default() += 1;
    }
}

async fn ready(State(web): State<Arc<Web>>) -> Response {
    let shared = web.clone();
    let _turn = shared.looks.acquire().await;
    let answer = tokio::task::spawn_blocking(move || readiness(&web)).await;
    let (ready, body) = answer.unwrap_or_else(|_| (false, json!({"ready": false, "why": "a bug"})));
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// Ready when what comes in can be put on disk and rooms work on it. A vendor that locked us out does not count: the
/// others are served.
fn readiness(web: &Web) -> (bool, Value) {
    let house = web.house();
    let free = (web.free)(&web.ledger_path);
    let kept = house.ledger.store().kept_free();
    let ledger = match house.ledger.store().get(Tree::Meta, b"") {
        Ok(_) if free < kept => format!("the disk is full: {free} bytes are free, {kept} are kept in reserve"),
        Ok(_) => "open".to_owned(),
        Err(error) => error.to_string(),
    };
    let died = web.dead_room.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let now = house.now();
    let connections: BTreeMap<&str, &str> = house
        .connections
        .values()
        .map(|open| {
            let state = match (open.locked(now).is_some(), open.is_attached()) {
                (true, _) => "locked",
                (false, true) => "attached",
                (false, false) => "waiting",
            };
            (open.name.as_str(), state)
        })
        .collect();
    let ready = ledger == "open" && died.is_none();
    let rooms = died.map_or_else(|| "at work".to_owned(), |room| format!("{room} has died"));
    (ready, json!({"ready": ready, "ledger": ledger, "rooms": rooms, "connections": connections}))
}

async fn scrape(State(web): State<Arc<Web>>) -> Response {
    let shared = web.clone();
    let _turn = shared.scrapes.acquire().await;
    let answer = tokio::task::spawn_blocking(move || metrics::text(&web)).await;
    match answer {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
