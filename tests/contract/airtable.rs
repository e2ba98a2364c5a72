//! The Airtable connector against its stand-in.

mod bench;

use std::collections::BTreeSet;
use std::time::Duration;

use connectors::{Fault, Key, Refusal, Request, Written};
use sandbox::{FailKind, Vendor};
use serde_json::{Value, json};

use bench::{BASE, Bench, CALLBACK, FEEDBACK, create, id, receipt, shape, update};

#[tokio::test]
async fn setup_furnishes_an_empty_base_and_then_has_nothing_left_to_do() {
    let bench = Bench::new().await;
    let setup = bench.airtable.setup().expect("it sets up");
    let wanted = shape();
    let plan = bench.patient(async || setup.plan(&wanted).await).await.expect("plans");
    let left: Vec<_> =
        plan.iter().filter(|change| change.by_hand.is_none()).map(|change| change.what.clone()).collect();
    assert_eq!(left, Vec::<String>::new());
    assert!(plan.iter().all(|change| change.what.starts_with("view ")), "{plan:#?}");
    let who = bench.patient(async || bench.airtable.probe().await).await.expect("answers");
    assert_eq!(who.account, BASE);
    assert_eq!(bench.world.books(Vendor::Airtable).throttled, 0);
}

#[tokio::test]
async fn every_kind_of_value_comes_back_as_canonical_says() {
    let bench = Bench::new().await;
    let customers = bench.write("Customers", &[create(900, &json!({ "Name": "Acme" }))]).await;
    let acme = receipt(&customers[0]).id.clone();
    let fields = json!({
        "Summary": "Slow\nsearch", "Verbatim": "It is slow.\n\nVery.", "Severity": " High ", "Products": ["Chat", "API"], "ARR": 1200.005,
        "Count": 3.0, "Churned": true, "Date": "2026-11-20", "Seen": "2026-11-20T10:00:00+01:00", "Source URL": "https://x.example/1", "Customer": [acme],
    });
    let verdicts = bench.write(FEEDBACK, &[create(1, &fields)]).await;
    let made = receipt(&verdicts[0]);
    assert!(made.created && made.skipped.is_empty(), "{made:?}");
    let sink = bench.airtable.sink().expect("it writes");
    for (name, value) in fields.as_object().expect("fields") {
        assert_eq!(made.fields.get(name), Some(&sink.canonical(FEEDBACK, name, value.clone())), "{name}");
    }
    let read = bench.read(std::slice::from_ref(&made.id)).await.expect("reads");
    let Some(Value::Object(mut body)) = read[0].body.clone() else { panic!("{read:?}") };
    assert_eq!(body.remove("Loopd ID"), Some(json!(id(1))));
    assert_eq!(body, made.fields);
    // Everything cleared: every field is absent.
    let clear: serde_json::Map<_, _> =
        fields.as_object().expect("fields").keys().map(|name| (name.clone(), Value::Null)).collect();
    bench
        .write(FEEDBACK, &[update(1, &made.id, &Value::Object(clear))])
        .await
        .iter()
        .for_each(|verdict| assert!(verdict.is_ok(), "{verdict:?}"));
    let read = bench.read(std::slice::from_ref(&made.id)).await.expect("reads");
    assert_eq!(read[0].body, Some(json!({ "Loopd ID": id(1) })));
}

#[tokio::test]
async fn a_create_repeated_makes_no_second_row() {
    let bench = Bench::new().await;
    for kind in [FailKind::CutAfter, FailKind::ErrorAfter, FailKind::BadGatewayAfter] {
        bench.world.fail_next_operation(Vendor::Airtable, "PATCH records", 1, kind);
        let verdicts = bench.write(FEEDBACK, &[create(1, &json!({ "Summary": "x" }))]).await;
        assert!(matches!(verdicts[0], Err(Fault::Unknown { .. })), "{kind:?}: {verdicts:?}");
    }
    let sink = bench.airtable.sink().expect("it writes");
    let found = bench.patient(async || sink.find(FEEDBACK, &[id(1), id(2)]).await).await.expect("finds");
    assert!(found[0].is_some() && found[1].is_none());
    let again =
        bench.write(FEEDBACK, &[create(1, &json!({ "Summary": "x" })), create(2, &json!({ "Summary": "y" }))]).await;
    assert_eq!(again.iter().map(|verdict| receipt(verdict).created).collect::<Vec<_>>(), [false, true]);
    assert!(bench.world.airtable(|desk, _| desk.doubles(BASE, FEEDBACK, "Loopd ID")).is_empty());
}

