//! Slack: a reaction makes a message feedback; a slash command is feedback; answers go into the thread.
//!
//! | what | call |
//! |---|---|
//! | a message with its reactions | `conversations.history`, for a reply in a thread `conversations.replies`; in slow mode `reactions.get` |
//! | who, where, and how to get there | `users.info`, `conversations.info`, `team.info`, `chat.getPermalink`, each remembered for an hour |
//! | what was missed | `users.conversations`, then `conversations.history` of each channel, `conversations.replies` of busy threads |
//! | an answer, a note | `chat.postMessage` with our id in its metadata, by which it is found again |
//! | who are we | `auth.test`, and the header `x-oauth-scopes` |
//! | the line of Socket Mode | `apps.connections.open` |
//!
//! A message's id is `CHANNEL:TS`, whatever workspace, event or way it came by: Slack tells the same one many times. Its body is
//! `{team, channel, message, text, author, permalink, captured, customer, thread}`; `capture.rs` says what is in each. A command's id is
//! `USER:TRIGGER`, and it comes whole by webhook.
//!
//! Slack's pages of docs.slack.dev on the Events API, slash commands, rate limits and each method (read 2026-11-23) are what this is built
//! to. Most refusals are HTTP 200 with `ok: false`; limits are per method, workspace and app; some apps may read history once a minute
//! only, and are found out by their first 429 (`client.rs`).

mod capture;
mod client;
mod command;
mod customer;
mod events;
mod known;
mod lookup;
mod position;
mod post;
mod settings;
mod socket;
mod sweep;
mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::client::Client;
use self::known::Known;
use self::lookup::Remembered;
use self::settings::Settings;
use crate::json::text;
use crate::kind::Need;
use crate::settings::secret;
use crate::unfinished::Unfinished;
use crate::{
    CollectionSpec, Connector, Cursor, Fault, Fields, Identity, Key, Listener, Messenger, Meter, Outside, Pace, Page,
    Record, SecretSpec, Secrets, SettingsError, Shape, Source, Stream, Webhook,
};

/// A captured message, and what somebody typed after the slash command.
const MESSAGE: &str = "message";
const COMMAND: &str = "command";
/// The stream that looks for what no event told.
const HISTORY: &str = "history";

pub const SECRETS: &[SecretSpec] = &[
    SecretSpec {
        name: "token",
        about: "the bot token, xoxb-…: api.slack.com/apps > your app > OAuth & Permissions",
        need: Need::Always,
    },
    SecretSpec {
        name: "webhook_secret",
        about: "the signing secret: api.slack.com/apps > your app > Basic Information > App Credentials",
        need: Need::Webhook,
    },
    SecretSpec {
        name: "app_token",
        about: "an app-level token with connections:write, xapp-…, for Socket Mode: Basic Information > App-Level Tokens",
        need: Need::Sometimes,
    },
];

/// What each of these is for; a token without one works, and does less.
const SCOPES: &[(&str, &str)] = &[
    ("reactions:read", "reactions are not seen"),
    ("channels:history", "messages of public channels cannot be read"),
    ("channels:read", "public channels have no name"),
    ("users:read", "authors have no name"),
    ("users:read.email", "authors have no email, so that it says nothing of the customer"),
    ("chat:write", "nobody can be answered"),
];

pub struct Slack {
    settings: Settings,
    signing_secret: Option<SecretString>,
    client: Client,
    bound: Mutex<Bound>,
    /// Events come, by webhook or over a line: the sweep need only mend.
    hears: AtomicBool,
    /// Since when the line cannot be opened, in unix seconds.
    line_down: Mutex<Option<i64>>,
    /// Events were missed: Slack says that it has held some back, or there was no line. The next turn is a deep one.
    gap: AtomicBool,
    /// No turn of the sweep has begun in this process.
    fresh: AtomicBool,
    users: Remembered,
    channels: Remembered,
    teams: Remembered,
    permalinks: Remembered,
    /// Messages, raw, whose author or channel the quota put off.
    halves: Unfinished<Value>,
    /// Pages of history in the same case.
    pages: Unfinished<Value>,
    /// Where the search for a message of ours stopped.
    searches: Unfinished<(String, BTreeMap<u64, String>)>,
    /// The thread that a message is in, and the direct conversation with a user.
    roots: Remembered,
    captured: Known,
}

