//! Accounts come down as customers, and what loopd knows of them goes up; what customer success changes there comes back.

use std::time::Duration;

use sandbox::Vendor;
use serde_json::{Value, json};

use crate::story::{cells, company, conversation, known, minutes, no_dead, of_conversation, tell_in, type_in};
use crate::town::Town;
use loopd::schema::EntityId;

const SALESFORCE: &str = r#"
[connection.salesforce]
kind     = "salesforce"
base_url = "https://salesforce.example.com"
token    = { env = "SALESFORCE_TOKEN" }

[[route]]
entity = "customer"
to     = "salesforce.Account"

[[route]]
entity = "feedback"
to     = "salesforce.Loopd_Feedback__c"
when   = '.derived.customer_links["salesforce.Account"] != null'
"#;

fn found() -> Town {
    found_with(SALESFORCE)
}

fn found_with(config: &str) -> Town {
    let town = Town::with(7, config);
    town.world.salesforce(|desk, cx| {
        let money = json!({ "type": "Currency", "precision": 18, "scale": 2, "label": "ARR" });
        desk.add_field(cx, "Account", "ARR__c", &money);
    });
    town
}

fn account(town: &Town, name: &str) -> String {
    let site = format!("https://{}.example.com", name.to_lowercase());
    let fields = json!({ "Name": format!("{name} Example"), "Website": site, "Industry": "Energy", "BillingCountry": "France", "ARR__c": 42_000 });
    town.world.salesforce(|desk, cx| desk.create(cx, "Account", &fields))
}

fn on_account(town: &Town, id: &str) -> Value {
    town.world.salesforce(|desk, _| desk.row("Account", id)).expect("the account")
}

/// The records that hang on accounts, of one entity.
#[track_caller]
fn record(town: &Town, id: EntityId) -> Value {
    let rows = town.world.salesforce(|desk, _| desk.rows("Loopd_Feedback__c"));
    let mut ours: Vec<Value> = rows.into_iter().filter(|row| row["Loopd_ID__c"] == id.to_string().as_str()).collect();
    assert_eq!(ours.len(), 1, "records of {id}");
    ours.remove(0)
}

fn written(town: &Town) -> u64 {
    town.world.books(Vendor::Salesforce).by_operation.get("PATCH collection").copied().unwrap_or_default()
}

