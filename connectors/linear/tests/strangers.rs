//! Servers that speak less of Linear's language than Linear: what they do not know is done without.

use super::*;

fn unknown(field: &str, on: &str) -> Value {
    json!({ "errors": [{ "message": format!("Cannot query field \"{field}\" on type \"{on}\"."), "extensions": { "code": "GRAPHQL_VALIDATION_FAILED" } }] })
}

fn no_teams() -> Value {
    json!({ "data": { "teams": { "nodes": [] } } })
}

#[test]
fn an_address_without_a_path_means_linears_own() {
    for (given, meant) in [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/graphql"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/graphql"),
        ("http://127.0.0.1:8000/linear/", "http://127.0.0.1:8000/linear"),
    ] {
        let settings = Settings::parse(&json!({ "team": "ENG", "base_url": given })).expect("settings");
        assert_eq!(settings.base_url, meant);
    }
}

#[tokio::test]
async fn a_token_that_tells_nothing_is_tried_both_ways_once() {
    let (script, _, outside) = outside();
    let secrets = Secrets::from([("token".into(), SecretString::from("opaque"))]);
    let linear = open(&json!({ "team": "ENG" }), &secrets, &outside).expect("opens");
    script.answer(401, &Value::Null);
    script.answer(200, &attach_answer());
    script.answer(200, &attach_answer());
    linear.probe().await.expect("answers");
    linear.probe().await.expect("answers");
    let forms = |script: &Script| -> Vec<String> {
        let asked = script.take_asked();
        asked.iter().map(|one| one.headers()["authorization"].to_str().expect("text").to_owned()).collect()
    };
    assert_eq!(forms(&script), ["opaque", "Bearer opaque", "Bearer opaque"]);
    script.answer(401, &Value::Null);
    script.answer(401, &Value::Null);
    assert!(matches!(linear.probe().await, Err(Fault::Locked { .. })));
    assert_eq!(forms(&script), ["Bearer opaque", "opaque"]);
}

