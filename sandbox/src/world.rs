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
use crate::room::{AnyRoom, Room};
use crate::{
    airtable::Airtable, bigquery::BigQuery, ga4::Ga4, github::GitHub, granola::Granola, intercom::Intercom,
    linear::Linear, mistral::Mistral, notion::Notion, posthog::PostHog, salesforce::Salesforce, slack::Slack,
    typeform::Typeform,
};

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

    /// The same for one delivery at hand, which may be made anew for its next attempt: where each is signed by itself.
    fn retry(&mut self, outgoing: &mut Outgoing, _status: Option<u16>, _now: DateTime<Utc>) -> Option<Duration> {
        self.retry_after(outgoing.attempt)
    }

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

    /// The vendor's own 500, for faults, where its clients read one. `None`: what stands before it answers, in HTML.
    fn broken(&self) -> Option<Response<Bytes>> {
        None
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

    /// The answer to a delivery, for vendors that read it. `None`: none came. Told before [`StandIn::noted`].
    fn answered(&mut self, _to: &Outgoing, _status: Option<u16>, _body: &[u8], _took: Duration, _cx: &mut Context<'_>) {
    }

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

/// All stand-ins, a row each: what the vendor is called and how it is reached. A new one is a row here and its folder.
macro_rules! vendors {
    ($(
        $(#[$doc:meta])*
        $vendor:ident in $room:ident: token $token:literal, patience $patience:literal, home $home:literal $path:literal;
    )*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Vendor {
            $($vendor,)*
        }

        impl Vendor {
            pub const ALL: [Self; [$($token),*].len()] = [$(Self::$vendor),*];

            /// As in configuration and on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$vendor => stringify!($room),)*
                }
            }

            /// The credential that every sandbox accepts from the start. Desks add and revoke others.
            pub fn token(self) -> &'static str {
                match self {
                    $(Self::$vendor => $token,)*
                }
            }

            /// How long the vendor waits for a subscriber's answer (vendor sheets, 2026-11-23; Intercom's is not official).
            pub fn patience(self) -> Duration {
                Duration::from_secs(match self {
                    $(Self::$vendor => $patience,)*
                })
            }

            /// The vendor's own base URL, which a world answers for until [`World::set_base`].
            pub fn home(self) -> &'static str {
                match self {
                    $(Self::$vendor => concat!($home, $path),)*
                }
            }

            /// The path of its base URL.
            pub(crate) fn path(self) -> &'static str {
                match self {
                    $(Self::$vendor => $path,)*
                }
            }
        }

        struct State {
            faults: Faults,
            post: Post,
            $($room: Room<$vendor>,)*
        }

        impl State {
            fn new(rng: &mut Rng) -> Self {
                Self {
                    faults: Faults::NONE,
                    post: Post::new(Rng::seeded(rng.next_u64())),
                    $($room: Room::new($vendor::default(), Vendor::$vendor, rng),)*
                }
            }

            fn room(&mut self, vendor: Vendor) -> &mut dyn AnyRoom {
                match vendor {
                    $(Vendor::$vendor => &mut self.$room,)*
                }
            }
        }

        /// The desks: what people do with their hands on a vendor's screens, with the webhooks that follow, and a look at what is
        /// there.
        impl World {
            $(
                $(#[$doc])*
                pub fn $room<R>(&self, act: impl FnOnce(&mut $vendor, &mut Context<'_>) -> R) -> R {
                    let now = (self.clock)();
                    let state = &mut *self.lock();
                    let mut outbox = Vec::new();
                    let result = state.$room.desk(&state.faults, now, &mut outbox, act);
                    state.send(Vendor::$vendor, outbox, now);
                    result
                }
            )*
        }
    };
}

