//! What ops may set for a BigQuery connection.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::SettingsError;
use crate::days::Days;
use crate::quota::Limit;
use crate::settings::{Rate, base_url, instant, read};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The project that pays.
    pub(crate) project: String,
    /// GoogleSQL with the columns `feature`, `day`, `count`, and `account` or `user` or both; `@since` and `@until` are days, both
    /// included.
    pub(crate) query: String,
    /// Where the data is (`europe-west1`). Needed outside the multi-regions US and EU.
    pub(crate) location: Option<String>,
    /// How far back the first look goes. Default: 61 days.
    #[serde(default, deserialize_with = "instant")]
    pub(crate) start: Option<DateTime<Utc>>,
    /// How many days before today may still change. Default 3: so long GA4's export is rewritten.
    #[serde(default = "settle_days")]
    pub(crate) settle_days: u32,
    /// A query that would bill more is refused by BigQuery, at no cost. Default 10 GB.
    #[serde(default = "max_bytes_billed")]
    pub(crate) max_bytes_billed: u64,
    /// Rows a page, at most; a page ends at 10 MB in any case. Default 10,000.
    #[serde(default = "page_rows")]
    pub(crate) page_rows: u32,
    #[serde(default = "home")]
    pub(crate) base_url: String,
    /// Where tokens are got, instead of the key file's own `token_uri`.
    pub(crate) token_url: Option<String>,
    /// Another rate than 100 calls in ten seconds.
    pub(crate) quota: Option<Rate>,
}

fn home() -> String {
    "https://bigquery.googleapis.com".into()
}
fn settle_days() -> u32 {
    3
}
fn max_bytes_billed() -> u64 {
    10_000_000_000
}
fn page_rows() -> u32 {
    10_000
}

impl Settings {
    pub(crate) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let mut settings: Self = read(settings)?;
        settings.base_url = base_url(&settings.base_url)?;
        if settings.project.is_empty() || settings.project.contains('/') {
            return Err(SettingsError::key("project", "must be the project's id, such as my-project-17"));
        }
        if settings.query.trim().is_empty() {
            return Err(SettingsError::key(
                "query",
                "is empty: write GoogleSQL that gives feature, day, count and account",
            ));
        }
        if settings.page_rows == 0 {
            return Err(SettingsError::key("page_rows", "must be at least 1"));
        }
        if settings.max_bytes_billed == 0 {
            return Err(SettingsError::key("max_bytes_billed", "must be at least 1"));
        }
        Ok(settings)
    }

    pub(crate) fn days(&self) -> Days {
        Days { start: self.start, settle: self.settle_days }
    }

    /// 100 a second and user are allowed (BigQuery quotas, read 2026-11-23); that much is never needed.
    pub(crate) fn limit(&self) -> Limit {
        self.quota.map_or_else(|| Limit::even(100, Duration::from_secs(10)).with_burst(20), Rate::limit)
    }
}
