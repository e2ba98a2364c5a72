//! The Notion connector against its stand-in.

mod bench;
mod edges;

use std::time::Duration;

use connectors::{Fault, Key, Written};
use sandbox::notion::{Capability, PAGE};
use sandbox::{FailKind, Vendor};
use serde_json::{Map, Value, json};

use crate::spec;
use bench::{Bench, CUSTOMERS, FEEDBACK, create, id, receipt, shape, update};

#[tokio::test]
async fn setup_furnishes_an_empty_page_and_then_has_nothing_left_to_do() {
    let bench = Bench::empty(&json!({}), None);
    let done = bench.set_up().await;
    assert!(done.iter().any(|what| what.starts_with("create database Customers")), "{done:#?}");
    let setup = bench.notion.setup().expect("it sets up");
    let wanted = shape();
    let plan = bench.patient(async || setup.plan(&wanted).await).await.expect("plans");
    assert_eq!(plan.iter().map(|change| change.what.clone()).collect::<Vec<_>>(), Vec::<String>::new());
    let (columns, back, views) =
        bench.world.notion(|desk, _| (desk.columns(FEEDBACK), desk.columns(CUSTOMERS), desk.views(FEEDBACK)));
    assert_eq!(columns["Summary"], "title", "pages are known by their summary");
    assert_eq!((columns["Loopd ID"].as_str(), columns["Customer"].as_str()), ("rich_text", "relation"));
    assert_eq!(back[FEEDBACK], "relation", "a customer's page lists everything of that customer");
    assert_eq!(views, ["Default view", "Product: by status", "Engineering: by severity", "Sales: by customer"]);
    assert_eq!(bench.world.notion(|desk, _| desk.views(CUSTOMERS)), ["Default view", "Leadership: by revenue"]);
    assert_eq!(bench.world.books(Vendor::Notion).throttled, 0);
}

#[tokio::test]
async fn setup_mends_what_people_made_and_says_what_it_cannot() {
    let bench = Bench::empty(&json!({}), None);
    bench.world.notion(|desk, cx| {
        let properties = json!({
            "Name": { "title": {} }, "Severity": { "select": { "options": [{ "name": "High" }, { "name": "Mine" }] } },
            "Count": { "rich_text": {} },
        });
        desk.create_database_by_hand(cx, "feedback ", &properties);
        desk.forget_views();
    });
    let row = bench.world.notion(|desk, cx| desk.add_row(cx, "feedback ", &json!({ "Name": "x", "Severity": "Mine" })));
    let setup = bench.notion.setup().expect("it sets up");
    let wanted = shape();
    let plan = bench.patient(async || setup.plan(&wanted).await).await.expect("plans");
    let by_hand: Vec<_> = plan.iter().filter_map(|change| change.by_hand.as_deref()).collect();
    assert!(by_hand.iter().any(|step| step.contains("change it to Number")), "{by_hand:#?}");
    assert!(by_hand.iter().any(|step| step.contains("choose Board") && step.contains("Severity")), "{by_hand:#?}");
    let done = bench.world.notion(|desk, _| desk.columns("feedback ").len());
    assert_eq!(done, 3, "a plan changes nothing");
    for change in plan.iter().filter(|change| change.by_hand.is_none() && !change.what.starts_with("view")) {
        bench
            .patient(async || setup.apply(change).await)
            .await
            .unwrap_or_else(|fault| panic!("{}: {fault}", change.what));
    }
    let columns = bench.world.notion(|desk, _| desk.columns("feedback "));
    assert_eq!((columns["Summary"].as_str(), columns["Count"].as_str()), ("title", "rich_text"));
    let kept = bench.world.notion(|desk, _| desk.row(&row));
    assert_eq!(kept["Severity"], "Mine", "an option of theirs stays, with its values");
    // Its second try changes nothing.
    for change in plan.iter().filter(|change| change.by_hand.is_none() && !change.what.starts_with("view")) {
        assert_eq!(bench.patient(async || setup.apply(change).await).await, Ok(()), "{}", change.what);
    }
    bench.attach(None, None).await;
    assert_eq!(bench.notion.sink().expect("a sink").lacks(FEEDBACK).into_iter().collect::<Vec<_>>(), ["Count"]);
}

