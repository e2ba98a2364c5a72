//! One message, with all that makes it feedback.
//!
//! The body of a record: `team`; `channel {id, name, is_private, is_ext_shared}`; `message`, Slack's own JSON, if it is captured; `text`, the message as
//! people read it; `author {id, name, email, handle, bot, external, guest}`; `permalink`; `captured {emoji, category, by}`, or `null` when no
//! capturing reaction is on it (any more); `customer {channel, domains, names}`, or `null` where the channel is no customer's;
//! `thread`, what was answered below it, oldest first: `[{ts, text, author, at}]`, where that is wanted.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::client::Told;
use super::lookup::reactions;
use super::{Args, MESSAGE, Slack, is_id, key, millis, text as markup};
use crate::fault::Fault;
use crate::json::{array, text};
use crate::{Record, Version};

/// So many are named in a text; the others keep their id.
const MOST_MENTIONS: usize = 10;
/// So many pages of a thread are read: a thousand answers.
const MOST_PAGES: usize = 5;

impl Slack {
    /// A message as it is now. `body: None`: it is gone. `None`: it is one of ours.
    pub(super) async fn message(&self, channel: &str, ts: &str) -> Result<Option<Record>, Fault> {
        let id = format!("{channel}:{ts}");
        let clock = self.client.clock();
        let raw = match self.halves.take(clock, &id) {
            Some(raw) => raw,
            None => match self.raw(channel, ts).await? {
                Some(raw) => raw,
                None => {
                    self.captured.note(&id, false);
                    return Ok(Some(gone(channel, ts)));
                }
            },
        };
        let record = self.record(channel, &raw).await;
        if record.is_err() {
            // It is paid for: the next attempt goes on from here.
            self.halves.put(clock, &id, raw);
        }
        record
    }

    /// The message itself. A reply in a thread is not in the channel's history.
    async fn raw(&self, channel: &str, ts: &str) -> Result<Option<Value>, Fault> {
        // In slow mode by another method, whose tier is not the slow one.
        if self.client.is_slow()
            && let Some(certain) = self.by_reactions(channel, ts).await?
        {
            return Ok(certain);
        }
        let args = [("channel", channel), ("latest", ts), ("oldest", ts), ("inclusive", "true"), ("limit", "1")];
        let answer = self.client.told("conversations.history", &args).await?.or_fault()?;
        if let Some(found) = with_ts(&answer, ts) {
            return Ok(present(found.clone()));
        }
        let args = [("channel", channel), ("ts", ts), ("oldest", ts), ("latest", ts), ("inclusive", "true")];
        match self.client.told("conversations.replies", &args).await? {
            Told::Here(answer) => {
                if let Some(found) = with_ts(&answer, ts) {
                    return Ok(present(found.clone()));
                }
            }
            Told::Not(refusal) if matches!(refusal.code.as_str(), "thread_not_found" | "message_not_found") => {}
            Told::Not(refusal) => return Err(refusal.fault()),
        }
        // What two have not shown is believed gone only if the third does not know it either.
        Ok(self.by_reactions(channel, ts).await?.flatten())
    }

    /// The message with its reactions; `Some(None)`: there is certainly none.
    async fn by_reactions(&self, channel: &str, ts: &str) -> Result<Option<Option<Value>>, Fault> {
        let args = [("channel", channel), ("timestamp", ts), ("full", "true")];
        Ok(match self.client.told("reactions.get", &args).await? {
            Told::Here(answer) if text(&answer["message"], "ts").as_deref() == Some(ts) => {
                Some(present(answer["message"].clone()))
            }
            Told::Not(refusal) if refusal.code == "message_not_found" => Some(None),
            Told::Here(_) | Told::Not(_) => None,
        })
    }

    /// The record of a message at hand, as [`MESSAGE`] has it. `None`: it is one of ours.
    pub(super) async fn record(&self, channel: &str, raw: &Value) -> Result<Option<Record>, Fault> {
        let Some(ts) = text(raw, "ts").filter(|ts| super::is_ts(ts)) else { return Ok(None) };
        if self.is_us(text(raw, "user").as_deref(), text(raw, "bot_id").as_deref()) {
            return Ok(None);
        }
        let root = text(raw, "thread_ts").filter(|root| *root != ts);
        let captured = self.capture_of(raw);
        self.captured.note(&format!("{channel}:{ts}"), captured.is_some());
        let mut body = Map::from_iter([
            ("team".to_owned(), json!(self.bound().team_id)),
            // What nobody has captured (any more) is not ours to keep.
            ("message".to_owned(), if captured.is_some() { raw.clone() } else { json!({ "ts": ts }) }),
            ("captured".to_owned(), captured.clone().unwrap_or_default()),
        ]);
        if captured.is_some() {
            let place = self.channel(channel).await?;
            let words = markup::words(raw);
            body.insert("text".into(), json!(markup::plain(&words, &self.names(&words).await?)));
            body.insert("author".into(), self.author(raw).await?);
            body.insert("permalink".into(), json!(self.permalink(channel, &ts, root.as_deref()).await?));
            body.insert("customer".into(), self.customer_of(&place).await?);
            body.insert("channel".into(), place);
            body.insert("thread".into(), self.thread(channel, &ts, raw).await?);
        } else {
            body.insert("channel".into(), json!({ "id": channel }));
        }
        let url = text(&Value::Object(body.clone()), "permalink");
        let edited = text(&raw["edited"], "ts");
        Ok(Some(Record {
            key: key(channel, &ts),
            version: edited.as_deref().and_then(millis).or_else(|| millis(&ts)).map(Version),
            body: Some(Value::Object(body)),
            url,
            edits: Vec::new(),
        }))
    }

