//! A credential that is revoked stops its own connection, with a word to ops, and no other.

use sandbox::Vendor;

use crate::story::{
    bug, cells, company, conditions, conversation, linear, minutes, no_dead, of_conversation, of_issue, rows_with, tell,
};

#[test]
fn linear_is_locked_and_airtable_goes_on() {
    tell(|town, mid| {
        minutes(town, 2);
        town.world.linear(|desk, _| desk.revoke_token(Vendor::Linear.token()));
        let id = of_issue(bug(town, "Stream ends early"));
        mid(town);
        minutes(town, 12);
        assert_eq!(cells(town, id)["Severity"], "High");
        assert_eq!(linear(town, id), None);
        let told = conditions(town, "linear");
        assert!(told.iter().any(|what| what.starts_with("locked")), "{told:?}");
        let calls = town.world.books(Vendor::Linear).calls;
        minutes(town, 20);
        assert!(town.world.books(Vendor::Linear).calls - calls < 20, "a locked account is left alone");
        town.world.linear(|desk, _| desk.restore_token(Vendor::Linear.token()));
        mid(town);
        minutes(town, 15);
        assert!(linear(town, id).is_some(), "it goes on where it stood");
        assert_eq!(conditions(town, "linear"), Vec::<String>::new());
        no_dead(town);
    });
}

#[test]
fn airtable_is_locked_and_nothing_is_lost() {
    tell(|town, mid| {
        minutes(town, 2);
        town.world.airtable(|desk, _| desk.revoke_token(Vendor::Airtable.token()));
        let id = of_issue(bug(town, "Stream ends early"));
        mid(town);
        minutes(town, 20);
        assert!(linear(town, id).is_some(), "Linear goes on");
        assert_eq!(rows_with(town, "Feedback", id), Vec::new());
        assert!(conditions(town, "airtable").iter().any(|what| what.starts_with("locked")));
        town.world.airtable(|desk, _| desk.restore_token(Vendor::Airtable.token()));
        mid(town);
        minutes(town, 15);
        assert_eq!(cells(town, id)["Severity"], "High");
        no_dead(town);
    });
}

#[test]
fn a_source_is_locked_and_the_other_goes_on() {
    tell(|town, mid| {
        minutes(town, 2);
        town.world.github(|desk, _| desk.revoke_token(Vendor::GitHub.token()));
        town.world.github(|desk, _| desk.remove_webhooks());
        let number = bug(town, "Stream ends early");
        let contact = company(town, "Lumen", None, 100);
        let talk = conversation(town, &contact, "How do I set the temperature?");
        mid(town);
        minutes(town, 12);
        assert_eq!(cells(town, of_conversation(talk))["Source"], "Support");
        assert_eq!(rows_with(town, "Feedback", of_issue(number)), Vec::new());
        assert!(conditions(town, "github").iter().any(|what| what.starts_with("locked")));
        town.world.github(|desk, _| desk.add_token(Vendor::GitHub.token(), "loopd-example"));
        minutes(town, 20);
        assert_eq!(cells(town, of_issue(number))["Severity"], "High");
        no_dead(town);
    });
}
