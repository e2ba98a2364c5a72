//! Receiving: one URL for the Events API, slash commands and whatever else Slack posts, told apart after the signature is proven.
//!
//! Facts (docs.slack.dev, "Verifying requests from Slack", "Events API", the events' own pages, read 2026-11-23): v0 signatures over
//! `v0:{timestamp}:{raw body}`, five minutes on both sides; 3 seconds to answer; three retries, of which any may be the only copy that
//! arrives, so none is dropped for being one; order is not promised; in shared channels the same action comes once for each workspace.
//!
//! The law: an event says where to look, never what is there. A message is kept by its channel and time stamp, however many
//! events tell of it.

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::capture::gone;
use super::lookup::texts;
use super::settings::Swept;
use super::{HISTORY, Slack, is_id, is_ts, key};
use crate::fault::Refusal;
use crate::http::decode_form;
use crate::json::{array, text};
use crate::signature::sha256_hex;
use crate::{Delivery, Reply, Request, Webhook};

/// How far a signature's time may be from ours, before or after, in seconds.
const LEEWAY: i64 = 300;

impl Webhook for Slack {
    fn open(&self, raw: Request<'_>, now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        let header = |name: &str| raw.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let secret = self.signing_secret.as_ref().ok_or(Refusal::NotReady("webhook_secret is not set"))?;
        let signature = header("x-slack-signature").ok_or(Refusal::Forged("no X-Slack-Signature"))?;
        let claimed = signature.strip_prefix("v0=").ok_or(Refusal::Forged("X-Slack-Signature is not v0=…"))?;
        let time = header("x-slack-request-timestamp").ok_or(Refusal::Forged("no X-Slack-Request-Timestamp"))?;
        let at: i64 = time.parse().map_err(|_| Refusal::Forged("X-Slack-Request-Timestamp is no number"))?;
        let signed = [b"v0:", time.as_bytes(), b":", raw.body].concat();
        if !sha256_hex(secret.expose_secret().trim().as_bytes(), &signed, claimed) {
            return Err(Refusal::Forged("X-Slack-Signature does not match"));
        }
        let age_seconds = now.timestamp().saturating_sub(at);
        if age_seconds.saturating_abs() > LEEWAY {
            return Err(Refusal::Stale { age_seconds });
        }
        let kind = header("content-type").unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let form = decode_form(raw.body);
            // A button or a menu of somebody's: `payload=<json>`. Nothing of ours makes one; Slack wants its 200.
            let interactive = form.iter().any(|(name, _)| name == "payload");
            if interactive || form.iter().any(|(name, value)| name == "ssl_check" && value == "1") {
                return Ok(Delivery { id: claimed.to_owned(), ..Delivery::default() });
            }
            return self.command(&form, now, claimed);
        }
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Refusal::ContentType);
        }
        let envelope: Value = serde_json::from_slice(raw.body).map_err(|error| {
            Refusal::Malformed(format!("not JSON at line {} column {}", error.line(), error.column()))
        })?;
        self.envelope(&envelope, claimed)
    }
}

impl Slack {
    /// What an envelope of the Events API tells. `stand_in`: an id for one that bears none, the same on a repeat.
    pub(super) fn envelope(&self, envelope: &Value, stand_in: &str) -> Result<Delivery, Refusal> {
        if !envelope.is_object() {
            return Err(Refusal::Malformed("it is no object".into()));
        }
        let id = text(envelope, "event_id").filter(|id| !id.is_empty()).unwrap_or_else(|| stand_in.to_owned());
        let mut delivery = Delivery { id, ..Delivery::default() };
        let event = &envelope["event"];
        match text(envelope, "type").as_deref().unwrap_or_default() {
            "url_verification" => {
                let body =
                    text(envelope, "challenge").ok_or_else(|| Refusal::Malformed("no challenge in it".into()))?;
                delivery.reply = Some(Reply { content_type: "text/plain; charset=utf-8", body, names: None });
            }
            "app_rate_limited" => self.held_back(&mut delivery),
            _ if event.is_object() && !self.is_foreign(envelope) => self.event(event, &mut delivery),
            _ => {}
        }
        Ok(delivery)
    }

    /// More than 30,000 in an hour: Slack has thrown events away, and only says in which minute.
    fn held_back(&self, delivery: &mut Delivery) {
        self.gap.store(true, std::sync::atomic::Ordering::Relaxed);
        delivery.pull.push(HISTORY.into());
        delivery.notice = Some(
            "Slack has dropped events of this workspace (more than 30,000 in an hour); the history is being swept for what they told of".into(),
        );
    }

