//! Linear: one GraphQL endpoint over a workspace of teams, issues, labels, customers and their history (vendor sheet, read
//! 2026-11-23).
//!
//! The law: what Linear's schema does not have is refused before anything runs, and every change of an issue, whoever made
//! it, is in its history with its actor and told to webhooks with what it was before.

mod customers;
mod desk;
mod document;
mod events;
mod execute;
mod fault;
mod filter;
mod issues;
mod mutations;
mod queries;
mod quota;
mod resolve;
mod schema;
mod seed;
mod settings;
mod store;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response};
use serde_json::{Map, Value};

use crate::oauth::{Provider, Rules};
use crate::wire;
use crate::world::{Context, StandIn};
use document::Operation;
use fault::{Answer, Fault};
use quota::Quota;
use store::Store;

/// The personal API key that works from the start; it goes raw into `Authorization`.
pub const KEY: &str = "lin_api_sandbox";
/// The OAuth token of an app that works from the start; it goes behind `Bearer`.
pub const OAUTH_TOKEN: &str = "lin_oauth_sandbox";
/// The OAuth application that is there from the start.
pub const CLIENT_ID: &str = "linear-sandbox-client";
pub const CLIENT_SECRET: &str = "linear-sandbox-secret";

/// linear.app/developers/oauth-2-0-authentication, read 2026-11-23.
const RULES: Rules = Rules {
    access_prefix: "lin_oauth_",
    access_life: TimeDelta::seconds(86_399),
    refresh_life: None,
    grace: TimeDelta::minutes(30),
    reuse_ends_grant: false,
    pkce_required: false,
    plain_pkce: true,
    separator: ',',
    scopes: &[
        "read",
        "write",
        "issues:create",
        "comments:create",
        "timeSchedule:write",
        "admin",
        "customer:read",
        "customer:write",
        "initiative:read",
        "initiative:write",
        "app:assignable",
        "app:mentionable",
    ],
    own_life: Some(TimeDelta::seconds(2_591_999)),
};

/// Users: the owner of the API key, the app of the OAuth token, and the person at the desk.
pub const OWNER: &str = "00000000-0000-4000-8000-0000000000a1";
pub const APP: &str = "00000000-0000-4000-8000-0000000000a2";
pub const PERSON: &str = "00000000-0000-4000-8000-0000000000a3";

/// Costlier than this and a document is refused (linear.app/developers/rate-limiting, read 2026-11-23).
const COSTLIEST: f64 = 10_000.0;
/// How many parsed documents are kept; clients send the same few with other variables.
const DOCUMENTS: usize = 256;

#[derive(Clone)]
pub struct Linear {
    store: Store,
    quota: Quota,
    /// The last issue number of each team.
    numbers: BTreeMap<String, u64>,
    revoked: BTreeSet<String>,
    refuse_next: BTreeMap<String, String>,
    customers_on_plan: bool,
    strict_webhook_urls: bool,
    keeps_other_aliases: bool,
    documents: BTreeMap<(String, Option<String>), Arc<Operation>>,
    sign_in: Provider,
}

/// Who asks.
struct Caller {
    user: String,
    /// For the buckets.
    key: String,
    admin: bool,
    /// What a sign-in asked for; `None`: everything.
    scopes: Option<BTreeSet<String>>,
}

impl Caller {
    /// Customers have scopes of their own; `read` comes with every token (linear.app/developers/oauth-2-0-authentication, read
    /// 2026-11-23; whether `write` covers customers is not said).
    fn must(&self, operation: &Operation) -> Answer<()> {
        let Some(scopes) = &self.scopes else { return Ok(()) };
        for name in operation.names() {
            let needed = match (name.starts_with("customer"), operation.mutation) {
                (true, true) => "customer:write",
                (true, false) => "customer:read",
                (false, true) => "write",
                (false, false) => continue,
            };
            if !scopes.contains(needed) {
                return Err(Fault::forbidden(&format!("Invalid scope: `{needed}` required")));
            }
        }
        Ok(())
    }
}

/// A request, read.
struct Asked {
    operation: Arc<Operation>,
    variables: Map<String, Value>,
}

