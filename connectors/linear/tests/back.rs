//! The way back: windows, webhooks, sweeps.

use super::*;

#[tokio::test]
async fn resets_in_milliseconds_close_the_gate() {
    let (linear, script, clock) = attached().await;
    let reset = (linear.clock.now().timestamp_millis() + 90_000).to_string();
    let headers = [
        ("x-ratelimit-requests-remaining", "0"),
        ("x-ratelimit-requests-reset", reset.as_str()),
        ("x-ratelimit-complexity-reset", "9999999999999"),
    ];
    script.answer_with(400, &headers, &error("RATELIMITED", "Rate limit exceeded"));
    let update = || write(Some(ID), &json!({ "title": "New" }), &[], &[]);
    let verdict = one(&linear, ISSUE, update()).await;
    assert!(matches!(verdict, Err(Fault::Later { after: Some(wait), .. }) if wait.as_secs() == 90), "{verdict:?}");
    assert!(matches!(one(&linear, ISSUE, update()).await, Err(Fault::Later { after: Some(_), .. })));
    assert_eq!(linear.meter().throttled, 1);
    clock.advance(91);
    script.answer(200, &json!({ "data": { "issueUpdate": { "success": true, "issue": issue("New") } } }));
    stored(one(&linear, ISSUE, update()).await);
}

#[tokio::test]
async fn windows_are_walked_and_overlap() {
    let (linear, script, clock) = attached().await;
    let mut edited = issue("Now");
    edited["history"] = json!({ "nodes": [
        { "createdAt": "2026-11-23T08:00:20.000Z", "actorId": "me", "fromTitle": "Typed", "toTitle": "Now" },
        { "createdAt": "2026-11-23T08:00:10.000Z", "actorId": "ann", "fromTitle": "Old", "toTitle": "Typed" },
        { "createdAt": "2026-11-23T08:00:15.000Z", "actorId": "ann", "fromState": { "type": "unstarted", "name": "Todo" }, "toState": { "type": "completed", "name": "Done" } },
        { "createdAt": "2026-11-23T08:00:16.000Z", "fromPriority": 0, "toPriority": 1 },
    ]});
    let page = |nodes: &Value, more: bool| json!({ "data": { "issues": { "nodes": nodes, "pageInfo": { "hasNextPage": more, "endCursor": "c1" } } } });
    script.answer(200, &page(&json!([edited, null, { "title": "no id" }]), true));
    script.answer(200, &page(&json!([]), false));
    let first = linear.pull("issues", None).await.expect("a page");
    assert_eq!(first.records.len(), 1);
    let edits: Vec<_> =
        first.records[0].edits.iter().map(|edit| (edit.field.as_str(), edit.value.clone(), edit.overwritten)).collect();
    assert_eq!(
        edits,
        [("title", json!("Typed"), true), ("state", json!("completed"), false), ("state_name", json!("Done"), false)]
    );
    let Next::More(at) = first.next else { panic!("more") };
    let Next::CaughtUp(at) = linear.pull("issues", Some(&at)).await.expect("a page").next else { panic!("caught up") };
    clock.advance(30);
    script.answer(200, &page(&json!([]), false));
    linear.pull("issues", Some(&at)).await.expect("a page");
    let asked: Vec<_> = script.take_asked().iter().map(|request| body(request)["variables"].clone()).collect();
    assert_eq!(asked[0]["filter"]["updatedAt"], json!({ "lt": "2026-11-23T08:00:00.000Z" }));
    assert_eq!(asked[1]["after"], json!("c1"));
    assert_eq!(
        asked[2]["filter"]["updatedAt"],
        json!({ "gte": "2026-11-23T07:58:00.000Z", "lt": "2026-11-23T08:00:30.000Z" })
    );
}

