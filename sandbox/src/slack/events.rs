//! Events on their way to the app, slash commands, and what comes back.
//!
//! Each attempt is signed at the time it is made; a repeat says which it is and why. Slack shows the answer to a slash command to whoever
//! typed it, or an error if none came within three seconds. (Vendor sheet sections 3 to 5, 2026-11-23.)

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hmac::Hmac;
use http::HeaderMap;
use serde_json::{Value, json};
use sha2::Sha256;

use super::desk::{LETTERS, Shown};
use super::model::{Asked, Message, Way};
use super::{Slack, wire};
use crate::world::{Context, Outgoing, Vendor};

/// Seconds until the second, third and fourth attempt.
pub(super) const WAITS: [u64; 3] = [0, 60, 300];
/// How long somebody who typed a command is made to wait.
const PATIENCE: Duration = Duration::from_secs(3);
const FORM: &str = "application/x-www-form-urlencoded";

pub(super) fn is_command(outgoing: &Outgoing) -> bool {
    outgoing.headers.get("content-type").is_some_and(|kind| kind.as_bytes() == FORM.as_bytes())
}

fn signed(secret: &str, body: &[u8], kind: &str, now: DateTime<Utc>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let time = now.timestamp().to_string();
    let base = [b"v0:", time.as_bytes(), b":", body].concat();
    for (name, value) in [
        ("content-type", kind),
        ("accept", "*/*"),
        ("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)"),
        ("x-slack-request-timestamp", &time),
        ("x-slack-signature", &format!("v0={}", wire::hmac::<Hmac<Sha256>>(secret, &base))),
    ] {
        wire::set(&mut headers, name, value);
    }
    headers
}

impl Slack {
    /// Tells the app, if it is in the channel.
    pub(super) fn fire(&mut self, channel: &str, event: &Value, cx: &mut Context<'_>) {
        let Some(kept) = self.channels.get(channel).filter(|kept| kept.members.contains(&self.bot_user)) else {
            return;
        };
        let shared = !kept.shared_with.is_empty();
        self.tell(event, shared, cx);
    }

    fn tell(&mut self, event: &Value, shared: bool, cx: &mut Context<'_>) {
        let body = json!({
            "token": "legacy", "team_id": self.team.id, "context_team_id": self.team.id, "context_enterprise_id": null,
            "api_app_id": self.app_id, "event": event, "type": "event_callback", "event_id": format!("Ev{}", cx.rng.text(LETTERS, 10)),
            "event_time": cx.now.timestamp(),
            "authorizations": [{ "enterprise_id": null, "team_id": self.team.id, "user_id": self.bot_user, "is_bot": true, "is_enterprise_install": false }],
            "is_ext_shared_channel": shared, "event_context": format!("4-{}", cx.rng.text(LETTERS, 20)),
        });
        self.send("events_api", body, cx);
    }

    /// One envelope, as it is.
    pub(super) fn send(&mut self, kind: &'static str, body: Value, cx: &mut Context<'_>) {
        match self.way.clone() {
            None => {}
            Some(Way::Socket) => self.over_line(kind, body, cx),
            Some(Way::Http { url, secret }) => {
                let body = Bytes::from(body.to_string());
                let headers = signed(&secret, &body, "application/json", cx.now);
                cx.outbox.push(Outgoing::new(Vendor::Slack, url, headers, body));
            }
        }
    }

    pub(super) fn sign_again(&self, outgoing: &mut Outgoing, status: Option<u16>, at: DateTime<Utc>) {
        let Some(Way::Http { secret, .. }) = &self.way else { return };
        let mut headers = signed(secret, &outgoing.body, "application/json", at);
        wire::set(&mut headers, "x-slack-retry-num", &outgoing.attempt.to_string());
        let why = if status.is_some() { "http_error" } else { "http_timeout" };
        wire::set(&mut headers, "x-slack-retry-reason", why);
        outgoing.headers = headers;
    }

    pub(super) fn tell_message(&mut self, channel: &str, ts: &str, cx: &mut Context<'_>) {
        let Some(kept) = self.channels.get(channel) else { return };
        let Some(message) = kept.messages.get(ts) else { return };
        let mut event = self.show_message(kept, message, false);
        event["channel"] = json!(channel);
        event["event_ts"] = json!(ts);
        event["channel_type"] = json!("channel");
        self.fire(channel, &event, cx);
    }

