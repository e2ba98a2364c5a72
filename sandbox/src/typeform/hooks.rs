//! Webhooks: kept by tag at each form, signed over the body, sent for each response, switched off when nobody answers.
//!
//! A 404 or 410 switches one off at once. 408, 423, 429 and 503 are tried again every two to three minutes for ten hours,
//! anything else five times at growing distances; after 300 attempts of which none went well within a day it is switched
//! off. (Typeform "Webhooks", read 2026-11-23.) Some bodies end with a line feed, which is signed (corsair#727).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::TimeDelta;
use hmac::{Hmac, Mac};
use http::HeaderMap;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::Typeform;
use super::errors::{Answer, done, invalid, no_form, no_webhook, ok};
use super::model::{Form, Hook, Response, stamp};
use crate::wire;
use crate::world::{Context, Outgoing, Vendor};

const CROCKFORD: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const MOST_FAILED: u32 = 300;

impl Typeform {
    pub(super) fn list_hooks(&self, id: &str) -> Answer {
        let form = self.forms.get(id).ok_or_else(|| no_form(id))?;
        ok(&json!({"items": form.hooks.iter().map(|hook| hook.show(id)).collect::<Vec<_>>()}))
    }

    pub(super) fn get_hook(&self, id: &str, tag: &str) -> Answer {
        let form = self.forms.get(id).ok_or_else(|| no_form(id))?;
        ok(&form.hooks.iter().find(|hook| hook.tag == tag).ok_or_else(no_webhook)?.show(id))
    }

    /// Makes it or replaces it. Of one that is there, what is not named stays: the vendor's own client switches webhooks on
    /// and off by naming nothing else.
    pub(super) fn put_hook(&mut self, id: &str, tag: &str, body: &Map<String, Value>, cx: &mut Context<'_>) -> Answer {
        let form = self.forms.get_mut(id).ok_or_else(|| no_form(id))?;
        let at = form.hooks.iter().position(|hook| hook.tag == tag);
        let known = at.map(|at| form.hooks[at].clone());
        let flag = |name: &str, of: &Map<String, Value>, otherwise: bool| match of.get(name) {
            None | Some(Value::Null) => Ok(otherwise),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(invalid(name, "body", &format!("{name} must be a boolean"))),
        };
        let url = match body.get("url").and_then(Value::as_str) {
            Some(url) if url.parse::<http::Uri>().is_ok_and(|url| url.scheme().is_some()) => url.to_owned(),
            Some(_) => return Err(invalid("url", "body", "url is not a valid URL")),
            None => {
                known.as_ref().map(|hook| hook.url.clone()).ok_or_else(|| invalid("url", "body", "url is required"))?
            }
        };
        let events = body.get("event_types").and_then(Value::as_object).cloned().unwrap_or_default();
        let hook = Hook {
            id: known.as_ref().map_or_else(|| format!("01{}", cx.rng.text(CROCKFORD, 24)), |hook| hook.id.clone()),
            tag: tag.to_owned(),
            url,
            enabled: flag("enabled", body, known.as_ref().is_some_and(|hook| hook.enabled))?,
            verify_ssl: flag("verify_ssl", body, known.as_ref().is_none_or(|hook| hook.verify_ssl))?,
            secret: match body.get("secret").and_then(Value::as_str) {
                Some(secret) => Some(secret.to_owned()).filter(|secret| !secret.is_empty()),
                None => known.as_ref().and_then(|hook| hook.secret.clone()),
            },
            completed: flag("form_response", &events, known.as_ref().is_none_or(|hook| hook.completed))?,
            partial: flag("form_response_partial", &events, known.as_ref().is_some_and(|hook| hook.partial))?,
            created_at: known.as_ref().map_or(cx.now, |hook| hook.created_at),
            updated_at: cx.now,
            failed: 0,
            failing_since: None,
        };
        let shown = hook.show(id);
        match at {
            Some(at) => form.hooks[at] = hook,
            None => form.hooks.push(hook),
        }
        ok(&shown)
    }

