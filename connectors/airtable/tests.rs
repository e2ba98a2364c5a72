mod back;
mod odd;

use std::collections::BTreeMap;

use base64::Engine as _;
use hmac::{Hmac, Mac};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;

use super::binding::{Binding, Field, Table};
use super::cells::{canonical, cut, fits};
use super::payloads::{Echo, digest};
use super::types::SchemaTable;
use super::*;
use crate::testing::{Script, outside};
use crate::{
    CollectionShape, FieldKind, FieldShape, Next, Refusal, Request, Setup, Sink, Source, Webhook, Write, Written,
};

fn field(kind: &str) -> Field {
    Field { id: Some("fldA".into()), name: "A".into(), kind: kind.into(), ..Field::default() }
}

fn secrets() -> Secrets {
    Secrets::from([("token".into(), SecretString::from("patInvented"))])
}

fn airtable() -> (Airtable, Arc<Script>, Arc<crate::testing::StillClock>) {
    let (script, clock, outside) = outside();
    let settings = json!({ "base": "appOne", "quota": { "calls": 1000, "per_seconds": 1, "burst": 1000 } });
    let airtable = open(&settings, &secrets(), &outside).expect("opens");
    clock.warm_up();
    (airtable, script, clock)
}

fn schema() -> Value {
    json!({ "tables": [
        { "id": "tblF", "name": "Feedback", "primaryFieldId": "fld1", "fields": [
            { "id": "fld1", "name": "Summary", "type": "singleLineText" },
            { "id": "fld2", "name": "Severity", "type": "singleSelect", "options": { "choices": [{ "id": "sel1", "name": "High" }] } },
            { "id": "fld3", "name": "ARR", "type": "currency", "options": { "precision": 2, "symbol": "$" } },
            { "id": "fld4", "name": "Loopd ID", "type": "singleLineText" },
            { "id": "fld5", "name": "Count", "type": "formula" },
        ], "views": [{ "id": "viw1", "name": "All", "type": "grid" }] },
    ]})
}

fn shape() -> Shape {
    let field = |name: &str, kind, options: &[&str]| FieldShape {
        name: name.into(),
        kind,
        options: options.iter().map(ToString::to_string).collect(),
        links_to: None,
        description: String::new(),
    };
    Shape {
        collections: vec![CollectionShape {
            name: "Feedback".into(),
            key: Some("Loopd ID".into()),
            fields: vec![
                field("Summary", FieldKind::Text, &[]),
                field("Severity", FieldKind::Select, &["High", "Low"]),
                field("ARR", FieldKind::Currency, &[]),
                field("Theme", FieldKind::Text, &[]),
            ],
        }],
    }
}

/// Attached, with the webhook `achOne`.
async fn attached() -> (Airtable, Arc<Script>, Arc<crate::testing::StillClock>) {
    let (airtable, script, clock) = airtable();
    script.answer(200, &schema());
    script.answer(200, &json!({ "webhooks": [] }));
    let secret = base64::engine::general_purpose::STANDARD.encode(b"key");
    script.answer(
        200,
        &json!({ "id": "achOne", "macSecretBase64": secret, "expirationTime": "2026-11-30T08:00:00.000Z" }),
    );
    airtable.attach(&shape(), Some("https://loopd.example/hooks/a"), None).await.expect("attaches");
    script.take_asked();
    (airtable, script, clock)
}

fn write(target: Option<&str>, id: &str, fields: &Value) -> Write {
    Write {
        external_id: id.into(),
        target: target.map(String::from),
        fields: fields.as_object().cloned().unwrap_or_default(),
        tags: BTreeMap::new(),
    }
}

fn body(request: &::http::Request<bytes::Bytes>) -> Value {
    serde_json::from_slice(request.body()).expect("JSON")
}

#[test]
fn settings_are_checked() {
    let (_, _, outside) = outside();
    let key = |settings: Value| open(&settings, &secrets(), &outside).err().and_then(|error| error.key);
    assert_eq!(key(json!({ "base": "appOne" })), None);
    assert_eq!(key(json!({})), Some("base".into()));
    assert_eq!(key(json!({ "base": "app/One" })), Some("base".into()));
    assert_eq!(key(json!({ "base": "appOne", "tabels": [] })), Some("tabels".into()));
    assert_eq!(key(json!({ "base": "appOne", "content_url": "nowhere" })), Some("content_url".into()));
    let without = open(&json!({ "base": "appOne" }), &Secrets::new(), &outside).err();
    assert_eq!(without.and_then(|error| error.key), Some("token".into()));
}

