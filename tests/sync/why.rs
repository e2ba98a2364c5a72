//! How a value came to be: by whatever name of the field a person asks, the answer is whole.

use loopd::ledger::What;
use serde_json::json;

use crate::story::{bug, minutes, no_dead, of_issue, tell, type_in};
use crate::town::Town;

/// What happened to a field, as `loopd why` tells it.
fn told(town: &Town, id: loopd::schema::EntityId, field: &str) -> Vec<(What, String)> {
    let why = loopd::report::why::why(&town.house, id, Some(field)).expect("memory").expect("it is known");
    why.history.into_iter().map(|line| (line.what, line.by)).collect()
}

#[test]
fn a_field_may_be_called_by_any_of_its_names() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        type_in(town, "Feedback", id, "Severity", &json!("Critical"));
        type_in(town, "Feedback", id, "Verbatim", &json!("Mine"));
        mid(town);
        minutes(town, 3);
        town.world.linear(|desk, cx| desk.set_priority(cx, &id.to_string(), 4));
        mid(town);
        minutes(town, 5);
        let whole = told(town, id, "tags.severity");
        for by in ["airtable", "linear"] {
            assert!(whole.contains(&(What::Edited, by.into())), "a person's edit in {by}: {whole:?}");
        }
        assert!(whole.contains(&(What::Written, "linear".into())), "where it went: {whole:?}");
        for name in
            ["Severity", "Feedback.Severity", "airtable.Feedback.Severity", "priority", "issue.priority", "severity"]
        {
            assert_eq!(told(town, id, name), whole, "{name}");
        }
        for name in ["Verbatim", "Feedback.Verbatim"] {
            let lines = told(town, id, name);
            assert!(lines.contains(&(What::EditedThere, "airtable".into())), "{name}: {lines:?}");
        }
        assert!(!told(town, id, "Status").iter().any(|(what, _)| *what == What::Edited), "and nothing of the others");
        no_dead(town);
    });
}
