//! Notion: pages, databases with their data sources, blocks, views, comments and webhooks, as its API shows them in versions
//! 2025-09-03 and 2026-03-11. (Vendor sheet and the requests of Notion's own client, read 2026-11-23.)
//!
//! The law: a request is done whole or not at all; times are told to the minute, lists in a page object to the 25th; a
//! webhook says what changed, and no values.

mod blocks;
mod comments;
mod desk;
mod filter;
mod hooks;
mod model;
mod options;
mod pages;
mod query;
mod quota;
mod refusal;
mod relations;
mod schema;
mod show;
#[cfg(test)]
mod tests;
mod users;
mod values;
mod views;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};

pub use self::model::Capability;
use self::model::{Block, Comment, Database, Page, Parent, Source, Stamps, Token, View, rich};
use self::quota::Quota;
use self::refusal::{Answer, Refusal};
use crate::wire;
use crate::world::{Context, StandIn};

/// The token that works from the start.
pub const TOKEN: &str = "ntn_sandbox";
/// The page that is shared with it from the start.
pub const PAGE: &str = "10a9d000-0000-4000-8000-0000000000a1";
/// The versions that can be asked for.
const VERSIONS: [&str; 2] = ["2025-09-03", "2026-03-11"];
/// A request holds so many bytes.
const MAX_BODY: usize = 500 * 1024;

#[derive(Clone)]
pub struct Notion {
    pages: BTreeMap<String, Page>,
    databases: BTreeMap<String, Database>,
    sources: BTreeMap<String, Source>,
    blocks: BTreeMap<String, Block>,
    views: BTreeMap<String, View>,
    comments: Vec<Comment>,
    tokens: BTreeMap<String, Token>,
    /// Pages that are shared with the connections, with all below them.
    shared: BTreeSet<String>,
    hooks: hooks::Hooks,
    quota: Quota,
    serial: u64,
    /// What one query shows.
    cap: usize,
    /// How far queries are behind.
    lag: TimeDelta,
    /// The next creates are saved and answered 503; `true`: the answer names the page.
    saved: VecDeque<bool>,
    /// Views are not known here.
    viewless: bool,
}

/// One request, read.
struct Asked {
    method: Method,
    path: Vec<String>,
    query: Vec<(String, String)>,
    body: Map<String, Value>,
    version: &'static str,
    token: Token,
}

impl Asked {
    fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn must(&self, capability: Capability) -> Answer<()> {
        if self.token.lacks.contains(&capability) { Err(Refusal::restricted()) } else { Ok(()) }
    }

    /// `start_cursor` and `page_size`, from the body or the query.
    fn page(&self) -> Answer<(Option<String>, usize)> {
        let given = |name: &str| self.body.get(name).cloned().or_else(|| self.param(name).map(|text| json!(text)));
        let cursor = given("start_cursor").filter(|cursor| !cursor.is_null());
        let cursor = cursor.map(|cursor| match cursor.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(Refusal::body("start_cursor", "a string or `undefined`", &cursor)),
        });
        let size = match given("page_size") {
            None | Some(Value::Null) => 100,
            Some(size) => {
                let number = size.as_u64().or_else(|| size.as_str()?.parse().ok());
                match number {
                    Some(number @ 1..=100) => usize::try_from(number).unwrap_or(100),
                    Some(0) => return Err(Refusal::body("page_size", "≥ `1`", &size)),
                    Some(_) => return Err(Refusal::body("page_size", "≤ `100`", &size)),
                    None => return Err(Refusal::body("page_size", "a number or `undefined`", &size)),
                }
            }
        };
        Ok((cursor.transpose()?, size))
    }
}

