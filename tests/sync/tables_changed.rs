//! People change the tables themselves: fields are renamed, deleted, made anew, and given another type.

use serde_json::{Value, json};

use crate::story::{
    bug, cells, conditions, dead, history, issue, known, linear, minutes, much_later, no_dead, of_issue, row, tell,
    type_in,
};
use crate::town::BASE;

#[test]
fn a_renamed_field_is_still_the_same_field() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        town.world.airtable(|desk, cx| desk.rename_field(cx, BASE, "Feedback", "Severity", "How bad"));
        mid(town);
        minutes(town, 3);
        town.world.linear(|desk, cx| desk.set_priority(cx, &id.to_string(), 1));
        minutes(town, 3);
        assert_eq!(cells(town, id)["How bad"], "Critical");
        let (record, _) = row(town, "Feedback", id);
        town.world.airtable(|desk, cx| desk.edit_cell(cx, BASE, "Feedback", &record, "How bad", &json!("Low")));
        mid(town);
        much_later(town, 1);
        assert_eq!(linear(town, id).expect("an issue")["priority"], 4);
        no_dead(town);
    });
}

#[test]
fn a_deleted_field_is_owed_and_paid_when_it_is_back() {
    const WORDS: &str = "The answer ends before everything has been written, and there is no error message at all.";
    tell(|town, mid| {
        issue(town, "The stream ends early", Some(WORDS), &["bug", "p1"]);
        minutes(town, 3);
        town.world.airtable(|desk, cx| desk.delete_field(cx, BASE, "Feedback", "Language"));
        minutes(town, 3);
        let after = of_issue(issue(town, "The stream hangs", Some(WORDS), &["bug", "p1"]));
        mid(town);
        much_later(town, 2);
        assert_eq!(cells(town, after)["Severity"], "High", "the other fields are written");
        let told = conditions(town, "airtable");
        assert_eq!(told.iter().filter(|what| what.contains("Language")).count(), 1, "said once: {told:?}");
        no_dead(town);
        town.world.airtable(|desk, cx| {
            desk.add_field(cx, BASE, "Feedback", &json!({"name": "Language", "type": "singleLineText"}))
        });
        mid(town);
        much_later(town, 2);
        let owed =
            known(town, after).and_then(|known| known.as_feedback().and_then(|feedback| feedback.language.clone()));
        assert!(owed.is_some(), "a language is suggested");
        assert_eq!(cells(town, after)["Language"].as_str(), owed.as_deref(), "paid");
        assert!(
            !conditions(town, "airtable").iter().any(|what| what.contains("Language")),
            "{:?}",
            conditions(town, "airtable")
        );
        no_dead(town);
    });
}

#[test]
fn a_field_that_is_made_anew_is_filled_again_and_nothing_is_taken_for_cleared() {
    tell(|town, mid| {
        let first = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        town.world.airtable(|desk, cx| desk.delete_field(cx, BASE, "Feedback", "Severity"));
        mid(town);
        much_later(town, 1);
        // Its row is looked at while the field is gone.
        type_in(town, "Feedback", first, "Summary", &json!("It ends early"));
        minutes(town, 3);
        assert_eq!(linear(town, first).expect("an issue")["priority"], 2, "nobody cleared it");
        let severity = json!({"name": "Severity", "type": "singleSelect", "options": {"choices": [
            {"name": "Critical"}, {"name": "High"}, {"name": "Medium"}, {"name": "Low"}]}});
        town.world.airtable(|desk, cx| desk.add_field(cx, BASE, "Feedback", &severity));
        mid(town);
        much_later(town, 1);
        assert_eq!(cells(town, first)["Severity"], "High", "filled again");
        assert_eq!(linear(town, first).expect("an issue")["priority"], 2);
        // And from then on it is a field like the others.
        type_in(town, "Feedback", first, "Severity", &json!("Low"));
        much_later(town, 1);
        assert_eq!(linear(town, first).expect("an issue")["priority"], 4);
        no_dead(town);
    });
}

#[test]
fn more_rows_than_one_piece_are_filled_again() {
    tell(|town, mid| {
        let ids: Vec<_> = (0..70).map(|n| of_issue(issue(town, &format!("Question {n}"), None, &[]))).collect();
        minutes(town, 5);
        town.world.airtable(|desk, cx| {
            desk.delete_field(cx, BASE, "Feedback", "Source");
            let source =
                json!({"name": "Source", "type": "singleSelect", "options": {"choices": [{"name": "GitHub"}]}});
            desk.add_field(cx, BASE, "Feedback", &source);
        });
        town.clock.advance(std::time::Duration::from_secs(3600));
        // In the middle of it, if need be.
        mid(town);
        minutes(town, 5);
        let empty = ids.iter().filter(|id| cells(town, **id)["Source"] != "GitHub").count();
        assert_eq!(empty, 0, "of {}", ids.len());
        let taken_for_edited = |id: &loopd::schema::EntityId| {
            history(town, *id).iter().any(|line| line.what == loopd::ledger::What::EditedThere)
        };
        assert_eq!(ids.iter().filter(|id| taken_for_edited(id)).count(), 0, "of {}", ids.len());
        no_dead(town);
    });
}

#[test]
fn a_retyped_field_is_told_and_holds_nothing_else_up() {
    tell(|town, mid| {
        let before = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        town.world
            .airtable(|desk, cx| desk.retype_field(cx, BASE, "Feedback", "Source", "number", &json!({"precision": 0})));
        mid(town);
        much_later(town, 1);
        let after = of_issue(bug(town, "Stream hangs"));
        mid(town);
        much_later(town, 2);
        let told = !conditions(town, "airtable").is_empty() || !dead(town).is_empty();
        assert!(told, "a field that cannot hold its value is told");
        assert!(linear(town, after).is_some(), "Linear goes on");
        assert_eq!(cells(town, before)["Severity"], "High");
        let rows: Vec<Value> = town.world.airtable(|desk, _| desk.rows(BASE, "Feedback"));
        assert!(
            rows.len() == 2 || dead(town).iter().any(|(_, letter)| letter.entity == Some(after)),
            "the row, or its letter"
        );
    });
}
