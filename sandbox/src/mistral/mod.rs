//! A server of models: Mistral's API, or one of the compatible servers, as its desk says.
//!
//! Its answers are no model's: a schema is filled from what the message says, by words and overlap (`fill.rs`). It knows nothing of
//! who asks. The same question gets the same answer, unless its desk gave it bad habits ([`Habit`]).
//!
//! Enforced (OpenAPI document of 2026-08, issue threads up to 2026-05, client 3.7.0; read 2026-11-23): a key; unknown fields 422;
//! `format`, `$schema` and `$id` in a schema 400; 512 inputs and 16,384 tokens an embeddings call, else 400 with 3210; retired models
//! 400; what a context holds; requests a second and tokens a minute; JSON mode only with the word JSON in the prompt. Batch jobs take
//! their time, and their files are gone after a day.
//!
//! Left out: streams, tools, images, agents, the admin API. Tokens are a quarter of the letters.

mod batch;
mod chat;
mod check;
mod cues;
mod desk;
mod embed;
mod errors;
mod files;
mod fill;
mod models;
mod moderate;
mod quota;
mod spoil;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_fill;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;

pub use desk::{Habit, Personality, Prompt, Usage};

use self::batch::Job;
use self::errors::Answer;
use self::files::File;
use self::models::Entry;
use self::quota::Quota;
use crate::room::Twist;
use crate::wire;
use crate::world::{Context, StandIn, Vendor};

#[derive(Clone)]
pub struct Mistral {
    keys: BTreeSet<String>,
    personality: Personality,
    models: Vec<Entry>,
    habits: BTreeMap<Habit, f64>,
    /// How late an answer is by [`Habit::Slow`].
    late: Duration,
    quota: Quota,
    letters_per_token: u64,
    /// Models that do not think refuse `reasoning_effort`.
    strict_reasoning: bool,
    /// By cache key: the last prompt.
    cache: BTreeMap<String, String>,
    files: BTreeMap<String, File>,
    /// Oldest first.
    jobs: Vec<Job>,
    batch_time: TimeDelta,
    files_kept: TimeDelta,
    loses_answers: bool,
    /// Shared with the states of a while ago: books are never stale.
    usage: Arc<Mutex<Usage>>,
}

impl Default for Mistral {
    /// With one key ([`Vendor::token`]), well behaved.
    fn default() -> Self {
        Self {
            keys: BTreeSet::from([Vendor::Mistral.token().to_owned()]),
            personality: Personality::Mistral,
            models: models::catalogue(),
            habits: BTreeMap::new(),
            late: Duration::from_secs(20),
            quota: Quota::default(),
            letters_per_token: 4,
            strict_reasoning: false,
            cache: BTreeMap::new(),
            files: BTreeMap::new(),
            jobs: Vec::new(),
            // Nobody waits for a day here.
            batch_time: TimeDelta::seconds(4),
            files_kept: TimeDelta::hours(24),
            loses_answers: false,
            usage: Arc::default(),
        }
    }
}

impl StandIn for Mistral {
    fn handle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        if self.takes_to(Habit::Down, cx) {
            let mut response = self.refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "Service tier capacity exceeded for this model.",
                "service_tier_capacity_exceeded",
                "3505",
            );
            if cx.rng.chance(0.5) {
                response.extensions_mut().insert(Twist::Cut);
            }
            return response;
        }
        let mut response = self.answer(request, cx).unwrap_or_else(|refusal| refusal);
        if self.takes_to(Habit::Slow, cx) {
            response.extensions_mut().insert(Twist::Late(self.late));
        }
        response
    }

    fn admit(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        let cost = if infers(request) { request.body().len() as u64 / self.letters_per_token } else { 0 };
        // What is limited is the workspace: a stranger's calls are not counted against it.
        let full = self.authorise(request).is_ok() && !self.quota.take(cost, cx.now);
        if full || (infers(request) && self.takes_to(Habit::Limited, cx)) { Err(self.limited()) } else { Ok(()) }
    }

    fn retry_after(&self, _attempt: u32) -> Option<Duration> {
        None
    }

    fn operation(&self, request: &Request<Bytes>) -> String {
        let segments = wire::segments(request.uri().path());
        let known = [
            "v1",
            "chat",
            "completions",
            "embeddings",
            "moderations",
            "models",
            "files",
            "content",
            "batch",
            "jobs",
            "cancel",
        ];
        let path: Vec<&str> = segments
            .iter()
            .map(|segment| known.iter().copied().find(|known| known == segment).unwrap_or("{id}"))
            .filter(|segment| *segment != "v1")
            .collect();
        format!("{} {}", request.method(), path.join("/"))
    }

    fn throttle(&mut self, _request: &Request<Bytes>, _cx: &mut Context<'_>) -> Response<Bytes> {
        self.limited()
    }

    fn finish(
        &mut self,
        request: &Request<Bytes>,
        mut response: Response<Bytes>,
        cx: &mut Context<'_>,
    ) -> Response<Bytes> {
        if self.personality == Personality::Mistral && infers(request) {
            self.quota.tell(response.headers_mut(), cx.now);
        }
        response
    }

    fn freshen(&mut self, live: &Self) {
        self.keys.clone_from(&live.keys);
        self.habits.clone_from(&live.habits);
    }
}

