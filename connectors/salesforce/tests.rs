//! Against a script: what goes out to the letter, and answers that no server should give.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Salesforce, open, soql, values, verdict};
use crate::http::Broken;
use crate::testing::{Script, StillClock, outside};
use crate::{
    CollectionShape, Connector, Cursor, Fault, FieldKind, FieldShape, Key, Next, Shape, Sink, Source, Write, Written,
};

struct Bench {
    script: std::sync::Arc<Script>,
    clock: std::sync::Arc<StillClock>,
    salesforce: Salesforce,
}

const OBJECT: &str = "Loopd_Feedback__c";

fn bench(more: &Value) -> Bench {
    let (script, clock, outside) = outside();
    let mut settings = json!({ "base_url": "https://acme.my.salesforce.com/" });
    settings.as_object_mut().expect("a table").extend(more.as_object().cloned().unwrap_or_default());
    let secrets = [("token".to_owned(), SecretString::from("00D!x"))].into();
    let salesforce = open(&settings, &secrets, &outside).expect("it opens");
    clock.warm_up();
    Bench { script, clock, salesforce }
}

fn shape() -> Shape {
    let field = |name: &str, kind| FieldShape {
        name: name.into(),
        kind,
        options: Vec::new(),
        links_to: None,
        description: String::new(),
    };
    let fields = vec![
        field("Name", FieldKind::Text),
        field("Count__c", FieldKind::Number),
        field("Tags__c", FieldKind::MultiSelect),
    ];
    Shape { collections: vec![CollectionShape { name: OBJECT.into(), key: Some("Loopd_ID__c".into()), fields }] }
}

fn described(fields: &Value) -> Value {
    json!({ "name": "x", "label": "X", "createable": true, "updateable": true, "fields": fields })
}

fn writable(name: &str, kind: &str, length: u32) -> Value {
    json!({ "name": name, "type": kind, "length": length, "scale": 0, "createable": true, "updateable": true, "filterable": true, "externalId": name == "Loopd_ID__c" })
}

impl Bench {
    async fn attached(self) -> Self {
        // Account, Opportunity, and our object.
        self.script
            .answer(200, &described(&json!([writable("Name", "string", 255), writable("OwnerId", "reference", 18)])));
        self.script
            .answer(404, &json!([{ "errorCode": "NOT_FOUND", "message": "The requested resource does not exist" }]));
        let fields = json!([
            writable("Loopd_ID__c", "string", 64),
            writable("Name", "string", 80),
            writable("Count__c", "double", 0),
            writable("Tags__c", "multipicklist", 99),
        ]);
        self.script.answer(200, &described(&fields));
        self.salesforce.attach(&shape(), None, None).await.expect("attaches");
        self.script.take_asked();
        self
    }

    async fn write(&self, writes: &[Write]) -> Vec<Result<Written, Fault>> {
        self.salesforce.write(OBJECT, writes).await
    }

    fn sent(&self) -> Vec<(String, Value)> {
        let line = |request: &http::Request<bytes::Bytes>| {
            (
                format!("{} {}", request.method(), request.uri().path()),
                serde_json::from_slice(request.body()).unwrap_or_default(),
            )
        };
        self.script.take_asked().iter().map(line).collect()
    }
}