#[tokio::test]
async fn faults_are_decisions() {
    let bench = Bench::new().await;
    let one = [create(1, &json!({ "Summary": "x" }))];
    for (kind, known) in [(FailKind::CutBefore, false), (FailKind::ServerError, false), (FailKind::Unavailable, true)] {
        bench.world.fail_next_operation(Vendor::Airtable, "PATCH records", 1, kind);
        let verdict = bench.write(FEEDBACK, &one).await.remove(0);
        let later = matches!(verdict, Err(Fault::Later { .. }));
        assert!(if known { later } else { matches!(verdict, Err(Fault::Unknown { .. })) }, "{kind:?}: {verdict:?}");
    }
    bench.world.fail_next(Vendor::Airtable, 1, FailKind::ServerError);
    assert!(matches!(bench.read(&[id(1)]).await, Err(Fault::Later { .. })), "a read may simply be repeated");
    bench.world.fail_next(Vendor::Airtable, 1, FailKind::Throttled);
    let throttled = bench.write(FEEDBACK, &one).await.remove(0);
    assert!(
        matches!(throttled, Err(Fault::Later { after: Some(wait), .. }) if wait >= Duration::from_secs(30)),
        "{throttled:?}"
    );
    let before = bench.world.books(Vendor::Airtable).calls;
    let gated = bench.airtable.sink().expect("it writes").write(FEEDBACK, &one).await.remove(0);
    assert!(matches!(gated, Err(Fault::Later { after: Some(_), .. })));
    assert_eq!(bench.world.books(Vendor::Airtable).calls, before, "the gate is closed for all");
    assert_eq!(bench.airtable.meter().throttled, 1);
    bench.clock.advance(Duration::from_secs(31));
    assert!(bench.write(FEEDBACK, &one).await[0].is_ok());
    bench.world.airtable(|desk, _| desk.revoke_token(Vendor::Airtable.token()));
    assert!(matches!(bench.write(FEEDBACK, &one).await[0], Err(Fault::Locked { .. })));
    assert!(matches!(bench.page("modified", None).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn one_bad_row_is_named_when_it_stands_alone() {
    let bench = Bench::new().await;
    let bad = create(2, &json!({ "Severity": "Urgent", "Summary": "y" }));
    let named = |verdict: &Result<Written, Fault>, option: &str| matches!(verdict, Err(Fault::Rejected { field: Some(field), why }) if field == "Severity" && why.contains(option));
    // The schema had no such option when it was read: the row goes alone, and holds up nobody.
    let batch = [create(1, &json!({ "Summary": "x" })), bad.clone()];
    assert!(bench.write(FEEDBACK, &batch[..1]).await[0].is_ok());
    let alone = bench.write(FEEDBACK, &batch[1..]).await.remove(0);
    assert!(named(&alone, "Urgent"), "{alone:?}");
    // An option that went since: Airtable refuses the batch and does not say for which row.
    bench.world.airtable(|desk, cx| desk.remove_option(cx, BASE, FEEDBACK, "Severity", "Low"));
    let batch = [create(3, &json!({ "Summary": "z" })), create(4, &json!({ "Severity": "Low" }))];
    let verdicts = bench.write(FEEDBACK, &batch).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Err(Fault::Rejected { .. }))), "{verdicts:?}");
    assert!(bench.write(FEEDBACK, &batch[..1]).await[0].is_ok());
    let alone = bench.write(FEEDBACK, &batch[1..]).await.remove(0);
    assert!(named(&alone, "Low"), "{alone:?}");
    // A person adds the option.
    bench.world.airtable(|desk, cx| desk.add_option(cx, BASE, FEEDBACK, "Severity", "Urgent"));
    assert!(bench.write(FEEDBACK, &[bad]).await[0].is_ok());
}

