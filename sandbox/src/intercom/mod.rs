//! Intercom's REST API: conversations with their parts, contacts, companies, tags, admins. (Vendor sheet and OpenAPI 2.16,
//! read 2026-11-23.)
//!
//! The law: calls are counted in slices of ten seconds, and every answer tells where the slice stands; times are whole
//! seconds; every refusal is an `error.list` with a request id. Stored bodies are HTML; webhooks carry plain text since 2.15.

mod change;
mod companies;
mod conversations;
mod desk;
mod errors;
mod model;
mod page;
mod people;
mod route;
mod search;
mod show;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

pub use desk::NewCompany;
pub use model::{Author, Company, Contact, Conversation, Part, State};

use crate::wire;
use crate::world::{Context, StandIn, Vendor};
use errors::{Answer, no_such_page, ok, refuse};
use model::{Admin, Scroll, Webhook};
use route::Call;

/// 10,000 calls a minute, counted in slices of ten seconds (vendor sheet section 6, 2026-11-23).
const A_SLICE: u64 = 1_666;
const SLICE_SECONDS: i64 = 10;
/// The app's version until [`Intercom::set_version`].
const VERSION: u32 = 16;

#[derive(Clone)]
pub struct Intercom {
    app_id: String,
    app_package_code: String,
    /// The admin who installed the app, and the teammate who sits at the desk.
    app_admin: u64,
    teammate: u64,
    version: u32,
    tokens: BTreeSet<String>,
    admins: BTreeMap<u64, Admin>,
    contacts: BTreeMap<String, Contact>,
    companies: BTreeMap<String, Company>,
    conversations: BTreeMap<u64, Conversation>,
    /// Ids and times, oldest first.
    deleted: Vec<(u64, i64)>,
    tags: BTreeMap<u64, String>,
    webhook: Option<Webhook>,
    scroll: Option<Scroll>,
    /// Which slice is being counted, and how far.
    slice: (i64, u64),
    last_id: u64,
}

impl Default for Intercom {
    /// Empty, with one token ([`Vendor::token`]), the admin who installed the app, and a teammate.
    fn default() -> Self {
        let mut new = Self {
            app_id: "sbx1app0".to_owned(),
            app_package_code: "loopd-sandbox".to_owned(),
            app_admin: 0,
            teammate: 0,
            version: VERSION,
            tokens: BTreeSet::from([Vendor::Intercom.token().to_owned()]),
            admins: BTreeMap::new(),
            contacts: BTreeMap::new(),
            companies: BTreeMap::new(),
            conversations: BTreeMap::new(),
            deleted: Vec::new(),
            tags: BTreeMap::new(),
            webhook: None,
            scroll: None,
            slice: (0, 0),
            last_id: 7_100_000,
        };
        new.app_admin = new.add_admin("Loop Sandbox", "loop@sandbox.example");
        new.teammate = new.add_admin("Tamsin Teammate", "tamsin@sandbox.example");
        new
    }
}

impl StandIn for Intercom {
    fn handle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        self.answer(request, cx).unwrap_or_else(|refusal| refusal)
    }

    fn admit(&mut self, _request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        let slice = cx.now.timestamp().div_euclid(SLICE_SECONDS);
        if self.slice.0 != slice {
            self.slice = (slice, 0);
        }
        if self.slice.1 >= A_SLICE {
            return Err(too_many());
        }
        self.slice.1 += 1;
        Ok(())
    }

    /// Once, after a minute. (Unconfirmed: of two third-party notes, the more modest.)
    fn retry_after(&self, attempt: u32) -> Option<Duration> {
        (attempt == 1).then_some(Duration::from_secs(60))
    }

    /// Searches read, though they are POSTs; the scroll moves on, though it is a GET.
    fn is_read(&self, request: &Request<Bytes>) -> bool {
        let path = request.uri().path().trim_end_matches('/');
        match *request.method() {
            Method::GET => !path.ends_with("/scroll"),
            _ => path.ends_with("/search") || path.ends_with("/companies/list"),
        }
    }

    fn operation(&self, request: &Request<Bytes>) -> String {
        let known = |segment: &str| {
            segment.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && !segment.is_empty()
        };
        let segments = wire::segments(request.uri().path());
        let path: Vec<&str> =
            segments.iter().map(|segment| if known(segment) { segment.as_str() } else { "{id}" }).collect();
        format!("{} {}", request.method(), path.join("/"))
    }

    fn throttle(&mut self, _request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        self.slice = (cx.now.timestamp().div_euclid(SLICE_SECONDS), A_SLICE);
        too_many()
    }

    fn finish(
        &mut self,
        _request: &Request<Bytes>,
        mut response: Response<Bytes>,
        cx: &mut Context<'_>,
    ) -> Response<Bytes> {
        let id = cx.rng.uuid();
        if response.status().is_client_error() || response.status().is_server_error() {
            identify(&mut response, &id);
        }
        let reset = (self.slice.0 + 1) * SLICE_SECONDS;
        let headers = response.headers_mut();
        wire::set(headers, "x-request-id", &id);
        wire::set(headers, "x-ratelimit-limit", &A_SLICE.to_string());
        wire::set(headers, "x-ratelimit-remaining", &(A_SLICE - self.slice.1.min(A_SLICE)).to_string());
        wire::set(headers, "x-ratelimit-reset", &reset.to_string());
        response
    }

    fn freshen(&mut self, live: &Self) {
        self.tokens.clone_from(&live.tokens);
        self.scroll.clone_from(&live.scroll);
    }
}

impl Intercom {
    fn answer(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        if !wire::bearer(request).is_some_and(|token| self.tokens.contains(token)) {
            return Err(refuse(StatusCode::UNAUTHORIZED, "unauthorized", "Access Token Invalid"));
        }
        let call = Call::read(request, self.version)?;
        let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        match (&call.method, &segments[..]) {
            (&Method::GET, ["me"]) => {
                ok(&self.admins.get(&self.app_admin).map(|admin| self.show_me(admin)).unwrap_or_default())
            }
            (&Method::GET, ["admins"]) => ok(
                &json!({"type": "admin.list", "admins": self.admins.values().map(|admin| self.show_admin(admin)).collect::<Vec<_>>()}),
            ),
            (&Method::GET, ["admins", id]) => {
                let admin = id.parse().ok().and_then(|id: u64| self.admins.get(&id));
                let admin = admin.ok_or_else(|| refuse(StatusCode::NOT_FOUND, "admin_not_found", "Admin not found"))?;
                ok(&self.show_admin(admin))
            }
            (_, ["conversations", rest @ ..]) => self.conversation_route(rest, &call, cx),
            (_, ["contacts", rest @ ..]) => self.contact_route(rest, &call, cx),
            (_, ["companies", rest @ ..]) => self.company_route(rest, &call, cx),
            (&Method::GET, ["data_attributes"]) => self.attribute_route(&call),
            (_, ["tags", rest @ ..]) => self.tag_route(rest, &call),
            _ => Err(no_such_page()),
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

fn too_many() -> Response<Bytes> {
    refuse(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "Exceeded rate limit of 1666 in 10_seconds")
}

fn identify(response: &mut Response<Bytes>, id: &str) {
    if let Ok(Value::Object(mut body)) = serde_json::from_slice(response.body()) {
        body.insert("request_id".into(), id.into());
        *response.body_mut() = Bytes::from(Value::Object(body).to_string());
    }
}

#[cfg(test)]
mod tests;
