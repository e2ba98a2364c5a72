//! Receiving: a delivery carries the whole response and what its form asked.
//!
//! Facts (Typeform developer pages "Secure your webhooks" and "Example payload", read 2026-11-23): HMAC-SHA256 over the body
//! as it came, in base64, `Typeform-Signature: sha256=…`. Some bodies end with a line feed, which is signed. There is no
//! time in it, so a replay is met by comparing values. A 404 or 410 of ours would switch the webhook off.

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::Typeform;
use super::definition::Definition;
use super::response::{record, token};
use crate::fault::Refusal;
use crate::signature::sha256_base64;
use crate::{Delivery, Request, Webhook};

impl Webhook for Typeform {
    fn open(&self, raw: Request<'_>, _now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        let header = |name: &str| raw.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let made = self.bound().secret;
        let given = self.webhook_secret.as_ref().map(ExposeSecret::expose_secret);
        let secrets: Vec<&str> = given.into_iter().chain(made.as_deref()).collect();
        if secrets.is_empty() {
            return Err(Refusal::NotReady("no webhook secret is known yet"));
        }
        let signature = header("typeform-signature").ok_or(Refusal::Forged("no Typeform-Signature"))?;
        let claimed = signature.strip_prefix("sha256=").ok_or(Refusal::Forged("Typeform-Signature is not sha256=…"))?;
        if !secrets.iter().any(|secret| sha256_base64(secret.as_bytes(), &[raw.body], claimed)) {
            return Err(Refusal::Forged("Typeform-Signature does not match"));
        }
        let kind = header("content-type").unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") && !kind.to_ascii_lowercase().ends_with("+json") {
            return Err(Refusal::ContentType);
        }
        let mut event: Value = serde_json::from_slice(raw.body).map_err(|error| {
            Refusal::Malformed(format!("not JSON at line {} column {}", error.line(), error.column()))
        })?;
        let kind = event["event_type"].as_str().ok_or_else(|| Refusal::Malformed("no event_type in it".into()))?;
        let kind = match kind {
            "form_response" => "completed",
            "form_response_partial" => "partial",
            _ => return Ok(Delivery::default()),
        };
        // The signature stands in for an id that is missing: it too is the same on a repeat.
        let id = event["event_id"].as_str().filter(|id| !id.is_empty()).unwrap_or(claimed).to_owned();
        let mut delivery = Delivery { id, ..Delivery::default() };
        let mut response = event["form_response"].take();
        if !response.is_object() {
            return Err(Refusal::Malformed("no form_response in it".into()));
        }
        let Some(form) = response["form_id"].as_str().map(str::to_owned) else {
            return Err(Refusal::Malformed("no form_id in it".into()));
        };
        let ours = self.settings.forms.contains(&form) && (kind == "completed" || self.settings.partial);
        if !ours {
            return Ok(delivery);
        }
        let definition = Definition::read(&response["definition"]);
        let known = self.definitions.get(self.client.clock(), &form).map(|(_, known)| known);
        let definition = match known {
            // What came with it speaks of the form as it was answered; the other may know more of it.
            Some(known) if definition.fields.is_empty() || !definition.covers(&response) => known.as_ref().clone(),
            _ => definition,
        };
        response["response_type"] = kind.into();
        if token(&response).is_none() {
            return Err(Refusal::Malformed("no token in it".into()));
        }
        if !definition.covers(&response) {
            // Taken as it is, and looked at again with the form beside it.
            delivery.pull.push(format!("responses:{form}"));
        }
        let record = record(&self.settings, &form, &definition, response);
        if let Some(record) = record {
            self.young.note(self.client.clock(), &record.key.id);
            delivery.records.push(record);
        }
        Ok(delivery)
    }
}
