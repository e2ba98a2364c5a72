//! Notion's webhooks: a handshake that brings the secret, then signed notices of what changed, without values. (Notion
//! "webhooks", read 2026-11-23.)
//!
//! The law: the one request that is taken unsigned is a handshake while no secret is configured, and it does nothing but tell
//! a person. Somebody else's token, pasted into Notion, would not be accepted there.

use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::Notion;
use super::binding::{Binding, Table};
use super::source::MODIFIED;
use super::types::{array, text, uuid};
use crate::{Delivery, Key, Refusal, Request, Webhook, signature};

impl Webhook for Notion {
    fn open(&self, raw: Request<'_>, _now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        let claimed = raw.headers.get("x-notion-signature").and_then(|value| value.to_str().ok()).map(digest);
        let Some(secret) = &self.webhook_secret else { return handshake(raw.body, claimed) };
        let Some(claimed) = claimed else { return Err(Refusal::Forged("no X-Notion-Signature")) };
        if !signature::sha256_hex(secret.expose_secret().trim().as_bytes(), raw.body, claimed) {
            return Err(Refusal::Forged("X-Notion-Signature does not match"));
        }
        let event = parse(raw.body)?;
        if event.get("verification_token").is_some() {
            // The handshake of our own subscription again.
            return Ok(Delivery { id: "handshake".into(), ..Delivery::default() });
        }
        let (fetch, pull) = self.news(&event);
        Ok(Delivery { id: text(&event, "id").unwrap_or_default(), fetch, pull, ..Delivery::default() })
    }
}

fn digest(header: &str) -> &str {
    let header = header.trim();
    header.strip_prefix("sha256=").unwrap_or(header)
}

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::Malformed(format!("no JSON at column {}", error.column())))?;
    if value.is_object() { Ok(value) } else { Err(Refusal::Malformed("no JSON object".into())) }
}

/// The first request of a subscription: the token that is the secret of all that follow.
fn handshake(body: &[u8], claimed: Option<&str>) -> Result<Delivery, Refusal> {
    let token = parse(body)?.get("verification_token").and_then(Value::as_str).map(|token| token.trim().to_owned());
    let is_token = |token: &String| {
        !token.is_empty() && token.len() <= 200 && token.chars().all(|letter| letter.is_ascii_graphic())
    };
    let Some(token) = token.filter(is_token) else {
        return Err(Refusal::NotReady("no webhook_secret is configured"));
    };
    if claimed.is_some_and(|claimed| !signature::sha256_hex(token.as_bytes(), body, claimed)) {
        return Err(Refusal::Forged("X-Notion-Signature does not match the token"));
    }
    let notice = format!(
        "Notion asks to verify a webhook: paste {token} into Verify subscription in the integration's Webhooks tab, and configure it as webhook_secret of this connection"
    );
    Ok(Delivery { id: "handshake".into(), notice: Some(notice), ..Delivery::default() })
}

impl Notion {
    /// What to fetch, and what to pull.
    fn news(&self, event: &Value) -> (Vec<Key>, Vec<String>) {
        let kind = text(event, "type").unwrap_or_default();
        let entity = event.get("entity").unwrap_or(&Value::Null);
        let binding = self.binding();
        let nothing = (Vec::new(), Vec::new());
        if kind.starts_with("data_source.") || kind.starts_with("database.") {
            if kind != "data_source.content_updated" && kind != "database.content_updated" {
                self.schema_moved.store(true, Ordering::Relaxed);
            }
            return nothing;
        }
        // The page's text is none of ours.
        if !kind.starts_with("page.") || kind == "page.content_updated" || kind.starts_with("page.transcription") {
            return nothing;
        }
        // What we did ourselves; mixed with others' doings, they are named as well.
        let authors = array(event, "authors");
        let ours =
            |author: &Value| binding.me.is_some() && text(author, "id").as_deref().and_then(uuid) == me(&binding);
        if !authors.is_empty() && authors.iter().all(ours) && kind != "page.deleted" && kind != "page.moved" {
            return nothing;
        }
        let Some(id) = text(entity, "id").as_deref().and_then(uuid) else { return nothing };
        let parent = event.get("data").and_then(|data| data.get("parent")).unwrap_or(&Value::Null);
        let source = text(parent, "data_source_id").as_deref().and_then(uuid);
        let database = text(parent, "id").as_deref().and_then(uuid);
        let is_of = |table: &Table| match &source {
            Some(source) => table.id == *source,
            None => database.is_some() && (database.as_ref() == Some(&table.id) || database == table.database),
        };
        let mut tables = binding.tables.iter().filter(|(_, table)| !table.gone);
        match tables.clone().find(|(_, table)| is_of(table)) {
            Some((collection, _)) => (vec![Key::new(collection, id)], Vec::new()),
            // It may have left one of our tables: a look at the page tells.
            None if kind == "page.moved" => {
                (tables.by_ref().map(|(collection, _)| Key::new(collection, &id)).collect(), Vec::new())
            }
            // It says too little: the poll tells.
            None if source.is_none() && database.is_none() => {
                self.look_now.store(true, Ordering::Relaxed);
                (Vec::new(), vec![MODIFIED.into()])
            }
            None => nothing,
        }
    }
}

fn me(binding: &Binding) -> Option<String> {
    binding.me.as_deref().and_then(uuid)
}
