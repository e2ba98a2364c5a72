//! The Salesforce connector against its stand-in.

mod bench;
mod reading;
mod signing_in;

use std::time::Duration;

use connectors::{Fault, FieldKind, Written};
use sandbox::{FailKind, Vendor};
use serde_json::{Map, Value, json};

use bench::{ACCOUNT, Bench, FEEDBACK, create, id, receipt, shape, update, with_token};

#[tokio::test]
async fn setup_makes_and_shows_all_and_then_has_nothing_left_to_do() {
    let bench = Bench::empty();
    let before = bench.attach(None).await;
    assert_eq!(before["objects"][FEEDBACK]["gone"], true);
    assert!(bench.salesforce.hindrance().is_some_and(|why| why.contains(FEEDBACK) && why.contains("setup")));
    bench.furnish().await;
    let setup = bench.salesforce.setup().expect("it sets up");
    let wanted = shape();
    let plan = bench.patient(async || setup.plan(&wanted).await).await.expect("plans");
    assert_eq!(plan.iter().map(|change| &change.what).collect::<Vec<_>>(), Vec::<&String>::new());
    let bound = bench.attach(Some(&before)).await;
    assert_eq!(bound["objects"][FEEDBACK]["missing"], json!({}));
    assert_eq!(bound["objects"][ACCOUNT]["missing"], json!({}));
    assert_eq!(bound["objects"][FEEDBACK]["fields"]["Loopd_ID__c"]["external_id"], true);
    assert_eq!(bench.salesforce.hindrance(), None);
    let who = bench.patient(async || bench.salesforce.probe().await).await.expect("answers");
    assert!(who.name.contains("Sandbox Example") && who.name.contains("ada@sandbox.example.com"), "{who:?}");
    assert!(who.account.starts_with("00D"), "{who:?}");
    // All that it makes is a lookup, an external id, or shown by the one permission set.
    let sets = bench.world.salesforce(|desk, _| desk.rows("PermissionSet"));
    assert_eq!(sets.iter().map(|set| set["Name"].clone()).collect::<Vec<_>>(), [json!("Loopd")]);
}

#[tokio::test]
async fn setup_goes_on_where_it_was_stopped_and_does_nothing_twice() {
    let bench = Bench::empty();
    let setup = bench.salesforce.setup().expect("it sets up");
    let wanted = shape();
    let plan = bench.patient(async || setup.plan(&wanted).await).await.expect("plans");
    // The answer to each step is lost once: it is done again, and made once.
    for change in &plan {
        bench.world.fail_next_operation(Vendor::Salesforce, "POST", 1, FailKind::CutAfter);
        let first = bench.patient(async || setup.apply(change).await).await;
        assert!(first.is_err(), "{}", change.what);
        bench
            .patient(async || setup.apply(change).await)
            .await
            .unwrap_or_else(|fault| panic!("{}: {fault}", change.what));
    }
    assert_eq!(bench.patient(async || setup.plan(&wanted).await).await.expect("plans"), []);
    assert_eq!(bench.world.salesforce(|desk, _| desk.rows("PermissionSetAssignment")).len(), 1);
    // Hidden again: only the permission is planned, not another field.
    bench.world.salesforce(|desk, _| desk.hide_field(FEEDBACK, "Count__c"));
    let plan = bench.patient(async || setup.plan(&wanted).await).await.expect("plans");
    let what: Vec<&str> = plan.iter().map(|change| change.what.as_str()).collect();
    assert!(matches!(what.as_slice(), [only] if only.starts_with("show Loopd_Feedback__c.Count__c")), "{what:?}");
}

#[tokio::test]
async fn work_of_several_calls_goes_on_at_an_even_pace() {
    let bench = Bench::empty();
    let paced =
        bench.beside(&with_token(Vendor::Salesforce.token()), &json!({ "quota": { "calls": 60, "per_seconds": 60 } }));
    paced.furnish().await;
    paced.attach(None).await;
    paced.patient(async || paced.salesforce.probe().await).await.expect("answers");
    let calls = bench.world.books(Vendor::Salesforce).calls;
    assert!(calls < 60, "{calls} calls for what takes fifty: each was made once");
}

