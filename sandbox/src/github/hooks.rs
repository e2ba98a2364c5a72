//! Webhooks: signing, sending, the delivery log, and redelivery on request.
//!
//! The law: GitHub never retries by itself; a redelivery has the GUID of the first delivery and a new delivery id; the log
//! reaches back three days. (Vendor sheet section 5, 2026-11-23.) The refusal of `localhost` URLs is left out: here every
//! subscriber is on it.

use std::collections::VecDeque;

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use hmac::Hmac;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::GitHub;
use super::errors::{Answer, created, done, invalid, not_found, ok, unprocessable};
use super::list::{Listing, Order, get};
use super::model::{Actor, Delivery, Hook, stamp, whole};
use super::route::Call;
use super::show::View;
use crate::wire;
use crate::world::{Context, Outgoing, Vendor};

const LOG_REACHES: TimeDelta = TimeDelta::days(3);
/// Larger events are never sent.
const LARGEST: usize = 25 * 1024 * 1024;

impl GitHub {
    /// Sends an event to every hook that subscribed to it.
    pub(super) fn fire(
        &mut self,
        repo: u64,
        event: &str,
        action: &str,
        body: Map<String, Value>,
        actor: &Actor,
        cx: &mut Context<'_>,
    ) {
        let hooks: Vec<u64> = self
            .hooks
            .values()
            .filter(|hook| hook.active && hook.repo.is_none_or(|of| of == repo))
            .filter(|hook| hook.events.iter().any(|name| name == "*" || name == event))
            .map(|hook| hook.id)
            .collect();
        if hooks.is_empty() {
            return;
        }
        let view = View::of_webhook(cx.base);
        let Some(entry) = self.repos.get(&repo) else { return };
        let mut payload = Map::from_iter([("action".to_owned(), action.into())]);
        payload.extend(body);
        payload.insert("repository".into(), view.repo(entry));
        payload.insert("sender".into(), view.user(&actor.login));
        let guid = cx.rng.uuid();
        for id in hooks {
            let mut payload = payload.clone();
            if let (Some(installation), Some(None)) = (self.installation, self.hooks.get(&id).map(|hook| hook.repo)) {
                payload.insert(
                    "installation".into(),
                    json!({"id": installation, "node_id": super::show::node_id("IN", installation)}),
                );
            }
            let body = Bytes::from(Value::Object(payload).to_string());
            self.send(id, &guid, event, body, cx);
        }
    }

    fn send(&mut self, hook: u64, guid: &str, event: &str, body: Bytes, cx: &mut Context<'_>) {
        let Some(hook) = self.hooks.get(&hook).filter(|_| body.len() <= LARGEST) else { return };
        let body = if hook.form {
            Bytes::from(format!("payload={}", wire::encode(&String::from_utf8_lossy(&body))))
        } else {
            body
        };
        let mut headers = HeaderMap::new();
        let (target, of) = match hook.repo {
            Some(repo) => ("repository", repo),
            None => ("integration", self.app_id),
        };
        let content_type = if hook.form { "application/x-www-form-urlencoded" } else { "application/json" };
        for (name, value) in [
            ("content-type", content_type),
            ("accept", "*/*"),
            ("user-agent", "GitHub-Hookshot/5a4db0x"),
            ("x-github-event", event),
            ("x-github-delivery", guid),
            ("x-github-hook-id", &hook.id.to_string()),
            ("x-github-hook-installation-target-type", target),
            ("x-github-hook-installation-target-id", &of.to_string()),
        ] {
            wire::set(&mut headers, name, value);
        }
        if let Some(secret) = &hook.secret {
            wire::set(
                &mut headers,
                "x-hub-signature-256",
                &format!("sha256={}", wire::hmac::<Hmac<Sha256>>(secret, &body)),
            );
            wire::set(
                &mut headers,
                "x-hub-signature",
                &format!("sha1={}", wire::hmac::<Hmac<sha1::Sha1>>(secret, &body)),
            );
        }
        cx.outbox.push(Outgoing::new(Vendor::GitHub, hook.url.clone(), headers, body));
    }

