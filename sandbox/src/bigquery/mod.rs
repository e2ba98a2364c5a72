//! BigQuery: queries are jobs, and are answered from the rows that the desk holds. The text of a query is not run: whatever it
//! says, the rows come whose day is from `@since` to `@until`, in the columns that the desk says the query has.
//!
//! Facts (BigQuery discovery document 20261009, "Error messages", "Quotas"; read 2026-11-23): legacy SQL is the default; every
//! value is a text; a page is at most 10 MB; a job outside US and EU is only found with its location; results are kept for 24
//! hours; the same `requestId` within a quarter of an hour is the same job; quota errors are 403.

mod desk;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::google::{Tokens, number, refuse};
use crate::used::Used;
use crate::wire;
use crate::world::{Context, StandIn, Vendor};

pub use desk::Trouble;

const SCOPES: [&str; 3] = ["bigquery", "cloud-platform", "cloud-platform.read-only"];
/// Calls a second, of a project.
const A_SECOND: u64 = 100;
const KEPT: TimeDelta = TimeDelta::hours(24);
const SAME_REQUEST: TimeDelta = TimeDelta::minutes(15);
/// Rows that fill 10 MB, more or less.
const PAGE: usize = 100_000;

#[derive(Clone)]
pub struct BigQuery {
    tokens: Tokens,
    project: String,
    location: String,
    rows: Vec<Used>,
    columns: Vec<String>,
    /// What a query reads, in bytes.
    bytes: u64,
    /// How often a new job is still running when it is asked for.
    busy: u32,
    trouble: Option<Trouble>,
    jobs: BTreeMap<String, Job>,
    requests: BTreeMap<String, (DateTime<Utc>, String)>,
    second: (i64, u64),
    billed: u64,
}

#[derive(Clone)]
struct Job {
    rows: Vec<Used>,
    made: DateTime<Utc>,
    busy: u32,
}

impl Default for BigQuery {
    fn default() -> Self {
        Self {
            tokens: Tokens::new(Vendor::BigQuery.token(), "https://www.googleapis.com/auth/bigquery"),
            project: "sandbox-project".into(),
            location: "EU".into(),
            rows: Vec::new(),
            columns: ["account", "user", "feature", "day", "count"].map(str::to_owned).into(),
            bytes: 12_000_000,
            busy: 0,
            trouble: None,
            jobs: BTreeMap::new(),
            requests: BTreeMap::new(),
            second: (0, 0),
            billed: 0,
        }
    }
}

type Answer = Result<Response<Bytes>, Response<Bytes>>;

impl StandIn for BigQuery {
    fn handle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        if Tokens::is_token_call(request) {
            return self.tokens.mint(request, cx);
        }
        self.answer(request, cx).unwrap_or_else(|refusal| refusal)
    }

    fn admit(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        if Tokens::is_token_call(request) {
            return Ok(());
        }
        let second = cx.now.timestamp();
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        if self.second.1 > A_SECOND { Err(too_many()) } else { Ok(()) }
    }

    fn retry_after(&self, _attempt: u32) -> Option<Duration> {
        None
    }

    fn operation(&self, request: &Request<Bytes>) -> String {
        match (request.method(), Tokens::is_token_call(request)) {
            (_, true) => "token".into(),
            (&Method::POST, _) => "jobs.query".into(),
            _ => "jobs.getQueryResults".into(),
        }
    }

    fn throttle(&mut self, request: &Request<Bytes>, _cx: &mut Context<'_>) -> Response<Bytes> {
        if Tokens::is_token_call(request) { Tokens::throttled() } else { too_many() }
    }

    fn freshen(&mut self, live: &Self) {
        self.tokens.clone_from(&live.tokens);
    }
}

fn too_many() -> Response<Bytes> {
    let why = "Exceeded rate limits: too many api requests per user per method for this user_method.";
    refuse(StatusCode::FORBIDDEN, "PERMISSION_DENIED", "rateLimitExceeded", why)
}

