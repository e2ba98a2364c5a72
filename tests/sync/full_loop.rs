//! The whole loop: what a customer says becomes a row and an issue; what engineers finish is shown to everybody, and the
//! customer is told once, when a person says so.

use std::path::Path;

use loopd::close;
use loopd::ledger::MessageState;
use sandbox::Vendor;
use serde_json::json;

use crate::story::{
    bug, cells, company, conversation, dead, linear, minutes, no_dead, of_conversation, of_issue, tell, tell_in,
    the_message,
};
use crate::town::{REPO, Town};

fn sent(town: &Town, id: &str) -> bool {
    town.house
        .ledger
        .message(id)
        .expect("memory")
        .is_some_and(|message| matches!(message.state, MessageState::Sent { .. }))
}

#[test]
fn a_github_bug_is_answered_once_it_has_shipped() {
    tell(|town, mid| {
        company(town, "Lumen", Some("ada-example"), 2500);
        minutes(town, 17);
        let number = bug(town, "Stream ends early");
        let id = of_issue(number);
        mid(town);
        minutes(town, 3);

        let shown = cells(town, id);
        assert_eq!(shown["Verbatim"], "It stops after 4 KB.");
        assert_eq!(
            (&shown["Category"], &shown["Severity"], &shown["Status"]),
            (&json!("Bug"), &json!("High"), &json!("New"))
        );
        assert_eq!(shown["ARR"], 30000);
        assert_eq!(shown["Customer"].as_array().map(Vec::len), Some(1));
        let issue = linear(town, id).expect("high severity becomes an issue");
        assert_eq!((&issue["title"], &issue["priority"]), (&json!("Stream ends early"), &json!(2)));
        let text = issue["description"].as_str().unwrap_or_default();
        assert!(text.contains("> It stops after 4 KB.") && text.contains("Lumen, ARR 30,000"), "{text}");
        let (attachments, customers, needs) =
            town.world.linear(|desk, _| (desk.attachments(), desk.customers(), desk.needs()));
        assert_eq!((attachments.len(), customers.len(), needs.len()), (1, 1, 1));
        assert!(
            attachments[0]["url"].as_str().is_some_and(|url| url.ends_with(&format!("/{REPO}/issues/{number}"))),
            "{attachments:?}"
        );
        assert!(
            shown["Links"].as_str().is_some_and(|links| links.contains(issue["url"].as_str().unwrap_or("?"))),
            "{shown}"
        );

        town.world.linear(|desk, cx| desk.move_issue(cx, &id.to_string(), "In Progress"));
        minutes(town, 2);
        assert_eq!(cells(town, id)["Status"], "Building");
        town.world.linear(|desk, cx| desk.move_issue(cx, &id.to_string(), "Done"));
        mid(town);
        minutes(town, 2);
        assert_eq!(cells(town, id)["Status"], "Shipped");
        let message = the_message(town);
        let comments = |town: &Town| town.world.github(|desk, _| desk.comments(REPO, number).count());
        assert_eq!(comments(town), 0, "nothing goes out before a person says so");

        close::approve(&town.house, &message, "a colleague").expect("memory").expect("it waits");
        town.house.ledger.durable().expect("memory");
        mid(town);
        minutes(town, 3);
        assert!(sent(town, &message));
        assert_eq!((comments(town), town.world.github(|desk, _| desk.comments_containing(&message))), (1, 1));
        assert!(close::approve(&town.house, &message, "another").expect("memory").is_err(), "it went out already");
        no_dead(town);
    });
}

