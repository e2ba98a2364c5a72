//! A request taken apart, and what every GitHub call must bring: a user agent, a known version, a credential.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Map, Value};

use super::errors::refuse;
use super::show::{BodyForm, View};
use crate::wire;

/// As `GET /versions` lists them (vendor sheet, 2026-11-23). Without the header the older one applies.
pub(super) const VERSIONS: [&str; 2] = ["2026-03-10", "2022-11-28"];

pub(super) struct Call {
    pub(super) method: Method,
    pub(super) segments: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) version: &'static str,
    form: BodyForm,
    body: Bytes,
}

impl Call {
    pub(super) fn read(request: &Request<Bytes>) -> Result<Self, Response<Bytes>> {
        if wire::header(request, "user-agent").is_none_or(str::is_empty) {
            return Err(refuse(
                StatusCode::FORBIDDEN,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.",
            ));
        }
        let version = match wire::header(request, "x-github-api-version") {
            None => VERSIONS[1],
            Some(asked) => VERSIONS.into_iter().find(|version| *version == asked).ok_or_else(|| {
                refuse(StatusCode::GONE, &format!("\"{asked}\" is not a supported version of the REST API."))
            })?,
        };
        let accept = wire::header(request, "accept").unwrap_or_default();
        let form = [(".full", BodyForm::Full), (".html", BodyForm::Html), (".text", BodyForm::Text)]
            .into_iter()
            .find(|(mark, _)| accept.contains("github") && accept.contains(mark))
            .map_or(BodyForm::Raw, |(_, form)| form);
        Ok(Self {
            method: request.method().clone(),
            segments: wire::segments(request.uri().path()),
            query: wire::query(request),
            version,
            form,
            body: request.body().clone(),
        })
    }

    pub(super) fn view<'b>(&self, base: &'b str) -> View<'b> {
        View { base, with_assignee: self.version != VERSIONS[0], body: self.form }
    }

    /// The body as JSON of any shape; an empty body is null.
    pub(super) fn value(&self) -> Result<Value, Response<Bytes>> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|_| refuse(StatusCode::BAD_REQUEST, "Problems parsing JSON"))
    }

    pub(super) fn object(&self) -> Result<Map<String, Value>, Response<Bytes>> {
        match self.value()? {
            Value::Object(object) => Ok(object),
            Value::Null => Ok(Map::new()),
            _ => Err(refuse(StatusCode::BAD_REQUEST, "Body should be a JSON object")),
        }
    }
}
