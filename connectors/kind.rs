//! Which vendors there are, and how one is opened: one explicit match.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{
    Connector, Outside, airtable, app, bigquery, ga4, github, granola, intercom, linear, notion, posthog, salesforce,
    segment, slack, typeform,
};

/// A vendor. Its name in configuration is the variant in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Airtable,
    App,
    BigQuery,
    Ga4,
    GitHub,
    Granola,
    Intercom,
    Linear,
    Notion,
    PostHog,
    Salesforce,
    Segment,
    Slack,
    Typeform,
}

/// A credential that a connection of some kind takes.
#[derive(Clone, Copy, Debug)]
pub struct SecretSpec {
    /// Its key in the connection's table.
    pub name: &'static str,
    /// What it is and where a person gets it.
    pub about: &'static str,
    pub need: Need,
}

/// When a credential must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Always,
    /// When the connection has `webhook = true`.
    Webhook,
    /// Depends on the other settings; opening the connection says when it lacks.
    Sometimes,
}

/// Credentials by name, as [`Kind::secrets`] lists them.
pub type Secrets = BTreeMap<String, SecretString>;

/// A connection's settings cannot be used. Names the key, so that configuration can point at its line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{why}", key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
pub struct SettingsError {
    pub key: Option<String>,
    pub why: String,
}

impl SettingsError {
    pub fn key(key: &str, why: impl Into<String>) -> Self {
        Self { key: Some(key.into()), why: why.into() }
    }
}

impl Kind {
    pub const ALL: [Self; 14] = [
        Self::Airtable,
        Self::App,
        Self::BigQuery,
        Self::Ga4,
        Self::GitHub,
        Self::Granola,
        Self::Intercom,
        Self::Linear,
        Self::Notion,
        Self::PostHog,
        Self::Salesforce,
        Self::Segment,
        Self::Slack,
        Self::Typeform,
    ];

    /// As in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Airtable => "airtable",
            Self::App => "app",
            Self::BigQuery => "bigquery",
            Self::Ga4 => "ga4",
            Self::GitHub => "github",
            Self::Granola => "granola",
            Self::Intercom => "intercom",
            Self::Linear => "linear",
            Self::Notion => "notion",
            Self::PostHog => "posthog",
            Self::Salesforce => "salesforce",
            Self::Segment => "segment",
            Self::Slack => "slack",
            Self::Typeform => "typeform",
        }
    }

    /// By the name that configuration uses; `None`: there is no such vendor.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// It is only ever sent to us: there is no server that we would call, and so none that something could stand in for.
    pub fn is_received_only(self) -> bool {
        matches!(self, Self::App | Self::Segment)
    }

    /// All that it tells is how often things were used: it has no records, and so nothing that a mapping could draw from.
    pub fn is_counted_only(self) -> bool {
        matches!(self, Self::BigQuery | Self::Ga4 | Self::PostHog)
    }

    /// The credentials that a connection of this kind takes.
    pub fn secrets(self) -> &'static [SecretSpec] {
        match self {
            Self::Airtable => airtable::SECRETS,
            Self::App => app::SECRETS,
            Self::BigQuery => bigquery::SECRETS,
            Self::Ga4 => ga4::SECRETS,
            Self::GitHub => github::SECRETS,
            Self::Granola => granola::SECRETS,
            Self::Intercom => intercom::SECRETS,
            Self::Linear => linear::SECRETS,
            Self::Notion => notion::SECRETS,
            Self::PostHog => posthog::SECRETS,
            Self::Salesforce => salesforce::SECRETS,
            Self::Segment => segment::SECRETS,
            Self::Slack => slack::SECRETS,
            Self::Typeform => typeform::SECRETS,
        }
    }
}

/// Opens a connection. Pure: reads its settings, calls nobody.
///
/// `settings` is the connection's own table of the configuration, without what the engine keeps for itself (kind,
/// schedules, webhook). Unknown keys are refused.
///
/// # Errors
/// A setting that is missing, unknown or of another type, or a missing credential.
pub fn open(
    kind: Kind,
    settings: &Value,
    secrets: &Secrets,
    outside: &Outside,
) -> Result<Arc<dyn Connector>, SettingsError> {
    Ok(match kind {
        Kind::Airtable => Arc::new(airtable::open(settings, secrets, outside)?),
        Kind::App => Arc::new(app::open(settings, secrets, outside)?),
        Kind::BigQuery => Arc::new(bigquery::open(settings, secrets, outside)?),
        Kind::Ga4 => Arc::new(ga4::open(settings, secrets, outside)?),
        Kind::GitHub => Arc::new(github::open(settings, secrets, outside)?),
        Kind::Granola => Arc::new(granola::open(settings, secrets, outside)?),
        Kind::Intercom => Arc::new(intercom::open(settings, secrets, outside)?),
        Kind::Linear => Arc::new(linear::open(settings, secrets, outside)?),
        Kind::Notion => Arc::new(notion::open(settings, secrets, outside)?),
        Kind::PostHog => Arc::new(posthog::open(settings, secrets, outside)?),
        Kind::Salesforce => Arc::new(salesforce::open(settings, secrets, outside)?),
        Kind::Segment => Arc::new(segment::open(settings, secrets, outside)?),
        Kind::Slack => Arc::new(slack::open(settings, secrets, outside)?),
        Kind::Typeform => Arc::new(typeform::open(settings, secrets, outside)?),
    })
}
