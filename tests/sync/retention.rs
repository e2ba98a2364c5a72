//! Raw inputs go when their time is over; what is known of them stays.

use crate::story::{bug, cells, known, minutes, much_later, no_dead, of_issue, tell_in};
use crate::town::{REPO, Town};

#[test]
fn raw_inputs_are_forgotten_and_entities_are_not() {
    tell_in(
        || Town::with(7, "[ledger]\nraw_days = 1\naudit_days = 1\n"),
        |town, mid| {
            let number = bug(town, "Stream ends early");
            let id = of_issue(number);
            minutes(town, 5);
            let raw = |town: &Town| {
                town.house.ledger.raw("github", "issue", &format!("{REPO}#{number}")).expect("memory").is_some()
            };
            assert!(raw(town));
            much_later(town, 20);
            mid(town);
            assert!(raw(town), "not before its time");
            much_later(town, 10);
            assert!(!raw(town));
            assert!(known(town, id).is_some());
            assert_eq!(cells(town, id)["Severity"], "High");
            no_dead(town);
        },
    );
}
