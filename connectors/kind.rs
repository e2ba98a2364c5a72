//! Which vendors there are, and how one is opened: one explicit match.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{Connector, Outside, airtable, github, intercom, linear};

/// A vendor. Its name in configuration is the variant in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Airtable,
    GitHub,
    Intercom,
    Linear,
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
    pub const ALL: [Self; 4] = [Self::Airtable, Self::GitHub, Self::Intercom, Self::Linear];

    /// As in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Airtable => "airtable",
            Self::GitHub => "github",
            Self::Intercom => "intercom",
            Self::Linear => "linear",
        }
    }

    /// By the name that configuration uses; `None`: there is no such vendor.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The credentials that a connection of this kind takes.
    pub fn secrets(self) -> &'static [SecretSpec] {
        match self {
            Self::Airtable => airtable::SECRETS,
            Self::GitHub => github::SECRETS,
            Self::Intercom => intercom::SECRETS,
            Self::Linear => linear::SECRETS,
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
        Kind::GitHub => Arc::new(github::open(settings, secrets, outside)?),
        Kind::Intercom => Arc::new(intercom::open(settings, secrets, outside)?),
        Kind::Linear => Arc::new(linear::open(settings, secrets, outside)?),
    })
}
