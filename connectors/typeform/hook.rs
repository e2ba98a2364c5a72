//! Our webhook at each form: put there by its tag, put there again when it differs or is switched off.
//!
//! Facts (Typeform developer pages "Webhooks" and "Secure your webhooks", its API client 2.8.0; read 2026-11-23): PUT by
//! tag creates or replaces; the secret is never told again; there is no webhook for an account as a whole. Where one cannot
//! be made (the plan, a scope), responses are polled, and `status` says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Typeform;
use super::client::Told;
use crate::fault::Fault;
use crate::http::Call;
use crate::signature::sha256_mark;

/// An attach that the quota stops takes up what it saw to within this.
const LATELY: Duration = Duration::from_secs(900);

/// What is kept across restarts, as [`crate::Connector::attach`] returns it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Bound {
    /// The secret that we made, unless ops gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
    /// By form.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) hooks: BTreeMap<String, Hook>,
}

/// A webhook as we last put it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Hook {
    url: String,
    /// Tells another secret from this one, and is none.
    mark: String,
    partial: bool,
}

impl Typeform {
    /// Sees to the webhook of every form. What a single form refuses is told as a hindrance.
    pub(super) async fn keep_hooks(&self, url: &str, bound: &mut Bound) -> Result<(), Fault> {
        let secret = self.signing_secret(url, bound);
        let wanted = Hook { url: url.to_owned(), mark: sha256_mark(secret.as_bytes()), partial: self.settings.partial };
        let mut troubles = Vec::new();
        for form in &self.settings.forms {
            if self.tended_lately(form, &wanted) {
                bound.hooks.insert(form.clone(), wanted.clone());
                continue;
            }
            match self.keep_hook(form, &wanted, &secret, bound.hooks.get(form)).await {
                Ok(()) => {
                    self.tend(form, &wanted);
                    bound.hooks.insert(form.clone(), wanted.clone());
                }
                Err(fault @ Fault::Later { after: Some(_), .. }) => return Err(fault),
                Err(fault) => {
                    tracing::warn!(%form, %fault, "the form's webhook cannot be seen to");
                    bound.hooks.remove(form);
                    troubles.push(format!("form {form}: {fault}"));
                }
            }
        }
        let told = (!troubles.is_empty()).then(|| {
            format!(
                "Typeform makes no webhook (it needs the scopes webhooks:read and webhooks:write, and a plan with webhooks); responses are polled: {}",
                troubles.join("; ")
            )
        });
        *self.hindrance.lock().unwrap_or_else(PoisonError::into_inner) = told;
        Ok(())
    }

    /// Given by ops, or made once out of the token and kept in the binding: then another token changes nothing.
    fn signing_secret(&self, url: &str, bound: &mut Bound) -> String {
        if let Some(secret) = &self.webhook_secret {
            return secret.expose_secret().to_owned();
        }
        let made = || sha256_mark(format!("{}\n{url}", self.token.expose_secret()).as_bytes());
        bound.secret.get_or_insert_with(made).clone()
    }

    async fn keep_hook(&self, form: &str, wanted: &Hook, secret: &str, known: Option<&Hook>) -> Result<(), Fault> {
        let path = format!("/forms/{form}/webhooks/{}", self.settings.webhook_tag);
        // What was found wanting is not looked at again: at an even pace each attempt gets one call through.
        if known == Some(wanted) && !self.wanting().contains(form) {
            match self.client.call(Call::get(&path)).await? {
                Told::Here(answer) if stands(&answer.json()?, wanted) => return Ok(()),
                _ => drop(self.wanting().insert(form.to_owned())),
            }
        }
        let body = json!({
            "url": wanted.url, "enabled": true, "secret": secret, "verify_ssl": wanted.url.starts_with("https://"),
            "event_types": {"form_response": true, "form_response_partial": wanted.partial},
        });
        match self.client.call(Call { body: Some(body), ..Call::new(Method::PUT, path) }).await? {
            Told::Here(_) => {
                self.wanting().remove(form);
                Ok(())
            }
            Told::Missing => Err(Fault::rejected("there is no such form, or no webhooks here")),
        }
    }

    fn wanting(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.wanting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tended_lately(&self, form: &str, wanted: &Hook) -> bool {
        let tended = self.tended.lock().unwrap_or_else(PoisonError::into_inner);
        tended
            .get(form)
            .is_some_and(|(at, hook)| hook == wanted && self.client.clock().monotonic().saturating_sub(*at) <= LATELY)
    }

    fn tend(&self, form: &str, hook: &Hook) {
        let now = self.client.clock().monotonic();
        self.tended.lock().unwrap_or_else(PoisonError::into_inner).insert(form.to_owned(), (now, hook.clone()));
    }
}

/// Whether the webhook is as it should be. Its secret is not told: that we put it there is known from the binding.
fn stands(there: &Value, wanted: &Hook) -> bool {
    let events = &there["event_types"];
    let hears = |event: &str, wanted: bool| events[event].as_bool().is_none_or(|heard| heard == wanted);
    there["url"].as_str() == Some(&wanted.url)
        && there["enabled"].as_bool() == Some(true)
        && hears("form_response", true)
        && hears("form_response_partial", wanted.partial)
}
