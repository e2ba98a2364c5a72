//! The REST API below a version: queries and their pages, objects, rows, collections.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, Request, StatusCode};
use serde_json::{Map, Value, json};

use super::access::Access;
use super::model::{Object, Row, id_of, read_id, stamp};
use super::query::{Found, Scope};
use super::refusal::{Answer, Refusal, not_found, ok, refuse, unreadable, wrong_method};
use super::{CURSOR_LIFE, Kept, Salesforce, describe, refusal, save, soql, standard, values};
use crate::wire;
use crate::world::Context;

impl Salesforce {
    pub(super) fn rest(&mut self, root: &str, path: &[&str], request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        let who = self.auth.who(request, cx.now)?;
        let access = self.access(&who);
        let asked = wire::query(request);
        let query = |name: &str| asked.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        // Clients that cannot PATCH say so in the query.
        let method = match query("_HttpMethod") {
            Some("PATCH") if request.method() == Method::POST => Method::PATCH,
            Some("DELETE") if request.method() == Method::POST => Method::DELETE,
            _ => request.method().clone(),
        };
        let reads = matches!(method, Method::GET | Method::HEAD);
        let body = if reads || method == Method::DELETE { Map::new() } else { read_body(request)? };
        match (&method, path) {
            (&Method::GET, []) => Ok(ok(&resources(root, &who.user, cx))),
            (&Method::GET, ["sobjects"]) => Ok(ok(&self.describe_all(&access, root))),
            (&Method::GET, ["limits"]) => Ok(ok(&self.limits())),
            (&Method::GET, ["recent"]) => Ok(ok(&json!([]))),
            (&Method::GET, ["query" | "queryAll"]) => {
                let soql =
                    query("q").ok_or_else(|| refuse(400, "MALFORMED_QUERY", "A query string has to be specified"))?;
                self.query(soql, path == ["queryAll"], root, &access, request, cx)
            }
            (&Method::GET, ["query" | "queryAll", locator]) => self.more(locator, root, &access, cx),
            (&Method::GET, ["tooling", "query"]) => {
                access.must_customize()?;
                let tables = self.metadata();
                let desk = Access::of_desk(&who.user);
                let scope = Scope { objects: &tables, access: &desk, now: cx.now, root, all: false };
                let found = scope.run(&soql::parse(query("q").unwrap_or_default())?)?;
                Ok(ok(&match found {
                    Found::Count(count) => json!({ "size": count, "totalSize": count, "done": true, "records": [] }),
                    Found::Rows(rows) => {
                        json!({ "size": rows.len(), "totalSize": rows.len(), "done": true, "records": rows })
                    }
                }))
            }
            (_, ["tooling", rest @ ..]) => self.tooling(rest, &method, &body, &access, cx),
            (&Method::POST, ["composite"]) => self.composite(&body, request, cx),
            (&Method::POST | &Method::PATCH, ["composite", "sobjects"]) => {
                self.write_many(&method, None, &body, &access, cx)
            }
            (&Method::DELETE, ["composite", "sobjects"]) => {
                self.delete_many(query("ids").unwrap_or_default(), query("allOrNone") == Some("true"), &access, cx)
            }
            (&Method::GET, ["composite", "sobjects", object]) => {
                let list = |name| {
                    query(name)
                        .unwrap_or_default()
                        .split(',')
                        .filter(|one| !one.is_empty())
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                };
                self.read_many(object, &list("ids"), &list("fields"), &access, root, cx)
            }
            (&Method::POST, ["composite", "sobjects", object]) => {
                let list = |name: &str| texts(body.get(name));
                self.read_many(object, &list("ids"), &list("fields"), &access, root, cx)
            }
            (&Method::PATCH, ["composite", "sobjects", object, field]) => {
                self.write_many(&method, Some((object, field)), &body, &access, cx)
            }
            (_, ["sobjects", object, rest @ ..]) => {
                self.sobject(root, object, rest, &method, &body, &asked, &access, cx)
            }
            _ => Err(not_found()),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "it is the middle of `rest`")]
    fn sobject(
        &mut self,
        root: &str,
        object: &str,
        rest: &[&str],
        method: &Method,
        body: &Map<String, Value>,
        asked: &[(String, String)],
        access: &Access,
        cx: &mut Context<'_>,
    ) -> Answer {
        let of = self.seen(access, object).map_err(|_| not_found())?;
        let name = of.name.clone();
        match (method, rest) {
            (&Method::GET, []) => {
                Ok(ok(&json!({ "objectDescribe": describe::brief(of, access, root), "recentItems": [] })))
            }
            (&Method::GET, ["describe"]) => Ok(ok(&self.describe(of, access, root))),
            (&Method::GET, ["updated" | "deleted"]) => changed(of, rest == ["updated"], asked, cx.now),
            (&Method::POST, []) => {
                let saved = self.insert(access, &name, body, cx)?;
                Ok(wire::json(StatusCode::CREATED, &json!({ "id": saved.id, "success": true, "errors": [] })))
            }
            (&Method::GET, [id]) => {
                let row =
                    read_id(id).and_then(|id| of.rows.get(&id)).filter(|row| !row.deleted).ok_or_else(not_found)?;
                Ok(ok(&self.shown(of, row, asked, access, root, cx)?))
            }
            (&Method::PATCH, [id]) => {
                self.update(access, &name, id, body, cx).map_err(absent)?;
                Ok(wire::empty(StatusCode::NO_CONTENT))
            }
            (&Method::DELETE, [id]) => {
                self.delete(access, &name, id, cx).map_err(absent)?;
                Ok(wire::empty(StatusCode::NO_CONTENT))
            }
            (_, [field, value]) => self.by_key(root, &name, (field, value), method, body, asked, access, cx),
            _ => Err(wrong_method(method)),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "it is the middle of `sobject`")]
    fn by_key(
        &mut self,
        root: &str,
        object: &str,
        (field, value): (&str, &str),
        method: &Method,
        body: &Map<String, Value>,
        asked: &[(String, String)],
        access: &Access,
        cx: &mut Context<'_>,
    ) -> Answer {
        let numeric = self.seen(access, object)?.field(field).is_some_and(|field| field.kind.is_number());
        let key = if numeric {
            value.parse::<f64>().map_or_else(|_| json!(value), |number| json!(number))
        } else {
            json!(value)
        };
        let matched = self.matches(access, object, field, &key)?;
        let many = |ids: Vec<String>| {
            let urls: Vec<String> = ids.iter().map(|id| format!("{root}/sobjects/{object}/{id}")).collect();
            Ok(wire::json(StatusCode::MULTIPLE_CHOICES, &json!(urls)))
        };
        match (method, matched) {
            (_, save::Match::Many(ids)) => many(ids),
            (&Method::PATCH, matched) => {
                let only_update = asked.iter().any(|(name, value)| name == "updateOnly" && value == "true");
                if only_update && matches!(matched, save::Match::None) {
                    return Err(not_found());
                }
                if body.keys().any(|name| name.eq_ignore_ascii_case(field)) {
                    let why = format!("The {field} field should not be specified in the sobject data.");
                    return Err(refuse(400, "INVALID_FIELD", why));
                }
                match self.upsert(object, field, &key, body, access, cx)? {
                    Ok(saved) => {
                        let status = if saved.created { StatusCode::CREATED } else { StatusCode::OK };
                        let said = json!({ "id": saved.id, "success": true, "errors": [], "created": saved.created });
                        Ok(wire::json(status, &said))
                    }
                    Err(ids) => many(ids),
                }
            }
            (_, save::Match::None) => Err(not_found()),
            (&Method::GET, save::Match::One(id)) => {
                let of = self.seen(access, object)?;
                let row = of.rows.get(&id).ok_or_else(not_found)?;
                Ok(ok(&self.shown(of, row, asked, access, root, cx)?))
            }
            (&Method::DELETE, save::Match::One(id)) => {
                self.delete(access, object, &id, cx)?;
                Ok(wire::empty(StatusCode::NO_CONTENT))
            }
            _ => Err(wrong_method(method)),
        }
    }

