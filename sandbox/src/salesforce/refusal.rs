//! What Salesforce says no with: an array of messages with their codes ("Status codes and error responses", read
//! 2026-11-23). The same message stands in a row's verdict, there as `statusCode`.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::wire;

pub(super) type Answer<T = Response<Bytes>> = Result<T, Refusal>;

/// One error, of a request or of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) fields: Vec<String>,
    /// Errors about a row name its fields, if only in an empty list.
    of_row: bool,
}

pub(super) fn refuse(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, code, message: message.into(), fields: Vec::new(), of_row: false }
}

/// A row that cannot be saved.
pub(super) fn unsaved(code: &'static str, message: impl Into<String>, fields: &[&str]) -> Refusal {
    let fields = fields.iter().map(ToString::to_string).collect();
    Refusal { status: 400, code, message: message.into(), fields, of_row: true }
}

impl Refusal {
    pub(super) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(super) fn response(&self) -> Response<Bytes> {
        let mut error = json!({ "message": self.message, "errorCode": self.code });
        if self.of_row {
            error["fields"] = json!(self.fields);
        }
        wire::json(StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST), &json!([error]))
    }

    /// As a row's verdict among others.
    pub(super) fn verdict(&self) -> Value {
        json!({
            "success": false,
            "errors": [{ "statusCode": self.code, "message": self.message, "fields": self.fields }],
        })
    }
}

pub(super) fn no_session() -> Refusal {
    refuse(401, "INVALID_SESSION_ID", "Session expired or invalid")
}

pub(super) fn not_found() -> Refusal {
    refuse(404, "NOT_FOUND", "The requested resource does not exist")
}

pub(super) fn wrong_method(method: &http::Method) -> Refusal {
    refuse(405, "METHOD_NOT_ALLOWED", format!("HTTP Method '{method}' not allowed. Allowed are HEAD,GET,POST"))
}

pub(super) fn over_the_limit() -> Refusal {
    refuse(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
}

pub(super) fn no_such_type(name: &str) -> Refusal {
    refuse(
        400,
        "INVALID_TYPE",
        format!(
            "sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names."
        ),
    )
}

/// In a row that is to be saved.
pub(super) fn no_such_column(field: &str, object: &str) -> Refusal {
    refuse(400, "INVALID_FIELD", format!("No such column '{field}' on sobject of type {object}"))
}

pub(super) fn unreadable(why: &str) -> Refusal {
    refuse(400, "JSON_PARSER_ERROR", why)
}

pub(super) fn ok(body: &Value) -> Response<Bytes> {
    wire::json(StatusCode::OK, body)
}