impl StandIn for Linear {
    fn handle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        match request.uri().path() {
            "/oauth/authorize" => {
                let as_app = wire::query(request).iter().any(|(name, value)| name == "actor" && value == "app");
                return self.sign_in.authorize(request, if as_app { APP } else { PERSON }, cx);
            }
            "/oauth/token" => return self.sign_in.token(request, APP, cx),
            "/oauth/revoke" => return self.sign_in.revoke(request),
            _ => {}
        }
        let outcome = self.caller(request, cx.now).and_then(|caller| {
            let asked = self.read(request)?;
            caller.must(&asked.operation)?;
            Ok(execute::run(self, &asked.operation, &asked.variables, &caller, cx))
        });
        match outcome {
            Ok(outcome) => wire::json(outcome.status, &outcome.body),
            Err(fault) => fault.response(),
        }
    }

    fn admit(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        if request.uri().path().starts_with("/oauth/") {
            return Ok(());
        }
        let who = self.caller(request, cx.now).map_or_else(|_| "anonymous".to_owned(), |caller| caller.key);
        // What does not parse costs a request and no points; `handle` says what is wrong with it.
        let points = self.read(request).map_or(0.0, |asked| asked.operation.complexity(&asked.variables));
        let points = if points > COSTLIEST { 0.0 } else { points };
        self.quota.admit(&who, points, cx.now).map_err(|fault| fault.response())
    }

    /// Three more tries: after a minute, an hour, six hours (linear.app/developers/webhooks, read 2026-11-23).
    fn retry_after(&self, attempt: u32) -> Option<Duration> {
        let wait = match attempt {
            1 => 60,
            2 => 3_600,
            3 => 6 * 3_600,
            _ => return None,
        };
        Some(Duration::from_secs(wait))
    }

    fn is_read(&self, request: &Request<Bytes>) -> bool {
        self.peek(request).is_some_and(|operation| !operation.mutation)
    }

    fn operation(&self, request: &Request<Bytes>) -> String {
        if let Some(last) = request.uri().path().strip_prefix("/oauth/") {
            return format!("{} {last}", request.method());
        }
        let Some(operation) = self.peek(request) else { return "unreadable".to_owned() };
        let names = operation.names();
        let mut unique: Vec<&String> = Vec::new();
        names.iter().for_each(|name| {
            if !unique.contains(&name) {
                unique.push(name);
            }
        });
        let text = unique.into_iter().map(String::as_str).collect::<Vec<_>>().join("+");
        if text.is_empty() { "unreadable".to_owned() } else { text }
    }

    fn throttle(&mut self, _request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        self.quota.block(cx.now).response()
    }

    fn freshen(&mut self, live: &Self) {
        self.revoked.clone_from(&live.revoked);
        self.sign_in = live.sign_in.clone();
    }

    fn finish(
        &mut self,
        request: &Request<Bytes>,
        mut response: Response<Bytes>,
        cx: &mut Context<'_>,
    ) -> Response<Bytes> {
        if request.uri().path().starts_with("/oauth/") {
            return response;
        }
        self.quota.headers(response.headers_mut(), cx.now);
        response
    }
}

/// What a request's body asks: the document, the operation's name and the variables.
fn parts(request: &Request<Bytes>) -> Answer<(String, Option<String>, Map<String, Value>)> {
    if request.method() != Method::POST {
        return Err(Fault::syntax("GraphQL requests must be POST."));
    }
    let mut body: Value =
        serde_json::from_slice(request.body()).map_err(|_| Fault::syntax("POST body is not JSON."))?;
    let Some(query) = body.get("query").and_then(Value::as_str).map(str::to_owned) else {
        return Err(Fault::syntax("GraphQL operations must contain a non-empty `query`."));
    };
    let name = body.get("operationName").and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned);
    let variables = match body.get_mut("variables").map(Value::take) {
        Some(Value::Object(variables)) => variables,
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err(Fault::syntax("`variables` must be an object.")),
    };
    Ok((query, name, variables))
}

impl Linear {
    fn caller(&self, request: &Request<Bytes>, now: DateTime<Utc>) -> Answer<Caller> {
        let header = wire::header(request, "authorization").unwrap_or_default().trim();
        if let Some(access) = header.strip_prefix("Bearer ").and_then(|token| self.sign_in.holds(token.trim(), now)) {
            let (user, scopes) = (access.user.clone(), Some(access.scopes.clone()));
            return Ok(Caller { key: format!("oauth:{user}"), user, admin: false, scopes });
        }
        let (user, token, key, admin) = match header.strip_prefix("Bearer ") {
            Some(token) if token.starts_with("lin_api_") => {
                let why = "It looks like an API key is sent as a Bearer token. Remove the Bearer prefix from the Authorization header.";
                return Err(Fault::unauthenticated(why));
            }
            Some(token) => (APP, token, format!("oauth:{APP}"), false),
            None => (OWNER, header, format!("user:{OWNER}"), true),
        };
        let known = if user == APP { token == OAUTH_TOKEN } else { token == KEY };
        if !known || self.revoked.contains(token) {
            return Err(Fault::unauthenticated("Authentication required, not authenticated"));
        }
        Ok(Caller { user: user.to_owned(), key, admin, scopes: None })
    }

    fn read(&mut self, request: &Request<Bytes>) -> Answer<Asked> {
        let (query, name, variables) = parts(request)?;
        let key = (query, name);
        let operation = match self.documents.get(&key) {
            Some(operation) => Arc::clone(operation),
            None => {
                let operation = Arc::new(Operation::read(&key.0, key.1.as_deref())?);
                if self.documents.len() >= DOCUMENTS {
                    self.documents.clear();
                }
                self.documents.insert(key, Arc::clone(&operation));
                operation
            }
        };
        let variables = operation.variables(&variables)?;
        let points = operation.complexity(&variables);
        if points > COSTLIEST {
            return Err(Fault::too_complex(points));
        }
        Ok(Asked { operation, variables })
    }

    fn peek(&self, request: &Request<Bytes>) -> Option<Arc<Operation>> {
        let (query, name, _) = parts(request).ok()?;
        let key = (query, name);
        self.documents.get(&key).cloned().or_else(|| Operation::read(&key.0, key.1.as_deref()).ok().map(Arc::new))
    }
}

#[cfg(test)]
mod tests;
