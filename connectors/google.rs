//! A Google service account: the key file that Google hands out, and what its errors mean.
//!
//! Facts ("Using OAuth 2.0 for Server to Server Applications" and google-auth 2.62.2, read 2026-11-23): the assertion is RS256
//! with `kid`, `iss` the account's address, `aud` the token URL, `scope` in the claims, an hour at most. Errors are
//! `{"error": {"code", "message", "status", "errors": [{"reason", "domain", "message"}]}}`; either of the last two may be missing.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::http::Answer;
use crate::oauth::{Assertion, Server, Session, Way};
use crate::settings::secret;
use crate::{Outside, Secrets, SettingsError};

/// The secret's name in a connection.
pub(crate) const SECRET: &str = "service_account";

/// The parts of a key file that are used.
#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default = "token_uri")]
    token_uri: String,
}

fn token_uri() -> String {
    "https://oauth2.googleapis.com/token".into()
}

/// Who we are to Google.
pub(crate) struct Account {
    pub(crate) email: String,
    pub(crate) session: Arc<Session>,
}

/// `token_url`: another than the key file's (an emulator). Calls nobody.
///
/// # Errors
/// No key file, or something else in its place.
pub(crate) fn account(
    vendor: &'static str,
    secrets: &Secrets,
    token_url: Option<&str>,
    scope: &str,
    outside: &Outside,
) -> Result<Account, SettingsError> {
    let bad = |why: String| SettingsError::key(SECRET, why);
    let text =
        secret(secrets, SECRET).ok_or_else(|| bad("is missing: the JSON key file of a service account".into()))?;
    // serde's message may quote the key: what is missing is enough.
    let file: KeyFile = serde_json::from_str(text.expose_secret()).map_err(|error| {
        let why = error.to_string();
        let lacks = why
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split('`').next())
            .map(|name| format!(": {name} is missing"));
        bad(format!("is not the JSON key file of a service account{}", lacks.unwrap_or_default()))
    })?;
    let url = token_url.unwrap_or(&file.token_uri);
    let pem = SecretString::from(file.private_key);
    let mut assertion = Assertion::new(&pem, file.client_email.as_str(), url)
        .map_err(|why| bad(format!("private_key {why}")))?
        .scope(scope)
        .life(Duration::from_secs(3600));
    if let Some(id) = file.private_key_id {
        assertion = assertion.key_id(id);
    }
    let server = Server::new(vendor, url, file.client_email.as_str());
    let session = Session::new(server, Way::Assertion(assertion), outside).map_err(bad)?;
    Ok(Account { email: file.client_email, session: Arc::new(session) })
}

/// What an error answer says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Error {
    pub(crate) reason: String,
    /// For people, shortened.
    pub(crate) message: String,
}

impl Error {
    pub(crate) fn of(answer: &Answer) -> Self {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        Self::read(&body["error"])
    }

    /// One of an `errors` list, or the `error` around it.
    pub(crate) fn read(error: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let first = &error["errors"][0];
        let reason = [&first["reason"], &error["reason"], &error["status"]].into_iter().find(|value| value.is_string());
        let message = [&error["message"], &first["message"]].into_iter().find(|value| value.is_string());
        let message: String = message.map(text).unwrap_or_default().chars().take(300).collect();
        Self { reason: reason.map(text).unwrap_or_default(), message }
    }

    pub(crate) fn told(&self, status: u16) -> String {
        match (self.message.is_empty(), self.reason.is_empty()) {
            (false, false) => format!("{} ({})", self.message, self.reason),
            (false, true) => self.message.clone(),
            _ => format!("HTTP {status} {}", self.reason).trim_end().to_owned(),
        }
    }
}