#[tokio::test]
async fn more_than_a_page_of_everything() {
    let bench = Bench::new().await;
    let ids = bench.fill(230).await;
    assert_eq!(bench.calls("PATCH records"), 23, "ten a call");
    let source = bench.airtable.source().expect("it reads");
    let sink = bench.airtable.sink().expect("it writes");
    let (mut swept, mut at) = (Vec::new(), None);
    loop {
        let page =
            bench.patient(async || source.ids(FEEDBACK, at.as_ref()).await).await.expect("ids").expect("can be listed");
        swept.extend(page.ids);
        at = page.next;
        if at.is_none() {
            break;
        }
    }
    assert_eq!(swept, ids);
    let (mut listed, mut at) = (Vec::new(), None);
    loop {
        let (rows, next) = bench.patient(async || sink.list(FEEDBACK, at.as_ref()).await).await.expect("rows");
        listed.extend(rows.into_iter().map(|(external_id, _)| external_id));
        at = next;
        if at.is_none() {
            break;
        }
    }
    assert_eq!(listed, (0..230).map(id).collect::<Vec<_>>());
    assert_eq!(bench.pull_all("modified", &mut None).await.len(), 230);
    let read = bench.read(&ids).await.expect("reads");
    assert_eq!(read.iter().map(|record| record.key.id.clone()).collect::<Vec<_>>(), ids);
    let found =
        bench.patient(async || sink.find(FEEDBACK, &(0..150).map(id).collect::<Vec<_>>()).await).await.expect("finds");
    assert!(found.iter().all(Option::is_some));
    assert_eq!(bench.world.books(Vendor::Airtable).throttled, 0);
}

#[tokio::test]
async fn what_people_do_comes_back_by_payloads() {
    let bench = Bench::new().await;
    let known = bench.attach(Some(CALLBACK), None).await;
    let ids = bench.fill(70).await;
    let mut at = None;
    let echoes = bench.pull_all("payloads", &mut at).await;
    assert!(echoes.is_empty(), "our own writes are not read again: {}", echoes.len());
    assert_eq!(bench.calls("POST listRecords"), 0);
    for record in &ids[..60] {
        bench.edit(record, "Severity", &json!("High"));
    }
    bench.edit(&ids[0], "Severity", &json!("Low"));
    bench.write(FEEDBACK, &[update(0, &ids[0], &json!({ "Severity": "High" }))]).await;
    let theirs = bench.world.airtable(|desk, cx| desk.add_row(cx, BASE, FEEDBACK, &json!({ "Summary": "by hand" })));
    bench.world.airtable(|desk, cx| desk.delete_row(cx, BASE, FEEDBACK, &ids[69]));
    let records = bench.pull_all("payloads", &mut at).await;
    let gone: Vec<_> =
        records.iter().filter(|record| record.body.is_none()).map(|record| record.key.id.clone()).collect();
    assert_eq!(gone, [ids[69].clone()]);
    let first: Vec<_> = records.iter().filter(|record| record.key.id == ids[0]).collect();
    assert!(
        first.iter().all(|record| record.body.as_ref().is_some_and(|body| body["Severity"] == "High")),
        "{first:?}"
    );
    let edits: Vec<_> =
        first.iter().flat_map(|record| &record.edits).map(|edit| (edit.value.clone(), edit.overwritten)).collect();
    assert_eq!(edits, [(json!("High"), false), (json!("Low"), true)], "what was typed and overwritten is known");
    let changed: BTreeSet<_> = records.iter().map(|record| record.key.id.as_str()).collect();
    let expected: BTreeSet<_> = ids[..60].iter().chain([&ids[69], &theirs]).map(String::as_str).collect();
    assert_eq!(changed, expected);
    assert_eq!(bench.calls("POST listRecords"), 2, "the records of each page of payloads in one call");
    assert!(bench.pull_all("payloads", &mut at).await.is_empty());
    // A restart goes on from the stored position.
    bench.edit(&ids[3], "Summary", &json!("after"));
    // The base's quota is one for all connections.
    bench.clock.advance(Duration::from_secs(2));
    let again = bench.restarted();
    again.attach(Some(CALLBACK), Some(&known)).await;
    let after = again.pull_all("payloads", &mut at).await;
    assert_eq!(after.iter().map(|record| record.key.id.as_str()).collect::<Vec<_>>(), [ids[3].as_str()]);
}

