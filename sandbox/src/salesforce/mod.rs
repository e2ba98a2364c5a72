//! Salesforce: an org with its REST and Tooling APIs, its sign-in, its permissions and its limits (vendor sheet, read
//! 2026-11-23).
//!
//! The law: a row is saved whole or not at all, and each row of a collection by itself; what a user's permission sets do
//! not show is not there for the API.

mod access;
mod auth;
mod collections;
mod describe;
mod desk;
mod model;
mod query;
mod refusal;
mod rest;
mod save;
mod soql;
mod standard;
mod tooling;
mod values;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

pub use auth::{CLIENT_ID, CLIENT_SECRET};

use crate::wire;
use crate::world::{Context, StandIn};
use model::Object;
use refusal::{Answer, not_found, ok, over_the_limit, refuse};

/// The session that works from the start: the administrator's.
pub const TOKEN: &str = "00Dsandbox!session";

/// The versions that an org of Winter '27 speaks.
const OLDEST: u32 = 31;
const NEWEST: u32 = 68;
/// Longer addresses are refused ("URI length", read 2026-11-23).
const LONGEST_URI: usize = 16_384;
const DAY: TimeDelta = TimeDelta::hours(24);
const CURSOR_LIFE: TimeDelta = TimeDelta::days(2);

#[derive(Clone)]
pub struct Salesforce {
    objects: BTreeMap<String, Object>,
    auth: auth::Auth,
    /// Objects and fields made so far.
    schema: u64,
    cursors: BTreeMap<String, Kept>,
    next_cursor: u64,
    /// Calls of the last day, by the minute.
    used: VecDeque<(DateTime<Utc>, u64)>,
    limit: u64,
}

/// What a query has not shown yet.
#[derive(Clone)]
struct Kept {
    user: String,
    rows: Vec<Value>,
    size: usize,
    made: DateTime<Utc>,
}

impl Default for Salesforce {
    fn default() -> Self {
        let mut auth = auth::Auth::default();
        auth.open(TOKEN, auth::who(standard::ADMIN, &["api", "id", "refresh_token"]), None);
        Self {
            objects: standard::objects(),
            auth,
            schema: 0,
            cursors: BTreeMap::new(),
            next_cursor: 1,
            used: VecDeque::new(),
            limit: 100_000,
        }
    }
}

impl StandIn for Salesforce {
    fn handle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        self.route(request, cx).unwrap_or_else(|refusal| refusal.response())
    }

    fn admit(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        if !is_counted(request) {
            return Ok(());
        }
        self.forget(cx.now);
        if self.usage() >= self.limit {
            return Err(over_the_limit().response());
        }
        match self.used.back_mut() {
            Some((at, calls)) if cx.now - *at < TimeDelta::minutes(1) => *calls += 1,
            _ => self.used.push_back((cx.now, 1)),
        }
        Ok(())
    }

    fn throttle(&mut self, _request: &Request<Bytes>, _cx: &mut Context<'_>) -> Response<Bytes> {
        over_the_limit().response()
    }

    /// ("Status codes and error responses", read 2026-11-23.)
    fn broken(&self) -> Option<Response<Bytes>> {
        let message =
            "An unexpected error occurred. Please include this ErrorId if you contact support: 1234567890-12345";
        Some(refuse(500, "UNKNOWN_EXCEPTION", message).response())
    }

    /// Salesforce sends nothing by itself here.
    fn retry_after(&self, _attempt: u32) -> Option<Duration> {
        None
    }

    fn is_read(&self, request: &Request<Bytes>) -> bool {
        request.method() == Method::GET
            || (request.method() == Method::POST
                && matches!(path_of(request).as_slice(), [.., a, b, _] if a == "composite" && b == "sobjects"))
    }

    fn operation(&self, request: &Request<Bytes>) -> String {
        let path = path_of(request);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let what = match path.as_slice() {
            ["services", "oauth2", what] => (*what).to_owned(),
            ["services", "data", _, "tooling", "sobjects", what, ..] => format!("tooling {what}"),
            ["services", "data", _, "tooling", what, ..] => format!("tooling {what}"),
            ["services", "data", _, "composite", "sobjects", ..] => "collection".to_owned(),
            ["services", "data", _, "sobjects", _, "describe"] => "describe".to_owned(),
            ["services", "data", _, "sobjects", object, ..] => (*object).to_owned(),
            ["services", "data", _, what, ..] => (*what).to_owned(),
            ["services", "data"] => "versions".to_owned(),
            ["id", ..] => "id".to_owned(),
            _ => "unknown".to_owned(),
        };
        format!("{} {what}", request.method())
    }

    fn finish(
        &mut self,
        request: &Request<Bytes>,
        mut response: Response<Bytes>,
        cx: &mut Context<'_>,
    ) -> Response<Bytes> {
        if is_counted(request) {
            self.forget(cx.now);
            let told = format!("api-usage={}/{}", self.usage(), self.limit);
            wire::set(response.headers_mut(), "sforce-limit-info", &told);
        }
        response
    }

    fn freshen(&mut self, live: &Self) {
        self.auth = live.auth.clone();
        self.cursors = live.cursors.clone();
        self.next_cursor = live.next_cursor;
    }
}

fn path_of(request: &Request<Bytes>) -> Vec<String> {
    wire::segments(request.uri().path())
}

/// Signing in costs nothing.
fn is_counted(request: &Request<Bytes>) -> bool {
    request.uri().path().trim_end_matches('/').strip_prefix("/services/data").is_some_and(|rest| !rest.is_empty())
}

impl Salesforce {
    fn forget(&mut self, now: DateTime<Utc>) {
        while self.used.front().is_some_and(|(at, _)| now - *at >= DAY) {
            self.used.pop_front();
        }
    }

    fn usage(&self) -> u64 {
        self.used.iter().map(|(_, calls)| calls).sum()
    }

    fn route(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        if request.uri().path_and_query().is_some_and(|path| path.as_str().len() > LONGEST_URI) {
            return Ok(wire::answer(
                StatusCode::URI_TOO_LONG,
                "text/html",
                "<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>",
            ));
        }
        let path = path_of(request);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["services", "data"] => Ok(ok(&versions())),
            ["services", "oauth2", rest @ ..] => self.oauth(rest, request, cx),
            ["id", _, user] => Ok(ok(&self.identity(user, request, cx)?)),
            ["services", "data", version, rest @ ..] => {
                check_version(version)?;
                let root = format!("/services/data/{version}");
                self.rest(&root, rest, request, cx)
            }
            _ => Err(not_found()),
        }
    }
}

fn versions() -> Value {
    let seasons = ["Winter", "Spring", "Summer"];
    let each = (OLDEST..=NEWEST).map(|version| {
        // 68 is Winter '27; there are three a year.
        let back = NEWEST - version;
        let season = seasons[usize::try_from((3 - back % 3) % 3).unwrap_or_default()];
        let year = 27 - back.div_ceil(3);
        json!({ "label": format!("{season} '{year}"), "url": format!("/services/data/v{version}.0"), "version": format!("{version}.0") })
    });
    each.collect()
}

fn check_version(text: &str) -> Answer<()> {
    let number =
        text.strip_prefix('v').and_then(|rest| rest.strip_suffix(".0")).and_then(|number| number.parse::<u32>().ok());
    match number {
        Some(version) if (OLDEST..=NEWEST).contains(&version) => Ok(()),
        Some(version) if (20..OLDEST).contains(&version) => {
            Err(refuse(410, "UNSUPPORTED_API_VERSION", "The requested API version has been retired. Use a newer one."))
        }
        _ => Err(not_found()),
    }
}

#[cfg(test)]
mod tests;