impl Default for Notion {
    fn default() -> Self {
        let begin = DateTime::<Utc>::UNIX_EPOCH;
        let stamps = |serial| Stamps {
            created: begin,
            created_by: users::OWNER.into(),
            edited: begin,
            edited_by: users::OWNER.into(),
            serial,
        };
        let page = Page {
            id: PAGE.into(),
            parent: Parent::Workspace,
            values: BTreeMap::from([("title".to_owned(), json!([rich("loopd", None)]))]),
            stamps: stamps(0),
            trashed: false,
            archived: false,
            locked: false,
            icon: Value::Null,
            cover: Value::Null,
            children: Vec::new(),
        };
        let token = Token { user: users::BOT.into(), lacks: BTreeSet::new(), revoked: false };
        Self {
            pages: BTreeMap::from([(PAGE.to_owned(), page)]),
            databases: BTreeMap::new(),
            sources: BTreeMap::new(),
            blocks: BTreeMap::new(),
            views: BTreeMap::new(),
            comments: Vec::new(),
            tokens: BTreeMap::from([(TOKEN.to_owned(), token)]),
            shared: BTreeSet::from([PAGE.to_owned()]),
            hooks: hooks::Hooks::default(),
            quota: Quota::default(),
            serial: 1,
            cap: 10_000,
            lag: TimeDelta::zero(),
            saved: VecDeque::new(),
            viewless: false,
        }
    }
}

fn token_of(request: &Request<Bytes>) -> Option<&str> {
    wire::header(request, "authorization")?.strip_prefix("Bearer ").map(str::trim)
}

impl StandIn for Notion {
    fn handle(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Response<Bytes> {
        match self.read(request).and_then(|asked| self.answer(&asked, cx)) {
            Ok(body) => wire::json(StatusCode::OK, &body),
            Err(refusal) => refusal.response(),
        }
    }

    fn admit(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        let token = token_of(request).unwrap_or_default();
        self.quota.admit(token, cx.now).map_err(|refusal| throttled(&refusal))
    }

    fn throttle(&mut self, _request: &Request<Bytes>, _cx: &mut Context<'_>) -> Response<Bytes> {
        throttled(&quota::refusal(30_000))
    }

    /// ("Status codes", read 2026-11-23.)
    fn broken(&self) -> Option<Response<Bytes>> {
        let message = "Unexpected error occurred.";
        Some(Refusal::new(500, "internal_server_error", message).response())
    }

    /// Up to eight tries in a day, ever more rarely (Notion "webhooks-events-delivery", read 2026-11-23; the steps are not
    /// published).
    fn retry_after(&self, attempt: u32) -> Option<Duration> {
        (1..8)
            .contains(&attempt)
            .then(|| Duration::from_secs(60 * 4_u64.pow(attempt - 1)).min(Duration::from_secs(43_200)))
    }

    fn is_read(&self, request: &Request<Bytes>) -> bool {
        let path = request.uri().path();
        request.method() == Method::GET || path.ends_with("/query") || path.ends_with("/search")
    }

    fn operation(&self, request: &Request<Bytes>) -> String {
        let path = wire::segments(request.uri().path());
        let path: Vec<&str> = path.iter().skip(1).map(String::as_str).collect();
        let what = match path.as_slice() {
            ["pages", _, "properties", _] => "property",
            ["pages", _] => "page",
            ["data_sources", _, "query"] => "query",
            ["data_sources", _] => "data_source",
            ["databases", _] => "database",
            ["blocks", _, "children"] => "children",
            ["blocks", _] => "block",
            ["views", _] => "view",
            ["users", "me"] => "me",
            ["users", _] => "user",
            [one] => one,
            _ => "unknown",
        };
        format!("{} {what}", request.method())
    }

    fn finish(
        &mut self,
        _request: &Request<Bytes>,
        mut response: Response<Bytes>,
        cx: &mut Context<'_>,
    ) -> Response<Bytes> {
        // Every answer names the request, in a header and in its body.
        let id = cx.rng.uuid();
        if let Ok(Value::Object(mut body)) = serde_json::from_slice(response.body()) {
            body.insert("request_id".into(), json!(id));
            *response.body_mut() = Bytes::from(Value::Object(body).to_string());
        }
        wire::set(response.headers_mut(), "x-notion-request-id", &id);
        response
    }

    fn freshen(&mut self, live: &Self) {
        self.tokens.clone_from(&live.tokens);
        self.shared.clone_from(&live.shared);
    }
}

fn throttled(refusal: &Refusal) -> Response<Bytes> {
    let mut response = refusal.response();
    if let Some(seconds) = refusal.more["retry_after"].as_i64() {
        wire::set(response.headers_mut(), "retry-after", &seconds.to_string());
    }
    response
}

impl Notion {
    fn read(&self, request: &Request<Bytes>) -> Answer<Asked> {
        let token = token_of(request).and_then(|token| self.tokens.get(token)).filter(|token| !token.revoked);
        let token = token.ok_or_else(Refusal::unauthorized)?.clone();
        let version = match wire::header(request, "notion-version") {
            None => {
                return Err(Refusal::new(
                    400,
                    "missing_version",
                    "Notion-Version header failed validation: Notion-Version header should be defined, instead was `undefined`.",
                ));
            }
            Some(version) => VERSIONS.into_iter().find(|known| *known == version).ok_or_else(|| {
                Refusal::invalid(format!(
                    "Notion-Version header failed validation: Notion-Version header should be `\"2025-09-03\"` or `\"2026-03-11\"`, instead was `\"{version}\"`."
                ))
            })?,
        };
        if request.body().len() > MAX_BODY {
            return Err(Refusal::too_long("", MAX_BODY, request.body().len()));
        }
        let body = match request.body() {
            bytes if bytes.is_empty() => Map::new(),
            bytes => match serde_json::from_slice::<Value>(bytes) {
                Ok(Value::Object(body)) => body,
                Ok(other) => {
                    return Err(Refusal::invalid(format!(
                        "body failed validation: body should be an object, instead was `{other}`."
                    )));
                }
                Err(_) => return Err(Refusal::new(400, "invalid_json", "Error parsing JSON body.")),
            },
        };
        let path = wire::segments(request.uri().path());
        let path = match path.split_first() {
            Some((first, rest)) if first == "v1" => rest.to_vec(),
            _ => return Err(Refusal::no_such_url()),
        };
        Ok(Asked { method: request.method().clone(), path, query: wire::query(request), body, version, token })
    }

