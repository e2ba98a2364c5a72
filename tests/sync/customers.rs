//! Customers are recognised by what they go by, early or late.

use serde_json::{Value, json};

use crate::story::{
    bug, cells, company, conditions, conversation, known, minutes, much_later, no_dead, of_conversation, of_issue, row,
    tell, tell_in, type_in,
};
use crate::town::{BASE, Town};

fn customers(town: &Town) -> Vec<Value> {
    town.world.airtable(|desk, _| desk.rows(BASE, "Customers"))
}

#[test]
fn a_customer_who_becomes_known_later_is_found() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        assert_eq!(known(town, id).expect("known").as_feedback().expect("feedback").customer, None);
        assert_eq!(customers(town), Vec::<Value>::new(), "a handle alone makes no customer");
        company(town, "Lumen", Some("ada-example"), 2500);
        mid(town);
        much_later(town, 1);
        let customer = known(town, id).expect("known").as_feedback().expect("feedback").customer.expect("found");
        assert_eq!(row(town, "Customers", customer).1["Name"], "Lumen");
        assert_eq!(cells(town, id)["ARR"], 30000);
        let (customers, needs) = town.world.linear(|desk, _| (desk.customers().len(), desk.needs().len()));
        assert_eq!((customers, needs), (1, 1));
        no_dead(town);
    });
}

#[test]
fn two_sources_of_one_customer_make_one_row() {
    tell(|town, mid| {
        let contact = company(town, "Lumen", Some("ada-example"), 2500);
        let talk = conversation(town, &contact, "It would be nice to have a dark mode");
        let number = bug(town, "Stream ends early");
        mid(town);
        much_later(town, 1);
        let customer =
            |id| known(town, id).expect("known").as_feedback().expect("feedback").customer.expect("recognised");
        assert_eq!(customer(of_issue(number)), customer(of_conversation(talk)));
        assert_eq!(customers(town).len(), 1);
        assert_eq!(row(town, "Customers", customer(of_issue(number))).1["Feedback Count"], 2);
        assert_eq!(town.world.linear(|desk, _| desk.customers().len()), 1);
        no_dead(town);
    });
}

fn stranger(town: &Town) -> u64 {
    let contact = town.world.intercom(|desk, cx| desk.add_contact("Bo Example", "bo@quill.example.com", None, cx));
    conversation(town, &contact, "How do I set the temperature?")
}

#[test]
fn an_unknown_company_is_made_by_its_domain_and_filled_in_later() {
    tell(|town, mid| {
        let id = of_conversation(stranger(town));
        mid(town);
        minutes(town, 5);
        let rows = customers(town);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["fields"]["Name"], "quill.example.com");
        company(town, "Quill", None, 500);
        mid(town);
        much_later(town, 1);
        let rows = customers(town);
        assert_eq!(rows.len(), 1, "the same company, not another");
        assert_eq!(rows[0]["fields"]["ARR"], 6000);
        assert_eq!(rows[0]["fields"]["Name"], "Quill", "a domain is no name");
        let there = town.world.linear(|desk, _| desk.customers());
        assert!(there.iter().all(|customer| customer["name"] == "Quill"), "{there:?}");
        assert_eq!(cells(town, id)["ARR"], 6000);
        no_dead(town);
    });
}

#[test]
fn a_row_that_people_made_is_that_of_the_customer_it_names() {
    tell(|town, mid| {
        // Nothing is known yet: the first is a customer, the second bears the same name.
        let add =
            |town: &Town, cells: &Value| town.world.airtable(|desk, cx| desk.add_row(cx, BASE, "Customers", cells));
        let first = add(town, &json!({"Name": "Lumen AG", "Domains": "lumen.example.com", "Owner": "Carol"}));
        minutes(town, 2);
        let second = add(town, &json!({"Name": "Lumen AG", "Owner": "Dave"}));
        company(town, "Lumen", Some("ada-example"), 2500);
        let id = of_issue(bug(town, "Stream ends early"));
        mid(town);
        minutes(town, 20);
        let cell = |town: &Town, record: &str, field: &str| {
            town.world.airtable(|desk, _| desk.row(BASE, "Customers", record)).expect("a row")["fields"][field].clone()
        };
        assert_eq!(customers(town).len(), 2);
        assert_eq!(cell(town, &second, "Loopd ID"), json!(null), "it is left alone");
        let customer = known(town, id).and_then(|known| known.as_feedback()?.customer).expect("recognised");
        assert_eq!(cell(town, &first, "Loopd ID"), customer.to_string());
        assert_eq!((cell(town, &first, "Owner"), cell(town, &first, "ARR")), (json!("Carol"), json!(30000)));
        let told = conditions(town, "airtable");
        assert!(told.len() == 1 && told[0].contains(&second), "{told:?}");
        town.world.airtable(|desk, cx| desk.delete_row(cx, BASE, "Customers", &second));
        mid(town);
        minutes(town, 20);
        assert_eq!(conditions(town, "airtable"), Vec::<String>::new());
        no_dead(town);
    });
}

#[test]
fn where_config_says_so_strangers_make_no_customers() {
    let found = || Town::with(7, "[customers]\ncreate_unknown = false\n");
    tell_in(found, |town, mid| {
        let id = of_conversation(stranger(town));
        mid(town);
        minutes(town, 5);
        assert_eq!(customers(town), Vec::<Value>::new());
        assert_eq!(cells(town, id).get("Customer"), None);
        no_dead(town);
    });
}

