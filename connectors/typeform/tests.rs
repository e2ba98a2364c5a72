//! Typeform against a script: what each answer means, where the position goes, what is read out of a response. Stateful
//! stories are in the contract tests, against the sandbox.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::tests_hook::{delivery, open_it};
use super::{Typeform, open};
use crate::http::Broken;
use crate::testing::{Script, StillClock, outside};
use crate::{Connector, Cursor, Fault, Key, Next, Page, Secrets, Shape, Source};

pub(super) const SECRET: &str = "typeform-webhook-secret-for-tests";

fn typeform_with(more: &Value) -> (Typeform, Arc<Script>, Arc<StillClock>) {
    let (script, clock, outside) = outside();
    let mut settings = json!({"base_url": "https://tf.example", "forms": ["F1"], "page_size": 2,
                              "quota": {"calls": 100, "per_seconds": 1, "burst": 100}});
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    let secrets: Secrets = [("token", "t"), ("webhook_secret", SECRET)]
        .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
        .into();
    let opened = open(&settings, &secrets, &outside).expect("it opens");
    clock.warm_up();
    (opened, script, clock)
}

pub(super) fn typeform() -> (Typeform, Arc<Script>, Arc<StillClock>) {
    typeform_with(&json!({}))
}

pub(super) fn form() -> Value {
    json!({"id": "F1", "title": "Customer survey", "hidden": ["company", "email"], "fields": [
        {"id": "f1", "ref": "nps", "type": "nps", "title": "How likely, {{hidden:name}}?", "properties": {}},
        {"id": "f2", "ref": "why", "type": "long_text", "title": "You gave {{field:nps}}. Why?", "properties": {}},
        {"id": "f3", "ref": "who", "type": "contact_info", "title": "You", "properties": {"fields": [
            {"id": "f4", "ref": "first", "subfield_key": "first_name", "type": "short_text", "title": "First name"},
            {"id": "f5", "ref": "mail", "subfield_key": "email", "type": "email", "title": "Email"}]}},
        {"id": "f6", "ref": "ease", "type": "opinion_scale", "title": "How hard was it?", "properties": {"steps": 5, "start_at_one": true}},
        {"id": "f7", "ref": "stars", "type": "rating", "title": "Stars", "properties": {"steps": 5}},
        {"id": "f8", "ref": "old", "type": "opinion_scale", "title": "Would you?", "properties": {"steps": 11, "start_at_one": false}},
        {"id": "f9", "ref": "pick", "type": "multiple_choice", "title": "What do you use?", "properties": {}},
    ], "_links": {"responses": "https://tf.example/forms/F1/responses"}})
}

pub(super) fn response(token: &str, at: &str) -> Value {
    json!({"token": token, "response_id": token, "response_type": "completed", "landed_at": at, "submitted_at": at,
           "metadata": {"platform": "other", "network_id": "secret"}, "hidden": {"company": "Lumen", "email": "ada@lumen.example"},
           "answers": [{"type": "number", "number": 3, "field": {"id": "f1", "ref": "nps", "type": "nps"}},
                       {"type": "text", "text": "  Slow  exports.\n", "field": {"id": "f2", "ref": "why", "type": "long_text"}}]})
}

pub(super) fn page(items: &[Value], total: usize) -> Value {
    json!({"total_items": total, "page_count": 1, "items": items})
}

async fn pull(typeform: &Typeform, at: &mut Option<Cursor>) -> Result<(bool, Page), Fault> {
    let page = typeform.pull("responses:F1", at.as_ref()).await?;
    let (more, next) = match &page.next {
        Next::More(cursor) => (true, cursor.clone()),
        Next::CaughtUp(cursor) => (false, cursor.clone()),
    };
    *at = Some(next);
    Ok((more, page))
}

fn tokens(page: &Page) -> Vec<&str> {
    page.records.iter().map(|record| record.key.id.as_str()).collect()
}

/// The record of one response, answered so.
async fn drawn(more: &Value, answers: Value) -> Value {
    let (typeform, script, _) = typeform_with(more);
    let mut item = response("t1", "2026-11-23T07:00:00Z");
    item["answers"] = answers;
    script.answer(200, &form());
    script.answer(200, &page(&[item], 1));
    let (_, page) = pull(&typeform, &mut None).await.expect("a page");
    page.records[0].body.clone().expect("there")
}

fn number(reference: &str, kind: &str, value: i64) -> Value {
    json!([{"type": "number", "number": value, "field": {"ref": reference, "type": kind}}])
}

