//! What the unit tests share: a world with a clock that is moved by hand, and short ways to call it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use chrono::DateTime;
use http::Request;
use serde_json::Value;

use crate::world::{Outgoing, Reply, Vendor, World};

pub(crate) struct Bench {
    pub(crate) world: Arc<World>,
    clock: Arc<AtomicI64>,
}

/// An answer, read.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn list(&self) -> &[Value] {
        self.body.as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The `rel="next"` of a `Link` header.
    pub(crate) fn next(&self) -> Option<String> {
        let link = self.header("link").split(", ").find(|link| link.ends_with("rel=\"next\""))?;
        Some(link.trim_start_matches('<').split_once('>')?.0.to_owned())
    }
}

impl Bench {
    pub(crate) fn new(seed: u64) -> Self {
        let clock = Arc::new(AtomicI64::new(1_790_000_000_000));
        let hand = Arc::clone(&clock);
        let world = World::new(
            seed,
            Arc::new(move || DateTime::from_timestamp_millis(hand.load(Ordering::Relaxed)).unwrap_or_default()),
        );
        Self { world, clock }
    }

    pub(crate) fn wait(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    pub(crate) fn call(
        &self,
        vendor: Vendor,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Got {
        match self.reply(vendor, method, path, headers, body) {
            Reply::Answer { response, .. } => Got {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: serde_json::from_slice(response.body()).unwrap_or_default(),
            },
            Reply::Cut { .. } => panic!("{method} {path} was cut"),
        }
    }

    pub(crate) fn reply(
        &self,
        vendor: Vendor,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Reply {
        let path = path.strip_prefix(vendor.home()).unwrap_or(path);
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        self.world.call(vendor, request.body(body).expect("a request"))
    }

    /// Takes the due webhooks and says to each that it arrived.
    pub(crate) fn webhooks(&self) -> Vec<Outgoing> {
        let due = self.world.due_webhooks();
        for outgoing in &due {
            self.world.delivered(outgoing.clone(), Some(200));
        }
        due
    }
}

pub(crate) fn body(outgoing: &Outgoing) -> Value {
    serde_json::from_slice(&outgoing.body).expect("JSON")
}
