//! Signing in: the token endpoint with its four grants, and the sessions that come of them.
//!
//! The law: an authorization code works once and with its verifier; a refresh token that was rotated away takes its
//! successor with it; a session lives two hours from its last use. ("OAuth 2.0 flows" in Salesforce Help, read 2026-11-23.)

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Salesforce;
use super::access::Who;
use super::model::secret;
use super::refusal::{Answer, no_session, not_found, refuse};
use super::standard::{ADMIN, INTEGRATION, ORG};
use crate::wire;
use crate::world::Context;

/// Of an org that nobody has set otherwise.
const SESSION: TimeDelta = TimeDelta::hours(2);
const CODE: TimeDelta = TimeDelta::minutes(15);
const LONGEST_JWT: TimeDelta = TimeDelta::minutes(5);

/// The client that every sandbox knows from the start.
pub const CLIENT_ID: &str = "3MVG9sandboxClient";
pub const CLIENT_SECRET: &str = "SANDBOX0SECRET";

#[derive(Clone, Debug)]
pub(super) struct Session {
    who: Who,
    /// `None`: does not end by itself.
    until: Option<DateTime<Utc>>,
}

/// An external client app.
#[derive(Clone, Debug)]
pub(super) struct App {
    secret: String,
    /// Whose signatures it takes; without one, any.
    pub(super) public_key: Option<Vec<u8>>,
    /// The users who have approved it, or whose administrator has.
    pub(super) approved: BTreeSet<String>,
    /// The user of client credentials; `None`: the flow is off.
    pub(super) runs_as: Option<String>,
    /// Each refresh brings another refresh token.
    pub(super) rotates: bool,
}

#[derive(Clone, Debug)]
struct Code {
    client: String,
    who: Who,
    challenge: Option<String>,
    redirect: String,
    until: DateTime<Utc>,
}

#[derive(Clone, Debug)]
struct Grant {
    client: String,
    who: Who,
    /// Used up by a rotation. Used once more, it takes its whole family with it.
    spent: bool,
    family: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Auth {
    sessions: BTreeMap<String, Session>,
    pub(super) apps: BTreeMap<String, App>,
    codes: BTreeMap<String, Code>,
    grants: BTreeMap<String, Grant>,
    families: u64,
}

impl Default for Auth {
    fn default() -> Self {
        let app = App {
            secret: CLIENT_SECRET.into(),
            public_key: None,
            approved: [ADMIN, INTEGRATION].map(str::to_owned).into(),
            runs_as: Some(ADMIN.into()),
            rotates: false,
        };
        Self {
            sessions: BTreeMap::new(),
            apps: BTreeMap::from([(CLIENT_ID.to_owned(), app)]),
            codes: BTreeMap::new(),
            grants: BTreeMap::new(),
            families: 0,
        }
    }
}

impl Auth {
    pub(super) fn open(&mut self, token: &str, who: Who, until: Option<DateTime<Utc>>) {
        self.sessions.insert(token.to_owned(), Session { who, until });
    }

    pub(super) fn close(&mut self, token: &str) -> bool {
        self.sessions.remove(token).is_some()
    }

    pub(super) fn close_all(&mut self) {
        self.sessions.clear();
    }

    /// The refresh tokens die as well.
    pub(super) fn revoke_grants(&mut self) {
        self.grants.clear();
    }

