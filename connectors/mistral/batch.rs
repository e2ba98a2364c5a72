//! Batches: half the price, answered within a day.
//!
//! Facts (OpenAPI document and batch page of 2026-08, read 2026-11-23): one model a job; up to 10,000 lines inside the call, more in a
//! JSONL file; metadata values of 512 characters; paging from 0. The documents disagree on how long results are kept (24 hours, or for
//! good), so they are to be fetched at once.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::PoisonError;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};

use super::said::Said;
use super::{Mistral, chat, judge};
use crate::Fault;
use crate::http::{Call, encode};
use crate::json::{array, text};
use crate::model::{BatchLine, BatchState, Batches, Chat};

/// What one call takes inside.
const INSIDE: usize = 10_000;
/// And how much of it, in bytes: no number is published, and a large body is better sent as a file.
const INSIDE_BYTES: usize = 8 * 1024 * 1024;
/// What comes back must fit one answer ([`crate::http::MAX_ANSWER`]): three kilobytes each.
const MOST: usize = 20_000;
/// The metadata key that holds a job's name.
const NAME: &str = "loopd";
const PAGE: usize = 100;
/// How far back a job is looked for: a job lives at most a week.
const LOOK_BACK: TimeDelta = TimeDelta::days(8);

/// What is still to be fetched of a job, and what is there.
pub(super) struct Unfetched {
    files: Vec<String>,
    lines: Vec<Value>,
}

#[async_trait]
impl Batches for Mistral {
    async fn submit(&self, name: &str, lines: &[BatchLine]) -> Result<String, Fault> {
        let model = one_model(name, lines)?;
        let cards = self.cards();
        let without = self.without.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let requests: Vec<Value> = lines
            .iter()
            .map(|line| {
                let mut body = chat::body(&self.settings, &line.request, &cards, &without);
                // The job names it, once for all.
                if let Value::Object(body) = &mut body {
                    body.remove("model");
                }
                json!({"custom_id": line.custom_id, "body": body})
            })
            .collect();
        let file: Vec<String> = requests.iter().map(Value::to_string).collect();
        let large = requests.len() > INSIDE || file.iter().map(String::len).sum::<usize>() > INSIDE_BYTES;
        let mut job = json!({
            "model": model, "endpoint": "/v1/chat/completions", "metadata": {NAME: name}, "timeout_hours": 24,
        });
        if large {
            let work = upload_of(name, &file);
            let id = match self.uploaded.take(self.client.clock(), &work) {
                Some(id) => id,
                None => self.upload(&file).await?,
            };
            // The quota may put off what follows: then the file is there already.
            self.uploaded.put(self.client.clock(), &work, id.clone());
            job["input_files"] = json!([id]);
        } else {
            job["requests"] = requests.into();
        }
        let answer = self.client.call(Call::post("/v1/batch/jobs", job), 0, &private(lines)).await?;
        let told: Value = answer.map_err(|said| of_job(&said, model, &cards))?.json()?;
        text(&told, "id").ok_or_else(|| Fault::unknown("a job without an id"))
    }

    async fn look(&self, job: &str) -> Result<BatchState, Fault> {
        let answer = self.client.call(Call::get(path(job)), 0, &[]).await?;
        let told: Value = match answer {
            Ok(answer) => answer.json()?,
            Err(said) if said.status == 404 => return Ok(BatchState::Failed("the job is not there any more".into())),
            Err(said) => return Err(judge::refused(&said)),
        };
        Ok(state(&told))
    }

    async fn results(&self, job: &str) -> Result<Vec<(String, Result<Chat, String>)>, Fault> {
        let mut left = match self.unfetched.take(self.client.clock(), job) {
            Some(left) => left,
            None => self.outputs(job).await?,
        };
        while let Some(file) = left.files.last() {
            match self.download(file).await {
                Ok(lines) => {
                    left.lines.extend(lines);
                    left.files.pop();
                }
                Err(fault) => {
                    self.unfetched.put(self.client.clock(), job, left);
                    return Err(fault);
                }
            }
        }
        let mut results = BTreeMap::new();
        for line in &left.lines {
            let Some(id) = text(line, "custom_id") else { continue };
            let result = result(line);
            // A line may stand among the outputs and among the errors: an answer is worth more.
            if result.is_ok() || !results.contains_key(&id) {
                results.insert(id, result);
            }
        }
        Ok(results.into_iter().collect())
    }

