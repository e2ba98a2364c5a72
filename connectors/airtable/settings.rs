//! What ops may say about an Airtable connection.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::oauth::{Server, Style};
use crate::settings::{self, Rate};
use crate::{Secrets, SettingsError};

/// The external-id field, where a mapping names none.
pub(super) const DEFAULT_KEY: &str = "Loopd ID";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Where the API is; without a path, Airtable's own `/v0` below it. Default: `https://api.airtable.com/v0`.
    #[serde(default = "base_url")]
    pub(super) base_url: String,
    /// Where attachment bytes would go. Default: `https://content.airtable.com/v0`. Checked, and not called: loopd
    /// writes no attachments.
    #[serde(default = "content_url")]
    pub(super) content_url: String,
    /// Of an OAuth integration (airtable.com/create/oauth), to sign in with `loopd auth` in place of a token.
    pub(super) client_id: Option<String>,
    /// What a sign-in asks for. Default: what loopd can use of it.
    #[serde(default = "scopes")]
    pub(super) scopes: Vec<String>,
    /// Default: `https://airtable.com/oauth2/v1/authorize`, or that path at the host of a `base_url` that is set.
    pub(super) authorize_url: Option<String>,
    /// Default: `https://airtable.com/oauth2/v1/token`, or that path at the host of a `base_url` that is set.
    pub(super) token_url: Option<String>,
    /// The base, `app…`: the first part of its address in the browser.
    pub(super) base: String,
    /// Tables to observe besides those that mappings write into, by name. Default: none.
    #[serde(default)]
    pub(super) tables: Vec<String>,
    /// Let Airtable convert what it is sent. A misspelt option then becomes a new option for ever. Default: false.
    #[serde(default)]
    pub(super) typecast: bool,
    /// Where the first look at existing records begins: a day or an instant. Default: at the first record.
    #[serde(default, deserialize_with = "settings::instant")]
    pub(super) start: Option<DateTime<Utc>>,
    /// Keep a webhook at the base, so that edits and deletions are seen within seconds. Default: true.
    #[serde(default = "yes")]
    pub(super) payloads: bool,
    /// Hear within seconds what other programs change through the API. Our own writes are announced with theirs, and
    /// reading of them costs one call in fifty; without it, the modified-since poll finds what programs change, and people's
    /// edits are heard as fast as ever. Default: true.
    #[serde(default = "yes")]
    pub(super) hear_programs: bool,
    /// How often the modified-since poll really asks while the webhook works; without a webhook it asks at every turn
    /// of its schedule. Default: 600.
    #[serde(default = "ten_minutes")]
    pub(super) modified_every_seconds: u32,
    /// How far each modified-since poll looks back behind the last one, for clocks that differ and writes that Airtable
    /// notes late. Default: 120.
    #[serde(default = "two_minutes")]
    pub(super) modified_overlap_seconds: u32,
    /// Decimals of the number fields that `setup` makes. Default: 0.
    #[serde(default)]
    pub(super) number_precision: u8,
    /// Symbol of the currency fields that `setup` makes. Default: `$`.
    #[serde(default = "dollar")]
    pub(super) currency_symbol: String,
    /// Another pace than 5 calls a second, evenly.
    #[serde(default)]
    pub(super) quota: Option<Rate>,
}

fn base_url() -> String {
    "https://api.airtable.com/v0".into()
}
fn content_url() -> String {
    "https://content.airtable.com/v0".into()
}
fn scopes() -> Vec<String> {
    [
        "data.records:read",
        "data.records:write",
        "schema.bases:read",
        "schema.bases:write",
        "webhook:manage",
        "user.email:read",
    ]
    .map(String::from)
    .to_vec()
}
fn yes() -> bool {
    true
}
fn ten_minutes() -> u32 {
    600
}
fn two_minutes() -> u32 {
    120
}
fn dollar() -> String {
    "$".into()
}

impl Settings {
    pub(super) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let mut parsed: Self = settings::read(settings)?;
        parsed.base_url = settings::base_url(&parsed.base_url)?;
        if parsed.base_url.parse::<::http::Uri>().is_ok_and(|url| matches!(url.path(), "" | "/")) {
            parsed.base_url.push_str("/v0");
        }
        settings::base_url(&parsed.content_url).map_err(|error| SettingsError::key("content_url", error.why))?;
        parsed.client_id = parsed.client_id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        if parsed.base.is_empty() || !parsed.base.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
            return Err(SettingsError::key("base", "expected a base id, as in `appA1b2C3d4E5f6G7`"));
        }
        if parsed.number_precision > 8 {
            return Err(SettingsError::key("number_precision", "Airtable keeps at most 8 decimals"));
        }
        Ok(parsed)
    }

    /// Airtable "OAuth reference", read 2026-11-23: PKCE always; with a secret by HTTP Basic, without one the id in the form.
    pub(super) fn server(&self, client_id: &str, secrets: &Secrets) -> Result<Server, SettingsError> {
        let endpoint = |key, given: &Option<String>, path| {
            let there = ("https://airtable.com", path);
            settings::endpoint(key, given.as_deref(), &self.base_url, &base_url(), there)
        };
        Ok(Server {
            authorize_url: endpoint("authorize_url", &self.authorize_url, "/oauth2/v1/authorize")?,
            client_secret: settings::secret(secrets, "client_secret"),
            style: Style::Basic,
            scopes: self.scopes.clone(),
            ..Server::new("Airtable", endpoint("token_url", &self.token_url, "/oauth2/v1/token")?, client_id)
        })
    }
}
