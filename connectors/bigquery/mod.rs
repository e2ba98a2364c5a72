//! BigQuery: a query of ops' own tells who used what, on which day, how often.
//!
//! | what | call |
//! |---|---|
//! | run the query | `POST /bigquery/v2/projects/{p}/queries`, with `@since` and `@until` |
//! | wait for it, and read on | `GET /bigquery/v2/projects/{p}/queries/{job}` |
//! | does the query work, and what does it read | the same, as a dry run: free of charge |
//!
//! The query gives columns by name: `feature`, `day` and `count`, and `account` or `user` or both. The last days are read again at
//! every turn (`settle_days`): exports are rewritten for up to three days.
//!
//! Facts: BigQuery discovery document 20261009 and google-cloud-bigquery 3.47.0 (read 2026-11-23).

mod client;
mod settings;
mod source;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use serde_json::{Value, json};

use self::client::Client;
use self::settings::Settings;
use crate::google;
use crate::kind::Need;
use crate::quota::Quota;
use crate::{CollectionSpec, Connector, Fault, Identity, Outside, SecretSpec, Secrets, SettingsError, Shape, Source};

pub const SECRETS: &[SecretSpec] = &[SecretSpec {
    name: google::SECRET,
    about: "the JSON key file of a service account with the roles BigQuery Job User and BigQuery Data Viewer: IAM > Service accounts > Keys",
    need: Need::Always,
}];

pub struct BigQuery {
    settings: Settings,
    client: Client,
    email: String,
}

/// Opens a connection; calls nobody.
///
/// # Errors
/// Settings of another shape, or no key file.
pub fn open(settings: &Value, secrets: &Secrets, outside: &Outside) -> Result<BigQuery, SettingsError> {
    let settings = Settings::parse(settings)?;
    let account = google::account("Google", secrets, settings.token_url.as_deref(), client::SCOPE, outside)?;
    let client = Client::new(&settings, account.session, outside);
    Ok(BigQuery { settings, client, email: account.email })
}

#[async_trait]
impl Connector for BigQuery {
    fn collections(&self) -> Vec<CollectionSpec> {
        Vec::new()
    }

    fn quota(&self) -> Option<&Quota> {
        Some(self.client.quota())
    }

    /// A dry run of the query: it is checked and estimated, and costs nothing.
    async fn probe(&self) -> Result<Identity, Fault> {
        let told = self.client.query(&self.dry_run()).await?;
        let mut notes = Vec::new();
        if let Some(bytes) = told["totalBytesProcessed"].as_str().and_then(|bytes| bytes.parse::<u64>().ok()) {
            let limit = self.settings.max_bytes_billed;
            let fits = if bytes > limit { ", more than `max_bytes_billed` allows" } else { "" };
            notes.push(format!("a pull reads about {} MB{fits}", bytes / 1_000_000));
        }
        if told["schema"]["fields"].is_array() {
            source::Columns::read(&told["schema"]).map_err(Fault::rejected)?;
        }
        let scopes = vec![client::SCOPE.to_owned()];
        Ok(Identity { account: self.settings.project.clone(), name: self.email.clone(), scopes, notes })
    }

    async fn attach(&self, _shape: &Shape, _callback: Option<&str>, _known: Option<&Value>) -> Result<Value, Fault> {
        Ok(json!({}))
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
}
