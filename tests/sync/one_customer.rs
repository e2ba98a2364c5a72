//! One customer from many names: doubted, merged, parted. In the end every destination is as if it had been so from the start.

use std::collections::BTreeSet;

use loopd::customers::{Doubtful, doubtful};
use loopd::ledger::What;
use loopd::schema::{Alias, EntityId};
use serde_json::{Value, json};

use crate::story::{
    bug, cells, company, conversation, history, known, minutes, much_later, no_dead, of_conversation, of_issue, row,
    tell, tell_in, type_in,
};
use crate::town::{BASE, Town};

fn customers(town: &Town) -> Vec<Value> {
    town.world.airtable(|desk, _| desk.rows(BASE, "Customers"))
}

#[track_caller]
fn customer_of(town: &Town, item: EntityId) -> EntityId {
    let known = known(town, item).expect("the item is known");
    known.as_feedback().and_then(|feedback| feedback.customer).unwrap_or_else(|| panic!("it is nobody's: {known:?}"))
}

fn of_company(town: &Town, name: &str) -> EntityId {
    let mut found = None;
    let see = |entity: loopd::schema::Entity| {
        if entity.as_customer().is_some_and(|customer| customer.name.as_deref() == Some(name)) {
            found = Some(entity.id);
        }
        Ok(())
    };
    town.house.ledger.each_entity(see).expect("memory");
    found.unwrap_or_else(|| panic!("no customer is called {name}"))
}

fn alias(text: &str) -> Alias {
    Alias::parse(text).expect("an alias")
}

/// A person at `loopd customers`.
#[track_caller]
fn merge(town: &Town, keep: EntityId, lose: EntityId) {
    loopd::customers::merge(&town.house, keep, lose, "cli (ada)").expect("memory").expect("they can be merged");
}

#[track_caller]
fn undo(town: &Town, lose: EntityId) {
    loopd::customers::undo(&town.house, lose, "cli (ada)").expect("memory").expect("it was merged");
}

fn pairs(town: &Town) -> Vec<Doubtful> {
    doubtful(&town.house).expect("memory")
}

/// Linear's customers, by name: their domains.
fn linear_customers(town: &Town) -> BTreeSet<(String, Vec<String>)> {
    let there = town.world.linear(|desk, _| desk.customers());
    let read = |customer: &Value| {
        let domains = customer["domains"].as_array().into_iter().flatten().filter_map(Value::as_str);
        (customer["name"].as_str().unwrap_or_default().to_owned(), domains.map(str::to_owned).collect())
    };
    there.iter().map(read).collect()
}

/// Whose needs Linear holds: the names of the customers, one for each need.
fn whose_needs(town: &Town) -> Vec<String> {
    town.world.linear(|desk, _| {
        let customers = desk.customers();
        let called = |id: &Value| {
            let found = customers.iter().find(|customer| customer["id"] == *id);
            found.and_then(|customer| customer["name"].as_str()).unwrap_or("nobody").to_owned()
        };
        let mut names: Vec<String> = desk
            .needs()
            .iter()
            .map(|need| {
                called(if need["customerId"].is_null() { &need["customer"]["id"] } else { &need["customerId"] })
            })
            .collect();
        names.sort();
        names
    })
}

/// Two that are one: Lumen with a GitHub organisation and Lumen Energy, each with an item.
struct Two {
    lumen: EntityId,
    energy: EntityId,
    issue: EntityId,
    talk: EntityId,
}

fn two(town: &mut Town) -> Two {
    company(town, "Lumen", Some("ada-example"), 2500);
    let contact = company(town, "Energy", None, 500);
    let issue = of_issue(bug(town, "Stream ends early"));
    let talk =
        of_conversation(conversation(town, &contact, "It crashes with an error when I upload a file. Urgent bug!"));
    minutes(town, 20);
    let (lumen, energy) = (of_company(town, "Lumen"), of_company(town, "Energy"));
    assert_eq!((customer_of(town, issue), customer_of(town, talk)), (lumen, energy));
    assert_eq!(customers(town).len(), 2);
    Two { lumen, energy, issue, talk }
}