#[tokio::test]
async fn deletions_are_seen_by_every_way() {
    let bench = Bench::new().await;
    let ids = bench.fill(3).await;
    bench.world.airtable(|desk, cx| desk.delete_row(cx, BASE, FEEDBACK, &ids[1]));
    let read = bench.read(&ids).await.expect("reads");
    assert_eq!(read.iter().map(|record| record.body.is_some()).collect::<Vec<_>>(), [true, false, true]);
    let source = bench.airtable.source().expect("it reads");
    let fetched =
        bench.patient(async || source.fetch(&Key::new(FEEDBACK, ids[1].clone())).await).await.expect("fetches");
    assert_eq!(fetched.map(|record| record.body), Some(None));
    let two = [update(0, &ids[0], &json!({ "Summary": "a" })), update(1, &ids[1], &json!({ "Summary": "b" }))];
    let verdicts = bench.write(FEEDBACK, &two).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Err(Fault::Rejected { .. }))), "{verdicts:?}");
    assert_eq!(bench.write(FEEDBACK, &two[1..]).await[0], Ok(Written::Gone));
    assert!(bench.write(FEEDBACK, &two[..1]).await[0].is_ok());
}

#[tokio::test]
async fn renamed_deleted_and_retyped_fields() {
    let bench = Bench::new().await;
    let ids = bench.fill(1).await;
    let known = bench.attach(Some(CALLBACK), None).await;
    bench.world.airtable(|desk, cx| {
        desk.rename_table(cx, BASE, FEEDBACK, "Voices");
        desk.rename_field(cx, BASE, "Voices", "Summary", "Title");
        desk.rename_field(cx, BASE, "Voices", "Loopd ID", "Key");
    });
    // Bound by id: nothing to notice, before and after the next attach.
    assert!(bench.write(FEEDBACK, &[update(0, &ids[0], &json!({ "Summary": "renamed" }))]).await[0].is_ok());
    let known = bench.attach(Some(CALLBACK), Some(&known)).await;
    assert_eq!(
        receipt(&bench.write(FEEDBACK, &[create(5, &json!({ "Summary": "new" }))]).await[0]).fields["Summary"],
        json!("new")
    );
    let sink = bench.airtable.sink().expect("it writes");
    let found = bench.patient(async || sink.find(FEEDBACK, &[id(5)]).await).await.expect("finds by the new name");
    assert!(found[0].is_some());
    bench.world.airtable(|desk, cx| {
        desk.delete_field(cx, BASE, "Voices", "Count");
        desk.retype_field(cx, BASE, "Voices", "ARR", "checkbox", &json!({ "icon": "check", "color": "greenBright" }));
    });
    let stale = update(0, &ids[0], &json!({ "Summary": "s", "Count": 7 }));
    // First its id is refused, then its name.
    for _ in 0..2 {
        assert!(matches!(bench.write(FEEDBACK, std::slice::from_ref(&stale)).await[0], Err(Fault::Later { .. })));
    }
    let skipped = bench.write(FEEDBACK, &[stale]).await;
    assert!(receipt(&skipped[0]).skipped.contains_key("Count"));
    let known_after = bench.attach(Some(CALLBACK), Some(&known)).await;
    assert_ne!(known, known_after);
    let both = bench.write(FEEDBACK, &[update(0, &ids[0], &json!({ "Summary": "t", "Count": 7, "ARR": 12 }))]).await;
    let receipt = receipt(&both[0]);
    assert_eq!(receipt.skipped.keys().collect::<Vec<_>>(), ["ARR", "Count"]);
    assert_eq!(receipt.fields["Summary"], json!("t"));
    let stays = bench.attach(Some(CALLBACK), Some(&known_after)).await;
    assert_eq!(stays, known_after, "an attach that finds nothing new changes nothing");
}

