//! What is used, from the sender to the customer's row.

use connectors::Clock;
use http::HeaderMap;
use loopd::intake::{admit, receive_at};
use loopd::report::usage::Wanted;
use loopd::schema::EntityId;
use serde_json::{Value, json};

use crate::story::{minutes, no_dead, tell_in};
use crate::town::{BASE, SECRET, Town};

const SEGMENT: &str = r#"
[connection.segment]
kind = "segment"
webhook = true
write_key = { env = "SEGMENT_HOOK" }
"#;

/// The key is the town's secret in one word.
fn key() -> String {
    SECRET.split(' ').next().unwrap_or_default().to_owned()
}

fn town() -> Town {
    Town::with(7, SEGMENT)
}

/// A batch, as a sender sends it; it comes again when the engine was not there.
fn send(town: &mut Town, calls: &[Value]) {
    let body = json!({"batch": calls, "writeKey": key()}).to_string();
    let headers = HeaderMap::new();
    let raw = connectors::Request { headers: &headers, body: body.as_bytes() };
    let arrived = receive_at(&town.house, "/v1/batch", raw).expect("it has the key");
    admit(&town.house.ledger, &[arrived]).expect("memory");
}

fn track(id: &str, user: &str) -> Value {
    json!({"type": "track", "event": "Export", "userId": user, "messageId": id})
}

fn group(user: &str, traits: &Value) -> Value {
    json!({"type": "group", "userId": user, "groupId": "G-1", "traits": traits, "messageId": format!("g {user} {traits}")})
}

fn rows(town: &Town) -> Vec<Value> {
    town.world.airtable(|desk, _| desk.rows(BASE, "Customers"))
}

#[test]
fn a_customers_row_shows_what_was_used_and_is_written_seldom() {
    tell_in(town, |town, mid| {
        send(town, &[track("early", "kim"), group("kim", &json!({"name": "Acme Example", "plan": "pro"}))]);
        mid(town);
        minutes(town, 3);
        let row = rows(town).into_iter().next().expect("the group is a customer");
        assert_eq!(row["fields"]["Last Used"], json!(town.clock.now().date_naive().to_string()));
        assert_eq!((&row["fields"]["Name"], &row["fields"]["Uses in 30 Days"]), (&json!("Acme Example"), &json!(1)));
        let writes = |town: &Town| {
            let books = town.world.books(sandbox::Vendor::Airtable);
            books.by_operation.iter().filter(|(name, _)| name.starts_with("PATCH")).map(|(_, count)| count).sum::<u64>()
        };
        let before = writes(town);
        // A call without the name takes no name away.
        send(town, &[group("lou", &json!({"employees": 5}))]);
        for burst in 0..60 {
            let events: Vec<Value> = (0..50).map(|n| track(&format!("{burst}-{n}"), ["kim", "lou"][n % 2])).collect();
            send(town, &events);
            // Whatever comes again counts once.
            send(town, &events);
            town.run_for(std::time::Duration::from_secs(1));
        }
        mid(town);
        minutes(town, 5);
        let row = rows(town).into_iter().next().expect("it is there");
        assert_eq!((&row["fields"]["Name"], &row["fields"]["Uses in 30 Days"]), (&json!("Acme Example"), &json!(3001)));
        assert_eq!(rows(town).len(), 1);
        let made = writes(town) - before;
        assert!(made <= 6, "{made} writes for 3,000 events in a minute");
        no_dead(town);
    });
}

#[test]
fn a_customer_who_becomes_known_later_has_used_it_before() {
    tell_in(town, |town, mid| {
        let mut early = track("early", "kim");
        early["context"] = json!({"traits": {"email": "kim@lumen.example.com"}});
        send(town, &[early]);
        mid(town);
        minutes(town, 2);
        assert_eq!(rows(town), Vec::<Value>::new(), "usage alone makes no customer");
        crate::story::company(town, "Lumen", None, 2500);
        crate::story::much_later(town, 1);
        let row = rows(town).into_iter().next().expect("the company is a customer");
        assert_eq!((&row["fields"]["Name"], &row["fields"]["Uses in 30 Days"]), (&json!("Lumen"), &json!(1)));
        let day = town.clock.now().date_naive();
        let found =
            loopd::report::usage::usage(&town.house.ledger, &Wanted::default(), town.clock.now()).expect("memory");
        assert_eq!(found.rows.len(), 1);
        assert_eq!((found.rows[0].account.as_deref(), found.rows[0].events), (Some("Lumen"), 1));
        assert!(found.rows[0].customer.is_some() && found.to == day);
    });
}

