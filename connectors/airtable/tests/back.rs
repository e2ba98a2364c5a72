//! The way back: payloads, polls, pings, and reads of single records.

use super::*;

#[tokio::test]
async fn a_read_that_the_quota_interrupts_goes_on_where_it_was() {
    let (script, clock, outside) = outside();
    let airtable = open(&json!({ "base": "appOne", "quota": { "calls": 1, "per_seconds": 1 } }), &secrets(), &outside)
        .expect("opens");
    clock.warm_up();
    airtable.bind(binding::bind(&shape(), &[], Some(&SchemaTable::list(&schema())), None));
    script.answer(200, &json!({ "records": [{ "id": "rec1", "fields": { "fld1": "a" } }] }));
    script.answer(404, &json!({ "error": "NOT_FOUND" }));
    let ids = ["rec1".to_owned(), "rec2".to_owned()];
    assert!(matches!(airtable.read("Feedback", &ids).await, Err(Fault::Later { .. })));
    clock.advance(2);
    let read = airtable.read("Feedback", &ids).await.expect("the rest");
    assert_eq!(read[0].body, Some(json!({ "Summary": "a" })));
    assert_eq!(read[1].body, None);
    assert_eq!(script.lines().len(), 2, "{:?}", script.lines());
}

#[tokio::test]
async fn a_server_without_formulas_or_post_lists_is_asked_otherwise() {
    let (airtable, script, _) = attached().await;
    script.answer(404, &json!({ "error": "NOT_FOUND" }));
    script.answer(422, &json!({ "error": { "type": "INVALID_FILTER_BY_FORMULA" } }));
    script.answer(200, &json!({ "id": "rec1", "fields": { "Summary": "by name" } }));
    let read = airtable.read("Feedback", &["rec1".into()]).await.expect("reads");
    assert_eq!(read[0].body, Some(json!({ "Summary": "by name" })));
    let lines = script.lines();
    assert!(lines[0].starts_with("POST /v0/appOne/tblF/listRecords"), "{lines:?}");
    assert!(lines[1].starts_with("GET /v0/appOne/tblF?pageSize=100"), "{lines:?}");
    assert!(lines[2].starts_with("GET /v0/appOne/tblF/rec1?"), "{lines:?}");
}

#[tokio::test]
async fn the_oldest_of_several_rows_is_ours() {
    let (airtable, script, _) = attached().await;
    script.answer(
        200,
        &json!({ "records": [
            { "id": "recCopy", "createdTime": "2026-11-23T09:00:00.000Z", "fields": { "fld4": "id-1" } },
            { "id": "recOurs", "createdTime": "2026-11-23T08:00:00.000Z", "fields": { "fld4": "id-1" } },
        ]}),
    );
    let found = airtable.find("Feedback", &["id-1".into(), "it's".into()]).await.expect("finds");
    assert_eq!(found[0].as_ref().map(|record| record.key.id.as_str()), Some("recOurs"));
    assert!(found[1].is_none());
    let formula = body(&script.take_asked()[0])["filterByFormula"].clone();
    assert_eq!(formula, json!("OR({Loopd ID}='id-1',{Loopd ID}='it\\'s')"));
}

fn bound() -> Binding {
    binding::bind(&shape(), &[], Some(&SchemaTable::list(&schema())), None)
}

fn change(source: &str, previous: &Value, current: &Value) -> Value {
    json!({ "timestamp": "2026-11-23T08:00:01.000Z", "actionMetadata": { "source": source }, "changedTablesById": { "tblF": {
        "changedRecordsById": { "rec1": { "current": { "cellValuesByFieldId": current }, "previous": { "cellValuesByFieldId": previous } } },
    } } })
}

#[test]
fn what_people_typed_is_kept_even_if_it_was_overwritten() {
    let high = json!({ "fld2": { "id": "sel1", "name": "High", "color": "red" } });
    let payloads = [
        change("client", &json!({ "fld2": null }), &high),
        change("publicApi", &high, &json!({ "fld2": { "name": "Low" } })),
    ];
    let (mut echo, mut pending) = (Echo::default(), Vec::new());
    echo.wrote("rec1", "fld2", &json!("Low"));
    assert!(digest(&payloads, &bound(), &mut echo, &mut pending).is_empty());
    assert_eq!(pending.len(), 1);
    let [edit] = pending[0].edits.as_slice() else { panic!("{pending:?}") };
    assert_eq!((edit.field.as_str(), &edit.value, edit.overwritten), ("Severity", &json!("High"), true));
}

