//! What ops may say about a Notion connection.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::types::uuid;
use crate::SettingsError;
use crate::settings::{self, Rate};

/// The external-id property, where a mapping names none.
pub(super) const DEFAULT_KEY: &str = "Loopd ID";
/// The first version that has data sources.
const FIRST_VERSION: &str = "2025-09-03";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Where the API is, without its `/v1`. Default: `https://api.notion.com`.
    #[serde(default = "base_url")]
    pub(super) base_url: String,
    /// `Notion-Version` of every call. Default: `2025-09-03`, the first with data sources and the one that Notion's own client
    /// speaks; `2026-03-11` is understood as well.
    #[serde(default = "version")]
    pub(super) version: String,
    /// The page under which the databases are found by their title, and made by `setup`: its id, or its address in the browser.
    #[serde(default)]
    pub(super) page: Option<String>,
    /// Collections whose data source is elsewhere: name to id or address (of the data source, or of its database).
    #[serde(default)]
    pub(super) data_sources: BTreeMap<String, String>,
    /// Where the first look at existing pages begins: a day or an instant. Default: at the first page.
    #[serde(default, deserialize_with = "settings::instant")]
    pub(super) start: Option<DateTime<Utc>>,
    /// How far each look at what was edited reaches back behind the newest edit of the last. Notion rounds times down to the
    /// minute and its index lags, so less than two minutes would miss edits. Default: 180.
    #[serde(default = "three_minutes")]
    pub(super) overlap_seconds: u32,
    /// How often the poll really asks while a webhook is configured; without one it asks at every turn of its schedule.
    /// Default: 600.
    #[serde(default = "ten_minutes")]
    pub(super) modified_every_seconds: u32,
    /// For how long a page that an uncertain create may have made must not be found before it counts as not made: Notion's
    /// index is behind its pages by an unpublished time, and a page that was made twice stays. Default: 90.
    #[serde(default = "a_minute_and_a_half")]
    pub(super) absent_seconds: u32,
    /// Let Notion make an option that a select lacks when a value needs it. Default: true.
    #[serde(default = "yes")]
    pub(super) new_options: bool,
    /// Another pace than 180 calls a minute (Business and Enterprise plans have 600).
    #[serde(default)]
    pub(super) quota: Option<Rate>,
}

fn base_url() -> String {
    "https://api.notion.com".into()
}
fn version() -> String {
    FIRST_VERSION.into()
}
fn three_minutes() -> u32 {
    180
}
fn ten_minutes() -> u32 {
    600
}
fn a_minute_and_a_half() -> u32 {
    90
}
fn yes() -> bool {
    true
}

impl Settings {
    pub(super) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let mut parsed: Self = settings::read(settings)?;
        let url = settings::base_url(&parsed.base_url)?;
        parsed.base_url = url.strip_suffix("/v1").unwrap_or(&url).to_owned();
        if parsed.version.parse::<NaiveDate>().is_err() {
            return Err(SettingsError::key("version", "expected one of Notion's versions, as in `2025-09-03`"));
        }
        if parsed.version.as_str() < FIRST_VERSION {
            return Err(SettingsError::key("version", format!("data sources need {FIRST_VERSION} or later")));
        }
        let id = |key: &str, text: &str| {
            uuid(text).ok_or_else(|| {
                SettingsError::key(
                    key,
                    format!("{text:?} holds no Notion id (32 hex digits); copy the address from the browser"),
                )
            })
        };
        parsed.page = parsed.page.as_deref().map(|page| id("page", page)).transpose()?;
        for place in parsed.data_sources.values_mut() {
            *place = id("data_sources", place)?;
        }
        if parsed.page.is_none() && parsed.data_sources.is_empty() {
            return Err(SettingsError::key(
                "page",
                "expected the page that holds the databases: its id, or its address in the browser",
            ));
        }
        if parsed.overlap_seconds < 120 {
            return Err(SettingsError::key(
                "overlap_seconds",
                "less than 120 misses edits: Notion rounds times to the minute",
            ));
        }
        Ok(parsed)
    }
}
