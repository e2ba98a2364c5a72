//! Reading lists: pages, offsets, sorting, formulas, both ways of asking.

use super::*;

fn fill(bench: &mut Bench, count: usize) {
    for n in 0..count {
        bench.add(json!({"Name": format!("n{n:03}"), "Count": n % 7}));
    }
}

fn names(page: &Value) -> Vec<String> {
    page["records"].as_array().unwrap().iter().map(|r| r["fields"]["Name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn pages_until_there_is_no_offset() {
    let mut bench = Bench::new();
    fill(&mut bench, 250);
    let (mut seen, mut path, mut pages) = (Vec::new(), items(""), 0);
    loop {
        let page = bench.ok("GET", &path, Value::Null);
        seen.extend(names(&page));
        pages += 1;
        let Some(offset) = page["offset"].as_str() else { break };
        path = items(&format!("?offset={offset}"));
    }
    assert_eq!((pages, seen.len()), (3, 250));
    assert!(seen.is_sorted());
    // The same by POST, with the offset in the body, with a limit and a sort.
    let (mut seen, mut body) =
        (Vec::new(), json!({"pageSize": 40, "maxRecords": 90, "sort": [{"field": "Name", "direction": "desc"}]}));
    loop {
        let page = bench.ok("POST", &items("/listRecords"), body.clone());
        seen.extend(names(&page));
        let Some(offset) = page.get("offset") else { break };
        body["offset"] = offset.clone();
    }
    assert_eq!((seen.len(), seen[0].as_str(), seen[89].as_str()), (90, "n249", "n160"));
}

#[test]
fn offsets_expire_and_belong_to_their_list() {
    let mut bench = Bench::new();
    fill(&mut bench, 3);
    let offset = bench.ok("GET", &items("?pageSize=1"), Value::Null)["offset"].as_str().unwrap().to_owned();
    bench.refused(
        "GET",
        &items(&format!("?pageSize=1&offset={offset}&filterByFormula=1")),
        Value::Null,
        422,
        "INVALID_OFFSET_VALUE",
    );
    bench.refused("GET", &items("?offset=nonsense"), Value::Null, 422, "INVALID_OFFSET_VALUE");
    // Rows deleted meanwhile are left out, and do not break the walk.
    let first = bench.airtable.rows(BASE, "Items")[0]["id"].as_str().unwrap().to_owned();
    bench.desk(|a, cx| a.delete_row(cx, BASE, "Items", &first));
    assert_eq!(names(&bench.ok("GET", &items(&format!("?pageSize=1&offset={offset}")), Value::Null)), ["n001"]);
    bench.later(11 * 60);
    bench.refused(
        "GET",
        &items(&format!("?pageSize=1&offset={offset}")),
        Value::Null,
        422,
        "LIST_RECORDS_ITERATOR_NOT_AVAILABLE",
    );
}

#[test]
fn fields_sort_view_and_ids() {
    let mut bench = Bench::new();
    fill(&mut bench, 3);
    let key = bench.field_id("Items", "Name");
    let page = bench.ok(
        "GET",
        &items("?fields[]=Name&fields%5B%5D=Count&sort[0][field]=Count&sort[0][direction]=desc&view=Grid%20view"),
        Value::Null,
    );
    assert_eq!(page["records"][0]["fields"], json!({"Name": "n002", "Count": 2}));
    let page = bench.ok("GET", &items("?returnFieldsByFieldId=true&maxRecords=1"), Value::Null);
    assert_eq!(page["records"][0]["fields"][&key], "n000");
    let page = bench.ok("GET", &items("?recordMetadata[]=commentCount&maxRecords=1"), Value::Null);
    assert_eq!(page["records"][0]["commentCount"], 0);
    bench.refused("GET", &items("?fields[]=Nope"), Value::Null, 422, "UNKNOWN_FIELD_NAME");
    bench.refused("GET", &items("?sort[0][field]=Nope"), Value::Null, 422, "UNKNOWN_FIELD_NAME");
    bench.refused("GET", &items("?view=Nope"), Value::Null, 422, "VIEW_NAME_NOT_FOUND");
    bench.refused("GET", &items("?pageSize=101"), Value::Null, 422, "INVALID_REQUEST_UNKNOWN");
    bench.refused("GET", &items("?filterByFormula=AND("), Value::Null, 422, "INVALID_FILTER_BY_FORMULA");
    bench.refused("GET", &items("?filterByFormula=%7BNope%7D"), Value::Null, 422, "INVALID_FILTER_BY_FORMULA");
}

#[test]
fn modified_since_sees_edits_and_may_ignore_columns() {
    let mut bench = Bench::new();
    fill(&mut bench, 3);
    bench.later(60);
    let since = super::super::model::stamp(bench.now);
    bench.later(60);
    let rows = bench.airtable.rows(BASE, "Items");
    let id = |n: usize| rows[n]["id"].as_str().unwrap().to_owned();
    bench.desk(|a, cx| {
        a.edit_cell(cx, BASE, "Items", &id(1), "Name", &json!("edited"));
        a.edit_cell(cx, BASE, "Items", &id(2), "Done", &json!(true));
    });
    let found = |bench: &mut Bench, formula: String| {
        names(&bench.ok("POST", &items("/listRecords"), json!({"filterByFormula": formula})))
    };
    assert_eq!(found(&mut bench, format!("IS_AFTER(LAST_MODIFIED_TIME(), \"{since}\")")), ["edited", "n002"]);
    assert_eq!(found(&mut bench, format!("IS_AFTER(LAST_MODIFIED_TIME({{Name}}), \"{since}\")")), ["edited"]);
    assert_eq!(found(&mut bench, format!("OR(RECORD_ID() = '{}', {{Status}} = 'New')", id(0))), ["n000"]);
}

#[test]
fn links_and_selects_read_as_names_in_formulas() {
    let mut bench = Bench::new();
    let ada = bench.desk(|a, cx| a.add_row(cx, BASE, "People", &json!({"Name": "Ada"})));
    bench.add(json!({"Name": "linked", "Person": [ada], "Tags": ["Red"], "Day": "2026-05-05"}));
    for formula in
        ["{Person} = 'Ada'", "FIND('Red', ARRAYJOIN({Tags}))", "IS_BEFORE({Day}, '2026-06-01')", "{Shout} = 'LINKED'"]
    {
        let page = bench.ok("POST", &items("/listRecords"), json!({"filterByFormula": formula}));
        assert_eq!(names(&page), ["linked"], "{formula}");
    }
}
