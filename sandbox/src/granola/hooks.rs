//! `/v1/webhook-endpoints`, and what is sent to them.
//!
//! The secret is told once. A delivery that gets 408, 429, a 5xx or no answer within 15 seconds is tried again at growing
//! distances for four days, after which its endpoint is switched off; any other answer but 2xx ends it. What happens while an
//! endpoint is off is never told it. (Implementers' notes, read 2026-11-23.) Loopback addresses are let through where the
//! vendor wants public HTTPS: here every subscriber is on one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::TimeDelta;
use hmac::{Hmac, Mac};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::errors::{Answer, bad, forbidden, missing, ok};
use super::model::{Endpoint, stamp};
use super::{ALPHABET, Granola};
use crate::wire;
use crate::world::{Context, Outgoing, Vendor};

const EVENTS: [&str; 3] = ["note.generated", "note.edited", "note.access_granted"];
const MOST_FOLDERS: usize = 100;

type Refused = Response<Bytes>;

impl Granola {
    pub(super) fn list_endpoints(&self) -> Answer {
        ok(&json!({"webhook_endpoints": self.endpoints.iter().map(Endpoint::show).collect::<Vec<_>>()}))
    }

    pub(super) fn create_endpoint(&mut self, body: &Map<String, Value>, cx: &mut Context<'_>) -> Answer {
        let endpoint = Endpoint {
            id: format!("whe_{}", cx.rng.text(ALPHABET, 14)),
            url: url(body.get("url"))?,
            scopes: self.scopes(body.get("scopes"))?,
            events: match body.get("events") {
                None => EVENTS.map(str::to_owned).to_vec(),
                some => list("events", some, &EVENTS)?,
            },
            folders: match body.get("folder_ids") {
                None => Vec::new(),
                some => self.folder_ids(some, 1)?,
            },
            enabled: true,
            secret: format!("whsec_{}", STANDARD.encode(cx.rng.text(ALPHABET, 32))),
            created_at: cx.now,
            failing_since: None,
        };
        let mut shown = endpoint.show();
        shown["signing_secret"] = endpoint.secret.as_str().into();
        self.endpoints.push(endpoint);
        Ok(wire::json(StatusCode::CREATED, &shown))
    }

    pub(super) fn update_endpoint(&mut self, id: &str, body: &Map<String, Value>) -> Answer {
        let at = self.endpoints.iter().position(|endpoint| endpoint.id == id).ok_or_else(missing)?;
        let mut endpoint = self.endpoints.get(at).cloned().ok_or_else(missing)?;
        for (key, value) in body {
            let some = Some(value);
            match key.as_str() {
                "url" => endpoint.url = url(some)?,
                "scopes" => endpoint.scopes = self.scopes(some)?,
                "events" => endpoint.events = list("events", some, &EVENTS)?,
                "folder_ids" => endpoint.folders = self.folder_ids(some, 0)?,
                "enabled" => {
                    endpoint.enabled = value.as_bool().ok_or_else(|| bad("enabled must be a boolean"))?;
                    endpoint.failing_since = None;
                }
                other => return Err(bad(&format!("{other} cannot be changed"))),
            }
        }
        let shown = endpoint.show();
        self.endpoints[at] = endpoint;
        ok(&shown)
    }

    pub(super) fn delete_endpoint(&mut self, id: &str) -> Answer {
        let at = self.endpoints.iter().position(|endpoint| endpoint.id == id).ok_or_else(missing)?;
        self.endpoints.remove(at);
        ok(&json!({"id": id, "object": "webhook_endpoint", "deleted": true}))
    }

    /// What the key may hear of: a workspace's key names the workspace and nothing else.
    fn scopes(&self, value: Option<&Value>) -> Result<Vec<String>, Refused> {
        let scopes = list("scopes", value, &["personal", "public", "workspace"])?;
        let workspace = self.key_scopes.iter().any(|scope| scope == "workspace");
        if workspace != scopes.iter().any(|scope| scope == "workspace") || (workspace && scopes.len() > 1) {
            return Err(bad("scopes: a workspace key takes exactly [\"workspace\"], others take personal and public"));
        }
        if scopes.iter().any(|scope| !self.key_scopes.contains(scope)) {
            return Err(forbidden());
        }
        Ok(scopes)
    }