#[test]
fn an_account_shows_what_its_customer_asked_for_and_what_was_addressed() {
    tell_in(found, |town, mid| {
        let (lumen, silent) = (account(town, "Lumen"), account(town, "Silent"));
        mid(town);
        minutes(town, 6);
        let customer = known(town, EntityId::derive("salesforce", "Account", &lumen)).expect("a customer");
        let customer = customer.as_customer().expect("a customer").clone();
        assert_eq!(
            (customer.name.as_deref(), customer.arr, customer.owner.as_deref()),
            (Some("Lumen Example"), Some(42_000.0), Some("Ada Admin"))
        );
        // Intercom knows the same company, by its domain.
        let contact = company(town, "Lumen", None, 100);
        let id = of_conversation(conversation(
            town,
            &contact,
            "Please let us export the table as CSV, we need this feature",
        ));
        mid(town);
        minutes(town, 8);
        let shown = record(town, id);
        assert_eq!((&shown["Account__c"], &shown["Status__c"]), (&json!(lumen), &json!("New")));
        type_in(town, "Feedback", id, "Category", &json!("Request"));
        mid(town);
        minutes(town, 4);
        assert_eq!(record(town, id)["Category__c"], "Request");
        let there = on_account(town, &lumen);
        assert_eq!(
            (&there["Loopd_Open_Requests__c"], &there["Loopd_Risk__c"], &there["Loopd_Feedback_Addressed__c"]),
            (&json!(1.0), &json!("Low"), &json!(0.0))
        );
        assert!(there["Loopd_Last_Feedback__c"].as_str().is_some_and(|at| at.starts_with("2026-11-23T08:")), "{there}");
        assert_eq!(there["Industry"], "Energy", "what others keep there is left alone");

        type_in(town, "Feedback", id, "Status", &json!("Shipped"));
        mid(town);
        minutes(town, 4);
        assert_eq!(
            (&record(town, id)["Status__c"], &record(town, id)["Addressed__c"]),
            (&json!("Addressed"), &json!("2026-11-23"))
        );
        let there = on_account(town, &lumen);
        assert_eq!(
            (
                &there["Loopd_Open_Requests__c"],
                &there["Loopd_Feedback_Addressed__c"],
                &there["Loopd_Last_Addressed__c"]
            ),
            (&json!(0.0), &json!(1.0), &json!("2026-11-23"))
        );
        assert!(there["Loopd_Shipped__c"].as_str().is_some_and(|text| text.starts_with("2026-11-23 ")), "{there}");
        assert!(
            on_account(town, &silent).get("Loopd_Open_Requests__c").is_none(),
            "of whom nobody has heard, nothing is written"
        );

        // Customer success says otherwise, and everybody sees it, once.
        let row = record(town, id)["Id"].as_str().unwrap_or_default().to_owned();
        town.world.salesforce(|desk, cx| desk.edit(cx, "Loopd_Feedback__c", &row, &json!({ "Status__c": "Building" })));
        mid(town);
        minutes(town, 5);
        assert_eq!(cells(town, id)["Status"], "Building");
        assert_eq!(on_account(town, &lumen)["Loopd_Feedback_Addressed__c"], 0.0);
        let before = written(town);
        minutes(town, 30);
        assert_eq!(written(town), before, "nothing echoes");
        no_dead(town);
    });
}

#[test]
fn what_sales_writes_down_is_feedback_of_the_account() {
    tell_in(found, |town, mid| {
        let lumen = account(town, "Lumen");
        minutes(town, 6);
        let deal = json!({ "Name": "Renewal", "StageName": "Prospecting", "CloseDate": "2026-12-31", "AccountId": lumen, "Loopd_Wants__c": "An EU region." });
        let deal = town.world.salesforce(|desk, cx| desk.create(cx, "Opportunity", &deal));
        mid(town);
        minutes(town, 8);
        let id = EntityId::derive("salesforce", "Opportunity", &format!("{deal}#wants"));
        let shown = record(town, id);
        assert_eq!(
            (&shown["Account__c"], &shown["Category__c"], &shown["Name"]),
            (&json!(lumen), &json!("Request"), &json!("Wanted: Renewal"))
        );
        assert_eq!(cells(town, id)["Verbatim"], "An EU region.");
        // Taken back: it is withdrawn, and counts no more.
        assert_eq!(on_account(town, &lumen)["Loopd_Open_Requests__c"], 1.0);
        town.world.salesforce(|desk, cx| desk.edit(cx, "Opportunity", &deal, &json!({ "Loopd_Wants__c": null })));
        mid(town);
        minutes(town, 8);
        assert!(known(town, id).is_some_and(|known| known.as_feedback().is_some_and(|feedback| feedback.withdrawn)));
        assert!(on_account(town, &lumen).get("Loopd_Open_Requests__c").is_none());
        no_dead(town);
    });
}

