//! PostHog: a HogQL query tells who used what, on which day, how often.
//!
//! | what | call |
//! |---|---|
//! | rows, a page at a time | `POST /api/projects/{id}/query/` |
//! | do the key and the query work | the same, one row of today |
//!
//! Rows are asked for by keyset (what comes after the last row), never by offset; a few days at a time, for PostHog ends a query
//! after ten seconds. Events may come late, so the last days are read again at every turn (`settle_days`).
//!
//! Facts: PostHog docs "API overview" and "Queries" (read 2026-11-23).

mod client;
mod query;
mod settings;
mod source;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use serde_json::{Value, json};

use self::client::{Client, Told};
use self::settings::Settings;
use crate::kind::Need;
use crate::quota::Quota;
use crate::settings::secret;
use crate::{CollectionSpec, Connector, Fault, Identity, Outside, SecretSpec, Secrets, SettingsError, Shape, Source};

pub const SECRETS: &[SecretSpec] = &[SecretSpec {
    name: "token",
    about: "a personal API key (phx_…) with the scope Query Read: Settings > Personal API keys; or a project secret key with query:read",
    need: Need::Always,
}];

pub struct PostHog {
    settings: Settings,
    client: Client,
}

/// Opens a connection; calls nobody.
///
/// # Errors
/// Settings of another shape, or no key.
pub fn open(settings: &Value, secrets: &Secrets, outside: &Outside) -> Result<PostHog, SettingsError> {
    let settings = Settings::parse(settings)?;
    let token = secret(secrets, "token")
        .ok_or_else(|| SettingsError::key("token", "is missing: a personal API key with the scope Query Read"))?;
    let client = Client::new(&settings, token, outside);
    Ok(PostHog { settings, client })
}

#[async_trait]
impl Connector for PostHog {
    fn collections(&self) -> Vec<CollectionSpec> {
        Vec::new()
    }

    fn quota(&self) -> Option<&Quota> {
        Some(self.client.quota())
    }

    /// One row of today, by the very query that is read with: a column that it names and PostHog lacks shows here.
    async fn probe(&self) -> Result<Identity, Fault> {
        let today = self.client.now().date_naive();
        let one = Settings { page_rows: 1, ..self.settings.clone() };
        let slow = match self.client.query(&query::page(&one, today, today, None)).await? {
            Told::Rows(_) => None,
            Told::TooLong(why) => Some(format!("the query of a single day takes too long: {why}")),
        };
        Ok(Identity {
            account: self.settings.project.clone(),
            name: format!("project {} at {}", self.settings.project, self.settings.base_url),
            scopes: vec!["query:read".into()],
            notes: slow.into_iter().collect(),
        })
    }

    async fn attach(&self, _shape: &Shape, _callback: Option<&str>, _known: Option<&Value>) -> Result<Value, Fault> {
        Ok(json!({}))
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
}
