//! What Google's stand-ins share: the token endpoint for service accounts, the look at a token, the form of errors.
//!
//! Facts ("Using OAuth 2.0 for Server to Server Applications" and google-auth 2.62.2, read 2026-11-23): the assertion is a JWT,
//! RS256, with `iss`, `scope`, `aud`, `iat` and `exp`, of an hour at most; the answer's token is good for 3,599 seconds.
//!
//! There is one endpoint for all of Google (`oauth2.googleapis.com/token`); each stand-in answers for it at its own `/token`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::wire;
use crate::world::Context;

/// The service account that every sandbox knows. Whoever signs as it is believed until a key is registered.
pub const ACCOUNT: &str = "loopd@sandbox.iam.gserviceaccount.com";

const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
const LIFE: TimeDelta = TimeDelta::seconds(3599);
const LONGEST: TimeDelta = TimeDelta::hours(1);
/// How far clocks may be apart.
const SKEW: TimeDelta = TimeDelta::minutes(5);

#[derive(Clone)]
pub(crate) struct Tokens {
    /// By address: the public keys of the account, by their ids. None: any signature will do.
    accounts: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Tokens with their scopes, and until when they are good; `None`: for ever.
    live: BTreeMap<String, (String, Option<DateTime<Utc>>)>,
}

impl Tokens {
    /// `token`: one that is good from the start, for these scopes.
    pub(crate) fn new(token: &str, scopes: &str) -> Self {
        let accounts = [(ACCOUNT.to_owned(), BTreeMap::new())].into();
        Self { accounts, live: [(token.to_owned(), (scopes.to_owned(), None))].into() }
    }

    pub(crate) fn register(&mut self, email: &str, key_id: &str, public_key: &str) -> bool {
        let Some(key) = crate::github::app::read_public_key(public_key) else { return false };
        self.accounts.entry(email.to_owned()).or_default().insert(key_id.to_owned(), key);
        true
    }

    pub(crate) fn delete_account(&mut self, email: &str) {
        self.accounts.remove(email);
    }

    /// Every token that was handed out is good no more.
    pub(crate) fn revoke_all(&mut self) {
        self.live.retain(|_, (_, until)| until.is_none());
    }

    pub(crate) fn is_token_call(request: &Request<Bytes>) -> bool {
        request.uri().path() == "/token"
    }

    /// Too many tokens were asked for.
    pub(crate) fn throttled() -> Response<Bytes> {
        let body = json!({"error": "rate_limit_exceeded", "error_description": "Too many requests."});
        wire::json(StatusCode::TOO_MANY_REQUESTS, &body)
    }

    /// `POST /token`.
    pub(crate) fn mint(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        let refuse = |error: &str, why: &str| {
            wire::json(StatusCode::BAD_REQUEST, &json!({"error": error, "error_description": why}))
        };
        if request.method() != Method::POST {
            return wire::empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        let form: BTreeMap<String, String> =
            wire::pairs(&String::from_utf8_lossy(request.body())).into_iter().collect();
        if form.get("grant_type").map(String::as_str) != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
            return refuse("unsupported_grant_type", "Invalid grant_type: ");
        }
        match self.check(form.get("assertion").map(String::as_str).unwrap_or_default(), cx) {
            Ok(scope) => {
                let letters = "abcdefghijklmnopqrstuvwxyz0123456789";
                let token = format!("ya29.c.{}", cx.rng.text(letters, 40));
                self.live.insert(token.clone(), (scope, Some(cx.now + LIFE)));
                let body = json!({"access_token": token, "expires_in": LIFE.num_seconds(), "token_type": "Bearer"});
                wire::json(StatusCode::OK, &body)
            }
            Err((error, why)) => refuse(error, why),
        }
    }

    /// The scope of an assertion that holds.
    fn check(&self, assertion: &str, cx: &Context<'_>) -> Result<String, (&'static str, &'static str)> {
        let broken = ("invalid_grant", "Bad Request");
        let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let (signed, signature) = assertion.rsplit_once('.').ok_or(broken)?;
        let (header, claims) = signed.split_once('.').ok_or(broken)?;
        let (header, claims) = (part(header).ok_or(broken)?, part(claims).ok_or(broken)?);
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| broken)?;
        if header["alg"] != "RS256" || header["typ"] != "JWT" || signature.len() < 256 {
            return Err(("invalid_grant", "Invalid JWT Signature."));
        }
        let keys = claims["iss"].as_str().and_then(|issuer| self.accounts.get(issuer));
        let keys = keys.ok_or(("invalid_grant", "Invalid grant: account not found"))?;
        if !keys.is_empty() {
            let key = header["kid"].as_str().and_then(|id| keys.get(id));
            let good = key.is_some_and(|key| {
                ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, key)
                    .verify(signed.as_bytes(), &signature)
                    .is_ok()
            });
            if !good {
                return Err(("invalid_grant", "Invalid JWT Signature."));
            }
        }
        let audience = claims["aud"].as_str().unwrap_or_default();
        if audience != AUDIENCE && audience != format!("{}/token", cx.base) {
            return Err(("invalid_grant", "Invalid JWT: Failed audience check."));
        }
        let time = |key: &str| DateTime::from_timestamp(claims[key].as_i64()?, 0);
        let short = match (time("iat"), time("exp")) {
            (Some(issued), Some(expires)) => {
                issued <= cx.now + SKEW && expires > cx.now - SKEW && expires > issued && expires - issued <= LONGEST
            }
            _ => false,
        };
        if !short {
            return Err((
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.",
            ));
        }
        let scope = claims["scope"].as_str().filter(|scope| scope.contains("https://www.googleapis.com/auth/"));
        scope.map(str::to_owned).ok_or(("invalid_scope", "Invalid OAuth scope or ID token audience provided."))
    }

    /// Whether a call may be made, with one of these scopes.
    pub(crate) fn admit(
        &self,
        request: &Request<Bytes>,
        scopes: &[&str],
        now: DateTime<Utc>,
    ) -> Result<(), Response<Bytes>> {
        let known = wire::bearer(request).and_then(|token| self.live.get(token));
        let Some((scope, _)) = known.filter(|(_, until)| until.is_none_or(|until| until > now)) else {
            let why = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.";
            let mut refusal = refuse(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "authError", why);
            wire::set(
                refusal.headers_mut(),
                "www-authenticate",
                "Bearer realm=\"https://accounts.google.com/\", error=\"invalid_token\"",
            );
            return Err(refusal);
        };
        let has = scope.split(' ').any(|scope| scopes.iter().any(|wanted| scope.ends_with(&format!("/auth/{wanted}"))));
        let why = "Request had insufficient authentication scopes.";
        if has {
            Ok(())
        } else {
            Err(refuse(StatusCode::FORBIDDEN, "PERMISSION_DENIED", "insufficientPermissions", why))
        }
    }
}

pub(crate) fn refuse(status: StatusCode, name: &str, reason: &str, message: &str) -> Response<Bytes> {
    let errors = json!([{"message": message, "domain": "global", "reason": reason}]);
    wire::json(
        status,
        &json!({"error": {"code": status.as_u16(), "message": message, "errors": errors, "status": name}}),
    )
}

/// A number that Google's JSON writes as text, and takes as either.
pub(crate) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
