//! Answering: in the thread of the message, to whoever typed the command as a direct message, or as a note in the team's own channel.
//!
//! Slack has no idempotency key, and its own client is known to post twice after a timeout. So our id is in the message's metadata
//! (`event_payload.id`), and by it [`Messenger::find`] looks through the thread. Where metadata is not given back, our own message of
//! the very same text is it. A text beyond 4,000 characters comes in several messages, of which only those that are missing are posted.
//! (docs.slack.dev, "chat.postMessage", "Message metadata", read 2026-11-23.)

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::capture::next_cursor;
use super::client::Told;
use super::text::{mrkdwn, pieces};
use super::{Args, COMMAND, MESSAGE, Slack, is_id, place};
use crate::fault::Fault;
use crate::json::{array, text};
use crate::{Message, MessageKind, Messenger, Sent};

const EVENT: &str = "loopd_message";
/// Slack cuts at 40,000 and advises 4,000; with what is added to a piece.
const MOST: usize = 3_900;
/// Pages of a thread or of a channel that are looked through.
const MOST_PAGES: usize = 20;
const CONTINUED: &str = "\n_(continued in the next message)_";

/// Where a message goes.
struct Place {
    channel: String,
    thread: Option<String>,
}

/// What of a message is there already: part numbers from 1, and their time stamps.
type Parts = BTreeMap<u64, String>;

#[async_trait]
impl Messenger for Slack {
    async fn send(&self, message: &Message) -> Result<Sent, Fault> {
        let place = self.place_of(message).await?;
        let texts = self.texts(message);
        // Of several, some may have been posted by an attempt that was cut short.
        let mut there = if texts.len() > 1 { self.parts(message, &place, &texts).await? } else { Parts::new() };
        for (part, piece) in (1..).zip(&texts) {
            if there.contains_key(&part) {
                continue;
            }
            let mut body = json!({
                "channel": place.channel,
                "text": piece,
                "unfurl_links": false,
                "unfurl_media": false,
                "metadata": metadata(&message.id, part, texts.len()),
            });
            if let Some(thread) = &place.thread {
                body["thread_ts"] = json!(thread);
            }
            let answer = self.client.write("chat.postMessage", body).await?.or_fault()?;
            // Sent it is; an answer that does not say where costs only the link.
            there.insert(part, text(&answer, "ts").unwrap_or_default());
        }
        Ok(self.sent(&place, &there))
    }

    async fn find(&self, message: &Message) -> Result<Option<Sent>, Fault> {
        let place = self.place_of(message).await?;
        let texts = self.texts(message);
        let there = self.parts(message, &place, &texts).await?;
        Ok((there.len() >= texts.len()).then(|| self.sent(&place, &there)))
    }

    fn updates(&self) -> bool {
        true
    }

    /// Only what stands in one message: of several, each would have to be found first, and some be deleted.
    async fn update(&self, message: &Message, sent: &str) -> Result<(), Fault> {
        let (channel, ts) = place(sent)
            .ok_or_else(|| Fault::rejected("Slack did not say where the message stands; change it there by hand"))?;
        let texts = self.texts(message);
        let [text] = texts.as_slice() else {
            return Err(Fault::rejected(format!("its new words are longer than one message of {MOST} characters")));
        };
        let mut body = json!({ "channel": channel, "ts": ts, "text": text });
        // What is not said again of the metadata is gone, and with it the mark by which the message is found.
        body["metadata"] = metadata(&message.id, 1, 1);
        match self.client.write("chat.update", body).await {
            Ok(Told::Here(_)) => Ok(()),
            Ok(Told::Not(refusal)) => Err(match refusal.code.as_str() {
                "message_not_found" => Fault::rejected("the message is gone: somebody deleted it in Slack"),
                "edit_window_closed" | "cant_update_message" => {
                    Fault::rejected(format!("{}: the workspace's settings do not let it be changed", refusal.code))
                }
                _ => refusal.fault(),
            }),
            // The same words again are no harm.
            Err(Fault::Unknown { why }) => Err(Fault::Later { after: None, why }),
            Err(fault) => Err(fault),
        }
    }
}

/// By which a message of ours is known.
fn metadata(id: &str, part: u64, parts: usize) -> Value {
    json!({ "event_type": EVENT, "event_payload": { "id": id, "part": part, "parts": parts } })
}

impl Slack {
    fn texts(&self, message: &Message) -> Vec<String> {
        let mut body = mrkdwn(&message.body);
        if message.kind == MessageKind::Note
            && let Some(link) = place(&message.to.id).and_then(|(channel, ts)| self.link(channel, ts, None))
        {
            body = format!("{body}\n<{link}|what it is about>");
        }
        let mut texts = pieces(&body, MOST);
        let last = texts.len() - 1;
        for piece in &mut texts[..last] {
            piece.push_str(CONTINUED);
        }
        texts
    }

    fn sent(&self, place: &Place, parts: &Parts) -> Sent {
        let ts = parts.first_key_value().map(|(_, ts)| ts.clone()).filter(|ts| !ts.is_empty());
        let url = ts.as_ref().and_then(|ts| self.link(&place.channel, ts, place.thread.as_deref()));
        Sent { id: format!("{}:{}", place.channel, ts.unwrap_or_default()), url }
    }

