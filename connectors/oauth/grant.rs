//! What a token endpoint gives, and how it is kept.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oauth2::basic::BasicTokenType;
use oauth2::{AccessToken, RefreshToken, Scope, TokenResponse};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A token is let go of this long before its end, for clocks that differ and calls that take their time; of short-lived
/// ones a tenth of their life.
const MARGIN: Duration = Duration::from_secs(60);
/// Longer lives than this are not believed to the second, and need not be.
const LONGEST: u64 = 10 * 365 * 86_400;

/// A token and all that was said with it.
#[derive(Clone)]
pub struct Grant {
    pub token: SecretString,
    pub(super) refresh: Option<SecretString>,
    /// When to let go of the token, margin taken off. `None`: the vendor does not say; it is good until it is refused.
    pub until: Option<DateTime<Utc>>,
    /// What it may do, where the vendor says.
    pub scopes: Vec<String>,
    /// The answer's further fields (`instance_url`, `id`, `refresh_expires_in`).
    pub extra: Map<String, Value>,
}

impl Grant {
    /// A further field of the answer that is a text: `instance_url`.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.extra.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    pub(super) fn is(&self, token: &SecretString) -> bool {
        self.token.expose_secret() == token.expose_secret()
    }

    /// What a refresh does not say again stays as it was.
    pub(super) fn after(mut self, before: &Self) -> Self {
        if self.refresh.is_none() {
            self.refresh = before.refresh.clone();
        }
        if self.scopes.is_empty() {
            self.scopes = before.scopes.clone();
        }
        for (field, value) in &before.extra {
            if !self.extra.contains_key(field) {
                self.extra.insert(field.clone(), value.clone());
            }
        }
        self
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("until", &self.until).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// A token endpoint's answer, read with forbearance: Linear's old apps get `scope` as a list, and some servers send
/// numbers as texts.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub(super) struct Told {
    access: AccessToken,
    kind: BasicTokenType,
    expires_in: Option<Duration>,
    refresh: Option<RefreshToken>,
    scopes: Option<Vec<Scope>>,
    extra: Map<String, Value>,
}

impl TryFrom<Map<String, Value>> for Told {
    type Error = &'static str;

    fn try_from(mut body: Map<String, Value>) -> Result<Self, Self::Error> {
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
            _ => None,
        };
        let access = text(body.remove("access_token")).ok_or("no access_token in it")?;
        let kind = match text(body.remove("token_type")) {
            Some(kind) if !kind.eq_ignore_ascii_case("bearer") => return Err("its token_type is not Bearer"),
            _ => BasicTokenType::Bearer,
        };
        let seconds = match body.remove("expires_in") {
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            _ => None,
        };
        let expires_in = seconds.filter(|seconds| *seconds > 0.0).map(|seconds| {
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(Duration::from_secs(LONGEST))
        });
        let refresh = text(body.remove("refresh_token")).map(RefreshToken::new);
        let scopes = match body.remove("scope") {
            Some(Value::String(text)) => Some(words(&text)),
            Some(Value::Array(list)) => Some(list.iter().filter_map(Value::as_str).flat_map(words).collect()),
            _ => None,
        };
        // Who signed in is the connector's to ask; an identity token is of no further use.
        body.remove("id_token");
        Ok(Self { access: AccessToken::new(access), kind, expires_in, refresh, scopes, extra: body })
    }
}

fn words(text: &str) -> Vec<Scope> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    words.map(|word| Scope::new(word.to_owned())).collect()
}

impl From<Told> for Map<String, Value> {
    fn from(told: Told) -> Self {
        // `oauth2` asks that answers can be written; nobody does, so nothing secret is put in.
        told.extra
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

impl TokenResponse for Told {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access
    }
    fn token_type(&self) -> &BasicTokenType {
        &self.kind
    }
    fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }
    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh.as_ref()
    }
    fn scopes(&self) -> Option<&Vec<Scope>> {
        self.scopes.as_ref()
    }
}

impl Told {
    /// As of `asked`, the moment before the request went out: a slow answer does not lengthen a token's life.
    pub(super) fn granted(self, asked: DateTime<Utc>) -> Grant {
        let until = self.expires_in.map(|life| {
            let keep = life.saturating_sub(MARGIN.min(life / 10));
            asked + TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX)
        });
        Grant {
            token: SecretString::from(self.access.into_secret()),
            refresh: self.refresh.map(|token| SecretString::from(token.into_secret())),
            until,
            scopes: self.scopes.unwrap_or_default().iter().map(|scope| scope.to_string()).collect(),
            extra: self.extra,
        }
    }
}

const FORMAT: u32 = 1;

/// A grant as the vault holds it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    format: u32,
    /// Whom the tokens are for. They are shown to nobody else, also when the configuration changes.
    token_url: String,
    client_id: String,
    access_token: String,
    refresh_token: Option<String>,
    until: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(super) signed_in: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(super) refreshed: Option<DateTime<Utc>>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    extra: Map<String, Value>,
    /// The refresh token has been sent, and no answer to it was stored.
    #[serde(default)]
    pub(super) asked: bool,
    /// Why the vendor will not take the refresh token again.
    #[serde(default)]
    pub(super) dead: Option<String>,
}

impl Kept {
    pub(super) fn new(grant: &Grant, server: &super::Server, signed_in: DateTime<Utc>) -> Self {
        let mut kept = Self {
            format: FORMAT,
            token_url: server.token_url.clone(),
            client_id: server.client_id.clone(),
            access_token: String::new(),
            refresh_token: None,
            until: None,
            signed_in: Some(signed_in),
            refreshed: None,
            scopes: Vec::new(),
            extra: Map::new(),
            asked: false,
            dead: None,
        };
        kept.put(grant);
        kept
    }

    /// The same sign-in with another token.
    pub(super) fn renewed(mut self, grant: &Grant, at: DateTime<Utc>) -> Self {
        self.put(grant);
        self.refreshed = Some(at);
        self.asked = false;
        self.dead = None;
        self
    }

    fn put(&mut self, grant: &Grant) {
        self.access_token = grant.token.expose_secret().to_owned();
        self.refresh_token = grant.refresh.as_ref().map(|token| token.expose_secret().to_owned());
        self.until = grant.until;
        self.scopes.clone_from(&grant.scopes);
        self.extra.clone_from(&grant.extra);
    }

    /// # Errors
    /// For people: not our JSON, or of a newer loopd.
    pub(super) fn read(text: &SecretString) -> Result<Self, String> {
        let kept: Self = serde_json::from_str(text.expose_secret())
            .map_err(|error| format!("is damaged ({:?} at column {})", error.classify(), error.column()))?;
        if kept.format > FORMAT {
            return Err("was written by a newer loopd".into());
        }
        Ok(kept)
    }

    pub(super) fn write(&self) -> Result<SecretString, String> {
        serde_json::to_string(self).map(SecretString::from).map_err(|error| error.to_string())
    }

    pub(super) fn is_for(&self, server: &super::Server) -> bool {
        self.token_url == server.token_url && self.client_id == server.client_id
    }

    pub(super) fn grant(&self) -> Grant {
        Grant {
            token: SecretString::from(self.access_token.clone()),
            refresh: self.refresh_token.clone().map(SecretString::from),
            until: self.until,
            scopes: self.scopes.clone(),
            extra: self.extra.clone(),
        }
    }
}
