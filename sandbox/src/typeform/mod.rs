//! Typeform: forms, their responses, and a webhook by tag at each form.
//!
//! Enforced: two calls a second for an account; at most 1,000 responses and 200 forms a page; `before` and `after` not with
//! `sort`; nothing at the wrong region; a lag between answering and being shown, where a desk sets one.
//! (Typeform developer pages and its API client 2.8.0, read 2026-11-23.)
//!
//! Left out: themes, images, messages, insights, logic; `response_id` and `token` are always the same.

mod desk;
mod errors;
mod forms;
mod hooks;
mod model;
mod responses;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};

pub use desk::NewResponse;
pub use model::{Form, Hook};

use crate::wire;
use crate::world::{Context, Outgoing, StandIn, Vendor};
use errors::{Answer, invalid, no_endpoint, ok, refuse, too_many};

const CALLS: usize = 2;
const WINDOW: TimeDelta = TimeDelta::seconds(1);

#[derive(Clone)]
pub struct Typeform {
    tokens: BTreeSet<String>,
    workspace: String,
    forms: BTreeMap<String, Form>,
    lag: TimeDelta,
    /// The base at which responses are shown; `None`: at every.
    responses_at: Option<String>,
    no_webhooks: bool,
    /// Calls that a window takes.
    most: usize,
    /// The calls of the last second.
    window: VecDeque<DateTime<Utc>>,
    /// What the subscriber said to the delivery that was just noted.
    last_status: Option<u16>,
}

impl Default for Typeform {
    /// Empty, with one token ([`Vendor::token`]) and one workspace.
    fn default() -> Self {
        Self {
            tokens: BTreeSet::from([Vendor::Typeform.token().to_owned()]),
            workspace: "sBxW0R".to_owned(),
            forms: BTreeMap::new(),
            lag: TimeDelta::zero(),
            responses_at: None,
            no_webhooks: false,
            most: CALLS,
            window: VecDeque::new(),
            last_status: None,
        }
    }
}

impl StandIn for Typeform {
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

    fn retry_after(&self, attempt: u32) -> Option<Duration> {
        let minutes = match self.last_status {
            Some(404 | 410) => None,
            // Every two to three minutes for ten hours.
            Some(408 | 423 | 429 | 503) => (attempt <= 240).then_some(if attempt.is_multiple_of(2) { 3 } else { 2 }),
            _ => [5, 10, 20, 60, 120].get(attempt as usize - 1).copied(),
        };
        minutes.map(|minutes: u64| Duration::from_secs(minutes * 60))
    }

    fn operation(&self, request: &Request<Bytes>) -> String {
        let segments = wire::segments(request.uri().path());
        let known = ["forms", "responses", "webhooks", "workspaces", "me"];
        let path: Vec<&str> = segments
            .iter()
            .map(|segment| known.iter().copied().find(|known| known == segment).unwrap_or("{id}"))
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

impl Typeform {
    fn answer(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        let Some(token) = wire::bearer(request) else {
            let why = "Authentication credentials not found on the Request Headers";
            return Err(refuse(StatusCode::UNAUTHORIZED, "AUTHENTICATION_FAILED", why));
        };
        if !self.tokens.contains(token) {
            return Err(refuse(StatusCode::UNAUTHORIZED, "AUTHENTICATION_FAILED", "Invalid credentials"));
        }
        let segments = wire::segments(request.uri().path());
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let query = wire::query(request);
        match (request.method(), &segments[..]) {
            (&Method::GET, ["me"]) => ok(
                &json!({"user_id": "01SANDBOX", "email": "loop@sandbox.example", "alias": "Loop Sandbox", "language": "en"}),
            ),
            (&Method::GET, ["workspaces"]) => {
                ok(&json!({"total_items": 1, "page_count": 1, "items": [self.show_workspace(cx)]}))
            }
            (&Method::GET, ["workspaces", id]) if *id == self.workspace => ok(&self.show_workspace(cx)),
            (&Method::GET, ["forms"]) => self.list_forms(&query, cx),
            (&Method::POST, ["forms"]) => self.create_form(&object(request)?, cx),
            (&Method::GET, ["forms", id]) => self.get_form(id, cx),
            (&Method::PUT, ["forms", id]) => self.put_form(id, &object(request)?, cx),
            (&Method::PATCH, ["forms", id]) => self.patch_form(id, &json_of(request)?, cx),
            (&Method::DELETE, ["forms", id]) => self.delete_form(id),
            (&Method::GET, ["forms", id, "responses"]) => self.list_responses(id, &query, cx),
            (&Method::DELETE, ["forms", id, "responses"]) => self.delete_responses(id, &query),
            (_, ["forms", _, "webhooks", ..]) if self.no_webhooks => {
                Err(refuse(StatusCode::FORBIDDEN, "FORBIDDEN", "Your plan does not include webhooks"))
            }
            (&Method::GET, ["forms", id, "webhooks"]) => self.list_hooks(id),
            (&Method::GET, ["forms", id, "webhooks", tag]) => self.get_hook(id, tag),
            (&Method::PUT, ["forms", id, "webhooks", tag]) => self.put_hook(id, tag, &object(request)?, cx),
            (&Method::DELETE, ["forms", id, "webhooks", tag]) => self.delete_hook(id, tag),
            _ => Err(no_endpoint()),
        }
    }

    fn responses_home<'c>(&'c self, cx: &'c Context<'_>) -> &'c str {
        self.responses_at.as_deref().unwrap_or(cx.base)
    }

    fn show_workspace(&self, cx: &Context<'_>) -> Value {
        json!({
            "id": self.workspace, "name": "Sandbox", "default": true, "shared": false,
            "forms": {"count": self.forms.len(), "href": format!("{}/forms?workspace_id={}", cx.base, self.workspace)},
            "self": {"href": format!("{}/workspaces/{}", cx.base, self.workspace)},
        })
    }
}

fn json_of(request: &Request<Bytes>) -> Result<Value, Response<Bytes>> {
    serde_json::from_slice(request.body()).map_err(|_| invalid("", "body", "the body is no JSON"))
}

fn object(request: &Request<Bytes>) -> Result<Map<String, Value>, Response<Bytes>> {
    match json_of(request)? {
        Value::Object(object) => Ok(object),
        _ => Err(invalid("", "body", "the body must be a JSON object")),
    }
}

#[cfg(test)]
mod tests;
