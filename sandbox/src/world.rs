//! All stand-ins together, behind one clock, one seed and one set of faults.
//!
//! Order of a call: quota (429 and its penalty), fault *before* (nothing happens there), the stand-in, fault *after*
//! (it happened, the answer is lost), delay. Every call and every refusal is written into the vendor's [`Books`].
//!
//! The law: the same seed, clock, calls and desk work give the same answers, ids, webhooks and faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Request, Response, StatusCode};
use serde::Serialize;

use crate::faults::{FailKind, Faults, Rng};
use crate::post::Post;
use crate::room::Room;
use crate::{airtable::Airtable, github::GitHub, intercom::Intercom, linear::Linear};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    GitHub,
    Intercom,
    Airtable,
    Linear,
}

impl Vendor {
    pub const ALL: [Self; 4] = [Self::GitHub, Self::Intercom, Self::Airtable, Self::Linear];

    /// As in configuration and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::Intercom => "intercom",
            Self::Airtable => "airtable",
            Self::Linear => "linear",
        }
    }

    /// The credential that every sandbox accepts from the start. Desks add and revoke others.
    pub fn token(self) -> &'static str {
        match self {
            Self::GitHub => "ghp_sandbox",
            Self::Intercom => "intercom-sandbox",
            Self::Airtable => "pat.sandbox",
            Self::Linear => "lin_api_sandbox",
        }
    }

    /// How long the vendor waits for a subscriber's answer (vendor sheets, 2026-11-23; Intercom's is not official).
    pub fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::GitHub => 10,
            Self::Airtable => 25,
            Self::Intercom | Self::Linear => 5,
        })
    }

    /// The vendor's own base URL, which a world answers for until [`World::set_base`].
    pub fn home(self) -> &'static str {
        match self {
            Self::GitHub => "https://api.github.com",
            Self::Intercom => "https://api.intercom.io",
            Self::Airtable => "https://api.airtable.com/v0",
            Self::Linear => "https://api.linear.app/graphql",
        }
    }
}

/// What comes back from a call.
#[derive(Debug)]
pub enum Reply {
    Answer {
        response: Response<Bytes>,
        delay: Duration,
    },
    /// The connection is cut without an answer, before or after the vendor did what was asked.
    Cut {
        committed: bool,
        delay: Duration,
    },
}

/// A webhook on its way to a subscriber. After the attempt, tell [`World::delivered`] what came back.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub id: u64,
    pub vendor: Vendor,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub due: DateTime<Utc>,
    pub attempt: u32,
}

impl Outgoing {
    /// A first attempt; the world fills in when it is due.
    pub fn new(vendor: Vendor, url: impl Into<String>, headers: HeaderMap, body: impl Into<Bytes>) -> Self {
        Self { id: 0, vendor, url: url.into(), headers, body: body.into(), due: DateTime::UNIX_EPOCH, attempt: 1 }
    }
}

/// What a stand-in is handed while it answers.
pub struct Context<'a> {
    pub now: DateTime<Utc>,
    pub rng: &'a mut Rng,
    /// Webhooks to send. `due`, `id` and `attempt` are filled in by the world.
    pub outbox: &'a mut Vec<Outgoing>,
    /// The base URL that clients use for this vendor, for links in answers (`Link: rel="next"`, `url` fields).
    /// Without a slash at its end.
    pub base: &'a str,
}

/// What every stand-in can do. `Clone`, so that a stale read can be answered from what was true a while ago.
pub trait StandIn: Clone + Send {
    /// Answers one request. Paths are the vendor's own (`/v0/appX/Table`, `/repos/o/r/issues`, `/graphql`).
    fn handle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes>;