/// Whether a call makes a model work.
fn infers(request: &Request<Bytes>) -> bool {
    let path = request.uri().path();
    request.method() == Method::POST
        && ["completions", "embeddings", "moderations"].iter().any(|end| path.ends_with(end))
}

impl Mistral {
    fn answer(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        self.authorise(request)?;
        let segments = wire::segments(request.uri().path());
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        let ours = self.personality == Personality::Mistral;
        self.books().calls += 1;
        match (request.method(), path.as_slice()) {
            (&Method::GET, ["v1", "models"]) => Ok(self.list_models(cx)),
            (&Method::GET, ["v1", "models", id]) => self.get_model(id, cx),
            (&Method::POST, ["v1", "chat", "completions"]) => {
                let body = self.read(request)?;
                self.note("chat", &body, request, cx.now);
                self.complete(&body, cx)
            }
            (&Method::POST, ["v1", "embeddings"]) => {
                let body = self.read(request)?;
                self.note("embeddings", &body, request, cx.now);
                self.embed(&body, cx)
            }
            (&Method::POST, ["v1", "moderations"]) if ours => {
                let body = self.read(request)?;
                self.note("moderations", &body, request, cx.now);
                self.moderate(&body, cx)
            }
            (&Method::POST, ["v1", "files"]) if ours => self.upload(request, cx),
            (&Method::GET, ["v1", "files"]) if ours => Ok(self.list_files(&wire::query(request))),
            (&Method::GET, ["v1", "files", id]) if ours => self.get_file(id, cx.now),
            (&Method::GET, ["v1", "files", id, "content"]) if ours => self.content(id, cx.now),
            (&Method::DELETE, ["v1", "files", id]) if ours => self.delete_file(id),
            (&Method::POST, ["v1", "batch", "jobs"]) if ours => {
                let body = self.read(request)?;
                self.create_job(&body, request, cx)
            }
            (&Method::GET, ["v1", "batch", "jobs"]) if ours => self.list_jobs(&wire::query(request), cx),
            (&Method::GET, ["v1", "batch", "jobs", id]) if ours => self.get_job(id, &wire::query(request), cx.now),
            (&Method::POST, ["v1", "batch", "jobs", id, "cancel"]) if ours => self.cancel_job(id, cx.now),
            _ => Err(self.nowhere()),
        }
    }

    fn authorise(&self, request: &Request<Bytes>) -> Result<(), Response<Bytes>> {
        let key = wire::bearer(request);
        let known = key.is_some_and(|key| self.keys.contains(key));
        // Ollama reads no key; the others need one where they were started with one.
        let open = self.personality == Personality::Ollama
            || (self.personality != Personality::Mistral && self.keys.is_empty());
        if known || open { Ok(()) } else { Err(self.unauthorised()) }
    }

    fn read(&self, request: &Request<Bytes>) -> Result<Value, Response<Bytes>> {
        let body: Option<Value> = serde_json::from_slice(request.body()).ok();
        body.filter(Value::is_object).ok_or_else(|| self.invalid(&["body"], "JSON decode error", "json_invalid"))
    }

    /// Writes down what was sent, whatever becomes of it.
    fn note(&self, call: &str, body: &Value, request: &Request<Bytes>, now: DateTime<Utc>) {
        let host = request.uri().authority().map(ToString::to_string);
        let host = host.or_else(|| wire::header(request, "host").map(str::to_owned)).unwrap_or_default();
        let model = body["model"].as_str().unwrap_or_default().to_owned();
        let mut usage = self.books();
        *usage.by_model.entry(model.clone()).or_default() += 1;
        usage.prompts.push(Prompt { call: call.to_owned(), model, host, body: body.clone(), at: now });
    }

    fn takes_to(&self, habit: Habit, cx: &mut Context<'_>) -> bool {
        self.habits.get(&habit).is_some_and(|rate| cx.rng.chance(*rate))
    }

    fn tokens(&self, text: &str) -> u64 {
        (text.chars().count() as u64).div_ceil(self.letters_per_token)
    }

    fn books(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