    /// `message_changed` or `message_deleted`: hidden, with a time stamp of its own.
    pub(super) fn tell_hidden(&mut self, channel: &str, subtype: &str, fields: Value, cx: &mut Context<'_>) {
        let ts = self.next_ts(cx.now);
        let mut event = json!({ "type": "message", "subtype": subtype, "channel": channel, "hidden": true, "ts": ts, "event_ts": ts, "channel_type": "channel" });
        if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
            event.extend(fields);
        }
        self.fire(channel, &event, cx);
    }

    pub(super) fn tell_reaction(
        &mut self,
        channel: &str,
        ts: &str,
        user: &str,
        name: &str,
        added: bool,
        cx: &mut Context<'_>,
    ) {
        let author =
            self.channels.get(channel).and_then(|kept| kept.messages.get(ts)).map(|message| message.user.clone());
        let event = json!({
            "type": if added { "reaction_added" } else { "reaction_removed" }, "user": user, "reaction": name, "item_user": author,
            "item": { "type": "message", "channel": channel, "ts": ts }, "event_ts": self.next_ts(cx.now),
        });
        self.fire(channel, &event, cx);
    }

    pub(super) fn tell_joined(&mut self, channel: &str, cx: &mut Context<'_>) {
        let event = json!({ "type": "member_joined_channel", "user": self.bot_user, "channel": channel, "channel_type": "C", "team": self.team.id, "event_ts": self.next_ts(cx.now) });
        self.fire(channel, &event, cx);
    }

    /// Somebody types a slash command; its trigger id, by which [`Slack::shown`] knows it.
    pub fn slash(&mut self, channel: &str, user: &str, command: &str, text: &str, cx: &mut Context<'_>) -> String {
        let trigger =
            format!("{}.{}.{}", cx.rng.below(1 << 40), cx.rng.below(1 << 40), cx.rng.text(super::desk::HEX, 32));
        let name = self.channels.get(channel).map_or_else(
            || "directmessage".to_owned(),
            |kept| match kept.sort {
                super::model::Sort::Public => kept.name.clone(),
                super::model::Sort::Private => "privategroup".to_owned(),
                super::model::Sort::Direct => "directmessage".to_owned(),
            },
        );
        let user_name = self.users.get(user).map(|user| user.name.clone()).unwrap_or_default();
        let response_url = format!("{}/commands/{}/{trigger}", cx.base.trim_end_matches("/api"), self.team.id);
        let fields = [
            ("token", "legacy"),
            ("team_id", &self.team.id),
            ("team_domain", &self.team.domain),
            ("channel_id", channel),
            ("channel_name", &name),
            ("user_id", user),
            ("user_name", &user_name),
            ("command", command),
            ("text", text),
            ("api_app_id", &self.app_id),
            ("is_enterprise_install", "false"),
            ("response_url", &response_url),
            ("trigger_id", &trigger),
        ];
        match self.way.clone() {
            Some(Way::Http { url, secret }) => {
                let body: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{name}={}", wire::encode(value))).collect();
                let body = Bytes::from(body.join("&"));
                let headers = signed(&secret, &body, FORM, cx.now);
                cx.outbox.push(Outgoing::new(Vendor::Slack, url, headers, body));
            }
            Some(Way::Socket) => {
                let body = fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
                self.over_line("slash_commands", Value::Object(body), cx);
            }
            None => {}
        }
        let asked = Asked { trigger: trigger.clone(), channel: channel.to_owned(), shown: None };
        self.commands.push(asked);
        trigger
    }

    /// What came back for a command, and how long it took.
    pub(super) fn show_answer(
        &mut self,
        outgoing: &Outgoing,
        status: Option<u16>,
        body: &[u8],
        took: Duration,
        cx: &mut Context<'_>,
    ) {
        if !is_command(outgoing) {
            return;
        }
        let form = wire::form(&outgoing.body);
        let Some((_, trigger)) = form.into_iter().find(|(name, _)| name == "trigger_id") else { return };
        let good = status.is_some_and(|status| (200..300).contains(&status)) && took < PATIENCE;
        self.show_reply(&trigger, good.then_some(body), took, cx);
    }

    /// `None`: it failed, or took too long.
    pub(super) fn show_reply(&mut self, trigger: &str, body: Option<&[u8]>, took: Duration, cx: &mut Context<'_>) {
        let Some(at) = self.commands.iter().position(|asked| asked.trigger == trigger) else { return };
        let shown = match body {
            None if took >= PATIENCE => Shown::Failed("operation_timeout"),
            None => Shown::Failed("dispatch_failed"),
            Some(body) => {
                let answer: Value = serde_json::from_slice(body).unwrap_or_default();
                let plain = String::from_utf8_lossy(body).into_owned();
                let text = answer["text"].as_str().map_or(plain, str::to_owned);
                if answer["response_type"] == "in_channel" {
                    let (channel, bot) = (self.commands[at].channel.clone(), self.bot_user.clone());
                    let message = Message { by_app: true, ..self.written(&bot, &text, cx) };
                    self.put_message(&channel, message, cx);
                }
                Shown::Text(text)
            }
        };
        self.commands[at].shown.get_or_insert(shown);
    }
}
