//! Webhooks: what changed, to whom it is told, signed (linear.app/developers/webhooks, read 2026-11-23).
//!
//! `Linear-Signature` is the plain hex HMAC-SHA256 of the raw body; the body says when it was sent, so that a receiver can
//! refuse what is older than 60 s.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::Linear;
use super::store::{
    ATTACHMENT, COMMENT, CUSTOMER, ISSUE, Kind, LABEL, NEED, Row, STATE, STATUS, TEAM, TIER, USER, WEBHOOK, stamp,
};
use crate::wire;
use crate::world::{Context, Outgoing, Vendor};

#[derive(Clone, Copy)]
pub(super) enum Action {
    Create,
    Update,
    Remove,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Remove => "remove",
        }
    }
}

impl Linear {
    /// Tells every webhook that asked. `was` holds the previous values of what changed.
    pub(super) fn emit(
        &mut self,
        kind: Kind,
        id: &str,
        action: Action,
        was: Option<&Map<String, Value>>,
        actor: &str,
        cx: &mut Context<'_>,
    ) {
        let Some(row) = self.store.get(kind, id).cloned() else { return };
        self.emit_row(kind, &row, action, was, actor, cx);
    }

    pub(super) fn emit_row(
        &mut self,
        kind: Kind,
        row: &Row,
        action: Action,
        was: Option<&Map<String, Value>>,
        actor: &str,
        cx: &mut Context<'_>,
    ) {
        if self.store.all(WEBHOOK).next().is_none() {
            return;
        }
        let data = self.payload(kind, row);
        let team = match kind {
            ISSUE | STATE | LABEL => row.get("teamId").clone(),
            _ => self.store.get(ISSUE, row.text("issueId")).map_or(Value::Null, |issue| issue.get("teamId").clone()),
        };
        let actor = self.store.get(USER, actor).map(|user| {
            json!({
                "id": user.id(),
                "type": if *user.get("app") == true { "oauthClient" } else { "user" },
                "name": user.get("name"),
                "email": user.get("email"),
                "avatarUrl": user.get("avatarUrl"),
                "url": user.get("url"),
            })
        });
        let hooks: Vec<Row> = self
            .store
            .in_order(WEBHOOK)
            .into_iter()
            .filter(|hook| *hook.get("enabled") == true && hook.texts("resourceTypes").iter().any(|t| t == kind))
            .filter(|hook| hook.get("teamId").is_null() || team.is_null() || *hook.get("teamId") == team)
            .cloned()
            .collect();
        for hook in hooks {
            let mut body = json!({
                "action": action.name(),
                "actor": actor,
                "createdAt": stamp(cx.now),
                "data": data,
                "type": kind,
                "organizationId": "organization",
                "webhookTimestamp": cx.now.timestamp_millis(),
                "webhookId": hook.id(),
            });
            for (name, value) in [("updatedFrom", was.cloned().map(Value::Object)), ("url", data.get("url").cloned())] {
                if let Some(value) = value {
                    body[name] = value;
                }
            }
            cx.outbox.push(delivery(&hook, kind, &body, &cx.rng.uuid()));
        }
    }

    /// A row as webhooks carry it: its own values, and what it hangs on in short.
    fn payload(&self, kind: Kind, row: &Row) -> Value {
        let mut data = row.fields.clone();
        data.remove("secret");
        let short = |kind: Kind, id: &Value, names: &[&str]| {
            let row = self.store.get(kind, id.as_str().unwrap_or_default())?;
            Some(names.iter().map(|name| ((*name).to_owned(), row.get(name).clone())).collect::<Map<_, _>>())
        };
        let user = ["id", "name", "email", "url", "avatarUrl"].as_slice();
        let parts: &[(&str, Kind, &str, &[&str])] = match kind {
            ISSUE => &[
                ("state", STATE, "stateId", &["id", "name", "color", "type"]),
                ("team", TEAM, "teamId", &["id", "name", "key"]),
                ("creator", USER, "creatorId", user),
                ("assignee", USER, "assigneeId", user),
            ],
            COMMENT => &[
                ("issue", ISSUE, "issueId", &["id", "identifier", "title", "url", "teamId"]),
                ("user", USER, "userId", user),
            ],
            CUSTOMER => &[
                ("status", STATUS, "statusId", &["id", "name", "displayName", "color"]),
                ("tier", TIER, "tierId", &["id", "name", "displayName", "color"]),
            ],
            NEED => &[
                ("issue", ISSUE, "issueId", &["id", "identifier", "title", "url", "teamId"]),
                ("customer", CUSTOMER, "customerId", &["id", "name"]),
                ("attachment", ATTACHMENT, "attachmentId", &["id", "url", "title"]),
            ],
            _ => &[],
        };
        for (name, kind, by, names) in parts {
            if let Some(part) = row.fields.get(*by).and_then(|id| short(kind, id, names)) {
                data.insert((*name).to_owned(), Value::Object(part));
            }
        }
        if kind == ISSUE {
            let labels = row.texts("labelIds");
            let labels: Vec<_> =
                labels.iter().filter_map(|id| short(LABEL, &json!(id), &["id", "name", "color", "parentId"])).collect();
            data.insert("labels".to_owned(), json!(labels));
        }
        Value::Object(data)
    }
}

fn delivery(hook: &Row, kind: Kind, body: &Value, delivery: &str) -> Outgoing {
    let text = body.to_string();
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(http::header::USER_AGENT, HeaderValue::from_static("Linear-Webhook"));
    wire::set(&mut headers, "linear-delivery", delivery);
    wire::set(&mut headers, "linear-event", kind);
    wire::set(&mut headers, "linear-timestamp", &body["webhookTimestamp"].to_string());
    wire::set(&mut headers, "linear-signature", &sign(hook.text("secret"), text.as_bytes()));
    Outgoing::new(Vendor::Linear, hook.text("url"), headers, Bytes::from(text))
}

pub(super) fn sign(secret: &str, body: &[u8]) -> String {
    let digest = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(body);
        mac.finalize().into_bytes()
    });
    digest.map(|d| wire::hex(&d)).unwrap_or_default()
}