#[tokio::test]
async fn duplicated_rows_do_not_stop_the_record() {
    let bench = Bench::new().await;
    let ids = bench.fill(1).await;
    bench.clock.advance(Duration::from_secs(5));
    bench.world.airtable(|desk, cx| {
        desk.add_row(cx, BASE, FEEDBACK, &json!({ "Summary": "a person's copy", "Loopd ID": id(0) }))
    });
    let verdict = bench.write(FEEDBACK, &[create(0, &json!({ "Summary": "x" }))]).await.remove(0);
    assert!(matches!(verdict, Err(Fault::Unknown { .. } | Fault::Rejected { .. })), "{verdict:?}");
    let sink = bench.airtable.sink().expect("it writes");
    let found = bench.patient(async || sink.find(FEEDBACK, &[id(0)]).await).await.expect("finds");
    assert_eq!(found[0].as_ref().map(|record| record.key.id.clone()), Some(ids[0].clone()), "the oldest");
    assert_eq!(bench.world.airtable(|desk, _| desk.rows(BASE, FEEDBACK).len()), 2, "nobody's copy is deleted");
}

#[tokio::test]
async fn text_beyond_the_limit_is_cut_visibly() {
    let bench = Bench::new().await;
    let long = "x".repeat(150_000);
    let verdicts = bench.write(FEEDBACK, &[create(1, &json!({ "Verbatim": long }))]).await;
    let held = receipt(&verdicts[0]).fields["Verbatim"].clone();
    assert!(held.as_str().is_some_and(|held| held.ends_with("[cut by loopd: 150000 characters]")));
    assert_eq!(bench.airtable.sink().expect("it writes").canonical(FEEDBACK, "Verbatim", json!(long)), held);
}

#[tokio::test]
async fn pings_are_let_in_and_forgeries_are_not() {
    let bench = Bench::new().await;
    let ids = bench.fill(1).await;
    bench.edit(&ids[0], "Summary", &json!("edited"));
    let door = bench.airtable.webhook().expect("it listens");
    let now = bench.world.now();
    bench.clock.advance(Duration::from_secs(60));
    let ping = bench.world.due_webhooks().into_iter().next().expect("a ping");
    assert_eq!(ping.url, CALLBACK);
    let delivery = door.open(Request { headers: &ping.headers, body: &ping.body }, now).expect("let in");
    assert_eq!(delivery.pull, ["payloads"]);
    let forged = door.open(Request { headers: &ping.headers, body: b"{}" }, now);
    assert!(matches!(forged, Err(Refusal::Forged(_))));
    let unsigned = door.open(Request { headers: &http::HeaderMap::new(), body: &ping.body }, now);
    assert!(matches!(unsigned, Err(Refusal::Forged(_))));
    let unbound = bench.restarted();
    let early =
        unbound.airtable.webhook().expect("it listens").open(Request { headers: &ping.headers, body: &ping.body }, now);
    assert!(matches!(early, Err(Refusal::NotReady(_))));
}

