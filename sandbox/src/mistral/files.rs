//! `/v1/files`: uploaded by multipart, downloaded as they are, gone after a while.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::Mistral;
use super::errors::Answer;
use crate::wire;
use crate::world::Context;

#[derive(Clone)]
pub(super) struct File {
    pub(super) content: Bytes,
    pub(super) name: String,
    pub(super) purpose: String,
    pub(super) sample: &'static str,
    pub(super) created: DateTime<Utc>,
    /// From when on it can be seen: a job's output is there once the job is over.
    pub(super) shown: DateTime<Utc>,
}

impl Mistral {
    pub(super) fn upload(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        let parts = parts(request).ok_or_else(|| self.invalid(&["body"], "a multipart form is expected", "missing"))?;
        let part = |name: &str| parts.iter().find(|part| part.name == name);
        let file = part("file").ok_or_else(|| self.invalid(&["body", "file"], "Field required", "missing"))?;
        let purpose = part("purpose")
            .map_or_else(|| "fine-tune".into(), |part| String::from_utf8_lossy(&part.content).into_owned());
        if !["fine-tune", "batch", "ocr"].contains(&purpose.as_str()) {
            return Err(self.invalid(&["body", "purpose"], "Input should be 'fine-tune', 'batch' or 'ocr'", "enum"));
        }
        let id = cx.rng.uuid();
        let file = File {
            content: file.content.clone(),
            name: file.file.clone().unwrap_or_else(|| "file".into()),
            purpose,
            sample: "batch_request",
            created: cx.now,
            shown: cx.now,
        };
        let shown = show(&id, &file);
        self.files.insert(id, file);
        Ok(wire::json(StatusCode::OK, &shown))
    }

    pub(super) fn list_files(&self, query: &[(String, String)]) -> Response<Bytes> {
        let wanted = query.iter().find(|(name, _)| name == "purpose").map(|(_, value)| value.as_str());
        let files = self.files.iter().filter(|(_, file)| wanted.is_none_or(|wanted| file.purpose == wanted));
        let data: Vec<Value> = files.map(|(id, file)| show(id, file)).collect();
        let total = data.len();
        wire::json(StatusCode::OK, &json!({"data": data, "object": "list", "total": total}))
    }

    fn file(&self, id: &str, now: DateTime<Utc>) -> Result<&File, Response<Bytes>> {
        let there = |file: &&File| file.shown <= now && now - file.shown < self.files_kept;
        self.files.get(id).filter(there).ok_or_else(|| self.missing("file"))
    }

    pub(super) fn get_file(&self, id: &str, now: DateTime<Utc>) -> Answer {
        Ok(wire::json(StatusCode::OK, &show(id, self.file(id, now)?)))
    }

    pub(super) fn content(&self, id: &str, now: DateTime<Utc>) -> Answer {
        Ok(wire::answer(StatusCode::OK, "application/octet-stream", self.file(id, now)?.content.clone()))
    }

    pub(super) fn delete_file(&mut self, id: &str) -> Answer {
        self.files.remove(id).map(|_| ()).ok_or_else(|| self.missing("file"))?;
        Ok(wire::json(StatusCode::OK, &json!({"id": id, "object": "file", "deleted": true})))
    }

    /// The lines of a file that a job may read.
    pub(super) fn lines_of(&self, id: &str, now: DateTime<Utc>) -> Result<Vec<Value>, String> {
        let file = self.file(id, now).map_err(|_| format!("there is no file {id}"))?;
        if file.purpose != "batch" {
            return Err(format!("file {id} is not for batches"));
        }
        let lines =
            file.content.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
        lines
            .map(|(at, line)| serde_json::from_slice(line).map_err(|_| format!("line {} is not JSON", at + 1)))
            .collect()
    }
}

pub(super) fn output(content: String, name: &str, sample: &'static str, now: DateTime<Utc>, shown: TimeDelta) -> File {
    File {
        content: content.into(),
        name: name.to_owned(),
        purpose: "batch".into(),
        sample,
        created: now,
        shown: now + shown,
    }
}

fn show(id: &str, file: &File) -> Value {
    let lines = file.content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    json!({
        "id": id, "object": "file", "bytes": file.content.len(), "created_at": file.created.timestamp(), "filename": file.name,
        "purpose": file.purpose, "sample_type": file.sample, "num_lines": lines, "mimetype": "application/jsonl",
        "source": if file.sample == "batch_request" { "upload" } else { "mistral" }, "signature": null, "deleted": false,
    })
}

struct Part {
    name: String,
    file: Option<String>,
    content: Bytes,
}

/// The parts of a multipart form (RFC 7578).
fn parts(request: &Request<Bytes>) -> Option<Vec<Part>> {
    let kind = wire::header(request, "content-type")?;
    let boundary = kind.split(';').map(str::trim).find_map(|part| part.strip_prefix("boundary="))?.trim_matches('"');
    let (delimiter, body) = (format!("--{boundary}"), request.body());
    let mut found = Vec::new();
    let mut begin = find(body, delimiter.as_bytes(), 0)? + delimiter.len();
    while let Some(end) = find(body, delimiter.as_bytes(), begin) {
        let head = find(body, b"\r\n\r\n", begin).filter(|head| *head < end)?;
        let headers = String::from_utf8_lossy(&body[begin..head]);
        let field = |name: &str| {
            let (_, rest) = headers.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let content = body.slice(head + 4..end.checked_sub(2).filter(|end| *end >= head + 4)?);
        found.push(Part { name: field(" name")?, file: field("filename"), content });
        begin = end + delimiter.len();
    }
    Some(found)
}

fn find(body: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    body.get(from..)?.windows(wanted.len()).position(|window| window == wanted).map(|at| from + at)
}
