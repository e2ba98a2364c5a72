//! Airtable: bases, records, schema, comments and webhooks, as its Web API v0 shows them (vendor sheet, read 2026-11-23).
//!
//! The law: a request is done whole or not at all, and what it changed, people's edits alike, appears once in every
//! webhook that asked for it.

mod cells;
mod changes;
mod comments;
mod desk;
mod fields;
mod formula;
mod formula_row;
mod list;
mod model;
mod quota;
mod records;
mod refusal;
mod render;
mod request;
mod schema;
mod template;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::oauth::{Provider, Rules};
use crate::wire;
use crate::world::{Context, Outgoing, StandIn};
use changes::Source;
use model::Base;
use quota::Quota;
use refusal::{Answer, Refusal};
use request::Asked;

/// The token that works from the start.
pub const TOKEN: &str = "pat.sandbox";
/// The OAuth integration that is there from the start.
pub const CLIENT_ID: &str = "airtable-sandbox-client";
pub const CLIENT_SECRET: &str = "airtable-sandbox-secret";

/// Airtable docs "oauth-reference", read 2026-11-23.
const RULES: Rules = Rules {
    access_prefix: "oaa",
    access_life: TimeDelta::hours(1),
    refresh_life: Some(TimeDelta::days(60)),
    grace: TimeDelta::zero(),
    reuse_ends_grant: true,
    pkce_required: true,
    plain_pkce: false,
    separator: ' ',
    scopes: &[
        "data.records:read",
        "data.records:write",
        "data.recordComments:read",
        "data.recordComments:write",
        "schema.bases:read",
        "schema.bases:write",
        "webhook:manage",
        "user.email:read",
    ],
    own_life: None,
};

const RETRIES: u32 = 13;
const FIRST_RETRY: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Airtable {
    bases: BTreeMap<String, Base>,
    tokens: BTreeMap<String, Token>,
    sign_in: Provider,
    quota: Quota,
}

#[derive(Clone)]
struct Token {
    user: String,
    /// `None`: all scopes.
    scopes: Option<BTreeSet<String>>,
    revoked: bool,
}

impl Default for Airtable {
    fn default() -> Self {
        let token = Token { user: owner(), scopes: None, revoked: false };
        Self {
            bases: BTreeMap::new(),
            tokens: BTreeMap::from([(TOKEN.to_owned(), token)]),
            sign_in: Provider::new(RULES, CLIENT_ID, CLIENT_SECRET),
            quota: Quota::default(),
        }
    }
}

fn owner() -> String {
    render::people()[0]["id"].as_str().unwrap_or_default().to_owned()
}

impl StandIn for Airtable {
    fn handle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        let path = path_of(request);
        match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["oauth2", "v1", "authorize"] => return self.sign_in.authorize(request, &owner(), cx),
            ["oauth2", "v1", "token"] => return self.sign_in.token(request, &owner(), cx),
            _ => {}
        }
        match self.token(request, cx.now).and_then(|token| self.answer(request, &token, cx)) {
            Ok(body) => wire::json(StatusCode::OK, &body),
            Err(refusal) => refusal.response(),
        }
    }

    fn admit(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        let user = self.token(request, cx.now).ok().map(|token| token.user);
        let path = path_of(request);
        let base = base_of(&path).filter(|base| self.bases.contains_key(*base));
        let meta = path.first().is_some_and(|first| first == "meta");
        self.quota.admit(user.as_deref(), base, meta, cx.now).map_err(|refusal| refusal.response())
    }

    fn throttle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        let user = self.token(request, cx.now).ok().map(|token| token.user).unwrap_or_default();
        let path = path_of(request);
        self.quota.penalize(base_of(&path).unwrap_or(&user), cx.now).response()
    }

    /// Up to 13 more tries, from 10 s and doubling: about a day (Airtable docs "webhooks-overview", read 2026-11-23).
    fn retry_after(&self, attempt: u32) -> Option<Duration> {
        (1..=RETRIES).contains(&attempt).then(|| FIRST_RETRY * 2_u32.pow(attempt - 1))
    }

    fn is_read(&self, request: &Request<Bytes>) -> bool {
        let path = request.uri().path();
        (request.method() == Method::GET && !path.starts_with("/oauth2/")) || path.ends_with("/listRecords")
    }

    fn freshen(&mut self, live: &Self) {
        self.tokens.clone_from(&live.tokens);
        self.sign_in = live.sign_in.clone();
    }

    fn operation(&self, request: &Request<Bytes>) -> String {
        let path = path_of(request);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let what = match path.as_slice() {
            ["oauth2", _, last @ ("authorize" | "token")] => last,
            ["meta", "whoami"] => "whoami",
            ["meta", "bases"] => "bases",
            ["meta", "bases", _, "tables", _, "fields", ..] => "fields",
            ["meta", "bases", ..] => "tables",
            ["bases", _, "webhooks", _, last @ ("refresh" | "enableNotifications" | "payloads")] => last,
            ["bases", ..] => "webhooks",
            [_, _, "listRecords"] => "listRecords",
            [_, _, _, "comments", ..] => "comments",
            [_, _] => "records",
            [_, _, _] => "record",
            _ => "unknown",
        };
        format!("{} {what}", request.method())
    }

    fn noted(&mut self, outgoing: &Outgoing, status: Option<u16>, cx: &mut Context<'_>) {
        let Ok(body) = serde_json::from_slice::<Value>(&outgoing.body) else { return };
        let (base, hook) = (&body["base"]["id"], &body["webhook"]["id"]);
        let again = self.retry_after(outgoing.attempt).is_some();
        if let (Some(base), Some(hook)) = (base.as_str().and_then(|id| self.bases.get_mut(id)), hook.as_str()) {
            webhooks::noted(base, hook, status.is_some_and(|s| (200..300).contains(&s)), again, cx);
        }
    }
}