    /// The capturing reactions on a message: `{emoji, category, by}`. Our own count for nothing.
    pub(super) fn capture_of(&self, raw: &Value) -> Option<Value> {
        let us = self.bound().user_id;
        let (mut emoji, mut by, mut category) = (Vec::new(), Vec::new(), None);
        for (name, users, count) in reactions(raw) {
            let Some(suggests) = self.settings.category(&name) else { continue };
            let others: Vec<String> = users.iter().filter(|user| Some(*user) != us.as_ref()).cloned().collect();
            // Slack names only some of many.
            let ours = users.len() - others.len();
            if count <= ours as u64 {
                continue;
            }
            emoji.push(name);
            by.extend(others);
            if category.is_none() && !suggests.is_empty() {
                category = Some(suggests.to_owned());
            }
        }
        by.sort_unstable();
        by.dedup();
        (!emoji.is_empty()).then(|| json!({ "emoji": emoji, "category": category, "by": by }))
    }

    async fn names(&self, words: &str) -> Result<BTreeMap<String, String>, Fault> {
        let mut names = BTreeMap::new();
        for id in markup::mentioned(words).into_iter().take(MOST_MENTIONS) {
            let author = self.author(&json!({ "user": id })).await?;
            names.extend(text(&author, "handle").or_else(|| text(&author, "name")).map(|name| (id, name)));
        }
        Ok(names)
    }

    /// What was answered below a message. A reply has nothing below it.
    async fn thread(&self, channel: &str, ts: &str, raw: &Value) -> Result<Value, Fault> {
        let root = text(raw, "thread_ts").is_none_or(|root| root == ts);
        if !self.settings.threads || !root || raw["reply_count"].as_u64().unwrap_or(0) == 0 {
            return Ok(json!([]));
        }
        let mut turns = Vec::new();
        let mut cursor = String::new();
        // Once a minute, the first page must do.
        let pages = if self.client.is_slow() { 1 } else { MOST_PAGES };
        for _ in 0..pages {
            let mut args: Args<'_> = [("channel", channel), ("ts", ts), ("limit", self.client.page())].into();
            if !cursor.is_empty() {
                args.insert("cursor", &cursor);
            }
            let args: Vec<(&'static str, &str)> = args.into_iter().collect();
            let answer = match self.client.told("conversations.replies", &args).await? {
                Told::Here(answer) => answer,
                Told::Not(_) => break,
            };
            for reply in array(&answer, "messages") {
                let Some(at) = text(reply, "ts").filter(|at| at != ts) else { continue };
                if self.is_us(text(reply, "user").as_deref(), text(reply, "bot_id").as_deref()) {
                    continue;
                }
                let words = markup::words(reply);
                let author = self.author(reply).await?;
                turns.push(json!({
                    "ts": at,
                    "text": markup::plain(&words, &BTreeMap::new()),
                    "author": author,
                    "url": self.link(channel, &at, Some(ts)),
                }));
            }
            cursor = next_cursor(&answer);
            if cursor.is_empty() {
                break;
            }
        }
        Ok(Value::Array(turns))
    }
}

/// A deleted parent of a thread leaves a stone behind.
fn present(message: Value) -> Option<Value> {
    (text(&message, "subtype").as_deref() != Some("tombstone")).then_some(message)
}

fn with_ts<'a>(answer: &'a Value, ts: &str) -> Option<&'a Value> {
    array(answer, "messages").iter().find(|message| message["ts"].as_str() == Some(ts))
}

/// The next page; empty at the end.
pub(super) fn next_cursor(answer: &Value) -> String {
    text(&answer["response_metadata"], "next_cursor").unwrap_or_default()
}

pub(super) fn gone(channel: &str, ts: &str) -> Record {
    debug_assert!(is_id(channel), "{MESSAGE} of no channel");
    Record { key: key(channel, ts), version: None, body: None, url: None, edits: Vec::new() }
}