    /// Newest first, and compared here: how a list is filtered by metadata is documented nowhere.
    async fn find(&self, name: &str) -> Result<Option<String>, Fault> {
        let since = (self.client.clock().now() - LOOK_BACK).to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut page = self.looking.take(self.client.clock(), name).unwrap_or(0);
        loop {
            let call = Call::get("/v1/batch/jobs")
                .query("page", page.to_string())
                .query("page_size", PAGE.to_string())
                .query("created_after", since.as_str());
            let told: Value = match self.client.call(call, 0, &[]).await {
                Ok(answer) => answer.map_err(|said| judge::refused(&said))?.json()?,
                Err(fault) => {
                    self.looking.put(self.client.clock(), name, page);
                    return Err(fault);
                }
            };
            let jobs = array(&told, "data");
            if let Some(job) = jobs.iter().find(|job| job["metadata"][NAME] == name) {
                return text(job, "id").map(Some).ok_or_else(|| Fault::unknown("a job without an id"));
            }
            if jobs.len() < PAGE {
                return Ok(None);
            }
            page += 1;
        }
    }

    async fn cancel(&self, job: &str) -> Result<(), Fault> {
        let call = Call::post(format!("{}/cancel", path(job)), json!({}));
        match self.client.call(Call { body: None, ..call }, 0, &[]).await? {
            Ok(_) => Ok(()),
            // It is over, or was never there.
            Err(said) if matches!(said.status, 400 | 404 | 409) => Ok(()),
            Err(said) => Err(judge::refused(&said)),
        }
    }
}

impl Mistral {
    /// A file's id. One whose upload was answered by nobody is left lying there: no job names it, so the batch is not submitted.
    async fn upload(&self, lines: &[String]) -> Result<String, Fault> {
        let file = lines.join("\n");
        let boundary = boundary(&file);
        let mut body = String::with_capacity(file.len() + 512);
        for (head, value) in [
            ("name=\"purpose\"", "batch"),
            ("name=\"file\"; filename=\"loopd.jsonl\"\r\nContent-Type: application/jsonl", file.as_str()),
        ] {
            body.push_str(&format!("--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n"));
        }
        body.push_str(&format!("--{boundary}--\r\n"));
        let call = Call::raw("/v1/files", format!("multipart/form-data; boundary={boundary}"), Bytes::from(body));
        let told: Value = match self.client.call(call, 0, &[file.as_str()]).await {
            Ok(answer) => answer.map_err(|said| judge::refused(&said))?.json()?,
            Err(Fault::Unknown { why }) => return Err(Fault::later(format!("the batch's file: {why}"))),
            Err(fault) => return Err(fault),
        };
        text(&told, "id").ok_or_else(|| Fault::later("a file without an id"))
    }

    async fn outputs(&self, job: &str) -> Result<Unfetched, Fault> {
        let answer = self.client.call(Call::get(path(job)).query("inline", "true"), 0, &[]).await?;
        let told: Value = answer.map_err(|said| gone(&said))?.json()?;
        let lines = array(&told, "outputs").to_vec();
        let output = if lines.is_empty() { text(&told, "output_file") } else { None };
        let files = [output, text(&told, "error_file")].into_iter().flatten().collect();
        Ok(Unfetched { files, lines })
    }

