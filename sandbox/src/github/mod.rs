//! GitHub's REST API: repositories, issues and pull requests, comments, labels, hooks, apps. (Vendor sheet and OpenAPI,
//! read 2026-11-23.)
//!
//! The law: every answer tells the quota and carries an `ETag` that belongs to the token; an unchanged answer is a 304
//! and free. Unlike GitHub, which reads public repositories to anybody, this refuses every call without a credential.
//!
//! Way of a request: `route` takes it apart, this file checks who asks and finds the repository, `issues`, `labels`, `hooks`
//! and `app` answer; `change` is the only place where an issue changes.

pub(crate) mod app;
mod change;
mod desk;
mod errors;
mod hooks;
mod issues;
mod labels;
mod list;
mod model;
mod quota;
mod route;
mod show;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) use app::read_public_key;
pub use desk::{Edit, NewIssue};
pub use model::{Comment, Issue, Repo};

use crate::wire;
use crate::world::{Context, Outgoing, StandIn, Vendor};
use errors::{Answer, moved, not_found, ok, refuse};
use model::{Actor, Hook, Token};
use quota::{Cost, Quota};
use route::{Call, VERSIONS};

/// Page numbers reach so many items; measured in 2026 (vendor sheet section 4). [`GitHub::set_page_cap`] changes it.
const PAGE_CAP: usize = 1_000;

#[derive(Clone)]
pub struct GitHub {
    repos: BTreeMap<u64, Repo>,
    /// By `owner/name` in lower case; and the names that repositories had before.
    names: BTreeMap<String, u64>,
    old_names: BTreeMap<String, u64>,
    tokens: BTreeMap<String, Token>,
    hooks: BTreeMap<u64, Hook>,
    quota: Quota,
    page_cap: usize,
    most_per_page: usize,
    app_id: u64,
    app_slug: String,
    client_id: String,
    installation: Option<u64>,
    public_key: Option<Vec<u8>>,
    last_id: u64,
}

impl Default for GitHub {
    /// Empty, with one token: [`Vendor::token`], of the account `loopd-sandbox`.
    fn default() -> Self {
        let token = Token { actor: Actor::person("loopd-sandbox"), expires_at: None };
        Self {
            repos: BTreeMap::new(),
            names: BTreeMap::new(),
            old_names: BTreeMap::new(),
            tokens: BTreeMap::from([(Vendor::GitHub.token().to_owned(), token)]),
            hooks: BTreeMap::new(),
            quota: Quota::default(),
            page_cap: PAGE_CAP,
            most_per_page: list::MOST_PER_PAGE,
            app_id: 0,
            app_slug: "loopd-sandbox".to_owned(),
            client_id: String::new(),
            installation: None,
            public_key: None,
            last_id: 2_400_000_000,
        }
    }
}

impl StandIn for GitHub {
    fn handle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        let response = self.answer(request, cx).unwrap_or_else(|refusal| refusal);
        conditional(request, response)
    }

    fn admit(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        if request.uri().path() == "/rate_limit" {
            return Ok(());
        }
        let write = !self.is_read(request);
        let path = request.uri().path();
        let content = request.method() == Method::POST && (path.ends_with("/issues") || path.ends_with("/comments"));
        match self.account(request, cx.now) {
            Some(account) => self.quota.admit(&account, Cost { write, content }, cx.now),
            None => Ok(()),
        }
    }

    /// Never: GitHub redelivers only when asked.
    fn retry_after(&self, _attempt: u32) -> Option<Duration> {
        None
    }

    fn operation(&self, request: &Request<Bytes>) -> String {
        let segments = wire::segments(request.uri().path());
        let rest = match segments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["repos", _, _] | ["repositories", _] => "repo".to_owned(),
            ["repos", _, _, ref rest @ ..] | ["repositories", _, ref rest @ ..] => nameless(rest),
            ref rest => nameless(rest),
        };
        format!("{} {rest}", request.method())
    }

    fn throttle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        let account = self.account(request, cx.now).unwrap_or_default();
        self.quota.bar(&account, cx.now)
    }

    fn finish(
        &mut self,
        request: &Request<Bytes>,
        mut response: Response<Bytes>,
        cx: &mut Context<'_>,
    ) -> Response<Bytes> {
        let request_id = format!("{:X}:{:X}", cx.rng.below(0xFFFF), cx.rng.next_u64());
        let headers = response.headers_mut();
        wire::set(headers, "x-github-request-id", &request_id);
        wire::set(headers, "x-github-media-type", "github.v3; format=json");
        let version = wire::header(request, "x-github-api-version")
            .and_then(|asked| VERSIONS.into_iter().find(|version| *version == asked));
        wire::set(headers, "x-github-api-version-selected", version.unwrap_or(VERSIONS[1]));
        if let Some(account) = self.account(request, cx.now) {
            if response.status() == StatusCode::NOT_MODIFIED {
                self.quota.refund(&account);
            }
            self.quota.stamp(&account, cx.now, response.headers_mut());
        }
        response
    }

    fn freshen(&mut self, live: &Self) {
        self.tokens.clone_from(&live.tokens);
    }

    fn noted(&mut self, outgoing: &Outgoing, status: Option<u16>, cx: &mut Context<'_>) {
        self.log_delivery(outgoing, status, cx);
    }
}

