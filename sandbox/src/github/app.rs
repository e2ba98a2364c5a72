//! GitHub Apps: a JWT proves the app, and buys an installation token that lasts an hour.
//!
//! The law: RS256, `iss` the client id or app id, `exp` at most ten minutes ahead, `iat` not in the future (GitHub docs,
//! read 2026-11-23). The signature is checked if a public key was registered.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::GitHub;
use super::errors::{Answer, created, not_found, ok, refuse};
use super::model::{Actor, Token, stamp};
use super::route::Call;
use crate::wire;
use crate::world::Context;

const LIFE: TimeDelta = TimeDelta::hours(1);
const LONGEST_JWT: TimeDelta = TimeDelta::minutes(10);
/// How far a client's clock may be ahead.
const SKEW: TimeDelta = TimeDelta::seconds(30);

impl GitHub {
    /// `/app…`, which takes a JWT and not a token.
    pub(super) fn app_route(
        &mut self,
        rest: &[&str],
        call: &Call,
        request: &Request<Bytes>,
        cx: &mut Context<'_>,
    ) -> Answer {
        self.check_jwt(wire::bearer(request), cx.now)?;
        let installation = self.installation.ok_or_else(not_found)?;
        let app = Actor::person(&format!("{}[bot]", self.app_slug));
        match (&call.method, rest) {
            (&Method::GET, []) => ok(&self.show_app(cx)),
            (&Method::GET, ["installations"]) => ok(&json!([self.show_installation(installation, call, cx)])),
            (&Method::GET, ["installations", id]) if *id == installation.to_string() => {
                ok(&self.show_installation(installation, call, cx))
            }
            (&Method::POST, ["installations", id, "access_tokens"]) if *id == installation.to_string() => {
                self.mint(installation, call, cx)
            }
            (_, ["hook", "deliveries", rest @ ..]) => {
                let hook = self
                    .hooks
                    .values()
                    .find(|hook| hook.repo.is_none())
                    .map(|hook| hook.id.to_string())
                    .ok_or_else(not_found)?;
                let path: Vec<&str> = [hook.as_str(), "deliveries"].into_iter().chain(rest.iter().copied()).collect();
                self.hook_route(None, &path, call, &app, cx)
            }
            _ => Err(not_found()),
        }
    }