#[test]
fn our_own_writes_are_recognised_once_and_others_are_read() {
    let ours = change("publicApi", &json!({}), &json!({ "fld1": "x", "fld5": 3 }));
    let mut echo = Echo::default();
    echo.wrote("rec1", "fld1", &json!("x"));
    let mut pending = Vec::new();
    digest(std::slice::from_ref(&ours), &bound(), &mut echo, &mut pending);
    assert!(pending.is_empty());
    digest(&[ours], &bound(), &mut echo, &mut pending);
    assert_eq!(pending.len(), 1, "another program wrote the same later");
}

#[test]
fn odd_payloads_harm_nobody() {
    let (mut echo, mut pending) = (Echo::default(), Vec::new());
    let odd = [
        json!(null),
        json!({ "changedTablesById": [] }),
        json!({ "changedTablesById": { "tblF": { "changedRecordsById": { "rec1": null }, "destroyedRecordIds": ["rec2", 7] }, "tblOther": {} } }),
    ];
    let gone = digest(&odd, &bound(), &mut echo, &mut pending);
    assert_eq!(gone, [Key::new("Feedback", "rec2")]);
    assert_eq!(pending.len(), 1);
}

#[tokio::test]
async fn payloads_are_followed_and_the_rest_is_remembered() {
    let (airtable, script, _) = attached().await;
    script.answer(200, &json!({ "payloads": [change("client", &json!({}), &json!({ "fld1": "typed" })), { "changedTablesById": { "tblF": { "destroyedRecordIds": ["rec9"] } } }], "cursor": 3, "mightHaveMore": false }));
    script.answer(200, &json!({ "records": [{ "id": "rec1", "fields": { "fld1": "typed" } }] }));
    let page = airtable.pull("payloads", None).await.expect("a page");
    assert_eq!(page.records.len(), 1, "the tombstone");
    let Next::More(rest) = page.next else { panic!("records are still to be read") };
    let page = airtable.pull("payloads", Some(&rest)).await.expect("the records");
    assert_eq!(page.records[0].body, Some(json!({ "Summary": "typed" })));
    assert_eq!(page.records[0].edits.len(), 1);
    let lines = script.lines();
    assert_eq!(lines[0], "GET /v0/bases/appOne/webhooks/achOne/payloads?cursor=1&limit=50");
    // The webhook dies: nothing is asked until there is another.
    let (Next::More(at) | Next::CaughtUp(at)) = page.next;
    script.answer(404, &json!({ "error": "NOT_FOUND" }));
    let page = airtable.pull("payloads", Some(&at)).await.expect("degrades");
    let Next::CaughtUp(at) = page.next else { panic!("nothing more") };
    airtable.pull("payloads", Some(&at)).await.expect("no call");
    assert_eq!(script.lines().len(), 3);
}

#[tokio::test]
async fn the_modified_poll_pages_restarts_and_does_without_formulas() {
    let (airtable, script, clock) = attached().await;
    script.answer(200, &json!({ "records": [{ "id": "rec1", "fields": {} }, { "no": "id" }], "offset": "itr1/rec1" }));
    script.answer(422, &json!({ "error": { "type": "LIST_RECORDS_ITERATOR_NOT_AVAILABLE" } }));
    script.answer(200, &json!({ "records": [{ "id": "rec1", "fields": null }] }));
    let mut at = None;
    let mut seen = 0;
    loop {
        let page = airtable.pull("modified", at.as_ref()).await.expect("a page");
        seen += page.records.len();
        match page.next {
            Next::More(next) => at = Some(next),
            Next::CaughtUp(next) => {
                at = Some(next);
                break;
            }
        }
    }
    assert_eq!(seen, 2);
    // The webhook works, so the poll asks only every ten minutes.
    clock.advance(60);
    airtable.pull("modified", at.as_ref()).await.expect("no call");
    assert_eq!(script.take_asked().len(), 3);
    clock.advance(600);
    script.answer(422, &json!({ "error": { "type": "INVALID_FILTER_BY_FORMULA" } }));
    script.answer(200, &json!({ "records": [] }));
    let page = airtable.pull("modified", at.as_ref()).await.expect("a page");
    let Next::More(next) = page.next else { panic!("to be listed whole") };
    airtable.pull("modified", Some(&next)).await.expect("a page");
    let asked = script.take_asked();
    assert_eq!(
        body(&asked[0])["filterByFormula"],
        json!("IS_AFTER(LAST_MODIFIED_TIME(), \"2026-11-23T07:58:00.000Z\")")
    );
    assert_eq!(body(&asked[1]).get("filterByFormula"), None);
}

