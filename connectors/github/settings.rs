//! What ops may set for a GitHub connection.

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
    /// Where the REST API is. Default `https://api.github.com`; Enterprise Server: `https://HOST/api/v3`.
    #[serde(default = "home")]
    pub(crate) base_url: String,
    /// The repositories to listen to, as `owner/name`. These spellings become part of every issue's id and stay so
    /// when the repository is renamed.
    pub(crate) repos: Vec<String>,
    /// `X-GitHub-Api-Version`. Default `2022-11-28`, which lives until 2028-03-10; nothing here needs more.
    #[serde(default = "api_version")]
    pub(crate) api_version: String,
    /// How far back the first look goes (`2026-01-01`). Default: everything.
    #[serde(default, deserialize_with = "instant")]
    pub(crate) start: Option<DateTime<Utc>>,
    /// How much of what was seen is read again on each look, because GitHub does not say whether `since` includes its
    /// own second. Default 120.
    #[serde(default = "overlap_seconds")]
    pub(crate) overlap_seconds: u32,
    /// Act as a GitHub App's installation instead of with a token; needs the secret `app_private_key`.
    pub(crate) app: Option<AppSettings>,
    /// Another rate than GitHub's 5,000 calls an hour.
    pub(crate) quota: Option<Rate>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppSettings {
    /// The App's client id (`Iv23…`); its numeric id works as well.
    pub(crate) client_id: String,
    /// The number at the end of the installation's settings page.
    pub(crate) installation_id: u64,
}

fn home() -> String {
    "https://api.github.com".into()
}
fn api_version() -> String {
    "2022-11-28".into()
}
fn overlap_seconds() -> u32 {
    120
}

impl Settings {
    pub(crate) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let mut parsed: Self = read(settings)?;
        parsed.base_url = base_url(&parsed.base_url)?;
        if parsed.repos.is_empty() {
            return Err(SettingsError::key("repos", "name at least one repository, as \"owner/name\""));
        }
        for (at, repo) in parsed.repos.iter().enumerate() {
            if !is_handle(repo) {
                return Err(SettingsError::key("repos", format!("{repo:?} is not of the form \"owner/name\"")));
            }
            if parsed.repos[..at].iter().any(|other| other.eq_ignore_ascii_case(repo)) {
                return Err(SettingsError::key("repos", format!("{repo:?} is named twice")));
            }
        }
        if http::HeaderValue::from_str(&parsed.api_version).is_err() || parsed.api_version.trim().is_empty() {
            return Err(SettingsError::key("api_version", "must be a date such as 2022-11-28"));
        }
        Ok(parsed)
    }

    /// 5,000 calls an hour for a token (GitHub docs, "Rate limits for the REST API", read 2026-11-23). Two hundred may
    /// come at once: a look at every repository should not trickle, and the hour is long enough to make up for it.
    pub(crate) fn limit(&self) -> Limit {
        self.quota.map_or_else(|| Limit::even(5000, Duration::from_secs(3600)).with_burst(200), Rate::limit)
    }
}

/// `owner/name` in the characters that GitHub allows, so that it is safe in a path.
pub(crate) fn is_handle(text: &str) -> bool {
    let good = |part: &str| {
        !part.is_empty()
            && part.len() <= 100
            && part != "."
            && part != ".."
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    text.split_once('/').is_some_and(|(owner, name)| good(owner) && good(name))
}
