//! Reading what a client sent: decoded path segments, bracketed query parameters (`fields[]`, `sort[0][field]`) and the
//! JSON body. Query and body end in one shape, because `POST listRecords` takes the names of the query in JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::refusal::{Answer, Refusal};
use crate::wire;

/// Past this a body is refused with 413. Airtable documents the status, not the number (read 2026-11-23).
const BODY_LIMIT: usize = 10 * 1024 * 1024;
/// Airtable docs, read 2026-11-23: longer URLs must become `POST listRecords`.
const URL_LIMIT: usize = 16_000;

pub(super) struct Asked {
    pub(super) method: http::Method,
    pub(super) path: Vec<String>,
    pub(super) query: Query,
    pub(super) body: Map<String, Value>,
}

/// Query parameters in order; `fields[]` keeps its brackets in the name.
pub(super) struct Query(pub(super) Vec<(String, String)>);

impl Query {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// `name[]=a&name[]=b`, also written `name[0]=a` or plain `name=a`.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(key, _)| key == name || key.strip_prefix(name).is_some_and(is_index))
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// The query as the JSON that `listRecords` takes.
    pub(super) fn as_json(&self) -> Map<String, Value> {
        let mut out = Map::new();
        for name in ["view", "offset", "filterByFormula", "cellFormat", "timeZone", "userLocale"] {
            if let Some(value) = self.get(name) {
                out.insert(name.to_owned(), json!(value));
            }
        }
        for name in ["pageSize", "maxRecords", "limit", "cursor"] {
            if let Some(value) = self.get(name) {
                out.insert(name.to_owned(), value.parse::<i64>().map_or_else(|_| json!(value), |n| json!(n)));
            }
        }
        if let Some(value) = self.get("returnFieldsByFieldId") {
            out.insert("returnFieldsByFieldId".to_owned(), json!(matches!(value, "1" | "true")));
        }
        for name in ["fields", "recordMetadata", "include"] {
            let values = self.list(name);
            if !values.is_empty() {
                out.insert(name.to_owned(), json!(values));
            }
        }
        let mut sort: BTreeMap<usize, Map<String, Value>> = BTreeMap::new();
        for (key, value) in &self.0 {
            let Some(rest) = key.strip_prefix("sort[") else { continue };
            let mut parts = rest.trim_end_matches(']').split("][");
            if let (Some(Ok(index)), Some(part)) = (parts.next().map(str::parse::<usize>), parts.next()) {
                sort.entry(index).or_default().insert(part.to_owned(), json!(value));
            }
        }
        if !sort.is_empty() {
            out.insert("sort".to_owned(), sort.into_values().map(Value::Object).collect());
        }
        out
    }
}

fn is_index(rest: &str) -> bool {
    rest.strip_prefix('[').and_then(|r| r.strip_suffix(']')).is_some_and(|r| r.bytes().all(|b| b.is_ascii_digit()))
}

pub(super) fn read(request: &http::Request<Bytes>) -> Answer<Asked> {
    let uri = request.uri();
    if uri.path_and_query().map_or(0, |p| p.as_str().len()) > URL_LIMIT {
        return Err(Refusal::new(414, "REQUEST_URI_TOO_LONG", "The URL is longer than 16,000 characters"));
    }
    if request.body().len() > BODY_LIMIT {
        return Err(Refusal::new(413, "REQUEST_TOO_LARGE", "The request body is too large"));
    }
    let path = path(uri.path());
    let query = wire::query(request);
    let body = if request.body().is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(request.body()) {
            Ok(Value::Object(map)) => map,
            Ok(_) | Err(_) => return Err(Refusal::malformed("Could not parse request body as a JSON object")),
        }
    };
    Ok(Asked { method: request.method().clone(), path, query: Query(query), body })
}

/// Decoded segments. `v0` is the only version there is; a client's base URL may carry it or not.
pub(super) fn path(path: &str) -> Vec<String> {
    let mut path = wire::segments(path);
    if path.first().is_some_and(|first| first == "v0") {
        path.remove(0);
    }
    path
}
