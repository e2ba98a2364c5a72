//! Receiving: an event names a note and brings nothing of it, so the note is fetched.
//!
//! Facts (Standard Webhooks, and implementers' notes of Granola's; read 2026-11-23): `webhook-id`, `webhook-timestamp` in unix
//! seconds, `webhook-signature` with one or several `v1,BASE64` apart by spaces, of which one must match; HMAC-SHA256 over
//! `id.timestamp.body`, the key being what stands in base64 behind `whsec_`. Sent again for four days unless we answer 4xx.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::Granola;
use super::types::{NOTE, is_id};
use crate::fault::Refusal;
use crate::json::text;
use crate::signature::sha256_base64;
use crate::{Delivery, Key, Request, Source, Webhook};

/// How far a delivery's time may be from ours, in seconds.
const TOLERANCE: i64 = 300;

impl Webhook for Granola {
    fn open(&self, raw: Request<'_>, now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        let header = |name: &str| raw.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let made = self.bound().endpoint.map(|endpoint| endpoint.secret);
        let given = self.webhook_secret.as_ref().map(ExposeSecret::expose_secret);
        let keys: Vec<Vec<u8>> = given.into_iter().chain(made.as_deref()).map(key).collect();
        if keys.is_empty() {
            return Err(Refusal::NotReady("no webhook secret is known yet"));
        }
        let id = header("webhook-id").ok_or(Refusal::Forged("no webhook-id"))?;
        let stamp = header("webhook-timestamp").ok_or(Refusal::Forged("no webhook-timestamp"))?;
        let claimed = header("webhook-signature").ok_or(Refusal::Forged("no webhook-signature"))?;
        let parts: [&[u8]; 5] = [id.as_bytes(), b".", stamp.as_bytes(), b".", raw.body];
        let claims = || claimed.split_ascii_whitespace().filter_map(|one| one.strip_prefix("v1,"));
        if !keys.iter().any(|key| claims().any(|claim| sha256_base64(key, &parts, claim))) {
            return Err(Refusal::Forged("webhook-signature does not match"));
        }
        let signed_at: i64 = stamp.parse().map_err(|_| Refusal::Forged("webhook-timestamp is no number"))?;
        let age_seconds = now.timestamp().saturating_sub(signed_at);
        if age_seconds.saturating_abs() > TOLERANCE {
            return Err(Refusal::Stale { age_seconds });
        }
        let event: Value = serde_json::from_slice(raw.body).map_err(|error| {
            Refusal::Malformed(format!("not JSON at line {} column {}", error.line(), error.column()))
        })?;
        let kind = event["event_type"].as_str().ok_or_else(|| Refusal::Malformed("no event_type in it".into()))?;
        let mut delivery =
            Delivery { id: text(&event, "event_id").unwrap_or_else(|| id.to_owned()), ..Delivery::default() };
        // Whatever befell a note, a look at it tells; of what is no note there is nothing to look at.
        if !kind.starts_with("note.") {
            return Ok(delivery);
        }
        let note = text(&event, "note_id").filter(|note| is_id(note, "not_"));
        let note = note.ok_or_else(|| Refusal::Malformed("no note_id in it".into()))?;
        delivery.fetch.push(Key::new(NOTE, note));
        if kind == "note.access_granted" {
            // It may not be summarised yet. Then the stream's position remembers that it is awaited.
            delivery.pull.extend(self.streams().into_iter().next().map(|stream| stream.name));
        }
        Ok(delivery)
    }
}

/// The bytes that sign. A secret that is no base64 is taken as it is.
fn key(secret: &str) -> Vec<u8> {
    let secret = secret.trim();
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    STANDARD.decode(encoded).unwrap_or_else(|_| secret.as_bytes().to_vec())
}
