//! Airtable's two error shapes: `{"error":"NOT_FOUND"}` and `{"error":{"type":…,"message":…}}`
//! (Airtable docs "errors", read 2026-11-23). Which of the two comes is fixed per case, as a client must parse both.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::wire;

/// A refused request: nothing was changed.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    body: Value,
}

pub(super) type Answer<T = Value> = Result<T, Refusal>;

impl Refusal {
    pub(super) fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        Self { status, body: json!({"error": {"type": kind, "message": message.into()}}) }
    }

    /// The short shape, used for what is not there.
    pub(super) fn bare(status: u16, kind: &str) -> Self {
        Self { status, body: json!({ "error": kind }) }
    }

    pub(super) fn not_found() -> Self {
        Self::bare(404, "NOT_FOUND")
    }

    /// A wrong base or table, and a missing right, look alike (Airtable docs "scopes", read 2026-11-23).
    pub(super) fn no_model() -> Self {
        Self::new(
            403,
            "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND",
            "Permissions are missing or the model does not exist; check the token's access and the names or ids.",
        )
    }

    pub(super) fn unauthenticated() -> Self {
        Self::new(401, "AUTHENTICATION_REQUIRED", "Authentication required")
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(422, "INVALID_REQUEST_UNKNOWN", message)
    }

    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(422, "INVALID_REQUEST_MISSING_FIELDS", message)
    }

    pub(super) fn value(message: impl Into<String>) -> Self {
        Self::new(422, "INVALID_VALUE_FOR_COLUMN", message)
    }

    pub(super) fn unknown_field(name: &str) -> Self {
        Self::new(422, "UNKNOWN_FIELD_NAME", format!("Unknown field name: \"{name}\""))
    }

    pub(super) fn no_row(id: &str) -> Self {
        Self::new(422, "ROW_DOES_NOT_EXIST", format!("Record ID {id} does not exist"))
    }

    pub(super) fn response(&self) -> http::Response<Bytes> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        wire::json(status, &self.body)
    }
}