#[test]
fn company_organisation_and_domain_are_one_from_the_start() {
    tell(|town, mid| {
        let contact = company(town, "Lumen", Some("ada-example"), 2500);
        let issue = of_issue(bug(town, "Stream ends early"));
        let talk = of_conversation(conversation(town, &contact, "Where is the bill?"));
        mid(town);
        // Somebody of the same company whom Intercom does not count to it: only the domain tells.
        let other = town.world.intercom(|desk, cx| desk.add_contact("Bo", "bo@lumen.example.com", None, cx));
        let late = of_conversation(conversation(town, &other, "How do I set the temperature?"));
        // And somebody with a mail provider's address, who may be anybody.
        let private = town.world.intercom(|desk, cx| desk.add_contact("Cy", "cy@gmail.com", None, cx));
        let nobodys = of_conversation(conversation(town, &private, "How do I set the temperature?"));
        much_later(town, 1);
        let lumen = of_company(town, "Lumen");
        for item in [issue, talk, late] {
            assert_eq!(customer_of(town, item), lumen);
        }
        assert_eq!(known(town, nobodys).expect("known").as_feedback().expect("feedback").customer, None);
        assert_eq!(customers(town).len(), 1);
        assert_eq!(row(town, "Customers", lumen).1["Feedback Count"], 3);
        assert_eq!(pairs(town), Vec::new());
        // A person knows whose address it is: what waited for it is theirs.
        loopd::customers::add_name(&town.house, lumen, &alias("email:cy@gmail.com"), "cli (ada)")
            .expect("memory")
            .expect("it is nobody else's");
        mid(town);
        much_later(town, 1);
        assert_eq!(customer_of(town, nobodys), lumen);
        assert_eq!(row(town, "Customers", lumen).1["Feedback Count"], 4);
        no_dead(town);
    });
}

#[test]
fn merged_two_are_as_if_one_from_the_start() {
    tell(|town, mid| {
        let Two { lumen, energy, issue, talk } = two(town);
        type_in(town, "Customers", energy, "Owner", &json!("Carol"));
        minutes(town, 3);
        merge(town, lumen, energy);
        mid(town);
        much_later(town, 1);
        for item in [issue, talk] {
            assert_eq!(customer_of(town, item), lumen);
            assert_eq!(cells(town, item)["Customer"], json!([row(town, "Customers", lumen).0]));
            assert_eq!(cells(town, item)["ARR"], 30000);
        }
        let kept = row(town, "Customers", lumen).1;
        assert_eq!((&kept["Feedback Count"], &kept["Owner"]), (&json!(2), &json!("Carol")), "people's words are kept");
        assert_eq!(kept["Domains"], "lumen.example.com, energy.example.com");
        // The other row stays, and says so.
        let other = row(town, "Customers", energy).1;
        assert_eq!(other.get("Feedback Count").cloned().unwrap_or(json!(0)), 0);
        assert!(other["Merged Into"].as_str().is_some_and(|into| into.starts_with("Lumen (CU-")), "{other}");
        // Linear keeps them in its own order.
        let both = |name: &str, domains: &[&str]| (name.to_owned(), domains.iter().map(|d| (*d).to_owned()).collect());
        let wanted =
            BTreeSet::from([both("Lumen", &["energy.example.com", "lumen.example.com"]), both("Energy (merged)", &[])]);
        assert_eq!(linear_customers(town), wanted);
        assert!(whose_needs(town).iter().all(|name| name == "Lumen"), "{:?}", whose_needs(town));
        for id in [lumen, energy, talk] {
            assert!(history(town, id).iter().any(|line| line.what == What::Merged), "`loopd why` tells it");
        }
        no_dead(town);
    });
}