fn bad(reason: &str, why: &str) -> Response<Bytes> {
    refuse(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", reason, why)
}

impl BigQuery {
    fn answer(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        self.tokens.admit(request, &SCOPES, cx.now)?;
        let segments = wire::segments(request.uri().path());
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (project, rest) = match segments.as_slice() {
            ["bigquery", "v2", "projects", project, rest @ ..] => (*project, rest),
            _ => return Err(wire::empty(StatusCode::NOT_FOUND)),
        };
        if project != self.project {
            let why = format!("The project {project} has not enabled BigQuery.");
            return Err(refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "notFound", &why));
        }
        match (request.method(), rest) {
            (&Method::POST, ["queries"]) => self.query(request, cx),
            (&Method::GET, ["queries", job]) => self.results(job, request, cx),
            _ => Err(wire::empty(StatusCode::NOT_FOUND)),
        }
    }

    fn query(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        let asked: Value = serde_json::from_slice(request.body()).map_err(|_| bad("parseError", "Parse Error"))?;
        let text = asked["query"].as_str().filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| bad("required", "Required parameter is missing: query"))?;
        if asked["useLegacySql"] != json!(false) {
            return Err(bad("invalidQuery", "Query parameters cannot be used with legacy SQL"));
        }
        if !text.to_lowercase().contains("select") {
            let word = text.split_whitespace().next().unwrap_or_default();
            return Err(bad("invalidQuery", &format!("Syntax error: Unexpected identifier \"{word}\" at [1:1]")));
        }
        if let Some(location) =
            asked["location"].as_str().filter(|location| !location.eq_ignore_ascii_case(&self.location))
        {
            let why = format!("Not found: Dataset {}:product was not found in location {location}", self.project);
            return Err(refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "notFound", &why));
        }
        let (since, until) = (day(&asked, text, "since")?, day(&asked, text, "until")?);
        match &self.trouble {
            Some(Trouble::Refused(status, reason, why)) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return Err(refuse(status, "UNKNOWN", reason, why));
            }
            Some(Trouble::InAnswer(reason, why)) => {
                let errors = json!([{"reason": reason, "message": why, "location": "query"}]);
                return Ok(wire::json(
                    StatusCode::OK,
                    &json!({"kind": "bigquery#queryResponse", "jobComplete": true, "errors": errors}),
                ));
            }
            None => {}
        }
        if asked["dryRun"] == true {
            return Ok(wire::json(
                StatusCode::OK,
                &json!({
                    "kind": "bigquery#queryResponse", "schema": self.schema(), "jobComplete": true, "cacheHit": false,
                    "totalBytesProcessed": self.bytes.to_string(),
                    "jobReference": {"projectId": self.project, "location": self.location},
                }),
            ));
        }
        if number(&asked["maximumBytesBilled"]).is_some_and(|most| most < self.bytes) {
            let why = format!(
                "Query exceeded limit for bytes billed: {}. {} or higher required.",
                number(&asked["maximumBytesBilled"]).unwrap_or(0),
                self.bytes
            );
            return Err(bad("bytesBilledLimitExceeded", &why));
        }
        let named = asked["requestId"].as_str().map(str::to_owned);
        if named.as_ref().is_some_and(|name| !name.is_ascii() || name.len() > 36) {
            return Err(bad("invalid", "requestId must be at most 36 ASCII characters"));
        }
        let same =
            named.as_ref().and_then(|name| self.requests.get(name)).filter(|(at, _)| cx.now - *at < SAME_REQUEST);
        let id = match same {
            Some((_, id)) => id.clone(),
            None => {
                let id = format!(
                    "job_{}",
                    cx.rng.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", 27)
                );
                let is_in = |row: &&Used| {
                    since.is_none_or(|since| row.day >= since) && until.is_none_or(|until| row.day <= until)
                };
                let rows = self.rows.iter().filter(is_in).cloned().collect();
                self.jobs.insert(id.clone(), Job { rows, made: cx.now, busy: self.busy });
                self.billed += self.bytes;
                self.requests.extend(named.map(|name| (name, (cx.now, id.clone()))));
                id
            }
        };
        let most = number(&asked["maxResults"]);
        self.page(&id, 0, most, "bigquery#queryResponse", cx)
    }

    fn results(&mut self, id: &str, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        let query: BTreeMap<String, String> = wire::query(request).into_iter().collect();
        let gone = || {
            let why = format!("Not found: Job {}:{id}", self.project);
            refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "notFound", &why)
        };
        let multi = ["US", "EU"].contains(&self.location.as_str());
        let here = query.get("location").map_or(multi, |location| location.eq_ignore_ascii_case(&self.location));
        if !here || self.jobs.get(id).is_none_or(|job| cx.now - job.made >= KEPT) {
            return Err(gone());
        }
        let from = match query.get("pageToken") {
            Some(token) => token
                .strip_prefix("BF")
                .and_then(|rest| rest.split_once('_'))
                .filter(|(_, of)| id.ends_with(of))
                .and_then(|(from, _)| from.parse().ok())
                .ok_or_else(|| bad("invalid", "Invalid page token"))?,
            None => 0,
        };
        let most = query.get("maxResults").and_then(|most| most.parse().ok());
        self.page(id, from, most, "bigquery#getQueryResultsResponse", cx)
    }

    fn page(&mut self, id: &str, from: usize, most: Option<u64>, kind: &str, _cx: &mut Context<'_>) -> Answer {
        let schema = self.schema();
        let reference = json!({"projectId": self.project, "jobId": id, "location": self.location});
        let Some(job) = self.jobs.get_mut(id) else { return Err(wire::empty(StatusCode::NOT_FOUND)) };
        if job.busy > 0 {
            job.busy -= 1;
            let body = json!({"kind": kind, "jobReference": reference, "jobComplete": false});
            return Ok(wire::json(StatusCode::OK, &body));
        }
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(PAGE).clamp(1, PAGE);
        let all = job.rows.len();
        let rows: Vec<Value> = job.rows.iter().skip(from).take(most).map(|row| cells(&self.columns, row)).collect();
        let mut body = json!({
            "kind": kind, "schema": schema, "jobReference": reference, "totalRows": all.to_string(),
            "totalBytesProcessed": self.bytes.to_string(), "jobComplete": true, "cacheHit": false,
        });
        let to = from + rows.len();
        if !rows.is_empty() {
            body["rows"] = Value::Array(rows);
        }
        if to < all {
            let of = id.get(id.len().saturating_sub(8)..).unwrap_or(id);
            body["pageToken"] = json!(format!("BF{to}_{of}"));
        }
        Ok(wire::json(StatusCode::OK, &body))
    }

    fn schema(&self) -> Value {
        let fields: Vec<Value> = self
            .columns
            .iter()
            .map(|name| {
                let kind = match name.as_str() {
                    "day" => "DATE",
                    "count" => "INTEGER",
                    _ => "STRING",
                };
                json!({"name": name, "type": kind, "mode": "NULLABLE"})
            })
            .collect();
        json!({ "fields": fields })
    }
}