fn write(target: Option<&str>, fields: &Value) -> Write {
    Write {
        external_id: "3f1c1a52-6a0e-4c7b-9a53-0d6a5a1f2b3c".into(),
        target: target.map(str::to_owned),
        fields: fields.as_object().cloned().unwrap_or_default(),
        tags: BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_create_is_an_upsert_and_an_update_goes_by_id() {
    let bench = bench(&json!({})).attached().await;
    bench.script.answer(200, &json!([{ "id": "a01000000000001", "success": true, "created": false, "errors": [] }]));
    let made = bench.write(&[write(None, &json!({ "Name": " x ", "Tags__c": ["b", "a;c"] }))]).await.remove(0);
    let Ok(Written::Stored(receipt)) = made else { panic!("{made:?}") };
    assert_eq!(receipt.id, "a01000000000001AAA", "fifteen characters are made eighteen");
    assert!(!receipt.created && receipt.fields["Tags__c"] == json!(["a,c", "b"]));
    bench.script.answer(200, &json!([{ "id": "a01000000000001AAA", "success": true, "errors": [] }]));
    assert!(bench.write(&[write(Some("a01000000000001AAA"), &json!({ "Count__c": 2.4 }))]).await[0].is_ok());
    let sent = bench.sent();
    assert_eq!(sent[0].0, format!("PATCH /services/data/v67.0/composite/sobjects/{OBJECT}/Loopd_ID__c"));
    assert_eq!(
        sent[0].1,
        json!({ "allOrNone": false, "records": [{
            "attributes": { "type": OBJECT }, "Loopd_ID__c": "3f1c1a52-6a0e-4c7b-9a53-0d6a5a1f2b3c", "Name": "x", "Tags__c": "a,c;b",
        }] })
    );
    assert_eq!(sent[1].0, "PATCH /services/data/v67.0/composite/sobjects");
    assert_eq!(
        sent[1].1["records"],
        json!([{ "attributes": { "type": OBJECT }, "id": "a01000000000001AAA", "Count__c": 2 }])
    );
}

#[tokio::test]
async fn statuses_are_decisions() {
    let error = |code: &str| json!([{ "errorCode": code, "message": "words" }]);
    let is = |fault: &Fault| match fault {
        Fault::Later { .. } => "later",
        Fault::Unknown { .. } => "unknown",
        Fault::Rejected { .. } => "rejected",
        Fault::Locked { .. } => "locked",
    };
    for (status, body, write_is, read_is) in [
        (401, error("INVALID_SESSION_ID"), "locked", "locked"),
        (403, error("REQUEST_LIMIT_EXCEEDED"), "later", "later"),
        (503, error("REQUEST_LIMIT_EXCEEDED"), "later", "later"),
        (403, error("API_DISABLED_FOR_ORG"), "locked", "locked"),
        (503, error("SERVER_UNAVAILABLE"), "later", "later"),
        (500, error("UNKNOWN_EXCEPTION"), "unknown", "later"),
        (503, json!("<html>"), "unknown", "later"),
        (429, json!({}), "later", "later"),
        (400, error("MALFORMED_QUERY"), "rejected", "rejected"),
        (400, error("INVALID_TYPE"), "locked", "locked"),
        (400, error("QUERY_TIMEOUT"), "later", "later"),
        (410, error("GONE"), "locked", "locked"),
        (302, json!({}), "locked", "locked"),
        (414, json!("<h1>Bad Message 414</h1>"), "rejected", "rejected"),
        (200, json!({ "odd": true }), "unknown", "unknown"),
        (200, json!([]), "unknown", "unknown"),
    ] {
        let bench = bench(&json!({})).attached().await;
        bench.script.answer(status, &body);
        let wrote = bench.write(&[write(None, &json!({ "Name": "x" }))]).await.remove(0).expect_err("it fails");
        bench.clock.advance(1_000);
        bench.script.answer(status, &body);
        let read = bench.salesforce.read(OBJECT, &["a01000000000001AAA".into()]).await.expect_err("it fails");
        assert_eq!((is(&wrote), is(&read)), (write_is, read_is), "{status} {body}: {wrote:?} {read:?}");
    }
    let bench = bench(&json!({})).attached().await;
    for (broken, expected) in [
        (Broken::NotSent("refused".into()), "later"),
        (Broken::NoAnswer("timeout".into()), "unknown"),
        (Broken::TooLarge, "unknown"),
    ] {
        bench.script.put(Err(broken));
        assert_eq!(
            is(&bench.write(&[write(None, &json!({ "Name": "x" }))]).await.remove(0).expect_err("it fails")),
            expected
        );
    }
}

#[test]
fn a_rows_errors_are_decisions() {
    use verdict::Refused;
    let of = |code: &str, fields: &[&str], updates| {
        verdict::of_row(
            &json!({ "success": false, "errors": [{ "statusCode": code, "message": "words", "fields": fields }] }),
            updates,
        )
    };
    assert!(matches!(of("UNABLE_TO_LOCK_ROW", &[], true), Refused::Fault(Fault::Later { after: Some(_), .. })));
    assert!(matches!(of("STORAGE_LIMIT_EXCEEDED", &[], false), Refused::Fault(Fault::Locked { .. })));
    assert_eq!(of("ENTITY_IS_DELETED", &[], true), Refused::Gone);
    assert!(
        matches!(of("ENTITY_IS_DELETED", &["Account__c"], true), Refused::Fault(Fault::Rejected { field: Some(field), .. }) if field == "Account__c")
    );
    assert!(matches!(of("ENTITY_IS_DELETED", &[], false), Refused::Fault(Fault::Rejected { .. })));
    assert_eq!(of("INVALID_FIELD_FOR_INSERT_UPDATE", &["A__c"], true), Refused::Closed(vec!["A__c".into()]));
    assert!(
        matches!(of("DUPLICATE_VALUE", &[], false), Refused::Fault(Fault::Rejected { why, .. }) if why.contains("View All"))
    );
    for odd in [json!({}), json!({ "errors": "no" }), json!({ "errors": [null] }), json!(null)] {
        assert!(matches!(verdict::of_row(&odd, true), Refused::Fault(Fault::Rejected { .. })), "{odd}");
    }
}

#[tokio::test]
async fn odd_verdicts_leave_the_outcome_unknown() {
    for odd in [json!([]), json!({}), json!([{ "success": true }, { "success": true }]), json!([{ "success": true }])] {
        let bench = bench(&json!({})).attached().await;
        bench.script.answer(200, &odd);
        let verdict = bench.write(&[write(None, &json!({ "Name": "x" }))]).await.remove(0);
        assert!(matches!(verdict, Err(Fault::Unknown { .. })), "{odd}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_pass_asks_by_time_and_id() {
    let bench = bench(&json!({ "start": "2026-01-01" })).attached().await;
    let row = |id: &str, at: &str| json!({ "attributes": {}, "Id": id, "SystemModstamp": at, "IsDeleted": false, "Name": "N", "Owner": null });
    let at = "2026-11-23T07:00:00.000+0000";
    // A page that is no whole one, as wide rows make it: there is more behind it.
    let page = json!({ "done": false, "nextRecordsUrl": "/services/data/v67.0/query/x-1", "records": [row("001000000000001AAA", at)] });
    bench.script.answer_with(200, &[("date", "Mon, 23 Nov 2026 08:00:05 GMT")], &page);
    let first = bench.salesforce.pull("Account", None).await.expect("a page");
    let Next::More(next) = first.next else { panic!("more is behind it") };
    bench.script.answer(200, &json!({ "done": true, "records": [row("001000000000002AAA", at)] }));
    let second = bench.salesforce.pull("Account", Some(&next)).await.expect("a page");
    let Next::CaughtUp(done) = second.next else { panic!("that was all") };
    assert_eq!(
        done,
        Cursor(json!({ "from": "2026-11-23T07:55:05Z" })),
        "five minutes before this pass began, by their clock"
    );
    bench.script.answer(200, &json!({ "done": true, "records": [] }));
    bench.salesforce.pull("Account", Some(&done)).await.expect("a page");
    let asked: Vec<String> = bench.script.lines().iter().map(|line| decoded(line)).collect();
    let select = "GET /services/data/v67.0/queryAll?q=SELECT Id,SystemModstamp,IsDeleted,Name,OwnerId,Owner.Name,Owner.Email FROM Account WHERE";
    let order = "ORDER BY SystemModstamp, Id LIMIT 2000";
    assert_eq!(asked[0], format!("{select} SystemModstamp >= 2026-01-01T00:00:00Z {order}"));
    assert_eq!(
        asked[1],
        format!(
            "{select} SystemModstamp >= 2026-11-23T07:00:00Z AND (SystemModstamp > 2026-11-23T07:00:00Z OR Id > '001000000000001AAA') {order}"
        )
    );
    assert_eq!(asked[2], format!("{select} SystemModstamp >= 2026-11-23T07:55:05Z {order}"));
    let odd = bench.salesforce.pull("Account", Some(&Cursor(json!({ "behind": 5 })))).await;
    assert!(matches!(odd, Err(Fault::Locked { .. })));
    // A page that goes nowhere must not be asked for ever.
    let stuck = json!({ "done": false, "nextRecordsUrl": "/x", "records": [] });
    bench.script.answer(200, &stuck);
    assert!(matches!(bench.salesforce.pull("Account", None).await, Err(Fault::Unknown { .. })));
    // No opportunities in this org, or none for this user.
    assert!(matches!(bench.salesforce.pull("Opportunity", None).await, Err(Fault::Rejected { .. })));
    assert!(matches!(bench.salesforce.pull("Lead", None).await, Err(Fault::Rejected { .. })));
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let hex = std::str::from_utf8(&rest[..2]).expect("two digits");
            out.push(u8::from_str_radix(hex, 16).expect("a byte"));
            rest = &rest[2..];
        } else {
            out.push(*byte);
        }
    }
    String::from_utf8(out).expect("text")
}

#[tokio::test]
async fn odd_rows_are_borne() {
    let bench = bench(&json!({})).attached().await;
    for odd in [
        json!([]),
        json!([null]),
        json!([{}]),
        json!([{ "Id": 5 }]),
        json!([{ "Id": "x", "SystemModstamp": "soon", "Name": { "a": [1] } }]),
    ] {
        bench.script.answer(200, &json!({ "done": true, "records": odd }));
        bench.salesforce.pull("Account", None).await.expect("a page");
        bench.script.answer(200, &json!({ "done": true, "records": odd }));
        bench.salesforce.find(OBJECT, &["a".into()]).await.expect("an answer");
    }
    let key = Key::new("Account", "0015g0000000001AAA");
    bench.script.answer(200, &json!({ "done": true, "records": [] }));
    assert!(bench.salesforce.fetch(&key).await.expect("an answer").is_some_and(|record| record.body.is_none()));
}

#[test]
fn texts_cannot_leave_their_quotes() {
    assert_eq!(soql::quoted(r"O'B\ \' OR Name != '"), r"'O\'B\\ \\\' OR Name != \''");
    assert_eq!(soql::quoted("a\nb\"c"), r#"'a\nb\"c'"#);
    for bad in ["", "1a", "a b", "a;b", "a'b", "é", "a.b", "Name FROM User --"] {
        assert!(!soql::is_name(bad), "{bad}");
    }
    assert!(soql::is_name("Loopd_ID__c"));
    let ids: Vec<String> = (0..1_000).map(|n| format!("{n:036}")).collect();
    let lists = soql::lists(&ids, 500);
    assert_eq!(lists.iter().map(|list| list.len()).sum::<usize>(), 1_000);
    assert!(lists.iter().all(|list| soql::encoded_length(&soql::among("Loopd_ID__c", list)) < soql::ROOM));
    assert_eq!(soql::lists(&["x".repeat(20_000)], 0).len(), 1, "a value is never cut");
    assert_eq!(soql::long_id("001D000000IRFma"), "001D000000IRFmaIAH");
}

#[test]
fn values_are_spelt_one_way() {
    let field = |kind: &str, length, scale| super::org::Field {
        kind: kind.into(),
        length,
        scale,
        ..super::org::Field::default()
    };
    for (kind, length, scale, value, kept) in [
        ("string", 10, None, json!("  a\r\nb "), json!("a b")),
        ("string", 5, None, json!("abcdefgh"), json!("abcd…")),
        ("string", 10, None, json!(""), Value::Null),
        ("string", 10, None, json!(5.0), json!("5")),
        ("textarea", 100, None, json!(" a\r\nb\r"), json!("a\nb")),
        ("double", 0, Some(2), json!(1.005_1), json!(1.01)),
        ("double", 0, Some(0), json!("12"), json!(12)),
        ("currency", 0, Some(2), json!(3.0), json!(3)),
        ("boolean", 0, None, json!(false), Value::Null),
        ("date", 0, None, json!("2026-11-20T23:30:00+02:00"), json!("2026-11-20")),
        ("datetime", 0, None, json!("2026-11-20T10:00:00.999+0000"), json!("2026-11-20T10:00:00Z")),
        ("datetime", 0, None, json!("2026-11-20"), json!("2026-11-20T00:00:00Z")),
        ("multipicklist", 0, None, json!("b; a;;b"), json!(["a", "b"])),
        ("reference", 18, None, json!("001D000000IRFma"), json!(["001D000000IRFmaIAH"])),
        ("reference", 18, None, json!([]), Value::Null),
        ("datetime", 0, None, json!({ "odd": 1 }), json!({ "odd": 1 })),
    ] {
        let canonical = values::canonical(Some(&field(kind, length, scale)), value.clone());
        assert_eq!(canonical, kept, "{kind} {value}");
        assert_eq!(
            values::canonical(Some(&field(kind, length, scale)), canonical.clone()),
            canonical,
            "{kind} {value}: twice is once"
        );
    }
    let fits = |kind: &str, length, value: &Value| values::fits(&field(kind, length, None), value);
    assert_eq!(fits("boolean", 0, &Value::Null), Ok(json!(false)));
    assert_eq!(fits("reference", 18, &json!(["001D000000IRFmaIAH"])), Ok(json!("001D000000IRFmaIAH")));
    assert_eq!(fits("string", 5, &Value::Null), Ok(Value::Null));
    for (kind, value) in [
        ("double", json!("many")),
        ("date", json!("soon")),
        ("boolean", json!("yes")),
        ("address", json!("x")),
        ("string", json!({})),
    ] {
        assert!(fits(kind, 10, &value).is_err(), "{kind} {value}");
    }
    assert!(fits("url", 10, &json!("https://long.example.com")).is_err(), "half an address is none");
    let long = values::cut(&"ß".repeat(1_000), 255);
    assert!(long.encode_utf16().count() <= 255 && long.ends_with("[cut by loopd: 1000 characters]"), "{long}");
}

#[tokio::test]
async fn what_the_sign_in_names_is_where_calls_go() {
    let (script, _, outside) = outside();
    let settings = json!({ "base_url": "https://acme.my.salesforce.com", "client_id": "c" });
    let secrets = [("client_secret".to_owned(), SecretString::from("s"))].into();
    let salesforce = open(&settings, &secrets, &outside).expect("it opens");
    script.answer(
        200,
        &json!({ "access_token": "t", "token_type": "Bearer", "instance_url": "https://moved.my.salesforce.com" }),
    );
    script.answer_with(200, &[("sforce-limit-info", "api-usage=99000/100000")], &json!({ "user_id": "u" }));
    let _ = salesforce.whoami(&mut super::Told::default()).await.expect("an answer");
    let hosts: Vec<_> =
        script.take_asked().iter().map(|request| request.uri().host().unwrap_or_default().to_owned()).collect();
    assert_eq!(hosts, ["acme.my.salesforce.com", "moved.my.salesforce.com"]);
    assert_eq!(salesforce.client.page_of("001"), "https://moved.my.salesforce.com/001");
    assert_eq!(salesforce.client.usage(), Some((99_000, 100_000)));
    assert!(
        salesforce.wait().is_some_and(|wait| wait > Duration::from_secs(600)),
        "one percent is left: it is for others"
    );
    assert!(salesforce.hindrance().is_some_and(|why| why.contains("99000 of 100000")));
}
