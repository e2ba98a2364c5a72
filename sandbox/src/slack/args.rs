//! The arguments of a call: a form, JSON, or a query, as Slack takes them; the token from the header or among them.

use bytes::Bytes;
use http::Request;
use serde_json::{Map, Value, json};

use super::{Refusal, no};
use crate::wire;

pub(super) struct Args {
    pub(super) token: Option<String>,
    given: Map<String, Value>,
    /// JSON without a charset: it is taken, with a warning.
    no_charset: bool,
    pub(super) warnings: std::cell::RefCell<Vec<&'static str>>,
}

impl Args {
    /// # Errors
    /// A body that is not what its content type says.
    pub(super) fn read(request: &Request<Bytes>) -> Result<Self, &'static str> {
        let mut given: Map<String, Value> =
            wire::query(request).into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        let kind = wire::header(request, "content-type").unwrap_or_default().to_ascii_lowercase();
        let mut no_charset = false;
        if kind.starts_with("application/json") {
            if !request.body().is_empty() {
                match serde_json::from_slice(request.body()) {
                    Ok(Value::Object(body)) => given.extend(body),
                    Ok(_) => return Err("json_not_object"),
                    Err(_) => return Err("invalid_json"),
                }
            }
            no_charset = !kind.contains("charset");
        } else if kind.starts_with("application/x-www-form-urlencoded") {
            let form = wire::form(request.body());
            given.extend(form.into_iter().map(|(name, value)| (name, Value::String(value))));
        } else if !request.body().is_empty() {
            return Err("invalid_post_type");
        }
        let among = given.remove("token").and_then(|token| token.as_str().map(str::to_owned));
        let token = wire::bearer(request).map(str::to_owned).or(among);
        Ok(Self { token, given, no_charset, warnings: std::cell::RefCell::default() })
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.given.get(name)? {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        match self.given.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => matches!(text.as_str(), "true" | "1"),
            Some(Value::Number(number)) => number.as_u64() == Some(1),
            _ => false,
        }
    }

    /// A structure: itself, or JSON in a text, as forms have it.
    pub(super) fn json(&self, name: &str, code: &'static str) -> Result<Option<Value>, Refusal> {
        match self.given.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => match serde_json::from_str(text) {
                Ok(value) => Ok(Some(value)),
                Err(_) => no(code),
            },
            Some(value) => Ok(Some(value.clone())),
        }
    }

    /// How many at most: what is asked for, within what is allowed.
    pub(super) fn limit(&self, default: usize, most: usize) -> Result<usize, Refusal> {
        match self.text("limit") {
            None => Ok(default),
            Some(text) => match text.parse::<usize>() {
                Ok(0) => Ok(default),
                Ok(limit) => Ok(limit.min(most)),
                Err(_) => no("invalid_limit"),
            },
        }
    }

    pub(super) fn all(&self) -> &Map<String, Value> {
        &self.given
    }

    pub(super) fn warn(&self, answer: &mut Map<String, Value>) {
        let mut warnings = self.warnings.borrow().clone();
        if self.no_charset {
            warnings.push("missing_charset");
        }
        if !warnings.is_empty() {
            answer.insert("warning".into(), warnings.join(",").into());
            let metadata = answer.entry("response_metadata").or_insert_with(|| json!({}));
            metadata["warnings"] = json!(warnings);
        }
    }
}
