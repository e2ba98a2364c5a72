//! What ops may set for a Slack connection.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::customer::Pattern;
use super::is_id;
use crate::SettingsError;
use crate::settings::{Rate, base_url, instant, read};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// `https://slack.com/api`, the default, or `https://slack-gov.com/api`.
    #[serde(default = "home")]
    pub(crate) base_url: String,
    /// The reactions that make a message feedback, without colons, and the category that each suggests; empty: none.
    #[serde(default = "emoji")]
    pub(crate) emoji: BTreeMap<String, String>,
    /// Channel ids, and whose channel each is: a domain (`acme.example`), or else a name.
    #[serde(default)]
    pub(crate) channels: BTreeMap<String, String>,
    /// Names of customers' channels: `ext-{customer}`. One or several.
    #[serde(default)]
    channel_pattern: Patterns,
    #[serde(skip)]
    pub(crate) patterns: Vec<Pattern>,
    /// Whether every channel that the app is in is swept (the default), or only those of `channels`.
    #[serde(default)]
    pub(crate) sweep: Swept,
    /// How far back the first sweep goes. Default: `rescan_days`.
    #[serde(default, deserialize_with = "instant")]
    pub(crate) start: Option<DateTime<Utc>>,
    /// How far back a sweep looks for reactions to older messages. Default 3.
    #[serde(default = "rescan_days")]
    pub(crate) rescan_days: u16,
    /// Whether the answers below a captured message come with it. Default true.
    #[serde(default = "yes")]
    pub(crate) threads: bool,
    /// The slash commands that take feedback. Default `["/feedback"]`.
    #[serde(default = "commands")]
    pub(crate) commands: Vec<String>,
    /// The channel for notes that only the team sees.
    pub(crate) notes_channel: Option<String>,
    /// How fast this app may read history: `auto` (the default) finds out.
    #[serde(default)]
    pub(crate) history: Tier,
    /// Another rate than Slack's tier for each of the methods that read.
    pub(crate) quota: Option<Rate>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Swept {
    #[default]
    Joined,
    Listed,
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tier {
    #[default]
    Auto,
    /// Tier 3: apps of one's own, and those of the Marketplace.
    Full,
    /// One request a minute, 15 messages.
    Slow,
}

/// One, or a list.
#[derive(Clone, Debug, Default)]
struct Patterns(Vec<String>);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts = match Value::deserialize(from)? {
            Value::String(text) => vec![text],
            Value::Array(items) => items
                .into_iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| serde::de::Error::custom("a pattern is a text such as \"ext-{customer}\""))?,
            _ => return Err(serde::de::Error::custom("a pattern is a text such as \"ext-{customer}\"")),
        };
        Ok(Self(texts))
    }
}

fn home() -> String {
    "https://slack.com/api".into()
}
fn emoji() -> BTreeMap<String, String> {
    [("bug", "bug"), ("mega", ""), ("bulb", "feature_request")]
        .map(|(name, category)| (name.to_owned(), category.to_owned()))
        .into()
}
fn rescan_days() -> u16 {
    3
}
fn yes() -> bool {
    true
}
fn commands() -> Vec<String> {
    vec!["/feedback".into()]
}

impl Settings {
    pub(crate) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let mut parsed: Self = read(settings)?;
        parsed.base_url = base_url(&parsed.base_url)?;
        parsed.emoji = parsed
            .emoji
            .into_iter()
            .map(|(name, category)| (bare(&name).to_owned(), category.trim().to_owned()))
            .collect();
        if parsed.emoji.is_empty() || parsed.emoji.keys().any(String::is_empty) {
            return Err(SettingsError::key(
                "emoji",
                "names at least one reaction, as Slack calls it: { bug = \"bug\" }",
            ));
        }
        if let Some(bad) = parsed.channels.keys().find(|id| !is_id(id)) {
            let why =
                format!("{bad} is no channel's id; it is at the end of the channel's details in Slack (C0123456789)");
            return Err(SettingsError::key("channels", why));
        }
        if let Some(bad) = parsed.notes_channel.as_ref().filter(|id| !is_id(id)) {
            let why = format!("{bad} is no channel's id (C0123456789); names change, ids do not");
            return Err(SettingsError::key("notes_channel", why));
        }
        if let Some(bad) = parsed.commands.iter().find(|command| !command.starts_with('/') || command.len() < 2) {
            return Err(SettingsError::key("commands", format!("{bad} does not begin with a slash")));
        }
        if !(1..=365).contains(&parsed.rescan_days) {
            return Err(SettingsError::key("rescan_days", "must be between 1 and 365"));
        }
        for pattern in &parsed.channel_pattern.0 {
            let read = Pattern::read(pattern).ok_or_else(|| {
                SettingsError::key(
                    "channel_pattern",
                    format!("{pattern} must hold {{customer}} once: \"ext-{{customer}}\""),
                )
            })?;
            parsed.patterns.push(read);
        }
        Ok(parsed)
    }

    /// The category that a reaction suggests, if it captures: `bug`, or `bug::skin-tone-3`.
    pub(crate) fn category(&self, reaction: &str) -> Option<&str> {
        self.emoji.get(bare(reaction)).map(String::as_str)
    }
}

/// Without colons and skin tone.
fn bare(reaction: &str) -> &str {
    let name = reaction.trim().trim_matches(':');
    name.split_once("::").map_or(name, |(name, _)| name)
}