#[test]
fn what_the_merged_ones_source_says_goes_on_to_the_other() {
    tell(|town, mid| {
        let Two { lumen, energy, talk, .. } = two(town);
        merge(town, lumen, energy);
        mid(town);
        minutes(town, 5);
        // Its source is read again, and speaks under its name; and somebody of its domain writes.
        company(town, "Energy", None, 900);
        let who = town.world.intercom(|desk, cx| desk.add_contact("Di", "di@energy.example.com", None, cx));
        let late = of_conversation(conversation(town, &who, "Where is the bill?"));
        mid(town);
        much_later(town, 2);
        assert_eq!((customer_of(town, talk), customer_of(town, late)), (lumen, lumen));
        assert_eq!(customers(town).len(), 2, "nothing is made anew");
        assert_eq!(row(town, "Customers", lumen).1["Feedback Count"], 3);
        assert_eq!(town.world.linear(|desk, _| desk.customers().len()), 2);
        assert_eq!(pairs(town), Vec::new());
        no_dead(town);
    });
}

#[test]
fn a_domain_that_the_merged_ones_source_says_no_more_is_nobodys() {
    tell(|town, mid| {
        import(
            town,
            "id,name,domain,owner\nl,Lumen,lumen.example.com,\ne,Energy,energy.example.com old.example.com,Ada\n",
        );
        minutes(town, 3);
        let of = |id: &str| EntityId::derive("csv", "customers", id);
        merge(town, of("l"), of("e"));
        mid(town);
        minutes(town, 10);
        let shown = |town: &Town| row(town, "Customers", of("l")).1;
        assert_eq!(shown(town)["Domains"], "lumen.example.com, energy.example.com, old.example.com");
        assert_eq!(shown(town)["Owner"], "Ada", "what the one lacks it has from the other");
        import(town, "id,name,domain,owner\ne,Energy,energy.example.com,Bo\n");
        mid(town);
        much_later(town, 1);
        assert_eq!(shown(town)["Domains"], "lumen.example.com, energy.example.com");
        assert_eq!(shown(town)["Owner"], "Bo");
        let whose = |text: &str| town.house.ledger.transact(|tx| tx.customer_by(&alias(text))).expect("memory");
        assert_eq!((whose("domain:energy.example.com"), whose("domain:old.example.com")), (Some(of("l")), None));
        no_dead(town);
    });
}

#[test]
fn a_merge_that_is_undone_leaves_everything_as_it_was() {
    tell(|town, mid| {
        let Two { lumen, energy, issue, talk } = two(town);
        type_in(town, "Customers", energy, "Owner", &json!("Carol"));
        minutes(town, 3);
        // By its name it is the first one's; a person says otherwise.
        let told = of_issue(crate::story::issue(town, "How do I stop a stream?", None, &[]));
        let other = crate::story::row(town, "Customers", energy).0;
        minutes(town, 5);
        type_in(town, "Feedback", told, "Customer", &json!([other]));
        minutes(town, 5);
        assert_eq!(customer_of(town, told), energy);
        let before = (customers(town), linear_customers(town), whose_needs(town));
        merge(town, lumen, energy);
        mid(town);
        minutes(town, 10);
        // Meanwhile somebody of the other's speaks.
        let who = town.world.intercom(|desk, cx| desk.add_contact("Di", "di@energy.example.com", None, cx));
        let late = of_conversation(conversation(town, &who, "Where is the bill?"));
        minutes(town, 10);
        assert_eq!((customer_of(town, late), customer_of(town, told)), (lumen, lumen));
        undo(town, energy);
        mid(town);
        much_later(town, 1);
        assert_eq!(customer_of(town, issue), lumen);
        for item in [talk, late, told] {
            assert_eq!(customer_of(town, item), energy);
            assert_eq!(cells(town, item)["Customer"], json!([row(town, "Customers", energy).0]));
        }
        let owner = |id| row(town, "Customers", id).1.get("Owner").cloned();
        assert_eq!((owner(lumen), owner(energy)), (None, Some(json!("Carol"))));
        assert_eq!(row(town, "Customers", lumen).1["Domains"], "lumen.example.com");
        assert_eq!(row(town, "Customers", energy).1["Feedback Count"], 3);
        assert_eq!(row(town, "Customers", energy).1.get("Merged Into"), None);
        assert_eq!((linear_customers(town), whose_needs(town)), (before.1, before.2));
        assert_eq!(customers(town).len(), before.0.len());
        assert_eq!(pairs(town), Vec::new(), "nobody asks again");
        no_dead(town);
    });
}

