//! Servers that know less of Airtable than Airtable.

use super::*;

#[test]
fn a_base_url_without_a_path_means_the_vendors_own() {
    let base = |url: &str| Settings::parse(&json!({ "base": "app_One-2", "base_url": url })).expect("valid").base_url;
    assert_eq!(base("http://127.0.0.1:7"), "http://127.0.0.1:7/v0");
    assert_eq!(base("http://127.0.0.1:7/"), "http://127.0.0.1:7/v0");
    assert_eq!(base("http://127.0.0.1:7/airtable"), "http://127.0.0.1:7/airtable");
}

#[tokio::test]
async fn an_unhappy_webhook_endpoint_keeps_nobody_from_attaching() {
    let callback = Some("https://loopd.example/hooks/a");
    for (list, create) in [(500, None), (400, None), (200, Some(503)), (200, Some(500))] {
        let (airtable, script, _) = airtable();
        script.answer(200, &schema());
        script.answer_with(list, &[("retry-after", "60")], &json!({ "webhooks": [] }));
        if let Some(create) = create {
            script.answer_with(create, &[("retry-after", "60")], &Value::Null);
        }
        let binding = airtable.attach(&shape(), callback, None).await.expect("attaches");
        assert_eq!(binding["hook"], Value::Null);
        assert!(binding["notes"].to_string().contains("webhook endpoint"), "{binding}");
    }
    // A known webhook is kept meanwhile.
    let (airtable, script, _) = attached().await;
    let known = serde_json::to_value(&*airtable.binding()).expect("JSON");
    script.answer(200, &schema());
    script.answer(502, &Value::Null);
    let binding = airtable.attach(&shape(), callback, Some(&known)).await.expect("attaches");
    assert_eq!(binding["hook"], known["hook"]);
    // A token that is refused locks as ever.
    script.answer(200, &schema());
    script.answer(401, &Value::Null);
    assert!(matches!(airtable.attach(&shape(), callback, Some(&known)).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn a_refused_url_is_left_out_at_once() {
    for status in [400, 422] {
        let (airtable, script, _) = airtable();
        script.answer(200, &schema());
        script.answer(200, &json!({ "webhooks": [] }));
        script.answer(status, &json!({ "error": { "type": "INVALID_REQUEST", "message": "not public" } }));
        script.answer(200, &json!({ "id": "achOne", "macSecretBase64": "c2VjcmV0" }));
        let binding = airtable.attach(&shape(), Some("http://10.0.0.1/hooks/a"), None).await.expect("attaches");
        assert_eq!(binding["hook"]["id"], json!("achOne"));
        let asked = script.take_asked();
        assert_eq!(body(&asked[2])["notificationUrl"], json!("http://10.0.0.1/hooks/a"));
        assert_eq!(body(&asked[3]).get("notificationUrl"), None);
    }
}

#[tokio::test]
async fn refused_field_ids_are_replaced_by_names() {
    let (airtable, script, _) = attached().await;
    let refusal = json!({ "error": { "type": "UNKNOWN_FIELD_NAME", "message": "Unknown field name: \"fld4\"" } });
    script.answer(422, &refusal);
    let row = json!({ "id": "rec1", "fields": { "Loopd ID": "id-1", "Summary": "x" } });
    script.answer(200, &json!({ "records": [row], "createdRecords": ["rec1"] }));
    let writes = [write(None, "id-1", &json!({ "Summary": "x" }))];
    assert!(matches!(airtable.write("Feedback", &writes).await[0], Err(Fault::Later { after: Some(_), .. })));
    let again = airtable.write("Feedback", &writes).await;
    assert!(matches!(&again[0], Ok(Written::Stored(receipt)) if receipt.id == "rec1" && receipt.skipped.is_empty()));
    let asked = body(&script.take_asked()[1]);
    assert_eq!(asked["performUpsert"], json!({ "fieldsToMergeOn": ["Loopd ID"] }));
    assert_eq!(asked["records"], json!([{ "fields": { "Loopd ID": "id-1", "Summary": "x" } }]));
}

#[tokio::test]
async fn lists_go_by_get_where_post_is_refused_and_a_hidden_table_is_still_told() {
    for status in [400, 403, 405, 501] {
        let (airtable, script, _) = attached().await;
        script.answer(status, &Value::Null);
        script.answer(200, &json!({ "records": [{ "id": "rec1", "fields": { "Summary": "x" } }] }));
        let read = airtable.read("Feedback", &["rec1".into()]).await.expect("reads");
        assert_eq!(read[0].body, Some(json!({ "Summary": "x" })));
    }
    let (airtable, script, _) = attached().await;
    for _ in 0..2 {
        script.answer(403, &json!({ "error": { "type": "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND" } }));
    }
    assert!(matches!(airtable.read("Feedback", &["rec1".into()]).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn a_formula_that_finds_nothing_is_doubted_once() {
    let (airtable, script, _) = attached().await;
    let pending = |id: &str| json!({ "changedTablesById": { "tblF": { "changedRecordsById": { id: {} } } } });
    script.answer(200, &json!({ "payloads": [pending("rec1"), pending("rec2")], "cursor": 3 }));
    script.answer(200, &json!({ "records": [] }));
    script.answer(200, &json!({ "id": "rec1", "fields": { "fld1": "x" } }));
    script.answer(404, &json!({ "error": "NOT_FOUND" }));
    let (mut at, mut seen) = (None, 0);
    for _ in 0..4 {
        let page = airtable.pull("payloads", at.as_ref()).await.expect("a page");
        seen += page.records.len();
        let (Next::More(next) | Next::CaughtUp(next)) = page.next;
        at = Some(next);
    }
    assert_eq!(seen, 1);
    assert_eq!(at.expect("a cursor").0["one_by_one"], json!(false));
    assert_eq!(script.take_asked().len(), 4);
}