    /// Writes an attempt into the hook's log.
    pub(super) fn log_delivery(&mut self, outgoing: &Outgoing, status: Option<u16>, cx: &mut Context<'_>) {
        let text = |name: &str| {
            outgoing.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let id = self.next_id();
        let Some(hook) = text("x-github-hook-id").parse().ok().and_then(|id: u64| self.hooks.get_mut(&id)) else {
            return;
        };
        let guid = text("x-github-delivery");
        let body: Value = serde_json::from_slice(&json_of(&outgoing.body)).unwrap_or_default();
        let redelivery = hook.deliveries.iter().any(|delivery| delivery.guid == guid);
        hook.deliveries.push_front(Delivery {
            id,
            guid,
            event: text("x-github-event"),
            action: body.get("action").and_then(Value::as_str).map(str::to_owned),
            repo: body.get("repository").and_then(|repo| repo.get("id")).and_then(Value::as_u64),
            delivered_at: cx.now,
            redelivery,
            status,
            body: outgoing.body.clone(),
        });
        while hook.deliveries.back().is_some_and(|delivery| delivery.delivered_at < cx.now - LOG_REACHES) {
            hook.deliveries.pop_back();
        }
    }

    pub(super) fn add_hook(&mut self, hook: Hook, actor: &Actor, cx: &mut Context<'_>) -> u64 {
        let (id, repo) = (hook.id, hook.repo);
        let view = View::of_webhook(cx.base);
        let mut ping =
            json!({"zen": "Anything added dilutes everything else.", "hook_id": id, "sender": view.user(&actor.login)});
        if let (Value::Object(ping), Some(repo)) = (&mut ping, repo.and_then(|id| self.repos.get(&id))) {
            ping.insert("hook".into(), show_hook(&hook, &view.repo_url(repo)));
            ping.insert("repository".into(), view.repo(repo));
        }
        self.hooks.insert(id, hook);
        let guid = cx.rng.uuid();
        self.send(id, &guid, "ping", Bytes::from(ping.to_string()), cx);
        id
    }

    /// `/repos/{o}/{r}/hooks…`; with `repo: None`, `/app/hook…`.
    pub(super) fn hook_route(
        &mut self,
        repo: Option<u64>,
        rest: &[&str],
        call: &Call,
        actor: &Actor,
        cx: &mut Context<'_>,
    ) -> Answer {
        let here = match repo {
            Some(id) => {
                self.repos.get(&id).map(|repo| View::of_webhook(cx.base).repo_url(repo)).ok_or_else(not_found)?
            }
            None => format!("{}/app", cx.base),
        };
        let of_this = |hook: &&Hook| hook.repo == repo;
        let by_id = |id: &str| -> Result<u64, http::Response<Bytes>> {
            id.parse().ok().filter(|id| self.hooks.get(id).is_some_and(|hook| hook.repo == repo)).ok_or_else(not_found)
        };
        match (&call.method, rest) {
            (&Method::GET, []) => {
                let hooks: Vec<&Hook> = self.hooks.values().filter(of_this).collect();
                let listing = Listing::read(&call.query, format!("{here}/hooks"), self.most_per_page)?;
                listing.answer(&hooks, &Order::rising(|hook: &&Hook| (0, hook.id)), |hook| show_hook(hook, &here), None)
            }
            (&Method::POST, []) => {
                let hook = self.read_hook(repo, call, cx)?;
                let shown = show_hook(&hook, &here);
                self.add_hook(hook, actor, cx);
                created(&shown)
            }
            (&Method::GET, [id]) => {
                let id = by_id(id)?;
                ok(&self.hooks.get(&id).map(|hook| show_hook(hook, &here)).unwrap_or_default())
            }
            (&Method::DELETE, [id]) => {
                let id = by_id(id)?;
                self.hooks.remove(&id);
                done()
            }
            (&Method::GET, [id, "deliveries"]) => self.list_deliveries(by_id(id)?, &here, call, cx),
            (&Method::GET, [id, "deliveries", delivery]) => {
                let hook = self.hooks.get(&by_id(id)?).ok_or_else(not_found)?;
                let delivery = find(hook, delivery, cx).ok_or_else(not_found)?;
                let mut shown = show_delivery(delivery);
                if let Value::Object(shown) = &mut shown {
                    shown.insert("url".into(), hook.url.clone().into());
                    let payload: Value = serde_json::from_slice(&json_of(&delivery.body)).unwrap_or_default();
                    shown.insert("request".into(), json!({"headers": {"X-GitHub-Event": delivery.event, "X-GitHub-Delivery": delivery.guid}, "payload": payload}));
                    shown.insert("response".into(), json!({"headers": {}, "payload": ""}));
                }
                ok(&shown)
            }
            (&Method::POST, [id, "deliveries", delivery, "attempts"]) => {
                let id = by_id(id)?;
                let hook = self.hooks.get(&id).ok_or_else(not_found)?;
                let delivery = find(hook, delivery, cx).ok_or_else(not_found)?.clone();
                self.send_again(id, &delivery, cx);
                Ok(wire::json(StatusCode::ACCEPTED, &json!({})))
            }
            _ => Err(not_found()),
        }
    }

    fn send_again(&mut self, hook: u64, delivery: &Delivery, cx: &mut Context<'_>) {
        self.send(hook, &delivery.guid, &delivery.event, json_of(&delivery.body), cx);
    }

    fn list_deliveries(&self, hook: u64, here: &str, call: &Call, cx: &Context<'_>) -> Answer {
        let hook = self.hooks.get(&hook).ok_or_else(not_found)?;
        let wanted = get(&call.query, "status");
        let cursor = get(&call.query, "cursor")
            .map(|cursor| cursor.parse::<u64>().map_err(|_| unprocessable("Invalid cursor")))
            .transpose()?;
        let per_page =
            get(&call.query, "per_page").and_then(|n| n.parse().ok()).filter(|n| (1..=100).contains(n)).unwrap_or(30);
        let all: Vec<&Delivery> = hook
            .deliveries
            .iter()
            .filter(|delivery| delivery.delivered_at >= cx.now - LOG_REACHES)
            // Timeouts and refused connections have no code, and are in neither list.
            .filter(|delivery| match wanted {
                Some("success") => delivery.status.is_some_and(|status| (200..400).contains(&status)),
                Some("failure") => delivery.status.is_some_and(|status| (400..600).contains(&status)),
                _ => true,
            })
            .filter(|delivery| cursor.is_none_or(|cursor| delivery.id <= cursor))
            .collect();
        let mut response =
            ok(&Value::Array(all.iter().take(per_page).map(|delivery| show_delivery(delivery)).collect()))?;
        if let Some(next) = all.get(per_page) {
            let mut query = format!("per_page={per_page}&cursor={}", next.id);
            if let Some(wanted) = wanted {
                query.push_str(&format!("&status={wanted}"));
            }
            let url = format!("{here}/hooks/{}/deliveries?{query}", hook.id);
            wire::set(response.headers_mut(), "link", &format!("<{url}>; rel=\"next\""));
        }
        Ok(response)
    }

    fn read_hook(&mut self, repo: Option<u64>, call: &Call, cx: &Context<'_>) -> Result<Hook, http::Response<Bytes>> {
        let body = call.object()?;
        let config = body.get("config").and_then(Value::as_object);
        let text = |key: &str| config.and_then(|config| config.get(key)).and_then(Value::as_str).map(str::to_owned);
        let url = text("url")
            .filter(|url| url.starts_with("http"))
            .ok_or_else(|| invalid("Hook", "url", "missing_field", None))?;
        if self.hooks.values().any(|hook| hook.repo == repo && hook.url == url) {
            return Err(invalid("Hook", "config", "custom", Some("Hook already exists on this repository")));
        }
        let events = body.get("events").and_then(Value::as_array);
        let events = events.map_or_else(
            || vec!["push".to_owned()],
            |names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        );
        Ok(Hook {
            id: self.next_id(),
            repo,
            url,
            secret: text("secret"),
            form: text("content_type").as_deref() != Some("json"),
            events,
            active: body.get("active").and_then(Value::as_bool).unwrap_or(true),
            created_at: whole(cx.now),
            deliveries: VecDeque::new(),
        })
    }
}

/// The JSON of a delivery's body, which may have gone out as a form.
fn json_of(body: &Bytes) -> Bytes {
    match body.strip_prefix(b"payload=") {
        Some(form) => Bytes::from(wire::segments(&String::from_utf8_lossy(form)).concat()),
        None => body.clone(),
    }
}

fn find<'h>(hook: &'h Hook, id: &str, cx: &Context<'_>) -> Option<&'h Delivery> {
    let id: u64 = id.parse().ok()?;
    hook.deliveries.iter().find(|delivery| delivery.id == id && delivery.delivered_at >= cx.now - LOG_REACHES)
}

fn show_hook(hook: &Hook, here: &str) -> Value {
    let url = format!("{here}/hooks/{}", hook.id);
    let last = hook.deliveries.front().map_or_else(
        || json!({"code": null, "status": "unused", "message": null}),
        |delivery| json!({"code": delivery.status.unwrap_or(0), "status": if delivery.status.is_some_and(|code| code < 300) { "active" } else { "failed" }, "message": status(delivery.status)}),
    );
    json!({
        "type": "Repository", "id": hook.id, "name": "web", "active": hook.active, "events": hook.events,
        "config": {
            "content_type": if hook.form { "form" } else { "json" }, "insecure_ssl": "0", "url": hook.url,
            "secret": hook.secret.as_ref().map(|_| "********"),
        },
        "created_at": stamp(hook.created_at), "updated_at": stamp(hook.created_at), "url": url,
        "test_url": format!("{url}/test"), "ping_url": format!("{url}/pings"), "deliveries_url": format!("{url}/deliveries"),
        "last_response": last,
    })
}

fn show_delivery(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.id, "guid": delivery.guid, "delivered_at": delivery.delivered_at.with_timezone(&Utc).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        "redelivery": delivery.redelivery, "duration": 0.1, "status": status(delivery.status),
        "status_code": delivery.status.unwrap_or(0), "event": delivery.event, "action": delivery.action,
        "installation_id": null, "repository_id": delivery.repo, "throttled_at": null,
    })
}

fn status(code: Option<u16>) -> String {
    match code {
        Some(200..300) => "OK".to_owned(),
        Some(code) => format!("Invalid HTTP Response: {code}"),
        None => "failed to connect to host".to_owned(),
    }
}
