//! `/v1/batch/jobs`. What comes out is known when a job is made and shown when its time is over.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::Mistral;
use super::errors::Answer;
use super::files::output;
use crate::wire;
use crate::world::Context;

const INSIDE: usize = 10_000;
const ENDPOINTS: [&str; 3] = ["/v1/chat/completions", "/v1/embeddings", "/v1/moderations"];

#[derive(Clone)]
pub(super) struct Job {
    id: String,
    input_files: Vec<String>,
    endpoint: String,
    model: Option<String>,
    metadata: Value,
    created: DateTime<Utc>,
    takes: TimeDelta,
    cancelled: Option<DateTime<Utc>>,
    /// Why it could not begin.
    errors: Vec<String>,
    lines: Vec<Value>,
    failed: u64,
    output_file: Option<String>,
    error_file: Option<String>,
}

impl Job {
    fn status(&self, now: DateTime<Utc>) -> &'static str {
        let age = now - self.created;
        match self.cancelled {
            _ if !self.errors.is_empty() => "FAILED",
            Some(at) if now - at < TimeDelta::seconds(5) => "CANCELLATION_REQUESTED",
            Some(_) => "CANCELLED",
            None if age >= self.takes => "SUCCESS",
            None if age * 10 >= self.takes => "RUNNING",
            None => "QUEUED",
        }
    }

    fn show(&self, now: DateTime<Utc>, inline: bool) -> Value {
        let status = self.status(now);
        let over = status == "SUCCESS";
        let total = self.lines.len() as u64;
        let (age, takes) = ((now - self.created).num_seconds().max(0), self.takes.num_seconds().max(1));
        let done =
            if over { total } else { u64::try_from(age).unwrap_or(0) * total / u64::try_from(takes).unwrap_or(1) };
        let done = done.min(total);
        let failed = if over { self.failed } else { 0 };
        let errors: Vec<Value> = self.errors.iter().map(|message| json!({"message": message, "count": 1})).collect();
        json!({
            "id": self.id, "object": "batch", "input_files": self.input_files, "metadata": self.metadata, "endpoint": self.endpoint,
            "model": self.model, "agent_id": null, "output_file": self.output_file.as_ref().filter(|_| over),
            "error_file": self.error_file.as_ref().filter(|_| over), "errors": errors,
            "outputs": if over && inline { json!(self.lines) } else { Value::Null }, "status": status,
            "created_at": self.created.timestamp(), "total_requests": total, "completed_requests": done,
            "succeeded_requests": done - failed.min(done), "failed_requests": failed,
            "started_at": (status != "QUEUED").then(|| self.created.timestamp()),
            "completed_at": over.then(|| (self.created + self.takes).timestamp()),
        })
    }
}

