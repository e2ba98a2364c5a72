//! The calls, and what an answer of Slack's means: one `match`.
//!
//! Facts (docs.slack.dev, "Rate limits", "Using the Web API" and the changelog of 2025-05-29, read 2026-11-23): limits are per
//! method; a refusal is HTTP 200 with `{ok: false, error, needed?, provided?}`; 429 carries `Retry-After` in seconds. Apps that are
//! distributed outside the Marketplace may read `conversations.history` and `conversations.replies` once a minute, 15 messages at
//! a time. Nothing tells an app which it is, so a 429 there after one call or two in its minute is taken for the answer, for an hour; then
//! it is tried again. After more calls it was a crowd, and after none somebody else, perhaps we ourselves before a restart: then the
//! second tells.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::lookup::texts;
use super::settings::{Settings, Tier};
use crate::clock::Clock;
use crate::fault::Fault;
use crate::http::{Answer, Auth, Call, Http, Transport};
use crate::json::text;
use crate::quota::{Limit, Quota};
use crate::settings::Rate;
use crate::{Meter, Outside, Pace};

const MINUTE: Duration = Duration::from_secs(60);
/// A call a minute, and a second for the way there: being a moment early costs another minute.
const SLOWLY: Duration = Duration::from_secs(61);
/// How long a 429 is believed to be the tier, and not a crowd.
const SLOW_FOR: Duration = Duration::from_secs(3600);
/// At one call a minute so many may have been let through: one at each side of the minute's turn.
const FEW: usize = 2;
/// The methods that the slow tier is about.
const HISTORY: [&str; 2] = ["conversations.history", "conversations.replies"];
const METHODS: [&str; 12] = [
    "auth.test",
    "chat.getPermalink",
    "chat.postMessage",
    "chat.update",
    "conversations.history",
    "conversations.info",
    "conversations.open",
    "conversations.replies",
    "reactions.get",
    "team.info",
    "users.conversations",
    "users.info",
];

pub(crate) struct Client {
    doors: BTreeMap<&'static str, Http>,
    /// The same once a minute.
    slow_doors: BTreeMap<&'static str, Http>,
    /// With the app's own token.
    line: Option<Http>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    tier: Tier,
    slow_until: Mutex<Option<Duration>>,
    /// When each of the slow tier's methods was last answered, a few times; and how often it was refused since.
    answered: Mutex<BTreeMap<&'static str, (VecDeque<Duration>, u8)>>,
    scopes: Mutex<BTreeSet<String>>,
    /// What ops should hear of has changed since the last attach.
    news: AtomicBool,
}

/// What Slack says.
#[derive(Debug)]
pub(crate) enum Told {
    Here(Value),
    /// Not to us, or not there: the code decides, and who asked knows what it means.
    Not(Refusal),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) method: &'static str,
    pub(crate) code: String,
    needed: Option<String>,
    provided: Option<String>,
    messages: Vec<String>,
}

impl Told {
    pub(crate) fn or_fault(self) -> Result<Value, Fault> {
        match self {
            Self::Here(answer) => Ok(answer),
            Self::Not(refusal) => Err(refusal.fault()),
        }
    }
}

impl Refusal {
    /// What it means where nothing better is known.
    pub(crate) fn fault(&self) -> Fault {
        let Self { method, code, .. } = self;
        match code.as_str() {
            "missing_scope" => {
                let needed = self.needed.as_deref().unwrap_or("another scope");
                let why = format!(
                    "{method}: missing_scope: needed {needed}, the token has {}; add it under OAuth & Permissions and reinstall the app",
                    self.provided.as_deref().unwrap_or("others"),
                );
                // Of private channels only, or of direct messages: the others go on.
                let some = ["groups:", "im:", "mpim:"].iter().any(|kind| needed.starts_with(kind));
                if some { Fault::rejected(why) } else { Fault::locked(why) }
            }
            "invalid_auth"
            | "not_authed"
            | "account_inactive"
            | "token_revoked"
            | "token_expired"
            | "team_disabled"
            | "user_removed_from_team"
            | "team_access_not_granted"
            | "not_allowed_token_type"
            | "org_login_required"
            | "ekm_access_denied"
            | "no_permission"
            | "two_factor_setup_required"
            | "enterprise_is_restricted"
            | "access_denied" => Fault::locked(format!("Slack refuses the token: {code} ({method})")),
            "unknown_method" => Fault::locked(format!("base_url: there is no method {method} here")),
            "not_in_channel" | "channel_not_found" => Fault::rejected(format!(
                "{method}: {code}: the app is not in the channel; write /invite and the app's name there"
            )),
            "is_archived" => Fault::rejected(format!("{method}: the channel is archived")),
            "restricted_action" | "restricted_action_read_only_channel" | "restricted_action_thread_locked" => {
                Fault::rejected(format!("{method}: {code}: the workspace's settings do not let the app post there"))
            }
            _ => {
                let more =
                    if self.messages.is_empty() { String::new() } else { format!(" ({})", self.messages.join("; ")) };
                Fault::rejected(format!("{method}: {code}{more}"))
            }
        }
    }
}