#[tokio::test]
async fn from_the_newest_back_to_where_it_began_and_then_with_an_overlap() {
    let (typeform, script, clock) = typeform();
    script.answer(200, &form());
    script.answer(200, &page(&[response("c", "2026-11-23T07:30:00Z"), response("b", "2026-11-23T07:20:00Z")], 3));
    script.answer(200, &page(&[response("a", "2026-11-22T07:20:00Z")], 1));
    let mut at = None;
    let (more, first) = pull(&typeform, &mut at).await.expect("a page");
    assert_eq!((more, tokens(&first)), (true, vec!["F1/c", "F1/b"]));
    let (more, second) = pull(&typeform, &mut at).await.expect("a page");
    assert_eq!((more, tokens(&second)), (false, vec!["F1/a"]));
    assert_eq!(
        script.lines(),
        [
            "GET /forms/F1",
            "GET /forms/F1/responses?page_size=2&response_type=completed",
            "GET /forms/F1/responses?page_size=2&response_type=completed&before=b",
        ]
    );
    script.take_asked();
    // What an hour ago was not shown yet may be shown now. What the server gives beyond what was asked is left out.
    clock.advance(300);
    // And what was told is not told again.
    let late = response("d", "2026-11-23T07:10:00Z");
    script.answer(200, &page(&[response("c", "2026-11-23T07:30:00Z"), late, response("x", "2026-11-23T06:29:59Z")], 9));
    let (more, page) = pull(&typeform, &mut at).await.expect("a page");
    assert_eq!((more, tokens(&page)), (false, vec!["F1/d"]));
    assert_eq!(
        script.lines(),
        ["GET /forms/F1/responses?page_size=2&response_type=completed&since=2026-11-23T06%3A30%3A00Z"]
    );
}

#[tokio::test]
async fn a_start_is_kept_to_and_a_page_may_be_shorter_than_was_asked() {
    let (typeform, script, _) = typeform_with(&json!({"start": "2026-11-01", "page_size": 1000}));
    script.answer(200, &form());
    script.answer(200, &page(&[response("b", "2026-11-23T07:20:00Z")], 2));
    script.answer(200, &page(&[response("a", "2026-11-23T07:10:00Z")], 1));
    let mut at = None;
    assert!(pull(&typeform, &mut at).await.expect("a page").0);
    assert!(!pull(&typeform, &mut at).await.expect("a page").0);
    assert!(script.lines()[1].ends_with("&since=2026-11-01T00%3A00%3A00Z"), "{:?}", script.lines());
    assert!(script.lines()[2].ends_with("&since=2026-11-01T00%3A00%3A00Z&before=b"), "{:?}", script.lines());
}

#[tokio::test]
async fn a_walk_whose_place_is_gone_begins_anew_and_does_not_go_round_for_ever() {
    let (typeform, script, _) = typeform();
    script.answer(200, &form());
    let two = [response("c", "2026-11-23T07:30:00Z"), response("b", "2026-11-23T07:20:00Z")];
    let mut at = None;
    for gone in [404, 400, 404] {
        script.answer(200, &page(&two, 3));
        script.answer(gone, &json!({"code": "X", "description": "no such token"}));
        assert!(pull(&typeform, &mut at).await.expect("a page").0);
        let (more, page) = pull(&typeform, &mut at).await.expect("a page");
        assert_eq!((more, page.records.len()), (true, 0));
    }
    script.answer(200, &page(&two, 3));
    script.answer(404, &Value::Null);
    assert!(pull(&typeform, &mut at).await.expect("a page").0);
    assert!(matches!(pull(&typeform, &mut at).await, Err(Fault::Rejected { .. })));
    // A server that ignores `before` gives the same page again.
    let (typeform, script, _) = self::typeform();
    script.answer(200, &form());
    script.answer(200, &page(&two, 2));
    script.answer(200, &page(&two, 2));
    let mut at = None;
    assert!(pull(&typeform, &mut at).await.expect("a page").0);
    assert!(!pull(&typeform, &mut at).await.expect("a page").0);
}

