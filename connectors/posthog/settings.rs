//! What ops may set for a PostHog connection.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::SettingsError;
use crate::days::Days;
use crate::quota::Limit;
use crate::settings::{Rate, base_url, instant, read};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The project's number.
    #[serde(deserialize_with = "id")]
    pub(crate) project: String,
    /// `https://us.posthog.com` (the default), `https://eu.posthog.com`, or your own. Not the `.i.` hosts: those only take events.
    #[serde(default = "home")]
    pub(crate) base_url: String,
    /// What names an event's account, in HogQL. Default `$group_0`: the first group type.
    #[serde(default = "account")]
    pub(crate) account: String,
    /// What names its person, in HogQL. Default `distinct_id`.
    #[serde(default = "user")]
    pub(crate) user: String,
    /// Which events, as a condition in HogQL. Default: all that are not PostHog's own (`$pageview` and the like).
    #[serde(default = "when")]
    pub(crate) when: String,
    /// A HogQL query of your own instead, with the columns `account`, `user`, `feature`, `day`, `count`; `{since}` and `{until}` stand
    /// for days, both included.
    pub(crate) query: Option<String>,
    /// How far back the first look goes. Default: 61 days.
    #[serde(default, deserialize_with = "instant")]
    pub(crate) start: Option<DateTime<Utc>>,
    /// How many days before today may still change. Default 2.
    #[serde(default = "settle_days")]
    pub(crate) settle_days: u32,
    /// How many days one query reads. Default 7.
    #[serde(default = "query_days")]
    pub(crate) query_days: u32,
    /// Rows a page. Default 10,000; PostHog gives 50,000 at the most.
    #[serde(default = "page_rows")]
    pub(crate) page_rows: u32,
    /// Another rate than 100 queries an hour.
    pub(crate) quota: Option<Rate>,
}

/// Written as a number or as text.
fn id<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        Value::String(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
            Ok(text)
        }
        _ => Err(serde::de::Error::custom("project is the project's number: Settings > Project > Project ID")),
    }
}

fn home() -> String {
    "https://us.posthog.com".into()
}
fn account() -> String {
    "$group_0".into()
}
fn user() -> String {
    "distinct_id".into()
}
fn when() -> String {
    "NOT startsWith(event, '$')".into()
}
fn settle_days() -> u32 {
    2
}
fn query_days() -> u32 {
    7
}
fn page_rows() -> u32 {
    10_000
}

impl Settings {
    pub(crate) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let mut settings: Self = read(settings)?;
        settings.base_url = base_url(&settings.base_url)?;
        if settings.base_url.contains(".i.posthog.com") {
            return Err(SettingsError::key(
                "base_url",
                "is where events are sent; write https://us.posthog.com or https://eu.posthog.com",
            ));
        }
        if !(1..=50_000).contains(&settings.page_rows) {
            return Err(SettingsError::key("page_rows", "must be from 1 to 50000"));
        }
        if settings.query_days == 0 {
            return Err(SettingsError::key("query_days", "must be at least 1"));
        }
        for (key, text) in [("account", &settings.account), ("user", &settings.user), ("when", &settings.when)] {
            if text.trim().is_empty() {
                return Err(SettingsError::key(key, "is empty: write an expression in HogQL"));
            }
        }
        Ok(settings)
    }

    pub(crate) fn days(&self) -> Days {
        Days { start: self.start, settle: self.settle_days }
    }

    /// 2,400 an hour are allowed to the whole team, and to some customers still 120 ("Queries", read 2026-11-23).
    pub(crate) fn limit(&self) -> Limit {
        self.quota.map_or_else(|| Limit::even(100, Duration::from_secs(3600)).with_burst(30), Rate::limit)
    }
}
