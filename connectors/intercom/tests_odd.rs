//! Intercom against a script: servers that know less of Intercom than Intercom.

use serde_json::{Value, json};

use super::tests::intercom;
use crate::{Connector, Fault, Key, Message, MessageKind, Messenger, Next, Shape, Source};

#[tokio::test]
async fn without_me_it_attaches_and_another_admin_signs() {
    for status in [400, 404, 405, 422, 500] {
        let (intercom, script, _) = intercom();
        script.answer_with(status, &[("retry-after", "9")], &Value::Null);
        let binding = intercom.attach(&Shape::default(), None, None).await.expect("attached");
        assert_eq!(binding, json!({}));
        script.answer(200, &json!({"type": "admin.list", "admins": [{"type": "admin", "id": "814"}]}));
        script.answer(200, &json!({"id": "9"}));
        let to = Key::new("conversation", "9");
        let message = Message { id: "m".into(), to, kind: MessageKind::Note, body: "x".into() };
        intercom.send(&message).await.expect("sent");
        let asked = script.take_asked();
        let body: Value = serde_json::from_slice(asked[2].body()).expect("JSON");
        assert_eq!((asked[1].uri().path(), &body["admin_id"]), ("/admins", &json!("814")));
    }
    let (intercom, script, _) = intercom();
    script.answer(404, &Value::Null);
    script.answer(404, &Value::Null);
    let to = Key::new("conversation", "9");
    let message = Message { id: "m".into(), to, kind: MessageKind::Note, body: "x".into() };
    assert!(matches!(intercom.send(&message).await, Err(Fault::Rejected { .. })));
    // What is not sent, refused or throttled still stops the attach.
    for (status, locked) in [(401, true), (429, false)] {
        let (intercom, script, _) = self::intercom();
        script.answer(status, &Value::Null);
        let fault = intercom.attach(&Shape::default(), None, None).await.expect_err("refused");
        assert_eq!(matches!(fault, Fault::Locked { .. }), locked, "{fault}");
    }
    let (intercom, _, _) = self::intercom();
    assert!(matches!(intercom.attach(&Shape::default(), None, None).await, Err(Fault::Later { .. })));
}

#[tokio::test]
async fn companies_that_cannot_be_listed_are_left_out() {
    let (intercom, script, _) = intercom();
    script.answer(405, &Value::Null);
    let page = intercom.pull("companies", None).await.expect("a page");
    assert!(page.records.is_empty() && matches!(page.next, Next::CaughtUp(_)));
}

#[tokio::test]
async fn companies_are_listed_the_other_way_where_the_one_is_not_there() {
    let (intercom, script, _) = intercom();
    script.answer(404, &Value::Null);
    script.answer(200, &json!({"data": [{"id": "co1"}], "pages": {"total_pages": 2}}));
    script.answer(200, &json!({"data": [{"id": "co2"}], "pages": {"total_pages": 2}}));
    let page = intercom.pull("companies", None).await.expect("a page");
    let Next::More(at) = page.next else { panic!("there are two pages") };
    let last = intercom.pull("companies", Some(&at)).await.expect("a page");
    assert_eq!((page.records.len(), last.records.len()), (1, 1));
    let asked = [
        "POST /companies/list?page=1&per_page=50&order=asc",
        "GET /companies?page=1&per_page=50",
        "GET /companies?page=2&per_page=50",
    ];
    assert_eq!(script.lines(), asked);

    // Neither is there: that is told, and says of no company that it is gone.
    let (intercom, script, _) = self::intercom();
    for _ in 0..4 {
        script.answer(404, &Value::Null);
    }
    let page = intercom.pull("companies", None).await.expect("without them");
    assert!(page.records.is_empty() && matches!(page.next, Next::CaughtUp(_)));
    assert!(matches!(intercom.ids("company", None).await, Err(Fault::Rejected { .. })));
    script.answer(200, &json!({"type": "admin", "id": "1", "app": {"id_code": "w"}}));
    let notes = intercom.probe().await.expect("answers").notes;
    assert!(notes.iter().any(|note| note.contains("GET /companies")), "{notes:?}");
}