#[test]
fn what_two_customers_used_is_one_customers_when_they_are_merged_and_parted_again() {
    tell_in(town, |town, mid| {
        for (account, uses) in [("G-1", 2), ("G-2", 3)] {
            let name = json!({"name": format!("Company {account}")});
            let belongs =
                json!({"type": "group", "userId": account, "groupId": account, "traits": name, "messageId": account});
            send(town, &[belongs]);
            let events: Vec<Value> = (0..uses).map(|n| track(&format!("{account} {n}"), account)).collect();
            send(town, &events);
        }
        minutes(town, 3);
        let uses = |town: &Town| -> Vec<(String, u64)> {
            let found = loopd::report::usage::usage(&town.house.ledger, &Wanted::default(), town.clock.now());
            let rows = found.expect("memory").rows.into_iter();
            rows.map(|row| (row.account.unwrap_or_default(), row.events)).collect()
        };
        let two = vec![("Company G-2".to_owned(), 3), ("Company G-1".to_owned(), 2)];
        assert_eq!(uses(town), two);
        let id = |group: &str| EntityId::derive("segment", "group", group);
        loopd::customers::merge(&town.house, id("G-1"), id("G-2"), "cli (ada)").expect("memory").expect("they can be");
        mid(town);
        minutes(town, 3);
        assert_eq!(uses(town), [("Company G-1".to_owned(), 5)]);
        assert_eq!(crate::story::row(town, "Customers", id("G-1")).1["Uses in 30 Days"], json!(5));
        loopd::customers::undo(&town.house, id("G-2"), "cli (ada)").expect("memory").expect("it was merged");
        minutes(town, 3);
        assert_eq!(uses(town), two);
        assert_eq!(crate::story::row(town, "Customers", id("G-1")).1["Uses in 30 Days"], json!(2));
        no_dead(town);
    });
}

#[test]
fn what_is_older_than_the_days_that_are_kept_is_not_counted() {
    let mut town = town();
    let ago = |days: i64| json!((town.clock.now() - chrono::TimeDelta::days(days)).to_rfc3339());
    let mut events = [track("old", "kim"), track("kept", "kim"), track("now", "kim")];
    for (event, days) in events.iter_mut().zip([401, 399, 0]) {
        event["timestamp"] = ago(days);
    }
    send(&mut town, &events);
    let spans = town.house.ledger.usage_spans(&loopd::ledger::Holder::Person("kim".into())).expect("memory");
    let today = town.clock.now().date_naive();
    assert_eq!((spans[0].1.first, spans[0].1.last), (today - chrono::TimeDelta::days(399), today));
    let counts = town.house.ledger.usage_counts(["segment"]).expect("memory");
    assert_eq!(counts["segment"].events, 2);
}

#[test]
fn a_report_that_withholds_something_is_told_as_soon_as_it_is_read() {
    const GA4: &str = r#"
[connection.ga4]
kind = "ga4"
property = 123456789
account = "customUser:company_id"
service_account = { env = "GOOGLE_KEY" }
"#;
    const KEY: &str = include_str!("../../connectors/github/fixtures/app_public_key_for_tests_only.pem");
    let mut town = Town::with(7, GA4);
    let today = town.clock.now().date_naive();
    town.world.ga4(|desk, cx| {
        assert!(desk.register_key(sandbox::google::ACCOUNT, "k1", KEY, cx));
        desk.put(sandbox::Used::new(today, "acme", "kim", "export", 5), cx);
        desk.set_thresholding(true, cx);
    });
    minutes(&mut town, 10);
    let told = |town: &Town| {
        let all = town.house.ledger.conditions().expect("memory");
        all.into_iter().find(|(of, name, _)| of == "ga4" && name == "hindered").map(|(.., condition)| condition.what)
    };
    let found = loopd::report::usage::usage(&town.house.ledger, &Wanted::default(), town.clock.now()).expect("memory");
    assert_eq!((found.events, found.rows[0].account.as_deref()), (5, Some("acme")));
    assert!(told(&town).is_some_and(|what| what.contains("thresholding")), "{:?}", told(&town));
    town.world.ga4(|desk, cx| desk.set_thresholding(false, cx));
    minutes(&mut town, 4 * 60);
    assert_eq!(told(&town), None);
}
