//! Many rows in one call: up to 200, each with its verdict, in their order ("sObject Collections", read 2026-11-23). And
//! the composite of up to 25 calls in one.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::{Map, Value, json};

use super::Salesforce;
use super::access::Access;
use super::refusal::{Answer, Refusal, no_such_type, ok, refuse, unreadable, unsaved};
use super::save::{Match, Saved, verdict};
use crate::wire;
use crate::world::Context;

const MOST: usize = 200;
const MOST_READ: usize = 2000;
const MOST_CALLS: usize = 25;

type Body = Map<String, Value>;

impl Salesforce {
    /// `POST` and `PATCH` of rows, each with its type; `upsert` names object and external id field.
    pub(super) fn write_many(
        &mut self,
        method: &Method,
        upsert: Option<(&str, &str)>,
        body: &Body,
        access: &Access,
        cx: &Context<'_>,
    ) -> Answer {
        let all_or_none = body.get("allOrNone").is_some_and(|yes| *yes == true);
        let rows = body.get("records").and_then(Value::as_array).ok_or_else(|| unreadable("records are missing"))?;
        if rows.len() > MOST {
            let why = format!("record limit reached. cannot submit more than {MOST} records in this call");
            return Err(refuse(400, "EXCEEDED_ID_LIMIT", why));
        }
        // What cannot be read at all fails the whole request, before any row of it is saved.
        for row in rows.iter().filter_map(Value::as_object) {
            let object = upsert.map(|(object, _)| object).or_else(|| row.get("attributes")?["type"].as_str());
            let mut row = row.clone();
            row.retain(|name, _| !name.eq_ignore_ascii_case("id"));
            if let Some(Err(refusal)) = object.map(|object| self.read_cells(access, object, &row))
                && is_of_request(&refusal)
            {
                return Err(refusal);
            }
        }
        let before = all_or_none.then(|| self.objects.clone());
        let mut verdicts = Vec::new();
        for row in rows {
            let row = row.as_object().ok_or_else(|| unreadable("a record is no object"))?;
            let outcome = match upsert {
                Some((object, field)) => self.upsert_one(object, field, row, rows, access, cx),
                None => self.write_one(method, row, access, cx),
            };
            match outcome {
                Err(refusal) if is_of_request(&refusal) => return Err(refusal),
                outcome => verdicts.push(outcome),
            }
        }
        let failed = verdicts.iter().any(Result::is_err);
        if let Some(before) = before.filter(|_| failed) {
            self.objects = before;
            let why =
                "Record rolled back because not all records were valid and the request was using AllOrNone header";
            for verdict in verdicts.iter_mut().filter(|verdict| verdict.is_ok()) {
                *verdict = Err(unsaved("ALL_OR_NONE_OPERATION_ROLLED_BACK", why, &[]));
            }
        }
        let said: Vec<Value> = verdicts.iter().map(|outcome| verdict(outcome.as_ref(), upsert.is_some())).collect();
        Ok(ok(&json!(said)))
    }

