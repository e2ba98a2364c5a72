//! Socket Mode: a line that we open, for those who cannot be reached from outside.
//!
//! Facts (docs.slack.dev, "Using Socket Mode", @slack/socket-mode, read 2026-11-23): `apps.connections.open` gives a URL that is good once;
//! the first frame is `hello`; envelopes `{envelope_id, type, payload}` want `{envelope_id, payload?}` back within three seconds, or come
//! again; `disconnect` asks for another line. There is no signature: whoever holds the line is Slack.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::Slack;
use super::command::form_of;
use super::sweep::BRIDGED;
use crate::fault::{Fault, Refusal};
use crate::http::{Broken, Wire};
use crate::json::text;
use crate::{Delivery, Frame, Listener};

impl Slack {
    /// For so long that Slack does not tell again what it could not. Then the sweep is the only way in.
    pub(super) fn has_lost_its_line(&self) -> bool {
        let down = *self.line_down.lock().unwrap_or_else(PoisonError::into_inner);
        down.is_some_and(|since| self.ago(Some(since)) > BRIDGED)
    }

    async fn open_line(&self) -> Result<Box<dyn Wire>, Fault> {
        let url = self.client.line().await?;
        self.client.transport().dial(&url).await.map_err(|broken| match broken {
            Broken::NotSent(_) => Fault::later(broken.to_string()),
            broken => Fault::unknown(broken.to_string()),
        })
    }
}

#[async_trait]
impl Listener for Slack {
    async fn dial(&self) -> Result<Box<dyn Wire>, Fault> {
        let line = self.open_line().await;
        let mut down = self.line_down.lock().unwrap_or_else(PoisonError::into_inner);
        match &line {
            // What was missed on the way back is looked for once more.
            Ok(_) => {
                if down.take().is_some_and(|since| self.ago(Some(since)) > BRIDGED) {
                    self.gap.store(true, Ordering::Relaxed);
                }
            }
            // It was not tried, or a moment later it may be.
            Err(Fault::Later { after: Some(_), .. }) => {}
            Err(_) => {
                down.get_or_insert(self.client.clock().now().timestamp());
            }
        }
        line
    }

    fn read(&self, frame: &str, now: DateTime<Utc>) -> Result<Frame, Refusal> {
        let frame: Value = serde_json::from_str(frame).map_err(|error| {
            Refusal::Malformed(format!("a frame that is not JSON at line {} column {}", error.line(), error.column()))
        })?;
        let kind = text(&frame, "type").unwrap_or_default();
        if kind == "disconnect" {
            return Ok(Frame::Over(text(&frame, "reason").unwrap_or_else(|| "no reason given".into())));
        }
        let Some(ticket) = text(&frame, "envelope_id") else { return Ok(Frame::Nothing) };
        let payload = &frame["payload"];
        let delivery = match kind.as_str() {
            "events_api" => self.envelope(payload, &ticket)?,
            "slash_commands" => self.command(&form_of(payload), now, &ticket)?,
            // Interactions, and what Slack may think of next: they want their receipt.
            _ => Delivery { id: ticket.clone(), ..Delivery::default() },
        };
        Ok(Frame::Delivery { ticket, delivery: Box::new(delivery) })
    }

    fn receipt(&self, ticket: &str, reply: Option<&str>) -> String {
        let mut receipt = json!({ "envelope_id": ticket });
        if let Some(payload) = reply.and_then(|reply| serde_json::from_str::<Value>(reply).ok()) {
            receipt["payload"] = payload;
        }
        receipt.to_string()
    }
}