    pub(super) fn delete_hook(&mut self, id: &str, tag: &str) -> Answer {
        let form = self.forms.get_mut(id).ok_or_else(|| no_form(id))?;
        let at = form.hooks.iter().position(|hook| hook.tag == tag).ok_or_else(no_webhook)?;
        form.hooks.remove(at);
        done()
    }

    /// Tells every webhook of the form about a response.
    pub(super) fn fire(&self, id: &str, token: &str, cx: &mut Context<'_>) {
        let Some(form) = self.forms.get(id) else { return };
        let Some(response) = form.responses.iter().find(|response| response.token == token) else { return };
        let complete = response.submitted_at.is_some();
        let event = if complete { "form_response" } else { "form_response_partial" };
        let hears = |hook: &&Hook| hook.enabled && if complete { hook.completed } else { hook.partial };
        for hook in form.hooks.iter().filter(hears) {
            let event_id = format!("01{}", cx.rng.text(CROCKFORD, 24));
            let mut body =
                json!({"event_id": event_id, "event_type": event, "form_response": told(form, response)}).to_string();
            if cx.rng.below(2) == 0 {
                body.push('\n');
            }
            let mut headers = HeaderMap::new();
            wire::set(&mut headers, "content-type", "application/json");
            wire::set(&mut headers, "user-agent", "Typeform Webhooks");
            wire::set(&mut headers, "x-sandbox-webhook", &format!("{}/{}", form.id, hook.tag));
            if let Some(secret) = &hook.secret {
                wire::set(&mut headers, "typeform-signature", &signed(secret, body.as_bytes()));
            }
            cx.outbox.push(Outgoing::new(Vendor::Typeform, hook.url.clone(), headers, Bytes::from(body)));
        }
    }

    /// What an attempt does to its webhook.
    pub(super) fn note_attempt(&mut self, outgoing: &Outgoing, status: Option<u16>, cx: &Context<'_>) {
        self.last_status = status;
        let of = outgoing.headers.get("x-sandbox-webhook").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some((form, tag)) = of.split_once('/') else { return };
        let hooks = self.forms.get_mut(form).map(|form| &mut form.hooks);
        let Some(hook) = hooks.and_then(|hooks| hooks.iter_mut().find(|hook| hook.tag == tag)) else { return };
        match status {
            Some(200..=299) => (hook.failed, hook.failing_since) = (0, None),
            Some(404 | 410) => hook.enabled = false,
            _ => {
                let since = *hook.failing_since.get_or_insert(cx.now);
                if cx.now - since > TimeDelta::hours(24) {
                    (hook.failed, hook.failing_since) = (0, Some(cx.now));
                }
                hook.failed += 1;
                hook.enabled &= hook.failed < MOST_FAILED;
            }
        }
    }
}

fn told(form: &Form, response: &Response) -> Value {
    let mut told = json!({
        "form_id": form.id, "token": response.token, "landed_at": stamp(response.landed_at),
        "calculated": {"score": response.score},
        "variables": [{"key": "score", "type": "number", "number": response.score}],
        "definition": form.definition(), "answers": response.answers,
        "ending": {"id": "DefaultTyScreen", "ref": "default_tys"},
    });
    if let Value::Object(told) = &mut told {
        let at = match response.submitted_at {
            Some(at) => ("submitted_at", at),
            None => ("staged_at", response.settled()),
        };
        told.insert(at.0.into(), stamp(at.1).into());
        if !response.hidden.is_empty() {
            told.insert("hidden".into(), response.hidden.clone().into());
        }
    }
    told
}

fn signed(secret: &str, body: &[u8]) -> String {
    // Keys of every length are taken; the error cannot come.
    let digest = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(body);
        mac.finalize().into_bytes()
    });
    format!("sha256={}", digest.map(|digest| STANDARD.encode(digest)).unwrap_or_default())
}