    /// A row with all its fields, or with those that were asked for.
    fn shown(
        &self,
        of: &Object,
        row: &Row,
        asked: &[(String, String)],
        access: &Access,
        root: &str,
        cx: &Context<'_>,
    ) -> Answer<Value> {
        let wanted = asked.iter().find(|(name, _)| name == "fields").map(|(_, fields)| fields.as_str());
        let mut paths = Vec::new();
        match wanted {
            Some(fields) => {
                for name in fields.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                    let field = of.field(name).filter(|field| access.sees(of, field));
                    paths.push(vec![field.ok_or_else(|| refusal::no_such_column(name, &of.name))?.name.clone()]);
                }
            }
            None => paths
                .extend(of.fields.iter().filter(|field| access.sees(of, field)).map(|field| vec![field.name.clone()])),
        }
        let scope = Scope { objects: &self.objects, access, now: cx.now, root, all: false };
        Ok(scope.show(of, row, &paths))
    }

    fn query(
        &mut self,
        text: &str,
        all: bool,
        root: &str,
        access: &Access,
        request: &Request<Bytes>,
        cx: &Context<'_>,
    ) -> Answer {
        let scope = Scope { objects: &self.objects, access, now: cx.now, root, all };
        let rows = match scope.run(&soql::parse(text)?)? {
            Found::Count(count) => return Ok(ok(&json!({ "totalSize": count, "done": true, "records": [] }))),
            Found::Rows(rows) => rows,
        };
        let size = wire::header(request, "sforce-query-options")
            .and_then(|options| {
                options.split(',').find_map(|option| option.trim().strip_prefix("batchSize=")?.parse::<usize>().ok())
            })
            .map_or(2000, |size| size.clamp(200, 2000));
        if rows.len() <= size {
            return Ok(ok(&json!({ "totalSize": rows.len(), "done": true, "records": rows })));
        }
        let locator = id_of("01g", self.next_cursor);
        self.next_cursor += 1;
        self.cursors.retain(|_, kept| cx.now - kept.made < CURSOR_LIFE);
        self.cursors.insert(locator.clone(), Kept { user: access.user.clone(), rows, size, made: cx.now });
        self.more(&format!("{locator}-0"), root, access, cx)
    }

    fn more(&self, locator: &str, root: &str, access: &Access, cx: &Context<'_>) -> Answer {
        let lost = || refuse(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
        let (id, from) = locator.split_once('-').ok_or_else(lost)?;
        let from: usize = from.parse().map_err(|_| lost())?;
        let kept = self.cursors.get(id).filter(|kept| kept.user == access.user && cx.now - kept.made < CURSOR_LIFE);
        let kept = kept.filter(|kept| from < kept.rows.len()).ok_or_else(lost)?;
        let to = (from + kept.size).min(kept.rows.len());
        let mut said =
            json!({ "totalSize": kept.rows.len(), "done": to == kept.rows.len(), "records": kept.rows[from..to] });
        if to < kept.rows.len() {
            said["nextRecordsUrl"] = json!(format!("{root}/query/{id}-{to}"));
        }
        Ok(ok(&said))
    }

    fn limits(&self) -> Value {
        let left = self.limit.saturating_sub(self.usage());
        let of = |max: u64| json!({ "Max": max, "Remaining": max });
        json!({
            "DailyApiRequests": { "Max": self.limit, "Remaining": left }, "DailyBulkV2QueryJobs": of(10_000),
            "DailyBulkApiBatches": of(15_000), "HourlyPublishedPlatformEvents": of(50_000), "DataStorageMB": of(5), "FileStorageMB": of(20),
        })
    }
}