#[tokio::test]
async fn who_may_not_customize_is_told_the_clicks() {
    let bench = Bench::empty();
    bench.world.salesforce(|desk, _| desk.issue_token("00D!narrow", false));
    let narrow = bench.beside(&with_token("00D!narrow"), &json!({}));
    let setup = narrow.salesforce.setup().expect("it sets up");
    let wanted = shape();
    let plan = narrow.patient(async || setup.plan(&wanted).await).await.expect("plans");
    let change = plan.iter().find(|change| change.what.contains("create field Loopd_Risk__c")).expect("planned");
    let refused = narrow.patient(async || setup.apply(change).await).await;
    let Err(Fault::Rejected { why, .. }) = refused else { panic!("{refused:?}") };
    assert!(
        why.contains("INSUFFICIENT_ACCESS")
            && why.contains("Setup > Object Manager > Account > Fields & Relationships > New > Picklist"),
        "{why}"
    );
    // What stands there as another type is for a person to mend.
    bench.world.salesforce(|desk, cx| {
        desk.add_field(
            cx,
            ACCOUNT,
            "Loopd_Risk__c",
            &json!({ "type": "Number", "precision": 5, "scale": 0, "label": "Risk" }),
        );
    });
    let plan =
        bench.patient(async || bench.salesforce.setup().expect("it sets up").plan(&wanted).await).await.expect("plans");
    let by_hand: Vec<_> = plan.iter().filter_map(|change| change.by_hand.as_ref()).collect();
    assert!(by_hand.iter().any(|how| how.contains("Change Field Type > Picklist")), "{plan:#?}");
}

#[tokio::test]
async fn every_kind_of_value_comes_back_as_canonical_says() {
    let bench = Bench::new().await;
    let acme = bench.made(ACCOUNT, &json!({ "Name": "Acme Example" }));
    let fields = json!({
        "Name": "  Slow\nsearch ", "Account__c": [acme], "Verbatim__c": "It is slow.\r\n\r\nVery.  ", "Status__c": "Brand new", "Products__c": ["Chat", "API"],
        "ARR__c": 1200.005, "Count__c": 3.0, "Churned__c": true, "Addressed__c": "2026-11-20", "Received__c": "2026-11-20T10:00:00.750+01:00",
        "Link__c": "https://x.example/1",
    });
    let verdicts = bench.write(FEEDBACK, &[create(1, &fields)]).await;
    let made = receipt(&verdicts[0]);
    assert!(made.created && made.skipped.is_empty(), "{made:?}");
    let sink = bench.salesforce.sink().expect("it writes");
    for (name, value) in fields.as_object().expect("fields") {
        assert_eq!(made.fields.get(name), Some(&sink.canonical(FEEDBACK, name, value.clone())), "{name}");
    }
    assert_eq!(made.fields["Received__c"], "2026-11-20T09:00:00Z");
    let read = bench.read(FEEDBACK, std::slice::from_ref(&made.id)).await.expect("reads");
    let Some(Value::Object(mut body)) = read[0].body.clone() else { panic!("{read:?}") };
    assert_eq!(body.remove("Loopd_ID__c"), Some(json!(id(1))));
    assert_eq!(body, made.fields, "what a query returns is what the receipt said");
    // Cut where the field ends, visibly, and no echo for it.
    let long = "ä".repeat(40_000);
    let verdicts =
        bench.write(FEEDBACK, &[update(1, &made.id, &json!({ "Verbatim__c": long, "Name": "x".repeat(90) }))]).await;
    let cut = receipt(&verdicts[0]).fields.clone();
    assert!(
        cut["Verbatim__c"].as_str().is_some_and(|text| text.contains("cut by loopd") && text.chars().count() <= 32_768)
    );
    assert_eq!(cut["Name"].as_str().map(|text| text.chars().count()), Some(80));
    let read = bench.read(FEEDBACK, std::slice::from_ref(&made.id)).await.expect("reads");
    assert_eq!(read[0].body.as_ref().map(|body| body["Verbatim__c"].clone()), Some(cut["Verbatim__c"].clone()));
    // Everything cleared: every field is absent.
    let clear: Map<_, _> = fields
        .as_object()
        .expect("fields")
        .keys()
        .filter(|name| *name != "Name")
        .map(|name| (name.clone(), Value::Null))
        .collect();
    assert!(bench.write(FEEDBACK, &[update(1, &made.id, &Value::Object(clear))]).await[0].is_ok());
    let read = bench.read(FEEDBACK, std::slice::from_ref(&made.id)).await.expect("reads");
    let Some(Value::Object(body)) = read[0].body.clone() else { panic!("{read:?}") };
    assert_eq!(body.keys().collect::<Vec<_>>(), ["Loopd_ID__c", "Name"]);
}