    /// Who is at work; each use makes the session last longer.
    pub(super) fn who(&mut self, request: &Request<Bytes>, now: DateTime<Utc>) -> Answer<Who> {
        let token = wire::bearer(request).ok_or_else(no_session)?;
        let session = self.sessions.get_mut(token).filter(|session| session.until.is_none_or(|until| until > now));
        let session = session.ok_or_else(no_session)?;
        session.until = session.until.map(|_| now + SESSION);
        Ok(session.who.clone())
    }
}

/// What the token endpoint says no with.
fn denied(error: &str, why: &str) -> Response<Bytes> {
    wire::json(StatusCode::BAD_REQUEST, &json!({ "error": error, "error_description": why }))
}

struct Form(BTreeMap<String, String>);

impl Form {
    fn read(request: &Request<Bytes>) -> Self {
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let asked = Request::builder().uri(format!("/?{body}")).body(Bytes::new());
        let mut pairs: BTreeMap<String, String> =
            asked.map(|asked| wire::query(&asked)).unwrap_or_default().into_iter().collect();
        pairs.extend(wire::query(request));
        Self(pairs)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl Salesforce {
    /// `/services/oauth2/…`
    pub(super) fn oauth(&mut self, path: &[&str], request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        let form = Form::read(request);
        Ok(match (request.method(), path) {
            (&Method::POST, ["token"]) => match self.token(&form, request, cx) {
                Ok(body) => wire::json(StatusCode::OK, &body),
                Err(refusal) => refusal,
            },
            (&Method::GET, ["authorize"]) => self.authorize(&form, cx),
            (_, ["revoke"]) => self.revoke(&form),
            (_, ["userinfo"]) => {
                let who =
                    self.auth.who(request, cx.now).map_err(|_| refuse(403, "Bad_OAuth_Token", "Bad_OAuth_Token"))?;
                wire::json(StatusCode::OK, &self.userinfo(&who, cx))
            }
            (&Method::POST, ["introspect"]) => {
                let session = form.get("token").and_then(|token| self.auth.sessions.get(token));
                let live = session.filter(|session| session.until.is_none_or(|until| until > cx.now));
                let said = live.map_or(json!({ "active": false }), |session| {
                    json!({ "active": true, "scope": words(&session.who), "sub": identity(&session.who, cx), "token_type": "access_token" })
                });
                wire::json(StatusCode::OK, &said)
            }
            _ => return Err(not_found()),
        })
    }

    /// `/id/ORG/USER`
    pub(super) fn identity(&mut self, user: &str, request: &Request<Bytes>, cx: &Context<'_>) -> Answer<Value> {
        let asked = wire::query(request);
        let token = asked.iter().find(|(name, _)| name == "oauth_token").map(|(_, token)| token.as_str());
        let who = match token {
            Some(token) => self.auth.sessions.get(token).map(|session| session.who.clone()),
            None => self.auth.who(request, cx.now).ok(),
        };
        let who =
            who.filter(|who| who.user == user).ok_or_else(|| refuse(403, "Bad_OAuth_Token", "Bad_OAuth_Token"))?;
        let mut said = self.userinfo(&who, cx);
        said["id"] = json!(identity(&who, cx));
        said["username"] = said["preferred_username"].clone();
        said["display_name"] = said["name"].clone();
        Ok(said)
    }

    fn userinfo(&self, who: &Who, cx: &Context<'_>) -> Value {
        let user = self.objects.get("user").and_then(|users| users.rows.get(&who.user));
        let text = |field| user.and_then(|user| user.text(field)).unwrap_or_default();
        json!({
            "sub": identity(who, cx), "user_id": who.user, "organization_id": ORG, "preferred_username": text("Username"),
            "nickname": text("FirstName"), "name": text("Name"), "email": text("Email"), "email_verified": true,
            "given_name": text("FirstName"), "family_name": text("LastName"), "zoneinfo": "Europe/Paris", "active": true,
            "user_type": "STANDARD", "language": "en_US", "locale": "en_US", "utcOffset": 0, "is_app_installed": true,
            "urls": { "rest": format!("{}/services/data/v{{version}}/", cx.base), "custom_domain": cx.base },
        })
    }

    fn token(&mut self, form: &Form, request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<Value, Response<Bytes>> {
        match form.get("grant_type") {
            Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
                let who = self.of_assertion(form.get("assertion").unwrap_or_default(), cx)?;
                Ok(self.open_session(&who, None, cx))
            }
            Some("client_credentials") => {
                let host = cx.base.split("://").last().unwrap_or_default();
                if host.starts_with("login.") || host.starts_with("test.") {
                    return Err(denied("invalid_grant", "request not supported on this domain"));
                }
                let (_, app) = self.client(form, request, true)?;
                let Some(user) = app.runs_as.clone() else {
                    return Err(denied("invalid_grant", "no client credentials user enabled"));
                };
                let who = who(&user, &["api", "id"]);
                Ok(self.open_session(&who, None, cx))
            }
            Some("authorization_code") => self.of_code(form, request, cx),
            Some("refresh_token") => self.of_refresh(form, request, cx),
            Some(_) => Err(denied("unsupported_grant_type", "grant type not supported")),
            None => Err(denied("invalid_request", "missing required parameter: grant_type")),
        }
    }

    /// The client of a form or of its `Authorization: Basic`.
    fn client(
        &self,
        form: &Form,
        request: &Request<Bytes>,
        must_prove: bool,
    ) -> Result<(String, &App), Response<Bytes>> {
        let basic = wire::header(request, "authorization").and_then(|header| header.strip_prefix("Basic "));
        let basic = basic.and_then(|text| String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok());
        let (id, secret) = match basic.as_deref().and_then(|text| text.split_once(':')) {
            Some((id, secret)) => (Some(id.to_owned()), Some(secret.to_owned())),
            None => (form.get("client_id").map(str::to_owned), form.get("client_secret").map(str::to_owned)),
        };
        let id = id.ok_or_else(|| denied("invalid_client_id", "client identifier invalid"))?;
        let app = self.auth.apps.get(&id).ok_or_else(|| denied("invalid_client_id", "client identifier invalid"))?;
        match secret {
            Some(secret) if secret != app.secret => Err(denied("invalid_client", "invalid client credentials")),
            None if must_prove => Err(denied("invalid_client", "invalid client credentials")),
            _ => Ok((id, app)),
        }
    }

    fn open_session(&mut self, who: &Who, refresh: Option<String>, cx: &mut Context<'_>) -> Value {
        let token = format!("{}!{}", &ORG[..15], secret(cx.rng, "AQ", 86));
        self.auth.open(&token, who.clone(), Some(cx.now + SESSION));
        let mut said = json!({
            "access_token": token, "instance_url": cx.base, "id": identity(who, cx), "token_type": "Bearer",
            "issued_at": cx.now.timestamp_millis().to_string(), "signature": secret(cx.rng, "", 43) + "=", "scope": words(who),
        });
        if let Some(refresh) = refresh {
            said["refresh_token"] = json!(refresh);
        }
        said
    }

    /// A signed word of a client for a user who has approved it.
    fn of_assertion(&self, jwt: &str, cx: &Context<'_>) -> Result<Who, Response<Bytes>> {
        let invalid = |why: &str| denied("invalid_grant", why);
        let mut parts = jwt.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid("invalid assertion"));
        };
        let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let (Some(head), Some(said)) = (part(header), part(claims)) else { return Err(invalid("invalid assertion")) };
        let text = |name: &str| said.get(name).and_then(Value::as_str);
        if head.get("alg").and_then(Value::as_str) != Some("RS256") {
            return Err(invalid("unsupported algorithm"));
        }
        let app = text("iss").and_then(|iss| self.auth.apps.get(iss));
        let app = app.ok_or_else(|| denied("invalid_client_id", "client identifier invalid"))?;
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        let proven = app.public_key.as_ref().is_none_or(|key| {
            let signed = format!("{header}.{claims}");
            let key = ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, key);
            key.verify(signed.as_bytes(), &signature).is_ok()
        });
        if signature.is_empty() || !proven {
            return Err(invalid("invalid assertion"));
        }
        let known = ["https://login.salesforce.com", "https://test.salesforce.com"];
        let audience = text("aud").map(|aud| aud.trim_end_matches('/'));
        // A domain of the org's own counts, too; the clients of some write `https://NAME.salesforce.com`.
        let here = |aud: &str| known.contains(&aud) || aud == cx.base || aud.ends_with(".salesforce.com");
        if !audience.is_some_and(here) {
            return Err(invalid("audience is invalid"));
        }
        let expires = said.get("exp").and_then(|exp| exp.as_i64().or_else(|| exp.as_str()?.parse().ok()));
        let expires = expires.and_then(|exp| DateTime::from_timestamp(exp, 0));
        if expires.is_none_or(|at| at <= cx.now || at > cx.now + LONGEST_JWT) {
            return Err(invalid("expired authorization code"));
        }
        let named = text("sub").or_else(|| text("prn")).unwrap_or_default();
        let users = self.objects.get("user").into_iter().flat_map(|users| users.rows.values());
        let mut users = users
            .filter(|user| !user.deleted && user.text("Username").is_some_and(|name| name.eq_ignore_ascii_case(named)));
        let user = users.next().and_then(|user| user.text("Id")).ok_or_else(|| invalid("invalid assertion"))?;
        if !app.approved.contains(user) {
            return Err(invalid("user hasn't approved this consumer"));
        }
        Ok(who(user, &["api", "id"]))
    }

