//! Google Analytics 4: reports tell which accounts triggered which events, on which day, how often.
//!
//! | what | call |
//! |---|---|
//! | rows, a page at a time | `POST /v1beta/properties/{id}:runReport` |
//! | does the account's dimension exist | `GET /v1beta/properties/{id}/metadata` |
//!
//! GA4 has no dimension of its own for a company: register one (`customUser:company_id`), which is empty for what came before. Days
//! are the property's own, in its time zone. Numbers change for two days and longer, so the last days are read again at
//! every turn (`settle_days`). Where GA4 says that it withheld or rolled up rows, a row that is missing is not taken for zero.
//!
//! Facts: google-analytics-data 0.23.3 and the discovery document 20261006 (read 2026-11-23).

mod client;
mod settings;
mod source;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};

use self::client::Client;
use self::settings::Settings;
use crate::google;
use crate::json::array;
use crate::kind::Need;
use crate::quota::Quota;
use crate::{CollectionSpec, Connector, Fault, Identity, Outside, SecretSpec, Secrets, SettingsError, Shape, Source};

pub const SECRETS: &[SecretSpec] = &[SecretSpec {
    name: google::SECRET,
    about: "the JSON key file of a service account whose address is a Viewer of the property: IAM > Service accounts > Keys",
    need: Need::Always,
}];

pub struct Ga4 {
    settings: Settings,
    client: Client,
    email: String,
    /// What the last report said of its own quality.
    flags: Mutex<BTreeSet<&'static str>>,
}

/// Opens a connection; calls nobody.
///
/// # Errors
/// Settings of another shape, or no key file.
pub fn open(settings: &Value, secrets: &Secrets, outside: &Outside) -> Result<Ga4, SettingsError> {
    let settings = Settings::parse(settings)?;
    let account = google::account("Google", secrets, settings.token_url.as_deref(), client::SCOPE, outside)?;
    let client = Client::new(&settings, account.session, outside);
    Ok(Ga4 { settings, client, email: account.email, flags: Mutex::default() })
}

#[async_trait]
impl Connector for Ga4 {
    fn collections(&self) -> Vec<CollectionSpec> {
        Vec::new()
    }

    fn quota(&self) -> Option<&Quota> {
        Some(self.client.quota())
    }

    /// What dimensions there are; a report that names another would be refused.
    async fn probe(&self) -> Result<Identity, Fault> {
        let told = self.client.metadata().await?;
        let known: BTreeSet<&str> =
            array(&told, "dimensions").iter().filter_map(|dimension| dimension["apiName"].as_str()).collect();
        for dimension in self.settings.dimensions() {
            if !known.contains(dimension) {
                return Err(Fault::locked(format!(
                    "the property has no dimension {dimension}: register it under Admin > Custom definitions"
                )));
            }
        }
        let metrics = array(&told, "metrics");
        let metric = &self.settings.metric;
        if !metrics.is_empty() && !metrics.iter().any(|known| known["apiName"] == **metric) {
            return Err(Fault::locked(format!("the property has no metric {metric}")));
        }
        Ok(Identity {
            account: format!("properties/{}", self.settings.property),
            name: self.email.clone(),
            scopes: vec![client::SCOPE.to_owned()],
            notes: self.hindrance().into_iter().collect(),
        })
    }

    async fn attach(&self, _shape: &Shape, _callback: Option<&str>, _known: Option<&Value>) -> Result<Value, Fault> {
        Ok(json!({}))
    }

    fn hindrance(&self) -> Option<String> {
        let flags = self.flags.lock().unwrap_or_else(PoisonError::into_inner);
        let flags: Vec<&str> = flags.iter().copied().collect();
        (!flags.is_empty()).then(|| format!("GA4's numbers are not whole: {}", flags.join("; ")))
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
}
