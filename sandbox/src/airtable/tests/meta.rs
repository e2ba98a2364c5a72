//! Bases, tables and fields, by the API and by people.

use super::*;

fn tables() -> String {
    format!("/v0/meta/bases/{BASE}/tables")
}

#[test]
fn schema_as_clients_read_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.ok("GET", "/v0/meta/bases", Value::Null)["bases"][0]["id"], BASE);
    let schema = bench.ok("GET", &tables(), Value::Null);
    let table = &schema["tables"][0];
    assert_eq!(table["primaryFieldId"], table["fields"][0]["id"]);
    assert_eq!(table["views"][0]["name"], "Grid view");
    let link = table["fields"].as_array().unwrap().iter().find(|f| f["name"] == "Person").unwrap();
    assert_eq!(link["options"]["linkedTableId"], schema["tables"][1]["id"]);
    assert_eq!(link["options"]["inverseLinkFieldId"], bench.field_id("People", "Items"));
}

#[test]
fn tables_and_fields_are_added() {
    let mut bench = Bench::new();
    let people = bench.airtable.schema(BASE)["tables"][1]["id"].clone();
    let made = bench.ok(
        "POST",
        &tables(),
        json!({"name": "Themes", "fields": [
            {"name": "Name", "type": "singleLineText"},
            {"name": "Owner", "type": "multipleRecordLinks", "options": {"linkedTableId": people}},
        ]}),
    );
    assert!(made["id"].as_str().unwrap().starts_with("tbl"));
    assert!(!bench.field_id("People", "Themes").is_empty());
    let table = format!("{}/{}", tables(), made["id"].as_str().unwrap());
    assert_eq!(bench.ok("PATCH", &table, json!({"name": "Topics"}))["name"], "Topics");
    let field = bench.ok(
        "POST",
        &format!("{table}/fields"),
        json!({"name": "State", "type": "singleSelect", "options": {"choices": [{"name": "Open"}]}}),
    );
    let path = format!("{table}/fields/{}", field["id"].as_str().unwrap());
    let open = field["options"]["choices"][0].clone();
    assert_eq!(bench.ok("PATCH", &path, json!({"name": "Status"}))["name"], "Status");
    let more = bench.ok("PATCH", &path, json!({"options": {"choices": [open, {"name": "Closed"}]}}));
    assert_eq!(
        (&more["options"]["choices"][0]["id"], &more["options"]["choices"][1]["name"]),
        (&open["id"], &json!("Closed"))
    );
    bench.refused(
        "PATCH",
        &path,
        json!({"options": {"choices": [{"name": "Closed"}]}}),
        422,
        "INVALID_REQUEST_UNKNOWN",
    );
    bench.refused("PATCH", &path, json!({"type": "url"}), 422, "INVALID_REQUEST_UNKNOWN");
}

#[test]
fn what_cannot_be_made() {
    let mut bench = Bench::new();
    let fields = format!("{}/Items/fields", tables());
    for kind in [
        "formula",
        "rollup",
        "count",
        "autoNumber",
        "createdTime",
        "lastModifiedTime",
        "multipleLookupValues",
        "button",
        "aiText",
    ] {
        bench.refused("POST", &fields, json!({"name": "C", "type": kind}), 422, "UNSUPPORTED_FIELD_TYPE_FOR_CREATE");
    }
    for field in [
        json!({"name": "C", "type": "number"}),
        json!({"name": "C", "type": "singleSelect"}),
        json!({"name": "C", "type": "dateTime", "options": {"timeZone": "utc"}}),
        json!({"name": "C", "type": "multipleRecordLinks", "options": {"linkedTableId": "tblNone"}}),
        json!({"name": "C", "type": "hologram"}),
    ] {
        bench.refused("POST", &fields, field, 422, "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE");
    }
    bench.refused("POST", &fields, json!({"name": "name", "type": "url"}), 422, "DUPLICATE_OR_EMPTY_FIELD_NAME");
    let first = |kind: &str| json!({"name": "T", "fields": [{"name": "F", "type": kind}]});
    bench.refused("POST", &tables(), first("richText"), 422, "INVALID_PRIMARY_FIELD_TYPE");
    bench.refused("POST", &tables(), json!({"name": "T", "fields": []}), 422, "INVALID_REQUEST_MISSING_FIELDS");
    bench.refused(
        "POST",
        &tables(),
        json!({"name": "items", "fields": [{"name": "F", "type": "url"}]}),
        422,
        "DUPLICATE_TABLE_NAME",
    );
    let link = format!("{fields}/{}", bench.field_id("Items", "Person"));
    bench.refused("PATCH", &link, json!({"options": {}}), 422, "INVALID_REQUEST_UNKNOWN");
    bench.refused("DELETE", &link, Value::Null, 404, "NOT_FOUND");
}

#[test]
fn people_change_the_schema() {
    let mut bench = Bench::new();
    let row = bench.add(json!({"Name": "12", "Status": "New", "Tags": ["Red", "Blue"], "Notes": "x"}));
    bench.desk(|a, cx| {
        a.rename_field(cx, BASE, "Items", "Notes", "Remarks");
        a.add_option(cx, BASE, "Items", "Status", "Later");
        a.remove_option(cx, BASE, "Items", "Tags", "Red");
        a.rename_option(cx, BASE, "Items", "Tags", "Blue", "Navy");
        a.retype_field(cx, BASE, "Items", "Status", "singleLineText", &Value::Null);
        a.delete_field(cx, BASE, "Items", "Person");
        a.rename_table(cx, BASE, "People", "Humans");
    });
    let fields = bench.airtable.row(BASE, "Items", &row).unwrap()["fields"].clone();
    assert_eq!(
        (&fields["Remarks"], &fields["Tags"], &fields["Status"]),
        (&json!("x"), &json!(["Navy"]), &json!("New"))
    );
    bench.refused("PATCH", &items(&format!("/{row}")), json!({"fields": {"Notes": "y"}}), 422, "UNKNOWN_FIELD_NAME");
    let schema = bench.airtable.schema(BASE);
    assert_eq!(schema["tables"][1]["name"], "Humans");
    assert!(!schema.to_string().contains("multipleRecordLinks"));
}

#[test]
fn the_loopd_base_and_a_base_by_the_api() {
    let mut bench = Bench::new();
    bench.desk(|a, cx| a.create_base(cx, "appSandbox0000002", "Loop"));
    let names: Vec<Value> = bench.airtable.schema("appSandbox0000002")["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["name"].clone())
        .collect();
    assert_eq!(names, ["Feedback", "Customers", "Themes"]);
    let made = bench.ok("POST", "/v0/meta/bases", json!({"name": "New", "workspaceId": "wspSandbox", "tables": [{"name": "T", "fields": [{"name": "N", "type": "singleLineText"}]}]}));
    assert!(bench.airtable.base_ids().contains(&made["id"].as_str().unwrap().to_owned()));
}
