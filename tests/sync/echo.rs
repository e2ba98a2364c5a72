//! What loopd wrote comes back by webhook and by poll, and is no news.

use std::time::Duration;

use loopd::normalize::retry;
use serde_json::json;

use crate::story::{bug, cells, company, conditions, dead, linear, minutes, no_dead, of_issue, tell, type_in, writes};
use crate::town::Town;

#[test]
fn our_own_writes_are_not_answered() {
    tell(|town, mid| {
        company(town, "Lumen", Some("ada-example"), 1000);
        let number = bug(town, "Stream ends early");
        let id = of_issue(number);
        mid(town);
        minutes(town, 5);
        type_in(town, "Feedback", id, "Severity", &json!("Critical"));
        minutes(town, 5);
        town.world.linear(|desk, cx| desk.set_title(cx, &id.to_string(), "Streams are cut"));
        mid(town);
        minutes(town, 5);
        let before = writes(town);
        // Every webhook, and several polls of everything.
        minutes(town, 35);
        assert_eq!(writes(town), before, "a still world is written to");
        no_dead(town);
    });
}

#[test]
fn a_destination_that_rewrites_is_left_alone_after_three_rounds() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        // An automation in the base that shouts what the customer said.
        let shout = |town: &mut Town, seconds: u32| {
            let mut times = 0;
            for _ in 0..seconds {
                if cells(town, id)["Verbatim"] == "It stops after 4 KB." {
                    type_in(town, "Feedback", id, "Verbatim", &json!("IT STOPS AFTER 4 KB."));
                    times += 1;
                }
                town.run_for(Duration::from_secs(1));
            }
            times
        };
        let before = shout(town, 4);
        mid(town);
        let rounds = before + shout(town, 600);
        assert!((3..=6).contains(&rounds), "{rounds} rounds");
        let live = |town: &Town| {
            town.house.ledger.link(id, "airtable", "Feedback").expect("memory").is_some_and(|link| link.is_live())
        };
        assert!(!live(town));
        let told = conditions(town, "airtable");
        assert!(told.iter().any(|what| what.contains("changed what loopd wrote")), "{told:?}");
        let letters = dead(town);
        assert_eq!(letters.len(), 1, "{letters:#?}");
        // Ops stop the automation, and go on.
        assert!(retry(&town.house, letters[0].0).expect("memory"));
        town.house.ledger.durable().expect("memory");
        type_in(town, "Feedback", id, "Severity", &json!("Critical"));
        minutes(town, 3);
        assert!(live(town));
        assert_eq!(linear(town, id).expect("an issue")["priority"], 1);
        assert_eq!(cells(town, id)["Verbatim"], "It stops after 4 KB.");
        no_dead(town);
    });
}
