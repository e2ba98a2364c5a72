//! `loopd eval` as a person meets it: labelled rows in, figures out.

use serde_json::json;

use crate::support::Place;

const ROWS: &str = r#"{"title": "Export crashes", "body": "It crashes with an error since the update.", "kind": "incident", "severity": "high"}

{"title": "Dark theme", "body": "Please add an option for a dark theme, it would be great.", "kind": "enhancement"}
{"text": "How can I change the language? Where is the setting?", "kind": "question"}
"#;

#[test]
fn labelled_rows_are_measured_without_anything_else() {
    let place = Place::empty();
    place.write("rows.ndjson", ROWS);
    let said = place.loopd(&["eval", "rows.ndjson", "--map", "category:kind", "--rename", "incident=bug"]).ends(0);
    said.says("category: n 3, accuracy 1.000, macro-F1 1.000").says("severity: n 1").says("cost: 0 calls");
    let only = [
        "eval",
        "rows.ndjson",
        "--map=category:kind",
        "--rename=incident=bug",
        "--only=bug,feature",
        "--task=category",
    ];
    let json = place.loopd(&[&only[..], &["--json", "--errors", "2"]].concat()).ends(0).json();
    assert_eq!(json["tasks"]["category"]["n"], 2);
    assert_eq!(
        json["tasks"]["category"]["confusion"],
        json!({"bug": {"bug": 1}, "feature_request": {"feature_request": 1}})
    );
    assert_eq!(json["cost"], json!({"calls": 0, "tokens_in": 0, "tokens_out": 0, "money": 0.0}));
    assert_eq!(json["subject"], "offline-2");
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_mend() {
    let place = Place::empty();
    place.write("rows.ndjson", "{\"text\": \"a\"}\n\n{\"text\": 1}\n");
    place.loopd(&["eval", "rows.ndjson"]).ends(2).says("rows.ndjson:3: no text").says("--map text:FIELD");
    place.loopd(&["eval", "none.ndjson"]).ends(2).says("none.ndjson");
    place.loopd(&["eval", "rows.ndjson", "--map", "category"]).ends(2).says("category:label");
    place.write("rows.ndjson", "{\"text\": \"a\"}\n");
    place.loopd(&["eval", "rows.ndjson"]).ends(2).says("no row has gold");
    place.loopd(&["eval", "rows.ndjson", "--map", "category:mood"]).ends(2).says("the fields are text");
}
