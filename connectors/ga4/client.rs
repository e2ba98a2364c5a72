//! The calls, and what an answer of GA4's means: one `match`.
//!
//! Facts (google-analytics-data 0.23.3, PropertyQuota; read 2026-11-23): any quota that is used up refuses every call to the
//! property, until its hour or day is over; ten server errors an hour are a quota, too, so a call that failed is not soon
//! repeated.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Timelike, Utc};
use serde_json::Value;

use super::settings::Settings;
use crate::google::Error;
use crate::http::{Answer, Auth, Call, Http};
use crate::oauth::Session;
use crate::quota::Quota;
use crate::{Clock, Fault, Outside};

pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/analytics.readonly";

const TIMEOUT: Duration = Duration::from_secs(60);
/// After a server error, of which there may be ten an hour.
const HARD: Duration = Duration::from_secs(600);

pub(crate) struct Client {
    http: Http,
    clock: Arc<dyn Clock>,
    property: String,
}

impl Client {
    pub(crate) fn new(settings: &Settings, session: Arc<Session>, outside: &Outside) -> Self {
        let quota = Arc::new(Quota::new(settings.limit(), outside.clock.clone()));
        let http = Http::new(&settings.base_url, Auth::Fresh(session), quota, outside.transport.clone());
        let property = format!("/v1beta/properties/{}", settings.property);
        Self { http: http.with_timeout(TIMEOUT), clock: outside.clock.clone(), property }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn quota(&self) -> &Quota {
        self.http.quota()
    }

    pub(crate) async fn metadata(&self) -> Result<Value, Fault> {
        self.call(Call::get(format!("{}/metadata", self.property))).await
    }

    pub(crate) async fn report(&self, request: Value) -> Result<Value, Fault> {
        let told = self.call(Call::post(format!("{}:runReport", self.property), request).reads(true)).await?;
        self.heed(&told["propertyQuota"]);
        Ok(told)
    }

    /// Before the last of an hour's quota is gone, for others share it.
    fn heed(&self, quota: &Value) {
        let short = |name: &str, kept: i64| {
            let status = &quota[name];
            // Zero is left out, as everywhere in these answers.
            let (left, used) = (status["remaining"].as_i64().unwrap_or(0), status["consumed"].as_i64().unwrap_or(0));
            status.is_object() && left <= kept.max(used)
        };
        let hourly = [
            ("tokensPerHour", 100),
            ("tokensPerProjectPerHour", 100),
            ("potentiallyThresholdedRequestsPerHour", 5),
            ("serverErrorsPerProjectPerHour", 2),
        ];
        if hourly.into_iter().any(|(name, kept)| short(name, kept)) || short("tokensPerDay", 200) {
            self.quota().close_for(self.rest_of_hour());
        }
    }

    fn rest_of_hour(&self) -> Duration {
        let now = self.now();
        Duration::from_secs(u64::from(3600 - now.minute() * 60 - now.second()).max(1))
    }

    async fn call(&self, call: Call) -> Result<Value, Fault> {
        let answer = self.http.call(call).await?;
        if answer.status.is_success() {
            return answer.json();
        }
        let fault = self.judge(answer.status.as_u16(), &answer);
        if let Fault::Later { after: Some(wait), .. } = &fault {
            self.quota().note_throttled();
            self.quota().close_for(*wait);
        }
        Err(fault)
    }

    fn judge(&self, status: u16, answer: &Answer) -> Fault {
        let error = Error::of(answer);
        let why = error.told(status);
        match (status, error.reason.as_str()) {
            (429, _) | (_, "RESOURCE_EXHAUSTED") => {
                Fault::Later { after: Some(answer.retry_after().unwrap_or_else(|| self.rest_of_hour())), why }
            }
            (401, _) => Fault::locked(format!("Google refuses the token: {why}")),
            (403, _) => {
                Fault::locked(format!("Google forbids it; is the service account a Viewer of the property? {why}"))
            }
            (404, _) => Fault::locked(format!("property: {why}")),
            (400..=499, _) => Fault::rejected(why),
            _ => Fault::Later { after: Some(answer.retry_after().unwrap_or(HARD)), why },
        }
    }
}