/// What is kept across restarts, as [`Connector::attach`] returns it: whose token it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Bound {
    #[serde(skip_serializing_if = "Option::is_none")]
    team_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enterprise_id: Option<String>,
    /// `https://example.slack.com/`
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// We ourselves, as a user and as a bot.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bot_id: Option<String>,
}

/// Opens a connection; calls nobody.
///
/// # Errors
/// Settings of another shape, or no token.
pub fn open(settings: &Value, secrets: &Secrets, outside: &Outside) -> Result<Slack, SettingsError> {
    let settings = Settings::parse(settings)?;
    let token = secret(secrets, "token").ok_or_else(|| SettingsError::key("token", "is missing: the bot token"))?;
    let app_token = secret(secrets, "app_token");
    let hears = AtomicBool::new(app_token.is_some());
    let client = Client::new(&settings, &token, app_token, outside);
    Ok(Slack {
        settings,
        signing_secret: secret(secrets, "webhook_secret"),
        client,
        bound: Mutex::default(),
        hears,
        line_down: Mutex::default(),
        gap: AtomicBool::default(),
        fresh: AtomicBool::new(true),
        users: Remembered::default(),
        channels: Remembered::default(),
        teams: Remembered::default(),
        permalinks: Remembered::default(),
        halves: Unfinished::default(),
        pages: Unfinished::default(),
        searches: Unfinished::default(),
        roots: Remembered::default(),
        captured: Known::default(),
    })
}

#[async_trait]
impl Connector for Slack {
    fn collections(&self) -> Vec<CollectionSpec> {
        [MESSAGE, COMMAND]
            .into_iter()
            .map(|name| CollectionSpec { name: name.into(), fields: Fields::Open, writable: false, creatable: false })
            .collect()
    }

    fn pace(&self) -> Pace {
        self.client.pace()
    }

    fn meter(&self) -> Meter {
        self.client.meter()
    }

    fn wait(&self) -> Option<std::time::Duration> {
        self.client.wait()
    }

    async fn probe(&self) -> Result<Identity, Fault> {
        let me = self.client.told("auth.test", &[]).await?.or_fault()?;
        let team = text(&me, "team").unwrap_or_else(|| "workspace".into());
        let mut notes: Vec<String> = self.lacking().map(|(scope, cost)| format!("no {scope}: {cost}")).collect();
        notes.extend(self.slow_note());
        if self.client.has_line()
            && let Err(fault) = self.client.line().await
        {
            notes.push(format!("Socket Mode: {fault}"));
        }
        Ok(Identity {
            account: text(&me, "team_id").unwrap_or_default(),
            name: text(&me, "user").map_or(team.clone(), |user| format!("{team} ({user})")),
            scopes: self.client.scopes().into_iter().collect(),
            notes,
        })
    }

    /// Binds the connection to its workspace, and learns who we are there: what we post ourselves is nobody's feedback.
    async fn attach(&self, _shape: &Shape, callback: Option<&str>, known: Option<&Value>) -> Result<Value, Fault> {
        let known = known.and_then(|known| Bound::deserialize(known).ok()).unwrap_or_default();
        let me = self.client.told("auth.test", &[]).await?.or_fault()?;
        let bound = Bound {
            team_id: text(&me, "team_id"),
            enterprise_id: text(&me, "enterprise_id"),
            url: text(&me, "url"),
            user_id: text(&me, "user_id"),
            bot_id: text(&me, "bot_id"),
        };
        if let (Some(before), Some(now)) = (&known.team_id, &bound.team_id)
            && before != now
        {
            return Err(Fault::locked(format!(
                "token: it opens workspace {now}, but this connection has been reading workspace {before}; give the new one a connection of its own"
            )));
        }
        self.hears.store(callback.is_some() || self.client.has_line(), Ordering::Relaxed);
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner) = bound.clone();
        self.client.attached();
        Ok(serde_json::to_value(bound).unwrap_or_default())
    }

    fn hindrance(&self) -> Option<String> {
        let lacking: Vec<String> = self.lacking().map(|(scope, cost)| format!("no {scope}: {cost}")).collect();
        let all: Vec<String> = self.slow_note().into_iter().chain(lacking).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn wants_attach(&self) -> bool {
        self.client.has_news()
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }
    fn messenger(&self) -> Option<&dyn Messenger> {
        Some(self)
    }
    fn listener(&self) -> Option<&dyn Listener> {
        self.client.has_line().then_some(self)
    }
}

