//! What ops may set for a Granola connection.

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
    #[serde(default = "home")]
    pub(crate) base_url: String,
    /// Only the notes in these folders and in those below them (`fol_…`). Default: all that the key may see.
    #[serde(default)]
    pub(crate) folders: Vec<String>,
    /// Our own email domains: who is of one of them is no customer. The domain of a note's owner counts as ours without
    /// being named.
    #[serde(default)]
    pub(crate) own_domains: Vec<String>,
    /// Also read calls in which only our own people took part. Default false.
    #[serde(default)]
    pub(crate) internal: bool,
    /// Read what was said, and not only the summary. Default true.
    #[serde(default = "yes")]
    pub(crate) transcripts: bool,
    /// Keep the owner's private notes with the record. Default false.
    #[serde(default)]
    pub(crate) private_notes: bool,
    /// How far back the first look goes (`2026-01-01`). Default: everything.
    #[serde(default, deserialize_with = "instant")]
    pub(crate) start: Option<DateTime<Utc>>,
    /// How much of what was seen is listed again on each look. Default 172800, two days: a note appears when it has been
    /// summarised, which may be long after the call. Notes that did not change since are not retrieved again.
    #[serde(default = "overlap_seconds")]
    pub(crate) overlap_seconds: u32,
    /// Which notes our webhook hears of: `personal`, `public`, or `workspace` alone for a workspace's key. Default: what the
    /// key allows, found by trying.
    #[serde(default)]
    pub(crate) webhook_scopes: Vec<String>,
    /// How many notes are retrieved at once. Default 4.
    #[serde(default = "concurrency")]
    pub(crate) concurrency: u8,
    /// Another rate than 25 calls in five seconds.
    pub(crate) quota: Option<Rate>,
}

fn home() -> String {
    "https://public-api.granola.ai".into()
}
fn yes() -> bool {
    true
}
fn overlap_seconds() -> u32 {
    172_800
}
fn concurrency() -> u8 {
    4
}

impl Settings {
    pub(crate) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let mut parsed: Self = read(settings)?;
        parsed.base_url = base_url(&parsed.base_url)?;
        if let Some(bad) = parsed.folders.iter().find(|folder| !super::types::is_id(folder, "fol_")) {
            return Err(SettingsError::key(
                "folders",
                format!("{bad:?} is no folder's id, such as fol_4y6LduVdwSKC27"),
            ));
        }
        let mut seen = std::collections::BTreeSet::new();
        parsed.folders.retain(|folder| seen.insert(folder.clone()));
        for domain in &mut parsed.own_domains {
            *domain = domain.trim().trim_start_matches('@').to_lowercase();
            if !domain.contains('.') || domain.contains(['@', '/', ' ']) {
                return Err(SettingsError::key("own_domains", format!("{domain:?} is no domain, such as example.com")));
            }
        }
        let known = ["personal", "public", "workspace"];
        if let Some(bad) = parsed.webhook_scopes.iter().find(|scope| !known.contains(&scope.as_str())) {
            let why = format!("{bad:?} is none of personal, public, workspace");
            return Err(SettingsError::key("webhook_scopes", why));
        }
        if !(1..=20).contains(&parsed.concurrency) {
            return Err(SettingsError::key("concurrency", "must be between 1 and 20"));
        }
        Ok(parsed)
    }

    /// 25 requests in five seconds, five a second over time (Granola docs, "Rate limits", read 2026-11-23).
    pub(crate) fn limit(&self) -> Limit {
        self.quota.map_or_else(|| Limit::even(25, Duration::from_secs(5)).with_burst(5), Rate::limit)
    }
}
