//! Accounts and opportunities, page after page; deletions; what people change in our records.

use std::collections::BTreeSet;
use std::time::Duration;

use connectors::{Fault, Key, Next, Record};
use sandbox::{FailKind, Faults, Vendor};
use serde_json::{Value, json};

use super::bench::{ACCOUNT, Bench, FEEDBACK, create, id, receipt, with_token};

fn ids(records: &[Record]) -> BTreeSet<String> {
    records.iter().map(|record| record.key.id.clone()).collect()
}

fn account_field(name: &str, metadata: &Value, bench: &Bench) {
    bench.world.salesforce(|desk, cx| desk.add_field(cx, ACCOUNT, name, metadata));
}

#[tokio::test]
async fn accounts_come_with_what_the_settings_name() {
    let bench = Bench::empty();
    account_field("ARR__c", &json!({ "type": "Currency", "precision": 18, "scale": 2, "label": "ARR" }), &bench);
    account_field("Segment__c", &json!({ "type": "Text", "length": 40, "label": "Segment" }), &bench);
    let settings = json!({ "account": { "tier": "Segment__c", "customer_since": "CreatedDate" }, "fields": { "Account": ["Phone"] } });
    let bench = bench.beside(&with_token(Vendor::Salesforce.token()), &settings);
    let acme = bench.made(
        ACCOUNT,
        &json!({
            "Name": "Lumen Example", "Website": "https://lumen.example.com", "Industry": "Energy", "BillingCountry": "France", "ARR__c": 30_000.5,
            "Segment__c": "Enterprise", "Phone": "1", "Type": "Customer - Direct",
        }),
    );
    bench.attach(None).await;
    let records = bench.pull_all(ACCOUNT, &mut None).await;
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(record.key, Key::new(ACCOUNT, acme.clone()));
    assert!(record.url.as_ref().is_some_and(|url| url.ends_with(&acme)));
    assert!(record.version.is_some());
    let body = record.body.as_ref().expect("a body");
    assert_eq!(
        (&body["arr"], &body["tier"], &body["region"], &body["lifecycle"]),
        (&json!(30_000.5), &json!("Enterprise"), &json!("France"), &json!("Customer - Direct"))
    );
    assert_eq!(
        (&body["Owner"]["Name"], &body["Phone"], &body["customer_since"]),
        (&json!("Ada Admin"), &json!("1"), &json!("2026-11-23T08:00:00Z"))
    );
    assert!(body.get("attributes").is_none());
    // A setting that names what is not there is told; a default is not.
    let wrong = bench.beside(&with_token(Vendor::Salesforce.token()), &json!({ "account": { "arr": "Revenue__c" } }));
    wrong.attach(None).await;
    assert!(wrong.salesforce.hindrance().is_some_and(|why| why.contains("Revenue__c")));
    assert_eq!(
        wrong.pull_all(ACCOUNT, &mut None).await[0].body.as_ref().map(|body| body["arr"].clone()),
        Some(Value::Null)
    );
}

