//! Themes begin as rows that people add; loopd adopts them and counts.

use loopd::schema::EntityId;
use serde_json::json;

use crate::story::{
    bug, company, conversation, known, minutes, no_dead, of_conversation, of_issue, row, tell, type_in,
};
use crate::town::{BASE, Town};

fn added(town: &Town, name: &str) -> String {
    town.world.airtable(|desk, cx| desk.add_row(cx, BASE, "Themes", &json!({"Name": name, "Status": "Validated"})))
}

#[test]
fn a_row_becomes_a_theme_with_counts_and_revenue() {
    tell(|town, mid| {
        let lumen = company(town, "Lumen", Some("ada-example"), 1000);
        let quill = company(town, "Quill", None, 500);
        let members = [
            of_issue(bug(town, "Stream ends early")),
            of_conversation(conversation(town, &lumen, "The stream stops")),
            of_conversation(conversation(town, &quill, "The stream is cut")),
        ];
        let theme = added(town, "Streaming");
        mid(town);
        minutes(town, 20);
        let cells = town.world.airtable(|desk, _| desk.row(BASE, "Themes", &theme)).expect("the row")["fields"].clone();
        let id: EntityId = cells["Loopd ID"].as_str().expect("its id is written back").parse().expect("an id");
        assert_eq!(
            known(town, id).and_then(|known| known.as_theme().and_then(|theme| theme.name.clone())).as_deref(),
            Some("Streaming")
        );
        for member in members {
            type_in(town, "Feedback", member, "Theme", &json!([theme]));
        }
        mid(town);
        minutes(town, 5);
        let cells = row(town, "Themes", id).1;
        assert_eq!(
            (&cells["Feedback Count"], &cells["Customers"], &cells["ARR"]),
            (&json!(3), &json!(2), &json!(18000)),
            "each account once"
        );
        assert_eq!(cells["Status"], "Validated");
        assert_eq!(town.world.airtable(|desk, _| desk.rows(BASE, "Themes").len()), 1, "nothing is made beside it");
        no_dead(town);
    });
}

#[test]
fn an_empty_row_waits_for_its_first_word() {
    tell(|town, mid| {
        let theme = town.world.airtable(|desk, cx| desk.add_row(cx, BASE, "Themes", &json!({})));
        mid(town);
        minutes(town, 5);
        assert_eq!(
            town.world.airtable(|desk, _| desk.row(BASE, "Themes", &theme)).expect("the row")["fields"].get("Loopd ID"),
            None
        );
        town.world.airtable(|desk, cx| desk.edit_cell(cx, BASE, "Themes", &theme, "Name", &json!("Exports")));
        mid(town);
        minutes(town, 5);
        assert!(
            town.world.airtable(|desk, _| desk.row(BASE, "Themes", &theme)).expect("the row")["fields"]["Loopd ID"]
                .is_string()
        );
        no_dead(town);
    });
}

#[test]
fn what_is_put_into_an_empty_row_is_in_the_theme_when_the_row_gets_its_name() {
    tell(|town, mid| {
        let item = of_issue(bug(town, "Stream ends early"));
        mid(town);
        minutes(town, 5);
        let theme = town.world.airtable(|desk, cx| desk.add_row(cx, BASE, "Themes", &json!({})));
        minutes(town, 2);
        type_in(town, "Feedback", item, "Theme", &json!([theme]));
        mid(town);
        minutes(town, 5);
        assert_eq!(known(town, item).and_then(|known| known.as_feedback().and_then(|item| item.theme)), None);
        assert_eq!(row(town, "Feedback", item).1["Theme"], json!([theme]), "a person's link is let stand");
        town.world.airtable(|desk, cx| desk.edit_cell(cx, BASE, "Themes", &theme, "Name", &json!("Streaming")));
        mid(town);
        minutes(town, 5);
        let named = town.world.airtable(|desk, _| desk.row(BASE, "Themes", &theme)).expect("the row")["fields"].clone();
        let id: EntityId = named["Loopd ID"].as_str().expect("its id is written back").parse().expect("an id");
        assert_eq!(known(town, item).and_then(|known| known.as_feedback().and_then(|item| item.theme)), Some(id));
        assert_eq!(row(town, "Themes", id).1["Feedback Count"], 1);
        no_dead(town);
    });
}
