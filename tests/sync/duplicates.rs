//! Two items are one, and are two after all: in every place, and nothing is lost on the way. And themes that are born of what
//! lies near each other.

use loopd::schema::{EntityId, EntityKind};
use loopd::triage::{merge, themes};
use serde_json::{Map, Value, json};

use crate::story::{
    bug, cells, issue, known, linear, minutes, no_dead, of_issue, row, rows_with, status, tell, tell_in, type_in,
};
use crate::town::{BASE, Town};

fn four() -> Town {
    Town::of_four(7)
}

/// The Notion page of an item: its id and its properties.
fn page(town: &Town, id: EntityId) -> (String, Map<String, Value>) {
    let rows = town.world.notion(|desk, _| desk.rows("Feedback"));
    let mut ours = rows.into_iter().filter(|(_, row)| row.get("Loopd ID") == Some(&json!(id.to_string())));
    let page = ours.next().unwrap_or_else(|| panic!("the item has no page: {:#?}", town.unfinished()));
    assert_eq!(ours.count(), 0, "and one only");
    page
}

fn shown(town: &Town, id: EntityId, field: &str) -> (Value, Value) {
    (cells(town, id)[field].clone(), page(town, id).1.get(field).cloned().unwrap_or_default())
}

#[test]
fn a_merge_in_a_cell_travels_and_is_taken_back_without_loss() {
    tell_in(four, |town, mid| {
        let first = of_issue(bug(town, "Stream ends early"));
        minutes(town, 5);
        let second = of_issue(issue(
            town,
            "Words are missing",
            Some("The last words of an answer are missing."),
            &["bug", "p1"],
        ));
        minutes(town, 5);
        let (record, _) = row(town, "Feedback", first);
        let home = page(town, first).0;

        // In Airtable a person says that the second is the same.
        type_in(town, "Feedback", second, "Duplicate Of", &json!([record]));
        mid(town);
        minutes(town, 10);
        assert_eq!(
            known(town, second).and_then(|known| known.as_feedback().and_then(|item| item.duplicate_of)),
            Some(first)
        );
        assert_eq!(shown(town, second, "Duplicate Of"), (json!([record]), json!([home])), "it shows it in both");
        assert!(linear(town, second).is_some(), "its issue stays");

        // The first ships: the second goes along, and its people are told, too.
        town.world.linear(|desk, cx| desk.move_issue(cx, &first.to_string(), "Done"));
        mid(town);
        minutes(town, 10);
        assert_eq!(shown(town, second, "Status"), (json!("Shipped"), json!("Shipped")));
        let told = |town: &Town| town.house.ledger.messages().expect("memory").len();
        assert_eq!(told(town), 2, "each is answered where it was said");

        // Meanwhile somebody edits the second in Notion.
        let (notion, _) = page(town, second);
        town.world.notion(|desk, cx| desk.edit_row(cx, &notion, &json!({"Severity": "Critical"})));
        minutes(town, 10);

        // They are two after all.
        type_in(town, "Feedback", second, "Duplicate Of", &json!([]));
        mid(town);
        minutes(town, 10);
        assert_eq!(shown(town, second, "Duplicate Of").0.as_array().map_or(0, Vec::len), 0);
        assert_eq!(shown(town, second, "Status"), (json!("New"), json!("New")), "as far as it was by itself");
        assert_eq!(
            shown(town, second, "Severity"),
            (json!("Critical"), json!("Critical")),
            "what was typed meanwhile stands"
        );
        assert_eq!(shown(town, first, "Status"), (json!("Shipped"), json!("Shipped")));
        assert_eq!(told(town), 1, "nobody is told of what has not shipped");
        assert_eq!(linear(town, second).expect("it stands")["priority"], 1);
        assert_eq!((rows_with(town, "Feedback", first).len(), rows_with(town, "Feedback", second).len()), (1, 1));
        no_dead(town);
    });
}

#[test]
fn a_circle_is_refused_in_a_cell_and_put_back() {
    tell(|town, mid| {
        let first = of_issue(bug(town, "Stream ends early"));
        let second = of_issue(bug(town, "Words are missing"));
        minutes(town, 5);
        let (first_row, second_row) = (row(town, "Feedback", first).0, row(town, "Feedback", second).0);
        type_in(town, "Feedback", second, "Duplicate Of", &json!([first_row]));
        mid(town);
        minutes(town, 5);
        type_in(town, "Feedback", first, "Duplicate Of", &json!([second_row]));
        minutes(town, 5);
        assert_eq!(cells(town, first)["Duplicate Of"].as_array().map_or(0, Vec::len), 0, "put back");
        assert_eq!(cells(town, second)["Duplicate Of"], json!([first_row]));
        assert_eq!(status(town, first), Some("new"));
    });
}

