//! The answer is lost, the deed is done: it is looked for before it is done again.

use std::time::Duration;

use connectors::Key;
use loopd::close;
use loopd::ledger::What;
use sandbox::{FailKind, Faults, Vendor};
use serde_json::json;

use crate::story::{
    always, bug, cells, history, linear, minutes, no_dead, of_issue, row, rows_with, severity, status, tell,
    the_message, type_in, until,
};
use crate::town::{BASE, REPO};

const LOST: [FailKind; 3] = [FailKind::CutAfter, FailKind::ErrorAfter, FailKind::BadGatewayAfter];

#[test]
fn creates_happen_once() {
    for kind in LOST {
        tell(|town, mid| {
            minutes(town, 2);
            town.world.fail_next_operation(Vendor::Airtable, "PATCH", 2, kind);
            town.world.fail_next_operation(Vendor::Linear, "issueCreate", 1, kind);
            town.world.fail_next_operation(Vendor::Linear, "attachmentCreate", 1, kind);
            let id = of_issue(bug(town, "Stream ends early"));
            mid(town);
            minutes(town, 4);
            row(town, "Feedback", id);
            let (issues, attachments) = town.world.linear(|desk, _| (desk.issues().len(), desk.attachments().len()));
            assert_eq!((issues, attachments), (1, 1));
            assert!(town.world.books(Vendor::Airtable).lost_answers > 0, "{:?}", town.world.books(Vendor::Airtable));
            assert!(town.world.books(Vendor::Linear).lost_answers > 0, "{:?}", town.world.books(Vendor::Linear));
            no_dead(town);
        });
    }
}

#[test]
fn what_was_found_was_moved_by_nobody() {
    for kind in LOST {
        for typed in [None, Some("Reviewing")] {
            tell(|town, mid| {
                town.world.fail_next_operation(Vendor::Linear, "issueCreate", 1, kind);
                let id = of_issue(bug(town, "Stream ends early"));
                while town.world.books(Vendor::Linear).lost_answers == 0 {
                    town.run_for(Duration::from_millis(100));
                }
                if let Some(status) = typed {
                    while rows_with(town, "Feedback", id).is_empty() {
                        town.run_for(Duration::from_millis(100));
                    }
                    type_in(town, "Feedback", id, "Status", &json!(status));
                }
                mid(town);
                minutes(town, 10);
                assert_eq!(cells(town, id)["Status"], typed.unwrap_or("New"));
                // And a person's move after it is one.
                town.world.linear(|desk, cx| desk.move_issue(cx, &id.to_string(), "In Progress"));
                minutes(town, 10);
                assert_eq!(cells(town, id)["Status"], "Building");
                no_dead(town);
            });
        }
    }
}

#[test]
fn what_a_replica_did_not_know_yet_was_moved_by_nobody() {
    tell(|town, mid| {
        minutes(town, 2);
        // It is looked for where it is not known yet, made again, and found to be there.
        town.world.set_faults(Faults { stale_read: 1.0, stale_read_ms: 5_000, ..Faults::NONE });
        town.world.fail_next_operation(Vendor::Linear, "issueCreate", 1, FailKind::CutAfter);
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 1);
        town.world.set_faults(Faults::NONE);
        mid(town);
        minutes(town, 10);
        assert_eq!(cells(town, id)["Status"], "New");
        town.world.linear(|desk, cx| desk.move_issue(cx, &id.to_string(), "In Progress"));
        minutes(town, 10);
        assert_eq!(cells(town, id)["Status"], "Building");
        no_dead(town);
    });
}

#[test]
fn what_was_moved_before_it_was_found_is_known_by_its_history() {
    tell(|town, mid| {
        town.world.fail_next_operation(Vendor::Linear, "issueCreate", 1, FailKind::CutAfter);
        let id = of_issue(bug(town, "Stream ends early"));
        while town.world.books(Vendor::Linear).lost_answers == 0 {
            town.run_for(Duration::from_millis(100));
        }
        town.world.linear(|desk, cx| desk.move_issue(cx, &id.to_string(), "In Progress"));
        mid(town);
        minutes(town, 20);
        assert_eq!(cells(town, id)["Status"], "Building");
        no_dead(town);
    });
}

#[test]
fn what_is_told_of_our_own_create_before_it_is_answered_costs_no_look() {
    tell(|town, mid| {
        let lane = loopd::ledger::fetch_lane("linear");
        town.world.fail_next_operation(Vendor::Linear, "issueCreate", 1, FailKind::CutAfter);
        let id = of_issue(bug(town, "Stream ends early"));
        while town.house.ledger.parked("linear", &Key::new("issue", id.to_string())).expect("memory").is_empty() {
            town.run_for(Duration::from_millis(50));
            assert_eq!(town.house.ledger.next_due(&lane, 1).expect("memory"), None, "a look is not queued");
            assert!(town.house.ledger.linked("linear", "issue", &id.to_string()).expect("memory").is_none());
        }
        mid(town);
        minutes(town, 4);
        assert!(linear(town, id).is_some());
        let kept = town.house.ledger.parked("linear", &Key::new("issue", id.to_string())).expect("memory");
        assert!(kept.is_empty(), "{kept:?}");
        no_dead(town);
    });
}

