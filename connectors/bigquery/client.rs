//! The calls, and what an answer of BigQuery's means: one `match`.
//!
//! Facts (BigQuery "Error messages" and "Troubleshoot quotas", google-cloud-bigquery 3.47.0, read 2026-11-23): quota errors are
//! 403, and the reason tells a short burst from a quota that is used up; 400 is the query's own fault; a job's results are
//! gone after a day (404).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::settings::Settings;
use crate::google::Error;
use crate::http::{Answer, Auth, Call, Http, encode};
use crate::oauth::Session;
use crate::quota::Quota;
use crate::{Clock, Fault, Outside};

/// Reading, and running queries: `bigquery.readonly` does not run any.
pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";

/// A query may be waited for as long as `timeoutMs` says, and then some.
const TIMEOUT: Duration = Duration::from_secs(60);
/// After a quota that is used up; it comes back over the day.
const USED_UP: Duration = Duration::from_secs(3600);
const A_MOMENT: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    http: Http,
    clock: Arc<dyn Clock>,
    path: String,
}

/// What was asked for, or that it is gone.
pub(crate) enum Told {
    Here(Value),
    Gone,
}

impl Client {
    pub(crate) fn new(settings: &Settings, session: Arc<Session>, outside: &Outside) -> Self {
        let quota = Arc::new(Quota::new(settings.limit(), outside.clock.clone()));
        let http = Http::new(&settings.base_url, Auth::Fresh(session), quota, outside.transport.clone());
        let path = format!("/bigquery/v2/projects/{}/queries", encode(&settings.project));
        Self { http: http.with_timeout(TIMEOUT), clock: outside.clock.clone(), path }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn quota(&self) -> &Quota {
        self.http.quota()
    }

    pub(crate) async fn query(&self, request: &Value) -> Result<Value, Fault> {
        match self.call(Call::post(&self.path, request.clone()).reads(true)).await? {
            Told::Here(told) => Ok(told),
            Told::Gone => Err(Fault::locked(
                "project: there is none of that name, or the query names a table or a location that is not there",
            )),
        }
    }

    /// Results of a job, a page of them.
    pub(crate) async fn results(&self, job: &str, query: &[(&str, String)]) -> Result<Told, Fault> {
        let call = Call::get(format!("{}/{}", self.path, encode(job)));
        let call = query.iter().fold(call, |call, (name, value)| call.query(name, value.as_str()));
        self.call(call).await
    }

    async fn call(&self, call: Call) -> Result<Told, Fault> {
        let answer = self.http.call(call).await?;
        let status = answer.status.as_u16();
        match status {
            200..=299 => {
                let body: Value = answer.json()?;
                failed(&body).map_or(Ok(Told::Here(body)), Err)
            }
            404 => Ok(Told::Gone),
            _ => {
                let error = Error::of(&answer);
                let fault = judge(status, &error, &answer);
                if let Fault::Later { after: Some(wait), .. } = &fault {
                    self.quota().note_throttled();
                    self.quota().close_for(*wait);
                }
                Err(fault)
            }
        }
    }
}

/// An error that came with 200: only where there are no rows to go with it; else it is a warning.
fn failed(body: &Value) -> Option<Fault> {
    let first = body["errors"].as_array()?.first()?;
    let finished = body["jobComplete"] == true && body["schema"].is_object();
    let error = Error::read(first);
    (!finished).then(|| by_reason(&error, 200).unwrap_or_else(|| Fault::rejected(error.told(200))))
}

fn judge(status: u16, error: &Error, answer: &Answer) -> Fault {
    if let Some(fault) = by_reason(error, status) {
        return fault;
    }
    let why = error.told(status);
    match status {
        429 => Fault::Later { after: Some(answer.retry_after().unwrap_or(A_MOMENT)), why },
        401 => Fault::locked(format!("Google refuses the token: {why}")),
        402 | 403 => Fault::locked(format!("Google forbids it: {why}")),
        400 | 405..=422 => Fault::Rejected { why, field: Some("query".into()) },
        // A query that is asked for again within a quarter of an hour is the same one (`requestId`).
        _ => Fault::Later { after: answer.retry_after(), why },
    }
}

/// What a reason says, whatever the status around it.
fn by_reason(error: &Error, status: u16) -> Option<Fault> {
    let why = error.told(status);
    Some(match error.reason.as_str() {
        "rateLimitExceeded" | "jobRateLimitExceeded" => Fault::Later { after: Some(A_MOMENT), why },
        "quotaExceeded" | "RESOURCE_EXHAUSTED" => Fault::Later { after: Some(USED_UP), why },
        "backendError" | "internalError" | "badGateway" | "jobBackendError" | "jobInternalError" | "timeout"
        | "stopped" => Fault::later(why),
        "accessDenied" | "billingNotEnabled" | "blocked" | "PERMISSION_DENIED" => Fault::locked(why),
        "bytesBilledLimitExceeded" => Fault::Rejected { why: format!("max_bytes_billed: {why}"), field: None },
        "invalidQuery" | "invalid" | "responseTooLarge" | "resourcesExceeded" => {
            Fault::Rejected { why, field: Some("query".into()) }
        }
        _ => return None,
    })
}
