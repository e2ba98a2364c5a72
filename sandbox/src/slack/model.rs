//! What a workspace holds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::desk::Shown;
use super::{Refusal, no};

#[derive(Clone)]
pub(super) struct Team {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) domain: String,
    pub(super) email_domain: String,
}

#[derive(Clone)]
pub(super) struct User {
    pub(super) team: String,
    pub(super) name: String,
    pub(super) real_name: String,
    pub(super) email: String,
    pub(super) bot: bool,
    /// Invited to single channels only.
    pub(super) guest: bool,
    pub(super) deleted: bool,
}

impl User {
    pub(super) fn new(name: &str, real_name: &str, email: &str) -> Self {
        Self {
            team: String::new(),
            name: name.to_owned(),
            real_name: real_name.to_owned(),
            email: email.to_owned(),
            bot: false,
            guest: false,
            deleted: false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Public,
    Private,
    Direct,
}

#[derive(Clone)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) sort: Sort,
    pub(super) members: BTreeSet<String>,
    /// The other workspaces that it is shared with.
    pub(super) shared_with: Vec<String>,
    pub(super) archived: bool,
    pub(super) created: i64,
    pub(super) messages: BTreeMap<String, Message>,
}

impl Channel {
    pub(super) fn new(name: &str, private: bool, members: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            sort: if private { Sort::Private } else { Sort::Public },
            members: members.iter().cloned().collect(),
            shared_with: Vec::new(),
            archived: false,
            created: 1_790_000_000,
            messages: BTreeMap::new(),
        }
    }

    /// What stands below a message, oldest first.
    pub(super) fn replies<'a>(&'a self, root: &'a str) -> impl DoubleEndedIterator<Item = &'a Message> {
        self.messages.values().filter(move |message| message.thread_ts.as_deref() == Some(root) && message.ts != root)
    }

    /// The scopes that its messages, and its own details, want.
    pub(super) fn scope(&self, what: &str) -> String {
        let kind = match self.sort {
            Sort::Public => "channels",
            Sort::Private => "groups",
            Sort::Direct => "im",
        };
        format!("{kind}:{what}")
    }
}

#[derive(Clone)]
pub(super) struct Message {
    pub(super) ts: String,
    pub(super) user: String,
    /// By the app, through the API.
    pub(super) by_app: bool,
    pub(super) text: String,
    pub(super) thread_ts: Option<String>,
    pub(super) edited: Option<(String, String)>,
    /// By name, in the order they came: who.
    pub(super) reactions: Vec<(String, Vec<String>)>,
    pub(super) metadata: Option<Value>,
    pub(super) blocks: Option<Value>,
    pub(super) attachments: Option<Value>,
    pub(super) subtype: Option<&'static str>,
    /// Shown in the channel as well as in its thread.
    pub(super) broadcast: bool,
    pub(super) client_msg_id: String,
}

/// A credential.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) scopes: BTreeSet<String>,
    /// App-level (`xapp-`): opens lines, and nothing else.
    pub(super) app: bool,
    pub(super) revoked: bool,
}

const BOT_SCOPES: &[&str] = &[
    "channels:history",
    "channels:join",
    "channels:read",
    "chat:write",
    "commands",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "reactions:read",
    "reactions:write",
    "team:read",
    "users:read",
    "users:read.email",
];

impl Token {
    pub(super) fn bot() -> Self {
        Self { scopes: BOT_SCOPES.iter().map(|scope| (*scope).to_owned()).collect(), app: false, revoked: false }
    }

    pub(super) fn app() -> Self {
        Self { scopes: BTreeSet::from(["connections:write".to_owned()]), app: true, revoked: false }
    }

    /// # Errors
    /// `missing_scope`, with what is needed and what there is.
    pub(super) fn need(&self, scope: &str) -> Result<(), Refusal> {
        if self.scopes.contains(scope) {
            return Ok(());
        }
        let provided: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        let more = serde_json::json!({ "needed": scope, "provided": provided.join(",") });
        Err(Refusal("missing_scope", more))
    }
}

/// How events reach the app.
#[derive(Clone)]
pub(super) enum Way {
    Http { url: String, secret: String },
    Socket,
}

/// A slash command that somebody has typed.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) trigger: String,
    pub(super) channel: String,
    pub(super) shown: Option<Shown>,
}

/// Microseconds as a time stamp.
pub(super) fn stamp(micros: i64) -> String {
    format!("{}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000))
}

/// # Errors
/// What is no time stamp (`1763856000`, `now`), with this code.
pub(super) fn micros(ts: &str, code: &'static str) -> Result<i64, Refusal> {
    let (seconds, rest) = ts.split_once('.').unwrap_or((ts, "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(rest) || rest.len() > 6 {
        return no(code);
    }
    let (seconds, rest): (i64, i64) = (seconds.parse().unwrap_or(0), format!("{rest:0<6}").parse().unwrap_or(0));
    Ok(seconds * 1_000_000 + rest)
}