#[test]
fn a_theme_is_born_shown_renamed_merged_and_parted() {
    tell(|town, mid| {
        let say = |town: &Town, text: &str| of_issue(issue(town, text, None, &["bug", "p1"]));
        let exports = [
            "CSV export of a large workspace times out",
            "Large workspace: CSV export times out",
            "The CSV export times out in our large workspace",
        ];
        let invoices = [
            "Invoice shows the wrong tax number",
            "The tax number on the invoice is wrong",
            "Wrong tax number on our invoice",
        ];
        let exports = exports.map(|text| say(town, text));
        minutes(town, 3);
        let invoices = invoices.map(|text| say(town, text));
        mid(town);
        minutes(town, 10);
        let of = |town: &Town, item| {
            known(town, item).and_then(|known| known.as_feedback().and_then(|item| item.theme)).expect("a theme")
        };
        let (export, invoice) = (of(town, exports[0]), of(town, invoices[0]));
        assert_ne!(export, invoice);
        assert_eq!(town.house.ledger.ids(EntityKind::Theme).expect("memory").len(), 2);
        let (export_row, shown) = row(town, "Themes", export);
        assert_eq!((&shown["Feedback Count"], &shown["Status"]), (&json!(3), &json!("Hypothesis")));
        assert!(shown["Name"].as_str().is_some_and(|name| name.contains("Export")), "{shown}");
        assert_eq!(cells(town, exports[1])["Theme"], json!([export_row]));

        // People name it, for good.
        type_in(town, "Themes", export, "Name", &json!("Exports that never end"));
        minutes(town, 5);
        say(town, "The CSV export of our large workspace times out every night");
        mid(town);
        minutes(town, 5);
        let shown = row(town, "Themes", export).1;
        assert_eq!((&shown["Name"], &shown["Feedback Count"]), (&json!("Exports that never end"), &json!(4)));

        // They are one; and two again.
        let house = town.house.clone();
        house
            .ledger
            .transact(|tx| themes::merge_themes(&house, tx, invoice, export, "cli"))
            .expect("memory")
            .expect("merged");
        house.ledger.durable().expect("memory");
        drop(house);
        mid(town);
        minutes(town, 5);
        assert_eq!(row(town, "Themes", invoice).1["Merged Into"], json!([export_row]));
        assert_eq!(row(town, "Themes", export).1["Feedback Count"], 7);
        assert_eq!(cells(town, invoices[0])["Theme"], json!([export_row]), "its items show where it lives");
        let house = town.house.clone();
        house.ledger.transact(|tx| themes::undo(&house, tx, invoice, "cli")).expect("memory").expect("parted");
        house.ledger.durable().expect("memory");
        drop(house);
        minutes(town, 5);
        let (invoice_row, shown) = row(town, "Themes", invoice);
        assert_eq!(shown["Merged Into"].as_array().map_or(0, Vec::len), 0);
        assert_eq!(
            (&shown["Feedback Count"], &row(town, "Themes", export).1["Feedback Count"]),
            (&json!(3), &json!(4))
        );
        assert_eq!(cells(town, invoices[0])["Theme"], json!([invoice_row]), "as it was");
        assert_eq!(town.world.airtable(|desk, _| desk.rows(BASE, "Themes").len()), 2);
        no_dead(town);
    });
}

#[test]
fn an_item_that_stands_for_another_is_deleted_and_the_other_stands_for_itself() {
    tell(|town, mid| {
        let first = of_issue(bug(town, "Stream ends early"));
        let second = of_issue(bug(town, "Words are missing"));
        minutes(town, 5);
        let house = town.house.clone();
        house
            .ledger
            .transact(|tx| merge::merge_items(&house, tx, second, first, "cli"))
            .expect("memory")
            .expect("merged");
        house.ledger.durable().expect("memory");
        drop(house);
        minutes(town, 5);
        let (record, _) = row(town, "Feedback", first);
        assert_eq!(cells(town, second)["Duplicate Of"], json!([record]));
        mid(town);
        town.house
            .ledger
            .transact(|tx| {
                let before = tx.entity(first)?.expect("it is there");
                let mut after = before.clone();
                if let loopd::schema::Body::Feedback(item) = &mut after.body {
                    item.withdrawn = true;
                }
                tx.put_entity(&after)?;
                loopd::follow::follow(&town.house, tx, &after, Some(&before), loopd::ledger::When::Now)
            })
            .expect("memory");
        town.house.ledger.durable().expect("memory");
        minutes(town, 5);
        assert_eq!(cells(town, second)["Duplicate Of"].as_array().map_or(0, Vec::len), 0);
    });
}