    async fn download(&self, file: &str) -> Result<Vec<Value>, Fault> {
        let call = Call::get(format!("/v1/files/{}/content", encode(file)));
        let answer = self.client.call(call, 0, &[]).await?.map_err(|said| gone(&said))?;
        // A line that is none is like one that is not there: its question has no answer, and the caller sees that.
        let lines = answer.body.split(|byte| *byte == b'\n');
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

fn path(job: &str) -> String {
    format!("/v1/batch/jobs/{}", encode(job))
}

fn private(lines: &[BatchLine]) -> Vec<&str> {
    lines.iter().flat_map(|line| [line.request.user.as_str(), line.request.system.as_str()]).collect()
}

fn one_model<'l>(name: &str, lines: &'l [BatchLine]) -> Result<&'l str, Fault> {
    let first = lines.first().ok_or_else(|| Fault::rejected("a batch without lines"))?;
    if lines.len() > MOST {
        return Err(Fault::rejected(format!(
            "a batch of {} lines; {MOST} at most, so that its answers can be fetched",
            lines.len()
        )));
    }
    if name.is_empty() || name.chars().count() > 512 {
        return Err(Fault::rejected("a batch's name is 1 to 512 characters long"));
    }
    let model = first.request.model.as_str();
    if let Some(other) = lines.iter().find(|line| line.request.model != model) {
        let why = format!("one model a batch: this one has {model} and {}", other.request.model);
        return Err(Fault::Rejected { why, field: Some("model".into()) });
    }
    let mut seen = BTreeSet::new();
    if let Some(double) = lines.iter().find(|line| line.custom_id.is_empty() || !seen.insert(line.custom_id.as_str())) {
        let why = format!("the custom_id {:?} is empty, or there twice", double.custom_id);
        return Err(Fault::Rejected { why, field: Some("custom_id".into()) });
    }
    Ok(model)
}

/// Of making a job: with a 5xx it may have been made.
fn of_job(said: &Said, model: &str, cards: &[crate::model::ModelCard]) -> Fault {
    match said.status {
        500 | 502 | 504 => Fault::unknown(format!("HTTP {}: {}", said.status, said.why)),
        _ => judge::of_model(said, model, cards),
    }
}

/// Of results: what is not there will not come back.
fn gone(said: &Said) -> Fault {
    match said.status {
        404 | 410 => Fault::rejected(format!("the results are not there any more: {}", said.why)),
        _ => judge::refused(said),
    }
}

fn state(job: &Value) -> BatchState {
    let number = |name: &str| job[name].as_u64().unwrap_or(0);
    match job["status"].as_str().unwrap_or_default() {
        "SUCCESS" => BatchState::Done,
        over @ ("FAILED" | "TIMEOUT_EXCEEDED" | "CANCELLED") => {
            let errors = array(job, "errors").iter().filter_map(|error| text(error, "message"));
            let errors: Vec<String> = errors.take(3).map(|error| error.chars().take(120).collect()).collect();
            let colon = if errors.is_empty() { "" } else { ": " };
            BatchState::Failed(format!("{}{colon}{}", over.to_lowercase().replace('_', " "), errors.join("; ")))
        }
        // A status that is new is one that is not over.
        _ => BatchState::Running { done: number("completed_requests"), total: number("total_requests") },
    }
}

fn result(line: &Value) -> Result<Chat, String> {
    let response = &line["response"];
    let status = response["status_code"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
    let body = match &response["body"] {
        // Seen as a text, too.
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    };
    if !line["error"].is_null() || !(200..300).contains(&status) {
        let error = if line["error"].is_null() { &body } else { &line["error"] };
        // Which question it was is not at hand here, so only what kind of error it is may be told.
        let said = Said::of(status, error, &[]);
        let kind = [said.kind, said.code].into_iter().find(|part| !part.is_empty()).unwrap_or_default();
        return Err(format!("HTTP {status} {kind}").trim_end().to_owned());
    }
    chat::read(&body, super::settings::Dialect::Mistral).map_err(|fault| fault.to_string())
}

/// Under what an upload is remembered: the name, and these lines.
fn upload_of(name: &str, lines: &[String]) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    lines.hash(&mut hasher);
    format!("{name} {:x}", hasher.finish())
}

/// A line that does not occur in the file.
fn boundary(file: &str) -> String {
    let mut boundary = "loopd-batch".to_owned();
    while file.contains(&boundary) {
        boundary.push('x');
    }
    boundary
}
