//! GitHub against a script: what the answers to writes mean. Labels, comments, setup.

use serde_json::{Value, json};

use super::messenger::{LONGEST, compose, marker};
use super::tests::{github, github_with, issue};
use crate::{Fault, Key, Message, MessageKind, Messenger, Setup, Shape, Sink, TagChange, Write, Written};

#[tokio::test]
async fn an_even_pace_lets_a_write_of_several_calls_through() {
    let (github, script, clock) = github_with(&json!({"quota": {"calls": 1, "per_seconds": 1}}));
    script.answer(200, &json!([{"name": "a"}, {"name": "old"}]));
    script.answer(200, &json!([{"name": "a"}]));
    script.answer(200, &issue(9, "2026-11-22T10:00:00Z"));
    let change = TagChange { add: vec!["a".into()], remove: vec!["o/ld".into()] };
    let write = Write {
        external_id: "x".into(),
        target: Some("acme/widgets#9".into()),
        fields: serde_json::Map::new(),
        tags: [("labels".to_owned(), change)].into(),
    };
    let mut written = None;
    for _ in 0..5 {
        match github.write("issue", std::slice::from_ref(&write)).await.remove(0) {
            Ok(done) => written = Some(done),
            Err(Fault::Later { after: Some(wait), .. }) => clock.advance(wait.as_secs() + 1),
            Err(fault) => panic!("{fault}"),
        }
        if written.is_some() {
            break;
        }
    }
    let Some(Written::Stored(receipt)) = written else { panic!("it was written") };
    assert_eq!(receipt.fields["labels"], json!(["a"]));
    let lines = script.lines();
    assert_eq!(
        lines[..2],
        ["POST /api/v3/repos/acme/widgets/issues/9/labels", "DELETE /api/v3/repos/acme/widgets/issues/9/labels/o%2Fld"]
    );
    assert!(lines.len() <= 3, "{lines:?}");
}

#[tokio::test]
async fn writes_are_judged() {
    let write = |tags: &[&str]| Write {
        external_id: "x".into(),
        target: Some("acme/widgets#9".into()),
        fields: serde_json::Map::new(),
        tags: tags.iter().map(|tag| ((*tag).to_owned(), TagChange { add: vec!["n".into()], remove: vec![] })).collect(),
    };
    for (status, expect) in
        [(500, "unknown"), (503, "unknown"), (401, "locked"), (403, "locked"), (422, "rejected (field labels)")]
    {
        let (github, script, _) = github();
        script.answer(status, &json!({"message": "no", "errors": [{"field": "name", "code": "invalid"}]}));
        let fault = github.write("issue", &[write(&["labels"])]).await.remove(0).expect_err("refused").to_string();
        assert!(fault.contains(expect), "{status}: {fault}");
    }
    let (github, script, _) = github();
    assert!(matches!(github.write("issue", &[write(&["milestone"])]).await[0], Err(Fault::Rejected { .. })));
    assert!(matches!(github.write("comment", &[write(&["labels"])]).await[0], Err(Fault::Rejected { .. })));
    assert_eq!(script.lines(), Vec::<String>::new());
    assert_eq!(github.canonical("issue", "labels", json!(["b ", "A", "a", ""])), json!(["A", "b"]));
    assert_eq!(github.canonical("issue", "labels", json!([])), Value::Null);
}

#[tokio::test]
async fn a_message_is_marked_sent_once_and_found() {
    let (github, script, _) = github();
    let message =
        |kind| Message { id: "m--1".into(), to: Key::new("issue", "acme/widgets#9"), kind, body: "Shipped.".into() };
    script.answer(201, &json!({"id": 55, "html_url": "https://github.example/c"}));
    let sent = github.send(&message(MessageKind::Reply)).await.expect("sent");
    assert_eq!(sent.id, "acme/widgets/comments/55");
    let asked = script.take_asked();
    let body: Value = serde_json::from_slice(asked[0].body()).expect("JSON");
    assert_eq!(body, json!({"body": "Shipped.\n\n<!-- loopd:m-%2D1 -->"}));
    let next = [("link", r#"<https://gh.example/api/v3/repositories/7/issues/9/comments?page=2>; rel="next""#)];
    script.answer_with(200, &next, &json!([{"id": 1, "body": "hm"}, {"id": 2, "body": null}]));
    script.answer(200, &json!([{"id": 55, "body": "Shipped.\n\n<!-- loopd:m-%2D1 -->"}]));
    assert_eq!(Messenger::find(&github, &message(MessageKind::Reply)).await.expect("read").expect("found").id, sent.id);
    assert!(matches!(github.send(&message(MessageKind::Note)).await, Err(Fault::Rejected { .. })));
}

#[test]
fn a_long_message_is_cut_and_says_so() {
    let text = compose(&"é".repeat(LONGEST), &marker("m"));
    assert_eq!(text.chars().count(), LONGEST);
    assert!(text.ends_with("(cut here; the whole text has 65536 characters)\n\n<!-- loopd:m -->"));
}

#[tokio::test]
async fn setup_makes_the_labels_that_are_missing() {
    let (github, script, _) = github();
    let wanted: Shape = serde_json::from_value(json!({"collections": [{"name": "issue", "key": null, "fields": [
        {"name": "labels", "kind": "tags", "options": ["Bug", "shipped"], "links_to": null, "description": "Set by loopd"}]}]}))
    .expect("a shape");
    script.answer(200, &json!([{"name": "bug"}]));
    let plan = github.plan(&wanted).await.expect("a plan");
    assert_eq!(
        plan.iter().map(|change| change.what.as_str()).collect::<Vec<_>>(),
        ["create label shipped in acme/widgets"]
    );
    script.answer(422, &json!({"message": "Validation Failed", "errors": [{"resource": "Label", "code": "already_exists", "field": "name"}]}));
    assert_eq!(github.apply(&plan[0]).await, Ok(()));
}
