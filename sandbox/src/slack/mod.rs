//! Slack's Web API, Events API, slash commands and Socket Mode, for one workspace with one app in it. (Vendor sheet, 2026-11-23.)
//!
//! The law: almost every refusal is HTTP 200 with `{ok: false, error}`; only the rate limit is 429, counted for each method and token in
//! windows of a minute. Time stamps are keys: no two messages of the workspace have the same. The app sees only channels that it is
//! in. Events are signed anew on each of their attempts: at once, after a minute, after five.

mod args;
mod chat;
mod conversations;
mod desk;
mod events;
mod line;
mod model;
mod people;
mod quota;
mod show;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderValue, Request, Response, StatusCode};
use serde_json::{Value, json};

pub use desk::Shown;
pub use line::TOKEN as APP_TOKEN;

use crate::wire;
use crate::world::{Context, Outgoing, StandIn, Vendor};
use args::Args;
use line::Line;
use model::{Asked, Channel, Team, Token, User, Way};

/// What a method answers: the fields beside `ok: true`, or an error's code with what belongs to it.
type Answer = Result<Value, Refusal>;

/// `{ok: false, error: code, …}`
#[derive(Debug)]
struct Refusal(&'static str, Value);

fn no<T>(code: &'static str) -> Result<T, Refusal> {
    Err(Refusal(code, json!({})))
}

#[derive(Clone)]
pub struct Slack {
    team: Team,
    /// Workspaces that share channels with this one.
    others: BTreeMap<String, Team>,
    tokens: BTreeMap<String, Token>,
    users: BTreeMap<String, User>,
    channels: BTreeMap<String, Channel>,
    /// The app, as a bot and as the user who stands for it.
    app_id: String,
    bot_id: String,
    bot_user: String,
    /// The app is distributed outside the Marketplace: history once a minute, 15 messages.
    restricted: bool,
    /// So many times the published limits are allowed.
    lenience: usize,
    way: Option<Way>,
    lines: BTreeMap<u64, Line>,
    /// URLs that were handed out and not used yet.
    tickets: BTreeSet<String>,
    /// Envelopes that no line has taken.
    waiting: VecDeque<line::Envelope>,
    commands: Vec<Asked>,
    /// Calls of the last minute, by method and what the limit is for.
    windows: BTreeMap<(String, String), VecDeque<DateTime<Utc>>>,
    /// The last time stamp that was given, in microseconds.
    last_ts: i64,
    last_line: u64,
}

impl Default for Slack {
    /// One workspace with the app, its bot token with every scope, an app-level token, an admin, and the channel #general.
    fn default() -> Self {
        let team = Team {
            id: "T0SANDBOX".into(),
            name: "Sandbox".into(),
            domain: "sandbox".into(),
            email_domain: "sandbox.example".into(),
        };
        let bot_user = "U0LOOPD".to_owned();
        let mut new = Self {
            others: BTreeMap::new(),
            tokens: BTreeMap::from([
                (Vendor::Slack.token().to_owned(), Token::bot()),
                (line::TOKEN.to_owned(), Token::app()),
            ]),
            users: BTreeMap::new(),
            channels: BTreeMap::new(),
            app_id: "A0LOOPD".into(),
            bot_id: "B0LOOPD".into(),
            bot_user: bot_user.clone(),
            restricted: false,
            lenience: 1,
            way: None,
            lines: BTreeMap::new(),
            tickets: BTreeSet::new(),
            waiting: VecDeque::new(),
            commands: Vec::new(),
            windows: BTreeMap::new(),
            last_ts: 0,
            last_line: 0,
            team,
        };
        let (team, bot) = (new.team.id.clone(), User { bot: true, ..User::new("loopd", "loopd", "") });
        new.users.insert(bot_user, User { team: team.clone(), ..bot });
        new.users.insert(
            "U0ADMIN".into(),
            User { team, ..User::new("tamsin", "Tamsin Teammate", "tamsin@sandbox.example") },
        );
        let general = Channel::new("general", false, &["U0ADMIN".to_owned(), new.bot_user.clone()]);
        new.channels.insert("C0GENERAL".into(), general);
        new
    }
}

impl StandIn for Slack {
    fn handle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        let method = method(request);
        let args = match Args::read(request) {
            Ok(args) => args,
            Err(code) => return refuse(&Refusal(code, json!({}))),
        };
        match self.answer(&method, request, &args, cx) {
            Ok(mut answer) => {
                if let Value::Object(fields) = &mut answer {
                    fields.insert("ok".into(), true.into());
                    args.warn(fields);
                }
                wire::json(StatusCode::OK, &answer)
            }
            Err(refusal) => refuse(&refusal),
        }
    }

    fn admit(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        self.count(&method(request), request, cx.now).map_err(too_many)
    }

    fn retry_after(&self, attempt: u32) -> Option<Duration> {
        events::WAITS.get(usize::try_from(attempt.checked_sub(1)?).ok()?).copied().map(Duration::from_secs)
    }

    /// Signed anew, with a word on why. A slash command is never repeated.
    fn retry(&mut self, outgoing: &mut Outgoing, status: Option<u16>, now: DateTime<Utc>) -> Option<Duration> {
        if events::is_command(outgoing) {
            return None;
        }
        let wait = self.retry_after(outgoing.attempt)?;
        self.sign_again(outgoing, status, now + wait);
        Some(wait)
    }

    fn answered(
        &mut self,
        outgoing: &Outgoing,
        status: Option<u16>,
        body: &[u8],
        took: Duration,
        cx: &mut Context<'_>,
    ) {
        self.show_answer(outgoing, status, body, took, cx);
    }

    fn is_read(&self, request: &Request<Bytes>) -> bool {
        let method = method(request);
        let verb = method.rsplit('.').next().unwrap_or_default();
        matches!(
            verb,
            "history" | "replies" | "info" | "list" | "members" | "conversations" | "get" | "getPermalink" | "test"
        )
    }

    fn operation(&self, request: &Request<Bytes>) -> String {
        method(request)
    }

    fn throttle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        too_many(self.exhaust(&method(request), request, cx.now))
    }

    fn finish(
        &mut self,
        request: &Request<Bytes>,
        mut response: Response<Bytes>,
        cx: &mut Context<'_>,
    ) -> Response<Bytes> {
        let id = cx.rng.text("0123456789abcdef", 32);
        let token = Args::read(request).ok().and_then(|args| args.token);
        let headers = response.headers_mut();
        wire::set(headers, "x-slack-req-id", &id);
        if let Some(token) = token.and_then(|token| self.tokens.get(&token)) {
            let scopes: Vec<&str> = token.scopes.iter().map(String::as_str).collect();
            wire::set(headers, "x-oauth-scopes", &scopes.join(","));
            let accepted = scopes_of(&method(request)).join(",");
            wire::set(headers, "x-accepted-oauth-scopes", &accepted);
        }
        response
    }

    fn freshen(&mut self, live: &Self) {
        self.tokens.clone_from(&live.tokens);
        self.tickets.clone_from(&live.tickets);
        self.windows.clone_from(&live.windows);
    }
}