    fn write_one(&mut self, method: &Method, row: &Body, access: &Access, cx: &Context<'_>) -> Answer<Saved> {
        let object = row.get("attributes").and_then(|of| of["type"].as_str());
        let object = object.ok_or_else(|| unreadable("a record needs attributes.type"))?;
        let id = row.iter().find(|(name, _)| name.eq_ignore_ascii_case("id")).map(|(_, id)| id.clone());
        let rest: Body = row
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("id"))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        if method == Method::POST {
            if id.is_some() {
                return Err(unsaved("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", &["Id"]));
            }
            return self.insert(access, object, &rest, cx);
        }
        let id = id
            .as_ref()
            .and_then(Value::as_str)
            .ok_or_else(|| unsaved("MISSING_ARGUMENT", "Id not specified in an update call", &[]))?;
        self.update(access, object, id, &rest, cx)
    }

    fn upsert_one(
        &mut self,
        object: &str,
        field: &str,
        row: &Body,
        all: &[Value],
        access: &Access,
        cx: &Context<'_>,
    ) -> Answer<Saved> {
        let named = row.get("attributes").and_then(|of| of["type"].as_str()).unwrap_or(object);
        if !named.eq_ignore_ascii_case(object) {
            return Err(no_such_type(named));
        }
        let key =
            |row: &Body| row.iter().find(|(name, _)| name.eq_ignore_ascii_case(field)).map(|(_, key)| key.clone());
        let value = key(row).unwrap_or_default();
        if value.is_null() {
            return Err(unsaved("MISSING_ARGUMENT", format!("{field} not specified"), &[]));
        }
        let twice =
            all.iter().filter_map(Value::as_object).filter(|other| key(other).as_ref() == Some(&value)).count() > 1;
        if twice {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            return Err(unsaved("DUPLICATE_VALUE", format!("Duplicate external id specified: {shown}"), &[field]));
        }
        let rest: Body = row
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case(field))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        if rest.keys().any(|name| name.eq_ignore_ascii_case("id")) {
            return Err(unsaved(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                "cannot specify Id in an upsert by another field",
                &["Id"],
            ));
        }
        self.upsert(object, field, &value, &rest, access, cx)?.map_err(|_| {
            let why = "Salesforce.com External ID field matched more than one record";
            unsaved("DUPLICATE_EXTERNAL_ID", why, &[field])
        })
    }

    /// `Ok(Err(ids))`: the external id matches more than one row.
    pub(super) fn upsert(
        &mut self,
        object: &str,
        field: &str,
        value: &Value,
        rest: &Body,
        access: &Access,
        cx: &Context<'_>,
    ) -> Answer<Result<Saved, Vec<String>>> {
        Ok(Ok(match self.matches(access, object, field, value)? {
            Match::One(id) => self.update(access, object, &id, rest, cx)?,
            Match::None => {
                let mut whole = rest.clone();
                if !field.eq_ignore_ascii_case("id") {
                    whole.insert(field.to_owned(), value.clone());
                }
                self.insert(access, object, &whole, cx)?
            }
            Match::Many(ids) => return Ok(Err(ids)),
        }))
    }

    pub(super) fn delete_many(&mut self, ids: &str, all_or_none: bool, access: &Access, cx: &Context<'_>) -> Answer {
        let ids: Vec<&str> = ids.split(',').filter(|id| !id.is_empty()).collect();
        if ids.len() > MOST {
            let why = format!("record limit reached. cannot submit more than {MOST} records in this call");
            return Err(refuse(400, "EXCEEDED_ID_LIMIT", why));
        }
        let before = all_or_none.then(|| self.objects.clone());
        let mut said = Vec::new();
        for id in ids {
            let home =
                self.objects.values().find(|object| id.starts_with(&object.prefix)).map(|object| object.name.clone());
            let gone = match home {
                Some(home) => self.delete(access, &home, id, cx),
                None => Err(unsaved("MALFORMED_ID", format!("malformed id {id}"), &[])),
            };
            said.push(match gone {
                Ok(id) => json!({ "id": id, "success": true, "errors": [] }),
                Err(refusal) => refusal.verdict(),
            });
        }
        if let Some(before) = before.filter(|_| said.iter().any(|one| one["success"] == false)) {
            self.objects = before;
        }
        Ok(ok(&json!(said)))
    }

    /// Rows by their ids; `null` for those that are not there.
    pub(super) fn read_many(
        &self,
        object: &str,
        ids: &[String],
        fields: &[String],
        access: &Access,
        root: &str,
        cx: &Context<'_>,
    ) -> Answer {
        if ids.len() > MOST_READ {
            let why = format!("record limit reached. cannot submit more than {MOST_READ} records in this call");
            return Err(refuse(400, "EXCEEDED_ID_LIMIT", why));
        }
        let of = self.seen(access, object)?;
        let mut paths = vec![vec!["Id".to_owned()]];
        for name in fields {
            let field = of.field(name).filter(|field| access.sees(of, field));
            paths.push(vec![field.ok_or_else(|| super::refusal::no_such_column(name, &of.name))?.name.clone()]);
        }
        let scope = super::query::Scope { objects: &self.objects, access, now: cx.now, root, all: false };
        let rows = ids.iter().map(|id| {
            let id = super::model::read_id(id)?;
            let row = of.rows.get(&id).filter(|row| !row.deleted)?;
            Some(scope.show(of, row, &paths))
        });
        Ok(ok(&json!(rows.collect::<Vec<Option<Value>>>())))
    }

    /// `POST /composite`: calls that may name what came of those before them.
    pub(super) fn composite(&mut self, body: &Body, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        let calls = body
            .get("compositeRequest")
            .and_then(Value::as_array)
            .ok_or_else(|| unreadable("compositeRequest is missing"))?;
        if calls.len() > MOST_CALLS {
            return Err(refuse(400, "LIMIT_EXCEEDED", format!("Limit of {MOST_CALLS} subrequests exceeded")));
        }
        let all_or_none = body.get("allOrNone").is_some_and(|yes| *yes == true);
        let before = all_or_none.then(|| self.objects.clone());
        let mut known = Map::new();
        let mut said: Vec<Value> = Vec::new();
        for call in calls {
            let name = call["referenceId"].as_str().unwrap_or_default().to_owned();
            let call = filled(call, &known);
            let target = call["url"].as_str().unwrap_or_default();
            let body = if call["body"].is_null() { Bytes::new() } else { Bytes::from(call["body"].to_string()) };
            let mut inner = Request::builder().method(call["method"].as_str().unwrap_or("GET")).uri(target);
            if let Some(token) = wire::header(request, "authorization") {
                inner = inner.header("authorization", token);
            }
            let inner = inner.body(body).map_err(|_| unreadable("a subrequest's url is none"))?;
            if inner.uri().path().trim_end_matches('/').ends_with("/composite") {
                return Err(unreadable("a composite in a composite"));
            }
            let response = self.route(&inner, cx).unwrap_or_else(|refusal| refusal.response());
            let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
            known.insert(name.clone(), answer.clone());
            said.push(json!({
                "body": answer, "httpHeaders": {}, "httpStatusCode": response.status().as_u16(), "referenceId": name,
            }));
            if all_or_none && response.status() >= StatusCode::BAD_REQUEST {
                break;
            }
        }
        let failed = said.iter().any(|one| one["httpStatusCode"].as_u64().is_some_and(|status| status >= 400));
        if let Some(before) = before.filter(|_| failed) {
            self.objects = before;
        }
        Ok(ok(&json!({ "compositeResponse": said })))
    }
}

fn is_of_request(refusal: &Refusal) -> bool {
    matches!(refusal.code, "JSON_PARSER_ERROR" | "INVALID_FIELD" | "NOT_FOUND")
        && refusal.fields.is_empty()
        && !refusal.message.starts_with("Foreign key")
}

/// `@{name.id}` replaced by what came of the call of that name.
fn filled(value: &Value, known: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => {
            let mut text = text.clone();
            while let Some((before, rest)) = text.split_once("@{") {
                let Some((path, after)) = rest.split_once('}') else { break };
                let mut parts = path.split('.');
                let mut found = parts.next().and_then(|name| known.get(name)).cloned().unwrap_or_default();
                for part in parts {
                    found = found.get(part).cloned().unwrap_or_default();
                }
                text = format!("{before}{}{after}", found.as_str().map_or_else(|| found.to_string(), str::to_owned));
            }
            Value::String(text)
        }
        Value::Array(items) => items.iter().map(|item| filled(item, known)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), filled(value, known))).collect(),
        other => other.clone(),
    }
}