    /// Refuses the call if a quota is used up; otherwise counts it.
    fn admit(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>>;

    /// When, if ever, a delivery that failed for the `attempt`th time (1 = first) is tried again.
    fn retry_after(&self, attempt: u32) -> Option<Duration>;

    /// Whether the request only reads: those may be answered stale.
    fn is_read(&self, request: &Request<Bytes>) -> bool {
        request.method() == http::Method::GET
    }

    /// A short name for the table of calls, without ids: `PATCH records`, `issueCreate`.
    fn operation(&self, request: &Request<Bytes>) -> String {
        format!("{} {}", request.method(), request.uri().path())
    }

    /// The throttling answer with its penalty, for the `throttle` fault.
    fn throttle(&mut self, _request: &Request<Bytes>, _cx: &mut Context<'_>) -> Response<Bytes> {
        let mut response =
            crate::wire::json(StatusCode::TOO_MANY_REQUESTS, &serde_json::json!({"message": "Too many requests"}));
        response.headers_mut().insert("retry-after", http::HeaderValue::from_static("30"));
        response
    }

    /// A last touch to every answer, from the live state even if the body is stale: quota headers.
    fn finish(
        &mut self,
        _request: &Request<Bytes>,
        response: Response<Bytes>,
        _cx: &mut Context<'_>,
    ) -> Response<Bytes> {
        response
    }

    /// Takes over from the live state what is never stale, before a stale read: credentials.
    fn freshen(&mut self, _live: &Self) {}

    /// What became of a delivery; `None`: no answer. Vendors with a delivery log write it down here.
    fn noted(&mut self, _outgoing: &Outgoing, _status: Option<u16>, _cx: &mut Context<'_>) {}
}

/// What the vendor's own books say.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Books {
    /// Every call that arrived, whatever became of it.
    pub calls: u64,
    pub throttled: u64,
    /// Calls by a short name of the operation ("PATCH records", "issueCreate"), for the table of calls. Without the
    /// throttled ones.
    pub by_operation: BTreeMap<String, u64>,
    /// Calls of which nothing was done, by a fault.
    pub failed: u64,
    /// Calls that were done and whose answer was lost, by a fault.
    pub lost_answers: u64,
    pub stale_reads: u64,
    /// Deliveries that were answered 2xx, failed (each attempt), and were never sent, by a fault.
    pub webhooks_sent: u64,
    pub webhooks_failed: u64,
    pub webhooks_dropped: u64,
}

/// Where a call is, for [`World::on_call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It arrived; nothing happened yet.
    Before,
    /// The vendor did what was asked; the answer is not out yet. Not told for calls that were throttled or failed before.
    After,
}

pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;
type Hook = Arc<dyn Fn(Vendor, &Request<Bytes>, Phase) + Send + Sync>;

pub struct World {
    clock: Clock,
    hook: Mutex<Option<Hook>>,
    state: Mutex<State>,
}

struct State {
    faults: Faults,
    post: Post,
    github: Room<GitHub>,
    intercom: Room<Intercom>,
    airtable: Room<Airtable>,
    linear: Room<Linear>,
}

/// The same words for the room of whichever vendor; rooms differ in type, so a plain function cannot choose.
macro_rules! in_room {
    ($state:expr, $vendor:expr, $room:ident => $act:expr) => {
        match $vendor {
            Vendor::GitHub => {
                let $room = &mut $state.github;
                $act
            }
            Vendor::Intercom => {
                let $room = &mut $state.intercom;
                $act
            }
            Vendor::Airtable => {
                let $room = &mut $state.airtable;
                $act
            }
            Vendor::Linear => {
                let $room = &mut $state.linear;
                $act
            }
        }
    };
}