impl Slack {
    fn answer(&mut self, method: &str, request: &Request<Bytes>, args: &Args, cx: &mut Context<'_>) -> Answer {
        if method == "api.test" {
            return people::api_test(args, request);
        }
        let Some(token) = &args.token else { return no("not_authed") };
        let Some(token) = self.tokens.get(token).cloned() else { return no("invalid_auth") };
        if token.revoked {
            return no("token_revoked");
        }
        if method == "apps.connections.open" {
            return self.open_line(&token, cx);
        }
        if token.app {
            return no("not_allowed_token_type");
        }
        match method {
            "auth.test" => Ok(self.auth_test()),
            "team.info" => self.team_info(&token, args),
            "users.info" => self.users_info(&token, args),
            "users.list" => self.users_list(&token, args),
            "users.conversations" => self.list(&token, args, true),
            "conversations.list" => self.list(&token, args, false),
            "conversations.info" => self.conversations_info(&token, args),
            "conversations.members" => self.members(&token, args),
            "conversations.join" => self.join(&token, args, cx),
            "conversations.open" => self.open_direct(&token, args, cx),
            "conversations.history" => self.history(&token, args),
            "conversations.replies" => self.replies(&token, args),
            "chat.postMessage" => self.post_message(&token, args, cx),
            "chat.postEphemeral" => self.post_ephemeral(&token, args, cx),
            "chat.update" => self.update(&token, args, cx),
            "chat.delete" => self.delete(&token, args, cx),
            "chat.getPermalink" => self.permalink(args),
            "reactions.add" => self.react_with(&token, args, true, cx),
            "reactions.remove" => self.react_with(&token, args, false, cx),
            "reactions.get" => self.reactions_get(&token, args),
            other => Err(Refusal("unknown_method", json!({ "req_method": other }))),
        }
    }

    /// The next time stamp: later than every one before.
    fn next_ts(&mut self, now: DateTime<Utc>) -> String {
        self.last_ts = now.timestamp_micros().max(self.last_ts + 1);
        model::stamp(self.last_ts)
    }
}

/// The method is the last part of the path: `/api/chat.postMessage`.
fn method(request: &Request<Bytes>) -> String {
    request.uri().path().trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

fn refuse(Refusal(code, more): &Refusal) -> Response<Bytes> {
    let mut body = json!({ "ok": false, "error": code });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more.clone());
    }
    wire::json(StatusCode::OK, &body)
}

fn too_many(seconds: u64) -> Response<Bytes> {
    let mut response = wire::json(StatusCode::TOO_MANY_REQUESTS, &json!({ "ok": false, "error": "ratelimited" }));
    response.headers_mut().insert("retry-after", HeaderValue::from(seconds));
    response
}

/// Scopes of which a method wants one.
fn scopes_of(method: &str) -> &'static [&'static str] {
    match method {
        "conversations.history" | "conversations.replies" => {
            &["channels:history", "groups:history", "mpim:history", "im:history"]
        }
        "conversations.info" | "conversations.list" | "conversations.members" | "users.conversations" => {
            &["channels:read", "groups:read", "mpim:read", "im:read"]
        }
        "conversations.join" => &["channels:join"],
        "conversations.open" => &["im:write", "mpim:write"],
        "users.info" | "users.list" => &["users:read"],
        "team.info" => &["team:read"],
        "chat.postMessage" | "chat.postEphemeral" | "chat.update" | "chat.delete" => &["chat:write"],
        "reactions.add" | "reactions.remove" => &["reactions:write"],
        "reactions.get" => &["reactions:read"],
        "apps.connections.open" => &["connections:write"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
