//! Granola against a script: what each answer means, where the position goes, what is read out of a note. Stateful stories
//! are in the contract tests, against the sandbox.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use hmac::Mac as _;
use http::{HeaderMap, HeaderValue, Response};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Granola, open};
use crate::http::Broken;
use crate::testing::{Script, StillClock, outside};
use crate::{Connector, Cursor, Delivery, Fault, Key, Next, Page, Refusal, Request, Secrets, Shape, Source, Webhook};

const URL: &str = "https://loopd.example/hooks/granola";
const SECRET: &str = "whsec_Z3Jhbm9sYS10ZXN0LXNlY3JldC1rZXktMzItYnl0ZXM=";
const A: &str = "not_AAAAAAAAAAAAAA";
const B: &str = "not_BBBBBBBBBBBBBB";

fn opened(more: &Value, secrets: &[(&str, &str)]) -> (Granola, Arc<Script>, Arc<StillClock>) {
    let (script, clock, outside) = outside();
    let mut settings = json!({"base_url": "https://gr.example", "concurrency": 1,
                              "quota": {"calls": 100, "per_seconds": 1, "burst": 100}});
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    let secrets: Secrets =
        secrets.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect();
    let opened = open(&settings, &secrets, &outside).expect("it opens");
    clock.warm_up();
    (opened, script, clock)
}

fn granola_with(more: &Value) -> (Granola, Arc<Script>, Arc<StillClock>) {
    opened(more, &[("token", "grn_a_b"), ("webhook_secret", SECRET)])
}

fn granola() -> (Granola, Arc<Script>, Arc<StillClock>) {
    granola_with(&json!({}))
}

fn row(id: &str, updated_at: &str) -> Value {
    json!({"id": id, "object": "note", "title": "Weekly", "owner": {"name": "Bo", "email": "bo@ours.example"},
           "created_at": "2026-11-20T09:00:00Z", "updated_at": updated_at})
}

fn segment(source: &str, name: Option<&str>, second: u32, text: &str) -> Value {
    let mut speaker = json!({"source": source});
    if let Some(name) = name {
        speaker["name"] = json!(name);
    }
    json!({"speaker": speaker, "text": text, "start_time": format!("2026-11-20T09:00:{second:02}Z"),
           "end_time": format!("2026-11-20T09:00:{:02}Z", second + 1)})
}

fn note(id: &str, updated_at: &str) -> Value {
    let mut note = row(id, updated_at);
    note["attendees"] =
        json!([{"name": "Bo", "email": "bo@ours.example"}, {"name": "Ada", "email": "ada@lumen.example"}]);
    note["summary_text"] = json!("They wait for exports.");
    note["private_notes_text"] = json!("do not tell");
    note["private_notes_markdown"] = json!("do not tell");
    note["transcript"] = json!([segment("microphone", None, 0, "Hello."), segment("speaker", None, 1, "It is slow.")]);
    note["web_url"] = json!("https://notes.granola.example/d/1");
    note
}

fn list(notes: &[Value], cursor: Option<&str>) -> Value {
    json!({"notes": notes, "hasMore": cursor.is_some(), "cursor": cursor})
}

async fn pull(granola: &Granola, at: &mut Option<Cursor>) -> Result<(bool, Page), Fault> {
    let page = granola.pull("notes", at.as_ref()).await?;
    let (more, next) = match &page.next {
        Next::More(cursor) => (true, cursor.clone()),
        Next::CaughtUp(cursor) => (false, cursor.clone()),
    };
    *at = Some(next);
    Ok((more, page))
}

fn ids(page: &Page) -> Vec<&str> {
    page.records.iter().map(|record| record.key.id.as_str()).collect()
}

/// The body of one note's record, after a change to the note.
async fn drawn(more: &Value, change: impl FnOnce(&mut Value)) -> Option<Value> {
    let (granola, script, _) = granola_with(more);
    let mut note = note(A, "2026-11-20T10:00:00Z");
    change(&mut note);
    script.answer(200, &note);
    granola.fetch(&Key::new("note", A)).await.expect("read")?.body
}

