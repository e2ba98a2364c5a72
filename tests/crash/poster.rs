//! Those who only post: a vendor that knows nothing but webhooks, a page with a form, an app that tells what is used. Each
//! posts one thing until it gets a 2xx, and then the next. What it was acknowledged for and what is missing at the end was
//! lost; what counts twice was taken twice.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::scene::{APP_KEY, DIRECT, LUMEN, SECRET, WRITE_KEY};

/// How often the last post is tried when all is to end: for some twenty seconds.
const LAST_TRIES: u32 = 2000;

/// The numbers of what was acknowledged last; each goes out in order, from 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acknowledged {
    pub(crate) issues: u64,
    pub(crate) pieces: u64,
    pub(crate) events: u64,
}

/// What is posted, and how long after one of it the next follows. Now and then is enough for what becomes a row.
#[derive(Clone, Copy)]
enum Post {
    Issue { repository: u64 },
    Piece,
    Event,
}

impl Post {
    fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Self::Issue { .. } => 250,
            Self::Piece => 400,
            Self::Event => 60,
        })
    }

    /// Where to, with which headers, and what.
    fn make(self, number: u64) -> (&'static str, String, Value) {
        match self {
            Self::Issue { repository } => {
                let body = issue(repository, number);
                let signature = sign(&body);
                let headers = format!(
                    "x-github-event: issues\r\nx-github-delivery: 6f1c0000-0000-4000-8000-{number:012}\r\n\
                     x-hub-signature-256: sha256={signature}\r\n"
                );
                ("/hooks/direct", headers, body)
            }
            Self::Piece => {
                let headers = format!("x-loopd-key: {APP_KEY}\r\nidempotency-key: {}\r\n", piece(number));
                let body = json!({
                    "text": format!("Let me export more than one month ({number})"), "account": {"domain": LUMEN},
                });
                ("/v1/feedback", headers, body)
            }
            Self::Event => {
                let basic = STANDARD.encode(format!("{WRITE_KEY}:"));
                let body = json!({
                    "type": "track", "event": if number.is_multiple_of(3) { "Import" } else { "Export" },
                    "userId": format!("u-{}", number % 5), "messageId": format!("event-{number}"),
                    "context": {"groupId": LUMEN},
                });
                ("/v1/track", format!("authorization: Basic {basic}\r\n"), body)
            }
        }
    }

    /// The status, if there was an answer at all.
    fn send(self, address: SocketAddr, number: u64) -> Option<u16> {
        let (path, headers, body) = self.make(number);
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
    }
}

/// The name under which a page sends a piece, as often as it must.
pub(crate) fn piece(number: u64) -> String {
    format!("7d1c2f0e-5a53-4d0b-9c64-{number:012}")
}

fn issue(repository: u64, number: u64) -> Value {
    let url = format!("https://github.example.com/{DIRECT}/issues/{number}");
    json!({
        "action": "opened",
        "repository": {"id": repository, "full_name": DIRECT},
        "issue": {
            "id": 1_000_000 + number, "number": number, "title": format!("A question ({number})"),
            "body": "How do I set the temperature?", "state": "open", "html_url": url, "labels": [],
            "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z",
            "user": {"login": "ada-example", "id": 5, "type": "User"},
        },
    })
}

fn sign(body: &Value) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do");
    mac.update(body.to_string().as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One who posts: the number of what was acknowledged last, and its thread.
struct Sender {
    acknowledged: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) struct Poster {
    stop: Arc<AtomicBool>,
    senders: [Sender; 3],
}

impl Poster {
    pub(crate) fn start(address: SocketAddr, repository: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let senders = [Post::Issue { repository }, Post::Piece, Post::Event].map(|post| {
            let (stop, acknowledged) = (stop.clone(), Arc::new(AtomicU64::new(0)));
            let told = acknowledged.clone();
            let thread = std::thread::spawn(move || keep_posting(address, post, &stop, &told));
            Sender { acknowledged, thread: Some(thread) }
        });
        Self { stop, senders }
    }

    /// Ends it when what was tried last is acknowledged, too.
    pub(crate) fn end(&mut self) -> Acknowledged {
        self.stop.store(true, Ordering::Relaxed);
        let [issues, pieces, events] = self.senders.each_mut().map(|sender| {
            if let Some(thread) = sender.thread.take() {
                thread.thread().unpark();
                thread.join().expect("all that was posted is acknowledged in the end");
            }
            sender.acknowledged.load(Ordering::Relaxed)
        });
        Acknowledged { issues, pieces, events }
    }
}

impl Drop for Poster {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn keep_posting(address: SocketAddr, post: Post, stop: &AtomicBool, told: &AtomicU64) {
    let (mut tries, mut last_tries) = (0_u32, 0_u32);
    while tries > 0 || !stop.load(Ordering::Relaxed) {
        let number = told.load(Ordering::Relaxed) + 1;
        let status = post.send(address, number);
        if status.is_some_and(|status| (200..300).contains(&status)) {
            told.store(number, Ordering::Relaxed);
            tries = 0;
            std::thread::park_timeout(post.pause());
        } else {
            tries += 1;
            last_tries += u32::from(stop.load(Ordering::Relaxed));
            assert!(last_tries < LAST_TRIES, "number {number} is not acknowledged: {status:?}");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}
