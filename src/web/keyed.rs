//! `POST /v1/…`: senders whose path is given (an official SDK has only a host to set). The key in the request says which
//! connection it is for. As at `/hooks/{connection}`, the answer is 2xx only when it is on disk.
//!
//! Keys stand in web pages, so browsers of any origin may send; what such a key allows is to write, and nothing else.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Web;
use super::hook::{Packed, admit, again, read};
use crate::intake;

const CORS: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
    (header::ACCESS_CONTROL_MAX_AGE, "86400"),
];

/// What a browser asks before it sends.
pub(super) async fn preflight() -> Response {
    (StatusCode::NO_CONTENT, CORS).into_response()
}

pub(super) async fn receive(State(web): State<Arc<Web>>, request: Request) -> Response {
    let house = web.house();
    let (parts, body) = request.into_parts();
    let limit = house.config.http.max_body_bytes;
    let (bytes, _held) = match read(&web, &parts.headers, body, limit, Packed::Gzip).await {
        Ok(read) => read,
        Err(turned) => {
            web.counts.refused("", turned.label());
            return refusal(turned.status(), turned.label());
        }
    };
    let path = parts.uri.path().trim_end_matches('/');
    let raw = connectors::Request { headers: &parts.headers, body: &bytes };
    match admit(&web, intake::receive_at(&house, path, raw)).await {
        Ok((_, mut answer)) => {
            answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            answer
        }
        Err(rejection) => {
            tracing::debug!(path, reason = rejection.label(), "a request at {path} was refused");
            web.counts.refused("", rejection.label());
            let status = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::BAD_REQUEST);
            refusal(status, &rejection.to_string())
        }
    }
}

fn refusal(status: StatusCode, why: &str) -> Response {
    let body = json!({"success": false, "message": why}).to_string();
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let open = (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    again((status, [json, open], body).into_response())
}
