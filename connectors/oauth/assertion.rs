//! A signed statement of who we are, for a token (RFC 7523, `urn:ietf:params:oauth:grant-type:jwt-bearer`, RS256).
//!
//! Salesforce ("OAuth 2.0 JWT bearer flow"): `iss` the client id, `sub` the user's name, `aud` the login host, at most three
//! minutes. Google ("service accounts", HTTP/REST): `iss` the account's address, `scope` in the claims, `aud` the token URL,
//! at most an hour from `iat`. Both read 2026-11-23.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

/// What is signed, and with which key.
pub struct Assertion {
    key: EncodingKey,
    key_id: Option<String>,
    issuer: String,
    subject: Option<String>,
    audience: String,
    scope: Option<String>,
    life: Duration,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    iat: i64,
    exp: i64,
}

impl Assertion {
    /// Good for three minutes.
    ///
    /// # Errors
    /// For people: the key is no RSA private key in PEM.
    pub fn new(pem: &SecretString, issuer: impl Into<String>, audience: impl Into<String>) -> Result<Self, String> {
        // A key that went through an environment variable often has its line ends written as \n.
        let pem = pem.expose_secret().replace("\\n", "\n");
        let key = EncodingKey::from_rsa_pem(pem.as_bytes())
            .map_err(|_| "is no RSA private key in PEM (`-----BEGIN PRIVATE KEY-----`)".to_owned())?;
        Ok(Self {
            key,
            key_id: None,
            issuer: issuer.into(),
            subject: None,
            audience: audience.into(),
            scope: None,
            life: Duration::from_secs(180),
        })
    }

    /// The user in whose name we act.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Scopes as a claim, separated by spaces (Google).
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// `kid`: which of the account's keys it is (Google's `private_key_id`).
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = Some(key_id.into());
        self
    }

    /// How long the assertion itself is good.
    #[must_use]
    pub fn life(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    /// The JWT, `now` being the vendor's clock as far as we know it.
    ///
    /// # Errors
    /// For people: the key does not sign.
    pub(super) fn sign(&self, now: DateTime<Utc>) -> Result<SecretString, String> {
        // A little back, for a vendor's clock that is behind ours; the end is counted from there, so that the whole is
        // never longer than the vendor allows.
        let issued = now.timestamp() - 30;
        let life = i64::try_from(self.life.as_secs()).unwrap_or(180);
        let claims = Claims {
            iss: &self.issuer,
            sub: self.subject.as_deref(),
            aud: &self.audience,
            scope: self.scope.as_deref(),
            iat: issued,
            exp: issued + life,
        };
        let mut header = Header::new(Algorithm::RS256);
        header.kid.clone_from(&self.key_id);
        jsonwebtoken::encode(&header, &claims, &self.key).map(SecretString::from).map_err(|error| error.to_string())
    }
}