/// One vendor's desk: people's hands and inspection, with the webhooks that follow.
macro_rules! desk {
    ($(#[$doc:meta])* $name:ident, $stand_in:ty) => {
        $(#[$doc])*
        pub fn $name<R>(&self, act: impl FnOnce(&mut $stand_in, &mut Context<'_>) -> R) -> R {
            let now = (self.clock)();
            let state = &mut *self.lock();
            let mut outbox = Vec::new();
            let result = state.$name.desk(&state.faults, now, &mut outbox, act);
            state.$name.books.webhooks_dropped += state.post.take(outbox, now, &state.faults);
            result
        }
    };
}

impl World {
    pub fn new(seed: u64, clock: Clock) -> Arc<Self> {
        let mut rng = Rng::seeded(seed);
        let state = State {
            faults: Faults::NONE,
            post: Post::new(Rng::seeded(rng.next_u64())),
            github: Room::new(GitHub::default(), Vendor::GitHub, &mut rng),
            intercom: Room::new(Intercom::default(), Vendor::Intercom, &mut rng),
            airtable: Room::new(Airtable::default(), Vendor::Airtable, &mut rng),
            linear: Room::new(Linear::default(), Vendor::Linear, &mut rng),
        };
        Arc::new(Self { clock, hook: Mutex::new(None), state: Mutex::new(state) })
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// Under which base URL clients reach this vendor, for links in its answers.
    pub fn set_base(&self, vendor: Vendor, url: &str) {
        let url = url.trim_end_matches('/').to_owned();
        in_room!(self.lock(), vendor, room => room.base = url);
    }

    pub fn set_faults(&self, faults: Faults) {
        let state = &mut *self.lock();
        state.faults = faults;
        for vendor in Vendor::ALL {
            in_room!(state, vendor, room => room.forget_past());
        }
    }

    /// The next `n` calls to this vendor fail so, whatever the chances say.
    pub fn fail_next(&self, vendor: Vendor, n: usize, kind: FailKind) {
        self.fail_next_operation(vendor, "", n, kind);
    }

    /// The next `n` calls whose operation (as in [`Books::by_operation`]) starts with `operation` fail so.
    pub fn fail_next_operation(&self, vendor: Vendor, operation: &str, n: usize, kind: FailKind) {
        in_room!(self.lock(), vendor, room => room.plan(operation, n, kind));
    }

    /// Tells of every call; one hook at a time. It runs without the world's lock, so it may look into the world.
    pub fn on_call(&self, hook: impl Fn(Vendor, &Request<Bytes>, Phase) + Send + Sync + 'static) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }

    /// One request to one vendor. Never waits: a delay is handed back for the caller to spend.
    pub fn call(&self, vendor: Vendor, request: Request<Bytes>) -> Reply {
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = &hook {
            hook(vendor, &request, Phase::Before);
        }
        let now = (self.clock)();
        let (reply, done) = {
            let state = &mut *self.lock();
            let mut outbox = Vec::new();
            in_room!(state, vendor, room => {
                let answer = room.call(&request, &state.faults, now, &mut outbox);
                room.books.webhooks_dropped += state.post.take(outbox, now, &state.faults);
                answer
            })
        };
        if let Some(hook) = hook.filter(|_| done) {
            hook(vendor, &request, Phase::After);
        }
        drop(request);
        reply
    }

    /// The webhooks whose time has come, earliest first. They are taken out: tell [`World::delivered`] of each.
    pub fn due_webhooks(&self) -> Vec<Outgoing> {
        let now = (self.clock)();
        self.lock().post.due(now)
    }

    /// When the next webhook is due.
    pub fn next_webhook(&self) -> Option<DateTime<Utc>> {
        self.lock().post.next()
    }

    /// How many webhooks wait to be sent.
    pub fn webhooks_waiting(&self) -> usize {
        self.lock().post.len()
    }

    /// What came back from the subscriber. `None`: could not connect, or no answer within [`Vendor::patience`].
    pub fn delivered(&self, outgoing: Outgoing, status: Option<u16>) {
        let now = (self.clock)();
        let state = &mut *self.lock();
        let mut outbox = Vec::new();
        let again = in_room!(state, outgoing.vendor, room => {
            let again = room.delivered(&outgoing, status, now, &mut outbox);
            room.books.webhooks_dropped += state.post.take(outbox, now, &state.faults);
            again
        });
        if let Some(wait) = again {
            state.post.again(outgoing, now + wait);
        }
    }

    pub fn books(&self, vendor: Vendor) -> Books {
        in_room!(self.lock(), vendor, room => room.books.clone())
    }

    desk!(
        /// What people do on GitHub, and a look at what is there.
        github, GitHub
    );
    desk!(
        /// What people do in Intercom, and a look at what is there.
        intercom, Intercom
    );
    desk!(
        /// What people do in Airtable, and a look at what is there.
        airtable, Airtable
    );
    desk!(
        /// What people do in Linear, and a look at what is there.
        linear, Linear
    );

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