#[tokio::test]
async fn a_list_then_each_whole_and_the_next_turn_only_what_changed() {
    let (granola, script, clock) = granola();
    script.answer(200, &list(&[row(A, "2026-11-22T10:00:00Z"), json!({"odd": true})], Some("p2")));
    script.answer(200, &note(A, "2026-11-22T10:00:00Z"));
    script.answer(200, &list(&[row(B, "2026-11-21T10:00:00Z")], None));
    script.answer(200, &note(B, "2026-11-21T10:00:00Z"));
    let mut at = None;
    let (more, page) = pull(&granola, &mut at).await.expect("a page");
    assert_eq!((more, ids(&page)), (true, vec![A]));
    let (more, page) = pull(&granola, &mut at).await.expect("a page");
    assert_eq!((more, ids(&page)), (false, vec![B]));
    assert_eq!(
        script.lines(),
        [
            "GET /v1/notes?page_size=30".to_owned(),
            format!("GET /v1/notes/{A}?include=transcript"),
            "GET /v1/notes?page_size=30&cursor=p2".to_owned(),
            format!("GET /v1/notes/{B}?include=transcript"),
        ]
    );
    script.take_asked();
    clock.advance(300);
    script.answer(200, &list(&[row(A, "2026-11-22T10:00:00Z"), row(B, "2026-11-23T08:01:00Z")], None));
    script.answer(200, &note(B, "2026-11-23T08:01:00Z"));
    let (more, page) = pull(&granola, &mut at).await.expect("a page");
    assert_eq!((more, ids(&page)), (false, vec![B]));
    assert_eq!(page.records[0].version.map(|version| version.0), Some(1_795_420_860_000));
    assert_eq!(script.lines()[0], "GET /v1/notes?page_size=30&updated_after=2026-11-20T10%3A00%3A00Z");
}

#[tokio::test]
async fn a_change_within_the_same_second_is_seen() {
    let (granola, script, clock) = granola();
    let mut at = None;
    for (stamp, retrieved) in [("2026-11-23T07:59:59Z", 1), ("2026-11-23T07:59:59Z", 1), ("2026-11-23T07:59:59Z", 0)] {
        script.answer(200, &list(&[row(A, stamp)], None));
        script.answer(200, &note(A, stamp));
        let (_, page) = pull(&granola, &mut at).await.expect("a page");
        assert_eq!(page.records.len(), retrieved);
        if retrieved == 0 {
            break;
        }
        clock.advance(60);
    }
}

#[tokio::test]
async fn a_list_ends_whatever_its_places_say() {
    for (has_more, cursor, again) in [
        (json!(true), json!(null), false),
        (json!(true), json!(""), false),
        (json!(false), json!("x"), false),
        (json!(null), json!("x"), true),
    ] {
        let (granola, script, _) = granola();
        script.answer(200, &json!({"notes": [], "hasMore": has_more, "cursor": cursor}));
        assert_eq!(pull(&granola, &mut None).await.expect("a page").0, again, "{has_more} {cursor}");
    }
    // The same place again.
    let (granola, script, _) = granola();
    let mut at = None;
    script.answer(200, &list(&[], Some("p")));
    script.answer(200, &list(&[], Some("p")));
    assert!(pull(&granola, &mut at).await.expect("a page").0);
    assert!(!pull(&granola, &mut at).await.expect("a page").0);
    // A place that has died: from the first page again, and not for ever.
    let (granola, script, _) = self::granola();
    let mut at = None;
    for _ in 0..3 {
        script.answer(200, &list(&[], Some("p")));
        script.answer(400, &json!({"code": "BAD_REQUEST"}));
        assert!(pull(&granola, &mut at).await.expect("a page").0);
        assert!(pull(&granola, &mut at).await.expect("a page").0);
    }
    script.answer(200, &list(&[], Some("p")));
    script.answer(400, &Value::Null);
    assert!(pull(&granola, &mut at).await.expect("a page").0);
    assert!(matches!(pull(&granola, &mut at).await, Err(Fault::Rejected { .. })));
}

#[tokio::test]
async fn a_429_in_the_midst_of_a_long_transcript_closes_the_gate() {
    let (granola, script, _) = granola();
    let part = |from: u32, cursor: Option<&str>| {
        let segments: Vec<Value> = (from..from + 2).map(|at| segment("speaker", None, at, &format!("s{at}"))).collect();
        json!({"transcript": segments, "hasMore": cursor.is_some(), "cursor": cursor})
    };
    let mut bare = note(A, "2026-11-22T10:00:00Z");
    bare["transcript"] = Value::Null;
    script.answer(413, &json!({"code": "TRANSCRIPT_TOO_LARGE"}));
    script.answer(200, &bare);
    script.answer(200, &part(0, Some("c1")));
    script.answer_with(429, &[], &Value::Null);
    let key = Key::new("note", A);
    let Err(Fault::Later { after: Some(wait), .. }) = granola.fetch(&key).await else { panic!("it waits") };
    assert_eq!(wait, Duration::from_secs(5));
    script.take_asked();
    // Our own quota keeps to the 429.
    assert!(matches!(granola.fetch(&key).await, Err(Fault::Later { .. })));
    assert_eq!(script.lines().len(), 0);
}