#[tokio::test]
async fn every_kind_of_value_comes_back_as_canonical_says() {
    let bench = Bench::new().await;
    let acme = receipt(&bench.write(CUSTOMERS, &create(900, &json!({ "Name": "Acme" }))).await).id.clone();
    let fields = json!({
        "Summary": "Slow\nsearch", "Verbatim": "It is slow.\r\n\nVery. 🐛", "Severity": " High ", "Products": ["Chat", "API", "a, b"],
        "ARR": 1200.5, "Count": 3.0, "Churned": true, "Date": "2026-11-20", "Seen": "2026-11-20T10:00:42+01:00",
        "Source URL": " https://x.example/1 ", "Customer": [acme.replace('-', "")], "Category": "Odd, very",
    });
    let verdict = bench.write(FEEDBACK, &create(1, &fields)).await;
    let made = receipt(&verdict);
    assert!(made.created && made.skipped.is_empty(), "{made:?}");
    assert!(made.url.as_deref().is_some_and(|url| url.starts_with("https://www.notion.so/Slow-search-")), "{made:?}");
    let sink = bench.notion.sink().expect("it writes");
    for (name, value) in fields.as_object().expect("fields") {
        assert_eq!(made.fields.get(name), Some(&sink.canonical(FEEDBACK, name, value.clone())), "{name}");
    }
    assert_eq!(made.fields["Products"], json!(["API", "Chat", "a; b"]), "Notion refuses commas in options");
    assert_eq!(made.fields["Seen"], "2026-11-20T09:00:00.000Z");
    let Value::Object(mut body) = bench.body(&made.id).await else { panic!("no object") };
    assert_eq!(body.remove("Loopd ID"), Some(json!(id(1))));
    assert_eq!(body, made.fields);
    let back = bench.world.notion(|desk, _| desk.row(&acme));
    assert_eq!(back[FEEDBACK], json!([made.id]), "the customer's page lists it");
    // Everything cleared: every property is absent.
    let clear: Map<_, _> = fields.as_object().expect("fields").keys().map(|name| (name.clone(), Value::Null)).collect();
    let cleared = bench.write(FEEDBACK, &update(1, &made.id, &Value::Object(clear))).await;
    assert!(receipt(&cleared).skipped.is_empty() && !receipt(&cleared).created, "{cleared:?}");
    assert_eq!(bench.body(&made.id).await, json!({ "Loopd ID": id(1) }));
}

#[tokio::test]
async fn long_texts_go_in_pieces_and_come_back_whole() {
    let bench = Bench::new().await;
    // 60 pieces: more than a page object shows. A letter of two units at every border.
    let long: String = std::iter::repeat_n("🐛x", 40_000).collect();
    let made = receipt(&bench.write(FEEDBACK, &create(1, &json!({ "Verbatim": long }))).await).clone();
    let sink = bench.notion.sink().expect("it writes");
    let kept = sink.canonical(FEEDBACK, "Verbatim", json!(long));
    assert!(
        kept.as_str().is_some_and(|kept| kept.ends_with("[cut by loopd: 80000 characters]")),
        "cut, and it says so"
    );
    assert_eq!(made.fields["Verbatim"], kept);
    assert_eq!(bench.body(&made.id).await["Verbatim"], kept);
    assert!(bench.calls("GET property") >= 1);
    let fits: String = std::iter::repeat_n("🐛x", 30_000).collect();
    let made = receipt(&bench.write(FEEDBACK, &create(2, &json!({ "Verbatim": fits }))).await).clone();
    assert_eq!(bench.body(&made.id).await["Verbatim"], json!(fits), "what fits is not cut");
}