#[tokio::test]
async fn a_create_repeated_makes_no_second_record() {
    let bench = Bench::new().await;
    for kind in [FailKind::CutAfter, FailKind::ErrorAfter, FailKind::BadGatewayAfter] {
        bench.world.fail_next_operation(Vendor::Salesforce, "PATCH collection", 1, kind);
        let verdicts = bench.write(FEEDBACK, &[create(1, &json!({ "Name": "x" }))]).await;
        assert!(matches!(verdicts[0], Err(Fault::Unknown { .. })), "{kind:?}: {verdicts:?}");
    }
    let found = bench.find(&[id(1), id(2)]).await;
    assert!(found[0].is_some() && found[1].is_none());
    let again = bench.write(FEEDBACK, &[create(1, &json!({ "Name": "x" })), create(2, &json!({ "Name": "y" }))]).await;
    assert_eq!(again.iter().map(|verdict| receipt(verdict).created).collect::<Vec<_>>(), [false, true]);
    assert!(bench.world.salesforce(|desk, _| desk.doubles(FEEDBACK, "Loopd_ID__c")).is_empty());
    // The way back from a lost ledger.
    let sink = bench.salesforce.sink().expect("it writes");
    let (listed, next) = bench.patient(async || sink.list(FEEDBACK, None).await).await.expect("lists");
    assert_eq!(listed.iter().map(|(external, _)| external.clone()).collect::<Vec<_>>(), [id(1), id(2)]);
    assert!(next.is_none());
}

#[tokio::test]
async fn faults_are_decisions() {
    let bench = Bench::new().await;
    let one = [create(1, &json!({ "Name": "x" }))];
    for kind in [FailKind::CutBefore, FailKind::ServerError, FailKind::Unavailable] {
        bench.world.fail_next_operation(Vendor::Salesforce, "PATCH collection", 1, kind);
        let verdict = bench.write(FEEDBACK, &one).await.remove(0);
        assert!(matches!(verdict, Err(Fault::Unknown { .. })), "{kind:?}: {verdict:?}");
    }
    bench.world.fail_next(Vendor::Salesforce, 1, FailKind::ServerError);
    let read = bench.read(FEEDBACK, &["a015g0000000001AAA".into()]).await;
    assert!(matches!(read, Err(Fault::Later { .. })), "a read may simply be repeated: {read:?}");
    // 403, and it is no lock: the day's calls are used up.
    bench.world.fail_next(Vendor::Salesforce, 1, FailKind::Throttled);
    let throttled = bench.write(FEEDBACK, &one).await.remove(0);
    let is_later = |verdict: &Result<Written, Fault>| matches!(verdict, Err(Fault::Later { after: Some(wait), why }) if *wait >= Duration::from_secs(600) && why.contains("REQUEST_LIMIT_EXCEEDED"));
    assert!(is_later(&throttled), "{throttled:?}");
    let before = bench.world.books(Vendor::Salesforce).calls;
    assert!(matches!(
        bench.salesforce.sink().expect("it writes").write(FEEDBACK, &one).await[0],
        Err(Fault::Later { .. })
    ));
    assert_eq!(bench.world.books(Vendor::Salesforce).calls, before, "the gate is closed for all");
    assert_eq!(bench.salesforce.meter().throttled, 1);
    bench.clock.advance(Duration::from_secs(901));
    assert!(bench.write(FEEDBACK, &one).await[0].is_ok());
    bench.world.salesforce(|desk, _| desk.revoke_token(Vendor::Salesforce.token()));
    let locked = bench.write(FEEDBACK, &one).await.remove(0);
    assert!(matches!(&locked, Err(Fault::Locked { why }) if why.contains("INVALID_SESSION_ID")), "{locked:?}");
}