#[test]
fn values_have_one_spelling() {
    let cases = [
        ("singleLineText", json!("a\nb "), json!("a b")),
        ("multilineText", json!(" kept as is\n"), json!(" kept as is\n")),
        ("richText", json!("**x**\n"), json!("**x**")),
        ("multilineText", json!(""), Value::Null),
        ("checkbox", json!(false), Value::Null),
        ("checkbox", json!(true), json!(true)),
        ("date", json!("2026-11-23T22:00:00Z"), json!("2026-11-23")),
        ("dateTime", json!("2026-11-23T09:00:00+01:00"), json!("2026-11-23T08:00:00.000Z")),
        ("dateTime", json!("2026-11-23"), json!("2026-11-23T00:00:00.000Z")),
        ("singleSelect", json!({ "id": "sel1", "name": "High", "color": "red" }), json!("High")),
        ("multipleSelects", json!([{ "id": "s", "name": "b" }, "a", "a"]), json!(["a", "b"])),
        ("multipleRecordLinks", json!([{ "id": "rec2", "name": "x" }, "rec1"]), json!(["rec1", "rec2"])),
        ("multipleRecordLinks", json!([]), Value::Null),
        (
            "singleCollaborator",
            json!({ "id": "usr1", "email": "ann@example.com", "name": "Ann" }),
            json!("ann@example.com"),
        ),
        ("number", json!(3.0), json!(3)),
        ("number", json!("4.5"), json!(4.5)),
        ("formula", json!({ "error": "#ERROR!" }), Value::Null),
        ("", json!("2026-11-23T08:00:00Z"), json!("2026-11-23T08:00:00.000Z")),
    ];
    for (kind, value, expected) in cases {
        let once = canonical(Some(&field(kind)), value.clone());
        assert_eq!(once, expected, "{kind} {value}");
        assert_eq!(canonical(Some(&field(kind)), once), expected, "{kind} {value}, again");
    }
    let precise =
        |kind: &str, precision, value| canonical(Some(&Field { precision: Some(precision), ..field(kind) }), value);
    assert_eq!(precise("currency", 2, json!(12.345)), json!(12.35));
    assert_eq!(precise("percent", 1, json!(0.12345)), json!(0.123));
    assert_eq!(precise("number", 0, json!(2.5)), json!(3));
}

#[test]
fn a_long_text_ends_visibly_and_is_cut_once() {
    let long = "å".repeat(120_000);
    let short = cut(long);
    assert!(short.ends_with("… [cut by loopd: 120000 characters]"));
    assert_eq!(short.encode_utf16().count(), 100_000);
    assert_eq!(cut(short.clone()), short);
    let emoji = cut("😀".repeat(60_000));
    assert!(emoji.encode_utf16().count() <= 100_000 && emoji.ends_with("60000 characters]"));
}

#[test]
fn what_does_not_fit_is_left_out() {
    assert!(fits(&field("formula"), &json!("x"), false).is_err());
    assert!(fits(&field("number"), &json!("many"), false).is_err());
    assert!(fits(&field("multipleRecordLinks"), &json!(["Acme"]), false).is_err());
    assert!(fits(&field("singleLineText"), &json!({}), false).is_err());
    assert_eq!(fits(&field("number"), &Value::Null, false), Ok(Value::Null));
    assert_eq!(
        fits(&field("singleCollaborator"), &json!("ann@example.com"), false),
        Ok(json!({ "email": "ann@example.com" }))
    );
}

#[test]
fn a_bound_field_stays_bound_when_it_is_renamed() {
    let before = SchemaTable::list(&schema());
    let known = binding::bind(&shape(), &[], Some(&before), None);
    assert!(known.tables["Feedback"].missing.contains_key("Theme"));
    let mut renamed = schema();
    renamed["tables"][0]["name"] = json!("Voices");
    renamed["tables"][0]["fields"][0]["name"] = json!("Title");
    renamed["tables"][0]["fields"][1] = json!({ "id": "fld9", "name": "Severity", "type": "number" });
    let after = binding::bind(&shape(), &[], Some(&SchemaTable::list(&renamed)), Some(&known));
    let table = &after.tables["Feedback"];
    assert_eq!(table.id.as_deref(), Some("tblF"));
    assert_eq!(table.fields["Summary"].id.as_deref(), Some("fld1"));
    assert_eq!(table.fields["Summary"].name, "Title");
    assert_eq!(table.fields["Severity"].id.as_deref(), Some("fld9"), "its id is gone: found by name");
    assert!(after.notes.iter().any(|note| note.contains("Severity") && note.contains("number")), "{:?}", after.notes);
    // The schema cannot be read any more: ids stay.
    let blind = binding::bind(&shape(), &[], None, Some(&after));
    assert_eq!(blind.tables["Feedback"].fields["Summary"].id.as_deref(), Some("fld1"));
}

