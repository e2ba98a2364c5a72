//! Our webhook at the base: made once, renewed before its seven days are over, made again when it is gone.
//!
//! Its secret is told only when it is made, so it is kept in the binding. A webhook that points at our own URL but is
//! not the one we know (its secret went with a lost ledger) is deleted; nobody else's is touched. (Airtable "webhooks
//! overview", read 2026-11-23.)

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use http::Method;
use serde_json::{Value, json};

use super::binding::Hook;
use super::client::{Failure, Verb};
use super::types::{Listed, text};
use super::{Airtable, is_lacking};
use crate::Fault;
use crate::http::{Call, encode};
use crate::spelling::instant;

/// Seven days from creation, each renewal and each look at the payloads.
const LIFE: TimeDelta = TimeDelta::days(7);
const RENEW_WITHIN: TimeDelta = TimeDelta::days(3);
/// Everything that changes a base but programs that call the API, loopd among them.
const NO_PROGRAMS: [&str; 8] =
    ["client", "formSubmission", "formPageSubmission", "automation", "system", "sync", "anonymousUser", "unknown"];

impl Airtable {
    /// The webhook as it is after this. Whatever ails the webhook endpoint is noted and leaves things as they were: rows
    /// are written, and read by the modified-since poll, without it.
    pub(super) async fn keep_hook(
        &self,
        callback: Option<&str>,
        known: Option<Hook>,
        notes: &mut Vec<String>,
    ) -> Result<Option<Hook>, Fault> {
        self.hinder(None);
        match self.ensure_hook(callback, known.clone(), notes).await {
            Err(fault @ (Fault::Later { after: Some(_), .. } | Fault::Locked { .. })) => Err(fault),
            Err(fault) => {
                tracing::warn!(%fault, "the base's webhooks cannot be seen to");
                notes.push("the webhook endpoint does not work: changes are found by the modified-since poll".into());
                Ok(known)
            }
            done => done,
        }
    }

    /// The webhook as it is after this, or `None` with a note why there is none.
    async fn ensure_hook(
        &self,
        callback: Option<&str>,
        known: Option<Hook>,
        notes: &mut Vec<String>,
    ) -> Result<Option<Hook>, Fault> {
        if !self.settings.payloads {
            return Ok(None);
        }
        let listed = self.listed_hooks().await?;
        if let Some(mut hook) = known.clone()
            && !self.hook_broken.load(Ordering::Relaxed)
            && hook.mac_secret.is_some()
            && hook.people_only != self.settings.hear_programs
            // One who only looks (`check --live`) has no URL to be called at, and leaves the webhook as it is.
            && (callback.is_none() || hook.callback.as_deref() == callback)
            && self.renew(&mut hook, listed.as_deref()).await?
        {
            return Ok(Some(hook));
        }
        for stale in listed.iter().flatten() {
            let ours = known.as_ref().is_some_and(|known| known.id == stale.id)
                || (callback.is_some() && stale.url.as_deref() == callback);
            if ours {
                self.delete_hook(&stale.id).await?;
                let left = listed.iter().flatten().filter(|hook| hook.id != stale.id).cloned().collect();
                self.listed.put(&*self.clock, Some(left));
            }
        }
        self.create_hook(callback, notes).await
    }

    /// Whether the known webhook lives on.
    async fn renew(&self, hook: &mut Hook, listed: Option<&[Listed]>) -> Result<bool, Fault> {
        let now = self.clock.now();
        let there = listed.and_then(|listed| listed.iter().find(|there| there.id == hook.id));
        let alive = match (listed, there) {
            (Some(_), Some(there)) => there.enabled,
            (Some(_), None) => false,
            (None, _) => hook.expires.is_none_or(|expires| expires > now),
        };
        if !alive {
            return Ok(false);
        }
        // Every look at the payloads moves the expiry; only renewals are kept, so that the binding is still the same.
        let expires = there.and_then(|there| there.expires).or(hook.expires);
        if expires.is_none_or(|expires| expires - now < RENEW_WITHIN) {
            let path = format!("{}/{}/refresh", self.client.hooks_path(), encode(&hook.id));
            match self.client.send(Call::post(path, json!({})), Verb::Write).await {
                Ok(answer) => {
                    hook.expires = Some(expiry(&answer, now));
                    self.note(&hook.id, |there| there.expires = hook.expires);
                }
                Err(failure) if is_lacking(failure.status) || failure.status == 422 => return Ok(false),
                Err(failure) => return Err(ailment(failure)),
            }
        }
        // Switched off by Airtable after a day of failed pings.
        if hook.callback.is_some()
            && !self.callback_refused.load(Ordering::Relaxed)
            && there.is_some_and(|there| !there.notifies)
        {
            let path = format!("{}/{}/enableNotifications", self.client.hooks_path(), encode(&hook.id));
            match self.client.send(Call::post(path, json!({ "enable": true })), Verb::Write).await {
                Err(failure) if !is_lacking(failure.status) && failure.status != 422 => return Err(ailment(failure)),
                _ => self.note(&hook.id, |there| there.notifies = true),
            }
        }
        Ok(true)
    }

