//! The stand-in's answers, refusals, quotas and webhooks, called in process.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::Request;
use serde_json::{Value, json};

use super::{Airtable, TOKEN};
use crate::faults::Rng;
use crate::world::{Context, Outgoing, StandIn};

mod hooks;
mod lists;
mod meta;
mod writes;

const BASE: &str = "appSandbox0000001";

struct Bench {
    airtable: Airtable,
    rng: Rng,
    now: DateTime<Utc>,
    sent: Vec<Outgoing>,
}

impl Bench {
    /// A base with one small table, `Items`, linked to `People`.
    fn new() -> Self {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default();
        let mut bench = Self { airtable: Airtable::default(), rng: Rng::seeded(5), now, sent: Vec::new() };
        let tables = json!([
            {"name": "Items", "fields": [
                {"name": "Name", "type": "singleLineText"},
                {"name": "Key", "type": "singleLineText"},
                {"name": "Notes", "type": "multilineText"},
                {"name": "Count", "type": "number", "options": {"precision": 1}},
                {"name": "Done", "type": "checkbox", "options": {"icon": "check", "color": "greenBright"}},
                {"name": "Day", "type": "date", "options": {"dateFormat": {"name": "iso"}}},
                {"name": "At", "type": "dateTime", "options": {"timeZone": "utc", "dateFormat": {"name": "iso"}, "timeFormat": {"name": "24hour"}}},
                {"name": "Status", "type": "singleSelect", "options": {"choices": [{"name": "New"}, {"name": "Old"}]}},
                {"name": "Tags", "type": "multipleSelects", "options": {"choices": [{"name": "Red"}, {"name": "Blue"}]}},
                {"name": "Person", "type": "multipleRecordLinks", "options": {"linkedTableId": "People"}},
                {"name": "Stars", "type": "rating", "options": {"icon": "star", "color": "yellowBright", "max": 5}},
                {"name": "Number", "type": "autoNumber"},
                {"name": "Shout", "type": "formula", "options": {"formula": "UPPER({Name})"}},
            ]},
            {"name": "People", "fields": [
                {"name": "Name", "type": "singleLineText"},
                {"name": "Items Count", "type": "count", "options": {"recordLinkFieldId": "Items"}},
            ]},
        ]);
        bench.desk(|airtable, cx| airtable.create_base_with(cx, BASE, "Bench", &tables));
        bench
    }

    fn later(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
    }

