//! What ops may set for a Typeform connection.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::SettingsError;
use crate::quota::Limit;
use crate::settings::{Rate, base_url, instant, read};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// `https://api.typeform.com` (the default), or `https://api.eu.typeform.com` where the responses are kept in the EU.
    /// At the wrong one, Typeform answers with no responses instead of an error.
    #[serde(default = "home")]
    pub(crate) base_url: String,
    /// The forms to read, by the id in their address: `admin.typeform.com/form/lT4Z3j`.
    pub(crate) forms: Vec<String>,
    /// How far back the first look goes (`2026-01-01`). Default: everything.
    #[serde(default, deserialize_with = "instant")]
    pub(crate) start: Option<DateTime<Utc>>,
    /// How much of what was seen is read again on each look. Default 3600: a response may be missing from the API for half
    /// an hour after it was given.
    #[serde(default = "overlap_seconds")]
    pub(crate) overlap_seconds: u32,
    /// Responses a page, at most 1000, the default.
    #[serde(default = "page_size")]
    pub(crate) page_size: u16,
    /// Also read responses that were begun and not sent off. Default false.
    #[serde(default)]
    pub(crate) partial: bool,
    /// The hidden fields that say who answers.
    #[serde(default)]
    pub(crate) hidden: Hidden,
    /// Which end of an opinion scale or rating is the good one, by the question's reference (or id): `{ effort = "low" }`.
    /// NPS needs no word, and of a rating with stars the high end is good unless this says otherwise.
    #[serde(default)]
    pub(crate) scales: BTreeMap<String, GoodEnd>,
    /// The name of our webhook at each form. Default `loopd`; two connections that read one form need two names.
    #[serde(default = "webhook_tag")]
    pub(crate) webhook_tag: String,
    /// Another rate than two calls a second.
    pub(crate) quota: Option<Rate>,
}

/// Names of hidden fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Hidden {
    /// The company's name.
    pub(crate) company: String,
    /// The id under which our own systems know the company.
    pub(crate) company_id: String,
    pub(crate) email: String,
    pub(crate) name: String,
    /// The person's id in our own systems.
    pub(crate) user: String,
}

impl Default for Hidden {
    fn default() -> Self {
        let [company, company_id, email, name, user] =
            ["company", "company_id", "email", "name", "user_id"].map(str::to_owned);
        Self { company, company_id, email, name, user }
    }
}

/// Which end of a scale is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GoodEnd {
    High,
    Low,
}

fn home() -> String {
    "https://api.typeform.com".into()
}
fn overlap_seconds() -> u32 {
    3600
}
fn page_size() -> u16 {
    1000
}
fn webhook_tag() -> String {
    "loopd".into()
}

/// What may stand in a path as it is.
pub(crate) fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl Settings {
    pub(crate) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let mut parsed: Self = read(settings)?;
        parsed.base_url = base_url(&parsed.base_url)?;
        if parsed.forms.is_empty() {
            return Err(SettingsError::key("forms", "name at least one form"));
        }
        if let Some(bad) = parsed.forms.iter().find(|form| !is_id(form)) {
            let why = format!("{bad:?} is no form's id: it is the last part of the form's address");
            return Err(SettingsError::key("forms", why));
        }
        let mut seen = std::collections::BTreeSet::new();
        parsed.forms.retain(|form| seen.insert(form.clone()));
        if !(1..=1000).contains(&parsed.page_size) {
            return Err(SettingsError::key("page_size", "must be between 1 and 1000"));
        }
        if !is_id(&parsed.webhook_tag) {
            return Err(SettingsError::key("webhook_tag", "may hold letters, digits, - and _"));
        }
        Ok(parsed)
    }

    /// Two calls a second (Typeform's own client waits half a second between pages; read 2026-11-23).
    pub(crate) fn limit(&self) -> Limit {
        self.quota.map_or_else(|| Limit::even(2, Duration::from_secs(1)), Rate::limit)
    }
}