    fn answer(&mut self, asked: &Asked, cx: &mut Context<'_>) -> Answer {
        let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
        let method = asked.method.as_str();
        match (method, path.as_slice()) {
            ("GET", ["users", "me"]) => Ok(users::me(&asked.token)),
            ("GET", ["users", id]) => users::one(asked, id),
            ("GET", ["users"]) => users::list(asked),
            ("POST", ["search"]) => self.search(asked),
            ("POST", ["pages"]) => self.create_page(asked, cx),
            ("GET", ["pages", id]) => self.retrieve_page(asked, id),
            ("PATCH", ["pages", id]) => self.update_page(asked, id, cx),
            ("POST", ["pages", id, "move"]) => self.move_page(asked, id, cx),
            ("GET", ["pages", id, "properties", property]) => self.property_items(asked, id, property, cx),
            ("POST", ["databases"]) => self.create_database(asked, cx),
            ("GET", ["databases", id]) => self.retrieve_database(asked, id),
            ("PATCH", ["databases", id]) => self.update_database(asked, id, cx),
            ("POST", ["data_sources"]) => self.create_source(asked, cx),
            ("GET", ["data_sources", id]) => self.retrieve_source(asked, id),
            ("PATCH", ["data_sources", id]) => self.update_source(asked, id, cx),
            ("POST", ["data_sources", id, "query"]) => self.query_source(asked, id, cx),
            ("GET", ["data_sources", id, "templates"]) => {
                self.source(id)?;
                Ok(json!({ "templates": [], "has_more": false, "next_cursor": null }))
            }
            ("GET", ["blocks", id]) => self.retrieve_block(asked, id),
            ("PATCH", ["blocks", id]) => self.update_block(asked, id, cx),
            ("DELETE", ["blocks", id]) => self.delete_block(asked, id, cx),
            ("GET", ["blocks", id, "children"]) => self.list_children(asked, id),
            ("PATCH", ["blocks", id, "children"]) => self.append_children(asked, id, cx),
            (_, ["views", ..]) if self.viewless => Err(Refusal::no_such_url()),
            ("GET", ["views"]) => self.list_views(asked),
            ("POST", ["views"]) => self.create_view(asked, cx),
            ("GET", ["views", id]) => self.retrieve_view(asked, id),
            ("PATCH", ["views", id]) => self.update_view(asked, id, cx),
            ("DELETE", ["views", id]) => self.delete_view(asked, id),
            ("GET", ["comments"]) => self.list_comments(asked),
            ("POST", ["comments"]) => self.create_comment(asked, cx),
            _ => Err(Refusal::no_such_url()),
        }
    }

