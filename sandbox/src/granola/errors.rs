//! Granola's refusals. The vendor documents their statuses and not their bodies; the `code` is what has been seen.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::wire;

pub(super) type Answer = Result<Response<Bytes>, Response<Bytes>>;

pub(super) fn refuse(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    wire::json(status, &json!({"code": code, "message": message}))
}

pub(super) fn bad(message: &str) -> Response<Bytes> {
    refuse(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
}

pub(super) fn missing() -> Response<Bytes> {
    refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "Not found")
}

pub(super) fn no_key() -> Response<Bytes> {
    let body = json!({"error": {"code": "INVALID_API_KEY", "message": "Invalid API key"}});
    wire::json(StatusCode::UNAUTHORIZED, &body)
}

pub(super) fn forbidden() -> Response<Bytes> {
    refuse(StatusCode::FORBIDDEN, "FORBIDDEN", "This scope is disabled for your workspace")
}

pub(super) fn too_large() -> Response<Bytes> {
    refuse(StatusCode::PAYLOAD_TOO_LARGE, "TRANSCRIPT_TOO_LARGE", "The transcript is too large to include")
}

pub(super) fn too_many() -> Response<Bytes> {
    refuse(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", "Too many requests")
}

pub(super) fn ok(body: &Value) -> Answer {
    Ok(wire::json(StatusCode::OK, body))
}