    async fn create_hook(&self, callback: Option<&str>, notes: &mut Vec<String>) -> Result<Option<Hook>, Fault> {
        // Twice at most: the second time without our URL.
        loop {
            let mut spec = json!({ "specification": { "options": {
                "filters": { "dataTypes": ["tableData"] },
                "includes": { "includeCellValuesInFieldIds": "all", "includePreviousCellValues": true },
            }}});
            if !self.settings.hear_programs {
                spec["specification"]["options"]["filters"]["fromSources"] = json!(NO_PROGRAMS);
            }
            let told = callback.filter(|_| !self.callback_refused.load(Ordering::Relaxed));
            if let Some(url) = told {
                spec["notificationUrl"] = json!(url);
            }
            let answer = match self.client.send(Call::post(self.client.hooks_path(), spec), Verb::Write).await {
                Ok(answer) => answer,
                Err(failure) if matches!(failure.status, 400 | 422) && told.is_some() => {
                    // A URL that is not public is refused; without one the payloads can still be polled.
                    tracing::info!(why = %failure.message, "the webhook is made without our URL");
                    self.callback_refused.store(true, Ordering::Relaxed);
                    continue;
                }
                Err(failure) if matches!(failure.status, 400 | 422) => {
                    // It was not our URL, then: the base has as many webhooks as Airtable allows, as far as we can tell.
                    self.callback_refused.store(false, Ordering::Relaxed);
                    let why = format!(
                        "Airtable makes no webhook ({} {}), perhaps because the base has its most: delete one that nobody needs; until then changes are found by the modified-since poll, and deletions by the sweep",
                        failure.status, failure.message
                    );
                    self.hinder(Some(why.clone()));
                    notes.push(why);
                    return Ok(None);
                }
                Err(failure) if is_lacking(failure.status) => {
                    notes.push(format!(
                        "no webhook can be made ({} {}): needs the scope webhook:manage and Creator rights; until then changes are found by the modified-since poll, and deletions by the sweep",
                        failure.status, failure.kind
                    ));
                    return Ok(None);
                }
                Err(failure) => return Err(ailment(failure)),
            };
            let Some(id) = text(&answer, "id") else {
                notes.push(
                    "Airtable's answer names no webhook: changes are found by the modified-since poll only".into(),
                );
                return Ok(None);
            };
            self.hook_broken.store(false, Ordering::Relaxed);
            if callback.is_some() && told.is_none() {
                notes.push("Airtable refuses to ping the public URL: webhook payloads are polled".into());
            }
            let expires = expiry(&answer, self.clock.now());
            let mac_secret = text(&answer, "macSecretBase64").or(Some(String::new()));
            let callback = callback.map(String::from);
            let people_only = !self.settings.hear_programs;
            return Ok(Some(Hook { id, mac_secret, expires: Some(expires), callback, people_only, start: 1 }));
        }
    }

    fn hinder(&self, why: Option<String>) {
        *self.hindrance.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    async fn delete_hook(&self, id: &str) -> Result<(), Fault> {
        let call = Call::new(Method::DELETE, format!("{}/{}", self.client.hooks_path(), encode(id)));
        match self.client.send(call, Verb::Write).await {
            Ok(_) => Ok(()),
            Err(failure) if is_lacking(failure.status) || failure.status == 422 => Ok(()),
            Err(failure) => Err(ailment(failure)),
        }
    }

    /// `None`: cannot be listed.
    async fn listed_hooks(&self) -> Result<Option<Vec<Listed>>, Fault> {
        if let Some(listed) = self.listed.get(&*self.clock) {
            return Ok(listed);
        }
        let listed = match self.client.send(Call::get(self.client.hooks_path()), Verb::Read).await {
            Ok(answer) if answer.get("webhooks").is_some_and(Value::is_array) => Some(Listed::list(&answer)),
            Ok(_) => None,
            Err(failure) if is_lacking(failure.status) => None,
            Err(failure) => return Err(ailment(failure)),
        };
        self.listed.put(&*self.clock, listed.clone());
        Ok(listed)
    }

    /// Writes what was just changed into the listing, for an attach that is interrupted here.
    fn note(&self, id: &str, change: impl Fn(&mut Listed)) {
        if let Some(Some(mut listed)) = self.listed.get(&*self.clock) {
            listed.iter_mut().filter(|hook| hook.id == id).for_each(change);
            self.listed.put(&*self.clock, Some(listed));
        }
    }
}

/// Why the webhook cannot be seen to now. Only a [`Fault::Later`] that says when, and a [`Fault::Locked`], are reasons
/// for the whole connection to wait; a webhook endpoint that is down or redirects is not.
fn ailment(failure: Failure) -> Fault {
    match (failure.status, failure.fault) {
        (408 | 500..=599, Fault::Later { why, .. }) => Fault::later(why),
        (300..=399, Fault::Locked { why }) => Fault::rejected(why),
        (_, fault) => fault,
    }
}

fn expiry(answer: &Value, now: DateTime<Utc>) -> DateTime<Utc> {
    text(answer, "expirationTime").as_deref().and_then(instant).unwrap_or(now + LIFE)
}
