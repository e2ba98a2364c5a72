//! Deleted there: marked here, and nothing makes it anew.

use serde_json::json;

use crate::story::{
    bug, history, known, linear, minutes, much_later, no_dead, of_issue, row, rows_with, tell, type_in,
};
use crate::town::{BASE, REPO};
use loopd::ledger::What;

#[test]
fn a_row_that_was_deleted_stays_deleted() {
    tell(|town, mid| {
        let number = bug(town, "Stream ends early");
        let id = of_issue(number);
        minutes(town, 3);
        let (record, _) = row(town, "Feedback", id);
        town.world.airtable(|desk, cx| desk.delete_row(cx, BASE, "Feedback", &record));
        mid(town);
        minutes(town, 3);
        town.world.linear(|desk, cx| desk.move_issue(cx, &id.to_string(), "Done"));
        mid(town);
        much_later(town, 1);
        assert_eq!(rows_with(town, "Feedback", id), Vec::new());
        assert!(history(town, id).iter().any(|line| line.what == What::GoneThere));
        assert_eq!(
            known(town, id).and_then(|known| known.as_feedback().map(|feedback| feedback.status.name())),
            Some("shipped"),
            "the item lives on"
        );
        no_dead(town);
    });
}

#[test]
fn an_issue_in_linears_trash_is_left_there_and_taken_up_when_restored() {
    tell(|town, mid| {
        let number = bug(town, "Stream ends early");
        let id = of_issue(number);
        minutes(town, 3);
        town.world.linear(|desk, cx| desk.trash_issue(cx, &id.to_string()));
        mid(town);
        minutes(town, 3);
        type_in(town, "Feedback", id, "Severity", &json!("Critical"));
        minutes(town, 5);
        assert_eq!(linear(town, id).expect("in the trash")["priority"], 2, "nothing is written to what is gone");
        assert_eq!(town.world.linear(|desk, _| desk.issues().len()), 1);
        town.world.linear(|desk, cx| desk.restore_issue(cx, &id.to_string()));
        mid(town);
        minutes(town, 5);
        assert_eq!(linear(town, id).expect("back")["priority"], 1);
        assert_eq!(town.world.linear(|desk, _| desk.issues().len()), 1);
        no_dead(town);
    });
}

#[test]
fn an_issue_erased_in_linear_is_not_made_anew() {
    tell(|town, mid| {
        let number = bug(town, "Stream ends early");
        let id = of_issue(number);
        minutes(town, 3);
        town.world.linear(|desk, cx| desk.delete_issue(cx, &id.to_string()));
        mid(town);
        type_in(town, "Feedback", id, "Severity", &json!("Critical"));
        much_later(town, 1);
        assert_eq!(town.world.linear(|desk, _| desk.issues().len()), 0);
        assert_eq!(row(town, "Feedback", id).1["Severity"], "Critical");
        no_dead(town);
    });
}

#[test]
fn an_issue_deleted_at_github_is_withdrawn_and_kept() {
    tell(|town, mid| {
        let number = bug(town, "Stream ends early");
        let id = of_issue(number);
        minutes(town, 3);
        town.world.github(|desk, cx| desk.delete_issue(REPO, number, "ada-example", cx));
        mid(town);
        minutes(town, 5);
        assert_eq!(
            known(town, id).and_then(|known| known.as_feedback().map(|feedback| feedback.withdrawn)),
            Some(true)
        );
        assert_eq!(rows_with(town, "Feedback", id).len(), 1, "what was said stays known");
        type_in(town, "Feedback", id, "Status", &json!("Shipped"));
        minutes(town, 3);
        assert_eq!(town.house.ledger.messages().expect("memory"), Vec::new(), "there is nobody left to tell");
        no_dead(town);
    });
}
