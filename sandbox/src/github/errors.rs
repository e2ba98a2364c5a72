//! GitHub's refusals: `{message, documentation_url, status}`, and for a 422 the list of what is wrong where.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::wire;

pub(super) type Answer = Result<Response<Bytes>, Response<Bytes>>;

const DOCS: &str = "https://docs.github.com/rest";

/// `status` is a string there (OpenAPI `basic-error`, read 2026-11-23).
pub(super) fn refuse(status: StatusCode, message: &str) -> Response<Bytes> {
    let status_text = status.as_u16().to_string();
    wire::json(status, &json!({"message": message, "documentation_url": DOCS, "status": status_text}))
}

pub(super) fn not_found() -> Response<Bytes> {
    refuse(StatusCode::NOT_FOUND, "Not Found")
}

pub(super) fn deleted() -> Response<Bytes> {
    refuse(StatusCode::GONE, "This issue was deleted")
}

pub(super) fn invalid(resource: &str, field: &str, code: &str, message: Option<&str>) -> Response<Bytes> {
    let mut error = json!({"resource": resource, "field": field, "code": code});
    if let (Some(message), Value::Object(error)) = (message, &mut error) {
        error.insert("message".into(), message.into());
    }
    wire::json(
        StatusCode::UNPROCESSABLE_ENTITY,
        &json!({"message": "Validation Failed", "errors": [error], "documentation_url": DOCS, "status": "422"}),
    )
}

/// A 422 without `errors`: GitHub sends those too, for parameters that it cannot read and for pages beyond its cap.
pub(super) fn unprocessable(message: &str) -> Response<Bytes> {
    refuse(StatusCode::UNPROCESSABLE_ENTITY, message)
}

pub(super) fn moved(status: StatusCode, to: &str) -> Response<Bytes> {
    let text = if status == StatusCode::MOVED_PERMANENTLY { "Moved Permanently" } else { "Temporary Redirect" };
    let mut response = wire::json(status, &json!({"message": text, "url": to, "documentation_url": DOCS}));
    wire::set(response.headers_mut(), "location", to);
    response
}

pub(super) fn ok(body: &Value) -> Answer {
    Ok(wire::json(StatusCode::OK, body))
}

pub(super) fn created(body: &Value) -> Answer {
    let mut response = wire::json(StatusCode::CREATED, body);
    if let Some(url) = body.get("url").and_then(Value::as_str) {
        wire::set(response.headers_mut(), "location", url);
    }
    Ok(response)
}

pub(super) fn done() -> Answer {
    Ok(wire::empty(StatusCode::NO_CONTENT))
}
