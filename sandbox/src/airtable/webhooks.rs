//! Webhooks: a store of payloads read by cursor, and pings that only say "look" (Airtable docs "webhooks-overview",
//! read 2026-11-23).
//!
//! Pings coalesce: while one is on its way another is not sent, but a change that came meanwhile is pinged for once the
//! first is through. A hook expires 7 days after it was made, refreshed or read; its payloads are kept 7 days.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::changes::{self, Transaction, Wanted};
use super::model::{Base, mint, stamp};
use super::refusal::{Answer, Refusal};
use crate::wire;
use crate::world::{Context, Outgoing, Vendor};

const LIFE: TimeDelta = TimeDelta::days(7);
const RETENTION: TimeDelta = TimeDelta::days(7);
const MOST_PER_BASE: usize = 10;
const PAGE: usize = 50;
/// A ping not heard of for so long is taken as lost, and no longer holds back the next.
const IN_FLIGHT: TimeDelta = TimeDelta::seconds(60);

#[derive(Clone)]
pub(super) struct Hook {
    pub(super) id: String,
    url: Option<String>,
    secret: Vec<u8>,
    specification: Value,
    expires: DateTime<Utc>,
    notify: bool,
    payloads: VecDeque<(u64, DateTime<Utc>, Value)>,
    next: u64,
    pinged: Option<DateTime<Utc>>,
    behind: bool,
    last_success: Option<DateTime<Utc>>,
    last_result: Value,
}

pub(super) fn create(base: &mut Base, body: &Map<String, Value>, cx: &mut Context<'_>) -> Answer {
    let specification = body.get("specification").cloned().unwrap_or(Value::Null);
    let filters = &specification["options"]["filters"];
    let types = filters["dataTypes"]
        .as_array()
        .ok_or_else(|| Refusal::missing("specification.options.filters.dataTypes is required"))?;
    let known = |t: &Value| matches!(t.as_str(), Some("tableData" | "tableFields" | "tableMetadata"));
    if types.is_empty() || !types.iter().all(known) {
        return Err(Refusal::malformed("specification.options.filters.dataTypes is not valid"));
    }
    if let Some(scope) = filters["recordChangeScope"].as_str()
        && base.at(scope).is_none()
    {
        return Err(Refusal::malformed("specification.options.filters.recordChangeScope is not in this base"));
    }
    if let Some(url) = body.get("notificationUrl").filter(|url| !url.is_null())
        && url.as_str().is_none_or(|url| !url.starts_with("http"))
    {
        return Err(Refusal::malformed("notificationUrl is not a URL"));
    }
    if base.hooks.len() >= MOST_PER_BASE {
        return Err(Refusal::new(422, "TOO_MANY_WEBHOOKS_IN_BASE", "This base has as many webhooks as it may have"));
    }
    let secret: Vec<u8> = (0..8).flat_map(|_| cx.rng.next_u64().to_be_bytes()).collect();
    let hook = Hook {
        id: mint(cx.rng, "ach"),
        url: body.get("notificationUrl").and_then(Value::as_str).map(str::to_owned),
        secret,
        specification,
        expires: cx.now + LIFE,
        notify: true,
        payloads: VecDeque::new(),
        next: 1,
        pinged: None,
        behind: false,
        last_success: None,
        last_result: Value::Null,
    };
    let answer =
        json!({"id": hook.id, "macSecretBase64": STANDARD.encode(&hook.secret), "expirationTime": stamp(hook.expires)});
    base.hooks.push(hook);
    Ok(answer)
}

pub(super) fn list(base: &Base, now: DateTime<Utc>) -> Value {
    json!({ "webhooks": base.hooks.iter().map(|hook| hook.describe(now)).collect::<Vec<_>>() })
}

pub(super) fn find<'b>(base: &'b mut Base, id: &str) -> Answer<&'b mut Hook> {
    base.hooks.iter_mut().find(|hook| hook.id == id).ok_or_else(Refusal::not_found)
}

pub(super) fn delete(base: &mut Base, id: &str) -> Answer {
    find(base, id)?;
    base.hooks.retain(|hook| hook.id != id);
    Ok(json!({}))
}

/// Stores what each hook of the base asked for, and pings.
pub(super) fn commit(base: &mut Base, txn: &Transaction, cx: &mut Context<'_>) {
    if txn.is_empty() {
        return;
    }
    base.transactions += 1;
    let mut hooks = std::mem::take(&mut base.hooks);
    hooks.retain(|hook| hook.expires + RETENTION > cx.now);
    let now = cx.now;
    for hook in hooks.iter_mut().filter(|hook| hook.expires > now) {
        if let Some(payload) = hook.payload(base, txn, cx.now) {
            let number = hook.next;
            hook.next += 1;
            hook.payloads.push_back((number, cx.now, payload));
            hook.ping(&base.id, cx);
        }
    }
    base.hooks = hooks;
}

/// What became of a ping.
pub(super) fn noted(base: &mut Base, hook: &str, ok: bool, tried_again: bool, cx: &mut Context<'_>) {
    let base_id = base.id.clone();
    let Ok(hook) = find(base, hook) else { return };
    hook.last_result =
        json!({"success": ok, "completionTimestamp": stamp(cx.now), "willBeRetried": !ok && tried_again});
    if ok {
        hook.last_success = Some(cx.now);
        hook.pinged = None;
        if std::mem::take(&mut hook.behind) {
            hook.ping(&base_id, cx);
        }
    } else if !tried_again {
        // Payloads go on being stored; only the pings stop until `enableNotifications`.
        hook.pinged = None;
        hook.behind = false;
        hook.notify = false;
    }
}

