//! Granola: notes of calls, their transcripts, folders, and webhook endpoints.
//!
//! Enforced: 25 calls in any five seconds; at most 30 notes or folders and 100 segments a page; a transcript that is too long
//! makes its whole note a 413; only what is summarised and shared is there. (Granola's OpenAPI document as it has been copied,
//! and implementers' notes; read 2026-11-23.)
//!
//! Unconfirmed, and so decided here: `updated_after` includes its second; sharing and filing do not move `updated_at`; a
//! transcript of more than 500 segments is too long; a 429 does not say for how long.
//!
//! Left out: the audit log, which a normal key does not see either; the desktop app's own API.

mod desk;
mod errors;
mod hooks;
mod model;
mod notes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response};
use serde_json::{Map, Value};

pub use desk::NewCall;
pub use model::{Endpoint, Folder, Note, Person, Segment};

use crate::wire;
use crate::world::{Context, Outgoing, StandIn, Vendor};
use errors::{Answer, bad, missing, no_key, too_many};
use notes::Asked;

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const CALLS: usize = 25;
const WINDOW: TimeDelta = TimeDelta::seconds(5);

#[derive(Clone)]
pub struct Granola {
    tokens: BTreeSet<String>,
    key_scopes: Vec<String>,
    notes: BTreeMap<String, Note>,
    folders: BTreeMap<String, Folder>,
    endpoints: Vec<Endpoint>,
    inline_most: usize,
    no_webhooks: bool,
    /// Calls that a window takes.
    most: usize,
    /// The calls of the last five seconds.
    window: VecDeque<DateTime<Utc>>,
    /// What the subscriber said to the delivery that was just noted.
    last_status: Option<u16>,
}

impl Default for Granola {
    /// Empty, with one member's key ([`Vendor::token`]).
    fn default() -> Self {
        Self {
            tokens: BTreeSet::from([Vendor::Granola.token().to_owned()]),
            key_scopes: ["personal", "public"].map(str::to_owned).to_vec(),
            notes: BTreeMap::new(),
            folders: BTreeMap::new(),
            endpoints: Vec::new(),
            inline_most: 500,
            no_webhooks: false,
            most: CALLS,
            window: VecDeque::new(),
            last_status: None,
        }
    }
}

impl StandIn for Granola {
    fn handle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        self.answer(request, cx).unwrap_or_else(|refusal| refusal)
    }

    fn admit(&mut self, _request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        while self.window.front().is_some_and(|at| cx.now - *at >= WINDOW) {
            self.window.pop_front();
        }
        if self.window.len() >= self.most {
            return Err(too_many());
        }
        self.window.push_back(cx.now);
        Ok(())
    }

    /// Doubling from half a minute to twelve hours, for about four days.
    fn retry_after(&self, attempt: u32) -> Option<Duration> {
        let transient = self.last_status.is_none_or(|status| matches!(status, 408 | 429 | 500..=599));
        let wait = 30_u64.saturating_mul(2_u64.saturating_pow(attempt.saturating_sub(1))).min(12 * 3600);
        (transient && attempt <= 18).then(|| Duration::from_secs(wait))
    }

    fn operation(&self, request: &Request<Bytes>) -> String {
        let known = ["v1", "notes", "transcript", "folders", "audit", "webhook-endpoints"];
        let segments = wire::segments(request.uri().path());
        let path: Vec<&str> = segments
            .iter()
            .map(|segment| known.iter().copied().find(|known| known == segment).unwrap_or("{id}"))
            .filter(|segment| *segment != "v1")
            .collect();
        format!("{} {}", request.method(), path.join("/"))
    }

    fn throttle(&mut self, _request: &Request<Bytes>, _cx: &mut Context<'_>) -> Response<Bytes> {
        too_many()
    }

    fn freshen(&mut self, live: &Self) {
        self.tokens.clone_from(&live.tokens);
    }

    fn noted(&mut self, outgoing: &Outgoing, status: Option<u16>, cx: &mut Context<'_>) {
        self.note_attempt(outgoing, status, cx);
    }
}

impl Granola {
    fn answer(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        if !wire::bearer(request).is_some_and(|token| self.tokens.contains(token)) {
            return Err(no_key());
        }
        let segments = wire::segments(request.uri().path());
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let query = wire::query(request);
        let asked = Asked(&query);
        match (request.method(), &segments[..]) {
            (&Method::GET, ["v1", "notes"]) => self.list_notes(&asked),
            (&Method::GET, ["v1", "notes", id]) => self.get_note(id, &asked),
            (&Method::GET, ["v1", "notes", id, "transcript"]) => self.get_transcript(id, &asked),
            (&Method::GET, ["v1", "folders"]) => self.list_folders(&asked),
            (_, ["v1", "webhook-endpoints", ..]) if self.no_webhooks => Err(missing()),
            (&Method::GET, ["v1", "webhook-endpoints"]) => self.list_endpoints(),
            (&Method::POST, ["v1", "webhook-endpoints"]) => self.create_endpoint(&object(request)?, cx),
            (&Method::PATCH, ["v1", "webhook-endpoints", id]) => self.update_endpoint(id, &object(request)?),
            (&Method::DELETE, ["v1", "webhook-endpoints", id]) => self.delete_endpoint(id),
            _ => Err(missing()),
        }
    }
}

fn object(request: &Request<Bytes>) -> Result<Map<String, Value>, Response<Bytes>> {
    match serde_json::from_slice(request.body()) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(bad("the body must be a JSON object")),
    }
}

#[cfg(test)]
mod tests;
