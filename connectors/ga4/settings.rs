//! What ops may set for a GA4 connection.

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
    /// The property's number.
    #[serde(deserialize_with = "property")]
    pub(crate) property: String,
    /// The dimension that names the account: `customUser:company_id`, `customEvent:account`.
    pub(crate) account: String,
    /// A dimension that names the person, if one is registered. Without it, users are not counted.
    pub(crate) user: Option<String>,
    /// The dimension that names the feature. Default `eventName`.
    #[serde(default = "feature")]
    pub(crate) feature: String,
    /// What is counted. Default `eventCount`.
    #[serde(default = "metric")]
    pub(crate) metric: String,
    /// Only these features. Default: all.
    #[serde(default)]
    pub(crate) features: Vec<String>,
    /// How far back the first look goes. Default: 61 days.
    #[serde(default, deserialize_with = "instant")]
    pub(crate) start: Option<DateTime<Utc>>,
    /// How many days before today may still change. Default 3.
    #[serde(default = "settle_days")]
    pub(crate) settle_days: u32,
    /// Rows a page. Default 10,000; GA4 gives 250,000 at the most.
    #[serde(default = "page_rows")]
    pub(crate) page_rows: u32,
    #[serde(default = "home")]
    pub(crate) base_url: String,
    /// Where tokens are got, instead of the key file's own `token_uri`.
    pub(crate) token_url: Option<String>,
    /// Another rate than 60 calls an hour.
    pub(crate) quota: Option<Rate>,
}

/// `123456789`, as a number or as text, or `properties/123456789`.
fn property<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = match Value::deserialize(from)? {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text,
        _ => String::new(),
    };
    let number = text.strip_prefix("properties/").unwrap_or(&text);
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(serde::de::Error::custom(
            "property is the property's number: Admin > Property details (not G-…, which is a stream's)",
        ));
    }
    Ok(number.to_owned())
}

fn home() -> String {
    "https://analyticsdata.googleapis.com".into()
}
fn feature() -> String {
    "eventName".into()
}
fn metric() -> String {
    "eventCount".into()
}
fn settle_days() -> u32 {
    3
}
fn page_rows() -> u32 {
    10_000
}

impl Settings {
    pub(crate) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let mut settings: Self = read(settings)?;
        settings.base_url = base_url(&settings.base_url)?;
        if !(1..=250_000).contains(&settings.page_rows) {
            return Err(SettingsError::key("page_rows", "must be from 1 to 250000"));
        }
        for (key, text) in
            [("account", &settings.account), ("feature", &settings.feature), ("metric", &settings.metric)]
        {
            if text.trim().is_empty() {
                return Err(SettingsError::key(
                    key,
                    "is empty: write a name of GA4's API, such as customUser:company_id",
                ));
            }
        }
        Ok(settings)
    }

    /// In the order of a report's columns, behind the date.
    pub(crate) fn dimensions(&self) -> impl Iterator<Item = &str> {
        [self.account.as_str(), self.feature.as_str()].into_iter().chain(self.user.as_deref())
    }

    pub(crate) fn days(&self) -> Days {
        Days { start: self.start, settle: self.settle_days }
    }

    /// GA4 meters tokens, of which a report costs ten or so, 14,000 an hour for a project; and 120 reports an hour that might
    /// tell of single people ("Quotas", read 2026-11-23).
    pub(crate) fn limit(&self) -> Limit {
        self.quota.map_or_else(|| Limit::even(60, Duration::from_secs(3600)).with_burst(20), Rate::limit)
    }
}
