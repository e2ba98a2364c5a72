//! It does not matter which comes first, or whether only one of them comes.

use std::time::Duration;

use sandbox::Faults;
use serde_json::Value;

use crate::story::{bug, cells, company, conversation, minutes, no_dead, of_conversation, of_issue, tell_in, type_in};
use crate::town::Town;

/// What the rows say in the end, but for what a seed decides.
fn told(faults: Option<Faults>, deaf: bool) -> Vec<Value> {
    let results = std::cell::RefCell::new(Vec::new());
    tell_in(
        || {
            let town = Town::new(3);
            if let Some(faults) = &faults {
                town.world.set_faults(*faults);
            }
            town
        },
        |town, mid| {
            let contact = company(town, "Lumen", Some("ada-example"), 1000);
            let number = bug(town, "Stream ends early");
            let talk = conversation(town, &contact, "It would be nice to have a dark mode");
            if deaf {
                // The door is shut for a while: the vendors' posts come late, after the polls.
                town.clock.advance(Duration::from_secs(40 * 60));
            }
            mid(town);
            minutes(town, 35);
            type_in(town, "Feedback", of_issue(number), "Status", &Value::from("Building"));
            mid(town);
            minutes(town, 35);
            no_dead(town);
            let mut rows = vec![cells(town, of_issue(number)), cells(town, of_conversation(talk))];
            for row in &mut rows {
                // Record ids are Airtable's to draw.
                row["Customer"] = Value::from(row["Customer"].as_array().map_or(0, Vec::len));
            }
            results.borrow_mut().push(Value::from(rows));
        },
    );
    results.into_inner()
}

#[test]
fn webhooks_polls_and_both_give_the_same() {
    let mut drop = Faults::NONE;
    drop.webhook_drop = 1.0;
    let mut double = Faults::NONE;
    double.webhook_double = 1.0;
    double.webhook_reorder = 1.0;
    let by_hook = told(None, false);
    for other in [told(Some(drop), false), told(Some(double), false), told(None, true)] {
        for one in other {
            assert_eq!(one, by_hook[0]);
        }
    }
}
