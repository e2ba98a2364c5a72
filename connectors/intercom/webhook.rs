//! Receiving: a notification names what changed; the whole of it is fetched, because the item holds only the part that
//! triggered it.
//!
//! Facts (Intercom docs, "Webhook notifications" and "Signed notifications", read 2026-11-23): HMAC-SHA1 of the raw body
//! with the app's client secret in `X-Hub-Signature`; no timestamp, so a replay is met by comparing values. All
//! workspaces that installed the app share one URL, told apart by `app_id`.

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::Intercom;
use super::types::{COMPANY, CONTACT, CONVERSATION, gone, id};
use crate::fault::Refusal;
use crate::signature::sha1_hex;
use crate::{Delivery, Key, Request, Webhook};

impl Webhook for Intercom {
    fn open(&self, raw: Request<'_>, _now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        let header = |name: &str| raw.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let secret = self.webhook_secret.as_ref().ok_or(Refusal::NotReady("webhook_secret is not set"))?;
        let signature = header("x-hub-signature").ok_or(Refusal::Forged("no X-Hub-Signature"))?;
        let claimed = signature.strip_prefix("sha1=").ok_or(Refusal::Forged("X-Hub-Signature is not sha1=…"))?;
        if !sha1_hex(secret.expose_secret().as_bytes(), raw.body, claimed) {
            return Err(Refusal::Forged("X-Hub-Signature does not match"));
        }
        let kind = header("content-type").unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") && !kind.to_ascii_lowercase().ends_with("+json") {
            return Err(Refusal::ContentType);
        }
        let envelope: Value = serde_json::from_slice(raw.body).map_err(|error| {
            Refusal::Malformed(format!("not JSON at line {} column {}", error.line(), error.column()))
        })?;
        let topic = envelope["topic"].as_str().ok_or_else(|| Refusal::Malformed("no topic in it".into()))?;
        // The signature stands in for an id that is missing: it too is the same on a repeat.
        let mut delivery = Delivery {
            id: envelope["id"].as_str().filter(|id| !id.is_empty()).unwrap_or(claimed).to_owned(),
            ..Delivery::default()
        };
        if self.is_foreign(&envelope) {
            // Its ids may not be ours; a look at our own workspace harms nobody, and misses nothing if it was ours.
            if topic.starts_with(CONVERSATION) {
                delivery.pull.push(super::CONVERSATIONS.into());
            }
            return Ok(delivery);
        }
        let collection = match topic.split('.').next() {
            Some("conversation" | "conversation_part") => CONVERSATION,
            Some("company") => COMPANY,
            Some("contact") => CONTACT,
            _ => return Ok(delivery),
        };
        let item = &envelope["data"]["item"];
        if !item.is_object() {
            return Err(Refusal::Malformed("no item in it".into()));
        }
        match (named(collection, item), topic.ends_with(".deleted")) {
            (Some(id), true) => delivery.records.push(gone(collection, &id)),
            (Some(id), false) => delivery.fetch.push(Key::new(collection, id)),
            (None, _) if collection == CONVERSATION => delivery.pull.push(super::CONVERSATIONS.into()),
            (None, _) => {}
        }
        Ok(delivery)
    }
}

impl Intercom {
    fn is_foreign(&self, envelope: &Value) -> bool {
        let (ours, theirs) = (self.bound().app_id, id(&envelope["app_id"]));
        matches!((ours, theirs), (Some(ours), Some(theirs)) if ours != theirs)
    }
}

/// The id of the conversation, company or contact that an item is, or belongs to.
fn named(collection: &str, item: &Value) -> Option<String> {
    let itself = item["type"].as_str().is_none_or(|kind| kind == collection);
    id(&item[format!("{collection}_id")])
        .filter(|_| collection != COMPANY)
        .or_else(|| id(&item[collection]["id"]))
        .or_else(|| id(&item["id"]).filter(|_| itself))
}