    fn stamps(&mut self, now: DateTime<Utc>, by: &str) -> Stamps {
        self.serial += 1;
        Stamps { created: now, created_by: by.into(), edited: now, edited_by: by.into(), serial: self.serial }
    }

    /// Whether a connection sees it: it, or what it stands in, is shared.
    fn is_shared(&self, id: &str) -> bool {
        let mut at = id.to_owned();
        for _ in 0..64 {
            if self.shared.contains(&at) {
                return true;
            }
            let parent = self
                .pages
                .get(&at)
                .map(|page| page.parent.clone())
                .or_else(|| self.databases.get(&at).map(|database| database.parent.clone()))
                .or_else(|| self.blocks.get(&at).map(|block| block.parent.clone()));
            at = match parent {
                Some(Parent::Page(id) | Parent::Block(id)) => id,
                Some(Parent::Source(id)) => match self.sources.get(&id) {
                    Some(source) => source.database.clone(),
                    None => return false,
                },
                Some(Parent::Workspace) => return false,
                None => match self.sources.get(&at) {
                    Some(source) => source.database.clone(),
                    None => return false,
                },
            };
        }
        false
    }

    fn id(given: &str, place: &str) -> Answer<String> {
        model::uuid(given).ok_or_else(|| {
            Refusal::invalid(format!(
                "path failed validation: path.{place} should be a valid uuid, instead was `\"{given}\"`."
            ))
        })
    }

    fn page(&self, id: &str) -> Answer<&Page> {
        let id = Self::id(id, "page_id")?;
        let page = self.pages.get(&id).filter(|_| self.is_shared(&id));
        page.ok_or_else(|| Refusal::not_found("page", &id))
    }

    fn database(&self, id: &str) -> Answer<&Database> {
        let id = Self::id(id, "database_id")?;
        let database = self.databases.get(&id).filter(|_| self.is_shared(&id));
        database.ok_or_else(|| Refusal::not_found("database", &id))
    }

    fn source(&self, id: &str) -> Answer<&Source> {
        let id = Self::id(id, "data_source_id")?;
        let source = self.sources.get(&id).filter(|_| self.is_shared(&id));
        source.ok_or_else(|| Refusal::not_found("data_source", &id))
    }
}

/// A page of a list, by the id of the row that it starts with.
fn paged(rows: Vec<Value>, cursor: Option<&str>, size: usize, kind: &str) -> Answer {
    let start = match cursor {
        None => 0,
        Some(cursor) => rows
            .iter()
            .position(|row| row["id"] == cursor)
            .ok_or_else(|| Refusal::invalid(format!("The start_cursor provided is invalid: {cursor}")))?,
    };
    let next = rows.get(start + size).map(|row| row["id"].clone());
    let results: Vec<Value> = rows.into_iter().skip(start).take(size).collect();
    let mut list = json!({
        "object": "list", "results": results, "next_cursor": next, "has_more": next.is_some(), "type": kind,
    });
    list[kind] = json!({});
    Ok(list)
}