fn path_of(request: &Request<Bytes>) -> Vec<String> {
    request::path(request.uri().path())
}

/// The base that a path is about, wherever it stands in it.
fn base_of(path: &[String]) -> Option<&str> {
    path.iter().take(3).map(String::as_str).find(|part| part.starts_with("app"))
}

impl Airtable {
    fn token(&self, request: &Request<Bytes>, now: DateTime<Utc>) -> Answer<Token> {
        let header = wire::header(request, "authorization").and_then(|header| header.strip_prefix("Bearer "));
        let token = header.map(str::trim).ok_or_else(Refusal::unauthenticated)?;
        if let Some(access) = self.sign_in.holds(token, now) {
            return Ok(Token { user: access.user.clone(), scopes: Some(access.scopes.clone()), revoked: false });
        }
        let token = self.tokens.get(token).filter(|token| !token.revoked);
        token.cloned().ok_or_else(Refusal::unauthenticated)
    }

    fn base(&mut self, id: &str) -> Answer<&mut Base> {
        self.bases.get_mut(id).ok_or_else(Refusal::no_model)
    }

    fn answer(&mut self, request: &Request<Bytes>, token: &Token, cx: &mut Context<'_>) -> Answer {
        let asked = request::read(request)?;
        let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["meta", "whoami"] if asked.method == Method::GET => Ok(whoami(token)),
            ["meta", "bases", rest @ ..] => self.meta(rest, &asked, token, cx),
            ["bases", base, "webhooks", rest @ ..] => {
                token.must("webhook:manage")?;
                hooks(self.base(base)?, rest, &asked, cx)
            }
            [base, table, row, "comments", rest @ ..] if base.starts_with("app") => {
                let reads = asked.method == Method::GET;
                token.must(if reads { "data.recordComments:read" } else { "data.recordComments:write" })?;
                comments_of(self.base(base)?, table, row, rest, &asked, cx)
            }
            [base, table, rest @ ..] if base.starts_with("app") => {
                let reads = asked.method == Method::GET || *rest == ["listRecords"];
                token.must(if reads { "data.records:read" } else { "data.records:write" })?;
                rows(self.base(base)?, table, rest, &asked, cx)
            }
            _ => Err(Refusal::not_found()),
        }
    }

    fn meta(&mut self, path: &[&str], asked: &Asked, token: &Token, cx: &mut Context<'_>) -> Answer {
        token.must(if asked.method == Method::GET { "schema.bases:read" } else { "schema.bases:write" })?;
        match (&asked.method, path) {
            (&Method::GET, []) => {
                let bases: Vec<Value> = self
                    .bases
                    .values()
                    .map(|b| json!({"id": b.id, "name": b.name, "permissionLevel": "create"}))
                    .collect();
                Ok(json!({ "bases": bases }))
            }
            (&Method::POST, []) => {
                let name = asked
                    .body
                    .get("name")
                    .and_then(Value::as_str)
                    .ok_or_else(|| Refusal::missing("A base needs a name"))?;
                asked
                    .body
                    .get("workspaceId")
                    .and_then(Value::as_str)
                    .ok_or_else(|| Refusal::missing("workspaceId is required"))?;
                let tables = asked.body.get("tables").and_then(Value::as_array).filter(|tables| !tables.is_empty());
                let tables = tables.ok_or_else(|| Refusal::missing("A base needs at least one table"))?;
                let base = schema::new_base(model::mint(cx.rng, "app"), name.to_owned(), tables, false, cx.rng)?;
                let mut out = schema::tables(&base);
                out["id"] = json!(base.id);
                self.bases.insert(base.id.clone(), base);
                Ok(out)
            }
            (&Method::GET, [base, "tables"]) => Ok(schema::tables(self.base(base)?)),
            (&Method::POST, [base, "tables"]) => schema::create_table(self.base(base)?, &asked.body, cx),
            (&Method::PATCH, [base, "tables", table]) => schema::update_table(self.base(base)?, table, &asked.body, cx),
            (&Method::POST, [base, "tables", table, "fields"]) => {
                schema::create_field(self.base(base)?, table, &asked.body, Source::Api, cx)
            }
            (&Method::PATCH, [base, "tables", table, "fields", field]) => {
                schema::update_field(self.base(base)?, table, field, &asked.body, cx)
            }
            _ => Err(Refusal::not_found()),
        }
    }
}

