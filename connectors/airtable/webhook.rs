//! Airtable's ping: it says that something changed, not what; the payload stream tells. (Airtable "webhooks overview",
//! read 2026-11-23.)

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::types::text;
use super::{Airtable, source};
use crate::{Delivery, Refusal, Request, Webhook, signature};

impl Webhook for Airtable {
    fn open(&self, raw: Request<'_>, _now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        let binding = self.binding();
        let secret =
            binding.hook.as_ref().and_then(|hook| hook.mac_secret.as_deref()).filter(|secret| !secret.is_empty());
        let Some(secret) = secret else {
            return Err(Refusal::NotReady("no webhook secret is known yet"));
        };
        let claimed = raw.headers.get("x-airtable-content-mac").and_then(|value| value.to_str().ok());
        let Some(claimed) = claimed else {
            return Err(Refusal::Forged("no X-Airtable-Content-MAC"));
        };
        if !is_signed(secret, raw.body, claimed) {
            return Err(Refusal::Forged("X-Airtable-Content-MAC does not match"));
        }
        let ping: Value = serde_json::from_slice(raw.body)
            .map_err(|error| Refusal::Malformed(format!("no JSON at column {}", error.column())))?;
        if !ping.is_object() {
            return Err(Refusal::Malformed("no JSON object".into()));
        }
        let hook = ping.get("webhook").and_then(|hook| text(hook, "id")).unwrap_or_default();
        let at = text(&ping, "timestamp").unwrap_or_default();
        Ok(Delivery { id: format!("{hook}:{at}"), pull: vec![source::PAYLOADS.into()], ..Delivery::default() })
    }
}

/// The key is the decoded secret. The digest is hex in Airtable's own samples; base64 has been reported, and is taken.
fn is_signed(secret: &str, body: &[u8], claimed: &str) -> bool {
    let key = STANDARD.decode(secret.trim()).unwrap_or_else(|_| secret.as_bytes().to_vec());
    let claimed = claimed.trim();
    let digest = claimed.strip_prefix("hmac-sha256=").unwrap_or(claimed);
    if signature::sha256_hex(&key, body, digest) {
        return true;
    }
    let Ok(bytes) = STANDARD.decode(digest) else { return false };
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    signature::sha256_hex(&key, body, &hex)
}