#[async_trait]
impl Source for Slack {
    fn streams(&self) -> Vec<Stream> {
        if self.settings.sweep == settings::Swept::None {
            return Vec::new();
        }
        let about = "what no event told: reactions, edits, deletions and replies of the last days, channel by channel";
        vec![Stream { name: HISTORY.into(), every: "0 */10 * * * *", about }]
    }

    async fn pull(&self, stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        match stream {
            HISTORY => self.sweep(after).await,
            _ => Err(Fault::rejected(format!("Slack has no stream {stream}"))),
        }
    }

    async fn fetch(&self, key: &Key) -> Result<Option<Record>, Fault> {
        match (key.collection.as_str(), place(&key.id)) {
            (MESSAGE, Some((channel, ts))) => {
                let was = self.captured.has(&key.id);
                let record = self.message(channel, ts).await?;
                self.captured.handed_in(&key.id, self.seen_in(record.as_ref()), was);
                Ok(record)
            }
            // A command is only told once; there is nowhere to ask for it again.
            _ => Ok(None),
        }
    }
}

impl Slack {
    fn bound(&self) -> Bound {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Scopes that the token lacks, as far as Slack has said which it has.
    fn lacking(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let has = self.client.scopes();
        SCOPES.iter().copied().filter(move |(scope, _)| !has.is_empty() && !has.contains(*scope))
    }

    fn slow_note(&self) -> Option<String> {
        self.client.is_slow().then(|| {
            "Slack lets this app read history once a minute, 15 messages at a time (the tier of apps that are distributed and not in its Marketplace): the sweep takes long".into()
        })
    }

    /// Whether somebody who wrote or reacted is we ourselves.
    fn is_us(&self, user: Option<&str>, bot: Option<&str>) -> bool {
        let us = self.bound();
        let same = |us: Option<String>, them: Option<&str>| us.is_some() && us.as_deref() == them;
        same(us.user_id, user) || same(us.bot_id, bot)
    }
}

/// `CHANNEL:TS`
fn key(channel: &str, ts: &str) -> Key {
    Key::new(MESSAGE, format!("{channel}:{ts}"))
}

/// The channel and the time stamp of a message's id.
fn place(id: &str) -> Option<(&str, &str)> {
    id.split_once(':').filter(|(channel, ts)| is_id(channel) && is_ts(ts))
}

/// An id of Slack's: capital letters and digits.
fn is_id(text: &str) -> bool {
    (2..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// `1763856000.000100`: a key, and never a number.
fn is_ts(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(seconds, rest)| digits(seconds) && digits(rest))
}

/// The milliseconds of a time stamp.
fn millis(ts: &str) -> Option<i64> {
    let (seconds, rest) = ts.split_once('.')?;
    let rest: i64 = format!("{rest:0<3}").get(..3)?.parse().ok()?;
    seconds.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(rest)
}

/// A time stamp as Slack writes it.
fn stamp(at: chrono::DateTime<chrono::Utc>) -> String {
    format!("{}.{:06}", at.timestamp(), at.timestamp_subsec_micros())
}

/// Arguments of a call, in any order.
type Args<'a> = BTreeMap<&'static str, &'a str>;
