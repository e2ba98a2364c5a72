//! What changes in Linear comes back; what is missing there is said, and stops nothing else.

use serde_json::json;

use crate::story::{
    bug, cells, conditions, dead, known, linear, minutes, much_later, no_dead, of_issue, tell, type_in,
};

#[test]
fn title_and_priority_come_back_and_states_become_statuses() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        town.world.linear(|desk, cx| {
            desk.set_title(cx, &id.to_string(), "Streams are cut at 4 KB");
            desk.set_priority(cx, &id.to_string(), 1);
            desk.set_description(cx, &id.to_string(), "An engineer's own words");
        });
        mid(town);
        minutes(town, 3);
        assert_eq!(
            known(town, id)
                .and_then(|known| known.as_feedback().and_then(|feedback| feedback.title.clone()))
                .as_deref(),
            Some("Streams are cut at 4 KB")
        );
        assert_eq!(cells(town, id)["Severity"], "Critical");
        assert_eq!(
            linear(town, id).expect("an issue")["description"],
            "An engineer's own words",
            "theirs once they have touched it"
        );
        for (state, status) in [("In Progress", "Building"), ("Canceled", "Won't Do"), ("Todo", "Validated")] {
            town.world.linear(|desk, cx| desk.move_issue(cx, &id.to_string(), state));
            mid(town);
            minutes(town, 3);
            assert_eq!(cells(town, id)["Status"], status, "{state}");
        }
        no_dead(town);
    });
}

#[test]
fn the_engineers_own_labels_are_left_alone() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        town.world.linear(|desk, cx| desk.create_label(cx, Some("ENG"), "Regression"));
        minutes(town, 3);
        town.world.linear(|desk, cx| desk.add_label(cx, &id.to_string(), "Regression"));
        mid(town);
        minutes(town, 3);
        type_in(town, "Feedback", id, "Category", &json!("Pain Point"));
        mid(town);
        minutes(town, 3);
        let mut labels: Vec<String> =
            serde_json::from_value(linear(town, id).expect("an issue")["labels"].clone()).expect("names");
        labels.sort_by_key(|label| label.to_lowercase());
        assert_eq!(labels, ["feedback", "pain_point", "Regression"]);
        no_dead(town);
    });
}

#[test]
fn a_label_that_is_gone_costs_no_issue() {
    tell(|town, mid| {
        town.world.linear(|desk, cx| desk.delete_label(cx, "Bug"));
        let id = of_issue(bug(town, "Stream ends early"));
        mid(town);
        much_later(town, 2);
        let issue = linear(town, id);
        let letters = dead(town);
        assert!(
            issue.is_some() || letters.iter().any(|(_, letter)| letter.cause.contains("bug")),
            "either it is there, or it is told: {letters:#?}"
        );
        assert_eq!(cells(town, id)["Category"], "Bug", "Airtable goes on");
    });
}

#[test]
fn a_team_that_is_gone_is_told_and_the_rest_goes_on() {
    tell(|town, mid| {
        town.world.linear(|desk, cx| desk.delete_team(cx, "ENG"));
        let id = of_issue(bug(town, "Stream ends early"));
        mid(town);
        much_later(town, 2);
        assert_eq!(cells(town, id)["Category"], "Bug");
        let (letters, conditions) = (dead(town), conditions(town, "linear"));
        assert!(!letters.is_empty() || !conditions.is_empty(), "it must be told");
        assert_eq!(linear(town, id), None);
        // Whoever mends it finds the work waiting.
        for (number, _) in letters {
            assert!(loopd::normalize::retry(&town.house, number).expect("memory"));
        }
        town.world.linear(|desk, cx| desk.create_team(cx, "ENG", "Engineering"));
        much_later(town, 2);
        for (number, _) in dead(town) {
            assert!(loopd::normalize::retry(&town.house, number).expect("memory"));
        }
        minutes(town, 10);
        assert!(linear(town, id).is_some(), "dead: {:#?}", dead(town));
    });
}

#[test]
fn a_plan_without_customers_is_said_once_and_left_out() {
    tell(|town, mid| {
        town.world.linear(|desk, _| desk.set_plan(false));
        town.restart(None);
        crate::story::company(town, "Lumen", Some("ada-example"), 1000);
        minutes(town, 20);
        let id = of_issue(bug(town, "Stream ends early"));
        mid(town);
        much_later(town, 1);
        assert!(linear(town, id).is_some());
        assert_eq!(town.world.linear(|desk, _| desk.customers().len()), 0);
        assert!(
            conditions(town, "linear").iter().any(|what| what.contains("customer")),
            "{:?}",
            conditions(town, "linear")
        );
        no_dead(town);
    });
}
