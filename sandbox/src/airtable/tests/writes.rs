//! Writing records: what is stored, what is refused, and that a refused request changes nothing.

use super::*;

#[test]
fn values_come_back_as_airtable_keeps_them() {
    let mut bench = Bench::new();
    let person = bench.desk(|a, cx| a.add_row(cx, BASE, "People", &json!({"Name": "Ada"})));
    let made = bench.ok("POST", &items(""), json!({"fields": {
        "Name": "First", "Notes": "", "Count": 1.26, "Done": false, "Day": "2026-11-23T10:00:00Z", "At": "2026-11-23T10:00:00+02:00",
        "Status": "New", "Tags": ["Blue", "Red"], "Person": [person], "Stars": 4, "Key": null,
    }}));
    let expected = json!({
        "Name": "First", "Count": 1.3, "Day": "2026-11-23", "At": "2026-11-23T08:00:00.000Z", "Status": "New",
        "Tags": ["Blue", "Red"], "Person": [person], "Stars": 4, "Number": 1, "Shout": "FIRST",
    });
    assert_eq!(made["fields"], expected);
    assert_eq!(made["createdTime"], "2026-09-21T14:13:20.000Z");
    // The other side of the link, and what is counted over it.
    let other = bench.airtable.row(BASE, "People", &person).unwrap();
    assert_eq!((&other["fields"]["Items"], &other["fields"]["Items Count"]), (&json!([made["id"]]), &json!(1)));
}

#[test]
fn single_and_batch_by_name_and_id() {
    let mut bench = Bench::new();
    let key = bench.field_id("Items", "Key");
    let made = bench.ok(
        "POST",
        &items("?x=1"),
        json!({"records": [{"fields": {"Name": "a"}}, {"fields": {key.clone(): "k"}}], "returnFieldsByFieldId": true}),
    );
    assert_eq!(made["records"][1]["fields"][&key], "k");
    let ids: Vec<Value> = made["records"].as_array().unwrap().iter().map(|r| r["id"].clone()).collect();
    let batch = json!({"records": [{"id": ids[0], "fields": {"Notes": "n"}}, {"id": ids[1], "fields": {"Key": null}}]});
    let patched = bench.ok("PATCH", &items(""), batch);
    assert_eq!(patched["records"][0]["fields"]["Name"], "a");
    assert!(patched["records"][1]["fields"].get("Key").is_none());
    // PUT clears what it does not name.
    let one = items(&format!("/{}", ids[0].as_str().unwrap()));
    let put = bench.ok("PUT", &one, json!({"fields": {"Key": "z"}}));
    assert!(put["fields"].get("Name").is_none() && put["fields"]["Key"] == "z");
    let gone = bench.ok(
        "DELETE",
        &items(&format!("?records[]={}&records%5B%5D={}", ids[0].as_str().unwrap(), ids[1].as_str().unwrap())),
        Value::Null,
    );
    assert_eq!(gone["records"][1], json!({"id": ids[1], "deleted": true}));
    assert!(bench.airtable.rows(BASE, "Items").is_empty());
}

#[test]
fn bad_values_refuse_the_whole_batch() {
    let mut bench = Bench::new();
    bench.add(json!({"Name": "there"}));
    let bad = [
        ("Nope", json!("x"), "UNKNOWN_FIELD_NAME"),
        ("Name", json!(5), "INVALID_VALUE_FOR_COLUMN"),
        ("Notes", json!("x".repeat(100_001)), "INVALID_VALUE_FOR_COLUMN"),
        ("Count", json!("5"), "INVALID_VALUE_FOR_COLUMN"),
        ("Done", json!("yes"), "INVALID_VALUE_FOR_COLUMN"),
        ("Day", json!("tomorrow"), "INVALID_VALUE_FOR_COLUMN"),
        ("Status", json!("Newish"), "INVALID_MULTIPLE_CHOICE_OPTIONS"),
        ("Tags", json!(["Red", "Green"]), "INVALID_MULTIPLE_CHOICE_OPTIONS"),
        ("Tags", json!("Red"), "INVALID_VALUE_FOR_COLUMN"),
        ("Person", json!(["recGone0000000000"]), "ROW_DOES_NOT_EXIST"),
        ("Person", json!("Ada"), "INVALID_VALUE_FOR_COLUMN"),
        ("Stars", json!(6), "INVALID_VALUE_FOR_COLUMN"),
        ("Number", json!(1), "INVALID_VALUE_FOR_COLUMN"),
        ("Shout", json!("x"), "INVALID_VALUE_FOR_COLUMN"),
    ];
    for (field, value, kind) in bad {
        bench.refused(
            "POST",
            &items(""),
            json!({"records": [{"fields": {"Name": "good"}}, {"fields": {field: value}}]}),
            422,
            kind,
        );
    }
}

#[test]
fn typecast_converts_and_makes_options_and_rows() {
    let mut bench = Bench::new();
    let made = bench.ok(
        "POST",
        &items(""),
        json!({"typecast": true, "fields": {
            "Name": 7, "Count": "2.5", "Done": "true", "Status": "Newish", "Tags": "Red, Green", "Person": ["Ada"],
        }}),
    );
    let fields = &made["fields"];
    assert_eq!((&fields["Name"], &fields["Count"], &fields["Done"]), (&json!("7"), &json!(2.5), &json!(true)));
    assert_eq!((&fields["Status"], &fields["Tags"]), (&json!("Newish"), &json!(["Red", "Green"])));
    assert_eq!(bench.airtable.rows(BASE, "People")[0]["fields"]["Name"], "Ada");
    // A refused request leaves none of that behind.
    bench.refused(
        "POST",
        &items(""),
        json!({"typecast": true, "records": [{"fields": {"Status": "Other"}}, {"fields": {"Nope": 1}}]}),
        422,
        "UNKNOWN_FIELD_NAME",
    );
}

