//! Settings, and answers of which no stand-in would think.

use secrecy::SecretString;
use serde_json::{Value, json};

use super::{BigQuery, open};
use crate::testing::{Script, outside};
use crate::{Connector, Counted, Cursor, Fault, Next, Page, Secrets, Source};

fn secrets(file: &str) -> Secrets {
    [("service_account".to_owned(), SecretString::from(file))].into()
}

fn key_file() -> String {
    let key = include_str!("../github/fixtures/app_key_for_tests_only.pem");
    json!({"client_email": "a@p.iam.gserviceaccount.com", "private_key": key, "private_key_id": "k"}).to_string()
}

fn settings() -> Value {
    json!({"project": "p", "query": "SELECT 1 WHERE day >= @since"})
}

fn bench() -> (std::sync::Arc<Script>, BigQuery) {
    let (script, _, outside) = outside();
    let bigquery = open(&settings(), &secrets(&key_file()), &outside).expect("it opens");
    script.answer(200, &json!({"access_token": "t", "expires_in": "3599", "token_type": "Bearer"}));
    (script, bigquery)
}

async fn pull(bigquery: &BigQuery, at: Option<&Cursor>) -> Result<Page, Fault> {
    bigquery.pull("usage", at).await
}

#[test]
fn wrong_settings_are_told_by_their_key() {
    for (more, key) in [
        (json!({"project": "a/b"}), "project"),
        (json!({"query": " "}), "query"),
        (json!({"page_rows": 0}), "page_rows"),
        (json!({"max_bytes_billed": 0}), "max_bytes_billed"),
        (json!({"base_url": "ftp://x"}), "base_url"),
        (json!({"qurey": "x"}), "qurey"),
    ] {
        let mut settings = settings();
        settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
        let error = open(&settings, &secrets(&key_file()), &outside().2).map(|_| ()).expect_err("it is wrong");
        assert_eq!(error.key.as_deref(), Some(key), "{error}");
    }
    for file in ["", "{", "{\"client_email\": \"a@b\"}", "{\"client_email\": \"a@b\", \"private_key\": \"s3cret\"}"] {
        let error = open(&settings(), &secrets(file), &outside().2).map(|_| ()).expect_err("it is wrong");
        assert_eq!(error.key.as_deref(), Some("service_account"));
        assert!(!error.why.contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn columns_stand_anywhere_and_values_are_texts_or_nothing() {
    let (script, bigquery) = bench();
    let fields = ["Count", "extra", "DAY", "feature", "account"].map(|name| json!({"name": name, "type": "STRING"}));
    let row = |cells: [Value; 5]| json!({"f": cells.map(|cell| json!({"v": cell}))});
    script.answer(200, &json!({
        "jobComplete": true, "jobReference": {"jobId": "j", "projectId": "p"}, "schema": {"fields": fields},
        "rows": [row([json!("3"), json!({"f": []}), json!("20261122"), json!("export"), Value::Null]), row([json!("1"), Value::Null, json!("2026-11-23"), json!("import"), json!("acme")])],
    }));
    let page = pull(&bigquery, None).await.expect("a page");
    let found: Vec<_> =
        page.usage.iter().map(|usage| (usage.day.to_string(), usage.account.as_deref(), usage.count.clone())).collect();
    let Counted::Total { pull, .. } = found[0].2 else { panic!("it is added up") };
    assert_eq!(found[0], ("2026-11-22".into(), None, Counted::Total { count: 3, pull }));
    assert_eq!(found[1], ("2026-11-23".into(), Some("acme"), Counted::Total { count: 1, pull }));
    assert!(matches!(page.next, Next::More(_)), "the end is a page of its own");
}

#[tokio::test]
async fn a_job_that_is_not_found_at_once_is_not_run_over_and_over() {
    let (script, bigquery) = bench();
    script.answer(200, &json!({"jobComplete": false, "jobReference": {"jobId": "j", "projectId": "p"}}));
    let Next::More(cursor) = pull(&bigquery, None).await.expect("it runs").next else { panic!("it is not done") };
    script.answer(404, &json!({"error": {"code": 404, "message": "Not found: Job p:j", "status": "NOT_FOUND"}}));
    let fault = pull(&bigquery, Some(&cursor)).await.expect_err("it is elsewhere");
    assert!(matches!(&fault, Fault::Later { after: None, why } if why.contains("location")), "{fault}");
}

#[tokio::test]
async fn odd_answers_are_no_rows() {
    for (body, expect) in [
        (json!({"jobComplete": false}), "no job"),
        (json!({"jobComplete": true, "pageToken": "t", "schema": {"fields": []}}), "no job"),
        (
            json!({"jobComplete": true, "schema": {"fields": [{"name": "feature"}]}, "rows": [{"f": [{"v": "x"}]}]}),
            "neither a column",
        ),
        (json!({"jobComplete": true, "errors": [{"reason": "quotaExceeded", "message": "gone"}]}), "gone"),
    ] {
        let (script, bigquery) = bench();
        script.answer(200, &body);
        let fault = pull(&bigquery, None).await.expect_err("it is odd").to_string();
        assert!(fault.contains(expect), "{fault}");
    }
    // A warning beside rows is a warning.
    let (script, bigquery) = bench();
    script.answer(200, &json!({"jobComplete": true, "schema": {"fields": []}, "errors": [{"reason": "invalid", "message": "a warning"}]}));
    assert_eq!(pull(&bigquery, None).await.expect("it is done").usage, []);
    // A page of a gateway is no answer.
    let (script, bigquery) = bench();
    script.answer(502, &json!("<html>"));
    assert!(matches!(pull(&bigquery, None).await, Err(Fault::Later { .. })));
    assert_eq!((bigquery.collections().len(), bigquery.meter().calls), (0, 1));
}
