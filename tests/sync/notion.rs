//! Notion beside the others: what people change there travels everywhere, once, and what was written with a lost answer is
//! there once.

use std::time::Duration;

use connectors::Kind;
use loopd::schema::EntityId;
use sandbox::notion::PAGE;
use sandbox::{FailKind, Vendor};
use serde_json::{Map, Value, json};

use crate::story::{
    bug, cells, company, known, linear, minutes, no_dead, of_issue, severity, status, tell_in, type_in, until,
};
use crate::town::{SECRET, Town};

/// A town with Notion, by webhook or by poll alone.
fn town(webhook: bool) -> Town {
    let routes = loopd::config::routes(&[Kind::Notion]);
    let hook = if webhook { "webhook = true\nwebhook_secret = { env = \"NOTION_HOOK\" }\n" } else { "" };
    let connection = format!(
        "[connection.notion]\nkind = \"notion\"\npage = \"{PAGE}\"\ntoken = {{ env = \"NOTION_TOKEN\" }}\n{hook}{routes}"
    );
    let town = Town::with(7, &connection);
    if webhook {
        town.world.notion(|desk, cx| desk.set_webhook(cx, "https://loopd.example.com/hooks/notion", SECRET));
    }
    town
}

/// The pages that carry an id of ours.
fn pages(town: &Town, source: &str, id: EntityId) -> Vec<(String, Map<String, Value>)> {
    let rows = town.world.notion(|desk, _| desk.rows(source));
    rows.into_iter().filter(|(_, row)| row.get("Loopd ID") == Some(&json!(id.to_string()))).collect()
}

#[track_caller]
fn page(town: &Town, source: &str, id: EntityId) -> (String, Map<String, Value>) {
    let mut pages = pages(town, source, id);
    assert_eq!(pages.len(), 1, "pages of {id} in {source}; dead: {:#?}", crate::story::dead(town));
    pages.remove(0)
}

#[track_caller]
fn edit(town: &Town, id: EntityId, values: &Value) {
    let (page, _) = page(town, "Feedback", id);
    town.world.notion(|desk, cx| desk.edit_row(cx, &page, values));
}

fn writes(town: &Town) -> u64 {
    let books = town.world.books(Vendor::Notion).by_operation;
    ["PATCH page", "POST pages"].iter().filter_map(|name| books.get(*name)).sum()
}

#[test]
fn one_item_lives_in_four_places_and_an_edit_in_any_travels_once() {
    for webhook in [true, false] {
        tell_in(
            || town(webhook),
            |town, mid| {
                let number = bug(town, "Stream ends early");
                let id = of_issue(number);
                minutes(town, 4);
                let (_, shown) = page(town, "Feedback", id);
                assert_eq!((&shown["Summary"], &shown["Severity"]), (&json!("Stream ends early"), &json!("High")));
                edit(town, id, &json!({ "Severity": "Critical", "Status": "Reviewing" }));
                mid(town);
                minutes(town, 5);
                assert_eq!((severity(town, id).as_deref(), status(town, id)), (Some("critical"), Some("reviewing")));
                assert_eq!(linear(town, id).expect("an issue")["priority"], 1);
                assert_eq!(
                    (&cells(town, id)["Severity"], &cells(town, id)["Status"]),
                    (&json!("Critical"), &json!("Reviewing"))
                );
                let known = known(town, id).expect("known");
                assert!(known.decided().contains_key("tags.severity"), "an edit is a decision");
                type_in(town, "Feedback", id, "Severity", &json!("Low"));
                mid(town);
                minutes(town, 5);
                assert_eq!(page(town, "Feedback", id).1["Severity"], "Low");
                let before = writes(town);
                minutes(town, 30);
                assert_eq!(writes(town), before, "nothing echoes");
                no_dead(town);
            },
        );
    }
}

#[test]
fn a_customers_page_lists_what_that_customer_said() {
    tell_in(
        || town(true),
        |town, mid| {
            let id = of_issue(bug(town, "Stream ends early"));
            company(town, "Lumen", None, 1000);
            minutes(town, 20);
            let customers = town.world.notion(|desk, _| desk.rows("Customers"));
            let (lumen, _) = customers.iter().next().expect("a customer");
            edit(town, id, &json!({ "Customer": [lumen] }));
            mid(town);
            minutes(town, 5);
            let feedback = known(town, id).expect("known");
            let customer = feedback.as_feedback().expect("feedback").customer.expect("linked");
            let (here, row) = page(town, "Customers", customer);
            assert_eq!((&here, &row["Feedback"]), (lumen, &json!([page(town, "Feedback", id).0])));
            assert_eq!(row["Feedback Count"], 1);
            let links = row["Links"].as_str().unwrap_or_default();
            assert!(links.contains("airtable.com/"), "and leads to the same customer elsewhere: {links:?}");
            // A theme that somebody makes there becomes one, and is linked.
            let theme = town.world.notion(|desk, cx| desk.add_row(cx, "Themes", &json!({ "Name": "Streaming" })));
            edit(town, id, &json!({ "Theme": [theme] }));
            mid(town);
            minutes(town, 5);
            let feedback = known(town, id).expect("known");
            let theme_id = feedback.as_feedback().expect("feedback").theme.expect("linked");
            assert_eq!(page(town, "Themes", theme_id).0, theme, "the page that somebody made is the theme's");
            assert_eq!(page(town, "Themes", theme_id).1["Feedback Count"], 1);
            no_dead(town);
        },
    );
}

#[test]
fn creates_whose_answers_are_lost_happen_once() {
    for kind in [FailKind::CutAfter, FailKind::ErrorAfter, FailKind::CutBefore] {
        tell_in(
            || town(true),
            |town, mid| {
                minutes(town, 2);
                town.world.notion(|desk, _| desk.set_index_lag(8));
                town.world.fail_next_operation(Vendor::Notion, "POST pages", 2, kind);
                let ids = [bug(town, "Stream ends early"), bug(town, "Stream never ends")].map(of_issue);
                mid(town);
                minutes(town, 10);
                for id in ids {
                    page(town, "Feedback", id);
                }
                assert!(town.world.notion(|desk, _| desk.doubles("Feedback", "Loopd ID")).is_empty());
                no_dead(town);
            },
        );
    }
}

#[test]
fn a_page_that_somebody_throws_away_stays_away() {
    tell_in(
        || town(true),
        |town, mid| {
            let id = of_issue(bug(town, "Stream ends early"));
            until(town, "the page is there", |town| !pages(town, "Feedback", id).is_empty());
            let (thrown, _) = page(town, "Feedback", id);
            town.run_for(Duration::from_secs(30));
            town.world.notion(|desk, cx| desk.trash_row(cx, &thrown, true));
            mid(town);
            minutes(town, 3);
            type_in(town, "Feedback", id, "Severity", &json!("Low"));
            minutes(town, 5);
            assert!(pages(town, "Feedback", id).is_empty(), "nothing makes it again");
            assert_eq!(severity(town, id).as_deref(), Some("low"), "the item itself lives on");
            no_dead(town);
        },
    );
}
