//! What people type in Airtable travels to everything that shows it, and half-typed cells do not.

use std::time::Duration;

use serde_json::json;

use crate::story::{
    bug, cells, company, issue, known, linear, minutes, no_dead, of_issue, row, rows_with, status, tell, type_in,
    until, writes,
};
use crate::town::BASE;

#[test]
fn severity_and_category_reach_linear() {
    tell(|town, mid| {
        let number = issue(town, "Add batch uploads", Some("Please."), &["enhancement", "low"]);
        let id = of_issue(number);
        minutes(town, 3);
        assert_eq!(linear(town, id), None, "no bug, no issue");
        type_in(town, "Feedback", id, "Category", &json!("Bug"));
        type_in(town, "Feedback", id, "Severity", &json!("High"));
        mid(town);
        minutes(town, 3);
        assert_eq!(linear(town, id).expect("now it is a bug")["priority"], 2);
        type_in(town, "Feedback", id, "Severity", &json!("Critical"));
        mid(town);
        minutes(town, 3);
        assert_eq!(linear(town, id).expect("an issue")["priority"], 1);
        let known = known(town, id).expect("known");
        assert!(known.decided().contains_key("tags.severity"), "an edit is a decision");
        // The source cannot take a decision back.
        town.world.github(|desk, cx| {
            desk.label_issue(crate::town::REPO, number, &["enhancement", "medium"], "ada-example", cx)
        });
        minutes(town, 3);
        assert_eq!(cells(town, id)["Severity"], "Critical");
        no_dead(town);
    });
}

#[test]
fn customer_and_theme_links_go_both_ways() {
    tell(|town, mid| {
        let number = bug(town, "Stream ends early");
        let id = of_issue(number);
        company(town, "Lumen", None, 1000);
        minutes(town, 20);
        let customers = town.world.airtable(|desk, _| desk.rows(BASE, "Customers"));
        assert_eq!(customers.len(), 1);
        let theme = town.world.airtable(|desk, cx| desk.add_row(cx, BASE, "Themes", &json!({"Name": "Streaming"})));
        type_in(town, "Feedback", id, "Customer", &json!([customers[0]["id"]]));
        type_in(town, "Feedback", id, "Theme", &json!([theme]));
        mid(town);
        minutes(town, 5);
        let feedback = known(town, id).expect("known");
        let feedback = feedback.as_feedback().expect("feedback");
        let (customer, theme) = (feedback.customer.expect("linked"), feedback.theme.expect("linked"));
        assert_eq!(cells(town, id)["ARR"], 12000);
        assert_eq!(row(town, "Themes", theme).1["Feedback Count"], 1);
        assert_eq!(row(town, "Customers", customer).1["Feedback Count"], 1);
        assert_eq!(town.world.linear(|desk, _| desk.needs().len()), 1, "the issue has got a customer");
        // And away again.
        type_in(town, "Feedback", id, "Theme", &json!([]));
        mid(town);
        minutes(town, 5);
        assert_eq!(known(town, id).expect("known").as_feedback().expect("feedback").theme, None);
        assert_eq!(row(town, "Themes", theme).1["Feedback Count"], 0);
        no_dead(town);
    });
}

#[test]
fn half_typed_cells_do_not_travel() {
    tell(|town, mid| {
        let number = bug(town, "Stream ends early");
        let id = of_issue(number);
        minutes(town, 3);
        let before = writes(town);
        // Four values within the time that an edit settles: only the last is written to Linear.
        for severity in ["Low", "Medium", "Critical", "Medium"] {
            type_in(town, "Feedback", id, "Severity", &json!(severity));
            town.run_for(Duration::from_millis(900));
        }
        mid(town);
        minutes(town, 3);
        assert_eq!(linear(town, id).expect("an issue")["priority"], 3);
        let after = writes(town);
        let of =
            |books: &std::collections::BTreeMap<String, u64>| books.get("linear issueUpdate").copied().unwrap_or(0);
        assert!(of(&after) <= of(&before) + 1, "one write for four keystrokes: {before:?} {after:?}");
        assert_eq!(rows_with(town, "Feedback", id).len(), 1);
    });
}

/// It is the value that says whether somebody has typed, not how long ago we wrote.
#[test]
fn an_edit_right_after_our_write_is_heard() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        until(town, "the row is there", |town| !rows_with(town, "Feedback", id).is_empty());
        town.run_for(Duration::from_secs(2));
        type_in(town, "Feedback", id, "Status", &json!("Building"));
        mid(town);
        town.run_for(Duration::from_secs(30));
        assert_eq!(status(town, id), Some("building"));
        minutes(town, 3);
        no_dead(town);
    });
}
