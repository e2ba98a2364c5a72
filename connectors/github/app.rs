//! Who we are to GitHub: a token, or an App's installation whose hourly tokens are minted from a signed JWT.
//!
//! Facts (GitHub docs, "Generating a JWT for a GitHub App", and its OpenAPI, read 2026-11-23): RS256, `iat` 60 s back
//! against clock drift, `exp` at most 10 minutes ahead, `iss` the client id. An installation token lives one hour; we
//! let go of it after 59 minutes. Its length and shape are not fixed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::DateTime;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;

use super::settings::AppSettings;
use super::verdict::message;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::http::{Answer, Auth, Call, Http};

const KEEP: Duration = Duration::from_secs(59 * 60);

pub(crate) struct App {
    client_id: String,
    installation_id: u64,
    key: EncodingKey,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<(SecretString, Duration)>,
    /// GitHub's clock minus ours, once it refused a JWT for its times.
    drift_seconds: i64,
}

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

impl App {
    /// # Errors
    /// When the key is no RSA private key in PEM.
    pub(crate) fn new(settings: &AppSettings, pem: &SecretString) -> Result<Self, String> {
        // A key that went through an environment variable often has its line ends written as \n.
        let pem = pem.expose_secret().replace("\\n", "\n");
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| {
            "is no RSA private key in PEM (the .pem file that GitHub gave when the key was made)".to_owned()
        })?;
        Ok(Self {
            client_id: settings.client_id.clone(),
            installation_id: settings.installation_id,
            key,
            state: Mutex::default(),
        })
    }

    /// The installation's token, minted if there is none that is young enough.
    pub(crate) async fn token(&self, http: &Http, clock: &dyn Clock) -> Result<SecretString, Fault> {
        if let Some((token, until)) = &self.lock().token
            && clock.monotonic() < *until
        {
            return Ok(token.clone());
        }
        let mut answer = self.mint(http, clock).await?;
        if answer.status.as_u16() == 401 && self.learn_drift(&answer, clock) {
            answer = self.mint(http, clock).await?;
        }
        match answer.status.as_u16() {
            200..=299 => {}
            401 | 403 | 404 => {
                return Err(Fault::locked(format!(
                    "GitHub gives no token for installation {} of App {}: {}",
                    self.installation_id,
                    self.client_id,
                    message(&answer)
                )));
            }
            status => {
                return Err(Fault::Later {
                    after: answer.retry_after(),
                    why: format!("minting a token: HTTP {status}: {}", message(&answer)),
                });
            }
        }
        let minted: Value = answer.json()?;
        let token = minted["token"].as_str().filter(|token| !token.is_empty());
        let token =
            SecretString::from(token.ok_or_else(|| Fault::unknown("GitHub minted a token but did not say it"))?);
        let said = minted["expires_at"].as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        let left = said
            .and_then(|at| (at.to_utc() - clock.now()).to_std().ok())
            .map(|left| left.saturating_sub(Duration::from_secs(60)));
        let keep = left.map_or(KEEP, |left| left.clamp(Duration::from_secs(30), KEEP));
        self.lock().token = Some((token.clone(), clock.monotonic() + keep));
        Ok(token)
    }

    /// Lets go of a token that GitHub refused; false if another call has replaced it already.
    pub(crate) fn forget(&self, refused: &SecretString) {
        let mut state = self.lock();
        if state.token.as_ref().is_some_and(|(token, _)| token.expose_secret() == refused.expose_secret()) {
            state.token = None;
        }
    }

    async fn mint(&self, http: &Http, clock: &dyn Clock) -> Result<Answer, Fault> {
        let jwt = self.jwt(clock)?;
        http.clone()
            .with_auth(Auth::Bearer(jwt))
            .call(
                Call::new(http::Method::POST, format!("/app/installations/{}/access_tokens", self.installation_id))
                    .reads(true),
            )
            .await
    }

    fn jwt(&self, clock: &dyn Clock) -> Result<SecretString, Fault> {
        let now = clock.now().timestamp() + self.lock().drift_seconds;
        // 9 minutes ahead and 1 back: exp - iat stays within the 10 minutes too.
        let claims = Claims { iat: now - 60, exp: now + 540, iss: &self.client_id };
        let jwt = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map_err(|error| Fault::locked(format!("app_private_key does not sign: {error}")))?;
        Ok(SecretString::from(jwt))
    }

    /// Whether GitHub's clock is far enough from ours to be why it refused a JWT.
    fn learn_drift(&self, answer: &Answer, clock: &dyn Clock) -> bool {
        let Some(there) = answer.header("date").and_then(|date| DateTime::parse_from_rfc2822(date).ok()) else {
            return false;
        };
        let drift = there.timestamp() - clock.now().timestamp();
        let mut state = self.lock();
        let news = (drift - state.drift_seconds).abs() > 30;
        if news {
            state.drift_seconds = drift;
        }
        news
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
