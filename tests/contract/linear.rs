//! The Linear connector against its stand-in. Every request is also checked against Linear's own schema.

mod bench;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use connectors::{Fault, Key, Refusal, Request, Written};
use sandbox::{FailKind, Vendor};
use serde_json::{Value, json};

use bench::{Bench, SECRET, TEAM, id, receipt, shape, write};

#[tokio::test]
async fn setup_makes_labels_and_then_has_nothing_left_to_do() {
    let bench = Bench::new().await;
    let setup = bench.linear.setup().expect("it sets up");
    let plan = setup.plan(&shape()).await.expect("plans");
    assert_eq!(
        plan.iter().map(|change| change.what.as_str()).collect::<Vec<_>>(),
        ["create label Churn risk in team ENG"]
    );
    setup.apply(&plan[0]).await.expect("makes it");
    assert!(setup.plan(&shape()).await.expect("plans").is_empty());
    let who = bench.linear.probe().await.expect("answers");
    assert!(who.name.contains("ENG"), "{who:?}");
}

#[tokio::test]
async fn an_issue_comes_back_as_canonical_says_and_is_made_once() {
    let bench = Bench::new().await;
    let fields = json!({ "title": " Search  is slow ", "description": "It is.\r\n\r\n> quote\n", "priority": 2 });
    let made = receipt(bench.write("issue", write(1, None, &fields, &["Bug", "Feature"], &[])).await);
    assert_eq!((made.id.as_str(), made.created), (id(1).as_str(), true));
    let sink = bench.linear.sink().expect("it writes");
    for (name, value) in fields.as_object().expect("fields") {
        assert_eq!(made.fields.get(name), Some(&sink.canonical("issue", name, value.clone())), "{name}");
    }
    assert_eq!(made.fields["labels"], json!(["Bug", "Feature"]));
    let read = bench.read("issue", &[id(1)]).await.remove(0);
    let body = read.body.expect("it is there");
    assert_eq!((&body["state"], &body["labels"]), (&json!("backlog"), &json!(["Bug", "Feature"])));
    assert!(read.url.is_some() && read.version.is_some());
    // Labels are added and removed; those of others stay.
    bench.world.linear(|desk, cx| desk.add_label(cx, &id(1), "Improvement"));
    let changed = receipt(
        bench
            .write(
                "issue",
                write(1, Some(&id(1)), &json!({ "priority": null, "description": null }), &[], &["Feature"]),
            )
            .await,
    );
    assert_eq!(changed.fields["labels"], json!(["Bug", "Improvement"]));
    assert_eq!((&changed.fields["priority"], &changed.fields["description"]), (&Value::Null, &Value::Null));
    // The answer was lost; the same create meets what it made.
    for kind in [FailKind::CutAfter, FailKind::ErrorAfter, FailKind::BadGatewayAfter] {
        bench.world.fail_next_operation(Vendor::Linear, "issueCreate", 1, kind);
        let verdict = bench.write("issue", write(2, None, &json!({ "title": "Two" }), &[], &[])).await;
        // Once it exists, Linear's refusal comes back as lost as any answer.
        assert!(matches!(verdict, Err(Fault::Unknown { .. })), "{kind:?}: {verdict:?}");
    }
    let found = sink.find("issue", &[id(2), id(3)]).await.expect("finds");
    assert!(found[0].is_some() && found[1].is_none());
    assert!(!receipt(bench.write("issue", write(2, None, &json!({ "title": "Two" }), &[], &[])).await).created);
    assert_eq!(bench.world.linear(|desk, _| desk.issues().len()), 2);
    assert!(bench.world.linear(|desk, _| desk.doubles()).is_empty());
}