impl Token {
    fn must(&self, scope: &str) -> Answer<()> {
        if self.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope)) { Ok(()) } else { Err(Refusal::no_model()) }
    }
}

fn whoami(token: &Token) -> Value {
    let mut out = json!({ "id": token.user });
    if let Some(scopes) = &token.scopes {
        out["scopes"] = json!(scopes);
    }
    out
}

fn rows(base: &mut Base, table: &str, rest: &[&str], asked: &Asked, cx: &mut Context<'_>) -> Answer {
    let query = asked.query.as_json();
    let by_id = query.get("returnFieldsByFieldId").is_some_and(|v| *v == true);
    match (&asked.method, rest) {
        (&Method::GET, []) => list::list(base, table, &query, cx.now),
        (&Method::POST, ["listRecords"]) => list::list(base, table, &asked.body, cx.now),
        (&Method::GET, [row]) => list::get(base, table, row, by_id, cx.now),
        (&Method::POST, []) => records::create(base, table, &asked.body, cx),
        (method @ (&Method::PATCH | &Method::PUT), []) => {
            records::update(base, table, &asked.body, method == Method::PUT, cx)
        }
        (method @ (&Method::PATCH | &Method::PUT), [row]) => {
            records::update_one(base, table, row, &asked.body, method == Method::PUT, cx)
        }
        (&Method::DELETE, []) => records::delete(base, table, &asked.query.list("records"), cx),
        (&Method::DELETE, [row]) => records::delete_one(base, table, row, cx),
        _ => Err(Refusal::not_found()),
    }
}

fn comments_of(base: &mut Base, table: &str, row: &str, rest: &[&str], asked: &Asked, cx: &mut Context<'_>) -> Answer {
    match (&asked.method, rest) {
        (&Method::GET, []) => comments::list(base, table, row, &asked.query.as_json()),
        (&Method::POST, []) => comments::create(base, table, row, &asked.body, cx),
        (&Method::PATCH, [comment]) => comments::update(base, table, row, comment, &asked.body, cx),
        (&Method::DELETE, [comment]) => comments::delete(base, table, row, comment),
        _ => Err(Refusal::not_found()),
    }
}

fn hooks(base: &mut Base, rest: &[&str], asked: &Asked, cx: &mut Context<'_>) -> Answer {
    match (&asked.method, rest) {
        (&Method::GET, []) => Ok(webhooks::list(base, cx.now)),
        (&Method::POST, []) => webhooks::create(base, &asked.body, cx),
        (&Method::DELETE, [hook]) => webhooks::delete(base, hook),
        (&Method::POST, [hook, "refresh"]) => webhooks::find(base, hook)?.refresh(cx.now),
        (&Method::POST, [hook, "enableNotifications"]) => webhooks::find(base, hook)?.enable(&asked.body),
        (&Method::GET, [hook, "payloads"]) => webhooks::find(base, hook)?.payloads(&asked.query.as_json(), cx.now),
        _ => Err(Refusal::not_found()),
    }
}

#[cfg(test)]
mod tests;
