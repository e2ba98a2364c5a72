//! What Notion says no with.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::wire;

#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) more: Value,
}

pub(super) type Answer<T = Value> = Result<T, Refusal>;

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), more: Value::Null }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "validation_error", message)
    }

    /// Of one place in the body.
    pub(super) fn body(place: &str, expected: &str, value: &Value) -> Self {
        Self::invalid(format!("body failed validation: body.{place} should be {expected}, instead was `{value}`."))
    }

    pub(super) fn too_long(place: &str, most: usize, is: usize) -> Self {
        Self::invalid(format!("body failed validation: body.{place}.length should be ≤ `{most}`, instead was `{is}`."))
    }

    pub(super) fn undefined(place: &str) -> Self {
        Self::invalid(format!("body failed validation: body.{place} should be defined, instead was `undefined`."))
    }

    pub(super) fn not_found(kind: &str, id: &str) -> Self {
        Self::new(
            404,
            "object_not_found",
            format!(
                "Could not find {kind} with ID: {id}. Make sure the relevant pages and databases are shared with your integration \"loopd\"."
            ),
        )
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "unauthorized", "API token is invalid.")
    }

    pub(super) fn restricted() -> Self {
        Self::new(403, "restricted_resource", "Insufficient permissions for this endpoint.")
    }

    pub(super) fn no_such_url() -> Self {
        Self::new(400, "invalid_request_url", "Invalid request URL.")
    }

    pub(super) fn trashed() -> Self {
        Self::invalid("Can't edit block that is archived. You must unarchive the block before editing.")
    }

    pub(super) fn response(&self) -> Response<Bytes> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = json!({ "object": "error", "status": self.status, "code": self.code, "message": self.message });
        if !self.more.is_null() {
            body["additional_data"] = self.more.clone();
        }
        wire::json(status, &body)
    }
}