#[tokio::test]
async fn a_base_that_has_its_most_webhooks_is_told_and_mended() {
    let bench = Bench::furnished(&json!({})).await;
    // As one who only looks and forgets would leave them: without a URL, so not recognisably ours.
    let mut last = Value::Null;
    for _ in 0..12 {
        bench.clock.advance(Duration::from_secs(60));
        last = bench.attach(None, None).await;
    }
    assert_eq!(last["hook"], Value::Null);
    bench.clock.advance(Duration::from_secs(60));
    let without = bench.attach(Some(CALLBACK), None).await;
    assert_eq!(without["hook"], Value::Null);
    let why = bench.airtable.hindrance().expect("it is told");
    assert!(why.contains("no webhook") && why.contains("modified-since"), "{why}");
    // Theirs are forgotten a fortnight later; ours is then made, and with our URL: that was never what was refused.
    bench.clock.advance(Duration::from_secs(15 * 86_400));
    bench.fill(1).await;
    let made = bench.attach(Some(CALLBACK), Some(&without)).await;
    assert_eq!(bench.airtable.hindrance(), None, "{made}");
    assert_eq!(made["hook"]["callback"], CALLBACK);
    let creates = bench.sent.seen();
    let create = creates.iter().rfind(|sent| sent.method() == "POST" && sent.uri().path().ends_with("/webhooks"));
    assert!(String::from_utf8_lossy(create.expect("made").body()).contains(CALLBACK));
}

#[tokio::test]
async fn who_does_not_hear_programs_hears_people_and_finds_the_rest_by_asking() {
    let quiet = json!({ "hear_programs": false, "modified_every_seconds": 60 });
    let bench = Bench::furnished(&quiet).await;
    let known = bench.attach(Some(CALLBACK), None).await;
    let sources = |bench: &Bench| {
        let seen = bench.sent.seen();
        let made = seen.iter().rfind(|sent| sent.method() == "POST" && sent.uri().path().ends_with("/webhooks"));
        let spec: Value = serde_json::from_slice(made.expect("a webhook is made").body()).expect("JSON");
        spec["specification"]["options"]["filters"]["fromSources"].clone()
    };
    let heard = sources(&bench);
    assert!(heard.as_array().is_some_and(|all| all.contains(&json!("client")) && !all.contains(&json!("publicApi"))));

    let ids = bench.fill(2).await;
    let (mut stream, mut asked) = (None, None);
    bench.pull_all("payloads", &mut stream).await;
    bench.pull_all("modified", &mut asked).await;
    bench.clock.advance(Duration::from_secs(600));

    bench.edit(&ids[0], "Summary", &json!("a person's"));
    let people = bench.pull_all("payloads", &mut stream).await;
    assert_eq!(people.iter().map(|record| &record.key.id).collect::<Vec<_>>(), [&ids[0]]);
    assert_eq!(people[0].edits[0].value, json!("a person's"));

    // Another program, with a connection of its own.
    let program = Bench::open(bench.world.clone(), bench.clock.clone(), Vendor::Airtable.token(), &quiet);
    bench.clock.advance(Duration::from_secs(2));
    program.attach(None, Some(&known)).await;
    receipt(&program.write(FEEDBACK, &[update(1, &ids[1], &json!({ "Summary": "a program's" }))]).await[0]);
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(bench.pull_all("payloads", &mut stream).await, []);
    bench.clock.advance(Duration::from_secs(600));
    let found = bench.pull_all("modified", &mut asked).await;
    let record = found.iter().find(|record| record.key.id == ids[1]).expect("found by asking");
    assert_eq!(record.body.as_ref().expect("there")["Summary"], "a program's");

    // The setting is changed: another webhook is made, without the filter.
    let loud = bench.restarted();
    bench.clock.advance(Duration::from_secs(60));
    let now = loud.attach(Some(CALLBACK), Some(&known)).await;
    assert_ne!(now["hook"]["id"], known["hook"]["id"]);
    assert_eq!(sources(&loud), Value::Null);
}

#[tokio::test]
async fn the_webhook_is_renewed_before_its_week_is_over() {
    let bench = Bench::new().await;
    let known = bench.attach(Some(CALLBACK), None).await;
    bench.clock.advance(Duration::from_secs(5 * 86_400));
    let renewed = bench.attach(Some(CALLBACK), Some(&known)).await;
    assert_eq!(known["hook"]["id"], renewed["hook"]["id"]);
    assert_ne!(known["hook"]["expires"], renewed["hook"]["expires"]);
    // Nobody was here for weeks: another is made, and the stream goes on with it.
    bench.clock.advance(Duration::from_secs(30 * 86_400));
    let mut at = None;
    bench.pull_all("payloads", &mut at).await;
    let again = bench.attach(Some(CALLBACK), Some(&renewed)).await;
    assert_ne!(again["hook"]["id"], renewed["hook"]["id"]);
    let ids = bench.fill(1).await;
    bench.edit(&ids[0], "Summary", &json!("seen"));
    assert_eq!(bench.pull_all("payloads", &mut at).await.len(), 1);
}