fn absent(refusal: Refusal) -> Refusal {
    if refusal.code == "INVALID_CROSS_REFERENCE_KEY" && refusal.status == 404 { not_found() } else { refusal }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn read_body(request: &Request<Bytes>) -> Answer<Map<String, Value>> {
    let kind = wire::header(request, "content-type").unwrap_or("application/json");
    if !kind.starts_with("application/json") && !request.body().is_empty() {
        return Err(refuse(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            format!("Content-Type header specified in HTTP request is not supported: {kind}"),
        ));
    }
    match serde_json::from_slice(request.body()) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(unreadable("Unexpected character at the beginning: an object is expected at [line:1, column:1]")),
        Err(error) => {
            Err(unreadable(&format!("Unexpected character at [line:{}, column:{}]", error.line(), error.column())))
        }
    }
}

fn resources(root: &str, user: &str, cx: &Context<'_>) -> Value {
    let at = |name: &str| format!("{root}/{name}");
    json!({
        "identity": format!("{}/id/{}/{user}", cx.base, standard::ORG), "sobjects": at("sobjects"), "query": at("query"), "queryAll": at("queryAll"),
        "limits": at("limits"), "composite": at("composite"), "tooling": at("tooling"), "recent": at("recent"),
    })
}

/// What changed, or went, between two moments.
fn changed(of: &Object, updated: bool, asked: &[(String, String)], now: DateTime<Utc>) -> Answer {
    let moment = |name: &str| asked.iter().find(|(key, _)| key == name).and_then(|(_, text)| values::read_time(text));
    let (Some(from), Some(to)) = (moment("start"), moment("end")) else {
        return Err(refuse(400, "INVALID_REPLICATION_DATE", "startDate and endDate are required"));
    };
    if from >= to || now - from > TimeDelta::days(if updated { 30 } else { 15 }) {
        return Err(refuse(400, "INVALID_REPLICATION_DATE", "startDate before org replication enabled date"));
    }
    let when = |row: &Row| row.text("SystemModstamp").and_then(values::read_time);
    let within = |row: &Row| when(row).is_some_and(|at| at >= from && at <= to);
    let rows = of.rows.iter().filter(|(_, row)| row.deleted != updated && within(row));
    let covered = stamp(to.min(now));
    Ok(ok(&if updated {
        json!({ "ids": rows.map(|(id, _)| id).collect::<Vec<_>>(), "latestDateCovered": covered })
    } else {
        let rows: Vec<Value> =
            rows.map(|(id, row)| json!({ "id": id, "deletedDate": row.text("SystemModstamp") })).collect();
        json!({ "deletedRecords": rows, "earliestDateAvailable": stamp(now - TimeDelta::days(15)), "latestDateCovered": covered })
    }))
}