impl Client {
    pub(crate) fn new(
        settings: &Settings,
        token: &SecretString,
        app_token: Option<SecretString>,
        outside: &Outside,
    ) -> Self {
        let door = |auth: Auth, limit: Limit| {
            let quota = Arc::new(Quota::new(limit, outside.clock.clone()));
            Http::new(&settings.base_url, auth, quota, outside.transport.clone())
        };
        let doors = METHODS
            .into_iter()
            .map(|method| (method, door(Auth::Bearer(token.clone()), limit(method, settings.quota))))
            .collect();
        let slow_doors = HISTORY
            .into_iter()
            .map(|method| (method, door(Auth::Bearer(token.clone()), Limit::even(1, SLOWLY))))
            .collect();
        Self {
            doors,
            slow_doors,
            line: app_token.map(|token| door(Auth::Bearer(token), Limit::even(6, MINUTE).with_burst(2))),
            transport: outside.transport.clone(),
            clock: outside.clock.clone(),
            tier: settings.history,
            slow_until: Mutex::default(),
            answered: Mutex::default(),
            scopes: Mutex::default(),
            news: AtomicBool::default(),
        }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    pub(crate) fn has_line(&self) -> bool {
        self.line.is_some()
    }

    /// The pace of writing.
    pub(crate) fn pace(&self) -> Pace {
        let limit = limit("chat.postMessage", None);
        Pace { calls: limit.calls.get(), per: limit.per }
    }

    pub(crate) fn meter(&self) -> Meter {
        let mut sum = Meter::default();
        for door in self.all() {
            let meter = door.quota().meter();
            sum.calls += meter.calls;
            sum.throttled += meter.throttled;
        }
        sum
    }

    /// What the slowest of the doors asks for: whoever takes over must not be faster.
    pub(crate) fn wait(&self) -> Option<Duration> {
        HISTORY.iter().filter_map(|method| self.doors.get(method)?.quota().wait()).max()
    }

    fn all(&self) -> impl Iterator<Item = &Http> {
        self.doors.values().chain(self.slow_doors.values()).chain(&self.line)
    }

    /// Which scopes the token has; empty until Slack has said.
    pub(crate) fn scopes(&self) -> BTreeSet<String> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn has_news(&self) -> bool {
        self.news.load(Ordering::Relaxed)
    }

    pub(crate) fn attached(&self) {
        self.news.store(false, Ordering::Relaxed);
    }

    /// One request a minute, for now.
    pub(crate) fn is_slow(&self) -> bool {
        let until = *self.slow_until.lock().unwrap_or_else(PoisonError::into_inner);
        match self.tier {
            Tier::Full => false,
            Tier::Slow => true,
            Tier::Auto => until.is_some_and(|until| until > self.clock.monotonic()),
        }
    }

    /// The most messages in a page.
    pub(crate) fn page(&self) -> &'static str {
        if self.is_slow() { "15" } else { "200" }
    }

