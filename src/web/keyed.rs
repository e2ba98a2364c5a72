//! `POST /v1/…` of senders whose path is given (an official SDK has only a host to set). The connectors say which paths these
//! are; the key in the request says which connection it is for. The answer is 2xx only when it is on disk.
//!
//! Keys stand in web pages, so browsers of any origin may send; what such a key allows is to add, and nothing else.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Web;
use super::body::{Turned, read_packed};
use super::hook::again;
use crate::house::House;
use crate::intake;

/// The largest body, packed or not: more than any of these protocols allows.
const LARGEST: usize = 1024 * 1024;

const CORS: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
    (header::ACCESS_CONTROL_MAX_AGE, "7200"),
];

/// Whether a connection here has senders at this path.
pub(super) fn serves(house: &House, path: &str) -> bool {
    intake::serves(house, path.trim_end_matches('/'))
}

pub(super) async fn answer(web: &Web, house: &House, request: Request) -> Response {
    match *request.method() {
        Method::OPTIONS => (StatusCode::NO_CONTENT, CORS).into_response(),
        Method::POST => receive(web, house, request).await,
        _ => {
            let allowed = [(header::ALLOW, "POST, OPTIONS")];
            (allowed, refusal(StatusCode::METHOD_NOT_ALLOWED, "send it with POST")).into_response()
        }
    }
}

async fn receive(web: &Web, house: &House, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let limit = LARGEST.min(house.config.http.max_body_bytes);
    let held = match read_packed(web, &parts.headers, body, limit).await {
        Ok(held) => held,
        Err(turned) => {
            web.counts.refused("", turned.label());
            return refusal(turned.status(), &why(turned, limit));
        }
    };
    let path = parts.uri.path().trim_end_matches('/');
    let raw = connectors::Request { headers: &parts.headers, body: &held.bytes };
    let admitted = match intake::receive_at(house, path, raw) {
        Ok(arrived) => {
            let (connection, reply) = (arrived.connection.clone(), arrived.reply());
            web.door.admit(arrived).await.map(|()| (connection, reply))
        }
        Err(rejection) => Err(rejection),
    };
    match admitted {
        Ok((connection, reply)) => {
            web.counts.received(&connection);
            let (content_type, body) = reply.unwrap_or(("application/json", "{}".to_owned()));
            answered(StatusCode::OK, content_type, body)
        }
        Err(rejection) => {
            tracing::debug!(path, reason = rejection.label(), "a request at {path} was refused");
            web.counts.refused("", rejection.label());
            let status = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::BAD_REQUEST);
            refusal(status, &rejection.to_string())
        }
    }
}

/// Why a body was not even looked into, for whoever reads the sender's log.
fn why(turned: Turned, limit: usize) -> String {
    match turned {
        Turned::Encoded => "the body is packed in another way than gzip".into(),
        Turned::Broken => "the body is said to be gzip, and is none".into(),
        Turned::TooLarge => format!("the body is larger than {limit} bytes"),
        Turned::Slow => "the body came too slowly".into(),
        Turned::Cut => "the body was cut off".into(),
        Turned::Busy => "there is no room for the body now".into(),
    }
}

/// Official SDKs read `code` and `message`, and call a refusal without both of them unknown.
fn refusal(status: StatusCode, why: &str) -> Response {
    let code = status.canonical_reason().unwrap_or("refused").to_ascii_lowercase().replace(' ', "_");
    let body = json!({"success": false, "code": code, "message": why}).to_string();
    again(answered(status, "application/json", body))
}

fn answered(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let open = (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    (status, [kind, open], body).into_response()
}