fn cells(columns: &[String], row: &Used) -> Value {
    let cell = |name: &String| match name.as_str() {
        "account" => json!({"v": row.account}),
        "user" => json!({"v": row.user}),
        "feature" => json!({"v": row.feature}),
        "day" => json!({"v": row.day}),
        "count" => json!({"v": row.count.to_string()}),
        _ => json!({"v": null}),
    };
    json!({"f": columns.iter().map(cell).collect::<Vec<_>>()})
}

/// A named parameter that the text speaks of.
fn day(asked: &Value, text: &str, name: &str) -> Result<Option<NaiveDate>, Response<Bytes>> {
    if !text.contains(&format!("@{name}")) {
        return Ok(None);
    }
    let given = asked["queryParameters"].as_array().into_iter().flatten().find(|given| given["name"] == name);
    let given = given.filter(|_| asked["parameterMode"] == "NAMED");
    let given = given.ok_or_else(|| bad("invalidQuery", &format!("Query parameter '{name}' not found at [1:1]")))?;
    let value = given["parameterValue"]["value"].as_str().and_then(|value| value.parse().ok());
    match (given["parameterType"]["type"] == "DATE", value) {
        (true, Some(day)) => Ok(Some(day)),
        _ => Err(bad("invalid", &format!("Invalid value for type: DATE is not a valid value for parameter {name}"))),
    }
}
