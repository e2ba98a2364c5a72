//! A vendor that knows only webhooks: it posts until it gets a 2xx, and never again. What it was acknowledged for and
//! what is missing at the end was lost.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::scene::{DIRECT, SECRET};

pub(crate) struct Poster {
    stop: Arc<AtomicBool>,
    /// The number of the last issue that was acknowledged; they go out in order.
    acknowledged: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Poster {
    pub(crate) fn start(address: SocketAddr, repository: u64) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, told) = (stop.clone(), acknowledged.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let number = told.load(Ordering::Relaxed) + 1;
                if post(address, repository, number).is_some_and(|status| (200..300).contains(&status)) {
                    told.store(number, Ordering::Relaxed);
                    // Now and then is enough: every one of them becomes a row.
                    std::thread::park_timeout(Duration::from_millis(150));
                } else {
                    std::thread::park_timeout(Duration::from_millis(10));
                }
            }
        });
        Self { stop, acknowledged, thread: Some(thread) }
    }

    /// Ends it, and says how many were acknowledged: issues 1 to this.
    pub(crate) fn end(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            thread.join().expect("it only posts");
        }
        self.acknowledged.load(Ordering::Relaxed)
    }
}

impl Drop for Poster {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The status, if there was an answer at all.
fn post(address: SocketAddr, repository: u64, number: u64) -> Option<u16> {
    let url = format!("https://github.example.com/{DIRECT}/issues/{number}");
    let body = serde_json::to_vec(&serde_json::json!({
        "action": "opened",
        "repository": {"id": repository, "full_name": DIRECT},
        "issue": {
            "id": 1_000_000 + number, "number": number, "title": format!("A question ({number})"),
            "body": "How do I set the temperature?", "state": "open", "html_url": url, "labels": [],
            "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z",
            "user": {"login": "ada-example", "id": 5, "type": "User"},
        },
    }))
    .expect("it is JSON");
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do");
    mac.update(&body);
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let head = format!(
        "POST /hooks/direct HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\ncontent-type: application/json\r\n\
         x-github-event: issues\r\nx-github-delivery: 6f1c0000-0000-4000-8000-{number:012}\r\nx-hub-signature-256: sha256={signature}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&body).ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}