#[tokio::test]
async fn unknown_fields_are_left_out_and_remembered() {
    let (linear, script, _) = linear();
    script.answer(400, &unknown("viewer", "Query"));
    script.answer(200, &unknown("archivedAt", "Team"));
    let mut answer = attach_answer();
    answer["data"].as_object_mut().map(|data| data.remove("viewer"));
    script.answer(200, &answer);
    script.answer(200, &labels_answer());
    linear.attach(&shape(&[ISSUE]), None, None).await.expect("attaches");
    let asked: Vec<String> = script.take_asked().iter().map(|one| body(one)["query"].to_string()).collect();
    assert!(asked[0].contains("viewer") && asked[1].contains("archivedAt") && !asked[1].contains("viewer"));
    assert!(!asked[2].contains("archivedAt") && asked[2].contains("urlKey"), "{}", asked[2]);
    // We do not know who we are: no history, in which our own changes would read as people's.
    assert!(!linear.has_history());
    // A write is sent again too: a document that is refused did nothing.
    script.answer(400, &unknown("creator", "Issue"));
    script.answer(200, &json!({ "data": { "issueCreate": { "success": true, "issue": issue("Slow") } } }));
    let create = || write(None, &json!({ "title": "Slow" }), &[], &[]);
    stored(one(&linear, ISSUE, create()).await);
    script.answer(200, &json!({ "data": { "issueCreate": { "success": true, "issue": issue("Slow") } } }));
    stored(one(&linear, ISSUE, create()).await);
    let asked: Vec<bool> =
        script.take_asked().iter().map(|one| body(one)["query"].to_string().contains("creator")).collect();
    assert_eq!(asked, [true, false, false]);
    // What cannot be left out, and a refusal that goes on naming the same, end.
    script.answer(400, &unknown("title", "Issue"));
    assert!(matches!(one(&linear, ISSUE, create()).await, Err(Fault::Locked { .. })));
    script.answer(400, &unknown("creator", "Issue"));
    assert!(matches!(one(&linear, ISSUE, create()).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn other_servers_words_for_an_unknown_field() {
    for message in [
        "Field 'creator' doesn't exist on type 'Issue'",
        "unknown field creator",
        "Undefined field: creator",
        "Field \"creator\" is not defined by type \"Issue\"",
    ] {
        let (linear, script, _) = attached().await;
        script.answer(200, &json!({ "errors": [{ "message": message }] }));
        script.answer(200, &json!({ "data": { "issueCreate": { "success": true, "issue": issue("Slow") } } }));
        stored(one(&linear, ISSUE, write(None, &json!({ "title": "Slow" }), &[], &[])).await);
    }
    // A value that an input refuses is that record's trouble.
    let (linear, script, _) = attached().await;
    let message =
        "Variable \"$input\" got invalid value; Field \"priority\" is not defined by type \"IssueCreateInput\".";
    script.answer(200, &json!({ "errors": [{ "message": message }] }));
    let verdict = one(&linear, ISSUE, write(None, &json!({ "title": "Slow" }), &[], &[])).await;
    assert!(matches!(verdict, Err(Fault::Rejected { .. })), "{verdict:?}");
}

#[tokio::test]
async fn filters_that_are_not_understood() {
    let (linear, script, _) = linear();
    let teams = json!({ "data": { "viewer": { "id": "me" }, "teams": { "nodes": [
        { "id": "team-9", "key": "OPS" }, { "id": "team-8", "key": "eng", "archivedAt": "2026-01-01T00:00:00Z" }, { "id": "team-1", "key": "Eng" },
    ] } } });
    script.answer(200, &no_teams());
    script.answer(200, &teams);
    script.answer(200, &error("INPUT_ERROR", "no filter here"));
    script.answer(200, &labels_answer());
    linear.attach(&shape(&[ISSUE]), None, None).await.expect("attaches");
    let binding = linear.binding();
    assert_eq!(
        (binding.team_id.as_str(), binding.label("bug"), binding.label("Foreign")),
        ("team-1", Some("lab-t"), None)
    );
    let asked: Vec<Value> = script.take_asked().iter().map(|one| body(one)["variables"].clone()).collect();
    assert_eq!(asked[1], json!({ "team": {} }));
    assert_eq!(asked[3], json!({ "filter": {}, "first": 250 }));
    // Others than those that were asked for: every page is looked through before anything counts as gone.
    let other = |id: &str| json!({ "id": id, "title": id });
    let page = |nodes: Value, more: bool| json!({ "data": { "issues": { "nodes": nodes, "pageInfo": { "hasNextPage": more, "endCursor": "c1" } } } });
    script.answer(200, &page(json!([other("x")]), true));
    script.answer(200, &page(json!([other("x"), other("a")]), true));
    script.answer(200, &page(json!([other("y")]), false));
    let read = linear.read(ISSUE, &["a".into(), "b".into()]).await.expect("reads");
    assert_eq!(read.iter().map(|record| record.body.is_some()).collect::<Vec<_>>(), [true, false]);
    // "Not found" for several says nothing of each.
    script.answer(200, &error("INPUT_ERROR", "Entity not found"));
    script.answer(200, &page(json!([other("a")]), false));
    script.answer(200, &error("INPUT_ERROR", "Entity not found"));
    let read = linear.read(ISSUE, &["a".into(), "b".into()]).await.expect("reads");
    assert_eq!(read.iter().map(|record| record.body.is_some()).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn windows_go_by_their_clock() {
    let (linear, script, clock) = attached().await;
    let page = |at: &[&str]| {
        let nodes: Vec<_> = at.iter().map(|at| json!({ "id": at, "title": "t", "updatedAt": at })).collect();
        json!({ "data": { "issues": { "nodes": nodes } } })
    };
    let mut at = None;
    // Our clock is a day ahead of theirs.
    let old = "2026-11-22T08:00:00.000Z";
    let mut counts = Vec::new();
    for (advance, seen) in
        [(0, vec![old]), (200, vec![old]), (30, vec![old]), (30, vec![old, "2026-11-22T08:05:00.000Z"])]
    {
        clock.advance(advance);
        script.answer(200, &page(&seen));
        let pulled = linear.pull("issues", at.as_ref()).await.expect("a page");
        counts.push(pulled.records.len());
        let Next::CaughtUp(next) = pulled.next else { panic!("caught up") };
        at = Some(next);
    }
    assert_eq!(counts, [1, 1, 0, 1], "what the overlap holds is told until it is settled");
    script.take_asked();
    script.answer(200, &page(&[]));
    linear.pull("issues", at.as_ref()).await.expect("a page");
    let asked = body(&script.take_asked()[0]);
    assert_eq!(asked["variables"]["filter"]["updatedAt"]["gte"], json!("2026-11-22T08:03:00.000Z"));
}