#[tokio::test]
async fn a_webhook_that_somebody_deleted_is_asked_for() {
    let bench = Bench::new().await;
    let known = bench.attach(Some(CALLBACK), None).await;
    let mut at = None;
    bench.pull_all("payloads", &mut at).await;
    assert!(!bench.airtable.wants_attach());
    bench.clock.advance(Duration::from_secs(2));
    let delete = http::Request::delete(format!(
        "/v0/bases/{BASE}/webhooks/{}",
        known["hook"]["id"].as_str().expect("a webhook")
    ));
    let delete = delete.header("authorization", format!("Bearer {}", Vendor::Airtable.token()));
    bench.world.call(Vendor::Airtable, delete.body(bytes::Bytes::new()).expect("a request"));
    bench.clock.advance(Duration::from_secs(60));
    bench.pull_all("payloads", &mut at).await;
    assert!(bench.airtable.wants_attach());
    let again = bench.attach(Some(CALLBACK), Some(&known)).await;
    assert_ne!(again["hook"]["id"], known["hook"]["id"]);
    assert!(!bench.airtable.wants_attach());
}

#[tokio::test]
async fn without_rights_for_schema_and_webhooks_it_still_works() {
    let bench = Bench::new().await;
    let ids = bench.fill(2).await;
    bench.world.airtable(|desk, _| desk.issue_token("pat.narrow", Some(&["data.records:read", "data.records:write"])));
    // The base's quota is one for all connections.
    bench.clock.advance(Duration::from_secs(2));
    let narrow = Bench::open(bench.world.clone(), bench.clock.clone(), "pat.narrow", &json!({}));
    let stored = narrow.attach(Some(CALLBACK), None).await;
    assert_eq!(stored["hook"], Value::Null);
    let who = narrow.patient(async || narrow.airtable.probe().await).await.expect("answers");
    assert!(who.notes.iter().any(|note| note.contains("schema")), "{:?}", who.notes);
    let verdicts = narrow.write(FEEDBACK, &[create(7, &json!({ "Summary": "by name", "ARR": 3 }))]).await;
    assert_eq!(receipt(&verdicts[0]).fields["Summary"], json!("by name"));
    assert!(narrow.write(FEEDBACK, &[update(0, &ids[0], &json!({ "Severity": "Low" }))]).await[0].is_ok());
    let mut at = None;
    assert_eq!(narrow.pull_all("modified", &mut at).await.len(), 3);
    narrow.clock.advance(Duration::from_secs(600));
    narrow.pull_all("modified", &mut at).await;
    narrow.clock.advance(Duration::from_secs(600));
    narrow.edit(&ids[1], "Summary", &json!("edited"));
    narrow.clock.advance(Duration::from_secs(60));
    let changed = narrow.pull_all("modified", &mut at).await;
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0].body.as_ref().map(|body| body["Summary"].clone()), Some(json!("edited")));
    assert!(narrow.pull_all("payloads", &mut None).await.is_empty());
}

#[tokio::test]
async fn a_table_that_is_not_there_locks_and_says_which() {
    let bench = Bench::empty(Vendor::Airtable.token(), &json!({}));
    bench.attach(None, None).await;
    let verdict = bench.write(FEEDBACK, &[create(1, &json!({ "Summary": "x" }))]).await.remove(0);
    assert!(matches!(&verdict, Err(Fault::Locked { why }) if why.contains(FEEDBACK)), "{verdict:?}");
    let before = bench.sent.seen().len();
    assert!(matches!(bench.read(&[id(1)]).await, Err(Fault::Locked { .. })));
    assert_eq!(bench.sent.seen().len(), before, "no call is spent on it");
}