#[tokio::test]
async fn the_days_calls_are_watched_and_some_are_left_to_others() {
    let bench = Bench::new().await;
    let one = [create(1, &json!({ "Name": "x" }))];
    bench.world.salesforce(|desk, cx| {
        desk.set_limit(10_000);
        desk.use_up(cx, 9_480);
    });
    let first = bench.write(FEEDBACK, &one).await.remove(0);
    assert!(first.is_ok(), "the answer to this one tells: {first:?}");
    let before = bench.world.books(Vendor::Salesforce).calls;
    let verdict = bench.salesforce.sink().expect("it writes").write(FEEDBACK, &one).await.remove(0);
    assert!(
        matches!(&verdict, Err(Fault::Later { after: Some(_), why }) if why.contains("of 10000 API calls")),
        "and why: {verdict:?}"
    );
    assert_eq!(bench.world.books(Vendor::Salesforce).calls, before);
    assert!(bench.salesforce.hindrance().is_some_and(|why| why.contains("of 10000 API calls")));
    // The window rolls on.
    bench.clock.advance(Duration::from_secs(25 * 3600));
    assert!(bench.write(FEEDBACK, &one).await[0].is_ok());
    assert_eq!(bench.salesforce.hindrance(), None);
    bench.world.salesforce(|desk, _| desk.set_limit(1));
    let refused = bench.write(FEEDBACK, &one).await.remove(0);
    assert!(matches!(&refused, Err(Fault::Later { why, .. }) if why.contains("REQUEST_LIMIT_EXCEEDED")), "{refused:?}");
}

#[tokio::test]
async fn each_row_has_its_own_verdict() {
    let bench = Bench::new().await;
    let acme = bench.made(ACCOUNT, &json!({ "Name": "Acme Example" }));
    let gone = bench.made(ACCOUNT, &json!({ "Name": "Gone Example" }));
    bench.world.salesforce(|desk, cx| assert!(desk.throw_away(cx, ACCOUNT, &gone)));
    bench.world.salesforce(|desk, _| {
        desk.change_field(FEEDBACK, "Status__c", &json!({
            "type": "Picklist", "label": "Status",
            "valueSet": { "restricted": true, "valueSetDefinition": { "value": [{ "valueName": "New" }, { "valueName": "Addressed" }] } },
        }));
    });
    let verdicts = bench
        .write(
            FEEDBACK,
            &[
                create(1, &json!({ "Name": "good", "Account__c": [acme] })),
                create(2, &json!({ "Name": "a word that the picklist has not", "Status__c": "Later" })),
                create(3, &json!({ "Name": "of a deleted account", "Account__c": [gone] })),
                create(4, &json!({ "Name": "good, too" })),
                create(5, &json!({ "Name": "too much", "ARR__c": 1e20 })),
            ],
        )
        .await;
    assert!(verdicts[0].is_ok() && verdicts[3].is_ok(), "{verdicts:?}");
    let rejected = |n: usize, name: &str, word: &str| {
        let is = matches!(&verdicts[n], Err(Fault::Rejected { field: Some(field), why }) if field == name && why.contains(word));
        assert!(is, "{:?}", verdicts[n]);
    };
    rejected(1, "Status__c", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST");
    rejected(2, "Account__c", "ENTITY_IS_DELETED");
    rejected(4, "ARR__c", "NUMBER_OUTSIDE_VALID_RANGE");
    assert_eq!(bench.calls("PATCH collection"), 1, "one call for all");
    // A lock that somebody else holds: this row later, the others now.
    bench.world.salesforce(|desk, _| desk.lock(ACCOUNT, &acme, 1));
    let verdicts = bench
        .write(
            FEEDBACK,
            &[create(6, &json!({ "Name": "x", "Account__c": [acme] })), create(7, &json!({ "Name": "y" }))],
        )
        .await;
    assert!(
        matches!(&verdicts[0], Err(Fault::Later { why, .. }) if why.contains("UNABLE_TO_LOCK_ROW")),
        "{verdicts:?}"
    );
    assert!(verdicts[1].is_ok());
    assert!(bench.write(FEEDBACK, &[create(6, &json!({ "Name": "x", "Account__c": [acme] }))]).await[0].is_ok());
    // Deleted under our hands.
    let rows = bench.find(&[id(4)]).await;
    let target = rows[0].as_ref().map(|record| record.key.id.clone()).unwrap_or_default();
    bench.world.salesforce(|desk, cx| assert!(desk.throw_away(cx, FEEDBACK, &target)));
    let verdicts = bench
        .write(
            FEEDBACK,
            &[update(4, &target, &json!({ "Name": "z" })), update(9, "a005g0000099999AAA", &json!({ "Name": "z" }))],
        )
        .await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Ok(Written::Gone))), "{verdicts:?}");
    let read = bench.read(FEEDBACK, &[target]).await.expect("reads");
    assert!(read[0].body.is_none());
}