#[test]
fn a_customers_row_may_be_edited_and_added() {
    tell(|town, mid| {
        company(town, "Lumen", None, 2500);
        let added = town.world.airtable(|desk, cx| {
            desk.add_row(cx, BASE, "Customers", &json!({"Name": "Typed Example", "Owner": "Carol"}))
        });
        mid(town);
        minutes(town, 20);
        let typed = town.world.airtable(|desk, _| desk.row(BASE, "Customers", &added)).expect("the row");
        let id: loopd::schema::EntityId =
            typed["fields"]["Loopd ID"].as_str().expect("adopted").parse().expect("an id");
        assert_eq!(
            known(town, id)
                .and_then(|known| known.as_customer().and_then(|customer| customer.owner.clone()))
                .as_deref(),
            Some("Carol")
        );
        town.world.airtable(|desk, cx| desk.edit_cell(cx, BASE, "Customers", &added, "Name", &json!("Typed Better")));
        mid(town);
        minutes(town, 5);
        let names: Vec<Value> = town
            .world
            .linear(|desk, _| desk.customers().into_iter().map(|customer| customer["name"].clone()).collect());
        assert!(names.contains(&json!("Typed Better")) && names.len() == 2, "{names:?}");
        no_dead(town);
    });
}

#[test]
fn the_configured_file_is_taken_in_again_when_it_changes() {
    const FIRST: &str = "name,domain,github_org,arr,owner\nLumen,lumen.example.com,ada-example,1000,Ada\n,,,5,\n";
    let files = || [("customers.csv".into(), FIRST.to_owned())].into();
    tell_in(
        || Town::furnished(7, "[customers]\ncsv = \"customers.csv\"\n", files()),
        |town, mid| {
            let number = bug(town, "Stream ends early");
            minutes(town, 3);
            let customer = known(town, of_issue(number)).expect("known").as_feedback().expect("feedback").customer;
            let customer = customer.expect("recognised by its GitHub organisation");
            assert_eq!(row(town, "Customers", customer).1["Owner"], "Ada");
            let told = conditions(town, "loopd");
            assert!(told.len() == 1 && told[0].contains("customers.csv:3: it has no name"), "{told:?}");

            // The same file again, and a restart, change nothing.
            let before = town.world.books(sandbox::Vendor::Airtable).by_operation;
            town.restart(None);
            mid(town);
            minutes(town, 2);
            let after = town.world.books(sandbox::Vendor::Airtable).by_operation;
            let patches = |books: &std::collections::BTreeMap<String, u64>| -> u64 {
                books.iter().filter(|(name, _)| name.contains("PATCH")).map(|(_, count)| count).sum()
            };
            assert_eq!(patches(&before), patches(&after));

            // A person's word stands; what nobody decided follows the file.
            type_in(town, "Customers", customer, "Owner", &json!("Grace"));
            minutes(town, 2);
            let second = "name,domain,github_org,arr,owner\nLumen,lumen.example.com,ada-example,2000,Linus\n";
            town.files.insert("customers.csv".into(), second.to_owned());
            town.restart(None);
            minutes(town, 5);
            let shown = row(town, "Customers", customer).1;
            assert_eq!((&shown["Owner"], &shown["ARR"]), (&json!("Grace"), &json!(2000)));
            assert_eq!(customers(town).len(), 1);
            assert_eq!(conditions(town, "loopd"), Vec::<String>::new());
            no_dead(town);
        },
    );
}

fn import(town: &Town, rows: &str) {
    let text = format!("company_id,name,domain\n{rows}");
    let bad = loopd::import::take_in_text(&town.house, loopd::import::Kind::Customers, &text).expect("a table");
    assert_eq!(bad, Vec::new());
}

#[test]
fn a_domain_that_moves_to_another_customer_is_theirs() {
    tell(|town, mid| {
        import(town, "A,Acme,shared.example.com\nB,Other,other.example.com\n");
        minutes(town, 3);
        let of = |id: &str| loopd::schema::EntityId::derive("csv", "customers", id);
        let says = |town: &Town| {
            let who = town.world.intercom(|desk, cx| desk.add_contact("Ada", "ada@shared.example.com", None, cx));
            of_conversation(conversation(town, &who, "It would be nice to have a dark mode"))
        };
        let customer = |town: &Town, id| known(town, id).expect("known").as_feedback().expect("feedback").customer;
        let before = says(town);
        minutes(town, 10);
        assert_eq!(customer(town, before), Some(of("A")));

        // Both state it: it stays with the first, and that is told.
        import(town, "B,Other,shared.example.com\n");
        mid(town);
        minutes(town, 10);
        let doubts = loopd::customers::doubtful(&town.house).expect("memory");
        assert_eq!(doubts.len(), 1);
        assert!(doubts[0].evidence.iter().any(|evidence| evidence.text().contains("shared.example.com")), "{doubts:?}");
        // Only the other does: it is theirs.
        import(town, "A,Acme,acme.example.com\n");
        mid(town);
        minutes(town, 10);
        assert_eq!(loopd::customers::doubtful(&town.house).expect("memory"), Vec::new());
        let after = says(town);
        minutes(town, 10);
        assert_eq!((customer(town, before), customer(town, after)), (Some(of("A")), Some(of("B"))));
        no_dead(town);
    });
}
