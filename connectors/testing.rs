//! For unit tests: time that stands still, and a transport that answers from a script and remembers what was asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeZone, Utc};
use http::{Request, Response};
use serde_json::Value;

use crate::http::{Broken, Transport};
use crate::{Clock, Outside};

/// Monday 2026-11-23 08:00 UTC until moved.
#[derive(Default)]
pub(crate) struct StillClock {
    /// Nanoseconds of monotonic time.
    passed: AtomicU64,
    /// Of these, the nanoseconds that passed before eight o'clock.
    before: AtomicU64,
}

impl StillClock {
    pub(crate) fn advance(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.passed.fetch_add(nanos(time), Ordering::Relaxed);
    }

    /// What was called before the connection was opened is long past, and it is still eight o'clock.
    pub(crate) fn warm_up(&self) {
        let a_while = Duration::from_secs(2);
        self.pass(a_while);
        self.before.fetch_add(nanos(a_while), Ordering::Relaxed);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a test of less than 500 years")
}

impl Clock for StillClock {
    fn now(&self) -> DateTime<Utc> {
        let before = Duration::from_nanos(self.before.load(Ordering::Relaxed));
        Utc.with_ymd_and_hms(2026, 11, 23, 8, 0, 0).single().expect("a real date") + self.monotonic() - before
    }
    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.passed.load(Ordering::Relaxed))
    }
}

/// Answers in the order they were put in; what nobody scripted is not sent.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<VecDeque<Result<Response<Bytes>, Broken>>>,
    asked: Mutex<Vec<Request<Bytes>>>,
}

impl Script {
    pub(crate) fn answer(&self, status: u16, body: &Value) {
        self.answer_with(status, &[], body);
    }

    pub(crate) fn answer_with(&self, status: u16, headers: &[(&str, &str)], body: &Value) {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.put(Ok(response.body(body).expect("a response")));
    }

    pub(crate) fn put(&self, answer: Result<Response<Bytes>, Broken>) {
        self.answers.lock().expect("not poisoned").push_back(answer);
    }

    /// What was asked since the last look: `GET /path?query`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let asked = self.asked.lock().expect("not poisoned");
        asked
            .iter()
            .map(|r| format!("{} {}", r.method(), r.uri().path_and_query().map_or("", |p| p.as_str())))
            .collect()
    }

    pub(crate) fn take_asked(&self) -> Vec<Request<Bytes>> {
        std::mem::take(&mut *self.asked.lock().expect("not poisoned"))
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request<Bytes>, _timeout: Duration) -> Result<Response<Bytes>, Broken> {
        self.asked.lock().expect("not poisoned").push(request);
        self.answers
            .lock()
            .expect("not poisoned")
            .pop_front()
            .unwrap_or_else(|| Err(Broken::NotSent("not in the script".into())))
    }
}

pub(crate) fn outside() -> (Arc<Script>, Arc<StillClock>, Outside) {
    let script = Arc::new(Script::default());
    let clock = Arc::new(StillClock::default());
    let outside = Outside { transport: script.clone(), clock: clock.clone(), vault: Arc::new(crate::oauth::NoVault) };
    (script, clock, outside)
}