    /// A call that only reads.
    pub(crate) async fn told(&self, method: &'static str, args: &[(&'static str, &str)]) -> Result<Told, Fault> {
        self.call(method, Call::form(format!("/{method}"), args), false).await
    }

    /// A call that changes something there: its outcome may stay unknown.
    pub(crate) async fn write(&self, method: &'static str, body: Value) -> Result<Told, Fault> {
        self.call(method, Call::post(format!("/{method}"), body), true).await
    }

    /// Where a line may be opened: a URL that is good once.
    pub(crate) async fn line(&self) -> Result<String, Fault> {
        const METHOD: &str = "apps.connections.open";
        let door = self.line.as_ref().ok_or_else(|| Fault::locked("app_token: Socket Mode needs one"))?;
        let answer = door.call(Call::form(format!("/{METHOD}"), &[]).reads(true)).await?;
        let (told, _) = judge(METHOD, &answer, false);
        if let Err(Fault::Later { after: Some(wait), .. }) = &told {
            door.quota().close_for(*wait);
        }
        let answer = told?.or_fault()?;
        text(&answer, "url").ok_or_else(|| Fault::unknown("apps.connections.open gave no url"))
    }

    async fn call(&self, method: &'static str, call: Call, write: bool) -> Result<Told, Fault> {
        let slow = HISTORY.contains(&method) && self.is_slow();
        let door = if slow { self.slow_doors.get(method) } else { self.doors.get(method) };
        let door = door.ok_or_else(|| Fault::locked(format!("a bug: no door for {method}")))?;
        let answer = door.call(call.reads(!write)).await?;
        self.note_scopes(&answer);
        let (told, throttled) = judge(method, &answer, write);
        if HISTORY.contains(&method) && matches!(told, Ok(Told::Here(_))) {
            let now = self.clock.monotonic();
            let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
            let (times, refused) = answered.entry(method).or_default();
            times.push_back(now);
            if times.len() > FEW + 1 {
                times.pop_front();
            }
            *refused = 0;
        }
        if let Some(wait) = throttled {
            self.throttled(method, door, wait);
        }
        told
    }

    /// Whether a refusal of this method, which has just come, tells the slow tier.
    fn tells_the_tier(&self, method: &'static str) -> bool {
        let now = self.clock.monotonic();
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let (times, refused) = answered.entry(method).or_default();
        times.retain(|at| now.saturating_sub(*at) <= MINUTE);
        *refused = refused.saturating_add(1);
        match times.len() {
            0 => *refused > 1,
            few => few <= FEW,
        }
    }

    fn throttled(&self, method: &'static str, door: &Http, wait: Duration) {
        door.quota().note_throttled();
        for door in [self.doors.get(method), self.slow_doors.get(method)].into_iter().flatten() {
            door.quota().close_for(wait);
        }
        if HISTORY.contains(&method) && self.tier == Tier::Auto && self.tells_the_tier(method) {
            let was = self.is_slow();
            let until = self.clock.monotonic() + SLOW_FOR;
            *self.slow_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
            if !was {
                tracing::warn!(
                    method,
                    "Slack throttles the reading of history: once a minute from now on, for an hour"
                );
                self.news.store(true, Ordering::Relaxed);
            }
        }
    }

    fn note_scopes(&self, answer: &Answer) {
        let Some(header) = answer.header("x-oauth-scopes") else { return };
        let now: BTreeSet<String> =
            header.split(',').map(|scope| scope.trim().to_owned()).filter(|scope| !scope.is_empty()).collect();
        let mut known = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != now {
            self.news.store(!known.is_empty(), Ordering::Relaxed);
            *known = now;
        }
    }
}

/// Slack's tiers, of which a little is left to others: "50+ per minute", "100+ per minute", one message a second.
fn limit(method: &str, set: Option<Rate>) -> Limit {
    match (method, set) {
        ("chat.postMessage", _) => Limit::even(1, Duration::from_millis(1050)),
        (_, Some(set)) => set.limit(),
        ("users.info" | "chat.getPermalink" | "auth.test", None) => Limit::even(96, MINUTE).with_burst(32),
        _ => Limit::even(48, MINUTE).with_burst(16),
    }
}

/// What an answer means, and for how long the method is shut if it says so.
pub(crate) fn judge(method: &'static str, answer: &Answer, write: bool) -> (Result<Told, Fault>, Option<Duration>) {
    let later = || {
        let wait = answer.retry_after().unwrap_or(MINUTE).max(Duration::from_secs(1));
        let why = format!("Slack's rate limit of {method}");
        (Err(Fault::Later { after: Some(wait), why }), Some(wait))
    };
    let status = answer.status.as_u16();
    let trouble = |what: String| {
        let fault = if write { Fault::unknown(what) } else { Fault::Later { after: answer.retry_after(), why: what } };
        (Err(fault), None)
    };
    match status {
        429 => return later(),
        408 | 500..=599 => return trouble(format!("{method}: HTTP {status}")),
        300..=399 => return (Err(Fault::locked(format!("base_url: it leads elsewhere (HTTP {status})"))), None),
        _ => {}
    }
    let body: Value = match answer.json() {
        Ok(body) => body,
        // A proxy's page, or another server's.
        Err(_) if status >= 400 => return (Err(Fault::locked(format!("base_url: HTTP {status} from {method}"))), None),
        Err(fault) => return (Err(fault), None),
    };
    if body["ok"].as_bool() == Some(true) {
        return (Ok(Told::Here(body)), None);
    }
    let Some(code) = text(&body, "error") else {
        return trouble(format!("{method}: neither ok nor an error (HTTP {status})"));
    };
    match code.as_str() {
        "ratelimited" | "rate_limited" => later(),
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => {
            trouble(format!("{method}: {code}"))
        }
        _ => {
            let refusal = Refusal {
                method,
                code,
                needed: text(&body, "needed"),
                provided: text(&body, "provided"),
                messages: texts(&body["response_metadata"]["messages"]),
            };
            let told = match refusal.fault() {
                // The token as a whole is no good; whoever asked cannot do without.
                locked @ Fault::Locked { .. } if refusal.code != "missing_scope" => Err(locked),
                _ => Ok(Told::Not(refusal)),
            };
            (told, None)
        }
    }
}