#[tokio::test]
async fn faults_are_decisions() {
    let bench = Bench::new().await;
    let one = || write(1, None, &json!({ "title": "One" }), &[], &[]);
    for kind in [FailKind::CutBefore, FailKind::ServerError, FailKind::Unavailable] {
        bench.world.fail_next(Vendor::Linear, 1, kind);
        let verdict = bench.write("issue", one()).await;
        assert!(matches!(verdict, Err(Fault::Unknown { .. })), "{kind:?}: {verdict:?}");
    }
    bench.world.fail_next(Vendor::Linear, 1, FailKind::ServerError);
    let read = bench.linear.sink().expect("it reads").read("issue", &[id(1)]).await;
    assert!(matches!(read, Err(Fault::Later { .. })), "a read may simply be repeated");
    bench.world.fail_next(Vendor::Linear, 1, FailKind::Throttled);
    let throttled = bench.write("issue", one()).await;
    let Err(Fault::Later { after: Some(wait), .. }) = throttled else { panic!("{throttled:?}") };
    let before = bench.world.books(Vendor::Linear).calls;
    assert!(matches!(bench.write("issue", one()).await, Err(Fault::Later { .. })));
    assert_eq!(bench.world.books(Vendor::Linear).calls, before, "the gate is closed for all");
    bench.clock.advance(wait);
    assert!(bench.write("issue", one()).await.is_ok());
    assert_eq!(bench.linear.meter().throttled, 1);
    bench.world.linear(|desk, _| desk.revoke_token(Vendor::Linear.token()));
    assert!(matches!(bench.write("issue", one()).await, Err(Fault::Locked { .. })));
    assert!(matches!(bench.linear.source().expect("it reads").pull("issues", None).await, Err(Fault::Locked { .. })));
    bench.world.linear(|desk, _| desk.restore_token(Vendor::Linear.token()));
    let long = bench.write("issue", write(5, None, &json!({ "title": "" }), &[], &[])).await;
    assert!(matches!(&long, Err(Fault::Rejected { field: Some(field), .. }) if field == "title"), "{long:?}");
}

#[tokio::test]
async fn windows_bring_every_change_over_many_pages() {
    let bench = Bench::new().await;
    for n in 0..130 {
        bench.wait(2);
        bench.issue(n).await;
    }
    bench.world.linear(|desk, cx| desk.create_team(cx, "OPS", "Operations"));
    bench.world.linear(|desk, cx| desk.create_issue(cx, "OPS", "Another team's", &json!({})));
    bench.wait(10);
    let mut at = None;
    let all = bench.pull_all(&mut at).await;
    assert_eq!(all.iter().map(|record| &record.key.id).collect::<BTreeSet<_>>().len(), 130);
    bench.wait(300);
    bench.pull_all(&mut at).await;
    bench.wait(300);
    assert!(bench.pull_all(&mut at).await.is_empty(), "what changed before the overlap is not told again");
    bench.world.linear(|desk, cx| {
        desk.move_issue(cx, &id(0), "Done");
        desk.set_title(cx, &id(1), "By hand");
        desk.set_priority(cx, &id(2), 1);
        desk.trash_issue(cx, &id(3));
        desk.archive_issue(cx, &id(4));
    });
    bench.wait(30);
    let changed: BTreeMap<_, _> =
        bench.pull_all(&mut at).await.into_iter().map(|record| (record.key.id.clone(), record)).collect();
    let body = |n: usize| changed.get(&id(n)).and_then(|record| record.body.clone());
    assert_eq!(
        body(0).map(|body| (body["state"].clone(), body["state_name"].clone())),
        Some((json!("completed"), json!("Done")))
    );
    assert_eq!(body(1).map(|body| body["title"].clone()), Some(json!("By hand")));
    assert_eq!(body(2).map(|body| body["priority"].clone()), Some(json!(1)));
    assert!(changed.contains_key(&id(3)) && body(3).is_none(), "in the trash is deleted");
    assert!(body(4).is_some(), "archived is not");
    let source = bench.linear.source().expect("it reads");
    let (mut ids, mut place) = (BTreeSet::new(), None);
    loop {
        let page = source.ids("issue", place.as_ref()).await.expect("ids").expect("can be listed");
        ids.extend(page.ids);
        place = page.next;
        if place.is_none() {
            break;
        }
    }
    assert_eq!(ids.len(), 129);
    let (mut listed, mut place) = (BTreeSet::new(), None);
    loop {
        let (rows, next) = bench.linear.sink().expect("it lists").list("issue", place.as_ref()).await.expect("rows");
        listed.extend(rows.into_iter().map(|(external_id, _)| external_id));
        place = next;
        if place.is_none() {
            break;
        }
    }
    assert_eq!(listed, ids);
    assert_eq!(bench.world.books(Vendor::Linear).throttled, 0);
}