#[test]
fn a_row_of_one_that_was_merged_may_be_deleted_and_edited() {
    tell(|town, mid| {
        let Two { lumen, energy, talk, .. } = two(town);
        merge(town, lumen, energy);
        mid(town);
        minutes(town, 10);
        // What is typed there is a word about the one in which it lives; who links to it means that one.
        type_in(town, "Customers", energy, "Use Case", &json!("Metering"));
        let (gone, _) = row(town, "Customers", energy);
        type_in(town, "Feedback", talk, "Customer", &json!([gone]));
        mid(town);
        minutes(town, 10);
        assert_eq!(row(town, "Customers", lumen).1["Use Case"], "Metering");
        assert_eq!(customer_of(town, talk), lumen);
        assert_eq!(cells(town, talk)["Customer"], json!([row(town, "Customers", lumen).0]));
        town.world.airtable(|desk, cx| desk.delete_row(cx, BASE, "Customers", &gone));
        company(town, "Energy", None, 700);
        mid(town);
        much_later(town, 1);
        assert_eq!(customers(town).len(), 1, "it does not come back");
        no_dead(town);
    });
}

#[test]
fn a_doubtful_pair_waits_for_a_person_and_the_answer_is_kept() {
    tell(|town, mid| {
        company(town, "Lumen", None, 2500);
        minutes(town, 3);
        let sheet = "id,name\nc1,Lumen GmbH\nc2,LUMEN Inc.\n";
        import(town, sheet);
        mid(town);
        minutes(town, 10);
        let asked = pairs(town);
        assert_eq!(asked.len(), 3, "each with each: {asked:#?}");
        assert_eq!(customers(town).len(), 3, "nobody becomes one without a person");
        let of = |id: &str| EntityId::derive("csv", "customers", id);
        let number = |a: EntityId, b: EntityId| {
            let is = |pair: &&Doubtful| {
                [pair.keep.id, pair.other.id].contains(&a) && [pair.keep.id, pair.other.id].contains(&b)
            };
            asked.iter().find(is).expect("the pair").number
        };
        let lumen = of_company(town, "Lumen");
        let say = |town: &Town, number: u64, one: bool| {
            loopd::customers::answer(&town.house, number, one, "cli (ada)").expect("memory").expect("it waits");
        };
        say(town, number(of("c1"), of("c2")), false);
        say(town, number(lumen, of("c1")), true);
        mid(town);
        minutes(town, 10);
        // The third was said to be another than one of the two: nobody asks about them any more.
        assert_eq!(pairs(town), Vec::new());
        import(town, &sheet.replace("Inc.", "Incorporated"));
        mid(town);
        much_later(town, 1);
        assert_eq!(pairs(town), Vec::new(), "a pair that was rejected is never asked about again");
        let shown: Vec<_> =
            customers(town).iter().filter(|row| row["fields"].get("Merged Into").is_some()).cloned().collect();
        assert_eq!(shown.len(), 1);
        no_dead(town);
    });
}

fn import(town: &Town, rows: &str) {
    let bad = loopd::import::take_in_text(&town.house, loopd::import::Kind::Customers, rows).expect("it is taken in");
    assert_eq!(bad, Vec::new());
}

