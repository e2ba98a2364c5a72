//! An authorization server, for the stand-ins whose vendors have one: codes with PKCE, refresh tokens that rotate, client
//! credentials, revocation (RFC 6749, 7636, 7009). What differs between vendors is in [`Rules`].
//!
//! The law: a code is good once; a rotated refresh token is good for the vendor's grace and no longer, and a repeat after it
//! ends the whole grant where the vendor says so. Times are the world's.
//!
//! There is no page to look at: whoever comes with a browser has said yes already ([`Provider::deny_next`]: no).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::wire;
use crate::world::Context;

/// How long a code is good. Vendors say "a few minutes" (read 2026-11-23).
const CODE_LIFE: TimeDelta = TimeDelta::minutes(5);
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

/// What one vendor does differently.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) access_prefix: &'static str,
    pub(crate) access_life: TimeDelta,
    /// `None`: refresh tokens do not end by themselves.
    pub(crate) refresh_life: Option<TimeDelta>,
    /// How long a rotated refresh token is still taken, for an answer that was lost.
    pub(crate) grace: TimeDelta,
    /// A refresh token that comes a second time ends the grant.
    pub(crate) reuse_ends_grant: bool,
    pub(crate) pkce_required: bool,
    /// `plain` is taken besides `S256`.
    pub(crate) plain_pkce: bool,
    /// Between scopes in a request.
    pub(crate) separator: char,
    pub(crate) scopes: &'static [&'static str],
    /// Tokens for client credentials live so long; `None`: there are none.
    pub(crate) own_life: Option<TimeDelta>,
}

/// An application that may ask.
#[derive(Clone)]
struct Client {
    /// `None`: a public client, which proves itself by PKCE alone.
    secret: Option<String>,
    redirects: BTreeSet<String>,
}

#[derive(Clone)]
struct Code {
    grant: u64,
    client: String,
    redirect: String,
    challenge: Option<(String, bool)>,
    until: DateTime<Utc>,
    used: bool,
}

#[derive(Clone)]
struct Refresh {
    grant: u64,
    until: Option<DateTime<Utc>>,
    /// When it was exchanged for another.
    rotated: Option<DateTime<Utc>>,
}

/// A token that works, and for whom.
#[derive(Clone)]
pub(crate) struct Access {
    grant: u64,
    pub(crate) user: String,
    pub(crate) scopes: BTreeSet<String>,
    until: DateTime<Utc>,
}

#[derive(Clone)]
struct Grant {
    client: String,
    user: String,
    scopes: BTreeSet<String>,
}

#[derive(Clone)]
pub(crate) struct Provider {
    rules: Rules,
    clients: BTreeMap<String, Client>,
    codes: BTreeMap<String, Code>,
    /// Those that were not ended.
    grants: BTreeMap<u64, Grant>,
    access: BTreeMap<String, Access>,
    refresh: BTreeMap<String, Refresh>,
    made: u64,
    deny_next: Option<String>,
}

/// An answer that refuses, as RFC 6749 5.2 has it.
struct Refusal(StatusCode, &'static str, &'static str);

const fn bad(code: &'static str, why: &'static str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, code, why)
}

