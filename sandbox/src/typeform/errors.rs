//! Typeform's refusals: `{code, description}`, and `details` where a field is at fault.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::wire;

pub(super) type Answer = Result<Response<Bytes>, Response<Bytes>>;

pub(super) fn refuse(status: StatusCode, code: &str, description: &str) -> Response<Bytes> {
    wire::json(status, &json!({"code": code, "description": description}))
}

pub(super) fn invalid(field: &str, place: &str, description: &str) -> Response<Bytes> {
    let details = json!([{"code": "INVALID_VALUE", "description": description, "in": place, "field": field}]);
    let body = json!({"code": "VALIDATION_ERROR", "description": "Error on payload received", "details": details});
    wire::json(StatusCode::BAD_REQUEST, &body)
}

pub(super) fn no_endpoint() -> Response<Bytes> {
    refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "Endpoint not found")
}

pub(super) fn no_form(id: &str) -> Response<Bytes> {
    refuse(StatusCode::NOT_FOUND, "FORM_NOT_FOUND", &format!("Non existing form with uid {id}"))
}

pub(super) fn no_webhook() -> Response<Bytes> {
    refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "Webhook not found")
}

pub(super) fn too_many() -> Response<Bytes> {
    let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", "Rate limit exceeded");
    wire::set(response.headers_mut(), "retry-after", "1");
    response
}

pub(super) fn ok(body: &Value) -> Answer {
    Ok(wire::json(StatusCode::OK, body))
}

pub(super) fn done() -> Answer {
    Ok(wire::empty(StatusCode::NO_CONTENT))
}