#[tokio::test]
async fn relations_past_25_are_read_by_page() {
    let bench = Bench::with(&json!({ "quota": { "calls": 180, "per_seconds": 60 } }), None).await;
    let mut customers = Vec::new();
    for n in 0..100 {
        let made = bench.write(CUSTOMERS, &create(1000 + n, &json!({ "Name": format!("C{n}") }))).await;
        customers.push(receipt(&made).id.clone());
    }
    customers.sort();
    let made = receipt(&bench.write(FEEDBACK, &create(1, &json!({ "Customer": customers }))).await).clone();
    assert_eq!(made.fields["Customer"], json!(customers), "the answer shows 25 of what was written");
    assert_eq!(bench.body(&made.id).await["Customer"], json!(customers));
    assert_eq!(bench.calls("GET property"), 1);
    // Also where a query finds the page.
    let more = bench.world.notion(|desk, cx| desk.add_row(cx, CUSTOMERS, &json!({ "Name": "One more" })));
    let all: Vec<_> = customers.iter().skip(1).chain([&more]).cloned().collect();
    bench.edit(&made.id, &json!({ "Customer": all }));
    bench.wait(700);
    let found = bench.pull_all(&mut None).await;
    let found = found.iter().find(|record| record.key.id == made.id).expect("it was edited");
    let mut expected = all.clone();
    expected.sort();
    assert_eq!(found.body.as_ref().expect("a body")["Customer"], json!(expected));
    let too_many: Vec<_> = customers.iter().chain([&more]).cloned().collect();
    let verdict = bench.write(FEEDBACK, &update(1, &made.id, &json!({ "Customer": too_many }))).await;
    assert!(receipt(&verdict).skipped["Customer"].contains("100"), "{verdict:?}");
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_found_and_not_made_twice() {
    let bench = Bench::new().await;
    for (n, kind) in [FailKind::CutAfter, FailKind::ErrorAfter, FailKind::BadGatewayAfter].into_iter().enumerate() {
        bench.world.fail_next_operation(Vendor::Notion, "POST pages", 1, kind);
        let verdict = bench.write(FEEDBACK, &create(n, &json!({ "Summary": "x" }))).await;
        assert!(matches!(verdict, Err(Fault::Unknown { .. })), "{kind:?}: {verdict:?}");
        // The index is behind.
        bench.world.notion(|desk, _| desk.set_index_lag(20));
        let found = bench.find(n).await.expect("it was made");
        assert_eq!(found.body.expect("it stands")["Loopd ID"], id(n));
        bench.world.notion(|desk, _| desk.set_index_lag(0));
    }
    // And what was not made is given up after a while, not at once.
    for (n, kind) in [(10, FailKind::CutBefore), (11, FailKind::ServerError), (12, FailKind::Unavailable)] {
        bench.world.fail_next_operation(Vendor::Notion, "POST pages", 1, kind);
        let verdict = bench.write(FEEDBACK, &create(n, &json!({ "Summary": "x" }))).await;
        assert!(matches!(verdict, Err(Fault::Unknown { .. })), "{kind:?}: {verdict:?}");
        let asked = bench.calls("POST query");
        assert_eq!(bench.find(n).await, None);
        assert!(bench.calls("POST query") - asked >= 5, "one look is not enough");
    }
    assert!(bench.world.notion(|desk, _| desk.doubles(FEEDBACK, "Loopd ID")).is_empty());
}

#[tokio::test]
async fn a_503_that_saved_is_believed() {
    let bench = Bench::new().await;
    bench.world.notion(|desk, _| {
        desk.set_index_lag(3600);
        desk.save_and_fail_next(true);
        desk.save_and_fail_next(false);
    });
    let verdict = bench.write(FEEDBACK, &create(1, &json!({ "Summary": "x" }))).await;
    assert!(matches!(verdict, Err(Fault::Unknown { .. })), "{verdict:?}");
    let queries = bench.calls("POST query");
    let found = bench.find(1).await.expect("the error named the page");
    assert_eq!(found.body.expect("it stands")["Summary"], "x");
    assert_eq!(bench.calls("POST query"), queries, "no search was needed");
    let verdict = bench.write(FEEDBACK, &create(2, &json!({ "Summary": "y" }))).await;
    assert!(matches!(verdict, Err(Fault::Unknown { .. })), "without a name the outcome is unknown: {verdict:?}");
    bench.world.notion(|desk, _| desk.set_index_lag(0));
    assert!(bench.find(2).await.is_some());
}

#[tokio::test]
async fn faults_are_decisions() {
    let bench = Bench::new().await;
    let page = bench.fill(1).await.remove(0);
    let change = update(0, &page, &json!({ "Severity": "High" }));
    for kind in [FailKind::CutBefore, FailKind::ServerError, FailKind::Unavailable, FailKind::BadGatewayAfter] {
        bench.world.fail_next_operation(Vendor::Notion, "PATCH page", 1, kind);
        let verdict = bench.write(FEEDBACK, &change).await;
        assert!(matches!(verdict, Err(Fault::Unknown { .. })), "{kind:?}: {verdict:?}");
    }
    bench.world.fail_next(Vendor::Notion, 1, FailKind::ServerError);
    assert!(matches!(bench.read(&page).await, Err(Fault::Later { .. })), "a read may simply be repeated");
    bench.world.fail_next(Vendor::Notion, 1, FailKind::Throttled);
    let throttled = bench.write(FEEDBACK, &change).await;
    let wait = Duration::from_secs(30);
    assert!(matches!(throttled, Err(Fault::Later { after: Some(after), .. }) if after == wait), "{throttled:?}");
    let before = bench.world.books(Vendor::Notion).calls;
    let gated = bench.notion.sink().expect("it writes").write(FEEDBACK, std::slice::from_ref(&change)).await.remove(0);
    assert!(matches!(gated, Err(Fault::Later { after: Some(_), .. })));
    assert_eq!(bench.world.books(Vendor::Notion).calls, before, "the gate is closed for all");
    assert_eq!(bench.notion.meter().throttled, 1);
    bench.wait(31);
    assert!(bench.write(FEEDBACK, &change).await.is_ok());
    bench.world.notion(|desk, _| desk.deny(&[Capability::UpdateContent]));
    let denied = bench.write(FEEDBACK, &change).await;
    assert!(
        matches!(&denied, Err(Fault::Locked { why }) if why.contains("Insufficient permissions for this endpoint")),
        "in Notion's own words: {denied:?}"
    );
    bench.world.notion(|desk, _| desk.deny(&[Capability::InsertContent]));
    assert!(matches!(bench.write(FEEDBACK, &create(5, &json!({}))).await, Err(Fault::Locked { .. })));
    bench.world.notion(|desk, _| {
        desk.deny(&[]);
        desk.revoke_token(Vendor::Notion.token());
    });
    assert!(matches!(bench.write(FEEDBACK, &change).await, Err(Fault::Locked { .. })));
    assert!(matches!(bench.page(None).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn its_own_pace_stays_below_the_limit_of_any_minute() {
    let bench = Bench::new().await;
    let begun = bench.clock.clone();
    let from = connectors::Clock::monotonic(&*begun);
    let before = bench.world.books(Vendor::Notion).calls;
    bench.fill(400).await;
    let books = bench.world.books(Vendor::Notion);
    assert_eq!((books.calls - before, books.throttled), (400, 0));
    let took = (connectors::Clock::monotonic(&*begun) - from).as_secs_f64();
    let least = 400.0 / 3.0;
    assert!(took / least < 1.02, "{took} s where {least} s are possible");
}

#[tokio::test]
async fn options_are_made_where_they_may_be() {
    let bench = Bench::new().await;
    let made = bench.write(FEEDBACK, &create(1, &json!({ "Severity": "Urgent" }))).await;
    assert_eq!(receipt(&made).fields["Severity"], "Urgent", "a select takes new options");
    let page = receipt(&made).id.clone();
    bench.world.notion(|desk, cx| {
        desk.change_columns(cx, FEEDBACK, &json!({ "Status": null }));
        desk.change_columns(cx, FEEDBACK, &json!({ "Status": { "status": {} } }));
    });
    bench.attach(None, None).await;
    assert!(bench.write(FEEDBACK, &update(1, &page, &json!({ "Status": "Done" }))).await.is_ok());
    let refused = bench.write(FEEDBACK, &update(1, &page, &json!({ "Status": "Parked", "Severity": "Low" }))).await;
    assert!(
        matches!(&refused, Err(Fault::Rejected { field: Some(field), why }) if field == "Status" && why.contains("Parked")),
        "a status does not: {refused:?}"
    );
    let row = bench.world.notion(|desk, _| desk.row(&page));
    assert_eq!((&row["Status"], &row["Severity"]), (&json!("Done"), &json!("Urgent")), "whole or not at all");
    // Setup offers the options that lack.
    let strict = bench.restarted(&json!({ "new_options": false }), None);
    strict.attach(None, None).await;
    let verdict = strict.write(FEEDBACK, &update(1, &page, &json!({ "Severity": "Unheard", "Count": 2 }))).await;
    assert!(receipt(&verdict).skipped["Severity"].contains("Unheard"), "{verdict:?}");
    assert_eq!(receipt(&verdict).fields["Count"], 2);
}

#[tokio::test]
async fn what_stands_there_is_told_by_probe() {
    let bench = Bench::new().await;
    bench.world.notion(|desk, cx| desk.create_page_at_top(cx, "Private", false));
    let who = bench.patient(async || bench.notion.probe().await).await.expect("answers");
    assert_eq!(who.name, "workspace Lumen Example as loopd");
    assert!(
        who.notes.iter().any(|note| note.contains("shared with the connection: Customers, Feedback, loopd")),
        "{who:?}"
    );
    assert!(!who.notes.iter().any(|note| note.contains("Private")), "{who:?}");
    bench.world.notion(|desk, _| desk.share(PAGE, false));
    let who = bench.patient(async || bench.notion.probe().await).await.expect("answers");
    assert!(who.notes.iter().any(|note| note.contains("not shared with the connection: open it in Notion")), "{who:?}");
    bench.world.notion(|desk, _| {
        desk.share(PAGE, true);
        desk.deny(&[Capability::ReadContent]);
    });
    let who = bench.patient(async || bench.notion.probe().await).await.expect("answers");
    assert!(who.notes.iter().any(|note| note.contains("Insufficient permissions for this endpoint")), "{who:?}");
}

#[tokio::test]
async fn both_versions_are_spoken() {
    let bench = Bench::with(&json!({ "version": "2026-03-11" }), None).await;
    let page = bench.fill(1).await.remove(0);
    assert!(bench.write(FEEDBACK, &update(0, &page, &json!({ "Severity": "Low" }))).await.is_ok());
    bench.world.notion(|desk, cx| desk.trash_row(cx, &page, true));
    assert_eq!(bench.read(&page).await.expect("reads").body, None);
    let gone = bench.write(FEEDBACK, &update(0, &page, &json!({ "Severity": "High" }))).await;
    assert!(matches!(gone, Ok(Written::Gone)), "{gone:?}");
}

#[tokio::test]
async fn requests_are_as_the_specification_says() {
    let Some(spec) = spec::notion() else { return };
    let bench = Bench::new().await;
    let ids = bench.fill(3).await;
    bench.write(FEEDBACK, &update(0, &ids[0], &json!({ "Severity": "High" }))).await.expect("writes");
    let long: String = "x".repeat(60_000);
    let page = receipt(&bench.write(FEEDBACK, &create(9, &json!({ "Verbatim": long }))).await).id.clone();
    bench.body(&page).await;
    bench.pull_all(&mut None).await;
    let (source, sink) = (bench.notion.source().expect("it reads"), bench.notion.sink().expect("it writes"));
    bench.patient(async || source.ids(FEEDBACK, None).await).await.expect("ids");
    bench.patient(async || sink.list(FEEDBACK, None).await).await.expect("rows");
    bench.patient(async || sink.find(FEEDBACK, &[id(1)]).await).await.expect("finds");
    bench.patient(async || source.fetch(&Key::new(FEEDBACK, &ids[1])).await).await.expect("fetches");
    bench.patient(async || bench.notion.probe().await).await.expect("answers");
    let mut checked = 0;
    for request in bench.sent.seen() {
        assert_eq!(request.headers()["notion-version"], "2025-09-03");
        // The document has no databases to make, and no views.
        let path = request.uri().path();
        if path.starts_with("/v1/views") || (path == "/v1/databases" && request.method() == "POST") {
            continue;
        }
        assert_eq!(spec.check("", &request), Ok(()));
        checked += 1;
    }
    assert!(checked > 30, "{checked}");
}