// Their order decides the seeds of their rooms: a new one comes last, so that old seeds keep their meaning.
vendors! {
    /// GitHub's desk.
    GitHub in github: token "ghp_sandbox", patience 10, home "https://api.github.com" "";
    /// Intercom's desk.
    Intercom in intercom: token "intercom-sandbox", patience 5, home "https://api.intercom.io" "";
    /// Airtable's desk.
    Airtable in airtable: token "pat.sandbox", patience 25, home "https://api.airtable.com" "/v0";
    /// Linear's desk.
    Linear in linear: token "lin_api_sandbox", patience 5, home "https://api.linear.app" "/graphql";
    /// Notion's desk.
    Notion in notion: token "ntn_sandbox", patience 10, home "https://api.notion.com" "";
    /// Salesforce's desk.
    Salesforce in salesforce: token "00Dsandbox!session", patience 10, home "https://sandbox.my.salesforce.com" "";
    /// Slack's desk.
    Slack in slack: token "xoxb-sandbox", patience 3, home "https://slack.com" "/api";
    /// Granola's desk.
    Granola in granola: token "grn_sandbox_key", patience 15, home "https://public-api.granola.ai" "";
    /// Typeform's desk.
    Typeform in typeform: token "tfp_sandbox", patience 30, home "https://api.typeform.com" "";
    /// BigQuery's desk.
    BigQuery in bigquery: token "ya29.sandbox", patience 10, home "https://bigquery.googleapis.com" "";
    /// PostHog's desk.
    PostHog in posthog: token "phx_sandbox", patience 10, home "https://us.posthog.com" "";
    /// GA4's desk.
    Ga4 in ga4: token "ya29.sandbox", patience 10, home "https://analyticsdata.googleapis.com" "";
    /// Mistral's desk.
    Mistral in mistral: token "mistral-sandbox-key", patience 10, home "https://api.mistral.ai" "";
}

impl State {
    /// Hands webhooks to the post; those that a fault loses are booked.
    fn send(&mut self, vendor: Vendor, outbox: Vec<Outgoing>, now: DateTime<Utc>) {
        let dropped = self.post.take(outbox, now, &self.faults);
        self.room(vendor).books().webhooks_dropped += dropped;
    }
}

impl World {
    pub fn new(seed: u64, clock: Clock) -> Arc<Self> {
        let state = State::new(&mut Rng::seeded(seed));
        Arc::new(Self { clock, hook: Mutex::new(None), state: Mutex::new(state) })
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// Under which base URL clients reach this vendor, for links in its answers.
    pub fn set_base(&self, vendor: Vendor, url: &str) {
        let url = url.trim_end_matches('/').to_owned();
        *self.lock().room(vendor).base() = url;
    }

    pub fn set_faults(&self, faults: Faults) {
        let state = &mut *self.lock();
        state.faults = faults;
        for vendor in Vendor::ALL {
            state.room(vendor).forget_past();
        }
    }

    /// The next `n` calls to this vendor fail so, whatever the chances say.
    pub fn fail_next(&self, vendor: Vendor, n: usize, kind: FailKind) {
        self.fail_next_operation(vendor, "", n, kind);
    }

    /// The next `n` calls whose operation (as in [`Books::by_operation`]) starts with `operation` fail so.
    pub fn fail_next_operation(&self, vendor: Vendor, operation: &str, n: usize, kind: FailKind) {
        self.lock().room(vendor).plan(operation, n, kind);
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
            let faults = state.faults;
            let answer = state.room(vendor).call(&request, &faults, now, &mut outbox);
            state.send(vendor, outbox, now);
            answer
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

    /// The same with the subscriber's answer and how long it took.
    pub fn answered(&self, outgoing: Outgoing, status: Option<u16>, body: &[u8], took: Duration) {
        let now = (self.clock)();
        let state = &mut *self.lock();
        let mut outbox = Vec::new();
        state.room(outgoing.vendor).answered(&outgoing, status, body, took, now, &mut outbox);
        state.send(outgoing.vendor, outbox, now);
        self.settled(state, outgoing, status, now);
    }

    /// What came back from the subscriber. `None`: could not connect, or no answer within [`Vendor::patience`].
    pub fn delivered(&self, outgoing: Outgoing, status: Option<u16>) {
        let now = (self.clock)();
        self.settled(&mut self.lock(), outgoing, status, now);
    }

    fn settled(&self, state: &mut State, mut outgoing: Outgoing, status: Option<u16>, now: DateTime<Utc>) {
        let mut outbox = Vec::new();
        let again = state.room(outgoing.vendor).delivered(&mut outgoing, status, now, &mut outbox);
        state.send(outgoing.vendor, outbox, now);
        if let Some(wait) = again {
            state.post.again(outgoing, now + wait);
        }
    }

    pub fn books(&self, vendor: Vendor) -> Books {
        self.lock().room(vendor).books().clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