    fn mint(&mut self, installation: u64, call: &Call, cx: &mut Context<'_>) -> Answer {
        let body = call.object()?;
        let only: Option<Vec<u64>> = if let Some(Value::Array(ids)) = body.get("repository_ids") {
            Some(ids.iter().filter_map(Value::as_u64).collect())
        } else if let Some(Value::Array(names)) = body.get("repositories") {
            let names: Vec<String> = names.iter().filter_map(Value::as_str).map(str::to_lowercase).collect();
            Some(
                self.repos
                    .values()
                    .filter(|repo| names.contains(&repo.name.to_lowercase()))
                    .map(|repo| repo.id)
                    .collect(),
            )
        } else {
            None
        };
        if let Some(only) = &only
            && (only.is_empty() || only.iter().any(|id| !self.repos.contains_key(id)))
        {
            return Err(refuse(
                StatusCode::UNPROCESSABLE_ENTITY,
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
            ));
        }
        // The newer, stateless shape: not forty characters long.
        let token = format!(
            "ghs_{}_{}",
            self.app_id,
            cx.rng.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 180)
        );
        let expires_at = cx.now + LIFE;
        let actor =
            Actor { login: format!("{}[bot]", self.app_slug), installation: Some(installation), only: only.clone() };
        self.tokens.insert(token.clone(), Token { actor, expires_at: Some(expires_at) });
        created(&json!({
            "token": token, "expires_at": stamp(expires_at), "permissions": {"issues": "write", "metadata": "read"},
            "repository_selection": if only.is_some() { "selected" } else { "all" },
        }))
    }

    fn check_jwt(&self, jwt: Option<&str>, now: DateTime<Utc>) -> Result<(), Response<Bytes>> {
        let undecodable = || refuse(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
        let jwt = jwt.ok_or_else(undecodable)?;
        let (signed, signature) = jwt.rsplit_once('.').ok_or_else(undecodable)?;
        let (header, claims) = signed.split_once('.').ok_or_else(undecodable)?;
        let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let (header, claims) = (part(header).ok_or_else(undecodable)?, part(claims).ok_or_else(undecodable)?);
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| undecodable())?;
        if header.get("alg").and_then(Value::as_str) != Some("RS256") || signature.is_empty() {
            return Err(undecodable());
        }
        let issuer = claims.get("iss").map(|iss| iss.as_str().map_or_else(|| iss.to_string(), str::to_owned));
        if !issuer.is_some_and(|issuer| issuer == self.client_id || issuer == self.app_id.to_string()) {
            return Err(refuse(
                StatusCode::UNAUTHORIZED,
                "'Issuer' claim ('iss') must be an Integer or the client id of the app",
            ));
        }
        let time = |key: &str| DateTime::from_timestamp(claims.get(key)?.as_i64()?, 0);
        let refuse_time = |message: &str| Err(refuse(StatusCode::UNAUTHORIZED, message));
        match (time("iat"), time("exp")) {
            (Some(issued), _) if issued > now + SKEW => refuse_time(
                "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
            ),
            (_, Some(expires)) if expires <= now => refuse_time(
                "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
            ),
            (_, Some(expires)) if expires > now + LONGEST_JWT => {
                refuse_time("'Expiration time' claim ('exp') is too far in the future")
            }
            (Some(_), Some(_)) => self.check_signature(signed.as_bytes(), &signature).ok_or_else(undecodable),
            _ => Err(undecodable()),
        }
    }

    fn check_signature(&self, signed: &[u8], signature: &[u8]) -> Option<()> {
        let Some(key) = &self.public_key else { return Some(()) };
        ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, key)
            .verify(signed, signature)
            .ok()
    }

    fn show_app(&self, cx: &Context<'_>) -> Value {
        json!({
            "id": self.app_id, "client_id": self.client_id, "slug": self.app_slug, "node_id": super::show::node_id("A", self.app_id),
            "name": self.app_slug, "description": null, "external_url": "https://example.com",
            "owner": super::show::View::of_webhook(cx.base).user("sandbox-owner"),
            "html_url": format!("https://github.com/apps/{}", self.app_slug), "created_at": stamp(cx.now), "updated_at": stamp(cx.now),
            "permissions": {"issues": "write", "metadata": "read"}, "events": ["issues", "issue_comment"], "installations_count": 1,
        })
    }

    fn show_installation(&self, id: u64, call: &Call, cx: &Context<'_>) -> Value {
        let account = call.view(cx.base).user("sandbox-owner");
        let url = format!("{}/app/installations/{id}", cx.base);
        json!({
            "id": id, "account": account, "app_id": self.app_id, "app_slug": self.app_slug, "client_id": self.client_id,
            "target_id": account.get("id"), "target_type": "Organization", "repository_selection": "all",
            "access_tokens_url": format!("{url}/access_tokens"), "repositories_url": format!("{}/installation/repositories", cx.base),
            "html_url": format!("https://github.com/settings/installations/{id}"), "permissions": {"issues": "write", "metadata": "read"},
            "events": ["issues", "issue_comment"], "single_file_name": null, "created_at": stamp(cx.now), "updated_at": stamp(cx.now),
            "suspended_by": null, "suspended_at": null,
        })
    }
}

/// The RSA key of a PEM, `PUBLIC KEY` or `RSA PUBLIC KEY`, as `ring` takes it (PKCS#1 DER).
pub(crate) fn read_public_key(pem: &str) -> Option<Vec<u8>> {
    let body: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body).ok()?;
    if pem.contains("BEGIN RSA PUBLIC KEY") {
        return Some(der);
    }
    // SubjectPublicKeyInfo: the key is the last element, a BIT STRING with no unused bits; it starts with its own SEQUENCE.
    let oid = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03];
    let at = der.windows(oid.len()).position(|window| window == oid)? + oid.len();
    let length = *der.get(at)?;
    let skip = if length & 0x80 == 0 { 1 } else { 1 + usize::from(length & 0x7F) };
    (der.get(at + skip) == Some(&0)).then(|| der[at + skip + 1..].to_vec())
}