    fn event(&self, event: &Value, delivery: &mut Delivery) {
        match text(event, "type").as_deref().unwrap_or_default() {
            "reaction_added" | "reaction_removed" => self.reaction(event, delivery),
            "message" => self.message_event(event, delivery),
            "app_rate_limited" => self.held_back(delivery),
            "channel_rename" | "group_rename" | "channel_shared" | "channel_unshared" => {
                let channel = text(event, "channel").or_else(|| text(&event["channel"], "id"));
                self.channels.forget(&channel.unwrap_or_default());
            }
            "user_change" | "user_profile_changed" => {
                self.users.forget(&text(&event["user"], "id").unwrap_or_default());
            }
            "member_joined_channel" if self.is_us(text(event, "user").as_deref(), None) => {
                delivery.pull.push(HISTORY.into());
            }
            "tokens_revoked" | "app_uninstalled" => {
                delivery.notice = Some("the app was removed from the workspace, or its tokens revoked: install it again, and give loopd the new token".into());
            }
            _ => {}
        }
    }

    fn reaction(&self, event: &Value, delivery: &mut Delivery) {
        let item = &event["item"];
        let captures = text(event, "reaction").is_some_and(|name| self.settings.category(&name).is_some());
        if !captures
            || self.is_us(text(event, "user").as_deref(), None)
            || text(item, "type").is_some_and(|kind| kind != "message")
        {
            return;
        }
        if let Some((channel, ts)) = named(item, "channel", "ts") {
            let key = key(&channel, &ts);
            let came = text(event, "type").as_deref() == Some("reaction_added");
            // No turn of the sweep: only that its position holds it.
            if self.settings.sweep != Swept::None && self.captured.hear(&key.id, came) {
                delivery.pull.push(HISTORY.into());
            }
            delivery.fetch.push(key);
        }
    }

    fn message_event(&self, event: &Value, delivery: &mut Delivery) {
        let Some(channel) = text(event, "channel").filter(|channel| is_id(channel)) else { return };
        let mut look = |ts: Option<String>| {
            delivery.fetch.extend(ts.filter(|ts| is_ts(ts)).map(|ts| key(&channel, &ts)));
        };
        let known = |ts: &Option<String>| ts.as_ref().is_some_and(|ts| self.captured.has(&format!("{channel}:{ts}")));
        match text(event, "subtype").as_deref().unwrap_or_default() {
            "message_changed" => {
                let (now, before) = (&event["message"], &event["previous_message"]);
                let ts = text(now, "ts");
                if text(now, "subtype").as_deref() == Some("tombstone") {
                    delivery.records.extend(ts.filter(|ts| is_ts(ts)).map(|ts| gone(&channel, &ts)));
                    return;
                }
                // A link that unfolds is a change too, and nothing was said.
                let said = text(now, "text") != text(before, "text") || before.is_null();
                // In the slow tier only what is known to be captured is worth a call; the sweep finds the others.
                let person = text(now, "bot_id").is_none() && !self.client.is_slow();
                let captured = known(&ts) || self.capture_of(now).is_some();
                let of_thread = text(now, "thread_ts").filter(|root| Some(root) != ts.as_ref());
                if said && (captured || person) {
                    look(ts);
                }
                if said && known(&of_thread) {
                    look(of_thread);
                }
            }
            "message_deleted" => {
                let ts = text(event, "deleted_ts").or_else(|| text(&event["previous_message"], "ts"));
                let of_thread = text(&event["previous_message"], "thread_ts").filter(|root| Some(root) != ts.as_ref());
                if known(&of_thread) {
                    look(of_thread);
                }
                if let Some(id) = ts.as_ref().map(|ts| format!("{channel}:{ts}")) {
                    let was = self.captured.has(&id);
                    self.captured.note(&id, false);
                    self.captured.handed_in(&id, None, was);
                }
                delivery.records.extend(ts.filter(|ts| is_ts(ts)).map(|ts| gone(&channel, &ts)));
            }
            "message_replied" => {
                let ts = text(&event["message"], "thread_ts").or_else(|| text(&event["message"], "ts"));
                if known(&ts) {
                    look(ts);
                }
            }
            _ => {
                // Somebody answers below a captured message.
                let root = text(event, "thread_ts").filter(|root| text(event, "ts").as_ref() != Some(root));
                let ours = self.is_us(text(event, "user").as_deref(), text(event, "bot_id").as_deref());
                if self.settings.threads && !ours && known(&root) {
                    look(root);
                }
            }
        }
    }

    /// Of another workspace that has installed the same app. In a shared channel an event may bear the other side's team; the
    /// authorization says for whom it came.
    fn is_foreign(&self, envelope: &Value) -> bool {
        let ours = self.bound();
        let Some(team) = ours.team_id else { return false };
        let mut named: Vec<String> =
            ["team_id", "context_team_id"].into_iter().filter_map(|field| text(envelope, field)).collect();
        named.extend(array(envelope, "authorizations").iter().filter_map(|one| text(one, "team_id")));
        named.extend(texts(&envelope["authed_teams"]));
        named.retain(|team| !team.is_empty());
        let organisation = text(envelope, "enterprise_id").filter(|id| !id.is_empty());
        let whole = organisation.is_some() && organisation == ours.enterprise_id;
        !named.is_empty() && !named.contains(&team) && !whole
    }
}

fn named(value: &Value, channel: &str, ts: &str) -> Option<(String, String)> {
    let channel = text(value, channel).filter(|channel| is_id(channel))?;
    let ts = text(value, ts).filter(|ts| is_ts(ts))?;
    Some((channel, ts))
}