impl GitHub {
    fn answer(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        let call = Call::read(request)?;
        let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        match segments[..] {
            ["versions"] => return ok(&json!(VERSIONS)),
            ["app", ref rest @ ..] => return self.app_route(rest, &call, request, cx),
            _ => {}
        }
        let actor = self.who(request, cx.now)?;
        let view = call.view(cx.base);
        match (&call.method, &segments[..]) {
            (&Method::GET, ["rate_limit"]) => {
                let core = self.quota.show(&actor.account(), cx.now);
                let mut shown = json!({"resources": {"core": core, "search": {"limit": 30, "remaining": 30, "reset": cx.now.timestamp() + 60, "used": 0}}});
                if call.version == VERSIONS[1]
                    && let Value::Object(shown) = &mut shown
                {
                    shown.insert("rate".into(), core);
                }
                ok(&shown)
            }
            (&Method::GET, ["user"]) if actor.installation.is_some() => {
                Err(refuse(StatusCode::FORBIDDEN, "Resource not accessible by integration"))
            }
            (&Method::GET, ["user"]) => ok(&view.user(&actor.login)),
            (&Method::GET, ["users", login]) => ok(&view.user(login)),
            (&Method::GET, ["installation", "repositories"]) if actor.installation.is_some() => {
                let repos: Vec<Value> =
                    self.repos.values().filter(|repo| may(&actor, repo.id)).map(|repo| view.repo(repo)).collect();
                ok(&json!({"total_count": repos.len(), "repository_selection": "all", "repositories": repos}))
            }
            (_, ["repos", owner, name, rest @ ..]) => {
                let key = format!("{owner}/{name}").to_lowercase();
                match (self.names.get(&key), self.old_names.get(&key)) {
                    (Some(&id), _) => self.repo_route(id, rest, &call, &actor, cx),
                    (None, Some(id)) => {
                        // A GET may change into a GET of the new place; a write must stay the write that it is.
                        let status = if call.method == Method::GET {
                            StatusCode::MOVED_PERMANENTLY
                        } else {
                            StatusCode::TEMPORARY_REDIRECT
                        };
                        let tail: String = rest.iter().map(|segment| format!("/{}", wire::encode(segment))).collect();
                        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
                        Err(moved(status, &format!("{}/repositories/{id}{tail}{query}", cx.base)))
                    }
                    (None, None) => Err(not_found()),
                }
            }
            (_, ["repositories", id, rest @ ..]) => {
                let id = id.parse().map_err(|_| not_found())?;
                self.repo_route(id, rest, &call, &actor, cx)
            }
            _ => Err(not_found()),
        }
    }

    fn repo_route(&mut self, id: u64, rest: &[&str], call: &Call, actor: &Actor, cx: &mut Context<'_>) -> Answer {
        let repo = self.repos.get(&id).filter(|_| may(actor, id)).ok_or_else(not_found)?;
        match (&call.method, rest) {
            (&Method::GET, []) => ok(&call.view(cx.base).repo(repo)),
            (_, ["issues", rest @ ..]) => self.issue_route(id, rest, call, actor, cx),
            (_, ["labels", rest @ ..]) => self.label_route(id, rest, call, cx),
            (_, ["hooks", rest @ ..]) => self.hook_route(Some(id), rest, call, actor, cx),
            _ => Err(not_found()),
        }
    }

    fn who(&self, request: &Request<Bytes>, now: DateTime<Utc>) -> Result<Actor, Response<Bytes>> {
        let Some(token) = wire::bearer(request) else {
            return Err(refuse(StatusCode::UNAUTHORIZED, "Requires authentication"));
        };
        let live = self.tokens.get(token).filter(|token| token.expires_at.is_none_or(|end| now < end));
        live.map(|token| token.actor.clone()).ok_or_else(|| refuse(StatusCode::UNAUTHORIZED, "Bad credentials"))
    }

    fn account(&self, request: &Request<Bytes>, now: DateTime<Utc>) -> Option<String> {
        self.who(request, now).ok().map(|actor| actor.account())
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

fn may(actor: &Actor, repo: u64) -> bool {
    actor.only.as_ref().is_none_or(|only| only.contains(&repo))
}

/// Path segments with ids and names taken out.
fn nameless(segments: &[&str]) -> String {
    let mut out: Vec<&str> = Vec::new();
    for segment in segments {
        let is_name = out.last().is_some_and(|last| matches!(*last, "labels" | "users"));
        let is_id = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        out.push(if is_name {
            "{name}"
        } else if is_id {
            "{id}"
        } else {
            segment
        });
    }
    out.join("/")
}

/// Stamps the `ETag`, and turns the answer into a 304 if the client has it already. The tag covers the token, because
/// GitHub's does (github/docs#34689), and the links, so that a full last page does not hide the page after it.
fn conditional(request: &Request<Bytes>, mut response: Response<Bytes>) -> Response<Bytes> {
    if request.method() != Method::GET || response.status() != StatusCode::OK {
        return response;
    }
    let mut hash = Sha256::new();
    for part in [
        request.headers().get("authorization").map_or(&b""[..], |value| value.as_bytes()),
        request.headers().get("accept").map_or(&b""[..], |value| value.as_bytes()),
        response.headers().get("link").map_or(&b""[..], |value| value.as_bytes()),
        response.body(),
    ] {
        hash.update(part);
        hash.update([0]);
    }
    let tag = format!("\"{}\"", wire::hex(&hash.finalize()));
    let headers = response.headers_mut();
    wire::set(headers, "etag", &format!("W/{tag}"));
    wire::set(headers, "cache-control", "private, max-age=60, s-maxage=60");
    wire::set(headers, "vary", "Accept, Authorization, Cookie, X-GitHub-OTP");
    let has = wire::header(request, "if-none-match").unwrap_or_default();
    if has.split(',').any(|known| known.trim().trim_start_matches("W/") == tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Bytes::new();
    }
    response
}

#[cfg(test)]
mod tests;