#[tokio::test]
async fn hundreds_go_in_collections_of_two_hundred() {
    let bench = Bench::new().await;
    // What `setup` took of the quota's burst is there again.
    bench.clock.advance(Duration::from_secs(60));
    let sink = bench.salesforce.sink().expect("it writes");
    assert_eq!(sink.batch(FEEDBACK), 200);
    let writes: Vec<_> = (0..450).map(|n| create(n, &json!({ "Name": format!("Item {n}") }))).collect();
    let verdicts = bench.write(FEEDBACK, &writes).await;
    assert!(verdicts.iter().all(|verdict| receipt(verdict).created));
    assert_eq!(bench.calls("PATCH collection"), 3);
    // Heavy rows go in smaller ones.
    bench.clock.advance(Duration::from_secs(60));
    let heavy: Vec<_> = (0..200).map(|n| create(n, &json!({ "Verbatim__c": "w".repeat(32_000) }))).collect();
    assert!(bench.write(FEEDBACK, &heavy).await.iter().all(Result::is_ok));
    assert!(bench.calls("PATCH collection") > 4);
    // Reads and searches of many are cut to fit their addresses.
    let ids: Vec<String> = verdicts.iter().map(|verdict| receipt(verdict).id.clone()).collect();
    let read = bench.read(FEEDBACK, &ids).await.expect("reads");
    assert!(read.iter().all(|record| record.body.is_some()));
    assert_eq!(read.iter().map(|record| record.key.id.clone()).collect::<Vec<_>>(), ids);
    let named: Vec<String> = (0..450).map(id).collect();
    assert!(bench.find(&named).await.iter().all(Option::is_some));
    let longest = bench.sent.seen().iter().map(|request| request.uri().to_string().len()).max().unwrap_or_default();
    assert!(longest < 16_000, "{longest}");
}

#[tokio::test]
async fn accounts_are_changed_and_never_made() {
    let bench = Bench::new().await;
    let acme = bench.made(ACCOUNT, &json!({ "Name": "Acme Example", "Industry": "Energy" }));
    let spec = bench.salesforce.collections().into_iter().find(|spec| spec.name == ACCOUNT).expect("a collection");
    assert!(spec.writable && !spec.creatable);
    let fields =
        json!({ "Loopd_Open_Requests__c": 2, "Loopd_Risk__c": "High", "Loopd_Shipped__c": "2026-11-21 Export" });
    let verdicts = bench.write(ACCOUNT, &[update(1, &acme, &fields)]).await;
    assert_eq!(receipt(&verdicts[0]).id, acme);
    let there = bench.world.salesforce(|desk, _| desk.row(ACCOUNT, &acme)).expect("a row");
    assert_eq!(
        (&there["Loopd_Open_Requests__c"], &there["Loopd_Risk__c"], &there["Industry"]),
        (&json!(2.0), &json!("High"), &json!("Energy"))
    );
    let read = bench.read(ACCOUNT, std::slice::from_ref(&acme)).await.expect("reads");
    assert_eq!(read[0].body.as_ref().map(|body| body["Loopd_Open_Requests__c"].clone()), Some(json!(2)));
    let made = bench.write(ACCOUNT, &[create(2, &fields)]).await.remove(0);
    assert!(matches!(made, Err(Fault::Rejected { .. })), "{made:?}");
    assert!(
        !bench
            .sent
            .seen()
            .iter()
            .any(|request| request.method() == "POST" && request.uri().path().ends_with("/sobjects/Account"))
    );
    // Every call says whose it is.
    assert!(bench.sent.seen().iter().all(|request| {
        request.headers().get("sforce-call-options").is_some_and(|told| told.as_bytes().starts_with(b"client=loopd/"))
    }));
}

