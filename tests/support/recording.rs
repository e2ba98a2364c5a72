//! A transport that remembers what went out, for checking requests against the vendors' own specifications.
#![expect(unreachable_pub, reason = "test binaries include this file as a module")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connectors::http::{Broken, Transport, Wire};
use http::{Request, Response};

pub struct Recording {
    inner: Arc<dyn Transport>,
    seen: Mutex<Vec<Request<Bytes>>>,
}

impl Recording {
    pub fn new(inner: Arc<dyn Transport>) -> Arc<Self> {
        Arc::new(Self { inner, seen: Mutex::default() })
    }

    /// All requests so far, in order.
    pub fn seen(&self) -> Vec<Request<Bytes>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `GET /path?query` of each request since the last look.
    pub fn lines(&self, from: usize) -> Vec<String> {
        let line = |request: &Request<Bytes>| {
            format!("{} {}", request.method(), request.uri().path_and_query().map_or("", |path| path.as_str()))
        };
        self.seen().iter().skip(from).map(line).collect()
    }
}

#[async_trait]
impl Transport for Recording {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, Broken> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        self.inner.send(request, timeout).await
    }

    async fn dial(&self, url: &str) -> Result<Box<dyn Wire>, Broken> {
        self.inner.dial(url).await
    }
}