    async fn place_of(&self, message: &Message) -> Result<Place, Fault> {
        let to = &message.to;
        if message.kind == MessageKind::Note {
            let channel = self.settings.notes_channel.clone().ok_or_else(|| {
                Fault::rejected(
                    "notes_channel: Slack has no notes beside a thread; name the team's own channel for them",
                )
            })?;
            return Ok(Place { channel, thread: None });
        }
        match to.collection.as_str() {
            MESSAGE => {
                let (channel, ts) = place(&to.id).ok_or_else(|| Fault::rejected(format!("{} is no message", to.id)))?;
                let root = self.root(channel, ts).await?;
                Ok(Place { channel: channel.to_owned(), thread: Some(root) })
            }
            COMMAND => {
                let user = to.id.split(':').next().filter(|user| is_id(user));
                let user = user.ok_or_else(|| Fault::rejected(format!("{} is no command", to.id)))?;
                Ok(Place { channel: self.direct(user).await?, thread: None })
            }
            other => Err(Fault::rejected(format!("Slack has no {other} that could be answered"))),
        }
    }

    /// The message below which the answer goes: a reply's own time stamp names no thread.
    async fn root(&self, channel: &str, ts: &str) -> Result<String, Fault> {
        let id = format!("{channel}:{ts}");
        if let Some(Some(known)) = self.roots.get(self.client.clock(), &id) {
            return Ok(known.as_str().unwrap_or(ts).to_owned());
        }
        let args = [("channel", channel), ("ts", ts), ("limit", "1"), ("inclusive", "true")];
        let root = match self.client.told("conversations.replies", &args).await? {
            Told::Here(answer) => {
                let first = array(&answer, "messages").first().cloned().unwrap_or_default();
                text(&first, "thread_ts").unwrap_or_else(|| ts.to_owned())
            }
            Told::Not(refusal) if matches!(refusal.code.as_str(), "thread_not_found" | "message_not_found") => {
                return Err(Fault::rejected("the message is gone: there is no thread to answer in"));
            }
            Told::Not(refusal) => return Err(refusal.fault()),
        };
        self.roots.put(self.client.clock(), &id, Some(json!(root)));
        Ok(root)
    }

    /// The conversation with one person.
    async fn direct(&self, user: &str) -> Result<String, Fault> {
        if let Some(Some(known)) = self.roots.get(self.client.clock(), user) {
            return Ok(known.as_str().unwrap_or_default().to_owned());
        }
        // It opens what is open already: a read, for all that matters here.
        let answer = self.client.told("conversations.open", &[("users", user)]).await?.or_fault()?;
        let channel =
            text(&answer["channel"], "id").ok_or_else(|| Fault::unknown("conversations.open gave no channel"))?;
        self.roots.put(self.client.clock(), user, Some(json!(channel)));
        Ok(channel)
    }

    /// Looks through the thread, or what is newest in the channel, for the parts of a message.
    async fn parts(&self, message: &Message, place: &Place, texts: &[String]) -> Result<Parts, Fault> {
        let clock = self.client.clock();
        // At one request a minute each attempt gets one page further.
        let (mut cursor, mut parts) = self.searches.take(clock, &message.id).unwrap_or_default();
        for _ in 0..MOST_PAGES {
            let mut args: Args<'_> =
                [("channel", place.channel.as_str()), ("include_all_metadata", "true"), ("limit", self.client.page())]
                    .into();
            let method = match &place.thread {
                Some(thread) => {
                    args.insert("ts", thread);
                    "conversations.replies"
                }
                None => "conversations.history",
            };
            if !cursor.is_empty() {
                args.insert("cursor", &cursor);
            }
            let args: Vec<(&'static str, &str)> = args.into_iter().collect();
            let answer = match self.client.told(method, &args).await {
                Ok(Told::Here(answer)) => answer,
                Ok(Told::Not(refusal)) if refusal.code == "thread_not_found" => return Ok(parts),
                Ok(Told::Not(refusal)) => return Err(refusal.fault()),
                Err(fault) => {
                    self.searches.put(clock, &message.id, (cursor, parts));
                    return Err(fault);
                }
            };
            for posted in array(&answer, "messages") {
                if let (Some(part), Some(ts)) = (self.part(posted, &message.id, texts), text(posted, "ts")) {
                    // Should it stand there twice, the first is it.
                    let first = parts.entry(part).or_insert_with(|| ts.clone());
                    if ts < *first {
                        *first = ts;
                    }
                }
            }
            cursor = next_cursor(&answer);
            if cursor.is_empty() || parts.len() >= texts.len() {
                break;
            }
        }
        Ok(parts)
    }

    /// Which part of our message this is, if it is one.
    fn part(&self, posted: &Value, id: &str, texts: &[String]) -> Option<u64> {
        let payload = &posted["metadata"]["event_payload"];
        match text(payload, "id") {
            Some(of) => (of == id).then(|| payload["part"].as_u64().unwrap_or(1)),
            None => {
                let ours = self.is_us(text(posted, "user").as_deref(), text(posted, "bot_id").as_deref());
                let said = text(posted, "text").filter(|_| ours)?;
                (1..).zip(texts).find(|(_, piece)| piece.trim() == said.trim()).map(|(part, _)| part)
            }
        }
    }
}