#[tokio::test]
async fn what_is_not_listed_is_gone_and_trash_is_too() {
    let (linear, script, _) = attached().await;
    let mut trashed = issue("x");
    trashed["id"] = json!("in-trash");
    trashed["trashed"] = json!(true);
    let mut archived = issue("done");
    archived["id"] = json!("archived");
    archived["archivedAt"] = json!("2026-11-01T00:00:00.000Z");
    script.answer(200, &json!({ "data": { "issues": { "nodes": [trashed, archived] } } }));
    let read = linear.read(ISSUE, &["archived".into(), "in-trash".into(), "never".into()]).await.expect("reads");
    assert_eq!(read.iter().map(|record| record.body.is_some()).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(body(&script.take_asked()[0])["variables"]["first"], 3);
}

#[tokio::test]
async fn webhooks_are_proven_fresh_and_of_our_team() {
    let (linear, ..) = attached().await;
    let now = linear.clock.now();
    let open = |event: &Value, secret: &str, at: DateTimeOf| {
        let raw = event.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
        mac.update(raw.as_bytes());
        let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut headers = ::http::HeaderMap::new();
        headers.insert("Linear-Signature", digest.parse().expect("a header"));
        headers.insert("Linear-Delivery", "delivery-1".parse().expect("a header"));
        linear.open(Request { headers: &headers, body: raw.as_bytes() }, at)
    };
    let event = |action: &str, kind: &str, data: Value| json!({ "action": action, "type": kind, "data": data, "webhookTimestamp": now.timestamp_millis() });
    let mut data = issue("Hello");
    data["teamId"] = json!("team-1");
    data["labels"] = json!([{ "id": "lab-t", "name": "Bug" }]);
    let good = open(&event("update", "Issue", data.clone()), "whsec", now).expect("let in");
    assert_eq!(good.id, "delivery-1");
    assert_eq!(
        good.records[0].body.as_ref().map(|body| (&body["labels"], &body["state"])),
        Some((&json!(["Bug"]), &json!("unstarted")))
    );
    assert!(matches!(open(&event("update", "Issue", data.clone()), "other", now), Err(Refusal::Forged(_))));
    let late = now + chrono::TimeDelta::seconds(61);
    assert_eq!(
        open(&event("update", "Issue", data.clone()), "whsec", late).err(),
        Some(Refusal::Stale { age_seconds: 61 })
    );
    assert!(matches!(open(&json!({ "type": "Issue" }), "whsec", now), Err(Refusal::Malformed(_))));
    let gone = open(&event("remove", "Issue", data.clone()), "whsec", now).expect("let in");
    assert_eq!(gone.records[0].body, None);
    let mut part = data.clone();
    part.as_object_mut().map(|part| part.remove("description"));
    assert_eq!(open(&event("create", "Issue", part), "whsec", now).expect("let in").fetch, [Key::new(ISSUE, ID)]);
    data["teamId"] = json!("team-2");
    let foreign = open(&event("update", "Issue", data), "whsec", now).expect("let in");
    assert!(foreign.records.is_empty() && foreign.fetch.is_empty());
    assert!(open(&event("update", "Reaction", json!({ "id": "r" })), "whsec", now).expect("let in").records.is_empty());
}

type DateTimeOf = chrono::DateTime<chrono::Utc>;

#[tokio::test]
async fn sweeps_and_rebuilds_page_by_page() {
    let (linear, script, _) = attached().await;
    script.answer(200, &json!({ "data": { "issues": { "nodes": [{ "id": "a" }, { "id": "b", "trashed": true }], "pageInfo": { "hasNextPage": true, "endCursor": "c9" } } } }));
    let page = linear.ids(ISSUE, None).await.expect("ids").expect("can be listed");
    assert_eq!((page.ids, page.next), (vec!["a".to_owned()], Some(Cursor(json!("c9")))));
    let mut theirs = issue("x");
    theirs["id"] = json!("theirs");
    theirs["creator"] = json!({ "id": "ann" });
    script.answer(200, &json!({ "data": { "issues": { "nodes": [issue("y"), theirs] } } }));
    let (ours, next) = linear.list(ISSUE, None).await.expect("a page");
    assert_eq!(ours.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), [ID]);
    assert_eq!(next, None);
    assert!(linear.ids(ATTACHMENT, None).await.expect("no call").is_none());
    script.answer(
        200,
        &json!({ "data": { "customers": { "nodes": [{ "id": "cus-1", "name": "Acme", "externalIds": [ID] }] } } }),
    );
    let found = linear.find(CUSTOMER, &[ID.to_owned()]).await.expect("finds");
    assert_eq!(found[0].as_ref().map(|record| record.key.id.as_str()), Some("cus-1"));
}
