//! Webhooks: payloads by cursor, filters, pings and their life.

use base64::Engine as _;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::*;

fn hooks() -> String {
    format!("/v0/bases/{BASE}/webhooks")
}

fn subscribe(bench: &mut Bench, filters: &Value, includes: &Value) -> Value {
    let body = json!({"notificationUrl": "http://127.0.0.1:9/ping", "specification": {"options": {"filters": filters, "includes": includes}}});
    bench.ok("POST", &hooks(), body)
}

fn payloads(bench: &mut Bench, hook: &Value, query: &str) -> Value {
    let path = format!("{}/{}/payloads{query}", hooks(), hook["id"].as_str().unwrap());
    bench.ok("GET", &path, Value::Null)
}

#[test]
fn payloads_carry_v2_cells_and_the_actor() {
    let mut bench = Bench::new();
    let everything = json!({"includeCellValuesInFieldIds": "all", "includePreviousCellValues": true});
    let hook = subscribe(&mut bench, &json!({"dataTypes": ["tableData"]}), &everything);
    let ada = bench.desk(|a, cx| a.add_row(cx, BASE, "People", &json!({"Name": "Ada"})));
    let row = bench.add(json!({"Name": "a", "Status": "New"}));
    bench.ok("PATCH", &items(&format!("/{row}")), json!({"fields": {"Status": "Old", "Person": [ada]}}));
    bench.ok("DELETE", &items(&format!("/{row}")), Value::Null);
    let answer = payloads(&mut bench, &hook, "");
    assert_eq!(
        (&answer["cursor"], &answer["mightHaveMore"], &answer["payloadFormat"]),
        (&json!(5), &json!(false), &json!("v0"))
    );
    let list = answer["payloads"].as_array().unwrap();
    let table = bench.airtable.schema(BASE)["tables"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(list[1]["actionMetadata"]["source"], "client");
    assert_eq!(list[1]["actionMetadata"]["sourceMetadata"]["user"]["id"], "usrSandboxPerson1");
    let created = &list[1]["changedTablesById"][&table]["createdRecordsById"][&row];
    let (status, person) = (bench.field_id("Items", "Status"), bench.field_id("Items", "Person"));
    assert_eq!(created["cellValuesByFieldId"][&status]["name"], "New");
    assert_eq!(list[2]["actionMetadata"]["source"], "publicApi");
    let changed = &list[2]["changedTablesById"][&table]["changedRecordsById"][&row];
    assert_eq!(changed["current"]["cellValuesByFieldId"][&person], json!([{"id": ada, "name": "Ada"}]));
    assert_eq!(changed["previous"]["cellValuesByFieldId"][&status]["name"], "New");
    assert_eq!(changed["previous"]["cellValuesByFieldId"][&person], Value::Null);
    assert_eq!(changed["unchanged"]["cellValuesByFieldId"][bench.field_id("Items", "Name")], "a");
    assert_eq!(list[3]["changedTablesById"][&table]["destroyedRecordIds"], json!([row]));
    assert_eq!(list[3]["baseTransactionNumber"], 4);
}

#[test]
fn filters_leave_out() {
    let mut bench = Bench::new();
    let table = bench.airtable.schema(BASE)["tables"][0]["id"].clone();
    let status = bench.field_id("Items", "Status");
    let count = |bench: &mut Bench, hook: &Value| payloads(bench, hook, "")["payloads"].as_array().unwrap().len();
    let people = subscribe(&mut bench, &json!({"dataTypes": ["tableData"], "fromSources": ["client"]}), &Value::Null);
    let scoped = subscribe(&mut bench, &json!({"dataTypes": ["tableData"], "recordChangeScope": table}), &Value::Null);
    let removals = subscribe(&mut bench, &json!({"dataTypes": ["tableData"], "changeTypes": ["remove"]}), &Value::Null);
    let watching =
        subscribe(&mut bench, &json!({"dataTypes": ["tableData"], "watchDataInFieldIds": [status]}), &Value::Null);
    let schema = subscribe(&mut bench, &json!({"dataTypes": ["tableFields"]}), &Value::Null);
    let row = bench.add(json!({"Name": "a"}));
    bench.ok("PATCH", &items(&format!("/{row}")), json!({"fields": {"Name": "b"}}));
    bench.ok("PATCH", &items(&format!("/{row}")), json!({"fields": {"Status": "New"}}));
    bench.desk(|a, cx| a.add_row(cx, BASE, "People", &json!({"Name": "Ada"})));
    bench.desk(|a, cx| a.rename_field(cx, BASE, "Items", "Notes", "Remarks"));
    // Writing what is there already is no change.
    bench.ok("PATCH", &items(&format!("/{row}")), json!({"fields": {"Status": "New"}}));
    assert_eq!([&people, &scoped, &removals, &watching, &schema].map(|hook| count(&mut bench, hook)), [2, 3, 0, 1, 1]);
    let renamed = payloads(&mut bench, &schema, "")["payloads"][0].to_string();
    assert!(renamed.contains("Remarks") && renamed.contains("\"previous\":{\"name\":\"Notes\""));
}

#[test]
fn a_cursor_walks_fifty_at_a_time() {
    let mut bench = Bench::new();
    let hook = subscribe(&mut bench, &json!({"dataTypes": ["tableData"]}), &Value::Null);
    for n in 0..120 {
        bench.add(json!({"Name": n.to_string()}));
    }
    let (mut cursor, mut seen) = (json!(1), 0);
    loop {
        let page = payloads(&mut bench, &hook, &format!("?cursor={cursor}"));
        seen += page["payloads"].as_array().unwrap().len();
        cursor = page["cursor"].clone();
        if page["mightHaveMore"] == false {
            break;
        }
        assert_eq!(page["payloads"].as_array().unwrap().len(), 50);
    }
    assert_eq!((seen, &cursor), (120, &json!(121)));
    let path = format!("{}/{}/payloads?limit=51", hooks(), hook["id"].as_str().unwrap());
    bench.refused("GET", &path, Value::Null, 422, "INVALID_REQUEST_UNKNOWN");
}

#[test]
fn hooks_expire_unless_renewed_and_forget_after_a_week() {
    let mut bench = Bench::new();
    let day = 86_400;
    let hook = subscribe(&mut bench, &json!({"dataTypes": ["tableData"]}), &Value::Null);
    let refresh = format!("{}/{}/refresh", hooks(), hook["id"].as_str().unwrap());
    bench.add(json!({"Name": "a"}));
    bench.later(6 * day);
    let renewed = bench.ok("POST", &refresh, Value::Null);
    assert_ne!(renewed["expirationTime"], hook["expirationTime"]);
    bench.add(json!({"Name": "b"}));
    bench.later(2 * day);
    // The first payload is older than a week; reading renews the hook once more.
    assert_eq!(payloads(&mut bench, &hook, "")["payloads"].as_array().unwrap().len(), 1);
    bench.later(8 * day);
    bench.refused("POST", &refresh, Value::Null, 422, "INVALID_HOOK");
    bench.add(json!({"Name": "unseen"}));
    let answer = payloads(&mut bench, &hook, "?cursor=3");
    assert_eq!((&answer["payloads"], &answer["cursor"]), (&json!([]), &json!(3)));
    assert_eq!(bench.ok("GET", &hooks(), Value::Null)["webhooks"][0]["isHookEnabled"], false);
    bench.later(8 * day);
    bench.add(json!({"Name": "gone"}));
    assert_eq!(bench.ok("GET", &hooks(), Value::Null)["webhooks"], json!([]));
}

#[test]
fn pings_are_signed_coalesced_and_given_up() {
    let mut bench = Bench::new();
    let hook = subscribe(&mut bench, &json!({"dataTypes": ["tableData"]}), &Value::Null);
    for n in 0..3 {
        bench.add(json!({"Name": n.to_string()}));
    }
    assert_eq!(bench.sent.len(), 1, "three changes, one ping on its way");
    let mut ping = bench.sent.remove(0);
    let secret = base64::engine::general_purpose::STANDARD.decode(hook["macSecretBase64"].as_str().unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
    mac.update(&ping.body);
    let expected = format!("hmac-sha256={}", crate::wire::hex(&mac.finalize().into_bytes()));
    assert_eq!(ping.headers["x-airtable-content-mac"], expected.as_str());
    // What came meanwhile is pinged for once the first is through.
    bench.desk(|a, cx| a.noted(&ping, Some(204), cx));
    assert_eq!(bench.sent.len(), 1);
    bench.desk(|a, cx| a.noted(&ping, Some(200), cx));
    bench.add(json!({"Name": "again"}));
    assert_eq!(bench.sent.len(), 2);
    assert_eq!(bench.airtable.retry_after(1).map(|w| w.as_secs()), Some(10));
    assert!(bench.airtable.retry_after(13).is_some() && bench.airtable.retry_after(14).is_none());
    ping.attempt = 14;
    bench.desk(|a, cx| a.noted(&ping, None, cx));
    bench.later(120);
    bench.add(json!({"Name": "silent"}));
    assert_eq!(bench.sent.len(), 2, "notifications are off, payloads go on");
    assert_eq!(payloads(&mut bench, &hook, "")["cursor"], 6);
    let path = format!("{}/{}/enableNotifications", hooks(), hook["id"].as_str().unwrap());
    bench.ok("POST", &path, json!({"enable": true}));
    bench.add(json!({"Name": "loud"}));
    assert_eq!(bench.sent.len(), 3);
}

#[test]
fn bad_subscriptions() {
    let mut bench = Bench::new();
    let body = |filters: Value| json!({"specification": {"options": {"filters": filters}}});
    bench.refused("POST", &hooks(), body(json!({})), 422, "INVALID_REQUEST_MISSING_FIELDS");
    bench.refused("POST", &hooks(), body(json!({"dataTypes": ["rows"]})), 422, "INVALID_REQUEST_UNKNOWN");
    bench.refused(
        "POST",
        &hooks(),
        body(json!({"dataTypes": ["tableData"], "recordChangeScope": "tblNone"})),
        422,
        "INVALID_REQUEST_UNKNOWN",
    );
    for _ in 0..10 {
        subscribe(&mut bench, &json!({"dataTypes": ["tableData"]}), &Value::Null);
    }
    bench.refused("POST", &hooks(), body(json!({"dataTypes": ["tableData"]})), 422, "TOO_MANY_WEBHOOKS_IN_BASE");
    let first = bench.ok("GET", &hooks(), Value::Null)["webhooks"][0]["id"].as_str().unwrap().to_owned();
    bench.ok("DELETE", &format!("{}/{first}", hooks()), Value::Null);
    bench.refused("DELETE", &format!("{}/{first}", hooks()), Value::Null, 404, "NOT_FOUND");
}