#[tokio::test]
async fn each_answer_means_what_it_means() {
    let error = |code: &str| json!({"code": code, "description": "said"});
    for (status, headers, kind) in [
        (401, &[][..], "locked"),
        (402, &[], "locked"),
        (403, &[], "locked"),
        (301, &[], "locked"),
        (400, &[], "rejected"),
        (404, &[], "rejected"),
        (429, &[("retry-after", "7")], "later"),
        (429, &[], "later"),
        (500, &[], "later"),
        (503, &[], "later"),
        (199, &[], "unknown"),
    ] {
        let (typeform, script, _) = typeform();
        script.answer(200, &form());
        script.answer_with(status, headers, &error("CODE"));
        let fault = typeform.pull("responses:F1", None).await.expect_err("no page");
        let said = match &fault {
            Fault::Locked { why } => ("locked", why.clone()),
            Fault::Rejected { why, .. } => ("rejected", why.clone()),
            Fault::Later { why, .. } => ("later", why.clone()),
            Fault::Unknown { why } => ("unknown", why.clone()),
        };
        assert_eq!(said.0, kind, "{status}: {fault}");
        if status == 429 {
            let wait = if headers.is_empty() { 5 } else { 7 };
            assert!(matches!(fault, Fault::Later { after: Some(after), .. } if after == Duration::from_secs(wait)));
            assert!(typeform.wait().is_some_and(|wait| wait > Duration::from_secs(4)));
            assert_eq!(typeform.meter().throttled, 1);
        } else if ![404, 301, 199].contains(&status) {
            assert!(said.1.contains("said (CODE)"), "{said:?}");
        }
    }
    let (typeform, script, _) = typeform();
    script.answer(200, &form());
    script.put(Ok(Response::new(Bytes::from_static(b"<html>"))));
    script.put(Err(Broken::NoAnswer("cut".into())));
    script.answer(200, &json!({"items": null}));
    for _ in 0..3 {
        assert!(matches!(typeform.pull("responses:F1", None).await, Err(Fault::Unknown { .. })));
    }
    assert!(matches!(typeform.pull("nonsense", None).await, Err(Fault::Rejected { .. })));
    let odd = Cursor(json!({"watermark": "soon"}));
    assert!(matches!(typeform.pull("responses:F1", Some(&odd)).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn a_response_reads_as_questions_and_answers_with_its_score_and_who_gave_it() {
    let (typeform, script, _) = typeform();
    let mut item = response("t1", "2026-11-23T07:00:00Z");
    item["hidden"] = json!({"company": "Lumen", "company_id": 77, "name": "Ada", "user_id": "u1"});
    item["answers"].as_array_mut().expect("answers").extend([
        json!({"type": "text", "text": "Ada Byron", "field": {"id": "f4", "ref": "first", "type": "short_text"}}),
        json!({"type": "email", "email": "ada@lumen.example", "field": {"id": "f5", "ref": "mail", "type": "email"}}),
        json!({"type": "choices", "choices": {"labels": ["API", "CLI"], "other": "cron"}, "field": {"id": "f9"}}),
        json!({"type": "payment", "payment": {"last4": "4242"}, "field": {"id": "zz"}}),
        json!({"type": "hologram", "hologram": {"depth": 3}, "field": {"id": "zy"}}),
    ]);
    script.answer(200, &form());
    script.answer(200, &page(&[item], 1));
    // The two questions that the form does not know were perhaps added since; it was read just now.
    let (_, page) = pull(&typeform, &mut None).await.expect("a page");
    let record = &page.records[0];
    let body = record.body.as_ref().expect("there");
    assert_eq!(
        body["text"],
        "How likely, Ada?\n3 of 10, detractor\n\nYou gave 3. Why?\n  Slow  exports.\n\n\nWhat do you use?\nAPI, CLI, cron"
    );
    assert_eq!((&body["words"], body["said"].as_array().map(Vec::len)), (&json!(true), Some(3)));
    assert_eq!(
        body["respondent"],
        json!({"email": "ada@lumen.example", "name": "Ada", "user": "u1", "company": "Lumen", "company_id": "77"})
    );
    assert_eq!(
        (&body["form_title"], &body["answers"][1]["field"]["title"]),
        (&json!("Customer survey"), &json!("You gave {{field:nps}}. Why?"))
    );
    assert_eq!(body["metadata"], json!({"platform": "other"}));
    assert_eq!(
        (record.version.map(|version| version.0), record.url.as_deref()),
        (Some(1_795_417_200_000), Some("https://admin.typeform.com/form/F1/results#responses"))
    );
}

#[tokio::test]
async fn scales_are_recognised_and_judged_only_where_their_good_end_is_known() {
    let score = |body: &Value| {
        let score = &body["score"];
        let text = |key: &str| score[key].as_str().map(str::to_owned);
        (text("kind"), text("label"), text("group"), text("category"), text("severity"))
    };
    let told = |kind: &str, label: &str, group: Option<&str>, category: Option<&str>, severity: Option<&str>| {
        let own = |text: Option<&str>| text.map(str::to_owned);
        (own(Some(kind)), own(Some(label)), own(group), own(category), own(severity))
    };
    for (value, group, category, severity) in [
        (10, "promoter", Some("praise"), None),
        (9, "promoter", Some("praise"), None),
        (8, "passive", None, None),
        (7, "passive", None, None),
        (6, "detractor", Some("pain_point"), Some("medium")),
        (3, "detractor", Some("pain_point"), Some("medium")),
        (2, "detractor", Some("pain_point"), Some("high")),
        (0, "detractor", Some("pain_point"), Some("high")),
    ] {
        let label = format!("{value} of 10, {group}");
        for (reference, kind) in [("nps", "nps"), ("old", "opinion_scale"), ("unheard_of", "nps")] {
            let body = drawn(&json!({}), number(reference, kind, value)).await;
            assert_eq!(score(&body), told("nps", &label, Some(group), category, severity), "{kind} {value}");
            assert_eq!(body["words"], false);
        }
    }
    let ease = |value| number("ease", "opinion_scale", value);
    assert_eq!(score(&drawn(&json!({}), ease(2)).await), told("opinion_scale", "2 of 5", None, None, None));
    let low = json!({"scales": {"ease": "low"}});
    let good = told("opinion_scale", "2 of 5, promoter", Some("promoter"), Some("praise"), None);
    assert_eq!(score(&drawn(&low, ease(2)).await), good);
    let bad = told("opinion_scale", "5 of 5, detractor", Some("detractor"), Some("pain_point"), Some("high"));
    assert_eq!(score(&drawn(&low, ease(5)).await), bad);
    let stars = |value| number("stars", "rating", value);
    let four = told("rating", "4 of 5, promoter", Some("promoter"), Some("praise"), None);
    assert_eq!(score(&drawn(&json!({}), stars(4)).await), four);
    let two = told("rating", "2 of 5, detractor", Some("detractor"), Some("pain_point"), Some("medium"));
    assert_eq!(score(&drawn(&json!({}), stars(2)).await), two);
    assert_eq!(drawn(&json!({}), number("f2", "number", 4)).await["score"], Value::Null);
}

#[tokio::test]
async fn a_question_that_is_new_makes_the_form_be_read_again_once() {
    let (typeform, script, clock) = typeform();
    let mut at = None;
    script.answer(200, &form());
    script.answer(200, &page(&[], 0));
    pull(&typeform, &mut at).await.expect("a page");
    script.take_asked();
    clock.advance(300);
    let mut item = response("t1", "2026-11-23T07:00:00Z");
    item["answers"] = json!([{"type": "text", "text": "Dark mode", "field": {"id": "new", "type": "long_text"}}]);
    let mut edited = form();
    edited["fields"]
        .as_array_mut()
        .expect("fields")
        .push(json!({"id": "new", "type": "long_text", "title": "What else?"}));
    script.answer(200, &page(&[item.clone()], 1));
    script.answer(503, &Value::Null);
    assert!(matches!(typeform.pull("responses:F1", at.as_ref()).await, Err(Fault::Later { .. })));
    script.answer(200, &edited);
    let (_, found) = pull(&typeform, &mut at).await.expect("a page");
    assert_eq!(found.records[0].body.as_ref().expect("there")["text"], "What else?\nDark mode");
    // The page that the 503 put off was not asked for again.
    assert_eq!(script.lines().iter().filter(|line| line.contains("/responses")).count(), 1, "{:?}", script.lines());
    script.take_asked();
    clock.advance(30);
    item["answers"][0]["field"]["id"] = json!("deleted since");
    item["token"] = json!("t2");
    script.answer(200, &page(&[item], 1));
    let (_, found) = pull(&typeform, &mut at).await.expect("a page");
    assert_eq!(found.records[0].body.as_ref().expect("there")["text"], "Dark mode");
    assert_eq!(script.lines().len(), 1);
}

#[tokio::test]
async fn one_response_is_fetched_and_one_that_came_a_moment_ago_is_not_believed_gone() {
    let (typeform, script, clock) = typeform();
    let key = Key::new("response", "F1/t1");
    script.answer(200, &form());
    script.answer(200, &page(&[response("t1", "2026-11-23T07:00:00Z")], 1));
    let found = typeform.fetch(&key).await.expect("read").expect("ours");
    assert!(found.body.is_some());
    assert_eq!(script.lines()[1], "GET /forms/F1/responses?included_response_ids=t1&response_type=completed");
    script.answer(200, &page(&[], 0));
    assert_eq!(typeform.fetch(&key).await.expect("read").expect("ours").body, None);
    let delivery = open_it(&typeform, &delivery("t1"), SECRET).expect("it is Typeform's");
    assert_eq!(delivery.records[0].key, key);
    script.answer(200, &page(&[], 0));
    assert_eq!(typeform.fetch(&key).await, Ok(None));
    script.answer(200, &page(&[], 0));
    let listed = typeform.ids("response", None).await.expect("read").expect("it lists");
    assert_eq!((listed.ids, listed.next), (vec!["F1/t1".to_owned()], None));
    clock.advance(7201);
    script.answer(200, &form());
    script.answer(200, &page(&[], 0));
    assert_eq!(typeform.fetch(&key).await.expect("read").expect("ours").body, None);
    // A form that cannot be seen says nothing of its responses.
    script.answer(404, &Value::Null);
    assert_eq!(typeform.fetch(&key).await, Ok(None));
    script.answer(404, &Value::Null);
    assert!(matches!(typeform.ids("response", None).await, Err(Fault::Rejected { .. })));
    clock.advance(3601);
    script.answer(404, &Value::Null);
    assert_eq!(typeform.fetch(&key).await, Ok(None));
    for odd in [Key::new("form", "F1"), Key::new("response", "t1"), Key::new("response", "F1/../x")] {
        assert_eq!(typeform.fetch(&odd).await, Ok(None));
    }
}

#[tokio::test]
async fn the_form_says_where_its_responses_are() {
    let (script, clock, outside) = outside();
    let secrets: Secrets = [("token".to_owned(), SecretString::from("t"))].into();
    for (base, links, good) in [
        ("https://api.typeform.com", "https://api.eu.typeform.com/forms/F1/responses", false),
        ("https://api.eu.typeform.com", "https://api.typeform.com/forms/F1/responses", false),
        ("https://api.eu.typeform.com", "https://api.eu.typeform.com/forms/F1/responses", true),
        ("https://proxy.example", "https://api.eu.typeform.com/forms/F1/responses", true),
        ("https://api.typeform.com", "", true),
    ] {
        let typeform = open(&json!({"base_url": base, "forms": ["F1"]}), &secrets, &outside).expect("it opens");
        clock.warm_up();
        let mut form = form();
        form["_links"]["responses"] = json!(links);
        script.answer(200, &form);
        match typeform.attach(&Shape::default(), None, None).await {
            Ok(_) => assert!(good, "{base} {links}"),
            Err(Fault::Locked { why }) => assert!(!good && why.contains("base_url"), "{why}"),
            Err(fault) => panic!("{fault}"),
        }
    }
}

#[tokio::test]
async fn forms_that_are_not_there_lock_only_if_all_are() {
    let (typeform, script, _) = typeform_with(&json!({"forms": ["F1", "F2", "F1"]}));
    assert_eq!(typeform.streams().len(), 2);
    script.answer(404, &Value::Null);
    script.answer(200, &form());
    assert!(typeform.attach(&Shape::default(), None, None).await.is_ok());
    let (typeform, script, _) = typeform_with(&json!({"forms": ["F1", "F2"], "partial": true}));
    assert_eq!(typeform.streams().len(), 4);
    script.answer(404, &Value::Null);
    script.answer(404, &Value::Null);
    assert!(matches!(typeform.attach(&Shape::default(), None, None).await, Err(Fault::Locked { .. })));
    script.answer(404, &Value::Null);
    assert!(matches!(typeform.probe().await, Err(Fault::Locked { .. })));
    script.answer(200, &form());
    script.answer(200, &page(&[], 0));
    let me = typeform.probe().await.expect("seen");
    assert_eq!((me.account.as_str(), me.name.as_str()), ("F1", "Customer survey (F1, F2)"));
}

#[test]
fn settings_are_held_to() {
    let (_, _, outside) = outside();
    let secrets: Secrets = [("token".to_owned(), SecretString::from("t"))].into();
    for (settings, key) in [
        (json!({}), "forms"),
        (json!({"forms": []}), "forms"),
        (json!({"forms": ["https://admin.typeform.com/form/x"]}), "forms"),
        (json!({"forms": ["a"], "page_size": 0}), "page_size"),
        (json!({"forms": ["a"], "page_size": 1001}), "page_size"),
        (json!({"forms": ["a"], "hidden": {"mail": "x"}}), "hidden"),
        (json!({"forms": ["a"], "scales": {"x": "up"}}), "scales"),
        (json!({"forms": ["a"], "webhook_tag": "a/b"}), "webhook_tag"),
        (json!({"forms": ["a"], "base_url": "typeform"}), "base_url"),
    ] {
        let error = open(&settings, &secrets, &outside).err().expect("it is wrong");
        assert_eq!(error.key.as_deref(), Some(key), "{settings}: {error}");
    }
    assert!(open(&json!({"forms": ["a"]}), &Secrets::default(), &outside).is_err());
}