#[test]
fn sizes_and_shapes_of_batches() {
    let mut bench = Bench::new();
    let many: Vec<Value> = (0..11).map(|n| json!({"fields": {"Name": n.to_string()}})).collect();
    bench.refused("POST", &items(""), json!({ "records": many }), 422, "INVALID_RECORDS");
    bench.refused("POST", &items(""), json!({"records": []}), 422, "INVALID_RECORDS");
    bench.refused("POST", &items(""), json!({}), 422, "INVALID_REQUEST_MISSING_FIELDS");
    bench.refused("PATCH", &items(""), json!({"records": [{"fields": {}}]}), 422, "INVALID_REQUEST_MISSING_FIELDS");
    bench.refused(
        "PATCH",
        &items(""),
        json!({"records": [{"id": "recGone0000000000", "fields": {}}]}),
        422,
        "ROW_DOES_NOT_EXIST",
    );
    let row = bench.add(json!({"Name": "a"}));
    let twice = json!({"id": row, "fields": {}});
    bench.refused("PATCH", &items(""), json!({"records": [twice, twice]}), 422, "INVALID_REQUEST_UNKNOWN");
    bench.refused(
        "DELETE",
        &items(&format!("?records[]={row}&records[]=recGone0000000000")),
        Value::Null,
        422,
        "ROW_DOES_NOT_EXIST",
    );
    bench.refused("DELETE", &items(""), Value::Null, 422, "INVALID_RECORDS");
}

fn upsert(records: &Value, on: &Value) -> Value {
    json!({"performUpsert": {"fieldsToMergeOn": on}, "records": records})
}

#[test]
fn upsert_creates_updates_and_says_which() {
    let mut bench = Bench::new();
    let there = bench.add(json!({"Key": "k1", "Notes": "old"}));
    let body = upsert(
        &json!([{"fields": {"Key": "k1", "Name": "one"}}, {"fields": {"Key": "k2", "Name": "two"}}]),
        &json!(["Key"]),
    );
    let answer = bench.ok("PATCH", &items(""), body.clone());
    assert_eq!(answer["updatedRecords"], json!([there]));
    assert_eq!(answer["createdRecords"], json!([answer["records"][1]["id"]]));
    assert_eq!(answer["records"][0]["fields"]["Notes"], "old");
    // Repeating it makes nothing new.
    let again = bench.ok("PATCH", &items(""), body);
    assert_eq!((again["createdRecords"].as_array().unwrap().len(), bench.airtable.rows(BASE, "Items").len()), (0, 2));
    // A row with an id is not matched; two fields match together; PUT clears.
    let with_id = upsert(&json!([{"id": there, "fields": {"Key": "k9"}}]), &json!(["Key"]));
    assert_eq!(bench.ok("PATCH", &items(""), with_id)["updatedRecords"], json!([there]));
    let both = upsert(&json!([{"fields": {"Key": "k9", "Name": "other"}}]), &json!(["Key", "Name"]));
    assert_eq!(bench.ok("PATCH", &items(""), both)["createdRecords"].as_array().unwrap().len(), 1);
    assert_eq!(bench.airtable.doubles(BASE, "Items", "Key"), [("k9".to_owned(), 2)].into());
}

#[test]
fn upsert_refuses() {
    let mut bench = Bench::new();
    bench.add(json!({"Key": "twice"}));
    bench.add(json!({"Key": "twice"}));
    let row = json!({"fields": {"Key": "a"}});
    let cases = [
        (json!([{"fields": {"Key": "new"}}, {"fields": {"Key": "twice"}}]), json!(["Key"]), "INVALID_REQUEST_UNKNOWN"),
        (json!([row, row]), json!(["Key"]), "INVALID_REQUEST_UNKNOWN"),
        (json!([{"id": null, "fields": {"Key": "a"}}]), json!(["Key"]), "INVALID_REQUEST_UNKNOWN"),
        (json!([row]), json!([]), "INVALID_REQUEST_UNKNOWN"),
        (json!([row]), json!(["Key", "Name", "Notes", "Count"]), "INVALID_REQUEST_UNKNOWN"),
        (json!([row]), json!(["Nope"]), "UNKNOWN_FIELD_NAME"),
        (json!([row]), json!(["Shout"]), "INVALID_REQUEST_UNKNOWN"),
        (json!([{"fields": {"Name": "a"}}]), json!(["Key"]), "INVALID_REQUEST_MISSING_FIELDS"),
    ];
    for (records, on, kind) in cases {
        bench.refused("PATCH", &items(""), upsert(&records, &on), 422, kind);
    }
}

#[test]
fn links_are_kept_on_both_sides() {
    let mut bench = Bench::new();
    let (ada, bob) = bench.desk(|a, cx| {
        (a.add_row(cx, BASE, "People", &json!({"Name": "Ada"})), a.add_row(cx, BASE, "People", &json!({"Name": "Bob"})))
    });
    let row = bench.add(json!({"Name": "a", "Person": [ada]}));
    bench.ok("PATCH", &items(&format!("/{row}")), json!({"fields": {"Person": [bob]}}));
    let linked =
        |bench: &Bench, id: &str| bench.airtable.row(BASE, "People", id).unwrap()["fields"].get("Items").cloned();
    assert_eq!((linked(&bench, &ada), linked(&bench, &bob)), (None, Some(json!([row]))));
    bench.desk(|a, cx| a.delete_row(cx, BASE, "People", &bob));
    assert!(bench.airtable.row(BASE, "Items", &row).unwrap()["fields"].get("Person").is_none());
}
