//! What several test binaries share: time that only moves when told, and the sandbox as an in-process transport.
#![expect(unreachable_pub, reason = "each test binary includes this file as a module")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeZone, Utc};
use connectors::http::{Broken, Heard, Transport, Wire};
use http::{Request, Response};
use sandbox::{Reply, Vendor, World};

/// Time in a test: starts on Monday 2026-11-23 08:00 UTC and stands still until moved.
#[derive(Default)]
pub struct TestClock {
    nanos: AtomicU64,
}

impl TestClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }
    pub fn advance(&self, by: Duration) {
        self.nanos.fetch_add(u64::try_from(by.as_nanos()).expect("a test shorter than 500 years"), Ordering::Relaxed);
    }
    /// As the sandbox wants it.
    pub fn hands(self: &Arc<Self>) -> Arc<dyn Fn() -> DateTime<Utc> + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || connectors::Clock::now(&*clock))
    }
}

impl connectors::Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 23, 8, 0, 0).single().expect("a real date") + self.monotonic()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

/// Calls the sandbox without a socket. A cut connection is [`Broken::NoAnswer`]; delays move the clock.
pub struct InProcess {
    pub world: Arc<World>,
    pub vendor: Vendor,
    pub clock: Arc<TestClock>,
}

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, Broken> {
        let (reply, delay) = match self.world.call(self.vendor, request) {
            Reply::Answer { response, delay } => (Ok(response), delay),
            Reply::Cut { delay, .. } => (Err(Broken::NoAnswer("cut".into())), delay),
        };
        if delay >= timeout {
            self.clock.advance(timeout);
            return Err(Broken::NoAnswer("timed out".into()));
        }
        self.clock.advance(delay);
        reply
    }

    async fn dial(&self, url: &str) -> Result<Box<dyn Wire>, Broken> {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let line = self.world.slack(|desk, _| desk.line_opened(query));
        let line = line.ok_or_else(|| Broken::NotSent("the line was refused".into()))?;
        Ok(Box::new(Line { world: self.world.clone(), line, frames: VecDeque::new() }))
    }
}

/// A line to the sandbox without a socket. What is not there yet is not waited for; dropped, it is closed.
struct Line {
    world: Arc<World>,
    line: u64,
    frames: VecDeque<String>,
}

#[async_trait]
impl Wire for Line {
    async fn next(&mut self, _patience: Duration) -> Result<Option<Heard>, Broken> {
        if self.frames.is_empty() {
            let frames = self.world.slack(|desk, cx| desk.line_frames(self.line, cx));
            self.frames.extend(frames.ok_or_else(|| Broken::NoAnswer("closed".into()))?);
        }
        Ok(self.frames.pop_front().map(Heard::Text))
    }

    async fn say(&mut self, text: String) -> Result<(), Broken> {
        self.world.slack(|desk, cx| desk.line_heard(self.line, &text, cx));
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.world.slack(|desk, _| desk.line_closed(self.line));
    }
}
