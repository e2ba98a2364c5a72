//! Settings, and answers of which no stand-in would think.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;

use super::{Ga4, open};
use crate::testing::{Script, outside};
use crate::{Connector, Fault, Next, Secrets, Source};

fn secrets() -> Secrets {
    let key = include_str!("../github/fixtures/app_key_for_tests_only.pem");
    let file = json!({"client_email": "a@p.iam.gserviceaccount.com", "private_key": key}).to_string();
    [("service_account".to_owned(), SecretString::from(file))].into()
}

fn bench() -> (std::sync::Arc<Script>, Ga4) {
    let (script, _, outside) = outside();
    let ga4 =
        open(&json!({"property": "properties/12", "account": "customUser:c"}), &secrets(), &outside).expect("it opens");
    script.answer(200, &json!({"access_token": "t", "expires_in": 3599, "token_type": "Bearer"}));
    (script, ga4)
}

#[test]
fn wrong_settings_are_told_by_their_key() {
    for (settings, key) in [
        (json!({"account": "a"}), "property"),
        (json!({"property": "G-XYZ", "account": "a"}), "property"),
        (json!({"property": 1}), "account"),
        (json!({"property": 1, "account": ""}), "account"),
        (json!({"property": 1, "account": "a", "page_rows": 250_001}), "page_rows"),
        (json!({"property": 1, "account": "a", "dimension": "b"}), "dimension"),
    ] {
        let error = open(&settings, &secrets(), &outside().2).map(|_| ()).expect_err("it is wrong");
        assert_eq!(error.key.as_deref(), Some(key), "{error}");
    }
}

#[tokio::test]
async fn an_empty_report_is_the_end() {
    let (script, ga4) = bench();
    script.answer(200, &json!({"metadata": {}, "kind": "analyticsData#runReport"}));
    let page = ga4.pull("usage", None).await.expect("a page");
    let Next::More(cursor) = page.next else { panic!("the end is a page of its own") };
    let end = ga4.pull("usage", Some(&cursor)).await.expect("the end");
    assert!(matches!(end.next, Next::CaughtUp(_)) && end.whole.is_some());
    let first = &script.take_asked()[1];
    assert_eq!(first.uri().path(), "/v1beta/properties/12:runReport");
}

#[tokio::test]
async fn what_is_rolled_up_over_the_days_stops_no_pull() {
    let (script, ga4) = bench();
    let row = |day: &str, account: &str, count: &str| json!({"dimensionValues": [{"value": day}, {"value": account}, {"value": "export"}], "metricValues": [{"value": count}]});
    script.answer(
        200,
        &json!({"rowCount": 3, "rows": [
            row("(other)", "(other)", "55"), row("20261122", "acme", "7"), row("20261122", "(other)", "3")
        ]}),
    );
    let page = ga4.pull("usage", None).await.expect("a page");
    let found: Vec<_> = page.usage.iter().map(|usage| (usage.day.to_string(), usage.account.as_deref())).collect();
    assert_eq!(found, [("2026-11-22".to_owned(), Some("acme")), ("2026-11-22".to_owned(), None)]);
    assert!(ga4.hindrance().is_some_and(|why| why.contains("(other)")));
    let Next::More(cursor) = page.next else { panic!("the end is a page of its own") };
    let end = ga4.pull("usage", Some(&cursor)).await.expect("the end");
    assert_eq!(end.whole, None, "what is missing may be in it");
}

#[tokio::test]
async fn more_rows_than_there_are_do_not_go_round_for_ever() {
    let (script, ga4) = bench();
    script.answer(200, &json!({"rowCount": 10}));
    let page = ga4.pull("usage", None).await.expect("a page");
    let Next::More(cursor) = page.next else { panic!("the end is a page of its own") };
    assert!(matches!(ga4.pull("usage", Some(&cursor)).await.expect("the end").next, Next::CaughtUp(_)));
}

#[tokio::test]
async fn a_server_error_is_not_soon_repeated() {
    let (script, ga4) = bench();
    script.answer(500, &json!({"error": {"code": 500, "message": "internal", "status": "INTERNAL"}}));
    let fault = ga4.pull("usage", None).await.expect_err("it failed");
    assert!(matches!(fault, Fault::Later { after: Some(after), .. } if after == Duration::from_secs(600)), "{fault}");
    assert!(ga4.wait().is_some_and(|wait| wait > Duration::from_secs(500)));
    // A number that is none, or a row without its cells, is told.
    for row in [json!({"dimensionValues": [{"value": "20261123"}], "metricValues": [{"value": "many"}]}), json!({})] {
        let (script, ga4) = bench();
        script.answer(200, &json!({"rowCount": 1, "rows": [row]}));
        assert!(matches!(ga4.pull("usage", None).await, Err(Fault::Rejected { .. })));
    }
}