#[tokio::test]
async fn what_was_typed_and_overwritten_is_known() {
    let bench = Bench::new().await;
    bench.issue(1).await;
    bench.wait(600);
    let mut at = None;
    bench.pull_all(&mut at).await;
    bench.wait(600);
    bench.world.linear(|desk, cx| desk.set_title(cx, &id(1), "Typed by a person"));
    bench.wait(400);
    let update = receipt(bench.write("issue", write(1, Some(&id(1)), &json!({ "title": "Ours" }), &[], &[])).await);
    assert_eq!(update.replaced.get("title"), Some(&json!("Typed by a person")));
    bench.wait(1);
    let records = bench.pull_all(&mut at).await;
    let edits: Vec<_> =
        records[0].edits.iter().map(|edit| (edit.field.as_str(), edit.value.clone(), edit.overwritten)).collect();
    assert_eq!(edits, [("title", json!("Typed by a person"), true)]);
    assert_eq!(records[0].body.as_ref().map(|body| body["title"].clone()), Some(json!("Ours")));
}

#[tokio::test]
async fn what_is_gone_is_gone() {
    let bench = Bench::new().await;
    for n in 1..=3 {
        bench.issue(n).await;
    }
    bench.world.linear(|desk, cx| {
        desk.trash_issue(cx, &id(1));
        desk.delete_issue(cx, &id(2));
    });
    let read = bench.read("issue", &[id(1), id(2), id(3)]).await;
    assert_eq!(read.iter().map(|record| record.body.is_some()).collect::<Vec<_>>(), [false, false, true]);
    let update = |n: usize| write(n, Some(&id(n)), &json!({ "title": "x" }), &[], &[]);
    assert_eq!(bench.write("issue", update(1)).await, Ok(Written::Gone));
    assert_eq!(bench.write("issue", update(2)).await, Ok(Written::Gone));
    // Made again under an id that lies in the trash: gone, and nothing doubles.
    assert_eq!(bench.write("issue", write(1, None, &json!({ "title": "x" }), &[], &[])).await, Ok(Written::Gone));
    let fetched = bench.linear.source().expect("it reads").fetch(&Key::new("issue", id(2))).await.expect("fetches");
    assert_eq!(fetched.map(|record| record.body), Some(None));
}

#[tokio::test]
async fn labels_and_teams_that_go() {
    let bench = Bench::new().await;
    bench.issue(1).await;
    let unknown = receipt(
        bench.write("issue", write(1, Some(&id(1)), &json!({ "title": "t" }), &["Nobody's"], &["Nobody's"])).await,
    );
    assert!(unknown.skipped["labels"].contains("Nobody's"), "{unknown:?}");
    assert_eq!(unknown.fields.get("title"), Some(&json!("t")));
    let known = bench.attach(None).await;
    bench.world.linear(|desk, cx| desk.delete_label(cx, "Bug"));
    let with_bug = || write(1, Some(&id(1)), &json!({ "title": "u" }), &["Bug"], &[]);
    let mut verdict = bench.write("issue", with_bug()).await;
    if matches!(verdict, Err(Fault::Later { .. })) {
        bench.wait(2);
        verdict = bench.write("issue", with_bug()).await;
    }
    assert!(receipt(verdict).skipped.contains_key("labels"));
    let after = bench.attach(Some(&known)).await;
    assert!(after["labels"].get("Bug").is_none() && known["labels"].get("Bug").is_some());
    bench.world.linear(|desk, cx| desk.delete_team(cx, TEAM));
    let gone = bench.write("issue", write(9, None, &json!({ "title": "x" }), &[], &[])).await;
    assert!(matches!(&gone, Err(Fault::Locked { why }) if why.contains(TEAM)), "{gone:?}");
    assert!(
        matches!(bench.linear.attach(&shape(), None, Some(&after)).await, Err(Fault::Locked { why }) if why.contains(TEAM))
    );
}

