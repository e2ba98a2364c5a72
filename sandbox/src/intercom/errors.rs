//! Intercom's refusals: `{type: "error.list", request_id, errors: [{code, message}]}`.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::wire;

pub(super) type Answer = Result<Response<Bytes>, Response<Bytes>>;

/// `finish` fills in the request id.
pub(super) fn refuse(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    wire::json(
        status,
        &json!({"type": "error.list", "request_id": null, "errors": [{"code": code, "message": message}]}),
    )
}

pub(super) fn bad(message: &str) -> Response<Bytes> {
    refuse(StatusCode::BAD_REQUEST, "parameter_invalid", message)
}

pub(super) fn missing(name: &str) -> Response<Bytes> {
    refuse(StatusCode::BAD_REQUEST, "parameter_not_found", &format!("{name} not specified"))
}

pub(super) fn no_such_page() -> Response<Bytes> {
    refuse(StatusCode::NOT_FOUND, "not_found", "The requested resource was not found")
}

pub(super) fn no_user() -> Response<Bytes> {
    refuse(StatusCode::NOT_FOUND, "not_found", "User Not Found")
}

pub(super) fn no_conversation() -> Response<Bytes> {
    refuse(StatusCode::NOT_FOUND, "not_found", "Resource Not Found")
}

pub(super) fn no_company() -> Response<Bytes> {
    refuse(StatusCode::NOT_FOUND, "company_not_found", "Company Not Found")
}

pub(super) fn ok(body: &Value) -> Answer {
    Ok(wire::json(StatusCode::OK, body))
}