const NO_CLIENT: Refusal = Refusal(StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed");

impl Refusal {
    fn response(&self) -> Response<Bytes> {
        wire::json(self.0, &json!({ "error": self.1, "error_description": self.2 }))
    }
}

impl Provider {
    /// With one application, `id` and `secret`, whose browsers come back to a loopback port.
    pub(crate) fn new(rules: Rules, id: &str, secret: &str) -> Self {
        let mut provider = Self {
            rules,
            clients: BTreeMap::new(),
            codes: BTreeMap::new(),
            grants: BTreeMap::new(),
            access: BTreeMap::new(),
            refresh: BTreeMap::new(),
            made: 0,
            deny_next: None,
        };
        provider.register(id, Some(secret), &[]);
        provider
    }

    /// An application. It may send browsers back to these addresses, and to any port of `localhost` (RFC 8252, 7.3).
    pub(crate) fn register(&mut self, id: &str, secret: Option<&str>, redirects: &[&str]) {
        let redirects = redirects.iter().map(|url| (*url).to_owned()).collect();
        self.clients.insert(id.to_owned(), Client { secret: secret.map(str::to_owned), redirects });
    }

    /// The next person says no.
    pub(crate) fn deny_next(&mut self, why: &str) {
        self.deny_next = Some(why.to_owned());
    }

    /// All access tokens are over from now on; what they are refreshed with is not.
    pub(crate) fn expire(&mut self) {
        self.access.clear();
    }

    /// All grants are over: a person took them back.
    pub(crate) fn end_all(&mut self) {
        self.grants.clear();
    }

    /// Whom a token is good for.
    pub(crate) fn holds(&self, token: &str, now: DateTime<Utc>) -> Option<&Access> {
        self.access.get(token).filter(|access| now < access.until && self.grants.contains_key(&access.grant))
    }

    /// The browser's way. `user`: who sits in front of it.
    pub(crate) fn authorize(&mut self, request: &Request<Bytes>, user: &str, cx: &mut Context<'_>) -> Response<Bytes> {
        let asked: BTreeMap<String, String> = wire::query(request).into_iter().collect();
        let get = |name: &str| asked.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let page = |why: &str| {
            wire::answer(StatusCode::BAD_REQUEST, "text/html", format!("<html><body><p>{why}</p></body></html>\n"))
        };
        // Nobody is sent on to an address that is not the application's.
        let (Some(id), Some(redirect)) = (get("client_id"), get("redirect_uri")) else {
            return page("client_id and redirect_uri are required");
        };
        let Some(client) = self.clients.get(id) else { return page("There is no such application") };
        if !client.redirects.contains(redirect) && !is_loopback(redirect) {
            return page("The redirect_uri is not registered for this application");
        }
        let back = |fields: &[(&str, &str)]| {
            let state = get("state").map(|state| ("state", state));
            let fields: Vec<String> = fields
                .iter()
                .copied()
                .chain(state)
                .map(|(name, value)| format!("{name}={}", wire::encode(value)))
                .collect();
            let glue = if redirect.contains('?') { '&' } else { '?' };
            let mut response = wire::empty(StatusCode::FOUND);
            wire::set(response.headers_mut(), "location", &format!("{redirect}{glue}{}", fields.join("&")));
            response
        };
        let refuse = |code: &str, why: &str| back(&[("error", code), ("error_description", why)]);
        if let Some(why) = self.deny_next.take() {
            return refuse("access_denied", &why);
        }
        if get("response_type") != Some("code") {
            return refuse("unsupported_response_type", "response_type must be code");
        }
        if get("state").is_none() {
            return refuse("invalid_request", "state is required");
        }
        let challenge = match (get("code_challenge"), get("code_challenge_method").unwrap_or("plain")) {
            (None, _) if self.rules.pkce_required => {
                return refuse("invalid_request", "code_challenge is required");
            }
            (None, _) => None,
            (Some(challenge), "S256") => Some((challenge.to_owned(), true)),
            (Some(challenge), "plain") if self.rules.plain_pkce => Some((challenge.to_owned(), false)),
            (Some(_), _) => return refuse("invalid_request", "code_challenge_method must be S256"),
        };
        let scopes = match self.scopes(get("scope").unwrap_or_default()) {
            Ok(scopes) => scopes,
            Err(refusal) => return refuse(refusal.1, refusal.2),
        };
        let grant = self.grant(id, user, scopes);
        let code = cx.rng.text(LETTERS, 32);
        let held = Code {
            grant,
            client: id.to_owned(),
            redirect: redirect.to_owned(),
            challenge,
            until: cx.now + CODE_LIFE,
            used: false,
        };
        self.codes.insert(code.clone(), held);
        back(&[("code", &code)])
    }

    fn scopes(&self, text: &str) -> Result<BTreeSet<String>, Refusal> {
        let scopes: BTreeSet<String> =
            text.split(self.rules.separator).filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        if scopes.iter().any(|scope| !self.rules.scopes.contains(&scope.as_str())) {
            return Err(bad("invalid_scope", "A scope is unknown"));
        }
        Ok(scopes)
    }

    fn grant(&mut self, client: &str, user: &str, scopes: BTreeSet<String>) -> u64 {
        self.made += 1;
        self.grants.insert(self.made, Grant { client: client.to_owned(), user: user.to_owned(), scopes });
        self.made
    }

    /// The client's way: a code, a refresh token or its own credentials for an access token. `own_user`: who acts for an
    /// application that comes with its own.
    pub(crate) fn token(&mut self, request: &Request<Bytes>, own_user: &str, cx: &mut Context<'_>) -> Response<Bytes> {
        match self.exchange(request, own_user, cx) {
            Ok(body) => {
                let mut response = wire::json(StatusCode::OK, &body);
                wire::set(response.headers_mut(), "cache-control", "no-store");
                response
            }
            Err(refusal) => refusal.response(),
        }
    }

    fn exchange(&mut self, request: &Request<Bytes>, own_user: &str, cx: &mut Context<'_>) -> Result<Value, Refusal> {
        let form = form(request)?;
        let client = self.client(request, &form)?;
        let get = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
        match get("grant_type") {
            Some("authorization_code") => {
                let code = get("code").ok_or(bad("invalid_request", "code is required"))?;
                let grant = self.redeem(code, &client, get("redirect_uri"), get("code_verifier"), cx.now)?;
                Ok(self.issue(grant, true, cx))
            }
            Some("refresh_token") => {
                let token = get("refresh_token").ok_or(bad("invalid_request", "refresh_token is required"))?;
                let grant = self.rotate(token, &client, cx.now)?;
                Ok(self.issue(grant, true, cx))
            }
            Some("client_credentials") if self.rules.own_life.is_some() => {
                if self.clients.get(&client).is_none_or(|client| client.secret.is_none()) {
                    return Err(bad("unauthorized_client", "A public client has no credentials of its own"));
                }
                let scopes = self.scopes(get("scope").unwrap_or_default())?;
                // Other scopes than before, and the tokens with those are over (Linear, read 2026-11-23).
                self.grants.retain(|_, held| held.client != client || held.user != own_user || held.scopes == scopes);
                let grant = self.grant(&client, own_user, scopes);
                Ok(self.issue(grant, false, cx))
            }
            Some(_) => Err(bad("unsupported_grant_type", "This grant_type is not supported")),
            None => Err(bad("invalid_request", "grant_type is required")),
        }
    }

    /// Which application asks, proven.
    fn client(&self, request: &Request<Bytes>, form: &BTreeMap<String, String>) -> Result<String, Refusal> {
        let basic = wire::header(request, "authorization").and_then(|header| header.strip_prefix("Basic "));
        let (id, secret) = match basic {
            Some(pair) => {
                let pair = STANDARD.decode(pair.trim()).map_err(|_| NO_CLIENT)?;
                let pair = String::from_utf8(pair).map_err(|_| NO_CLIENT)?;
                let (id, secret) = pair.split_once(':').ok_or(NO_CLIENT)?;
                (wire::plain(id), Some(wire::plain(secret)))
            }
            None => (form.get("client_id").cloned().unwrap_or_default(), form.get("client_secret").cloned()),
        };
        let client = self.clients.get(&id).ok_or(NO_CLIENT)?;
        match (&client.secret, &secret) {
            (None, None) => Ok(id),
            (Some(held), Some(secret)) if held == secret => Ok(id),
            // With PKCE some vendors do without the secret; who sends one must have it right.
            (Some(_), None) if self.rules.plain_pkce && form.contains_key("code_verifier") => Ok(id),
            _ => Err(NO_CLIENT),
        }
    }

    fn redeem(
        &mut self,
        code: &str,
        client: &str,
        redirect: Option<&str>,
        verifier: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<u64, Refusal> {
        let held = self.codes.get_mut(code).ok_or(bad("invalid_grant", "The code is invalid"))?;
        if held.used {
            // Somebody has it who should not (RFC 6749, 4.1.2).
            let grant = held.grant;
            self.grants.remove(&grant);
            return Err(bad("invalid_grant", "The code was used already"));
        }
        if held.client != client || redirect != Some(held.redirect.as_str()) {
            return Err(bad("invalid_grant", "The code was given for another client_id or redirect_uri"));
        }
        if now >= held.until {
            return Err(bad("invalid_grant", "The code has expired"));
        }
        if let Some((challenge, hashed)) = &held.challenge {
            let verifier = verifier.ok_or(bad("invalid_request", "code_verifier is required"))?;
            let good = (43..=128).contains(&verifier.len())
                && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
            let made = if *hashed { URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) } else { verifier.to_owned() };
            if !good || made != *challenge {
                return Err(bad("invalid_grant", "The code_verifier does not fit the code_challenge"));
            }
        }
        held.used = true;
        Ok(held.grant)
    }

    fn rotate(&mut self, token: &str, client: &str, now: DateTime<Utc>) -> Result<u64, Refusal> {
        const OVER: Refusal = bad("invalid_grant", "The refresh token is invalid, expired or revoked");
        let held = self.refresh.get_mut(token).ok_or(OVER)?;
        let grant = held.grant;
        if self.grants.get(&grant).is_none_or(|held| held.client != client)
            || held.until.is_some_and(|until| now >= until)
        {
            return Err(OVER);
        }
        match held.rotated {
            None => held.rotated = Some(now),
            Some(at) if now < at + self.rules.grace => {}
            Some(_) => {
                if self.rules.reuse_ends_grant {
                    self.grants.remove(&grant);
                }
                return Err(OVER);
            }
        }
        Ok(grant)
    }

    fn issue(&mut self, grant: u64, renewable: bool, cx: &mut Context<'_>) -> Value {
        let Some(held) = self.grants.get(&grant).cloned() else { return Value::Null };
        let life =
            if renewable { self.rules.access_life } else { self.rules.own_life.unwrap_or(self.rules.access_life) };
        let token = format!("{}{}", self.rules.access_prefix, cx.rng.text(LETTERS, 48));
        let scope = held.scopes.iter().cloned().collect::<Vec<_>>().join(" ");
        let access = Access { grant, user: held.user, scopes: held.scopes, until: cx.now + life };
        self.access.insert(token.clone(), access);
        let mut body = Map::from_iter([
            ("access_token".to_owned(), json!(token)),
            ("token_type".to_owned(), json!("Bearer")),
            ("expires_in".to_owned(), json!(life.num_seconds())),
            ("scope".to_owned(), json!(scope)),
        ]);
        if renewable {
            let refresh = cx.rng.text(LETTERS, 64);
            let until = self.rules.refresh_life.map(|life| cx.now + life);
            self.refresh.insert(refresh.clone(), Refresh { grant, until, rotated: None });
            body.insert("refresh_token".to_owned(), json!(refresh));
            if let Some(life) = self.rules.refresh_life {
                body.insert("refresh_expires_in".to_owned(), json!(life.num_seconds()));
            }
        }
        Value::Object(body)
    }

    /// RFC 7009: what is unknown is as good as revoked.
    pub(crate) fn revoke(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let form = match form(request) {
            Ok(form) => form,
            Err(refusal) => return refusal.response(),
        };
        let token = form.get("token").map(String::as_str).unwrap_or_default();
        let grant =
            self.refresh.get(token).map(|held| held.grant).or_else(|| self.access.get(token).map(|held| held.grant));
        if let Some(grant) = grant {
            self.grants.remove(&grant);
        }
        wire::json(StatusCode::OK, &json!({}))
    }
}

/// `http` on this machine, whatever the port: for programs that wait for a browser.
fn is_loopback(redirect: &str) -> bool {
    let Some(rest) = redirect.strip_prefix("http://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

fn form(request: &Request<Bytes>) -> Result<BTreeMap<String, String>, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "The token endpoint takes POST"));
    }
    let kind = wire::header(request, "content-type").unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        return Err(bad("invalid_request", "The body must be application/x-www-form-urlencoded"));
    }
    Ok(wire::pairs(&String::from_utf8_lossy(request.body())).into_iter().collect())
}

#[cfg(test)]
#[path = "oauth_tests.rs"]
mod tests;
