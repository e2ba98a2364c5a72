//! Linear's errors: GraphQL errors with `extensions{type, code, statusCode, userError, userPresentableMessage}`
//! (linear.app/developers/graphql and live probes, read 2026-11-23). Some come on HTTP 200, some on 400.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::wire;

#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// HTTP status, if this error leaves no data.
    pub(super) status: StatusCode,
    pub(super) message: String,
    extensions: Value,
}

pub(super) type Answer<T> = Result<T, Fault>;

impl Fault {
    fn new(status: StatusCode, message: impl Into<String>, kind: &str, code: &str, user_message: Option<&str>) -> Self {
        let mut extensions = json!({
            "type": kind,
            "code": code,
            "statusCode": if status == StatusCode::OK { 400 } else { status.as_u16() },
            "userError": status != StatusCode::INTERNAL_SERVER_ERROR,
        });
        if let Some(text) = user_message {
            extensions["userPresentableMessage"] = json!(text);
        }
        Self { status, message: message.into(), extensions }
    }

    /// A document that does not fit the schema: nothing is run.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message, "graphql error", "GRAPHQL_VALIDATION_FAILED", None)
    }

    pub(super) fn syntax(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message, "graphql error", "GRAPHQL_PARSE_FAILED", None)
    }

    pub(super) fn variable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message, "graphql error", "BAD_USER_INPUT", None)
    }

    /// "Argument Validation Error", with the property that is wrong.
    pub(super) fn argument(property: &str, value: &Value, complaint: &str) -> Self {
        let mut fault = Self::new(
            StatusCode::BAD_REQUEST,
            "Argument Validation Error",
            "invalid input",
            "INVALID_INPUT",
            Some(complaint),
        );
        fault.extensions["validationErrors"] =
            json!([{"property": property, "value": value, "constraints": {"customValidation": complaint}}]);
        fault
    }

    pub(super) fn missing(entity: &str) -> Self {
        let text = format!("Could not find referenced {entity}.");
        Self::new(StatusCode::OK, format!("Entity not found: {entity}"), "invalid input", "INPUT_ERROR", Some(&text))
    }

    /// A client-chosen id that is taken. Seen with HTTP 200 and with 400 (live probes, 2026-08): `ok` chooses.
    pub(super) fn conflict(entity: &str, id: &str, ok: bool) -> Self {
        let text = format!("Entity {entity} with id {id} already exists.");
        let status = if ok { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        Self::new(status, format!("conflict on insert of {entity}"), "invalid input", "INPUT_ERROR", Some(&text))
    }

    pub(super) fn input(text: &str) -> Self {
        Self::new(StatusCode::OK, text, "invalid input", "INPUT_ERROR", Some(text))
    }

    pub(super) fn forbidden(text: &str) -> Self {
        Self::new(StatusCode::OK, text, "forbidden", "FORBIDDEN", Some(text))
    }

    pub(super) fn unavailable(feature: &str) -> Self {
        let text = format!("{feature} is not available on the plan of this workspace.");
        Self::new(
            StatusCode::OK,
            "Feature not accessible",
            "feature not accessible",
            "FEATURE_NOT_ACCESSIBLE",
            Some(&text),
        )
    }

    pub(super) fn unauthenticated(text: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, text, "authentication error", "AUTHENTICATION_ERROR", Some(text))
    }

    /// HTTP 400, not 429 (linear.app/developers/rate-limiting, read 2026-11-23).
    pub(super) fn rate_limited(what: &str) -> Self {
        let mut fault =
            Self::new(StatusCode::BAD_REQUEST, "Rate limit exceeded", "ratelimited", "RATELIMITED", Some(what));
        fault.extensions["statusCode"] = json!(429);
        fault
    }

    pub(super) fn too_complex(points: f64) -> Self {
        let text = format!("The query costs {points} points; a query may cost 10000.");
        Self::new(StatusCode::BAD_REQUEST, "Query too complex", "invalid input", "INPUT_ERROR", Some(&text))
    }

    pub(super) fn describe(&self, path: Option<&str>) -> Value {
        let mut out = json!({"message": self.message, "extensions": self.extensions});
        if let Some(path) = path {
            out["path"] = json!([path]);
        }
        out
    }

    /// The answer where nothing was run.
    pub(super) fn response(&self) -> Response<Bytes> {
        wire::json(self.status, &json!({ "errors": [self.describe(None)] }))
    }
}