#[test]
fn updates_are_read_back_and_edits_meanwhile_survive() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        town.world.fail_next_operation(Vendor::Airtable, "PATCH", 1, FailKind::CutAfter);
        town.world.linear(|desk, cx| desk.set_priority(cx, &id.to_string(), 1));
        town.run_for(Duration::from_secs(4));
        type_in(town, "Feedback", id, "Status", &json!("Building"));
        mid(town);
        minutes(town, 4);
        let shown = cells(town, id);
        assert_eq!((&shown["Severity"], &shown["Status"]), (&json!("Critical"), &json!("Building")));
        no_dead(town);
    });
}

/// Airtable's upsert makes no second row of a create that is repeated; but it writes all fields anew, over what somebody
/// has typed into that row since.
#[test]
fn a_create_that_was_made_is_not_written_again_over_an_edit() {
    for kind in LOST {
        tell(|town, mid| {
            minutes(town, 2);
            town.world.fail_next_operation(Vendor::Airtable, "PATCH", 1, kind);
            let id = of_issue(bug(town, "Stream ends early"));
            until(town, "the row is there", |town| !rows_with(town, "Feedback", id).is_empty());
            assert_eq!(town.world.books(Vendor::Airtable).lost_answers, 1);
            type_in(town, "Feedback", id, "Status", &json!("Building"));
            mid(town);
            always(town, 3, "what was typed into the new row stands", |town| cells(town, id)["Status"] == "Building");
            assert_eq!(status(town, id), Some("building"));
            no_dead(town);
        });
    }
}

/// What an update of ours has left there is ours, though its answer was lost: no edit of a person's, and no reason to
/// put aside what a person says meanwhile.
#[test]
fn an_update_that_was_made_is_known_as_our_own() {
    for kind in LOST {
        tell(|town, mid| {
            let id = of_issue(bug(town, "Stream ends early"));
            minutes(town, 3);
            town.world.fail_next_operation(Vendor::Airtable, "PATCH", 1, kind);
            town.world.linear(|desk, cx| desk.set_priority(cx, &id.to_string(), 1));
            until(town, "the update is made", |town| cells(town, id)["Severity"] == "Critical");
            assert_eq!(town.world.books(Vendor::Airtable).lost_answers, 1);
            // Airtable is silent for a while, and the engineer thinks again.
            town.world.fail_next(Vendor::Airtable, 6, FailKind::CutBefore);
            town.world.linear(|desk, cx| desk.set_priority(cx, &id.to_string(), 3));
            until(town, "it is known", |town| severity(town, id).as_deref() == Some("medium"));
            mid(town);
            minutes(town, 4);
            assert_eq!(
                (&cells(town, id)["Severity"], &linear(town, id).expect("an issue")["priority"]),
                (&json!("Medium"), &json!(3)),
                "{:#?}",
                history(town, id)
            );
            let edits = [What::Edited, What::EditedThere, What::Conflict, What::Overtaken];
            let lines = history(town, id);
            let typed: Vec<_> =
                lines.iter().filter(|line| line.by == "airtable" && edits.contains(&line.what)).collect();
            assert!(typed.is_empty(), "nobody has typed anything in Airtable: {typed:#?}");
            no_dead(town);
        });
    }
}

#[test]
fn a_message_goes_out_once() {
    for kind in LOST {
        tell(|town, mid| {
            let number = bug(town, "Stream ends early");
            minutes(town, 3);
            type_in(town, "Feedback", of_issue(number), "Status", &json!("Shipped"));
            minutes(town, 3);
            let message = the_message(town);
            town.world.fail_next_operation(Vendor::GitHub, "POST", 1, kind);
            close::approve(&town.house, &message, "a colleague").expect("memory").expect("it waits");
            town.house.ledger.durable().expect("memory");
            mid(town);
            minutes(town, 4);
            assert_eq!(town.world.books(Vendor::GitHub).lost_answers, 1);
            assert_eq!(town.world.github(|desk, _| desk.comments(REPO, number).count()), 1);
            no_dead(town);
        });
    }
}

#[test]
fn what_was_not_done_is_done() {
    tell(|town, mid| {
        minutes(town, 2);
        for vendor in [Vendor::Airtable, Vendor::Linear] {
            town.world.fail_next(vendor, 3, FailKind::CutBefore);
        }
        let id = of_issue(bug(town, "Stream ends early"));
        mid(town);
        minutes(town, 4);
        row(town, "Feedback", id);
        assert!(linear(town, id).is_some());
        assert_eq!(town.world.airtable(|desk, _| desk.doubles(BASE, "Feedback", "Loopd ID").len()), 0);
        no_dead(town);
    });
}
