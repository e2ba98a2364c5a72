//! One item in up to four places: whatever a person edits in any of them becomes the item's, and travels to the others once.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::story::{bug, minutes, of_issue, rows_with, tell_in};
use crate::town::{BASE, Town};

fn four() -> Town {
    Town::of_four(7)
}

/// The Notion page of an item: its id and its properties.
fn page(town: &Town, loopd_id: &str) -> (String, Map<String, Value>) {
    let rows = town.world.notion(|desk, _| desk.rows("Feedback"));
    let mut ours = rows.into_iter().filter(|(_, row)| row.get("Loopd ID") == Some(&json!(loopd_id)));
    let page = ours.next().unwrap_or_else(|| panic!("the item has no page: {:#?}", town.unfinished()));
    assert_eq!(ours.count(), 0, "and one only");
    page
}

#[test]
fn an_edit_in_any_place_travels_to_all_others_once() {
    tell_in(four, |town, mid| {
        let id = of_issue(bug(town, "The export stops"));
        mid(town);
        minutes(town, 3);
        let [(record, row)] = &rows_with(town, "Feedback", id)[..] else { panic!("one row") };
        let (notion, shown) = page(town, &id.to_string());
        assert_eq!((&row["Severity"], &shown["Severity"]), (&json!("High"), &json!("High")));

        // In Notion.
        town.world.notion(|desk, cx| desk.edit_row(cx, &notion, &json!({"Severity": "Critical"})));
        mid(town);
        minutes(town, 15);
        let row = town.world.airtable(|desk, _| desk.row(BASE, "Feedback", record)).expect("it stands");
        assert_eq!(row["fields"]["Severity"], "Critical");
        let issue = town.world.linear(|desk, _| desk.issue(&id.to_string())).expect("it stands");
        assert_eq!(issue["priority"], 1, "Linear's word for critical");

        // In Airtable.
        town.world.airtable(|desk, cx| desk.edit_cell(cx, BASE, "Feedback", record, "Category", &json!("Pain Point")));
        mid(town);
        minutes(town, 15);
        assert_eq!(page(town, &id.to_string()).1["Category"], "Pain Point");

        // In Linear.
        town.world.linear(|desk, cx| desk.move_issue(cx, &id.to_string(), "In Progress"));
        mid(town);
        minutes(town, 15);
        let row = town.world.airtable(|desk, _| desk.row(BASE, "Feedback", record)).expect("it stands");
        assert_eq!(
            (&row["fields"]["Status"], &page(town, &id.to_string()).1["Status"]),
            (&json!("Building"), &json!("Building"))
        );

        // And then nothing moves any more.
        let calls = |town: &Town| {
            sandbox::Vendor::ALL.map(|vendor| {
                let books = town.world.books(vendor).by_operation;
                books
                    .into_iter()
                    .filter(|(name, _)| name.starts_with("PATCH") || name.contains("Update"))
                    .collect::<Vec<_>>()
            })
        };
        let before = calls(town);
        town.run_for(Duration::from_secs(3600));
        assert_eq!(calls(town), before, "a still world is left alone");
    });
}

#[test]
fn two_people_in_two_places_at_once_agree_in_the_end() {
    tell_in(four, |town, mid| {
        let id = of_issue(bug(town, "The import stops"));
        minutes(town, 3);
        let [(record, _)] = &rows_with(town, "Feedback", id)[..] else { panic!("one row") };
        let (notion, _) = page(town, &id.to_string());
        town.world.notion(|desk, cx| desk.edit_row(cx, &notion, &json!({"Status": "Reviewing"})));
        town.world.airtable(|desk, cx| desk.edit_cell(cx, BASE, "Feedback", record, "Status", &json!("Validated")));
        mid(town);
        minutes(town, 20);
        let row = town.world.airtable(|desk, _| desk.row(BASE, "Feedback", record)).expect("it stands");
        let status = row["fields"]["Status"].clone();
        assert!(status == "Reviewing" || status == "Validated", "one of the two: {status}");
        assert_eq!(page(town, &id.to_string()).1["Status"], status, "the same in both places");
        let history = town.house.ledger.history(id).expect("memory");
        let told = |word: &str| {
            history
                .iter()
                .any(|entry| [&entry.old, &entry.new].iter().any(|value| value.as_ref() == Some(&json!(word))))
        };
        assert!(
            told("Reviewing") && told("Validated") || told("reviewing") && told("validated"),
            "both are told of: {history:#?}"
        );
    });
}