    fn folder_ids(&self, value: Option<&Value>, least: usize) -> Result<Vec<String>, Refused> {
        let ids: Vec<&str> = self.folders.keys().map(String::as_str).collect();
        let folders = value.and_then(Value::as_array).ok_or_else(|| bad("folder_ids must be an array"))?;
        if !(least..=MOST_FOLDERS).contains(&folders.len()) {
            return Err(bad("folder_ids must hold 1 to 100 ids"));
        }
        if folders.is_empty() { Ok(Vec::new()) } else { list("folder_ids", value, &ids) }
    }

    /// Tells every endpoint that wants to hear it.
    pub(super) fn fire(&self, event: &str, note: &str, cx: &mut Context<'_>) {
        let folders = self.notes.get(note).map(|note| note.folders.clone()).unwrap_or_default();
        let mut body = json!({
            "event_id": cx.rng.uuid(), "event_type": event, "note_id": note, "occurred_at": stamp(cx.now),
        });
        if event == "note.edited" {
            body["data"] = json!({"changed_fields": ["summary"]});
        }
        let body = body.to_string();
        let wanted = |endpoint: &&Endpoint| {
            let here = endpoint.folders.is_empty()
                || folders.iter().any(|folder| endpoint.folders.iter().any(|top| self.is_below(folder, top)));
            endpoint.enabled && here && endpoint.events.iter().any(|name| name == event)
        };
        for endpoint in self.endpoints.iter().filter(wanted) {
            let (id, at) = (format!("msg_{}", cx.rng.text(ALPHABET, 20)), cx.now.timestamp().to_string());
            let mut headers = HeaderMap::new();
            wire::set(&mut headers, "content-type", "application/json");
            wire::set(&mut headers, "user-agent", "Granola-Webhooks/1.0");
            wire::set(&mut headers, "x-sandbox-endpoint", &endpoint.id);
            wire::set(&mut headers, "webhook-id", &id);
            wire::set(&mut headers, "webhook-timestamp", &at);
            wire::set(&mut headers, "webhook-signature", &signed(&endpoint.secret, &format!("{id}.{at}.{body}")));
            cx.outbox.push(Outgoing::new(Vendor::Granola, endpoint.url.clone(), headers, Bytes::from(body.clone())));
        }
    }

    /// What an attempt does to its endpoint.
    pub(super) fn note_attempt(&mut self, outgoing: &Outgoing, status: Option<u16>, cx: &Context<'_>) {
        self.last_status = status;
        let id = outgoing.headers.get("x-sandbox-endpoint").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(endpoint) = self.endpoints.iter_mut().find(|endpoint| endpoint.id == id) else { return };
        if status.is_some_and(|status| (200..300).contains(&status)) {
            endpoint.failing_since = None;
            return;
        }
        let since = *endpoint.failing_since.get_or_insert(cx.now);
        endpoint.enabled &= cx.now - since < TimeDelta::days(4);
    }
}

fn url(value: Option<&Value>) -> Result<String, Refused> {
    let text = value.and_then(Value::as_str).ok_or_else(|| bad("url is required"))?;
    let url: http::Uri = text.parse().map_err(|_| bad("url is not valid"))?;
    let host = url.host().unwrap_or_default();
    let local = matches!(host, "127.0.0.1" | "localhost" | "[::1]");
    let good = !host.is_empty() && (url.scheme_str() == Some("https") || local);
    if good { Ok(text.to_owned()) } else { Err(bad("url must be a public HTTPS address")) }
}

/// A list of at least one, of what there is.
fn list(name: &str, value: Option<&Value>, known: &[&str]) -> Result<Vec<String>, Refused> {
    let items = value.and_then(Value::as_array).filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| bad(&format!("{name} must be an array of at least one")))?;
    let text = |item: &Value| item.as_str().filter(|text| known.contains(text)).map(str::to_owned);
    items.iter().map(|item| text(item).ok_or_else(|| bad(&format!("{name}: {item} is not known")))).collect()
}

/// Standard Webhooks: the key is what stands in base64 behind `whsec_`.
fn signed(secret: &str, content: &str) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap_or_default();
    // Keys of every length are taken; the error cannot come.
    let digest = Hmac::<Sha256>::new_from_slice(&key).map(|mut mac| {
        mac.update(content.as_bytes());
        mac.finalize().into_bytes()
    });
    format!("v1,{}", digest.map(|digest| STANDARD.encode(digest)).unwrap_or_default())
}