#[test]
fn names_that_are_anothers_take_their_records_and_items_along() {
    tell(|town, mid| {
        // The sheet's domain was wrong: Intercom's company was taken for the sheet's customer.
        import(town, "id,name,domain,owner\nq,Quill,lumen.example.com,Dora\n");
        minutes(town, 3);
        let contact = company(town, "Lumen", Some("ada-example"), 2500);
        let issue = of_issue(bug(town, "Stream ends early"));
        let talk = of_conversation(conversation(town, &contact, "Where is the bill?"));
        minutes(town, 20);
        let quill = EntityId::derive("csv", "customers", "q");
        assert_eq!((customer_of(town, issue), customer_of(town, talk)), (quill, quill));
        assert_eq!(customers(town).len(), 1);
        let names = ["company_id:lumen-1", "domain:lumen.example.com", "github_org:ada-example"].map(alias);
        let parted =
            loopd::customers::part(&town.house, quill, &names, "cli (ada)").expect("memory").expect("it can be");
        let lumen = parted.into[0];
        mid(town);
        much_later(town, 1);
        assert_eq!((customer_of(town, issue), customer_of(town, talk)), (lumen, lumen));
        let (first, second) = (row(town, "Customers", quill).1, row(town, "Customers", lumen).1);
        assert_eq!((&first["Name"], &first["Owner"], first.get("Domains")), (&json!("Quill"), &json!("Dora"), None));
        assert_eq!(
            (&second["Name"], &second["ARR"], &second["Feedback Count"]),
            (&json!("Lumen"), &json!(30000), &json!(2))
        );
        assert_eq!(second["Domains"], "lumen.example.com");
        assert!(whose_needs(town).iter().all(|name| name == "Lumen"));
        // Both sources are read again, and say what they said.
        import(town, "id,name,domain,owner\nq,Quill,lumen.example.com,Eve\n");
        company(town, "Lumen", Some("ada-example"), 3000);
        mid(town);
        much_later(town, 1);
        let (first, second) = (row(town, "Customers", quill).1, row(town, "Customers", lumen).1);
        assert_eq!((&first["Owner"], first.get("Domains")), (&json!("Eve"), None));
        assert_eq!(second["Domains"], "lumen.example.com");
        assert_eq!((customers(town).len(), pairs(town)), (2, Vec::new()));
        no_dead(town);
    });
}

#[test]
fn a_merge_of_one_that_has_no_record_yet_makes_none() {
    tell(|town, mid| {
        company(town, "Lumen", None, 2500);
        company(town, "Energy", None, 500);
        // Known, and written nowhere yet.
        crate::story::until(town, "both are known", |town| {
            town.house.ledger.count_of(loopd::schema::EntityKind::Customer).expect("memory") == 2
        });
        let (lumen, energy) = (of_company(town, "Lumen"), of_company(town, "Energy"));
        merge(town, lumen, energy);
        mid(town);
        much_later(town, 1);
        let live = customers(town);
        assert!(live.iter().any(|row| row["fields"]["Loopd ID"] == lumen.to_string()), "{live:?}");
        let others = live.iter().filter(|row| row["fields"]["Loopd ID"] == energy.to_string()).count();
        assert!(others <= 1, "{live:?}");
        assert_eq!(row(town, "Customers", lumen).1["Domains"], "lumen.example.com, energy.example.com");
        no_dead(town);
    });
}

#[test]
fn thousands_of_items_follow_through_a_power_loss_in_the_middle() {
    let found = || Town::with(7, "");
    tell_in(found, |town, mid| {
        let contact = company(town, "Energy", None, 500);
        company(town, "Lumen", Some("ada-example"), 2500);
        let talks: Vec<EntityId> = (0..150)
            .map(|at| of_conversation(conversation(town, &contact, &format!("Question {at} about the bill"))))
            .collect();
        much_later(town, 1);
        minutes(town, 30);
        let (lumen, energy) = (of_company(town, "Lumen"), of_company(town, "Energy"));
        merge(town, lumen, energy);
        // The enrich room moves them a piece at a time: stop it after one.
        let enrich = town.rooms.iter().position(|(room, _)| room.name() == "enrich").expect("a room");
        let _ = town.step(enrich);
        mid(town);
        much_later(town, 1);
        minutes(town, 30);
        assert!(talks.iter().all(|talk| customer_of(town, *talk) == lumen));
        assert_eq!(row(town, "Customers", lumen).1["Feedback Count"], 150);
        let link = json!([row(town, "Customers", lumen).0]);
        assert!(talks.iter().all(|talk| cells(town, *talk)["Customer"] == link));
        undo(town, energy);
        let _ = town.step(enrich);
        mid(town);
        much_later(town, 1);
        minutes(town, 30);
        assert!(talks.iter().all(|talk| customer_of(town, *talk) == energy));
        no_dead(town);
    });
}
