//! Linear's webhooks: signed with the secret that Linear showed when the webhook was made, and no older than a minute.
//! (Linear "webhooks", read 2026-11-23.)

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::Linear;
use super::types::{ATTACHMENT, CUSTOMER, ISSUE, NEED, instant, record, text};
use crate::{Delivery, Key, Record, Refusal, Request, Webhook, signature};

/// How old, or how far ahead of our clock, a signed body may be.
const WINDOW_SECONDS: i64 = 60;

impl Webhook for Linear {
    fn open(&self, raw: Request<'_>, now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        let Some(secret) = &self.webhook_secret else {
            return Err(Refusal::NotReady("no webhook_secret is configured"));
        };
        let header = |name: &str| raw.headers.get(name).and_then(|value| value.to_str().ok());
        let Some(claimed) = header("linear-signature") else { return Err(Refusal::Forged("no Linear-Signature")) };
        if !signature::sha256_hex(secret.expose_secret().trim().as_bytes(), raw.body, claimed) {
            return Err(Refusal::Forged("Linear-Signature does not match"));
        }
        let event: Value = serde_json::from_slice(raw.body)
            .map_err(|error| Refusal::Malformed(format!("no JSON at column {}", error.column())))?;
        let Some(sent) = event.get("webhookTimestamp").and_then(milliseconds) else {
            return Err(Refusal::Malformed("no webhookTimestamp".into()));
        };
        let age = now.timestamp_millis() - sent;
        if age.abs() > WINDOW_SECONDS * 1000 {
            return Err(Refusal::Stale { age_seconds: age / 1000 });
        }
        let data = event.get("data").unwrap_or(&Value::Null);
        let subject = text(data, "id").unwrap_or_default();
        let id = header("linear-delivery").map_or_else(|| format!("{subject}:{sent}"), str::to_owned);
        let (records, fetch) = self.news(&event, data);
        Ok(Delivery { id, records, fetch, ..Delivery::default() })
    }
}

fn milliseconds(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a moment in milliseconds is far below 2^53")]
    let number = value.as_i64().or_else(|| value.as_f64().filter(|float| float.abs() < 9e15).map(|float| float as i64));
    // As a text: the same number, or a date.
    let spelt = || {
        let text = value.as_str()?.trim();
        let date = || DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis());
        text.parse().ok().or_else(date)
    };
    number.or_else(spelt)
}

impl Linear {
    fn news(&self, event: &Value, data: &Value) -> (Vec<Record>, Vec<Key>) {
        let kind = text(event, "type").unwrap_or_default();
        let collection = match kind.as_str() {
            "Issue" => ISSUE,
            "Attachment" => ATTACHMENT,
            "Customer" => CUSTOMER,
            "CustomerNeed" => NEED,
            _ => return Default::default(),
        };
        let Some(id) = text(data, "id") else { return Default::default() };
        if collection == ISSUE && !self.is_our_team(data) {
            return Default::default();
        }
        let key = Key::new(collection, id);
        if text(event, "action").as_deref() == Some("remove") {
            return (vec![Record { key, version: None, body: None, url: None, edits: Vec::new() }], Vec::new());
        }
        if collection == ISSUE && is_whole(data) {
            return (record(ISSUE, data, &self.settings).into_iter().collect(), Vec::new());
        }
        // Attachments and needs change with every issue that anybody touches; only their end is news.
        if matches!(collection, ATTACHMENT | NEED) { Default::default() } else { (Vec::new(), vec![key]) }
    }

    fn is_our_team(&self, data: &Value) -> bool {
        let binding = self.binding();
        let team = data.get("team").unwrap_or(&Value::Null);
        let ids = [text(data, "teamId"), text(team, "id")];
        let key = text(team, "key")
            .or_else(|| text(data, "identifier").and_then(|id| id.rsplit_once('-').map(|(key, _)| key.to_owned())));
        if binding.team_id.is_empty() {
            return key.is_none_or(|key| key.eq_ignore_ascii_case(&self.settings.team)) || self.settings.team_is_id();
        }
        match ids.into_iter().flatten().next() {
            Some(id) => id == binding.team_id,
            None => key.is_none_or(|key| key == binding.team_key),
        }
    }
}

/// Whether the event carries the whole issue, so that it need not be fetched.
fn is_whole(data: &Value) -> bool {
    let state = data.get("state").is_some_and(|state| text(state, "type").is_some());
    let labels = data.get("labels").is_some_and(|labels| {
        labels.as_array().is_some_and(|all| all.iter().all(|label| text(label, "name").is_some()))
    });
    let versioned = instant(data, "updatedAt").is_some();
    versioned && ["title", "priority", "description"].iter().all(|field| data.get(*field).is_some()) && state && labels
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_timestamp_may_be_spelt() {
        for spelt in [json!(1_000), json!(1_000.0), json!("1000"), json!(" 1000 "), json!("1970-01-01T00:00:01Z")] {
            assert_eq!(super::milliseconds(&spelt), Some(1_000), "{spelt}");
        }
        assert_eq!(super::milliseconds(&json!("soon")), None);
    }
}
