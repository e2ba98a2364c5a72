//! A person signs in: the URL for their browser, and what the browser brings back (authorization code with PKCE S256).

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use chrono::{DateTime, Utc};
use oauth2::{CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl};
use secrecy::SecretString;
use serde::Serialize;
use thiserror::Error;

use super::desk::Refused;
use super::grant::{Grant, Kept};
use super::{Session, Way};
use crate::Fault;

/// A sign-in under way.
pub struct Begun {
    /// For the browser.
    pub url: String,
    state: String,
    verifier: SecretString,
    back: RedirectUrl,
}

/// Why nobody is signed in, for people.
#[derive(Debug, PartialEq, Error)]
pub enum SignInError {
    #[error("this connection needs no sign-in: it has its credentials in its settings")]
    NotNeeded,
    #[error("{0} is no URL to come back to: {1}")]
    Back(String, String),
    #[error("what came back is not the answer to this sign-in (its state differs); begin again")]
    State,
    #[error("{vendor} says no: {why}")]
    Denied { vendor: &'static str, why: String },
    #[error("what came back holds no code; paste the whole address that the browser ended at")]
    NoCode,
    #[error("{vendor} does not take the code ({why}); begin again, and check that the app's redirect URL is {back}")]
    Code { vendor: &'static str, why: String, back: String },
    #[error("another process is renewing the sign-in just now; begin again")]
    Busy,
    #[error("{0}")]
    Fault(Fault),
}

/// What is kept of a sign-in, for `--status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    pub signed_in: Option<DateTime<Utc>>,
    pub refreshed: Option<DateTime<Utc>>,
    /// When the access token is let go of; `None`: the vendor does not say.
    pub until: Option<DateTime<Utc>>,
    /// Whether it can be renewed without a person.
    pub renewable: bool,
    pub scopes: Vec<String>,
    /// Why the vendor does not renew it any more.
    pub over: Option<String>,
}

impl Session {
    /// Whether a person signs in here.
    pub fn wants_person(&self) -> bool {
        matches!(self.way, Way::Code)
    }

    /// Another process has stored something that was not looked at yet: somebody may have signed in.
    pub fn has_news(&self) -> bool {
        self.wants_person() && self.lock().seen != Some(self.vault.stamp())
    }

    pub fn vendor(&self) -> &'static str {
        self.server.vendor
    }

    /// `back`: where the browser is to come back to, registered with the vendor. `chance`: 64 random bytes.
    ///
    /// # Errors
    /// [`SignInError::NotNeeded`], [`SignInError::Back`].
    pub fn begin(&self, back: &str, chance: &[u8; 64]) -> Result<Begun, SignInError> {
        if !self.wants_person() {
            return Err(SignInError::NotNeeded);
        }
        let back =
            RedirectUrl::new(back.to_owned()).map_err(|error| SignInError::Back(back.into(), error.to_string()))?;
        let (for_verifier, for_state) = chance.split_at(32);
        let verifier = PkceCodeVerifier::new(BASE64_URL_SAFE_NO_PAD.encode(for_verifier));
        let state = BASE64_URL_SAFE_NO_PAD.encode(for_state);
        let mut request = self
            .desk
            .client()
            .authorize_url(|| CsrfToken::new(state.clone()))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .set_redirect_uri(std::borrow::Cow::Borrowed(&back));
        if let Some(scopes) = self.desk.scopes() {
            request = request.add_scope(scopes);
        }
        for (name, value) in &self.server.params {
            request = request.add_extra_param(name.as_str(), value.as_str());
        }
        let (url, _) = request.url();
        Ok(Begun { url: url.to_string(), state, verifier: SecretString::from(verifier.into_secret()), back })
    }

    /// `answer`: the query that the browser came back with, or the whole address. When this returns, the grant is kept.
    ///
    /// # Errors
    /// What came back is not ours or says no, or the code was not taken.
    pub async fn finish(&self, begun: &Begun, answer: &str) -> Result<Grant, SignInError> {
        let vendor = self.server.vendor;
        let fields = fields(answer);
        let get = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
        if !get("state").is_some_and(|state| same(state, &begun.state)) {
            return Err(SignInError::State);
        }
        if let Some(error) = get("error") {
            let why: String = match get("error_description") {
                Some(about) => format!("{error}: {about}"),
                None => error.to_owned(),
            };
            return Err(SignInError::Denied { vendor, why: why.chars().take(300).collect() });
        }
        let code = get("code").filter(|code| !code.is_empty()).ok_or(SignInError::NoCode)?;
        // Before the code is spent: who renews the earlier grant just now must not overwrite this one.
        let held = self.vault.lock().map_err(|why| SignInError::Fault(Fault::later(why)))?;
        let Some(_held) = held else { return Err(SignInError::Busy) };
        let asked = self.clock.now();
        let told = self.desk.exchange(code, &begun.verifier, &begun.back).await.map_err(|refused| match refused {
            Refused::Grant { why, .. } => SignInError::Code { vendor, why, back: begun.back.to_string() },
            Refused::Other { fault, .. } => SignInError::Fault(fault),
        })?;
        let grant = told.granted(asked);
        self.store(&Kept::new(&grant, &self.server, asked), "the sign-in").map_err(SignInError::Fault)?;
        self.take(&grant, self.vault.stamp());
        Ok(grant)
    }

    /// What is kept; asks nobody.
    ///
    /// # Errors
    /// [`Fault::Locked`]: it cannot be read, or is for another client.
    pub fn standing(&self) -> Result<Option<Standing>, Fault> {
        Ok(self.kept()?.map(|kept| {
            let grant = kept.grant();
            Standing {
                signed_in: kept.signed_in,
                refreshed: kept.refreshed,
                until: grant.until,
                renewable: grant.refresh.is_some() && kept.dead.is_none(),
                scopes: grant.scopes,
                over: kept.dead,
            }
        }))
    }

    /// Revokes the grant where the vendor can be told, and forgets it here. True: the vendor was told.
    ///
    /// # Errors
    /// It cannot be removed here. That the vendor could not be told is a warning of its own.
    pub async fn forget(&self) -> Result<(bool, Option<Fault>), String> {
        let kept = self.kept().ok().flatten().map(|kept| kept.grant());
        let (told, trouble) = match &kept {
            Some(grant) => {
                let (token, hint) = match &grant.refresh {
                    Some(refresh) => (refresh, "refresh_token"),
                    None => (&grant.token, "access_token"),
                };
                match self.desk.revoke(token, hint).await {
                    Ok(told) => (told, None),
                    Err(fault) => (false, Some(fault)),
                }
            }
            None => (false, None),
        };
        self.vault.forget()?;
        *self.lock() = super::session::State::default();
        Ok((told, trouble))
    }
}

/// The parameters of a query, of a whole URL, or of its fragment.
fn fields(answer: &str) -> Vec<(String, String)> {
    let answer = answer.trim().trim_matches(['"', '\'', '<', '>']);
    let query = answer.split_once('?').map_or(answer, |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(match (first, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            (other, _) => *other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Compares in constant time.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
