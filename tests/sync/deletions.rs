//! Deleted there: marked here, and nothing makes it anew.

use connectors::{Key, Record};
use serde_json::json;

use crate::story::{
    bug, history, known, linear, minutes, much_later, no_dead, of_issue, row, rows_with, tell, type_in,
};
use crate::town::{BASE, REPO, Town};
use loopd::ledger::{Input, Via, What};
use loopd::schema::EntityId;

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
fn a_replica_that_does_not_know_a_new_row_yet_is_not_believed() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 1);
        let (row, _) = row(town, "Feedback", id);
        let absent =
            Record { key: Key::new("Feedback", &row), version: None, body: None, url: None, edits: Vec::new() };
        let look = Input { connection: "airtable".into(), record: absent, via: Via::Fence, seen_at: town.house.now() };
        town.house.ledger.transact(|tx| tx.reingest(&look)).expect("memory");
        mid(town);
        minutes(town, 5);
        assert!(history(town, id).iter().all(|line| line.what != What::GoneThere));
        town.world.linear(|desk, cx| desk.move_issue(cx, &id.to_string(), "Done"));
        minutes(town, 5);
        let (_, cells) = crate::story::row(town, "Feedback", id);
        assert_eq!(cells["Status"], "Shipped", "it is written to as before");
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

fn restore(town: &Town, id: EntityId, place: &str) -> Result<String, String> {
    let done = loopd::restore::restore(&town.house, id, place, "ops").expect("memory");
    town.house.ledger.durable().expect("memory");
    done
}

#[test]
fn ops_may_have_a_deleted_row_made_anew() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        let (record, _) = row(town, "Feedback", id);
        assert!(restore(town, id, "airtable.Feedback").is_err(), "it stands there");
        town.world.airtable(|desk, cx| desk.delete_row(cx, BASE, "Feedback", &record));
        minutes(town, 3);
        assert_eq!(restore(town, id, "Feedback"), Ok("airtable.Feedback".into()));
        mid(town);
        minutes(town, 5);
        let (anew, cells) = row(town, "Feedback", id);
        assert_ne!(anew, record);
        assert_eq!(cells["Severity"], "High");
        type_in(town, "Feedback", id, "Severity", &json!("Critical"));
        minutes(town, 5);
        assert_eq!(linear(town, id).expect("an issue")["priority"], 1, "it answers back as the first one did");
        assert!(history(town, id).iter().any(|line| line.what == What::Decided && line.by == "ops"));
        no_dead(town);
    });
}

#[test]
fn an_issue_that_is_made_anew_has_another_id_and_what_hung_on_it() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        assert_eq!(town.world.linear(|desk, _| desk.attachments().len()), 1);
        town.world.linear(|desk, cx| desk.delete_issue(cx, &id.to_string()));
        minutes(town, 5);
        much_later(town, 1);
        assert_eq!(restore(town, id, "linear.issue"), Ok("linear.issue".into()));
        mid(town);
        minutes(town, 5);
        let issues = town.world.linear(|desk, _| desk.issues());
        let anew = id.branch("linear.issue", 1).to_string();
        assert_eq!(issues.iter().map(|issue| issue["id"].as_str()).collect::<Vec<_>>(), [Some(anew.as_str())]);
        let hung = town.world.linear(|desk, _| desk.attachments());
        assert!(hung.iter().any(|attachment| attachment.to_string().contains(&anew)), "{hung:?}");
        town.world.linear(|desk, cx| desk.move_issue(cx, &anew, "Done"));
        minutes(town, 5);
        assert_eq!(row(town, "Feedback", id).1["Status"], "Shipped");
        no_dead(town);
    });
}
