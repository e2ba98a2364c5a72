//! Webhooks: one subscription, made in Notion's settings; a handshake that brings the token, and then signed notices without
//! values. (Notion "webhooks", read 2026-11-23.)

use bytes::Bytes;
use hmac::Hmac;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use sha2::Sha256;

use super::model::Parent;
use super::{Notion, users};
use crate::wire;
use crate::world::{Context, Outgoing, Vendor};

#[derive(Clone, Default)]
pub(super) struct Hooks {
    url: Option<String>,
    token: String,
    id: String,
    verified: bool,
}

/// Something happened.
pub(super) struct Event {
    pub(super) kind: &'static str,
    pub(super) entity: (&'static str, String),
    /// Ids of changed properties.
    pub(super) properties: Vec<String>,
}

impl Event {
    pub(super) fn page(kind: &'static str, id: &str) -> Self {
        Self { kind, entity: ("page", id.to_owned()), properties: Vec::new() }
    }

    pub(super) fn source(kind: &'static str, id: &str) -> Self {
        Self { kind, entity: ("data_source", id.to_owned()), properties: Vec::new() }
    }
}

impl Notion {
    /// Somebody makes a subscription in the settings: its token comes by the handshake.
    pub(super) fn begin_hook(&mut self, url: &str, cx: &mut Context<'_>) {
        let token =
            format!("secret_{}", cx.rng.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 43));
        self.hooks = Hooks { url: Some(url.to_owned()), token, id: cx.rng.uuid(), verified: false };
        self.post(&json!({ "verification_token": self.hooks.token }), cx);
    }

    /// Somebody pastes the token; `false`: it is not the one.
    pub(super) fn end_handshake(&mut self, token: &str) -> bool {
        self.hooks.verified = self.hooks.url.is_some() && self.hooks.token == token;
        self.hooks.verified
    }

    /// A subscription that is there and verified, with a token of one's own.
    pub(super) fn set_hook(&mut self, url: &str, token: &str, cx: &mut Context<'_>) {
        self.hooks = Hooks { url: Some(url.to_owned()), token: token.to_owned(), id: cx.rng.uuid(), verified: true };
    }

    pub(super) fn tell(&mut self, event: &Event, by: &str, cx: &mut Context<'_>) {
        let (kind, id) = &event.entity;
        if !self.hooks.verified || !self.is_shared(id) {
            return;
        }
        let parent = match *kind {
            "page" => self.pages.get(id).map(|page| page.parent.clone()),
            _ => self
                .sources
                .get(id)
                .and_then(|source| self.databases.get(&source.database))
                .map(|database| database.parent.clone()),
        };
        let parent = match parent {
            Some(Parent::Source(source)) => {
                let database = self.sources.get(&source).map(|source| source.database.clone());
                json!({ "id": database, "type": "database", "data_source_id": source })
            }
            Some(Parent::Page(page)) => json!({ "id": page, "type": "page" }),
            Some(Parent::Block(block)) => json!({ "id": block, "type": "block" }),
            _ => json!({ "id": users::workspace(), "type": "space" }),
        };
        let mut data = json!({ "parent": parent });
        if event.kind == "page.properties_updated" {
            data["updated_properties"] = json!(event.properties);
        }
        let body = json!({
            "id": cx.rng.uuid(),
            "timestamp": cx.now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            "workspace_id": users::workspace(),
            "workspace_name": users::WORKSPACE_NAME,
            "subscription_id": self.hooks.id,
            "integration_id": users::BOT,
            "type": event.kind,
            "authors": [{ "id": by, "type": if by == users::BOT { "bot" } else { "person" } }],
            "attempt_number": 1,
            "api_version": "2025-09-03",
            "entity": { "id": id, "type": kind },
            "data": data,
        });
        self.post(&body, cx);
    }

    fn post(&self, body: &Value, cx: &mut Context<'_>) {
        let Some(url) = self.hooks.url.clone() else { return };
        let body = body.to_string();
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let digest = wire::hmac::<Hmac<Sha256>>(&self.hooks.token, body.as_bytes());
        wire::set(&mut headers, "x-notion-signature", &format!("sha256={digest}"));
        cx.outbox.push(Outgoing::new(Vendor::Notion, url, headers, Bytes::from(body)));
    }
}
