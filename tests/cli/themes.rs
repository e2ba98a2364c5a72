//! `loopd themes`: listed, shown, merged, split, moved and taken back, beside a running daemon and without one.

use std::time::Duration;

use serde_json::Value;

use crate::support::{GITHUB, Place};

const SAID: &str = "Text;Author Email;Date;Type
The CSV export of a large workspace times out;ada@lumen.example.com;2026-11-02;bug
A large workspace: the CSV export times out;bo@quill.example.com;2026-11-03;bug
Our CSV export times out for the large workspace;cy@ember.example.com;2026-11-04;bug
The invoice shows a wrong tax number;ada@lumen.example.com;2026-11-05;bug
Wrong tax number on the invoice;bo@quill.example.com;2026-11-06;bug
The tax number on our invoice is wrong;cy@ember.example.com;2026-11-07;bug
";

fn themes(place: &Place) -> Vec<Value> {
    place.loopd(&["themes", "--json"]).ends(0).json().as_array().expect("a list").clone()
}

#[expect(clippy::disallowed_methods, reason = "a real daemon works at its own pace")]
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}

#[test]
fn themes_are_listed_shown_merged_split_and_taken_back() {
    let place = Place::with(&format!("{GITHUB}\n[triage]\nsettle_seconds = 0\n"));
    place.write("said.csv", SAID);
    place.loopd(&["import", "feedback", "said.csv"]).ends(0);
    place.loopd(&["themes"]).ends(0).says("There is no theme yet");
    let daemon = place.run();
    let mut found = Vec::new();
    for _ in 0..300 {
        found = themes(&place);
        if found.len() == 2 {
            break;
        }
        pause();
    }
    assert_eq!(found.len(), 2, "{found:#?}");
    let of = |word: &str| {
        let named = |theme: &&Value| theme["name"].as_str().is_some_and(|name| name.to_lowercase().contains(word));
        let theme = found.iter().find(named).unwrap_or_else(|| panic!("{word}: {found:#?}"));
        theme["short_id"].as_str().expect("an id").to_owned()
    };
    let (export, invoice) = (of("workspace"), of("tax"));
    place
        .loopd(&["themes", "rename", &export, "Exports that never end"])
        .ends(0)
        .says("is called Exports that never end");
    place.loopd(&["themes", "show", "exports that never end"]).ends(0).says("times out").says("We believe");
    place.loopd(&["themes", "merge", &export, &invoice]).ends(0).says("lives on in");
    place.loopd(&["themes", "merge", &export, &invoice]).ends(1).says("already");
    assert_eq!(themes(&place)[0]["count"], 6);
    place.loopd(&["themes", "list", "--all", "--sort", "count"]).ends(0).says("(merged)").says("4 WEEKS");
    place.loopd(&["themes", "undo", &invoice]).ends(0).says("a theme of its own again");
    let card = place.loopd(&["themes", "show", &export, "--json"]).ends(0).json();
    let item = card["members"][0]["short_id"].as_str().expect("an id").to_owned();
    place
        .loopd(&["themes", "split", &export, &item, "--name", "Another matter"])
        .ends(0)
        .says("1 items are now Another matter");
    place.loopd(&["themes", "undo", "Another matter"]).ends(0).says("is Exports that never end");
    place.loopd(&["themes", "move", &item, &invoice]).ends(0).says("is in");
    place.loopd(&["themes", "undo", &item]).ends(0).says("is where it was");
    assert_eq!(daemon.stop(), Some(0));
    place.loopd(&["themes", "verify", &export]).ends(0).says("is validated");
    place.loopd(&["themes", "verify", &export]).ends(1).says("no hypothesis any more");
    place.loopd(&["themes", "accept", "7"]).ends(1).says("nothing is proposed as 7");
    place.loopd(&["themes", "show", "nothing of the kind"]).ends(1).says("nothing is known");
    place.loopd(&["ledger", "verify"]).ends(0);
}