#[tokio::test]
async fn attachments_customers_and_needs() {
    let bench = Bench::new().await;
    let issue = bench.issue(1).await;
    let url = "https://support.example/thread/1";
    let attachment = || write(11, None, &json!({ "issue": [issue], "url": url, "title": "Thread 1" }), &[], &[]);
    let first = receipt(bench.write("attachment", attachment()).await);
    let again = receipt(bench.write("attachment", attachment()).await);
    assert_eq!(first.id, again.id, "an upsert by url and issue");
    let changed =
        receipt(bench.write("attachment", write(11, Some(&first.id), &json!({ "subtitle": "Acme" }), &[], &[])).await);
    assert_eq!(changed.fields["subtitle"], json!("Acme"));
    let customer = || {
        write(
            21,
            None,
            &json!({ "name": "Acme", "domains": ["acme.example"], "revenue": 120_000, "tier": "Growth" }),
            &[],
            &[],
        )
    };
    bench.world.fail_next_operation(Vendor::Linear, "customerUpsert", 1, FailKind::CutAfter);
    assert!(matches!(bench.write("customer", customer()).await, Err(Fault::Unknown { .. })));
    let sink = bench.linear.sink().expect("it finds");
    let found = sink.find("customer", &[id(21)]).await.expect("finds").remove(0).expect("it was made");
    let acme = receipt(bench.write("customer", customer()).await);
    assert_eq!(acme.id, found.key.id);
    let updated = receipt(
        bench
            .write("customer", write(21, Some(&acme.id), &json!({ "tier": "Enterprise", "revenue": null }), &[], &[]))
            .await,
    );
    assert_eq!((&updated.fields["tier"], &updated.fields["revenue"]), (&json!("Enterprise"), &Value::Null));
    let need = || {
        write(
            31,
            None,
            &json!({ "issue": [issue], "customer": [acme.id], "body": "They want it", "priority": 1 }),
            &[],
            &[],
        )
    };
    let made = receipt(bench.write("need", need()).await);
    assert_eq!((made.id.as_str(), made.created), (id(31).as_str(), true));
    assert!(!receipt(bench.write("need", need()).await).created);
    assert_eq!(made.fields["customer"], json!([acme.id]));
    receipt(
        bench
            .write("need", write(31, Some(&id(31)), &json!({ "body": "They need it", "priority": null }), &[], &[]))
            .await,
    );
    let body = bench.read("need", &[id(31)]).await.remove(0).body.expect("it is there");
    assert_eq!((&body["body"], body.get("priority")), (&json!("They need it"), None));
    let books = bench.world.linear(|desk, _| (desk.attachments().len(), desk.customers().len(), desk.needs().len()));
    assert_eq!(books, (1, 1, 1));
    for collection in ["attachment", "customer", "need"] {
        let (rows, _) = sink.list(collection, None).await.expect("rows");
        assert_eq!(rows.len(), 1, "{collection}");
    }
}