#[test]
fn an_intercom_conversation_is_answered_by_a_reply() {
    tell(|town, mid| {
        let contact = company(town, "Quill", None, 900);
        let talk = conversation(town, &contact, "Production is down: every request crashes with error 500");
        let id = of_conversation(talk);
        mid(town);
        minutes(town, 3);
        assert_eq!(cells(town, id)["Source"], "Support");
        // A person judges, wherever the model stood.
        crate::story::type_in(town, "Feedback", id, "Category", &json!("Bug"));
        crate::story::type_in(town, "Feedback", id, "Severity", &json!("Critical"));
        mid(town);
        minutes(town, 3);
        assert_eq!(linear(town, id).expect("a critical bug")["priority"], 1);
        assert_eq!(town.world.linear(|desk, _| desk.needs().len()), 1);

        town.world.linear(|desk, cx| desk.move_issue(cx, &id.to_string(), "Done"));
        minutes(town, 3);
        let message = the_message(town);
        close::approve(&town.house, &message, "a colleague").expect("memory").expect("it waits");
        town.house.ledger.durable().expect("memory");
        mid(town);
        minutes(town, 5);
        assert!(sent(town, &message));
        let replies: Vec<String> =
            town.world.intercom(|desk, _| desk.parts_containing(&message).map(|part| part.kind.clone()).collect());
        assert_eq!(replies, ["comment"], "a reply, once");
        assert_eq!(town.world.books(Vendor::Intercom).throttled, 0);
        no_dead(town);
    });
}

#[test]
fn a_dropped_message_never_goes_out() {
    tell(|town, mid| {
        let number = bug(town, "Stream ends early");
        minutes(town, 2);
        crate::story::type_in(town, "Feedback", of_issue(number), "Status", &json!("Shipped"));
        mid(town);
        minutes(town, 2);
        let message = the_message(town);
        close::drop_message(&town.house, &message, "a colleague").expect("memory").expect("it waits");
        minutes(town, 2);
        // It ships again: it is not prepared twice.
        crate::story::type_in(town, "Feedback", of_issue(number), "Status", &json!("Building"));
        minutes(town, 2);
        crate::story::type_in(town, "Feedback", of_issue(number), "Status", &json!("Shipped"));
        minutes(town, 2);
        assert_eq!(the_message(town), message);
        assert_eq!(town.world.github(|desk, _| desk.comments(REPO, number).count()), 0);
    });
}

#[test]
fn a_message_that_its_template_cannot_write_is_not_lost() {
    // It checks, and fails only where a title is long enough to make too much of.
    const GREEDY: &str = "[close]\ntemplate = \"{{ title * 1000000 }}\"\n";
    tell_in(
        || Town::with(7, GREEDY),
        |town, mid| {
            let id = of_issue(bug(town, "Stream ends early"));
            minutes(town, 3);
            town.world.linear(|desk, cx| desk.move_issue(cx, &id.to_string(), "Done"));
            minutes(town, 3);
            mid(town);
            minutes(town, 1);
            let letters = dead(town);
            let [(number, letter)] = letters.as_slice() else { panic!("{letters:#?}") };
            assert!(letter.cause.contains("1 MiB") && letter.cause.contains("[close]"), "{}", letter.cause);
            assert_eq!((letter.entity, letter.connection.as_str()), (Some(id), "github"));
            assert_eq!(town.house.ledger.messages().expect("memory"), Vec::new());

            // By the same template it fails again, and is still there; by another it is written by itself.
            assert_eq!(loopd::normalize::redrive(&town.house).expect("memory"), 0);
            assert!(loopd::normalize::retry(&town.house, *number).expect("memory"));
            assert_eq!(dead(town).len(), 1);
            let mended = town.files[Path::new("config.toml")].replace(" * 1000000", "");
            town.files.insert("config.toml".into(), mended);
            town.restart(None);
            assert_eq!(loopd::normalize::redrive(&town.house).expect("memory"), 1);
            no_dead(town);
            let message = the_message(town);
            let prepared = town.house.ledger.message(&message).expect("memory").expect("prepared");
            assert_eq!((prepared.body.as_str(), &prepared.state), ("Stream ends early", &MessageState::Prepared));
            close::approve(&town.house, &message, "ops").expect("memory").expect("it waits");
            minutes(town, 3);
            assert!(sent(town, &message));
        },
    );
}