#[tokio::test]
async fn a_webhook_is_kept_renewed_and_made_again() {
    let (airtable, script, clock) = attached().await;
    let known = serde_json::to_value(&*airtable.binding()).expect("JSON");
    let callback = Some("https://loopd.example/hooks/a");
    let listed = |id: &str, expires: &str| json!({ "webhooks": [{ "id": id, "notificationUrl": "https://loopd.example/hooks/a", "isHookEnabled": true, "areNotificationsEnabled": true, "expirationTime": expires }] });
    // Alive and far from its end: looked at, left alone, and the binding is the same.
    script.answer(200, &schema());
    script.answer(200, &listed("achOne", "2026-11-30T08:00:00.000Z"));
    assert_eq!(airtable.attach(&shape(), callback, Some(&known)).await.expect("attaches"), known);
    // Near its end: renewed.
    clock.advance(5 * 86_400);
    script.answer(200, &schema());
    script.answer(200, &listed("achOne", "2026-11-30T08:00:00.000Z"));
    script.answer(200, &json!({ "expirationTime": "2026-12-05T08:00:00.000Z" }));
    let renewed = airtable.attach(&shape(), callback, Some(&known)).await.expect("attaches");
    assert_eq!(renewed["hook"]["expires"], json!("2026-12-05T08:00:00Z"));
    script.take_asked();
    // Another one points at us, and ours is not there: a lost ledger. It is deleted and made again.
    script.answer(200, &schema());
    script.answer(200, &listed("achLost", "2026-12-05T08:00:00.000Z"));
    script.answer(204, &Value::Null);
    script.answer(200, &json!({ "id": "achTwo", "macSecretBase64": "c2VjcmV0" }));
    let made = airtable.attach(&shape(), callback, Some(&renewed)).await.expect("attaches");
    assert_eq!(made["hook"]["id"], json!("achTwo"));
    assert!(script.lines().contains(&"DELETE /v0/bases/appOne/webhooks/achLost".to_owned()), "{:?}", script.lines());
    // No rights: noted, and the connection lives on.
    let (airtable, script, _) = self::airtable();
    script.answer(200, &schema());
    script.answer(403, &Value::Null);
    script.answer(403, &json!({ "error": { "type": "INVALID_PERMISSIONS" } }));
    let without = airtable.attach(&shape(), callback, None).await.expect("attaches");
    assert_eq!(without["hook"], Value::Null);
    assert!(without["notes"].to_string().contains("webhook:manage"));
}

#[tokio::test]
async fn pings_are_proven() {
    let (airtable, ..) = attached().await;
    let ping = br#"{"base":{"id":"appOne"},"webhook":{"id":"achOne"},"timestamp":"2026-11-23T08:00:00.000Z"}"#;
    let mut mac = Hmac::<Sha256>::new_from_slice(b"key").expect("any key");
    mac.update(ping);
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let at = airtable.clock.now();
    let open = |header: Option<String>, body: &[u8]| {
        let mut headers = ::http::HeaderMap::new();
        if let Some(header) = header {
            headers.insert("X-Airtable-Content-MAC", header.parse().expect("a header"));
        }
        airtable.open(Request { headers: &headers, body }, at).map(|delivery| (delivery.pull, delivery.id))
    };
    let good = Ok((vec!["payloads".to_owned()], "achOne:2026-11-23T08:00:00.000Z".to_owned()));
    assert_eq!(open(Some(format!("hmac-sha256={hex}")), ping), good);
    assert_eq!(
        open(Some(format!("hmac-sha256={}", base64::engine::general_purpose::STANDARD.encode(digest))), ping),
        good
    );
    assert!(matches!(open(Some(format!("hmac-sha256={hex}")), b"{}"), Err(Refusal::Forged(_))));
    assert!(matches!(open(None, ping), Err(Refusal::Forged(_))));
    let (unready, ..) = self::airtable();
    let headers = ::http::HeaderMap::new();
    assert!(matches!(unready.open(Request { headers: &headers, body: ping }, at), Err(Refusal::NotReady(_))));
}