    fn of_code(
        &mut self,
        form: &Form,
        request: &Request<Bytes>,
        cx: &mut Context<'_>,
    ) -> Result<Value, Response<Bytes>> {
        let (client, app) = self.client(form, request, false)?;
        let _ = app;
        let code = form.get("code").and_then(|code| self.auth.codes.remove(code));
        let code = code.filter(|code| code.client == client && code.until > cx.now);
        let code = code.ok_or_else(|| denied("invalid_grant", "expired authorization code"))?;
        if form.get("redirect_uri") != Some(&code.redirect) {
            return Err(denied("redirect_uri_mismatch", "redirect_uri must match configuration"));
        }
        if let Some(challenge) = &code.challenge {
            let verifier = form.get("code_verifier").unwrap_or_default();
            if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) != *challenge {
                return Err(denied("invalid_grant", "invalid code verifier"));
            }
        } else if self.client(form, request, true).is_err() {
            return Err(denied("invalid_client", "invalid client credentials"));
        }
        let lasts = code.who.scopes.contains("refresh_token") || code.who.scopes.contains("offline_access");
        self.auth.families += 1;
        let family = self.auth.families;
        let refresh = lasts.then(|| self.grant(&client, &code.who, family, cx));
        Ok(self.open_session(&code.who, refresh, cx))
    }

    fn grant(&mut self, client: &str, who: &Who, family: u64, cx: &mut Context<'_>) -> String {
        let token = secret(cx.rng, "5Aep861", 80);
        let grant = Grant { client: client.to_owned(), who: who.clone(), spent: false, family };
        self.auth.grants.insert(token.clone(), grant);
        token
    }

    fn of_refresh(
        &mut self,
        form: &Form,
        request: &Request<Bytes>,
        cx: &mut Context<'_>,
    ) -> Result<Value, Response<Bytes>> {
        let (client, app) = self.client(form, request, false)?;
        let rotates = app.rotates;
        let token = form.get("refresh_token").unwrap_or_default();
        let dead = || denied("invalid_grant", "expired access/refresh token");
        let grant = self.auth.grants.get(token).filter(|grant| grant.client == client).cloned().ok_or_else(dead)?;
        if grant.spent {
            // Somebody has a copy of it: all that came of it dies.
            self.auth.grants.retain(|_, other| other.family != grant.family);
            return Err(dead());
        }
        let next = rotates.then(|| self.grant(&client, &grant.who, grant.family, cx));
        if rotates && let Some(old) = self.auth.grants.get_mut(token) {
            old.spent = true;
        }
        Ok(self.open_session(&grant.who, next, cx))
    }

    /// The page where a person says yes; in a sandbox, the administrator always does, at once.
    fn authorize(&mut self, form: &Form, cx: &mut Context<'_>) -> Response<Bytes> {
        let client = form.get("client_id").unwrap_or_default();
        let Some(redirect) = form.get("redirect_uri").filter(|_| self.auth.apps.contains_key(client)) else {
            return denied("invalid_client_id", "client identifier invalid");
        };
        let scopes: Vec<&str> =
            form.get("scope").map_or_else(|| vec!["api", "refresh_token"], |scope| scope.split_whitespace().collect());
        let glue = if redirect.contains('?') { '&' } else { '?' };
        let state = form.get("state").map(|state| format!("&state={}", wire::encode(state))).unwrap_or_default();
        let target = if form.get("response_type") == Some("code") {
            let code = secret(cx.rng, "aPrx", 60);
            let kept = Code {
                client: client.to_owned(),
                who: who(ADMIN, &scopes),
                challenge: form.get("code_challenge").map(str::to_owned),
                redirect: redirect.to_owned(),
                until: cx.now + CODE,
            };
            self.auth.codes.insert(code.clone(), kept);
            format!("{redirect}{glue}code={}{state}", wire::encode(&code))
        } else {
            format!("{redirect}{glue}error=unsupported_response_type{state}")
        };
        let mut response = wire::empty(StatusCode::FOUND);
        wire::set(response.headers_mut(), "location", &target);
        response
    }

    fn revoke(&mut self, form: &Form) -> Response<Bytes> {
        let token = form.get("token").unwrap_or_default();
        let known = self.auth.grants.remove(token).is_some() | self.auth.close(token);
        if known {
            return wire::empty(StatusCode::OK);
        }
        wire::answer(
            StatusCode::BAD_REQUEST,
            "application/x-www-form-urlencoded",
            "error=unsupported_token_type&error_description=this+token+type+is+not+supported",
        )
    }
}

pub(super) fn who(user: &str, scopes: &[&str]) -> Who {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    Who { user: user.to_owned(), admin: user == ADMIN, scopes }
}

fn words(who: &Who) -> String {
    who.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn identity(who: &Who, cx: &Context<'_>) -> String {
    format!("{}/id/{ORG}/{}", cx.base, who.user)
}