#[test]
fn locks_lost_answers_and_a_day_without_calls_lose_nothing() {
    tell_in(found, |town, mid| {
        let lumen = account(town, "Lumen");
        minutes(town, 6);
        let contact = company(town, "Lumen", None, 100);
        let ids: Vec<EntityId> = (0..6)
            .map(|n| of_conversation(conversation(town, &contact, &format!("Request number {n}: please add it"))))
            .collect();
        town.world.salesforce(|desk, _| desk.lock("Account", &lumen, 3));
        town.world.fail_next_operation(Vendor::Salesforce, "PATCH collection", 2, sandbox::FailKind::CutAfter);
        mid(town);
        minutes(town, 12);
        for id in &ids {
            assert_eq!(record(town, *id)["Account__c"], lumen.as_str());
        }
        town.world.salesforce(|desk, cx| desk.use_up(cx, 100_000));
        for id in &ids {
            type_in(town, "Feedback", *id, "Status", &json!("Validated"));
        }
        mid(town);
        minutes(town, 20);
        assert_eq!(record(town, ids[0])["Status__c"], "New");
        town.clock.advance(Duration::from_secs(24 * 3600));
        minutes(town, 40);
        for id in &ids {
            assert_eq!(record(town, *id)["Status__c"], "Validated");
        }
        no_dead(town);
    });
}

#[test]
fn what_was_addressed_is_a_task_on_the_account_where_a_route_says_so() {
    let route = r#"
[[route]]
entity = "feedback"
to     = "salesforce.Task"
when   = '.status == "shipped" and .derived.customer_links["salesforce.Account"] != null'
"#;
    let tasks = |town: &Town| town.world.salesforce(|desk, _| desk.rows("Task"));
    tell_in(
        || {
            let objects = "kind     = \"salesforce\"\nobjects  = [\"Loopd_Feedback__c\", \"Task\"]";
            found_with(&format!("{}{route}", SALESFORCE.replace("kind     = \"salesforce\"", objects)))
        },
        |town, mid| {
            let lumen = account(town, "Lumen");
            minutes(town, 6);
            let contact = company(town, "Lumen", None, 100);
            let id = of_conversation(conversation(town, &contact, "Please let us export the table as CSV"));
            minutes(town, 8);
            assert!(tasks(town).is_empty(), "nothing is addressed yet");
            // A task has no external id, and the answer to its making is lost: it is looked for, and found.
            town.world.fail_next_operation(Vendor::Salesforce, "POST collection", 1, sandbox::FailKind::CutAfter);
            type_in(town, "Feedback", id, "Status", &json!("Shipped"));
            mid(town);
            minutes(town, 6);
            let made = tasks(town);
            assert_eq!(made.len(), 1, "{made:?}");
            assert_eq!(
                (&made[0]["WhatId"], &made[0]["Status"], &made[0]["ActivityDate"], &made[0]["Loopd_ID__c"]),
                (&json!(lumen), &json!("Completed"), &json!("2026-11-23"), &json!(id.to_string()))
            );
            assert!(made[0]["Subject"].as_str().is_some_and(|it| it.starts_with("Feedback addressed: ")), "{made:?}");
            assert_eq!(record(town, id)["Status__c"], "Addressed", "and the record says so, too");
            no_dead(town);
        },
    );
}

#[test]
fn a_field_that_is_hidden_holds_up_no_other_and_is_written_when_it_is_shown() {
    tell_in(found, |town, mid| {
        account(town, "Lumen");
        minutes(town, 6);
        let contact = company(town, "Lumen", None, 100);
        let id = of_conversation(conversation(town, &contact, "Please let us export the table as CSV"));
        minutes(town, 8);
        assert_eq!(record(town, id)["Status__c"], "New");
        town.world.salesforce(|desk, _| desk.hide_field("Loopd_Feedback__c", "Status__c"));
        type_in(town, "Feedback", id, "Status", &json!("Validated"));
        type_in(town, "Feedback", id, "Severity", &json!("Low"));
        mid(town);
        minutes(town, 6);
        assert_eq!((&record(town, id)["Status__c"], &record(town, id)["Severity__c"]), (&json!("New"), &json!("Low")));
        // Shown again: what was left out follows, and nobody has to tell the daemon.
        town.world.salesforce(|desk, cx| desk.show_field(cx, "Loopd_Feedback__c", "Status__c"));
        mid(town);
        minutes(town, 15);
        assert_eq!(record(town, id)["Status__c"], "Validated");
        no_dead(town);
    });
}