impl Mistral {
    pub(super) fn create_job(&mut self, body: &Value, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        self.only(body, &["input_files", "requests", "endpoint", "model", "agent_id", "metadata", "timeout_hours"])?;
        let endpoint = body["endpoint"].as_str().unwrap_or_default();
        if !ENDPOINTS.contains(&endpoint) {
            return Err(self.invalid(&["body", "endpoint"], "Input should be an endpoint that takes batches", "enum"));
        }
        self.check_metadata(&body["metadata"])?;
        if !body["timeout_hours"].is_null()
            && !body["timeout_hours"].as_u64().is_some_and(|hours| (1..=168).contains(&hours))
        {
            return Err(self.invalid(
                &["body", "timeout_hours"],
                "Input should be between 1 and 168",
                "less_than_equal",
            ));
        }
        let files: Vec<String> =
            body["input_files"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let mut errors = Vec::new();
        let requests = match body["requests"].as_array() {
            Some(inside) if inside.len() > INSIDE => {
                return Err(self.invalid(
                    &["body", "requests"],
                    "List should have at most 10000 items after validation",
                    "too_long",
                ));
            }
            Some(inside) if files.is_empty() => inside.clone(),
            None if !files.is_empty() => {
                let mut all = Vec::new();
                for file in &files {
                    match self.lines_of(file, cx.now) {
                        Ok(lines) => all.extend(lines),
                        Err(why) => errors.push(why),
                    }
                }
                all
            }
            _ => return Err(self.bad("Either input_files or requests must be given.", "invalid_request_error", "")),
        };
        let model = body["model"].as_str().map(str::to_owned);
        let lines: Vec<Value> =
            requests.iter().map(|one| self.line(one, endpoint, model.as_deref(), request, cx)).collect();
        let failed = lines.iter().filter(|line| line["response"]["status_code"] != 200).count() as u64;
        let id = cx.rng.uuid();
        let mut job = Job {
            id,
            input_files: files,
            endpoint: endpoint.to_owned(),
            model,
            metadata: body["metadata"].clone(),
            created: cx.now,
            takes: self.batch_time,
            cancelled: None,
            errors,
            lines,
            failed,
            output_file: None,
            error_file: None,
        };
        self.write_files(&mut job, cx);
        let shown = job.show(cx.now, false);
        self.jobs.push(job);
        Ok(wire::json(StatusCode::OK, &shown))
    }

    fn write_files(&mut self, job: &mut Job, cx: &mut Context<'_>) {
        let text = |good: bool| {
            let lines = job.lines.iter().filter(|line| (line["response"]["status_code"] == 200) == good);
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        let (good, bad) = (text(true), text(false));
        let mut put = |content: String, name: &str, sample: &'static str| {
            if content.is_empty() {
                return None;
            }
            let id = cx.rng.uuid();
            self.files.insert(id.clone(), output(content, name, sample, cx.now, self.batch_time));
            Some(id)
        };
        let files = (put(good, "batch_results.jsonl", "batch_result"), put(bad, "batch_errors.jsonl", "batch_error"));
        (job.output_file, job.error_file) = files;
    }

    /// What becomes of one line. Real-time limits do not touch it.
    fn line(
        &mut self,
        one: &Value,
        endpoint: &str,
        model: Option<&str>,
        request: &Request<Bytes>,
        cx: &mut Context<'_>,
    ) -> Value {
        let mut body = one["body"].clone();
        if let (Value::Object(fields), Some(model)) = (&mut body, model) {
            fields.entry("model").or_insert_with(|| model.into());
        }
        self.note("batch", &body, request, cx.now);
        let answer = match endpoint {
            "/v1/embeddings" => self.embed(&body, cx),
            "/v1/moderations" => self.moderate(&body, cx),
            _ => self.complete(&body, cx),
        };
        let response = answer.unwrap_or_else(|refusal| refusal);
        let told: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let id = cx.rng.uuid();
        json!({"id": id, "custom_id": one["custom_id"], "response": {"status_code": response.status().as_u16(), "body": told}, "error": null})
    }

    fn check_metadata(&self, metadata: &Value) -> Result<(), Response<Bytes>> {
        let good = |(name, value): (&String, &Value)| {
            let value = value.as_str().map_or(0, |value| value.chars().count());
            (1..=32).contains(&name.chars().count()) && (1..=512).contains(&value)
        };
        if metadata.is_null() || metadata.as_object().is_some_and(|fields| fields.iter().all(good)) {
            return Ok(());
        }
        Err(self.invalid(&["body", "metadata"], "keys of 1 to 32 and values of 1 to 512 characters", "string_too_long"))
    }

    /// Newest first, unless asked otherwise; pages from 0.
    pub(super) fn list_jobs(&self, query: &[(String, String)], cx: &Context<'_>) -> Answer {
        let asked = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let number = |name: &str, otherwise: usize| asked(name).map_or(Some(otherwise), |text| text.parse().ok());
        let page = number("page", 0)
            .ok_or_else(|| self.invalid(&["query", "page"], "Input should be a valid integer", "int_parsing"))?;
        let size = number("page_size", 100).filter(|size| (1..=100).contains(size));
        let size = size.ok_or_else(|| {
            self.invalid(&["query", "page_size"], "Input should be between 1 and 100", "less_than_equal")
        })?;
        let after = match asked("created_after") {
            Some(text) => Some(DateTime::parse_from_rfc3339(text).map_err(|_| {
                self.invalid(&["query", "created_after"], "Input should be a valid datetime", "datetime_parsing")
            })?),
            None => None,
        };
        let statuses: Vec<&str> =
            query.iter().filter(|(key, _)| key == "status").map(|(_, value)| value.as_str()).collect();
        let mut jobs: Vec<&Job> = self
            .jobs
            .iter()
            .filter(|job| after.is_none_or(|after| job.created > after))
            .filter(|job| asked("model").is_none_or(|model| job.model.as_deref() == Some(model)))
            .filter(|job| statuses.is_empty() || statuses.contains(&job.status(cx.now)))
            .collect();
        if asked("order_by") != Some("created") {
            jobs.reverse();
        }
        let total = jobs.len();
        let data: Vec<Value> =
            jobs.into_iter().skip(page * size).take(size).map(|job| job.show(cx.now, false)).collect();
        Ok(wire::json(StatusCode::OK, &json!({"data": data, "object": "list", "total": total})))
    }

    pub(super) fn get_job(&self, id: &str, query: &[(String, String)], now: DateTime<Utc>) -> Answer {
        let job = self.jobs.iter().find(|job| job.id == id).ok_or_else(|| self.missing("batch job"))?;
        let inline = query.iter().any(|(name, value)| name == "inline" && value == "true");
        if inline && self.loses_answers {
            return Err(self.missing("batch job"));
        }
        // Only what was given inside comes back inside.
        Ok(wire::json(StatusCode::OK, &job.show(now, inline && job.input_files.is_empty())))
    }

    pub(super) fn cancel_job(&mut self, id: &str, now: DateTime<Utc>) -> Answer {
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) else { return Err(self.missing("batch job")) };
        if matches!(job.status(now), "QUEUED" | "RUNNING") {
            job.cancelled = Some(now);
        }
        Ok(wire::json(StatusCode::OK, &job.show(now, false)))
    }
}
