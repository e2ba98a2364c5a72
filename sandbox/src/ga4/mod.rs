//! GA4's Data API: reports over the rows that the desk holds.
//!
//! Facts (google-analytics-data 0.23.3, discovery document 20261006; read 2026-11-23): at most 9 dimensions, 10 metrics, 4 date
//! ranges and 250,000 rows; every value is a text, in the order that was asked for; `rows` is absent when there are none; without
//! `orderBys` the order is not promised; a property has 40,000 tokens an hour and 200,000 a day, and is refused with
//! RESOURCE_EXHAUSTED when they are gone; a dimension of the owner's own must be registered.

mod desk;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::google::{Tokens, refuse};
use crate::used::Used;
use crate::wire;
use crate::world::{Context, StandIn, Vendor};

const SCOPES: [&str; 2] = ["analytics.readonly", "analytics"];
const TOKENS_AN_HOUR: u64 = 40_000;
const TOKENS_A_DAY: u64 = 200_000;

#[derive(Clone)]
pub struct Ga4 {
    tokens: Tokens,
    property: String,
    /// The registered dimensions of the owner's own, by what they show: `account` or `user`.
    custom: BTreeMap<String, &'static str>,
    rows: Vec<Used>,
    thresholding: bool,
    other_row: bool,
    /// The hour and the day that are counted, with what was spent in them.
    hour: (i64, u64),
    day: (i64, u64),
}

impl Default for Ga4 {
    fn default() -> Self {
        let scope = "https://www.googleapis.com/auth/analytics.readonly";
        Self {
            tokens: Tokens::new(Vendor::Ga4.token(), scope),
            property: "123456789".into(),
            custom: [("customUser:company_id".to_owned(), "account"), ("customUser:user_id".to_owned(), "user")].into(),
            rows: Vec::new(),
            thresholding: false,
            other_row: false,
            hour: (0, 0),
            day: (0, 0),
        }
    }
}

type Answer = Result<Response<Bytes>, Response<Bytes>>;

impl StandIn for Ga4 {
    fn handle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        if Tokens::is_token_call(request) {
            return self.tokens.mint(request, cx);
        }
        self.answer(request, cx).unwrap_or_else(|refusal| refusal)
    }

    fn admit(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        let (hour, day) = (cx.now.timestamp().div_euclid(3600), cx.now.timestamp().div_euclid(86_400));
        if self.hour.0 != hour {
            self.hour = (hour, 0);
        }
        if self.day.0 != day {
            self.day = (day, 0);
        }
        let spent = self.hour.1 >= TOKENS_AN_HOUR || self.day.1 >= TOKENS_A_DAY;
        if spent && !Tokens::is_token_call(request) { Err(exhausted()) } else { Ok(()) }
    }

    fn retry_after(&self, _attempt: u32) -> Option<Duration> {
        None
    }

    fn is_read(&self, request: &Request<Bytes>) -> bool {
        !Tokens::is_token_call(request)
    }

    fn operation(&self, request: &Request<Bytes>) -> String {
        match (request.method(), Tokens::is_token_call(request)) {
            (_, true) => "token".into(),
            (&Method::POST, _) => "runReport".into(),
            _ => "getMetadata".into(),
        }
    }

    fn throttle(&mut self, request: &Request<Bytes>, _cx: &mut Context<'_>) -> Response<Bytes> {
        if Tokens::is_token_call(request) { Tokens::throttled() } else { exhausted() }
    }

    fn freshen(&mut self, live: &Self) {
        self.tokens.clone_from(&live.tokens);
        (self.hour, self.day) = (live.hour, live.day);
    }
}

fn exhausted() -> Response<Bytes> {
    let why = "Exhausted property tokens per hour. These quota tokens will return in under an hour. To learn more, see https://developers.google.com/analytics/devguides/reporting/data/v1/quotas";
    refuse(StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", "rateLimitExceeded", why)
}

impl Ga4 {
    fn answer(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        self.tokens.admit(request, &SCOPES, cx.now)?;
        let path = request.uri().path().strip_prefix("/v1beta/properties/");
        let (property, rest) = match path {
            Some(path) => path.split_once([':', '/']).unwrap_or((path, "")),
            None => return Err(wire::empty(StatusCode::NOT_FOUND)),
        };
        if property != self.property {
            let why = "User does not have sufficient permissions for this property. To learn more about Property ID, see https://developers.google.com/analytics/devguides/reporting/data/v1/property-id.";
            return Err(refuse(StatusCode::FORBIDDEN, "PERMISSION_DENIED", "forbidden", why));
        }
        match (request.method(), rest) {
            (&Method::POST, "runReport") => self.report(request, cx),
            (&Method::GET, "metadata") => Ok(wire::json(StatusCode::OK, &self.metadata())),
            _ => Err(wire::empty(StatusCode::NOT_FOUND)),
        }
    }

    fn metadata(&self) -> Value {
        let own = self
            .custom
            .keys()
            .map(|name| json!({"apiName": name, "uiName": name, "category": "Custom", "customDefinition": true}));
        let theirs =
            ["date", "eventName"].into_iter().map(|name| json!({"apiName": name, "uiName": name, "category": "Event"}));
        let metrics =
            [json!({"apiName": "eventCount", "uiName": "Event count", "type": "TYPE_INTEGER", "category": "Event"})];
        json!({
            "name": format!("properties/{}/metadata", self.property),
            "dimensions": theirs.chain(own).collect::<Vec<_>>(),
            "metrics": metrics,
        })
    }
}
