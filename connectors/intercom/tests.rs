//! Intercom against a script: what each answer means, and where the position goes. Stateful stories are in the contract
//! tests, against the sandbox.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request as HttpRequest, Response};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::messenger::{html, marker};
use super::types::{enrich, parts_complete, seconds, with_arr};
use super::{Intercom, open};
use crate::http::Broken;
use crate::testing::{Script, StillClock, outside};
use crate::{
    Connector, Cursor, Fault, Key, Message, MessageKind, Messenger, Next, Page, Refusal, Request, Secrets, Shape,
    Source, Webhook,
};

/// 2026-11-23 08:00 UTC, where the tests' clock stands.
const NOW: i64 = 1_795_420_800;

fn intercom_with(more: &Value) -> (Intercom, Arc<Script>, Arc<StillClock>) {
    let (script, clock, outside) = outside();
    let mut settings = json!({"base_url": "https://ic.example", "concurrency": 1});
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    let secrets: Secrets = [("token", "t"), ("webhook_secret", "intercom-client-secret-for-tests")]
        .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
        .into();
    (open(&settings, &secrets, &outside).expect("it opens"), script, clock)
}

pub(super) fn intercom() -> (Intercom, Arc<Script>, Arc<StillClock>) {
    intercom_with(&json!({}))
}

fn item(id: &str, updated_at: i64) -> Value {
    json!({"type": "conversation", "id": id, "updated_at": updated_at,
           "contacts": {"type": "contact.list", "contacts": [{"type": "contact", "id": "c1", "external_id": "x1"}]}})
}

fn whole(id: &str, updated_at: i64) -> Value {
    let mut conversation = item(id, updated_at);
    conversation["source"] = json!({"body": "Hello"});
    conversation["conversation_parts"] = json!({"conversation_parts": [{"id": 5, "body": "more"}], "total_count": 1});
    conversation
}

fn found(items: &[Value], next: Option<&str>) -> Value {
    let next = next.map(|after| json!({"starting_after": after, "per_page": 150}));
    json!({"type": "conversation.list", "conversations": items, "total_count": items.len(), "pages": {"type": "pages", "next": next}})
}

fn contact() -> Value {
    json!({"type": "contact", "id": "c1", "email": "kim@acme.example", "name": "Kim", "role": "user", "external_id": "x1",
           "companies": {"type": "list", "data": [{"type": "company", "id": "co1", "company_id": "ours", "name": "Acme"}], "has_more": false}})
}

async fn pull(intercom: &Intercom, at: &mut Option<Cursor>) -> Result<(bool, Page), Fault> {
    let page = intercom.pull("conversations", at.as_ref()).await?;
    let (more, next) = match &page.next {
        Next::More(cursor) => (true, cursor.clone()),
        Next::CaughtUp(cursor) => (false, cursor.clone()),
    };
    *at = Some(next);
    Ok((more, page))
}

