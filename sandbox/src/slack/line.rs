//! Socket Mode: URLs that are good once, envelopes that come again until their receipt is there, and a goodbye before the end.
//!
//! The frames are made here; the server, or a test, carries them. (Vendor sheet section 11, 2026-11-23.)

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::model::{Token, Way};
use super::{Answer, Slack, no};
use crate::world::Context;

/// The app-level token that every sandbox accepts.
pub const TOKEN: &str = "xapp-sandbox";
/// How long a receipt may take.
const PATIENCE: TimeDelta = TimeDelta::seconds(3);
const MOST_LINES: usize = 10;

#[derive(Clone)]
pub(super) struct Envelope {
    id: String,
    kind: &'static str,
    payload: Value,
    attempt: u32,
    first: DateTime<Utc>,
}

#[derive(Clone, Default)]
pub(super) struct Line {
    frames: VecDeque<String>,
    /// Sent, and without a receipt.
    open: BTreeMap<String, (Envelope, DateTime<Utc>)>,
}

impl Slack {
    pub(super) fn open_line(&mut self, token: &Token, cx: &mut Context<'_>) -> Answer {
        if !token.app {
            return no("not_allowed_token_type");
        }
        token.need("connections:write")?;
        // An app whose way nobody has chosen takes its first line for the choice.
        if !matches!(self.way.get_or_insert(Way::Socket), Way::Socket) {
            return no("socket_mode_not_enabled");
        }
        if self.lines.len() >= MOST_LINES {
            return no("too_many_websockets");
        }
        let ticket = cx.rng.uuid();
        self.tickets.insert(ticket.clone());
        let host = cx.base.trim_end_matches("/api").replacen("http", "ws", 1);
        Ok(json!({ "url": format!("{host}/link/?ticket={ticket}&app_id={}", self.app_id) }))
    }

    /// The line of a URL that was handed out, if it was not used before.
    pub fn line_opened(&mut self, query: &str) -> Option<u64> {
        let ticket = query.split('&').find_map(|pair| pair.strip_prefix("ticket="))?;
        if !self.tickets.remove(ticket) {
            return None;
        }
        self.last_line += 1;
        let mut line = Line::default();
        let hello = json!({
            "type": "hello", "num_connections": self.lines.len() + 1, "connection_info": { "app_id": self.app_id },
            "debug_info": { "host": "sandbox", "started": "2026-11-23 08:00:00.000", "build_number": 1, "approximate_connection_time": 18060 },
        });
        line.frames.push_back(hello.to_string());
        self.lines.insert(self.last_line, line);
        Some(self.last_line)
    }

    /// What goes out over a line now. `None`: it has ended.
    pub fn line_frames(&mut self, line: u64, cx: &Context<'_>) -> Option<Vec<String>> {
        let now = cx.now;
        let this = self.lines.get_mut(&line)?;
        let late: Vec<String> =
            this.open.iter().filter(|(_, (_, sent))| *sent + PATIENCE <= now).map(|(id, _)| id.clone()).collect();
        for id in late {
            // As with HTTP: three more, then it is given up. Somebody who typed a command has seen an error.
            if let Some((mut envelope, _)) = this.open.remove(&id)
                && envelope.attempt < 3
                && envelope.kind == "events_api"
            {
                envelope.attempt += 1;
                self.waiting.push_back(envelope);
            }
        }
        while let Some(envelope) = self.waiting.pop_front() {
            let frame = json!({
                "envelope_id": envelope.id, "payload": envelope.payload, "type": envelope.kind,
                "accepts_response_payload": envelope.kind != "events_api", "retry_attempt": envelope.attempt,
                "retry_reason": if envelope.attempt == 0 { "" } else { "timeout" },
            });
            this.frames.push_back(frame.to_string());
            this.open.insert(envelope.id.clone(), (envelope, now));
        }
        Some(this.frames.drain(..).collect())
    }

    /// The app says something: a receipt, perhaps with the answer to a command.
    pub fn line_heard(&mut self, line: u64, text: &str, cx: &mut Context<'_>) {
        let said: Value = serde_json::from_str(text).unwrap_or_default();
        let id = said["envelope_id"].as_str().unwrap_or_default();
        let Some((envelope, _)) = self.lines.get_mut(&line).and_then(|line| line.open.remove(id)) else { return };
        if envelope.kind == "slash_commands" {
            let trigger = envelope.payload["trigger_id"].as_str().unwrap_or_default().to_owned();
            let took = (cx.now - envelope.first).to_std().unwrap_or_default();
            let body = said.get("payload").map(Value::to_string).unwrap_or_default();
            let good = took < Duration::from_secs(3);
            self.show_reply(&trigger, good.then_some(body.as_bytes()), took, cx);
        }
    }

    /// The line is gone; what had no receipt goes out over the next.
    pub fn line_closed(&mut self, line: u64) {
        if let Some(line) = self.lines.remove(&line) {
            self.waiting.extend(
                line.open.into_values().map(|(envelope, _)| Envelope { attempt: envelope.attempt + 1, ..envelope }),
            );
        }
    }

    /// Slack is about to refresh every line: it says so, and then hangs up.
    pub fn refresh_lines(&mut self) {
        for line in self.lines.values_mut() {
            let frame =
                json!({ "type": "disconnect", "reason": "refresh_requested", "debug_info": { "host": "sandbox" } });
            line.frames.push_back(frame.to_string());
        }
    }

    pub(super) fn over_line(&mut self, kind: &'static str, payload: Value, cx: &mut Context<'_>) {
        self.waiting.push_back(Envelope { id: cx.rng.uuid(), kind, payload, attempt: 0, first: cx.now });
    }
}
