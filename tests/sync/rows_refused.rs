//! One bad row never holds back the rest of its batch.

use serde_json::json;

use crate::story::{
    cells, conditions, conversation, dead, issue, known, linear, minutes, much_later, no_dead, of_conversation,
    of_issue, row, tell, type_in,
};
use crate::town::BASE;

#[test]
fn the_bad_row_is_told_and_the_others_arrive() {
    tell(|town, mid| {
        minutes(town, 2);
        town.world.airtable(|desk, cx| desk.remove_option(cx, BASE, "Feedback", "Severity", "High"));
        let numbers: Vec<u64> = (0..13)
            .map(|n| {
                issue(town, &format!("Issue {n}"), Some("Please look."), &["bug", if n == 6 { "p1" } else { "low" }])
            })
            .collect();
        mid(town);
        minutes(town, 10);
        let bad = of_issue(numbers[6]);
        for (n, number) in numbers.iter().enumerate() {
            let cell = cells(town, of_issue(*number))["Severity"].clone();
            assert_eq!(cell.is_null(), n == 6, "issue {n}: {cell}");
        }
        let told = conditions(town, "airtable");
        assert!(told.iter().any(|what| what.contains("option High is missing in field Severity")), "{told:?}");
        assert!(linear(town, bad).is_some(), "Linear has no such trouble");

        town.world.airtable(|desk, cx| desk.add_option(cx, BASE, "Feedback", "Severity", "High"));
        mid(town);
        much_later(town, 1);
        minutes(town, 5);
        assert_eq!(cells(town, bad)["Severity"], "High");
        assert_eq!(conditions(town, "airtable"), Vec::<String>::new());
        no_dead(town);
    });
}

#[test]
fn an_option_that_is_missing_costs_the_cell_and_is_offered_by_setup() {
    tell(|town, mid| {
        minutes(town, 2);
        let says = |town: &crate::town::Town, region: &str| {
            town.world.intercom(|desk, cx| {
                let new = sandbox::intercom::NewCompany {
                    name: "Lumen",
                    company_id: "lumen-1",
                    website: Some("https://lumen.example.com"),
                    custom_attributes: [("region".to_owned(), json!(region))].into_iter().collect(),
                    ..sandbox::intercom::NewCompany::default()
                };
                desk.add_company(&new, cx)
            })
        };
        let company = says(town, "Atlantis");
        let contact = town
            .world
            .intercom(|desk, cx| desk.add_contact("Ada Example", "ada@lumen.example.com", Some(&company), cx));
        let id = of_conversation(conversation(town, &contact, "It would be nice to have a dark mode"));
        mid(town);
        minutes(town, 15);
        let customer = known(town, id).and_then(|known| known.as_feedback()?.customer).expect("recognised");
        let regions = |town: &crate::town::Town| {
            (row(town, "Customers", customer).1["Region"].clone(), cells(town, id)["Region"].clone())
        };
        assert_eq!(regions(town), (json!(null), json!(null)));
        assert_eq!(row(town, "Customers", customer).1["Name"], "Lumen");
        let shape = loopd::setup::shape(&town.house, "airtable").expect("memory");
        let regions_of =
            shape.collections.iter().flat_map(|table| table.fields.iter().filter(|field| field.name == "Region"));
        let offers = regions_of.filter(|field| field.options.contains(&"Atlantis".into())).count();
        assert_eq!(offers, 2, "{shape:#?}");

        for table in ["Customers", "Feedback"] {
            town.world.airtable(|desk, cx| desk.add_option(cx, BASE, table, "Region", "Atlantis"));
        }
        mid(town);
        much_later(town, 1);
        minutes(town, 5);
        assert_eq!(regions(town), (json!("Atlantis"), json!("Atlantis")));
        assert_eq!(conditions(town, "airtable"), Vec::<String>::new());
        no_dead(town);
    });
}

#[test]
fn a_value_that_means_nothing_here_is_left_there_and_told() {
    tell(|town, mid| {
        let id = of_issue(issue(town, "Add batch uploads", Some("Please."), &["enhancement"]));
        minutes(town, 3);
        town.world.airtable(|desk, cx| desk.add_option(cx, BASE, "Feedback", "Status", "Parked"));
        type_in(town, "Feedback", id, "Status", &json!("Parked"));
        mid(town);
        minutes(town, 5);
        assert_eq!(cells(town, id)["Status"], "Parked", "what a person typed is not overwritten");
        let letters = dead(town);
        assert!(letters.iter().any(|(_, letter)| letter.field.as_deref() == Some("Status")), "{letters:#?}");
        type_in(town, "Feedback", id, "Status", &json!("Building"));
        minutes(town, 5);
        assert_eq!(
            crate::story::known(town, id).and_then(|known| known.as_feedback().map(|feedback| feedback.status.name())),
            Some("building")
        );
    });
}

#[test]
fn each_value_that_means_nothing_here_has_a_letter_until_it_is_changed() {
    tell(|town, mid| {
        let id = of_issue(issue(town, "Add batch uploads", Some("Please."), &["enhancement"]));
        minutes(town, 3);
        town.world.airtable(|desk, cx| desk.add_option(cx, BASE, "Feedback", "Status", "Parked"));
        let (record, _) = crate::story::row(town, "Feedback", id);
        // An empty row is somebody about to type: it is no theme yet.
        let empty = town.world.airtable(|desk, cx| desk.add_row(cx, BASE, "Themes", &json!({})));
        let odd = json!({"Status": "Parked", "Theme": [empty]});
        town.world.airtable(|desk, cx| desk.edit_row(cx, BASE, "Feedback", &record, &odd));
        mid(town);
        minutes(town, 5);
        let told = |town: &crate::town::Town| -> Vec<String> {
            dead(town).into_iter().filter_map(|(_, letter)| letter.field).collect()
        };
        let both = told(town);
        assert!(both.contains(&"Status".into()) && both.contains(&"Theme".into()), "one each: {both:?}");

        // Another field is written: what is told of these two stays.
        crate::story::company(town, "Lumen", Some("ada-example"), 2500);
        mid(town);
        much_later(town, 1);
        assert_eq!(cells(town, id)["ARR"], 30000, "a write of another field");
        assert_eq!(told(town).len(), 2, "{:#?}", dead(town));

        let number =
            dead(town).into_iter().find(|(_, letter)| letter.field.as_deref() == Some("Status")).expect("it").0;
        assert!(loopd::normalize::retry(&town.house, number).expect("memory"));
        town.house.ledger.durable().expect("memory");
        minutes(town, 5);
        assert_eq!(told(town).len(), 2, "it cannot be read yet: {:#?}", dead(town));

        type_in(town, "Feedback", id, "Status", &json!("Building"));
        type_in(town, "Feedback", id, "Theme", &json!([]));
        mid(town);
        minutes(town, 5);
        no_dead(town);
    });
}