fn bodies(script: &Script) -> Vec<Value> {
    let asked: Vec<HttpRequest<Bytes>> = script.take_asked();
    asked.iter().map(|request| serde_json::from_slice(request.body()).unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_search_then_each_whole_with_its_contact_once() {
    let (intercom, script, clock) = intercom();
    script.answer(200, &found(&[item("1", NOW - 100), item("2", NOW - 50), json!({"odd": true})], Some("p2")));
    script.answer(200, &contact());
    script.answer(200, &whole("1", NOW - 100));
    script.answer(200, &whole("2", NOW - 50));
    script.answer(200, &found(&[item("3", NOW - 400)], None));
    script.answer(200, &whole("3", NOW - 400));
    let mut at = None;
    let (more, page) = pull(&intercom, &mut at).await.expect("a page");
    assert!(more);
    assert_eq!(page.records.iter().map(|record| record.key.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    let body = page.records[0].body.as_ref().expect("there");
    assert_eq!(
        body["contact"],
        json!({"id": "c1", "email": "kim@acme.example", "name": "Kim", "role": "user", "external_id": "x1", "company_ids": ["co1"]})
    );
    assert_eq!(
        (&body["companies"], &body["parts_complete"]),
        (&json!([{"id": "co1", "company_id": "ours", "name": "Acme"}]), &json!(true))
    );
    assert_eq!(page.records[0].version.map(|version| version.0), Some((NOW - 100) * 1000));
    let (more, page) = pull(&intercom, &mut at).await.expect("a page");
    assert_eq!((more, page.records.len()), (false, 1));
    assert_eq!(
        script.lines(),
        [
            "POST /conversations/search",
            "GET /contacts/c1",
            "GET /conversations/1?display_as=plaintext",
            "GET /conversations/2?display_as=plaintext",
            "POST /conversations/search",
            "GET /conversations/3?display_as=plaintext",
        ]
    );
    let sent = bodies(&script);
    let window = |from: i64, until: i64| {
        json!({"operator": "AND", "value": [
        {"field": "updated_at", "operator": ">", "value": from}, {"field": "updated_at", "operator": "<", "value": until}]})
    };
    assert_eq!(sent[0], json!({"query": window(0, NOW + 1), "pagination": {"per_page": 150}}));
    assert_eq!(sent[4], json!({"query": window(0, NOW + 1), "pagination": {"per_page": 150, "starting_after": "p2"}}));

    // The next turn overlaps, and retrieves only what changed since.
    clock.advance(60);
    script.answer(200, &found(&[item("1", NOW - 100), item("2", NOW + 10)], None));
    script.answer(200, &whole("2", NOW + 10));
    let (more, page) = pull(&intercom, &mut at).await.expect("a page");
    assert_eq!((more, page.records.len()), (false, 1));
    assert_eq!(bodies(&script)[0]["query"], window(NOW - 50 - 301, NOW + 61));
}

#[tokio::test]
async fn a_change_within_the_same_second_is_seen() {
    let (intercom, script, clock) = intercom();
    let mut at = None;
    script.answer(200, &found(&[item("1", NOW - 1)], None));
    script.answer(200, &contact());
    script.answer(200, &whole("1", NOW - 1));
    pull(&intercom, &mut at).await.expect("a page");
    clock.advance(60);
    script.answer(200, &found(&[item("1", NOW - 1)], None));
    script.answer(200, &whole("1", NOW - 1));
    assert_eq!(pull(&intercom, &mut at).await.expect("a page").1.records.len(), 1);
    clock.advance(60);
    script.answer(200, &found(&[item("1", NOW - 1)], None));
    assert_eq!(pull(&intercom, &mut at).await.expect("a page").1.records.len(), 0);
}

#[tokio::test]
async fn a_quota_that_stops_midway_loses_nothing_and_wastes_nothing() {
    let (intercom, script, clock) = intercom_with(&json!({"quota": {"calls": 1, "per_seconds": 1}}));
    script.answer(200, &found(&[item("1", NOW - 100), item("2", NOW - 50)], None));
    script.answer(200, &contact());
    script.answer(200, &whole("1", NOW - 100));
    script.answer(200, &whole("2", NOW - 50));
    let (mut at, mut ids) = (None, Vec::new());
    for _ in 0..12 {
        match pull(&intercom, &mut at).await {
            Ok((more, page)) => {
                ids.extend(page.records.into_iter().map(|record| record.key.id));
                if !more {
                    break;
                }
            }
            Err(Fault::Later { after: Some(wait), .. }) => clock.advance(wait.as_secs() + 1),
            Err(fault) => panic!("{fault}"),
        }
    }
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(script.lines().len(), 4, "{:?}", script.lines());
}

#[tokio::test]
async fn one_that_fails_holds_up_nobody_and_is_tried_again() {
    let (intercom, script, clock) = intercom();
    let mut at = None;
    script.answer(200, &found(&[item("1", NOW - 100), item("2", NOW - 50)], None));
    script.answer(200, &contact());
    script.answer(500, &Value::Null);
    script.answer(200, &whole("2", NOW - 50));
    script.put(Err(Broken::NoAnswer("cut".into())));
    script.put(Ok(Response::new(Bytes::from_static(b"<html>"))));
    let mut records = Vec::new();
    loop {
        let (more, page) = pull(&intercom, &mut at).await.expect("a page");
        records.extend(page.records);
        if !more {
            break;
        }
    }
    assert_eq!(records.len(), 1);
    clock.advance(60);
    script.answer(200, &found(&[], None));
    script.answer(200, &whole("1", NOW - 100));
    let (more, page) = pull(&intercom, &mut at).await.expect("a page");
    assert_eq!((more, page.records[0].key.id.as_str()), (false, "1"));
}

#[tokio::test]
async fn a_deleted_conversation_and_one_that_is_refused() {
    let (intercom, script, _) = intercom();
    let mut at = None;
    script.answer(200, &found(&[item("1", NOW - 100), item("2", NOW - 50)], None));
    script.answer(403, &json!({"type": "error.list", "errors": [{"code": "forbidden", "message": "no contacts"}]}));
    script.answer(404, &json!({"type": "error.list", "errors": [{"code": "not_found"}]}));
    script.answer(422, &json!({"type": "error.list", "errors": [{"code": "parameter_invalid", "message": "odd"}]}));
    let (_, page) = pull(&intercom, &mut at).await.expect("a page");
    assert_eq!(page.records[0].body, None);
    assert_eq!(page.records[1].body.as_ref().map(|body| &body["parts_complete"]), Some(&json!(false)));
}

#[tokio::test]
async fn faults_are_judged() {
    for (status, headers, code, expect) in [
        (429, vec![("x-ratelimit-reset", "1795420804")], "rate_limit_exceeded", "later: Intercom's rate limit"),
        (401, vec![], "unauthorized", "locked"),
        (403, vec![], "api_plan_restricted", "locked"),
        (400, vec![], "intercom_version_invalid", "locked: version"),
        (503, vec![], "unavailable", "later: HTTP 503"),
        (404, vec![], "not_found", "locked: base_url"),
    ] {
        let (intercom, script, _) = intercom();
        script.answer_with(status, &headers, &json!({"type": "error.list", "errors": [{"code": code}]}));
        let fault = intercom.pull("conversations", None).await.expect_err("refused");
        assert!(fault.to_string().starts_with(expect), "{fault}");
        if status == 429 {
            assert!(matches!(fault, Fault::Later { after: Some(wait), .. } if wait == Duration::from_secs(4)));
            assert!(matches!(intercom.pull("conversations", None).await, Err(Fault::Later { .. })));
            assert_eq!((intercom.meter().throttled, script.lines().len()), (1, 1));
        }
    }
}

#[tokio::test]
async fn companies_come_page_by_page_with_their_arr() {
    let (intercom, script, _) = intercom_with(&json!({"arr_attribute": "ARR"}));
    let company = |id: &str, arr: Value| json!({"type": "company", "id": id, "company_id": "ours", "name": "Acme", "custom_attributes": {"ARR": arr}});
    script.answer(200, &json!({"type": "list", "data": [company("a", json!(12.5)), {"odd": 1}], "pages": {"page": 1, "total_pages": 2}}));
    script.answer(200, &json!({"type": "list", "data": [company("b", json!("120,000"))], "pages": {"page": 2, "total_pages": 2, "next": null}}));
    let first = intercom.pull("companies", None).await.expect("a page");
    let Next::More(at) = &first.next else { panic!("there is more") };
    let second = intercom.pull("companies", Some(at)).await.expect("a page");
    assert!(matches!(second.next, Next::CaughtUp(_)));
    let arr: Vec<_> = first
        .records
        .iter()
        .chain(&second.records)
        .map(|record| record.body.as_ref().expect("there")["arr"].clone())
        .collect();
    assert_eq!(arr, [json!(12.5), json!(120_000.0)]);
    assert_eq!(script.lines()[1], "POST /companies/list?page=2&per_page=50&order=asc");
    script.answer(403, &json!({"errors": [{"code": "forbidden"}]}));
    assert!(matches!(intercom.pull("companies", None).await.expect("without them").next, Next::CaughtUp(_)));
}

#[tokio::test]
async fn a_contact_that_only_refers_to_its_company_is_completed() {
    let (intercom, script, _) = intercom();
    let mut bare = contact();
    bare["companies"]["data"] = json!([{"type": "company", "id": "co1", "url": "/companies/co1"}]);
    script.answer(200, &whole("1", NOW));
    script.answer(200, &bare);
    script.answer(200, &json!({"type": "company", "id": "co1", "company_id": "ours", "name": "Acme", "plan": {}}));
    script.answer(200, &whole("2", NOW));
    for id in ["1", "2"] {
        let record = intercom.fetch(&Key::new("conversation", id)).await.expect("read").expect("ours");
        assert_eq!(
            record.body.expect("there")["companies"],
            json!([{"id": "co1", "company_id": "ours", "name": "Acme"}])
        );
    }
    assert_eq!(script.lines().len(), 4);
}

#[test]
fn plain_text_is_told_from_html_that_comes_all_the_same() {
    let told = |bodies: &[&str]| {
        let parts: Vec<_> = bodies[1..].iter().map(|body| json!({"body": body})).collect();
        let given = json!({"source": {"body": bodies[0]}, "conversation_parts": {"conversation_parts": parts}});
        enrich(given, None)["plaintext"].clone()
    };
    for plain in [
        &["Vec<String> in <div> and a < b"][..],
        &["<div> is what I typed"],
        &["<p>a < b</p>"],
        &["", "It fails", "<p>pasted</p>"],
        &["Too slow."],
    ] {
        assert_eq!(told(plain), json!(true), "{plain:?}");
    }
    for html in [
        &["<p>Exports <b>fail</b> &lt;today&gt;</p>\n<p>Help</p>"][..],
        &["", "<div class=\"x\"><img src=\"y\"></div>", "<ul><li>a</li></ul>"],
        &[""],
    ] {
        assert_eq!(told(html), json!(false), "{html:?}");
    }
}

#[tokio::test]
async fn a_merged_contact_is_followed_once() {
    let (intercom, script, _) = intercom();
    let merged = json!({"type": "error.list", "errors": [{"code": "contact_merged"}]});
    script.answer(200, &whole("1", NOW));
    script.answer_with(410, &[("link", "</contacts/c2>; rel=\"canonical\"")], &merged);
    let mut other = contact();
    other["id"] = json!("c2");
    script.answer(200, &other);
    let record = intercom.fetch(&Key::new("conversation", "1")).await.expect("read").expect("ours");
    assert_eq!(record.body.expect("there")["contact"]["id"], "c2");
    script.answer(404, &Value::Null);
    assert_eq!(intercom.fetch(&Key::new("company", "x")).await.expect("read").expect("ours").body, None);
    assert_eq!(intercom.fetch(&Key::new("conversation", "../admins")).await, Ok(None));
}

#[tokio::test]
async fn messages_are_signed_by_the_admin_marked_and_found() {
    let (intercom, script, _) = intercom();
    let message = |kind| Message {
        id: "m1".into(),
        to: Key::new("conversation", "9"),
        kind,
        body: "It **shipped** <today>.\n\nSee [here](https://h.example/?a=1&b=2).".into(),
    };
    script.answer(200, &json!({"type": "admin", "id": "77", "app": {"id_code": "app1", "name": "Acme"}}));
    let mut told = whole("9", NOW);
    told["conversation_parts"]["conversation_parts"][0]["body"] = json!("It shipped\n[ref:loopd-m1]");
    script.answer(200, &told);
    let sent = intercom.send(&message(MessageKind::Note)).await.expect("sent");
    assert_eq!(sent.id, "5");
    let body = &bodies(&script)[1];
    assert_eq!(
        *body,
        json!({"message_type": "note", "type": "admin", "admin_id": "77",
               "body": "<p>It <b>shipped</b> &lt;today&gt;.</p><p>See <a href=\"https://h.example/?a=1&amp;b=2\">here</a>.</p><p>[ref:loopd-m1]</p>"})
    );
    script.answer(200, &told);
    assert_eq!(intercom.find(&message(MessageKind::Note)).await.expect("read"), Some(sent));
    script.answer(200, &whole("9", NOW));
    assert_eq!(intercom.find(&message(MessageKind::Note)).await.expect("read"), None);
    for (status, expect) in [(500, "outcome unknown"), (429, "later"), (404, "rejected"), (422, "rejected")] {
        let (intercom, script, _) = intercom_with(&json!({"admin_id": 77}));
        script.answer(status, &json!({"errors": [{"code": "x"}]}));
        let fault = intercom.send(&message(MessageKind::Reply)).await.expect_err("refused");
        assert!(fault.to_string().starts_with(expect), "{status}: {fault}");
        assert_eq!(script.lines(), ["POST /conversations/9/reply"]);
    }
}

#[tokio::test]
async fn a_token_of_another_workspace_is_refused() {
    let (intercom, script, _) = intercom();
    let me = json!({"type": "admin", "id": 77, "app": {"id_code": "app1", "name": "Acme"}});
    script.answer(200, &me);
    let binding = intercom.attach(&Shape::default(), None, None).await.expect("attached");
    assert_eq!(binding, json!({"app_id": "app1", "admin_id": "77"}));
    script.answer(200, &me);
    let known = json!({"app_id": "app2"});
    assert!(matches!(intercom.attach(&Shape::default(), None, Some(&known)).await, Err(Fault::Locked { .. })));
}

fn deliver(intercom: &Intercom, body: &str, forge: Option<&str>) -> Result<crate::Delivery, Refusal> {
    use hmac::{Hmac, Mac};
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(b"intercom-client-secret-for-tests").expect("any key");
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let signature = forge.map_or_else(|| format!("sha1={hex}"), str::to_owned);
    let mut headers = HeaderMap::new();
    headers.insert("x-hub-signature", HeaderValue::from_str(&signature).expect("text"));
    intercom.open(Request { headers: &headers, body: body.as_bytes() }, chrono::DateTime::UNIX_EPOCH)
}

#[test]
fn webhooks_name_what_to_fetch() {
    let (intercom, _, _) = intercom();
    let note = |topic: &str, item: Value| {
        json!({"type": "notification_event", "id": "notif_1", "topic": topic, "app_id": "app1", "data": {"item": item}})
            .to_string()
    };
    let read = |body: &str| deliver(&intercom, body, None).expect("let in");
    let replied = read(&note("conversation.user.replied", json!({"type": "conversation", "id": "515"})));
    assert_eq!((replied.id.as_str(), replied.fetch), ("notif_1", vec![Key::new("conversation", "515")]));
    let deleted = read(&note("conversation.deleted", json!({"conversation_id": 515})));
    assert_eq!((deleted.records[0].key.id.as_str(), &deleted.records[0].body), ("515", &None));
    let tagged = read(&note(
        "conversation_part.tag.created",
        json!({"type": "conversation_part", "id": "9", "conversation": {"id": "515"}}),
    ));
    assert_eq!(tagged.fetch, [Key::new("conversation", "515")]);
    assert_eq!(read(&note("conversation.admin.noted", json!({"type": "conversation"}))).pull, ["conversations"]);
    let company = read(&note("company.updated", json!({"type": "company", "id": "co1", "company_id": "theirs"})));
    assert_eq!(company.fetch, [Key::new("company", "co1")]);
    for topic in ["ping", "ticket.created", "visitor.signed_up"] {
        let delivery = read(&note(topic, json!({"type": "ping"})));
        assert!(delivery.fetch.is_empty() && delivery.records.is_empty() && delivery.pull.is_empty());
    }
    intercom.bound.lock().expect("not poisoned").app_id = Some("app2".into());
    let foreign = read(&note("conversation.user.replied", json!({"id": "515"})));
    assert_eq!((foreign.fetch.len(), foreign.pull), (0, vec!["conversations".to_owned()]));
    for body in ["", "{", "[]", "{\"topic\":7}"] {
        assert_eq!(deliver(&intercom, body, None).expect_err("refused").status(), 400, "{body}");
    }
    for forge in ["sha1=00", "sha256=00", ""] {
        assert_eq!(deliver(&intercom, "{}", Some(forge)).expect_err("refused").status(), 401);
    }
}

#[test]
fn odd_values_cost_only_themselves() {
    assert_eq!(
        [seconds(&json!(5)), seconds(&json!("5")), seconds(&json!(1_795_420_800_123_i64)), seconds(&json!({}))],
        [Some(5), Some(5), Some(NOW), None]
    );
    let many: Vec<Value> = (0..500).map(|_| json!({})).collect();
    for (parts, complete) in [
        (json!({"conversation_parts": [{}], "total_count": 1}), true),
        (json!({"conversation_parts": [{}], "total_count": 2}), false),
        (json!({"conversation_parts": many, "total_count": 500}), false),
        (json!(null), false),
    ] {
        assert_eq!(parts_complete(&json!({"conversation_parts": parts})), complete);
    }
    let named = enrich(json!({"company": {"id": "co1", "company_id": "ours", "name": "Acme"}}), Some(&contact()));
    assert_eq!(named["companies"], json!([{"id": "co1", "company_id": "ours", "name": "Acme"}]));
    assert_eq!(enrich(json!({"id": "1"}), None)["contact"], Value::Null);
    assert_eq!(with_arr(json!({"custom_attributes": null}), Some("ARR")), json!({"custom_attributes": null}));
    assert_eq!(html("a * b [c] **"), "<p>a * b [c] **</p>");
    assert_eq!(html("[x](javascript:alert(1))"), "<p>[x](javascript:alert(1))</p>");
    assert_eq!(marker("a b"), "[ref:loopd-a%20b]");
}
