//! What is read out of a note: who took part, what was said, and whether it is ours.

use serde_json::{Value, json};

use super::tests::{A, granola_with, note, segment};
use crate::{Fault, Key, Source};

async fn drawn(more: &Value, change: impl FnOnce(&mut Value)) -> Option<Value> {
    let (granola, script, _) = granola_with(more);
    let mut note = note(A, "2026-11-20T10:00:00Z");
    change(&mut note);
    script.answer(200, &note);
    granola.fetch(&Key::new("note", A)).await.expect("read")?.body
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
    // Whoever writes from the same mail provider as a note's owner is no colleague for it.
    let free = |note: &mut Value| {
        note["owner"]["email"] = json!("bo@gmail.com");
        note["attendees"] = json!([{"name": "Bo", "email": "bo@gmail.com"}, {"name": "Ada", "email": "ada@gmail.com"}]);
    };
    let body = drawn(&json!({}), free).await.expect("an outside call");
    assert_eq!((&body["audience"], &body["participants"][1]["own"]), (&json!("external"), &json!(false)));
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