    fn send(&mut self, token: &str, method: &str, path: &str, body: &Value, quota: bool) -> (u16, Value) {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        let request = request.body(body).unwrap();
        let mut cx = Context { now: self.now, rng: &mut self.rng, outbox: &mut self.sent, base: "" };
        let admitted = if quota { self.airtable.admit(&request, &mut cx) } else { Ok(()) };
        let response = admitted.map_or_else(|refusal| refusal, |()| self.airtable.handle(&request, &mut cx));
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    #[expect(clippy::needless_pass_by_value, reason = "calls read better with a plain json!")]
    fn call(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.send(TOKEN, method, path, &body, false)
    }

    #[track_caller]
    fn ok(&mut self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    /// A call that must be refused with this status and error type; the table is as before.
    #[expect(clippy::needless_pass_by_value, reason = "calls read better with a plain json!")]
    #[track_caller]
    fn refused(&mut self, method: &str, path: &str, body: Value, status: u16, kind: &str) {
        let before = (self.airtable.rows(BASE, "Items"), self.airtable.schema(BASE));
        let (got, answer) = self.call(method, path, body.clone());
        let error = &answer["error"];
        let found = error["type"].as_str().or(error.as_str()).unwrap_or_default();
        assert_eq!((got, found), (status, kind), "{method} {path} {body}: {answer}");
        assert_eq!((self.airtable.rows(BASE, "Items"), self.airtable.schema(BASE)), before);
    }

    fn desk<R>(&mut self, act: impl FnOnce(&mut Airtable, &mut Context<'_>) -> R) -> R {
        let mut cx = Context { now: self.now, rng: &mut self.rng, outbox: &mut self.sent, base: "" };
        act(&mut self.airtable, &mut cx)
    }

    #[expect(clippy::needless_pass_by_value, reason = "calls read better with a plain json!")]
    fn add(&mut self, fields: Value) -> String {
        self.desk(|airtable, cx| airtable.add_row(cx, BASE, "Items", &fields))
    }

    fn field_id(&self, table: &str, field: &str) -> String {
        let schema = self.airtable.schema(BASE);
        let tables = schema["tables"].as_array().unwrap();
        let table = tables.iter().find(|t| t["name"] == table).unwrap();
        let field = table["fields"].as_array().unwrap().iter().find(|f| f["name"] == field).unwrap();
        field["id"].as_str().unwrap().to_owned()
    }
}

fn items(rest: &str) -> String {
    format!("/v0/{BASE}/Items{rest}")
}

#[test]
fn credentials_and_scopes() {
    let mut bench = Bench::new();
    assert_eq!(bench.ok("GET", "/v0/meta/whoami", Value::Null)["id"], "usrSandboxOwner01");
    assert_eq!(bench.send("nobody", "GET", "/v0/meta/whoami", &Value::Null, false).0, 401);
    bench.airtable.issue_token("pat.reader", Some(&["data.records:read"]));
    assert_eq!(bench.send("pat.reader", "GET", &items(""), &Value::Null, false).0, 200);
    let (status, answer) = bench.send("pat.reader", "POST", &items(""), &json!({"fields": {}}), false);
    assert_eq!((status, answer["error"]["type"].as_str()), (403, Some("INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")));
    bench.airtable.revoke_token(TOKEN);
    bench.refused("GET", &items(""), Value::Null, 401, "AUTHENTICATION_REQUIRED");
    bench.airtable.restore_token(TOKEN);
    bench.ok("GET", &items(""), Value::Null);
}

#[test]
fn five_a_second_then_thirty_seconds_of_429() {
    let mut bench = Bench::new();
    let get = |bench: &mut Bench| bench.send(TOKEN, "GET", &items("?maxRecords=1"), &Value::Null, true);
    for _ in 0..5 {
        assert_eq!(get(&mut bench).0, 200);
    }
    let (status, answer) = get(&mut bench);
    assert_eq!((status, answer["error"]["type"].as_str()), (429, Some("RATE_LIMIT_REACHED")));
    bench.later(29);
    assert_eq!(get(&mut bench).0, 429);
    // Another base, and what belongs to none, is not meant.
    assert_eq!(bench.send(TOKEN, "GET", "/v0/meta/whoami", &Value::Null, true).0, 200);
    bench.later(1);
    for _ in 0..3 {
        for _ in 0..5 {
            assert_eq!(get(&mut bench).0, 200);
        }
        bench.later(1);
    }
}

#[test]
fn a_user_has_fifty_a_second_and_a_workspace_its_month() {
    let mut bench = Bench::new();
    bench.airtable.set_quota(100, 50, Some(3));
    for n in 0..51 {
        let (status, _) = bench.send(TOKEN, "GET", "/v0/meta/whoami", &Value::Null, true);
        assert_eq!(status, if n < 50 { 200 } else { 429 });
    }
    bench.later(31);
    for n in 0..4 {
        let (status, answer) = bench.send(TOKEN, "GET", &items(""), &Value::Null, true);
        assert_eq!(status, if n < 3 { 200 } else { 429 });
        assert!(n < 3 || answer["error"]["type"] == "PUBLIC_API_BILLING_LIMIT_EXCEEDED");
    }
    assert_eq!(bench.send(TOKEN, "GET", "/v0/meta/bases", &Value::Null, true).0, 200);
    bench.later(32 * 86_400);
    assert_eq!(bench.send(TOKEN, "GET", &items(""), &Value::Null, true).0, 200);
}

#[test]
fn what_is_not_there() {
    let mut bench = Bench::new();
    let gone = items("/recGone0000000000");
    bench.refused("GET", &gone, Value::Null, 404, "NOT_FOUND");
    bench.refused("PATCH", &gone, json!({"fields": {}}), 404, "NOT_FOUND");
    bench.refused("DELETE", &gone, Value::Null, 404, "NOT_FOUND");
    bench.refused("GET", &format!("/v0/{BASE}/Nothing"), Value::Null, 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND");
    bench.refused("GET", "/v0/appNothing0000000/Items", Value::Null, 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND");
    bench.refused("GET", "/v0/nowhere", Value::Null, 404, "NOT_FOUND");
    bench.refused("POST", &items(""), json!([1]), 422, "INVALID_REQUEST_UNKNOWN");
    bench.refused("POST", &items(""), json!({"fields": {"Notes": "x".repeat(11_000_000)}}), 413, "REQUEST_TOO_LARGE");
    bench.refused("GET", &items(&format!("?view={}", "x".repeat(16_000))), Value::Null, 414, "REQUEST_URI_TOO_LONG");
}

#[test]
fn comments() {
    let mut bench = Bench::new();
    let row = bench.add(json!({"Name": "a"}));
    let path = items(&format!("/{row}/comments"));
    bench.refused("POST", &path, json!({}), 422, "INVALID_REQUEST_MISSING_FIELDS");
    let first = bench.ok("POST", &path, json!({"text": "one"}))["id"].as_str().unwrap().to_owned();
    bench.ok("POST", &path, json!({"text": "two", "parentCommentId": first}));
    let page = bench.ok("GET", &format!("{path}?pageSize=1"), Value::Null);
    assert_eq!((&page["comments"][0]["text"], page["comments"].as_array().unwrap().len()), (&json!("two"), 1));
    let offset = page["offset"].as_str().unwrap();
    let rest = bench.ok("GET", &format!("{path}?offset={offset}"), Value::Null);
    assert_eq!((&rest["comments"][0]["id"], &rest["offset"]), (&json!(first), &Value::Null));
    bench.ok("PATCH", &format!("{path}/{first}"), json!({"text": "uno"}));
    assert_eq!(bench.airtable.comments(BASE, "Items", &row), ["uno", "two"]);
    bench.ok("DELETE", &format!("{path}/{first}"), Value::Null);
    bench.refused("DELETE", &format!("{path}/{first}"), Value::Null, 404, "NOT_FOUND");
}

#[test]
fn names_of_operations() {
    let bench = Bench::new();
    let name = |method: &str, path: &str| {
        bench.airtable.operation(&Request::builder().method(method).uri(path).body(Bytes::new()).unwrap())
    };
    assert_eq!(name("PATCH", "/v0/appX/Feedback%20Items"), "PATCH records");
    assert_eq!(name("GET", "/appX/tblY/recZ"), "GET record");
    assert_eq!(name("POST", "/v0/appX/tblY/listRecords"), "POST listRecords");
    assert_eq!(name("GET", "/v0/bases/appX/webhooks/achY/payloads"), "GET payloads");
    assert_eq!(name("POST", "/v0/meta/bases/appX/tables/tblY/fields"), "POST fields");
}