impl Hook {
    fn describe(&self, now: DateTime<Utc>) -> Value {
        json!({
            "id": self.id,
            "type": "client",
            "isHookEnabled": self.expires > now,
            "notificationUrl": self.url,
            "areNotificationsEnabled": self.notify,
            "cursorForNextPayload": self.next,
            "lastSuccessfulNotificationTime": self.last_success.map(stamp),
            "lastNotificationResult": self.last_result,
            "expirationTime": stamp(self.expires),
            "specification": self.specification,
        })
    }

    pub(super) fn refresh(&mut self, now: DateTime<Utc>) -> Answer {
        if self.expires <= now {
            return Err(Refusal::new(422, "INVALID_HOOK", "The webhook has expired; make a new one"));
        }
        self.expires = now + LIFE;
        Ok(json!({ "expirationTime": stamp(self.expires) }))
    }

    pub(super) fn enable(&mut self, body: &Map<String, Value>) -> Answer {
        let enable =
            body.get("enable").and_then(Value::as_bool).ok_or_else(|| Refusal::missing("enable is required"))?;
        self.notify = enable;
        Ok(json!({}))
    }

    /// Payloads from `cursor` on, oldest first. Reading a live hook renews it.
    pub(super) fn payloads(&mut self, asked: &Map<String, Value>, now: DateTime<Utc>) -> Answer {
        let number = |name: &str, default: u64| match asked.get(name) {
            None => Ok(default),
            Some(value) => {
                value.as_u64().filter(|n| *n >= 1).ok_or_else(|| Refusal::malformed(format!("{name} is not valid")))
            }
        };
        let cursor = number("cursor", 1)?;
        let limit = usize::try_from(number("limit", PAGE as u64)?).unwrap_or(usize::MAX);
        if limit > PAGE {
            return Err(Refusal::malformed(format!("limit must not be more than {PAGE}")));
        }
        if self.expires > now {
            self.expires = now + LIFE;
        }
        while self.payloads.front().is_some_and(|(_, at, _)| *at + RETENTION <= now) {
            self.payloads.pop_front();
        }
        let mut waiting = self.payloads.iter().filter(|(number, _, _)| *number >= cursor);
        let page: Vec<_> = waiting.by_ref().take(limit).collect();
        let next = page.last().map_or(cursor.min(self.next), |(number, _, _)| number + 1);
        Ok(json!({
            "payloads": page.iter().map(|(_, _, payload)| payload).collect::<Vec<_>>(),
            "cursor": next,
            "mightHaveMore": waiting.next().is_some(),
            "payloadFormat": "v0",
        }))
    }

    fn payload(&self, base: &Base, txn: &Transaction, now: DateTime<Utc>) -> Option<Value> {
        let (filters, includes) =
            (&self.specification["options"]["filters"], &self.specification["options"]["includes"]);
        let names = |key: &str| -> Option<Vec<String>> {
            let list = filters[key].as_array()?;
            Some(list.iter().filter_map(|v| Some(v.as_str()?.to_owned())).collect())
        };
        if names("fromSources").is_some_and(|sources| !sources.iter().any(|s| s == txn.source.name())) {
            return None;
        }
        let types = names("dataTypes").unwrap_or_default();
        let wants = |kind: &str| types.iter().any(|t| t == kind);
        let wanted = Wanted {
            tables: &txn.tables,
            watched: names("watchDataInFieldIds"),
            records: wants("tableData"),
            fields: wants("tableFields"),
            metadata: wants("tableMetadata"),
            kinds: names("changeTypes"),
            scope: filters["recordChangeScope"].as_str().map(str::to_owned),
            include_cells: includes["includeCellValuesInFieldIds"].clone(),
            include_previous: includes["includePreviousCellValues"] == true,
        };
        let changed = wanted.changed_tables(base, now);
        let created: Map<String, Value> = txn
            .created_tables
            .iter()
            .filter(|_| wants("tableMetadata") && wanted.scope.is_none())
            .filter_map(|id| Some((id.clone(), json!({"metadata": {"name": base.table(id).ok()?.name}}))))
            .collect();
        if changed.is_empty() && created.is_empty() {
            return None;
        }
        let mut payload = changes::envelope(txn.source, base.transactions, now);
        if !changed.is_empty() {
            payload["changedTablesById"] = Value::Object(changed);
        }
        if !created.is_empty() {
            payload["createdTablesById"] = Value::Object(created);
        }
        Some(payload)
    }

    fn ping(&mut self, base: &str, cx: &mut Context<'_>) {
        let Some(url) = self.url.clone().filter(|_| self.notify) else { return };
        if self.pinged.is_some_and(|at| at + IN_FLIGHT > cx.now) {
            self.behind = true;
            return;
        }
        self.pinged = Some(cx.now);
        self.behind = false;
        let body = json!({"base": {"id": base}, "webhook": {"id": self.id}, "timestamp": stamp(cx.now)}).to_string();
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        wire::set(&mut headers, "x-airtable-content-mac", &mac(&self.secret, body.as_bytes()));
        cx.outbox.push(Outgoing::new(Vendor::Airtable, url, headers, Bytes::from(body)));
    }
}

/// `hmac-sha256=` and the digest in hex, over the raw body with the decoded secret.
fn mac(secret: &[u8], body: &[u8]) -> String {
    let digest = Hmac::<Sha256>::new_from_slice(secret).map(|mut mac| {
        mac.update(body);
        mac.finalize().into_bytes()
    });
    format!("hmac-sha256={}", digest.map(|d| wire::hex(&d)).unwrap_or_default())
}
