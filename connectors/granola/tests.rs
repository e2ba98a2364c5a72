//! Granola against a script: what each answer means, and where the position goes. Stateful stories are in the contract
//! tests, against the sandbox.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Granola, open};
use crate::http::Broken;
use crate::testing::{Script, StillClock, outside};
use crate::{Connector, Cursor, Fault, Key, Next, Page, Secrets, Source};

pub(super) const SECRET: &str = "whsec_Z3Jhbm9sYS10ZXN0LXNlY3JldC1rZXktMzItYnl0ZXM=";
pub(super) const A: &str = "not_AAAAAAAAAAAAAA";
const B: &str = "not_BBBBBBBBBBBBBB";

pub(super) fn opened(more: &Value, secrets: &[(&str, &str)]) -> (Granola, Arc<Script>, Arc<StillClock>) {
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

pub(super) fn granola_with(more: &Value) -> (Granola, Arc<Script>, Arc<StillClock>) {
    opened(more, &[("token", "grn_a_b"), ("webhook_secret", SECRET)])
}

pub(super) fn granola() -> (Granola, Arc<Script>, Arc<StillClock>) {
    granola_with(&json!({}))
}

pub(super) fn row(id: &str, updated_at: &str) -> Value {
    json!({"id": id, "object": "note", "title": "Weekly", "owner": {"name": "Bo", "email": "bo@ours.example"},
           "created_at": "2026-11-20T09:00:00Z", "updated_at": updated_at})
}

pub(super) fn segment(source: &str, name: Option<&str>, second: u32, text: &str) -> Value {
    let mut speaker = json!({"source": source});
    if let Some(name) = name {
        speaker["name"] = json!(name);
    }
    json!({"speaker": speaker, "text": text, "start_time": format!("2026-11-20T09:00:{second:02}Z"),
           "end_time": format!("2026-11-20T09:00:{:02}Z", second + 1)})
}

pub(super) fn note(id: &str, updated_at: &str) -> Value {
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

pub(super) fn list(notes: &[Value], cursor: Option<&str>) -> Value {
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
    script.answer(200, &list(&[row(A, "2026-11-22T10:00:00.000Z"), row(B, "2026-11-23T08:01:00Z")], None));
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
    // One of several folders may well be empty.
    let (granola, script, _) = granola_with(&json!({"folders": ["fol_a", "fol_b"]}));
    script.answer(200, &list(&[row(A, "2026-11-20T10:00:00Z")], None));
    let first = granola.ids("note", None).await.expect("read").expect("it lists");
    script.answer(200, &list(&[], None));
    let last = granola.ids("note", first.next.as_ref()).await.expect("read").expect("it lists");
    assert_eq!((last.ids.len(), last.next), (0, None));
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
