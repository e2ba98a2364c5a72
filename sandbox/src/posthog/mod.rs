//! PostHog's query API: HogQL is understood as far as one needs it to read what was used by keyset.
//!
//! Facts (PostHog docs "API overview" and "Queries", read 2026-11-23): 240 queries a minute and 2,400 an hour for a team;
//! without a LIMIT 100 rows come, and 50,000 at the most; results are cached unless `force_blocking` is asked for; errors are
//! `{type, code, detail, attr}`.

mod desk;
mod hogql;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use self::hogql::Query;
use crate::used::Used;
use crate::wire;
use crate::world::{Context, StandIn, Vendor};

const A_MINUTE: usize = 240;
const AN_HOUR: usize = 2_400;

#[derive(Clone)]
pub struct PostHog {
    keys: BTreeSet<String>,
    /// Keys without the scope `query:read`.
    narrow: BTreeSet<String>,
    project: String,
    rows: Vec<Used>,
    cache: BTreeMap<String, Vec<Vec<String>>>,
    calls: VecDeque<DateTime<Utc>>,
    /// What queries are answered with: it cannot be run, and why.
    trouble: Option<String>,
}

impl Default for PostHog {
    fn default() -> Self {
        Self {
            keys: [Vendor::PostHog.token().to_owned()].into(),
            narrow: BTreeSet::new(),
            project: "4711".into(),
            rows: Vec::new(),
            cache: BTreeMap::new(),
            calls: VecDeque::new(),
            trouble: None,
        }
    }
}

type Answer = Result<Response<Bytes>, Response<Bytes>>;

fn refuse(status: StatusCode, kind: &str, code: &str, detail: &str) -> Response<Bytes> {
    wire::json(status, &json!({"type": kind, "code": code, "detail": detail, "attr": null}))
}

fn throttled(seconds: i64) -> Response<Bytes> {
    let detail = format!("Request was throttled. Expected available in {seconds} seconds.");
    let mut refusal = refuse(StatusCode::TOO_MANY_REQUESTS, "throttled_error", "throttled", &detail);
    wire::set(refusal.headers_mut(), "retry-after", &seconds.to_string());
    refusal
}

impl StandIn for PostHog {
    fn handle(&mut self, request: &Request<Bytes>, _cx: &mut Context<'_>) -> Response<Bytes> {
        self.answer(request).unwrap_or_else(|refusal| refusal)
    }

    fn admit(&mut self, _request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        while self.calls.front().is_some_and(|at| *at <= cx.now - TimeDelta::hours(1)) {
            self.calls.pop_front();
        }
        let minute = self.calls.iter().rev().take_while(|at| **at > cx.now - TimeDelta::minutes(1)).count();
        if minute >= A_MINUTE {
            return Err(throttled(60));
        }
        if self.calls.len() >= AN_HOUR {
            return Err(throttled(3600));
        }
        self.calls.push_back(cx.now);
        Ok(())
    }

    fn retry_after(&self, _attempt: u32) -> Option<Duration> {
        None
    }

    fn is_read(&self, _request: &Request<Bytes>) -> bool {
        true
    }

    fn operation(&self, _request: &Request<Bytes>) -> String {
        "query".into()
    }

    fn throttle(&mut self, _request: &Request<Bytes>, _cx: &mut Context<'_>) -> Response<Bytes> {
        throttled(30)
    }

    fn freshen(&mut self, live: &Self) {
        self.keys.clone_from(&live.keys);
        self.narrow.clone_from(&live.narrow);
    }
}

impl PostHog {
    fn answer(&mut self, request: &Request<Bytes>) -> Answer {
        let key = wire::bearer(request).filter(|key| self.keys.contains(*key));
        let Some(key) = key else {
            return Err(refuse(
                StatusCode::UNAUTHORIZED,
                "authentication_error",
                "invalid_personal_api_key",
                "Invalid personal API key.",
            ));
        };
        if self.narrow.contains(key) {
            let detail = "API key missing required scope 'query:read'";
            return Err(refuse(StatusCode::FORBIDDEN, "authentication_error", "permission_denied", detail));
        }
        let segments = wire::segments(request.uri().path());
        match (request.method(), segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
            (&Method::POST, ["api", "projects" | "environments", project, "query"]) if *project == self.project => {}
            (&Method::POST, ["api", "projects" | "environments", _, "query"]) => {
                return Err(refuse(StatusCode::NOT_FOUND, "invalid_request", "not_found", "Project not found."));
            }
            _ => return Err(refuse(StatusCode::NOT_FOUND, "invalid_request", "not_found", "Endpoint not found.")),
        }
        let invalid = |detail: &str| refuse(StatusCode::BAD_REQUEST, "validation_error", "invalid_input", detail);
        let asked: Value = serde_json::from_slice(request.body()).map_err(|_| invalid("JSON parse error"))?;
        if asked["query"]["kind"] != "HogQLQuery" {
            return Err(invalid("Unsupported query kind"));
        }
        let text = asked["query"]["query"].as_str().ok_or_else(|| invalid("query: This field is required."))?;
        if let Some(why) = &self.trouble {
            return Err(refuse(StatusCode::BAD_REQUEST, "validation_error", "illegal_hogql", why));
        }
        let fresh = asked["refresh"].as_str().is_some_and(|refresh| refresh.starts_with("force_"));
        let cached = self.cache.get(text).filter(|_| !fresh).cloned();
        let is_cached = cached.is_some();
        let query = Query::parse(text)
            .map_err(|why| refuse(StatusCode::BAD_REQUEST, "validation_error", "illegal_hogql", &why))?;
        let results = match cached {
            Some(results) => results,
            None => query.run(&self.rows),
        };
        self.cache.insert(text.to_owned(), results.clone());
        let types: Vec<Value> = query.columns().iter().map(|name| json!([name, "String"])).collect();
        Ok(wire::json(
            StatusCode::OK,
            &json!({
                "cache_key": wire::hex(text.get(..8).unwrap_or(text).as_bytes()), "clickhouse": null, "columns": query.columns(), "error": null,
                "hasMore": results.len() == query.limit(), "hogql": text, "is_cached": is_cached, "limit": query.limit(), "offset": 0,
                "query_status": null, "results": results, "timings": [], "types": types,
            }),
        ))
    }
}
