//! Comments are part of their issue's thread, whichever is heard of first.

use sandbox::github::NewIssue;
use serde_json::json;

use crate::story::{bug, known, linear, minutes, no_dead, of_issue, tell};
use crate::town::{REPO, Town};

fn thread(town: &Town, number: u64) -> Vec<String> {
    let known = known(town, of_issue(number)).expect("an issue that loopd knows");
    known.as_feedback().expect("feedback").thread.iter().map(|turn| turn.text.clone()).collect()
}

#[test]
fn a_comment_joins_its_thread_and_leaves_it_when_deleted() {
    tell(|town, mid| {
        let number = bug(town, "Stream ends early");
        // Before the issue is known, and after.
        let first = town
            .world
            .github(|desk, cx| desk.comment(REPO, number, "grace-example", "Same here.", cx))
            .expect("an issue");
        mid(town);
        minutes(town, 3);
        town.world.github(|desk, cx| desk.comment(REPO, number, "ada-example", "On Linux, too.", cx));
        mid(town);
        minutes(town, 3);
        assert_eq!(thread(town, number), ["Same here.", "On Linux, too."]);
        let text = linear(town, of_issue(number)).expect("an issue")["description"].clone();
        assert!(text.as_str().is_some_and(|text| text.contains("> On Linux, too.")), "{text}");

        town.world.github(|desk, cx| desk.edit_comment(REPO, first, "Same here, on 2.1.", "grace-example", cx));
        minutes(town, 3);
        assert_eq!(thread(town, number), ["Same here, on 2.1.", "On Linux, too."]);
        town.world.github(|desk, cx| desk.delete_comment(REPO, first, "grace-example", cx));
        mid(town);
        minutes(town, 3);
        assert_eq!(thread(town, number), ["On Linux, too."]);
        no_dead(town);
    });
}

#[test]
fn pull_requests_and_what_is_said_on_them_are_no_feedback() {
    tell(|town, mid| {
        let new = NewIssue { title: "Fix it", author: "ada-example", pull_request: true, ..NewIssue::default() };
        let number = town.world.github(|desk, cx| desk.open_issue(REPO, &new, cx)).expect("a repository");
        town.world.github(|desk, cx| desk.comment(REPO, number, "grace-example", "Looks good.", cx));
        mid(town);
        minutes(town, 12);
        assert_eq!(known(town, of_issue(number)), None);
        assert_eq!(town.world.airtable(|desk, _| json!(desk.rows(crate::town::BASE, "Feedback"))), json!([]));
        no_dead(town);
    });
}