#[tokio::test]
async fn a_customer_that_a_person_made_is_taken_up_and_keeps_its_name() {
    let bench = Bench::new().await;
    let made = bench.world.linear(|desk, cx| {
        desk.create_customer(cx, &json!({ "name": "Acme (EMEA)", "domains": ["acme.example", "acme.test"] }))
    });
    let ours = json!({ "name": "Acme Inc.", "domains": ["www.acme.example", "acme.example"], "revenue": 9_000, "tier": "Growth" });
    let receipt = receipt(bench.write("customer", write(21, None, &ours, &[], &[])).await);
    assert_eq!((&receipt.id, receipt.created), (&made, false), "found, so that the engine looks closer");
    assert_eq!(receipt.fields["name"], json!("Acme (EMEA)"), "as it is there");
    let customers = bench.world.linear(|desk, _| desk.customers());
    assert_eq!(customers.len(), 1);
    assert_eq!(customers[0]["name"], json!("Acme (EMEA)"));
    assert_eq!(customers[0]["domains"], json!(["acme.example", "acme.test", "www.acme.example"]), "theirs, and ours");
    assert_eq!((&customers[0]["externalIds"], &customers[0]["revenue"]), (&json!([id(21)]), &json!(9_000)));
    // Ours by now: an uncertain write that comes again is an upsert by our id, whatever its domains say.
    bench.write("customer", write(21, None, &ours, &[], &[])).await.expect("written");
    let found = bench.linear.sink().expect("it finds").find("customer", &[id(21)]).await.expect("finds").remove(0);
    assert_eq!(found.expect("it carries our id").key.id, made);
    let customers = bench.world.linear(|desk, _| desk.customers());
    assert_eq!((customers.len(), &customers[0]["name"]), (1, &json!("Acme (EMEA)")));
    assert_eq!(customers[0]["domains"].as_array().map(Vec::len), Some(3), "none is lost");
}

#[tokio::test]
async fn a_plan_without_customers_leaves_them_out() {
    let bench = Bench::new().await;
    assert_eq!(bench.linear.collections().len(), 4);
    bench.world.linear(|desk, _| desk.set_plan(false));
    let verdict = bench.write("customer", write(21, None, &json!({ "name": "Acme" }), &[], &[])).await;
    assert!(matches!(verdict, Err(Fault::Later { .. })), "{verdict:?}");
    assert_eq!(bench.linear.collections().len(), 2);
    let stored = bench.attach(None).await;
    assert_eq!(stored["customers"], json!(false));
    assert!(bench.linear.probe().await.expect("answers").notes.iter().any(|note| note.contains("customer")));
    assert_eq!(bench.issue(1).await, id(1), "issues go on");
}

#[tokio::test]
async fn webhooks_bring_what_changed() {
    let bench = Bench::new().await;
    bench.issue(1).await;
    bench.world.linear(|desk, cx| desk.set_webhook(cx, "https://loopd.example.com/hooks/linear", SECRET));
    bench.world.linear(|desk, cx| desk.move_issue(cx, &id(1), "Done"));
    bench.wait(1);
    let door = bench.linear.webhook().expect("it listens");
    let sent = bench.world.due_webhooks();
    let event = sent.iter().find(|event| String::from_utf8_lossy(&event.body).contains("\"Issue\"")).expect("the move");
    let request = Request { headers: &event.headers, body: &event.body };
    let delivery = door.open(request, bench.world.now()).expect("let in");
    assert_eq!(event.headers["linear-delivery"], delivery.id.as_str());
    if let [record] = delivery.records.as_slice() {
        assert_eq!(record.body, bench.read("issue", &[id(1)]).await.remove(0).body, "as if it had been read");
    } else {
        assert_eq!(delivery.fetch, [Key::new("issue", id(1))]);
    }
    assert!(matches!(door.open(Request { body: b"{}", ..request }, bench.world.now()), Err(Refusal::Forged(_))));
    bench.wait(120);
    assert!(matches!(door.open(request, bench.world.now()), Err(Refusal::Stale { .. })));
    bench.world.linear(|desk, cx| desk.delete_issue(cx, &id(1)));
    bench.wait(1);
    let gone = bench.world.due_webhooks();
    let removal =
        gone.iter().find(|event| String::from_utf8_lossy(&event.body).contains("\"remove\"")).expect("the removal");
    let delivery =
        door.open(Request { headers: &removal.headers, body: &removal.body }, bench.world.now()).expect("let in");
    assert_eq!(
        delivery.records.iter().map(|record| (&record.key.id, record.body.is_none())).collect::<Vec<_>>(),
        [(&id(1), true)]
    );
}