#[tokio::test]
async fn what_a_stop_in_a_long_transcript_left_is_taken_up() {
    let (granola, script, clock) = granola();
    let segments = |at: u32| json!([segment("speaker", None, at, &format!("s{at}"))]);
    let mut bare = note(A, "2026-11-22T10:00:00Z");
    bare["transcript"] = Value::Null;
    script.answer(413, &Value::Null);
    script.answer(200, &bare);
    script.answer(200, &json!({"transcript": segments(0), "hasMore": true, "cursor": "c1"}));
    script.answer_with(429, &[("retry-after", "3")], &Value::Null);
    let key = Key::new("note", A);
    assert!(granola.fetch(&key).await.is_err());
    script.take_asked();
    clock.advance(4);
    script.answer(200, &json!({"transcript": segments(1), "hasMore": false, "cursor": null}));
    let body = granola.fetch(&key).await.expect("read").expect("ours").body.expect("there");
    assert_eq!(script.lines(), [format!("GET /v1/notes/{A}/transcript?page_size=100&cursor=c1")]);
    let texts: Vec<&str> =
        body["transcript"].as_array().expect("all").iter().filter_map(|s| s["text"].as_str()).collect();
    assert_eq!((texts, &body["customer_words"]), (vec!["s0", "s1"], &json!("s0 s1")));
    // A transcript that is gone leaves a note.
    script.answer(413, &Value::Null);
    script.answer(200, &bare);
    script.answer(404, &Value::Null);
    let body = granola.fetch(&key).await.expect("read").expect("ours").body.expect("there");
    assert_eq!((&body["transcript"], &body["turns"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn what_is_not_there_yet_is_gone_for_now_and_asked_for_again() {
    let (granola, script, clock) = granola();
    let key = Key::new("note", A);
    script.answer(404, &json!({"code": "NOT_FOUND"}));
    let fetched = granola.fetch(&key).await.expect("read").expect("ours");
    assert_eq!((fetched.key.id.as_str(), fetched.body), (A, None));
    // A pull that fails does not forget it; the next one takes it into its position.
    script.answer(503, &Value::Null);
    assert!(granola.pull("notes", None).await.is_err());
    let mut at = None;
    script.answer(200, &list(&[], None));
    pull(&granola, &mut at).await.expect("a page");
    // A new process, with the position: after five minutes, ten more, and so on up to six hours.
    let mut position = at.clone().expect("a position").0;
    assert_eq!(position["awaited"][A]["pause"], 300);
    let mut asked = 0;
    for turn in 0..200 {
        clock.advance(300);
        let (granola, script, own) = self::granola();
        own.advance(300 * (turn + 1));
        script.answer(200, &list(&[], None));
        script.answer(404, &Value::Null);
        let page = granola.pull("notes", Some(&Cursor(position.clone()))).await.expect("a page");
        let Next::CaughtUp(next) = page.next else { panic!("one page") };
        position = next.0;
        asked += script.lines().iter().filter(|line| line.contains("/v1/notes/")).count();
    }
    assert_eq!(asked, 8, "200 turns are 1000 minutes: after 5, 15, 35, 75, 155, 315, 635 and 995");
    // There at last.
    let (granola, script, own) = self::granola();
    own.advance(48 * 3600);
    script.answer(200, &list(&[], None));
    script.answer(200, &note(A, "2026-11-23T10:00:00Z"));
    let page = granola.pull("notes", Some(&Cursor(position.clone()))).await.expect("a page");
    let Next::CaughtUp(next) = &page.next else { panic!("one page") };
    assert_eq!((ids(&page), &next.0["awaited"]), (vec![A], &json!({})));
    // Two weeks are enough.
    let (granola, script, own) = self::granola();
    own.advance(15 * 24 * 3600);
    script.answer(200, &list(&[], None));
    let Next::CaughtUp(next) = granola.pull("notes", Some(&Cursor(position))).await.expect("a page").next else {
        panic!("one page")
    };
    assert_eq!((&next.0["awaited"], script.lines().len()), (&json!({}), 1));
}

#[tokio::test]
async fn each_answer_means_what_it_means() {
    for (status, body, kind) in [
        (401, json!({"error": {"code": "INVALID_API_KEY"}}), "locked"),
        (403, json!({"code": "FORBIDDEN", "message": "scope"}), "locked"),
        (302, Value::Null, "locked"),
        (404, Value::Null, "locked"),
        (400, json!({"code": "BAD_REQUEST"}), "rejected"),
        (413, Value::Null, "rejected"),
        (429, Value::Null, "later"),
        (500, Value::Null, "later"),
        (502, Value::Null, "later"),
        (408, Value::Null, "later"),
        (199, Value::Null, "unknown"),
    ] {
        let (granola, script, _) = granola();
        script.answer(status, &body);
        let fault = granola.pull("notes", None).await.expect_err("no page");
        let said = match &fault {
            Fault::Locked { .. } => "locked",
            Fault::Rejected { .. } => "rejected",
            Fault::Later { .. } => "later",
            Fault::Unknown { .. } => "unknown",
        };
        assert_eq!(said, kind, "{status}: {fault}");
        let code = body["code"].as_str().or(body["error"]["code"].as_str()).unwrap_or_default();
        assert!(fault.to_string().contains(code), "{fault}");
    }
    let (granola, script, _) = granola();
    script.put(Ok(Response::new(Bytes::from_static(b"<html>"))));
    script.put(Err(Broken::NoAnswer("cut".into())));
    script.answer(200, &json!({"hasMore": false}));
    for _ in 0..3 {
        assert!(matches!(granola.pull("notes", None).await, Err(Fault::Unknown { .. })));
    }
    for stream in ["notes:fol_x", "calls", "notes:"] {
        assert!(matches!(granola.pull(stream, None).await, Err(Fault::Rejected { .. })), "{stream}");
    }
    let odd = Cursor(json!({"pending": 7}));
    assert!(matches!(granola.pull("notes", Some(&odd)).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn one_that_fails_holds_up_nobody_and_is_tried_again() {
    let (granola, script, clock) = granola();
    let mut at = None;
    script.answer(200, &list(&[row(A, "2026-11-22T10:00:00Z"), row(B, "2026-11-22T10:00:00Z")], None));
    script.answer(500, &Value::Null);
    script.answer(200, &note(B, "2026-11-22T10:00:00Z"));
    script.put(Err(Broken::NoAnswer("cut".into())));
    script.put(Ok(Response::new(Bytes::from_static(b"<html>"))));
    let mut records = Vec::new();
    loop {
        let (more, page) = pull(&granola, &mut at).await.expect("a page");
        records.extend(page.records);
        if !more {
            break;
        }
    }
    assert_eq!(records.len(), 1);
    clock.advance(300);
    script.answer(200, &list(&[], None));
    script.answer(200, &note(A, "2026-11-22T10:00:00Z"));
    assert_eq!(ids(&pull(&granola, &mut at).await.expect("a page").1), [A]);
}

#[tokio::test]
async fn who_took_part_says_whose_call_it_was() {
    let body = drawn(&json!({}), |_| {}).await.expect("an outside call");
    assert_eq!((&body["audience"], &body["customer_domains"]), (&json!("external"), &json!(["lumen.example"])));
    assert_eq!(
        body["participants"],
        json!([{"name": "Bo", "email": "bo@ours.example", "own": true}, {"name": "Ada", "email": "ada@lumen.example", "own": false}])
    );
    assert!(body.get("private_notes_text").is_none() && body.get("private_notes_markdown").is_none());
    let kept = drawn(&json!({"private_notes": true}), |_| {}).await.expect("an outside call");
    assert_eq!(kept["private_notes_text"], "do not tell");
    // Invited counts as well; the domain of the most people comes first; a sister domain and those below ours are ours.
    let own = json!({"own_domains": ["@Sister.example"]});
    let body = drawn(&own, |note| {
        note["calendar_event"] = json!({"event_title": "x", "organiser": "eve@sister.example", "invitees": [
            {"email": "cy@quill.example"}, {"email": "di@quill.example"}, {"email": "ADA@lumen.example"},
            {"email": "fi@mail.sister.example"}, {"email": "gus@notsister.example"}, {"email": "odd"}]});
    })
    .await
    .expect("an outside call");
    assert_eq!(body["customer_domains"], json!(["quill.example", "lumen.example", "notsister.example"]));
    let ours: Vec<&str> = body["participants"]
        .as_array()
        .expect("people")
        .iter()
        .filter(|person| person["own"] == true)
        .filter_map(|person| person["email"].as_str())
        .collect();
    assert_eq!(ours, ["bo@ours.example", "fi@mail.sister.example", "eve@sister.example"]);
    // Among ourselves: none of ours, unless it is wanted. Nobody named but the owner: who knows.
    let internal = |note: &mut Value| note["attendees"][1]["email"] = json!("al@ours.example");
    assert_eq!(drawn(&json!({}), internal).await, None);
    let body = drawn(&json!({"internal": true}), internal).await.expect("wanted");
    assert_eq!((&body["audience"], &body["customer_domains"]), (&json!("internal"), &json!([])));
    let body = drawn(&json!({}), |note| note["attendees"] = json!([])).await.expect("kept");
    assert_eq!(body["audience"], "unknown");
    let body = drawn(&json!({}), |note| note["owner"] = Value::Null).await.expect("kept");
    assert_eq!(body["audience"], "external");
}

#[tokio::test]
async fn what_was_said_stands_in_turns_with_who_and_when() {
    let body = drawn(&json!({}), |note| {
        note["transcript"] = json!([
            segment("microphone", None, 0, "Hello."),
            segment("microphone", None, 1, " How is it going? "),
            segment("speaker", None, 2, "It is slow."),
            segment("speaker", None, 3, ""),
            segment("speaker", None, 4, "All night."),
            segment("speaker", Some("Bo"), 5, "Oh."),
            {"speaker": {"source": "hologram"}, "text": "Who is that?", "start_time": "soon"},
        ]);
    })
    .await
    .expect("an outside call");
    let turn = |id: &str, speaker: Value, customer: bool, at: Value, until: Value, text: &str| json!({"id": id, "speaker": speaker, "customer": customer, "at": at, "until": until, "text": text});
    let second = |second: u32| json!(format!("2026-11-20T09:00:{second:02}Z"));
    assert_eq!(
        body["turns"],
        json!([
            turn("t00000", json!("Bo"), false, second(0), second(2), "Hello. How is it going?"),
            turn("t00002", json!("Ada"), true, second(2), second(5), "It is slow. All night."),
            turn("t00005", json!("Bo"), false, second(5), second(6), "Oh."),
            turn("t00006", json!(null), false, json!(null), json!(null), "Who is that?"),
        ])
    );
    assert_eq!(body["customer_words"], "It is slow. All night.");
    assert_eq!(body["transcript"].as_array().map(Vec::len), Some(7));
    // On a phone the source tells nobody apart, unless each is attributed.
    let phone = |side: Option<&'static str>| {
        move |note: &mut Value| {
            let mut said = segment("microphone", None, 0, "It fails.");
            if let Some(side) = side {
                said["speaker"]["attribution"] = json!(side);
            }
            note["transcript"] = json!([said]);
        }
    };
    for (side, customer, words) in [(None, false, ""), (Some("them"), true, "It fails."), (Some("me"), false, "")] {
        let body = drawn(&json!({}), phone(side)).await.expect("an outside call");
        assert_eq!((&body["turns"][0]["customer"], &body["customer_words"]), (&json!(customer), &json!(words)));
    }
    // A turn does not grow for ever, and without transcripts there are none.
    let long = "x".repeat(1500);
    let body = drawn(&json!({}), |note| {
        note["transcript"] = json!([segment("speaker", None, 0, &long), segment("speaker", None, 1, &long)]);
    })
    .await
    .expect("an outside call");
    assert_eq!(body["turns"].as_array().map(Vec::len), Some(2));
    let (granola, script, _) = granola_with(&json!({"transcripts": false}));
    script.answer(200, &note(A, "2026-11-20T10:00:00Z"));
    granola.fetch(&Key::new("note", A)).await.expect("read");
    assert_eq!(script.lines(), [format!("GET /v1/notes/{A}")]);
}

#[tokio::test]
async fn only_notes_in_the_folders_that_were_named_are_ours() {
    let folders = json!({"folders": ["fol_top", "fol_other"]});
    let (granola, script, _) = granola_with(&folders);
    let names: Vec<String> = granola.streams().into_iter().map(|stream| stream.name).collect();
    assert_eq!(names, ["notes:fol_top", "notes:fol_other"]);
    let folder =
        |id: &str, parent: Option<&str>| json!({"id": id, "object": "folder", "name": id, "parent_folder_id": parent});
    let tree = json!({"folders": [folder("fol_top", None), folder("fol_mid", Some("fol_top")), folder("fol_low", Some("fol_mid")),
                                  folder("fol_a", Some("fol_b")), folder("fol_b", Some("fol_a"))], "hasMore": false, "cursor": null});
    let mut looked = false;
    for (membership, ours) in [
        (json!([folder("fol_top", None)]), true),
        (json!([folder("fol_x", None), folder("fol_mid", Some("fol_top"))]), true),
        (json!([folder("fol_low", Some("fol_mid"))]), true),
        (json!([folder("fol_a", Some("fol_b"))]), false),
        (json!([folder("fol_x", None)]), false),
        (json!([]), false),
    ] {
        let mut note = note(A, "2026-11-20T10:00:00Z");
        note["folder_membership"] = membership.clone();
        script.answer(200, &note);
        if !looked && membership[0]["id"] == "fol_low" {
            script.answer(200, &tree);
            looked = true;
        }
        let fetched = granola.fetch(&Key::new("note", A)).await.expect("read");
        assert_eq!(fetched.is_some(), ours, "{membership}");
    }
    assert_eq!(script.lines().iter().filter(|line| line.contains("/v1/folders")).count(), 1);
    script.take_asked();
    script.answer(404, &Value::Null);
    assert!(matches!(granola.pull("notes:fol_other", None).await, Err(Fault::Rejected { .. })));
    assert_eq!(script.lines(), ["GET /v1/notes?page_size=30&folder_id=fol_other"]);
}

#[tokio::test]
async fn a_list_of_nothing_does_not_make_every_call_look_gone() {
    let (granola, script, _) = granola();
    script.answer(200, &list(&[row(A, "2026-11-20T10:00:00Z")], Some("p2")));
    let first = granola.ids("note", None).await.expect("read").expect("it lists");
    assert_eq!(first.ids, [A]);
    script.answer(200, &list(&[], None));
    let last = granola.ids("note", first.next.as_ref()).await.expect("read").expect("it lists");
    assert_eq!((last.ids.len(), last.next), (0, None));
    script.answer(200, &list(&[], None));
    assert!(matches!(granola.ids("note", None).await, Err(Fault::Rejected { .. })));
    assert!(granola.ids("folder", None).await.expect("read").is_none());
}

fn signed(secret: &str, id: &str, at: i64, body: &str) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn receive(granola: &Granola, headers: &[(&'static str, String)], body: &str, now: i64) -> Result<Delivery, Refusal> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_str(value).expect("a header"));
    }
    let now: DateTime<Utc> = DateTime::from_timestamp(now, 0).expect("a time");
    granola.open(Request { headers: &map, body: body.as_bytes() }, now)
}

fn headers(secret: &str, body: &str) -> Vec<(&'static str, String)> {
    vec![
        ("webhook-id", "msg_1".into()),
        ("webhook-timestamp", "1763856001".into()),
        ("webhook-signature", signed(secret, "msg_1", 1_763_856_001, body)),
    ]
}

fn event(kind: &str) -> String {
    json!({"event_id": "e1", "event_type": kind, "note_id": A, "occurred_at": "2026-11-23T00:00:00Z"}).to_string()
}

#[test]
fn a_delivery_names_a_note_to_look_at() {
    let (granola, ..) = granola();
    for (kind, fetch, pulled) in [
        ("note.generated", 1, 0),
        ("note.edited", 1, 0),
        ("note.access_granted", 1, 1),
        ("note.of_a_kind_yet_to_come", 1, 0),
        ("folder.renamed", 0, 0),
    ] {
        let body = event(kind);
        let delivery = receive(&granola, &headers(SECRET, &body), &body, 1_763_856_100).expect("it is Granola's");
        assert_eq!((delivery.id.as_str(), delivery.fetch.len(), delivery.pull.len()), ("e1", fetch, pulled), "{kind}");
        assert!(delivery.records.is_empty());
    }
    for malformed in [
        "[]",
        "{}",
        "not json",
        r#"{"event_type": "note.edited"}"#,
        r#"{"event_type": "note.edited", "note_id": "../x"}"#,
    ] {
        let refusal = receive(&granola, &headers(SECRET, malformed), malformed, 1_763_856_001).expect_err("malformed");
        assert!(matches!(refusal, Refusal::Malformed(_)), "{malformed}: {refusal}");
    }
}

#[test]
fn one_of_several_signatures_is_enough_and_none_is_not() {
    let (granola, ..) = granola();
    let body = event("note.edited");
    let good = signed(SECRET, "msg_1", 1_763_856_001, &body);
    let with = |name: &str, value: &str| {
        let mut headers = headers(SECRET, &body);
        headers.retain(|(known, _)| *known != name || !value.is_empty());
        for header in &mut headers {
            if header.0 == name {
                header.1 = value.to_owned();
            }
        }
        receive(&granola, &headers, &body, 1_763_856_001)
    };
    for fine in [good.clone(), format!("v1,AAAA {good}"), format!("v2,{good} {good} v1a,x"), format!("  {good}  ")] {
        assert!(with("webhook-signature", &fine).is_ok(), "{fine}");
    }
    for forged in ["v1,AAAA", "v1,", "v1", good.trim_start_matches("v1,"), &format!("v2,{}", &good[3..])] {
        assert!(matches!(with("webhook-signature", forged), Err(Refusal::Forged(_))), "{forged}");
    }
    for (name, value) in [
        ("webhook-id", "msg_2"),
        ("webhook-timestamp", "1763856002"),
        ("webhook-id", ""),
        ("webhook-timestamp", ""),
        ("webhook-signature", ""),
    ] {
        assert!(matches!(with(name, value), Err(Refusal::Forged(_))), "{name} {value}");
    }
    assert!(matches!(
        receive(&granola, &headers(SECRET, &body), &format!("{body} "), 1_763_856_001),
        Err(Refusal::Forged(_))
    ));
    for (now, fine) in [(1_763_856_301, true), (1_763_855_701, true), (1_763_856_302, false), (1_763_855_700, false)] {
        let outcome = receive(&granola, &headers(SECRET, &body), &body, now);
        assert_eq!(outcome.is_ok(), fine, "{outcome:?}");
        assert!(fine || matches!(outcome, Err(Refusal::Stale { .. })));
    }
}

fn endpoint(id: &str, url: &str, enabled: bool) -> Value {
    json!({"id": id, "object": "webhook_endpoint", "url": url, "url_redacted": false, "enabled": enabled})
}

#[tokio::test]
async fn an_endpoint_is_made_once_kept_and_mended() {
    let fresh = || opened(&json!({}), &[("token", "grn_a_b")]);
    let (granola, script, _) = fresh();
    let body = event("note.edited");
    assert!(matches!(receive(&granola, &headers(SECRET, &body), &body, 1_763_856_001), Err(Refusal::NotReady(_))));
    // One of ours whose secret is lost goes; others stay.
    script.answer(200, &json!({"webhook_endpoints": [endpoint("whe_lost", URL, true), endpoint("whe_theirs", "https://else.example", true)]}));
    script.answer(200, &json!({"deleted": true}));
    let mut made = endpoint("whe_new", URL, true);
    made["signing_secret"] = json!(SECRET);
    script.answer(201, &made);
    let bound = granola.attach(&Shape::default(), Some(URL), None).await.expect("attached");
    assert_eq!(
        script.lines(),
        ["GET /v1/webhook-endpoints", "DELETE /v1/webhook-endpoints/whe_lost", "POST /v1/webhook-endpoints"]
    );
    let asked = script.take_asked();
    let sent: Value = serde_json::from_slice(asked[2].body()).expect("JSON");
    assert_eq!(
        sent,
        json!({"url": URL, "scopes": ["personal", "public"], "events": ["note.generated", "note.edited", "note.access_granted"]})
    );
    assert!(receive(&granola, &headers(SECRET, &body), &body, 1_763_856_001).is_ok());
    assert_eq!(granola.hindrance(), None);
    // Another process: it is known, and left alone.
    let (granola, script, _) = fresh();
    script.answer(200, &json!({"webhook_endpoints": [endpoint("whe_new", URL, true)]}));
    assert_eq!(granola.attach(&Shape::default(), Some(URL), Some(&bound)).await, Ok(bound.clone()));
    assert!(receive(&granola, &headers(SECRET, &body), &body, 1_763_856_001).is_ok());
    // Switched off, and at another address: the secret stays.
    let (granola, script, _) = fresh();
    script.answer(200, &json!({"webhook_endpoints": [endpoint("whe_new", URL, false)]}));
    script.answer(200, &endpoint("whe_new", URL, true));
    let moved = granola.attach(&Shape::default(), Some("https://new.example/h"), Some(&bound)).await.expect("attached");
    let asked = script.take_asked();
    assert_eq!(asked[1].method(), "PATCH");
    let sent: Value = serde_json::from_slice(asked[1].body()).expect("JSON");
    assert_eq!(sent, json!({"enabled": true, "url": "https://new.example/h"}));
    assert_eq!(moved["endpoint"]["secret"], SECRET);
    // Gone: another one.
    let (granola, script, _) = fresh();
    script.answer(200, &json!({"webhook_endpoints": []}));
    script.answer(201, &made);
    granola.attach(&Shape::default(), Some(URL), Some(&bound)).await.expect("attached");
    assert_eq!(script.lines().len(), 2);
    // Its secret was typed in by hand, or nobody can reach us: nothing is asked.
    for (secrets, url) in
        [(&[("token", "t"), ("webhook_secret", SECRET)][..], Some(URL)), (&[("token", "t")][..], None)]
    {
        let (granola, script, _) = opened(&json!({}), secrets);
        granola.attach(&Shape::default(), url, None).await.expect("attached");
        assert!(script.lines().is_empty());
    }
}

#[tokio::test]
async fn which_scopes_a_key_has_is_found_by_trying_and_a_refusal_is_told() {
    let scopes = |script: &Script| -> Vec<Value> {
        let asked = script.take_asked();
        let posts = asked.iter().filter(|request| request.method() == "POST");
        posts.map(|request| serde_json::from_slice::<Value>(request.body()).expect("JSON")["scopes"].clone()).collect()
    };
    let none = json!({"webhook_endpoints": []});
    let mut made = endpoint("whe_new", URL, true);
    made["signing_secret"] = json!(SECRET);
    let (granola, script, _) = opened(&json!({}), &[("token", "t")]);
    script.answer(200, &none);
    script.answer(403, &Value::Null);
    script.answer(400, &Value::Null);
    script.answer(201, &made);
    granola.attach(&Shape::default(), Some(URL), None).await.expect("attached");
    assert_eq!(scopes(&script), [json!(["personal", "public"]), json!(["workspace"]), json!(["public"])]);
    // Named: these and no others.
    let (granola, script, _) =
        opened(&json!({"webhook_scopes": ["workspace"], "folders": ["fol_a"]}), &[("token", "t")]);
    script.answer(200, &none);
    script.answer(400, &json!({"code": "BAD_REQUEST"}));
    granola.attach(&Shape::default(), Some(URL), None).await.expect("attached all the same");
    let asked = script.take_asked();
    let sent: Value = serde_json::from_slice(asked[1].body()).expect("JSON");
    assert_eq!((&sent["scopes"], &sent["folder_ids"]), (&json!(["workspace"]), &json!(["fol_a"])));
    assert!(granola.hindrance().is_some_and(|why| why.contains("polled")));
    // No webhooks on this plan, or none for this key.
    for status in [404, 403, 500] {
        let (granola, script, _) = opened(&json!({}), &[("token", "t")]);
        script.answer(status, &Value::Null);
        granola.attach(&Shape::default(), Some(URL), None).await.expect("attached all the same");
        assert!(granola.hindrance().is_some_and(|why| why.contains("polled")), "{status}");
    }
    // The answer is lost: looked at again soon.
    let (granola, script, clock) = opened(&json!({}), &[("token", "t")]);
    script.answer(200, &none);
    script.put(Err(Broken::NoAnswer("cut".into())));
    granola.attach(&Shape::default(), Some(URL), None).await.expect("attached all the same");
    assert!(granola.wants_attach());
    clock.advance(61);
    script.answer(200, &json!({"webhook_endpoints": [endpoint("whe_orphan", URL, true)]}));
    script.answer(200, &json!({}));
    script.answer(201, &made);
    granola.attach(&Shape::default(), Some(URL), None).await.expect("attached");
    assert!(!granola.wants_attach() && granola.hindrance().is_none());
    // A key that is dead stops all.
    let (granola, script, _) = opened(&json!({}), &[("token", "t")]);
    script.answer(401, &Value::Null);
    assert!(matches!(granola.attach(&Shape::default(), Some(URL), None).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn whose_key_it_is() {
    let (granola, script, _) = granola();
    script.answer(200, &list(&[row(A, "2026-11-20T10:00:00Z")], None));
    let me = granola.probe().await.expect("seen");
    assert_eq!((me.account.as_str(), me.notes.len()), ("ours.example", 0));
    script.answer(200, &list(&[], None));
    assert_eq!(granola.probe().await.expect("seen").notes.len(), 1);
    script.answer(404, &Value::Null);
    assert!(matches!(granola.probe().await, Err(Fault::Locked { .. })));
}

#[test]
fn settings_are_held_to() {
    let (_, _, outside) = outside();
    let secrets: Secrets = [("token".to_owned(), SecretString::from("t"))].into();
    for (settings, key) in [
        (json!({"folders": ["Customers"]}), "folders"),
        (json!({"own_domains": ["ours"]}), "own_domains"),
        (json!({"own_domains": ["bo@ours.example"]}), "own_domains"),
        (json!({"webhook_scopes": ["all"]}), "webhook_scopes"),
        (json!({"concurrency": 0}), "concurrency"),
        (json!({"start": "soon"}), "start"),
        (json!({"tokens": 1}), "tokens"),
    ] {
        let error = open(&settings, &secrets, &outside).err().expect("it is wrong");
        assert_eq!(error.key.as_deref(), Some(key), "{settings}: {error}");
    }
    assert!(open(&json!({}), &Secrets::default(), &outside).is_err());
}
