//! What ops may set for an Intercom connection.

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
    /// The workspace's region: `https://api.intercom.io` (US, the default), `https://api.eu.intercom.io` or
    /// `https://api.au.intercom.io`. A token works in its own region only.
    #[serde(default = "home")]
    pub(crate) base_url: String,
    /// `Intercom-Version`. Default `2.14`: what Intercom's own SDK pins (intercom-client 7.0.3), before 2.15 changed ticket
    /// topics and 2.16 the priorities and the "nobody" of assignees. Without the header the app's own version would
    /// apply, and answers could change under us. Set the same version in the Developer Hub.
    #[serde(default = "version")]
    pub(crate) version: String,
    /// How far back the first look goes (`2026-01-01`). Default: everything.
    #[serde(default, deserialize_with = "instant")]
    pub(crate) start: Option<DateTime<Utc>>,
    /// How much of what was seen is searched again on each look, because Intercom's search index lags behind.
    /// Default 300. Conversations that did not change since are not retrieved again.
    #[serde(default = "overlap_seconds")]
    pub(crate) overlap_seconds: u32,
    /// The admin who signs replies and notes. Default: the token's own, from `GET /me`.
    pub(crate) admin_id: Option<AdminId>,
    /// The custom attribute of companies that holds the ARR; it is added to each company as `arr`.
    pub(crate) arr_attribute: Option<String>,
    /// How many conversations are retrieved at once. Default 4.
    #[serde(default = "concurrency")]
    pub(crate) concurrency: u8,
    /// Another rate than 1,580 calls in ten seconds.
    pub(crate) quota: Option<Rate>,
}

/// Written as a number or as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminId(pub(crate) String);

impl<'de> Deserialize<'de> for AdminId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::Number(number) if number.is_u64() => Ok(Self(number.to_string())),
            Value::String(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Ok(Self(text))
            }
            _ => Err(serde::de::Error::custom("admin_id is the admin's number in Intercom")),
        }
    }
}

fn home() -> String {
    "https://api.intercom.io".into()
}
fn version() -> String {
    "2.14".into()
}
fn overlap_seconds() -> u32 {
    300
}
fn concurrency() -> u8 {
    4
}

impl Settings {
    pub(crate) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let mut parsed: Self = read(settings)?;
        parsed.base_url = base_url(&parsed.base_url)?;
        if !(1..=50).contains(&parsed.concurrency) {
            return Err(SettingsError::key("concurrency", "must be between 1 and 50"));
        }
        if http::HeaderValue::from_str(&parsed.version).is_err() || parsed.version.trim().is_empty() {
            return Err(SettingsError::key("version", "must be an API version such as 2.14"));
        }
        Ok(parsed)
    }

    /// 10,000 calls a minute for a private app, metered in slices of ten seconds (Intercom docs, "Rate limiting", and
    /// its community's answer, read 2026-11-23): 1,666 a slice, of which we leave a twentieth to other programs.
    pub(crate) fn limit(&self) -> Limit {
        self.quota.map_or_else(|| Limit::even(1580, Duration::from_secs(10)).with_burst(50), Rate::limit)
    }

    /// Where people look at it: the app's host of the same region.
    pub(crate) fn app_host(&self) -> &'static str {
        match self.base_url.as_str() {
            url if url.contains("//api.eu.") => "https://app.eu.intercom.com",
            url if url.contains("//api.au.") => "https://app.au.intercom.com",
            _ => "https://app.intercom.com",
        }
    }
}