#[tokio::test]
async fn more_than_a_page_of_accounts_with_one_time_and_with_many() {
    let bench = Bench::empty();
    bench.attach(None).await;
    let mut made = BTreeSet::new();
    for n in 0..4_500 {
        // Most in one moment, as a data load makes them.
        if n > 4_000 {
            bench.clock.advance(Duration::from_secs(1));
        }
        made.insert(bench.made(ACCOUNT, &json!({ "Name": format!("Corp {n}") })));
    }
    let mut at = None;
    let records = bench.pull_all(ACCOUNT, &mut at).await;
    assert_eq!(ids(&records), made);
    assert_eq!(records.len(), 4_500, "within a pass nothing comes twice");
    assert_eq!(bench.calls("GET queryAll"), 3);
    // What changed, with an overlap of five minutes.
    bench.clock.advance(Duration::from_secs(3_600));
    assert!(bench.pull_all(ACCOUNT, &mut at).await.len() < 500);
    bench.clock.advance(Duration::from_secs(600));
    assert_eq!(bench.pull_all(ACCOUNT, &mut at).await, []);
    let one = made.iter().next().cloned().unwrap_or_default();
    bench.edit(ACCOUNT, &one, &json!({ "Industry": "Energy" }));
    assert_eq!(ids(&bench.pull_all(ACCOUNT, &mut at).await), [one].into());
    // All that exist, for the sweep.
    let source = bench.salesforce.source().expect("it reads");
    let (mut swept, mut next) = (BTreeSet::new(), None);
    loop {
        let page =
            bench.patient(async || source.ids(ACCOUNT, next.as_ref()).await).await.expect("a page").expect("it lists");
        swept.extend(page.ids);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(swept, made);
}

#[tokio::test]
async fn a_row_that_changes_during_a_pass_is_not_missed() {
    let bench = Bench::empty();
    bench.attach(None).await;
    let made: Vec<String> = (0..2_100).map(|n| bench.made(ACCOUNT, &json!({ "Name": format!("Corp {n}") }))).collect();
    let first = bench.page(ACCOUNT, None).await.expect("a page");
    let Next::More(at) = first.next else { panic!("one page") };
    bench.clock.advance(Duration::from_secs(5));
    // One that was to come, and one that has come.
    bench.edit(ACCOUNT, &made[2_050], &json!({ "Industry": "Media" }));
    bench.edit(ACCOUNT, &made[3], &json!({ "Industry": "Media" }));
    let mut at = Some(at);
    let rest = bench.pull_all(ACCOUNT, &mut at).await;
    let (mut all, rest_ids) = (ids(&first.records), ids(&rest));
    assert!(rest_ids.contains(&made[2_050]) && rest_ids.contains(&made[3]));
    all.extend(rest_ids);
    assert_eq!(all.len(), 2_100);
}

#[tokio::test]
async fn deleted_merged_restored_and_erased() {
    let bench = Bench::empty();
    bench.attach(None).await;
    let [a, b, c] = ["A", "B", "C"].map(|name| bench.made(ACCOUNT, &json!({ "Name": name })));
    let mut at = None;
    assert_eq!(bench.pull_all(ACCOUNT, &mut at).await.len(), 3);
    bench.clock.advance(Duration::from_secs(3_600));
    bench.pull_all(ACCOUNT, &mut at).await;
    bench.world.salesforce(|desk, cx| desk.merge(cx, &a, &b));
    let news = bench.pull_all(ACCOUNT, &mut at).await;
    assert!(news.iter().any(|record| record.key.id == b && record.body.is_none()), "{news:?}");
    bench.clock.advance(Duration::from_secs(60));
    bench.world.salesforce(|desk, cx| desk.restore(cx, ACCOUNT, &b));
    let news = bench.pull_all(ACCOUNT, &mut at).await;
    assert!(news.iter().any(|record| record.key.id == b && record.body.is_some()), "{news:?}");
    // Erased: no query tells of it; a look does.
    bench.world.salesforce(|desk, _| desk.erase(ACCOUNT, &c));
    let source = bench.salesforce.source().expect("it reads");
    let seen = bench
        .patient(async || source.fetch(&Key::new(ACCOUNT, c.clone())).await)
        .await
        .expect("answers")
        .expect("a record");
    assert!(seen.body.is_none());
    let odd = bench.patient(async || source.fetch(&Key::new(ACCOUNT, "' OR Name != '")).await).await.expect("answers");
    assert!(odd.is_some_and(|record| record.body.is_none()), "what is no id is nobody's");
}

#[tokio::test]
async fn an_opportunity_says_each_thing_by_itself() {
    let bench = Bench::new().await;
    let acme = bench.made(ACCOUNT, &json!({ "Name": "Lumen Example", "Website": "lumen.example.com" }));
    let deal = json!({ "Name": "Renewal", "StageName": "Prospecting", "CloseDate": "2026-12-31", "AccountId": acme, "Loopd_Blockers__c": "No SSO.", "Loopd_Wins__c": "Speed." });
    let deal = bench.made("Opportunity", &deal);
    bench.made("Opportunity", &json!({ "Name": "Silent", "StageName": "Prospecting", "CloseDate": "2026-12-31" }));
    let mut at = None;
    let said = |records: Vec<Record>| -> Vec<(String, Option<String>)> {
        let text = |record: &Record| record.body.as_ref().and_then(|body| body["text"].as_str().map(str::to_owned));
        records
            .iter()
            .filter(|record| record.key.id.starts_with(&deal))
            .map(|record| (record.key.id.clone(), text(record)))
            .collect()
    };
    let some = |text: &str| Some(text.to_owned());
    let of = |about: &str| format!("{deal}#{about}");
    let first = bench.pull_all("Opportunity", &mut at).await;
    let body = first.iter().find_map(|record| record.body.clone()).expect("a body");
    assert_eq!(
        (&body["about"], &body["Account"]["Website"], &body["StageName"]),
        (&json!("blockers"), &json!("lumen.example.com"), &json!("Prospecting"))
    );
    assert_eq!(said(first), [(of("blockers"), some("No SSO.")), (of("wants"), None), (of("wins"), some("Speed."))]);
    bench.clock.advance(Duration::from_secs(30));
    bench.edit("Opportunity", &deal, &json!({ "Loopd_Blockers__c": "", "Loopd_Wants__c": "An EU region." }));
    assert_eq!(
        said(bench.pull_all("Opportunity", &mut at).await),
        [(of("blockers"), None), (of("wants"), some("An EU region.")), (of("wins"), some("Speed."))]
    );
    let source = bench.salesforce.source().expect("it reads");
    let page = bench.patient(async || source.ids("Opportunity", None).await).await.expect("a page").expect("it lists");
    assert_eq!(page.ids, [of("wants"), of("wins")]);
    let one = bench
        .patient(async || source.fetch(&Key::new("Opportunity", of("wants"))).await)
        .await
        .expect("answers")
        .expect("there");
    assert_eq!(one.body.map(|body| body["text"].clone()), Some(json!("An EU region.")));
    bench.world.salesforce(|desk, cx| assert!(desk.throw_away(cx, "Opportunity", &deal)));
    assert!(said(bench.pull_all("Opportunity", &mut at).await).iter().all(|(_, text)| text.is_none()));
}

#[tokio::test]
async fn what_people_change_in_our_records_comes_back_and_their_own_records_do_not() {
    let bench = Bench::new().await;
    let verdicts = bench
        .write(FEEDBACK, &[create(1, &json!({ "Name": "x", "Status__c": "New" })), create(2, &json!({ "Name": "y" }))])
        .await;
    let ours = receipt(&verdicts[0]).id.clone();
    bench.made(FEEDBACK, &json!({ "Name": "a person's own" }));
    let mut at = None;
    let echo = bench.pull_all(FEEDBACK, &mut at).await;
    assert_eq!(echo.len(), 2, "{echo:?}");
    let seen = echo.iter().find(|record| record.key.id == ours).and_then(|record| record.body.clone()).expect("a body");
    for (name, value) in &receipt(&verdicts[0]).fields {
        assert_eq!(seen.get(name), Some(value), "{name}: an echo equals what the receipt said");
    }
    bench.clock.advance(Duration::from_secs(60));
    bench.edit(FEEDBACK, &ours, &json!({ "Status__c": "Addressed" }));
    let news = bench.pull_all(FEEDBACK, &mut at).await;
    let edited = news.iter().find(|record| record.key.id == ours).expect("it comes");
    assert_eq!(edited.body.as_ref().map(|body| body["Status__c"].clone()), Some(json!("Addressed")));
    assert!(edited.version.is_some());
    let source = bench.salesforce.source().expect("it reads");
    let page = bench.patient(async || source.ids(FEEDBACK, None).await).await.expect("a page").expect("it lists");
    assert_eq!(page.ids.len(), 2);
    assert!(bench.find(&[id(1)]).await[0].is_some());
}

#[tokio::test]
async fn reads_that_fail_or_lag_lose_nothing() {
    let bench = Bench::empty();
    bench.attach(None).await;
    bench.made(ACCOUNT, &json!({ "Name": "A" }));
    for kind in [
        FailKind::ServerError,
        FailKind::Unavailable,
        FailKind::CutAfter,
        FailKind::CutBefore,
        FailKind::BadGatewayAfter,
    ] {
        bench.world.fail_next(Vendor::Salesforce, 1, kind);
        let page = bench.page(ACCOUNT, None).await;
        assert!(matches!(page, Err(Fault::Later { .. } | Fault::Unknown { .. })), "{kind:?}: {page:?}");
    }
    assert_eq!(bench.pull_all(ACCOUNT, &mut None).await.len(), 1);
    // Reads that are a minute old: the overlap brings what they did not show.
    let faults: Faults = "stale_read=0.5:60000".parse().expect("faults");
    bench.world.set_faults(faults);
    let (mut at, mut seen, mut made) = (None, BTreeSet::new(), BTreeSet::new());
    for n in 0..60 {
        made.insert(bench.made(ACCOUNT, &json!({ "Name": format!("B {n}") })));
        bench.clock.advance(Duration::from_secs(20));
        seen.extend(ids(&bench.pull_all(ACCOUNT, &mut at).await));
    }
    bench.world.set_faults(Faults::NONE);
    seen.extend(ids(&bench.pull_all(ACCOUNT, &mut at).await));
    assert!(made.is_subset(&seen), "{} of {}", seen.len(), made.len());
}

#[tokio::test]
async fn a_field_that_goes_while_it_is_read_is_left_out() {
    let bench = Bench::empty();
    account_field("ARR__c", &json!({ "type": "Number", "precision": 18, "scale": 0, "label": "ARR" }), &bench);
    bench.made(ACCOUNT, &json!({ "Name": "A", "ARR__c": 5 }));
    bench.attach(None).await;
    assert_eq!(
        bench.pull_all(ACCOUNT, &mut None).await[0].body.as_ref().map(|body| body["arr"].clone()),
        Some(json!(5.0))
    );
    bench.world.salesforce(|desk, _| desk.hide_field(ACCOUNT, "ARR__c"));
    let page = bench.page(ACCOUNT, None).await;
    assert!(matches!(&page, Err(Fault::Later { .. })), "{page:?}");
    assert!(bench.salesforce.wants_attach());
    bench.attach(None).await;
    assert_eq!(
        bench.pull_all(ACCOUNT, &mut None).await[0].body.as_ref().map(|body| body["arr"].clone()),
        Some(Value::Null)
    );
}
