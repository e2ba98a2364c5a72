//! Settings, the text of queries, and answers of which no stand-in would think.

use secrecy::SecretString;
use serde_json::{Value, json};

use super::query::{Behind, page};
use super::settings::Settings;
use super::{PostHog, open};
use crate::testing::{Script, outside};
use crate::{Fault, Next, Secrets, Source};

fn secrets() -> Secrets {
    [("token".to_owned(), SecretString::from("phx_1"))].into()
}

fn bench() -> (std::sync::Arc<Script>, PostHog) {
    let (script, _, outside) = outside();
    (script, open(&json!({"project": "4711"}), &secrets(), &outside).expect("it opens"))
}

#[test]
fn wrong_settings_are_told_by_their_key() {
    for (settings, key) in [
        (json!({}), "project"),
        (json!({"project": "a b"}), "project"),
        (json!({"project": 1, "base_url": "https://eu.i.posthog.com"}), "base_url"),
        (json!({"project": 1, "page_rows": 50_001}), "page_rows"),
        (json!({"project": 1, "query_days": 0}), "query_days"),
        (json!({"project": 1, "account": " "}), "account"),
        (json!({"project": 1, "acount": "x"}), "acount"),
    ] {
        let error = open(&settings, &secrets(), &outside().2).map(|_| ()).expect_err("it is wrong");
        assert_eq!(error.key.as_deref(), Some(key), "{error}");
    }
    let error = open(&json!({"project": 1}), &Secrets::new(), &outside().2).map(|_| ()).expect_err("it lacks a key");
    assert_eq!(error.key.as_deref(), Some("token"));
}

#[test]
fn what_is_in_a_row_cannot_leave_its_quotes() {
    let settings = Settings::parse(&json!({"project": 1, "page_rows": 5})).expect("settings");
    let day = "2026-11-23".parse().expect("a day");
    let behind =
        Behind { day: "2026-11-23".into(), account: "O'B\\".into(), feature: "a\nb".into(), user: "') OR (1=1".into() };
    let text = page(&settings, day, day, Some(&behind));
    let keyset = "WHERE d > '2026-11-23' OR (d = '2026-11-23' AND (a > 'O\\'B\\\\' OR (a = 'O\\'B\\\\' AND (f > 'a\\nb' OR (f = 'a\\nb' AND (u > '\\') OR (1=1'))))))";
    assert!(text.contains(keyset), "{text}");
    assert!(text.ends_with("ORDER BY d, a, f, u LIMIT 5"), "{text}");
    assert!(text.contains("toString(sum(count)) AS c") && text.contains(") GROUP BY d, a, f, u) WHERE"), "{text}");
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_asked_for_fewer_days() {
    let (script, _, outside) = outside();
    let settings = json!({"project": "4711", "start": "2026-11-20", "page_rows": 2});
    let posthog = open(&settings, &secrets(), &outside).expect("it opens");
    let too_long =
        || script.answer(504, &json!({"type": "server_error", "detail": "Query has hit the max execution time"}));
    let rows = |rows: Value| script.answer(200, &json!({"results": rows}));
    let row = |day: &str, user: &str| json!([day, "acme", "export", user, "1"]);
    let mut cursor = None;
    let (mut counted, mut asked) = (0, Vec::new());
    let mut step = async || {
        let page = posthog.pull("usage", cursor.as_ref()).await?;
        counted += page.usage.len();
        let (Next::More(next) | Next::CaughtUp(next)) = page.next;
        cursor = Some(next);
        asked.extend(script.take_asked().iter().map(|asked| String::from_utf8_lossy(asked.body()).into_owned()));
        Ok::<_, Fault>((counted, asked.last().cloned().unwrap_or_default()))
    };
    // Four days are too many; a full page of two, within which it is too long again; then what is behind it, and the last days.
    too_long();
    step().await.expect("it asks for less");
    rows(json!([row("2026-11-20", "kim"), row("2026-11-21", "kim")]));
    let (_, text) = step().await.expect("a page");
    assert!(text.contains("toDate('2026-11-20')") && text.contains("<= toDate('2026-11-21')"), "{text}");
    too_long();
    step().await.expect("it asks for less");
    rows(json!([row("2026-11-21", "lou")]));
    let (_, text) = step().await.expect("the rest of the day");
    assert!(text.contains(">= toDate('2026-11-21')") && text.contains("<= toDate('2026-11-21')"), "{text}");
    assert!(text.contains("d > '2026-11-21'"), "behind the row that came last: {text}");
    too_long();
    let fault = step().await.expect_err("a day is the least");
    assert!(matches!(&fault, Fault::Later { after: None, why } if why.contains("single day")), "{fault}");
    rows(json!([]));
    let (_, text) = step().await.expect("nothing on the 22nd");
    assert!(text.contains(">= toDate('2026-11-22')") && text.contains("<= toDate('2026-11-22')"), "{text}");
    rows(json!([row("2026-11-23", "kim")]));
    assert_eq!(step().await.expect("the last day").0, 4);
    assert_eq!(step().await.expect("the end").0, 4);
}

#[tokio::test]
async fn odd_answers_are_no_rows() {
    type Is = fn(&Fault) -> bool;
    let cases: [(Value, Is); 5] = [
        (json!({}), |fault| matches!(fault, Fault::Unknown { .. })),
        (json!({"results": null, "query_status": {"complete": false}}), |fault| matches!(fault, Fault::Later { .. })),
        (json!({"results": [["2026-11-23", "acme"]]}), |fault| matches!(fault, Fault::Unknown { .. })),
        (json!({"results": [["soon", "acme", "export", "kim", 1]]}), |fault| matches!(fault, Fault::Rejected { .. })),
        (json!({"results": [["2026-11-23", "acme", "export", "kim", -1]]}), |fault| {
            matches!(fault, Fault::Rejected { .. })
        }),
    ];
    for (body, is_it) in cases {
        let (script, posthog) = bench();
        script.answer(200, &body);
        let fault = posthog.pull("usage", None).await.expect_err("it is odd");
        assert!(is_it(&fault), "{body}: {fault}");
    }
    // Numbers and nothing are taken as they come.
    let (script, posthog) = bench();
    script.answer(200, &json!({"results": [["2026-11-23", null, "export", null, 7]]}));
    let page = posthog.pull("usage", None).await.expect("a page");
    assert_eq!((page.usage.len(), &page.usage[0].account, &page.usage[0].user), (1, &None, &None));
}