#[tokio::test]
async fn creates_are_upserts_and_each_record_gets_its_verdict() {
    let (airtable, script, _) = attached().await;
    script.answer(200, &json!({ "records": [
        { "id": "rec2", "createdTime": "2026-11-23T08:00:00.000Z", "fields": { "fld4": "id-2", "fld2": "High" } },
        { "id": "rec1", "createdTime": "2026-11-23T08:00:00.000Z", "fields": { "fld4": "id-1", "fld1": "Slow", "fld3": 12.35 } },
    ], "createdRecords": ["rec1"], "updatedRecords": ["rec2"] }));
    let writes = [
        write(None, "id-1", &json!({ "Summary": "Slow", "ARR": 12.345, "Theme": "x" })),
        write(None, "id-2", &json!({ "Severity": "High" })),
    ];
    let verdicts = airtable.write("Feedback", &writes).await;
    let asked = script.take_asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].method().as_str(), asked[0].uri().path()), ("PATCH", "/v0/appOne/tblF"));
    assert_eq!(
        body(&asked[0]),
        json!({
            "performUpsert": { "fieldsToMergeOn": ["fld4"] },
            "returnFieldsByFieldId": true,
            "records": [{ "fields": { "fld4": "id-1", "fld1": "Slow", "fld3": 12.35 } }, { "fields": { "fld4": "id-2", "fld2": "High" } }],
        })
    );
    let Ok(Written::Stored(first)) = &verdicts[0] else { panic!("{verdicts:?}") };
    assert_eq!((first.id.as_str(), first.created), ("rec1", true));
    assert_eq!(Value::Object(first.fields.clone()), json!({ "Summary": "Slow", "ARR": 12.35 }));
    assert_eq!(first.skipped.keys().collect::<Vec<_>>(), ["Theme"]);
    assert_eq!(first.url.as_deref(), Some("https://airtable.com/appOne/tblF/rec1"));
    assert!(matches!(&verdicts[1], Ok(Written::Stored(second)) if second.id == "rec2" && !second.created));
}

