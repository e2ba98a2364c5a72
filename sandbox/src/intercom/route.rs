//! A request taken apart, and its version checked.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Map, Value};

use super::errors::{bad, refuse};
use crate::wire;

/// The oldest and the newest version that is taken: 2.7 to 2.17 (vendor sheet, 2026-11-23).
const VERSIONS: std::ops::RangeInclusive<u32> = 7..=17;

pub(super) struct Call {
    pub(super) method: Method,
    pub(super) segments: Vec<String>,
    query: Vec<(String, String)>,
    pub(super) version: u32,
    body: Bytes,
}

impl Call {
    /// `default`: the app's version, for calls without the header.
    pub(super) fn read(request: &Request<Bytes>, default: u32) -> Result<Self, Response<Bytes>> {
        let version = match wire::header(request, "intercom-version") {
            None | Some("") => default,
            // "Preview" is the newest, and must be capitalised (Intercom-OpenAPI#669).
            Some("Preview") => *VERSIONS.end(),
            Some(asked) => version(asked).ok_or_else(|| {
                refuse(StatusCode::BAD_REQUEST, "intercom_version_invalid", "The requested version could not be found")
            })?,
        };
        Ok(Self {
            method: request.method().clone(),
            segments: wire::segments(request.uri().path()),
            query: wire::query(request),
            version,
            body: request.body().clone(),
        })
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    /// The body as an object; an empty body is an empty object.
    pub(super) fn object(&self) -> Result<Map<String, Value>, Response<Bytes>> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(bad("The body must be a JSON object")),
            Err(_) => Err(refuse(StatusCode::BAD_REQUEST, "parameter_invalid", "JSON could not be parsed")),
        }
    }
}

/// The minor number of a version that is taken.
pub(super) fn version(text: &str) -> Option<u32> {
    let minor = text.strip_prefix("2.")?;
    minor.parse().ok().filter(|minor| VERSIONS.contains(minor))
}