#[tokio::test]
async fn a_field_that_is_hidden_or_closed_costs_the_field_and_not_the_row() {
    let bench = Bench::new().await;
    bench.world.salesforce(|desk, _| desk.hide_field(FEEDBACK, "Count__c"));
    let one = [create(1, &json!({ "Name": "x", "Count__c": 3 }))];
    let first = bench.write(FEEDBACK, &one).await.remove(0);
    assert!(matches!(&first, Err(Fault::Later { why, .. }) if why.contains("Count__c")), "{first:?}");
    assert!(bench.salesforce.wants_attach());
    let second = bench.write(FEEDBACK, &one).await.remove(0);
    let made = receipt(&second);
    assert!(made.skipped.contains_key("Count__c") && made.fields.contains_key("Name"), "{made:?}");
    bench.attach(None).await;
    assert!(!bench.salesforce.wants_attach());
    assert!(bench.salesforce.sink().expect("it writes").lacks(FEEDBACK).contains("Count__c"));
    assert!(bench.salesforce.hindrance().is_some_and(|why| why.contains("Count__c")));
    // Shown again: the next attach binds it, and what is owed is written.
    bench.world.salesforce(|desk, cx| desk.show_field(cx, FEEDBACK, "Count__c"));
    bench.attach(None).await;
    let third = bench.write(FEEDBACK, &[update(1, &made.id, &json!({ "Count__c": 3 }))]).await.remove(0);
    assert!(receipt(&third).skipped.is_empty());
    // Nothing of this can be written: no call is spent on it.
    let before = bench.sent.seen().len();
    let nothing = bench.write(FEEDBACK, &[update(1, &made.id, &json!({ "Nowhere__c": 3 }))]).await.remove(0);
    assert!(receipt(&nothing).skipped.contains_key("Nowhere__c"));
    assert_eq!(bench.sent.seen().len(), before);
}

#[tokio::test]
async fn tasks_may_keep_what_was_addressed() {
    let bench = Bench::empty();
    let fields = vec![
        bench::field("Subject", FieldKind::Text, &[], None),
        bench::field("Status", FieldKind::Select, &[], None),
        bench::field("WhatId", FieldKind::Link, &[], Some(ACCOUNT)),
    ];
    let tasks = connectors::CollectionShape { name: "Task".into(), key: Some("Loopd_ID__c".into()), fields };
    let wanted = connectors::Shape { collections: vec![tasks] };
    let bench =
        bench.beside(&with_token(Vendor::Salesforce.token()), &json!({ "objects": ["Task"], "opportunity": {} }));
    let setup = bench.salesforce.setup().expect("it sets up");
    for change in bench.patient(async || setup.plan(&wanted).await).await.expect("plans") {
        bench
            .patient(async || setup.apply(&change).await)
            .await
            .unwrap_or_else(|fault| panic!("{}: {fault}", change.what));
    }
    bench.patient(async || bench.salesforce.attach(&wanted, None, None).await).await.expect("attaches");
    let acme = bench.made(ACCOUNT, &json!({ "Name": "Acme Example" }));
    let fields = json!({ "Subject": "Addressed: export", "Status": "Completed", "WhatId": [acme] });
    bench.world.fail_next_operation(Vendor::Salesforce, "POST collection", 1, FailKind::CutAfter);
    let lost = bench.write("Task", &[create(1, &fields)]).await.remove(0);
    assert!(matches!(lost, Err(Fault::Unknown { .. })), "{lost:?}");
    // A task's key is no external id: it is looked for, and found.
    let sink = bench.salesforce.sink().expect("it writes");
    let found = bench.patient(async || sink.find("Task", &[id(1), id(2)]).await).await.expect("finds");
    assert_eq!(
        found[0].as_ref().and_then(|record| record.body.as_ref()).map(|body| body["WhatId"].clone()),
        Some(json!([acme]))
    );
    assert!(found[1].is_none());
}