#[tokio::test]
async fn refusals_become_decisions() {
    let one = [write(Some("rec1"), "id-1", &json!({ "Severity": "Urgent", "Summary": "x" }))];
    let two = [
        write(Some("rec1"), "id-1", &json!({ "Summary": "x" })),
        write(Some("rec2"), "id-2", &json!({ "Summary": "y" })),
    ];
    let error = |kind: &str, message: &str| json!({ "error": { "type": kind, "message": message } });
    let rejected = |field: Option<&str>| {
        let field = field.map(String::from);
        move |verdict: &Result<Written, Fault>| matches!(verdict, Err(Fault::Rejected { field: named, .. }) if *named == field)
    };
    type Check = Box<dyn Fn(&Result<Written, Fault>) -> bool>;
    let cases: Vec<(u16, Value, &[Write], Check)> = vec![
        (
            422,
            error(
                "INVALID_MULTIPLE_CHOICE_OPTIONS",
                "Insufficient permissions to create new select option \"\"Urgent\"\"",
            ),
            &one,
            Box::new(rejected(Some("Severity"))),
        ),
        (
            422,
            error("INVALID_VALUE_FOR_COLUMN", "Field \"Summary\" cannot accept the provided value"),
            &one,
            Box::new(rejected(Some("Summary"))),
        ),
        (
            422,
            error("ROW_DOES_NOT_EXIST", "Record ID rec1 does not exist in this table"),
            &one,
            Box::new(|verdict| *verdict == Ok(Written::Gone)),
        ),
        (
            422,
            error("ROW_DOES_NOT_EXIST", "Record ID rec1 does not exist in this table"),
            &two,
            Box::new(rejected(None)),
        ),
        // It may be the way of writing that is not there: a read tells.
        (404, json!({ "error": "NOT_FOUND" }), &one, Box::new(|verdict| matches!(verdict, Err(Fault::Unknown { .. })))),
        (
            404,
            json!({ "error": { "type": "TABLE_NOT_FOUND" } }),
            &one,
            Box::new(|verdict| matches!(verdict, Err(Fault::Locked { .. }))),
        ),
        (
            422,
            error("UNKNOWN_FIELD_NAME", "Unknown field name: \"fld2\""),
            &one,
            Box::new(|verdict| matches!(verdict, Err(Fault::Later { .. }))),
        ),
        (
            401,
            error("AUTHENTICATION_REQUIRED", "Authentication required"),
            &one,
            Box::new(|verdict| matches!(verdict, Err(Fault::Locked { .. }))),
        ),
        (
            403,
            error("INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "no"),
            &one,
            Box::new(|verdict| matches!(verdict, Err(Fault::Locked { .. }))),
        ),
        (413, Value::Null, &two, Box::new(rejected(None))),
        (500, json!("<html>"), &one, Box::new(|verdict| matches!(verdict, Err(Fault::Unknown { .. })))),
        (503, error("RETRIABLE_ERROR", ""), &one, Box::new(|verdict| matches!(verdict, Err(Fault::Later { .. })))),
        (
            429,
            error("RATE_LIMIT_REACHED", "slow down"),
            &one,
            Box::new(|verdict| matches!(verdict, Err(Fault::Later { after: Some(wait), .. }) if wait.as_secs() == 30)),
        ),
        (
            429,
            error("PUBLIC_API_BILLING_LIMIT_EXCEEDED", "used up"),
            &one,
            Box::new(|verdict| matches!(verdict, Err(Fault::Locked { .. }))),
        ),
        (200, json!({ "records": [] }), &one, Box::new(|verdict| matches!(verdict, Err(Fault::Unknown { .. })))),
    ];
    for (status, answer, writes, good) in cases {
        let (airtable, script, _) = attached().await;
        script.answer(status, &answer);
        let verdicts = airtable.write("Feedback", writes).await;
        assert_eq!(verdicts.len(), writes.len());
        assert!(verdicts.iter().all(&good), "{status} {answer}: {verdicts:?}");
    }
}

#[tokio::test]
async fn a_field_that_went_is_skipped_once_its_name_is_refused_too() {
    let (airtable, script, _) = attached().await;
    script
        .answer(422, &json!({ "error": { "type": "UNKNOWN_FIELD_NAME", "message": "Unknown field name: \"fld2\"" } }));
    script.answer(
        422,
        &json!({ "error": { "type": "UNKNOWN_FIELD_NAME", "message": "Unknown field name: \"Severity\"" } }),
    );
    script.answer(200, &json!({ "records": [{ "id": "rec1", "fields": { "fld1": "x" } }] }));
    let writes = [write(Some("rec1"), "id-1", &json!({ "Severity": "High", "Summary": "x" }))];
    for _ in 0..2 {
        assert!(matches!(airtable.write("Feedback", &writes).await[0], Err(Fault::Later { .. })));
    }
    let again = airtable.write("Feedback", &writes).await;
    assert!(matches!(&again[0], Ok(Written::Stored(receipt)) if receipt.skipped.contains_key("Severity")), "{again:?}");
}

#[tokio::test]
async fn a_429_closes_the_gate_for_all() {
    let (airtable, script, clock) = attached().await;
    script.answer(429, &json!({ "error": "RATE_LIMIT_REACHED" }));
    assert!(airtable.read("Feedback", &["rec1".into()]).await.is_err());
    assert!(matches!(airtable.read("Feedback", &["rec1".into()]).await, Err(Fault::Later { after: Some(_), .. })));
    assert_eq!(airtable.meter(), crate::Meter { calls: 4, throttled: 1 });
    clock.advance(31);
    script.answer(200, &json!({ "records": [{ "id": "rec1", "fields": {} }] }));
    assert!(airtable.read("Feedback", &["rec1".into()]).await.is_ok());
}

#[tokio::test]
async fn a_base_whose_schema_is_closed_is_used_by_name() {
    let (airtable, script, _) = airtable();
    script.answer(403, &json!({ "error": { "type": "INVALID_PERMISSIONS" } }));
    let stored = airtable.attach(&shape(), None, None).await.expect("attaches");
    assert_eq!(stored["hook"], Value::Null);
    script.answer(
        200,
        &json!({ "records": [{ "id": "rec1", "fields": { "Loopd ID": "id-1", "Summary": "x", "Extra": 1 } }] }),
    );
    let verdicts = airtable.write("Feedback", &[write(None, "id-1", &json!({ "Summary": "x" }))]).await;
    assert!(matches!(&verdicts[0], Ok(Written::Stored(receipt)) if receipt.id == "rec1"), "{verdicts:?}");
    let asked = script.take_asked();
    assert_eq!(asked[1].uri().path(), "/v0/appOne/Feedback");
    assert_eq!(body(&asked[1])["performUpsert"], json!({ "fieldsToMergeOn": ["Loopd ID"] }));
}

#[tokio::test]
async fn setup_adds_what_is_missing_and_says_what_hands_must_do() {
    let (airtable, script, _) = airtable();
    let mut wanted = shape();
    wanted.collections[0].fields[2].kind = FieldKind::Checkbox;
    wanted.collections[0].fields.push(FieldShape {
        name: "Customer".into(),
        kind: FieldKind::Link,
        options: Vec::new(),
        links_to: Some("Customers".into()),
        description: String::new(),
    });
    wanted.collections.push(CollectionShape {
        name: "Customers".into(),
        key: None,
        fields: ["Domains", "Name"]
            .map(|name| FieldShape {
                name: name.into(),
                kind: FieldKind::Text,
                options: Vec::new(),
                links_to: None,
                description: String::new(),
            })
            .into(),
    });
    script.answer(200, &schema());
    let plan = airtable.plan(&wanted).await.expect("plans");
    let what: Vec<_> = plan.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(
        what[..5],
        [
            "create table Customers with Name, Domains, Loopd ID",
            "add options Low to Severity in Feedback",
            "create field Theme (single line text) in Feedback",
            "create field Customer (link to another record) in Feedback",
            "field ARR in Feedback is a currency, where a checkbox is expected",
        ],
        "{what:?}"
    );
    assert!(plan[4].by_hand.is_some());
    assert!(what[5..].iter().all(|what| what.starts_with("view ")), "{what:?}");
    script.take_asked();
    script.answer(200, &json!({ "id": "tblC", "name": "Customers", "fields": [] }));
    script.answer(422, &json!({ "error": { "type": "INVALID_REQUEST_UNKNOWN" } }));
    script.answer(200, &json!({ "id": "fld7", "name": "Theme", "type": "singleLineText" }));
    script.answer(200, &json!({ "id": "fld8", "name": "Customer", "type": "multipleRecordLinks" }));
    airtable.apply(&plan[0]).await.expect("makes the table");
    let by_hand = airtable.apply(&plan[1]).await;
    assert!(matches!(&by_hand, Err(Fault::Rejected { why, .. }) if why.contains("By hand")), "{by_hand:?}");
    airtable.apply(&plan[2]).await.expect("makes the field");
    airtable.apply(&plan[3]).await.expect("makes the link");
    let asked = script.take_asked();
    assert_eq!(body(&asked[0])["fields"][0], json!({ "name": "Name", "type": "singleLineText" }));
    assert_eq!(asked[3].uri().path(), "/v0/meta/bases/appOne/tables/tblF/fields");
    assert_eq!(body(&asked[3])["options"], json!({ "linkedTableId": "tblC" }));
}

#[test]
fn a_row_without_its_table_has_no_url() {
    let (airtable, ..) = airtable();
    assert_eq!(airtable.url(&Table::default(), "rec1"), None);
}

#[tokio::test]
async fn a_row_with_an_unknown_option_does_not_hold_up_its_batch() {
    let (airtable, script, _) = attached().await;
    script.answer(200, &json!({ "records": [{ "id": "rec1", "fields": { "fld4": "id-1" } }, { "id": "rec3", "fields": { "fld4": "id-3" } }] }));
    script.answer(422, &json!({ "error": { "type": "INVALID_MULTIPLE_CHOICE_OPTIONS", "message": "Insufficient permissions to create new select option \"\"Dire\"\"" } }));
    let writes = [
        write(None, "id-1", &json!({ "Summary": "a" })),
        write(None, "id-2", &json!({ "Severity": "Dire" })),
        write(None, "id-3", &json!({ "Severity": "High" })),
    ];
    let verdicts = airtable.write("Feedback", &writes).await;
    assert!(verdicts[0].is_ok() && verdicts[2].is_ok(), "{verdicts:?}");
    assert!(
        matches!(&verdicts[1], Err(Fault::Rejected { field: Some(field), why }) if field == "Severity" && why.contains("loopd setup airtable"))
    );
    assert_eq!(script.lines().len(), 2);
}
