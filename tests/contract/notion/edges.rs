//! What people do there: edits, renames, deletions, copies; and how it is heard of.

use connectors::{Cursor, Fault, Key, Record, Refusal, Request, Written};
use http::HeaderMap;
use sandbox::notion::PAGE;
use sandbox::{FailKind, Vendor};
use serde_json::{Value, json};

use super::bench::{Bench, CALLBACK, CUSTOMERS, FEEDBACK, SECRET, create, id, receipt, settings, update};

fn ids(records: &[Record]) -> Vec<&str> {
    let mut ids: Vec<_> = records.iter().map(|record| record.key.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn what_people_edit_is_polled_and_our_own_writes_are_not() {
    let bench = Bench::new().await;
    let pages = bench.fill(130).await;
    let mut at = None;
    assert_eq!(bench.pull_all(&mut at).await, Vec::new(), "what we have just written is no news");
    bench.edit(&pages[3], &json!({ "Severity": "High" }));
    bench.wait(60);
    let theirs = bench.world.notion(|desk, cx| desk.add_row(cx, FEEDBACK, &json!({ "Summary": "by hand" })));
    // A look while many of ours are written waits; a restart has forgotten both.
    let bench = bench.restarted(&json!({}), None);
    bench.attach(None, None).await;
    let records = bench.pull_all(&mut None).await;
    assert_eq!(records.len(), 131, "everything from the start");
    let edited = records.iter().find(|record| record.key.id == pages[3]).expect("it is there");
    assert_eq!(edited.body.as_ref().expect("a body")["Severity"], "High");
    assert!(ids(&records).contains(&theirs.as_str()));
    let mut at = None;
    bench.pull_all(&mut at).await;
    bench.wait(600);
    assert_eq!(bench.pull_all(&mut at).await.len(), 1, "the newest minute is looked at again, and no more");
    bench.edit(&theirs, &json!({ "Severity": "Low" }));
    let again = bench.pull_all(&mut at).await;
    assert!(again.iter().any(|record| record.key.id == theirs && record.body.as_ref().is_some_and(|body| body["Severity"] == "Low")));
}

#[tokio::test]
async fn an_edit_in_the_minute_of_our_own_write_is_seen() {
    let bench = Bench::new().await;
    let page = bench.fill(1).await.remove(0);
    let mut at = None;
    bench.pull_all(&mut at).await;
    // All in one minute, which is all that Notion tells.
    bench.write(FEEDBACK, &update(0, &page, &json!({ "Severity": "High" }))).await.expect("writes");
    bench.edit(&page, &json!({ "Severity": "Low" }));
    let records = bench.pull_all(&mut at).await;
    assert_eq!(ids(&records), [page.as_str()]);
    assert_eq!(records[0].body.as_ref().expect("a body")["Severity"], "Low");
}

#[tokio::test]
async fn more_than_a_query_shows_is_read_in_windows() {
    let bench = Bench::new().await;
    bench.world.notion(|desk, _| desk.set_query_cap(120));
    let mut pages = Vec::new();
    for n in 0..300 {
        pages.push(bench.world.notion(|desk, cx| desk.add_row(cx, FEEDBACK, &json!({ "Loopd ID": id(n) }))));
        bench.wait(2);
    }
    pages.sort();
    let records = bench.pull_all(&mut None).await;
    let mut seen = ids(&records);
    seen.dedup();
    assert_eq!(seen, pages);
    let source = bench.notion.source().expect("it reads");
    let sink = bench.notion.sink().expect("it writes");
    let (mut swept, mut at) = (Vec::new(), None::<Cursor>);
    loop {
        let page =
            bench.patient(async || source.ids(FEEDBACK, at.as_ref()).await).await.expect("ids").expect("can be listed");
        swept.extend(page.ids);
        at = page.next;
        if at.is_none() {
            break;
        }
    }
    swept.sort();
    swept.dedup();
    assert_eq!(swept, pages);
    let (mut listed, mut at) = (Vec::new(), None::<Cursor>);
    loop {
        let (rows, next) = bench.patient(async || sink.list(FEEDBACK, at.as_ref()).await).await.expect("rows");
        listed.extend(rows.into_iter().map(|(external_id, _)| external_id));
        at = next;
        if at.is_none() {
            break;
        }
    }
    listed.sort();
    listed.dedup();
    assert_eq!(listed, (0..300).map(id).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_minute_with_more_than_a_query_shows_ends_and_is_told() {
    let bench = Bench::new().await;
    bench.world.notion(|desk, _| desk.set_query_cap(10));
    for n in 0..30 {
        bench.world.notion(|desk, cx| desk.add_row(cx, FEEDBACK, &json!({ "Loopd ID": id(n) })));
    }
    let records = bench.pull_all(&mut None).await;
    assert!(records.len() >= 10 && records.len() < 30, "{}", records.len());
    bench.attach(None, None).await;
    assert!(bench.notion.hindrance().is_some_and(|why| why.contains("10,000")));
}

#[tokio::test]
async fn renamed_deleted_and_retyped_properties() {
    let bench = Bench::new().await;
    let known = bench.attach(None, None).await;
    let page = bench.fill(1).await.remove(0);
    bench.write(FEEDBACK, &update(0, &page, &json!({ "Severity": "High", "Count": 7 }))).await.expect("writes");
    bench.world.notion(|desk, cx| {
        desk.change_columns(cx, FEEDBACK, &json!({ "Severity": { "name": "How bad" } }));
        desk.rename_source(FEEDBACK, "What they say");
    });
    let bench = bench.restarted(&json!({}), None);
    let renamed = bench.attach(None, Some(&known)).await;
    assert!(bench.notion.rebound(&known, &renamed).is_empty());
    assert_eq!(bench.body(&page).await["Severity"], "High", "bound by id, under the mapping's name");
    bench.write(FEEDBACK, &update(0, &page, &json!({ "Severity": "Low" }))).await.expect("writes");
    assert_eq!(bench.world.notion(|desk, _| desk.row(&page))["How bad"], "Low");
    // Deleted: the first write finds out, the next leaves it out, and its absence is no cleared value.
    bench.world.notion(|desk, cx| desk.change_columns(cx, "What they say", &json!({ "How bad": null })));
    let first = bench.write(FEEDBACK, &update(0, &page, &json!({ "Severity": "High", "Count": 8 }))).await;
    assert!(matches!(&first, Err(Fault::Later { .. })), "{first:?}");
    let second = bench.write(FEEDBACK, &update(0, &page, &json!({ "Severity": "High", "Count": 8 }))).await;
    assert!(receipt(&second).skipped.contains_key("Severity") && receipt(&second).fields["Count"] == 8, "{second:?}");
    let without = bench.attach(None, Some(&renamed)).await;
    assert!(bench.notion.sink().expect("a sink").lacks(FEEDBACK).contains("Severity"));
    // Made anew: another property, to be filled again.
    bench.world.notion(|desk, cx| desk.change_columns(cx, "What they say", &json!({ "Severity": { "select": {} } })));
    let anew = bench.attach(None, Some(&without)).await;
    assert_eq!(bench.notion.rebound(&without, &anew), [(FEEDBACK.to_owned(), "Severity".to_owned())]);
    // Of another type: no value of ours, and no write into it.
    bench.world.notion(|desk, cx| desk.change_columns(cx, "What they say", &json!({ "Count": { "rich_text": {} } })));
    let first = bench.write(FEEDBACK, &update(0, &page, &json!({ "Count": 9 }))).await;
    assert!(matches!(&first, Err(Fault::Later { .. })), "{first:?}");
    let retyped = bench.attach(None, Some(&anew)).await;
    assert!(bench.notion.sink().expect("a sink").lacks(FEEDBACK).contains("Count"));
    let skipped = bench.write(FEEDBACK, &update(0, &page, &json!({ "Count": 9 }))).await;
    assert!(receipt(&skipped).skipped["Count"].contains("rich_text"), "{skipped:?}");
    bench.world.notion(|desk, cx| desk.change_columns(cx, "What they say", &json!({ "Count": { "number": {} } })));
    let back = bench.attach(None, Some(&retyped)).await;
    assert_eq!(bench.notion.rebound(&retyped, &back), [(FEEDBACK.to_owned(), "Count".to_owned())]);
}

#[tokio::test]
async fn trashed_erased_moved_and_unshared_pages() {
    let bench = Bench::new().await;
    let pages = bench.fill(5).await;
    bench.world.notion(|desk, cx| {
        desk.trash_row(cx, &pages[0], true);
        desk.erase_row(&pages[1]);
        desk.move_row_out(cx, &pages[2]);
    });
    for (n, page) in pages.iter().take(3).enumerate() {
        assert_eq!(bench.read(page).await.expect("reads").body, None, "{n}");
        let source = bench.notion.source().expect("it reads");
        let fetched = bench.patient(async || source.fetch(&Key::new(FEEDBACK, page)).await).await.expect("fetches");
        assert!(fetched.is_some_and(|record| record.body.is_none()), "{n}");
    }
    let gone = bench.write(FEEDBACK, &update(0, &pages[0], &json!({ "Severity": "Low" }))).await;
    assert!(matches!(gone, Ok(Written::Gone)), "{gone:?}");
    let gone = bench.write(FEEDBACK, &update(1, &pages[1], &json!({ "Severity": "Low" }))).await;
    assert!(matches!(gone, Err(Fault::Unknown { .. })), "a look tells: {gone:?}");
    // No longer shared looks like gone, and is not.
    bench.world.notion(|desk, _| desk.share(PAGE, false));
    assert!(matches!(bench.read(&pages[3]).await, Err(Fault::Locked { .. })));
    assert!(matches!(bench.write(FEEDBACK, &create(77, &json!({}))).await, Err(Fault::Locked { .. })));
    assert!(matches!(bench.page(None).await, Err(Fault::Locked { .. })));
    bench.world.notion(|desk, _| desk.share(PAGE, true));
    assert!(bench.read(&pages[3]).await.expect("reads").body.is_some());
    // A relation to a page that went names its property.
    let customer = receipt(&bench.write(CUSTOMERS, &create(900, &json!({ "Name": "Acme" }))).await).id.clone();
    bench.world.notion(|desk, _| desk.erase_row(&customer));
    let refused = bench.write(FEEDBACK, &update(3, &pages[3], &json!({ "Customer": [customer] }))).await;
    assert!(matches!(&refused, Err(Fault::Rejected { field: Some(field), .. }) if field == "Customer"), "{refused:?}");
    // The whole database in the trash.
    let source = bench.world.notion(|desk, _| desk.source_named(FEEDBACK)).expect("it is there");
    bench.world.notion(|desk, _| desk.trash_source(&source, true));
    let refused = bench.write(FEEDBACK, &create(78, &json!({}))).await;
    assert!(matches!(refused, Err(Fault::Locked { .. })), "{refused:?}");
    bench.attach(None, None).await;
    assert!(matches!(bench.write(FEEDBACK, &create(78, &json!({}))).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn of_pages_with_one_external_id_the_oldest_is_ours() {
    let bench = Bench::new().await;
    let page = bench.fill(1).await.remove(0);
    bench.wait(120);
    bench.world.notion(|desk, cx| desk.duplicate_row(cx, &page));
    assert_eq!(bench.find(0).await.expect("it is there").key.id, page);
}

#[tokio::test]
async fn data_sources_by_id_need_no_page() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let (source, database) =
        bench.world.notion(|desk, _| (desk.source_named(CUSTOMERS).expect("it is there"), desk.database_of(FEEDBACK)));
    let places = json!({ "data_sources": { CUSTOMERS: source, FEEDBACK: format!("https://www.notion.so/x/Feedback-{}?v=1", database.replace('-', "")) } });
    let by_id = Bench::open(bench.world.clone(), bench.clock.clone(), &places, None);
    by_id.attach(None, None).await;
    assert!(by_id.find(0).await.is_some());
    let nowhere = settings(&json!({}));
    assert!(nowhere.get("page").is_some());
    let mut without = nowhere.clone();
    without.as_object_mut().expect("a table").remove("page");
    let outside = connectors::Outside {
        transport: by_id.sent.clone(),
        clock: by_id.clock.clone(),
        vault: std::sync::Arc::new(connectors::oauth::NoVault),
    };
    let secrets = [("token".to_owned(), secrecy::SecretString::from("t"))].into();
    let error = connectors::open(connectors::Kind::Notion, &without, &secrets, &outside).err().expect("no place");
    assert_eq!(error.key.as_deref(), Some("page"));
}

fn deliver(bench: &Bench, headers: &HeaderMap, body: &[u8]) -> Result<connectors::Delivery, Refusal> {
    let hook = bench.notion.webhook().expect("it takes webhooks");
    hook.open(Request { headers, body }, connectors::Clock::now(&*bench.clock))
}

#[tokio::test]
async fn the_handshake_tells_a_person_the_token() {
    let bench = Bench::new().await;
    bench.attach(Some(CALLBACK), None).await;
    assert!(bench.notion.hindrance().is_some_and(|why| why.contains(CALLBACK)));
    bench.world.notion(|desk, cx| desk.subscribe(cx, CALLBACK));
    let first = bench.world.due_webhooks().remove(0);
    let delivery = deliver(&bench, &first.headers, &first.body).expect("it is taken");
    let token = serde_json::from_slice::<Value>(&first.body).expect("JSON")["verification_token"].clone();
    let token = token.as_str().expect("a token");
    let notice = delivery.notice.expect("a person has to act");
    assert!(notice.contains(token) && notice.contains("webhook_secret"), "{notice}");
    // Unsigned it is taken as well, signed by somebody else it is not.
    assert!(deliver(&bench, &HeaderMap::new(), &first.body).is_ok_and(|delivery| delivery.notice.is_some()));
    let mut wrong = first.headers.clone();
    wrong.insert("x-notion-signature", "sha256=00".parse().expect("a header"));
    assert!(matches!(deliver(&bench, &wrong, &first.body), Err(Refusal::Forged(_))));
    assert!(bench.world.notion(|desk, _| desk.verify_subscription(token)));
    // Without the secret nothing else is let in; with it, no other handshake is.
    bench.world.notion(|desk, cx| desk.add_row(cx, FEEDBACK, &json!({ "Summary": "by hand" })));
    let event = bench.world.due_webhooks().remove(0);
    assert!(matches!(deliver(&bench, &event.headers, &event.body), Err(Refusal::NotReady(_))));
    let knowing = bench.restarted(&json!({}), Some(token));
    knowing.attach(None, None).await;
    assert!(deliver(&knowing, &event.headers, &event.body).is_ok_and(|delivery| delivery.fetch.len() == 1));
    assert!(deliver(&knowing, &first.headers, &first.body).is_ok_and(|delivery| delivery.notice.is_none()));
    let other = br#"{"verification_token":"secret_of_a_stranger"}"#;
    assert!(matches!(deliver(&knowing, &HeaderMap::new(), other), Err(Refusal::Forged(_))));
}

#[tokio::test]
async fn webhooks_name_pages_which_are_fetched() {
    let bench = Bench::with(&json!({}), Some(SECRET)).await;
    bench.world.notion(|desk, cx| desk.set_webhook(cx, CALLBACK, SECRET));
    let page = bench.fill(1).await.remove(0);
    let take = |bench: &Bench| -> Vec<connectors::Delivery> {
        let due = bench.world.due_webhooks();
        due.iter().map(|one| deliver(bench, &one.headers, &one.body).expect("it is signed")).collect()
    };
    assert!(take(&bench).iter().all(|delivery| delivery.fetch.is_empty()), "our own writes are not read again");
    bench.edit(&page, &json!({ "Severity": "High" }));
    let delivery = take(&bench).remove(0);
    assert_eq!((delivery.fetch.as_slice(), delivery.records.len()), (&[Key::new(FEEDBACK, &page)][..], 0));
    assert!(!delivery.id.is_empty());
    let source = bench.notion.source().expect("it reads");
    let fetched = bench.patient(async || source.fetch(&delivery.fetch[0]).await).await.expect("fetches");
    assert_eq!(fetched.and_then(|record| record.body).expect("a body")["Severity"], "High");
    bench.world.notion(|desk, cx| desk.trash_row(cx, &page, true));
    assert_eq!(take(&bench).remove(0).fetch, [Key::new(FEEDBACK, &page)]);
    bench.world.notion(|desk, cx| {
        desk.trash_row(cx, &page, false);
        desk.move_row_out(cx, &page);
    });
    let moved = take(&bench);
    assert!(moved.iter().all(|delivery| delivery.fetch.contains(&Key::new(FEEDBACK, &page))), "{moved:?}");
    assert!(!bench.notion.wants_attach());
    bench.world.notion(|desk, cx| desk.change_columns(cx, FEEDBACK, &json!({ "Severity": null })));
    take(&bench);
    assert!(bench.notion.wants_attach(), "the schema is looked at at once");
    bench.attach(None, None).await;
    assert!(!bench.notion.wants_attach());
    // Other people's pages are none of ours; a changed byte is not theirs.
    bench.world.notion(|desk, cx| desk.create_page_at_top(cx, "Elsewhere", true));
    bench.world.notion(|desk, cx| desk.add_row(cx, FEEDBACK, &json!({ "Summary": "x" })));
    let due = bench.world.due_webhooks();
    let mut forged = due[0].body.to_vec();
    forged[20] ^= 1;
    assert!(matches!(deliver(&bench, &due[0].headers, &forged), Err(Refusal::Forged(_))));
    assert!(matches!(deliver(&bench, &HeaderMap::new(), &due[0].body), Err(Refusal::Forged(_))));
    // While it works, the poll rests.
    let calls = bench.calls("POST query");
    let mut at = None;
    bench.pull_all(&mut at).await;
    let first = bench.calls("POST query");
    assert!(first > calls);
    bench.wait(120);
    bench.pull_all(&mut at).await;
    assert_eq!(bench.calls("POST query"), first);
    bench.wait(600);
    bench.pull_all(&mut at).await;
    assert!(bench.calls("POST query") > first);
}

#[tokio::test]
async fn every_page_of_everything_survives_an_even_pace_and_a_lost_place() {
    // One call at a time: what takes several calls must not begin anew with each.
    let bench = Bench::with(&json!({ "quota": { "calls": 180, "per_seconds": 60, "burst": 1 } }), None).await;
    let long = "y".repeat(60_000);
    for n in 0..3 {
        bench.world.notion(|desk, cx| desk.add_row(cx, FEEDBACK, &json!({ "Verbatim": long, "Loopd ID": id(n) })));
    }
    let records = bench.pull_all(&mut None).await;
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| record.body.as_ref().expect("a body")["Verbatim"] == long.as_str()));
    let sink = bench.notion.sink().expect("it writes");
    let (rows, _) = bench.patient(async || sink.list(FEEDBACK, None).await).await.expect("rows");
    assert!(rows.iter().all(|(_, record)| record.body.as_ref().expect("a body")["Verbatim"] == long.as_str()));
    let all: Vec<String> = rows.iter().map(|(_, record)| record.key.id.clone()).collect();
    let read = bench.patient(async || sink.read(FEEDBACK, &all).await).await.expect("reads");
    assert_eq!(read.len(), 3);
    bench.patient(async || bench.notion.probe().await).await.expect("answers");
    // The row that the next page begins with goes: the look begins anew.
    let more = bench.fill(120).await;
    bench.wait(61);
    let bench = bench.restarted(&json!({}), None);
    bench.attach(None, None).await;
    // The first page of Customers, then of Feedback.
    let mut at = None;
    for _ in 0..2 {
        match bench.page(at.as_ref()).await.expect("a page").next {
            connectors::Next::More(cursor) => at = Some(cursor),
            connectors::Next::CaughtUp(_) => panic!("there is more"),
        }
    }
    for page in &more {
        bench.world.notion(|desk, _| desk.erase_row(page));
    }
    assert_eq!(bench.pull_all(&mut at).await.len(), 3);
    bench.world.fail_next(Vendor::Notion, 1, FailKind::CutBefore);
    bench.wait(700);
    assert!(matches!(bench.page(at.as_ref()).await, Err(Fault::Unknown { .. } | Fault::Later { .. })));
}

#[tokio::test]
async fn without_its_key_nothing_is_made_twice() {
    let bench = Bench::new().await;
    bench.world.fail_next_operation(Vendor::Notion, "POST pages", 1, FailKind::CutBefore);
    let lost = bench.write(FEEDBACK, &create(1, &json!({ "Summary": "x" }))).await;
    assert!(matches!(lost, Err(Fault::Unknown { .. })), "{lost:?}");
    bench.world.notion(|desk, cx| desk.change_columns(cx, FEEDBACK, &json!({ "Loopd ID": null })));
    let sink = bench.notion.sink().expect("it finds");
    let found = bench.patient(async || sink.find(FEEDBACK, &[id(1)]).await).await;
    assert!(
        matches!(&found, Err(Fault::Locked { why }) if why.contains("Loopd ID")),
        "no record is to blame: {found:?}"
    );
    let first = bench.write(FEEDBACK, &create(2, &json!({ "Summary": "y" }))).await;
    assert!(matches!(first, Err(Fault::Later { .. })), "{first:?}");
    assert!(bench.notion.wants_attach());
    let second = bench.write(FEEDBACK, &create(2, &json!({ "Summary": "y" }))).await;
    assert!(matches!(&second, Err(Fault::Locked { why }) if why.contains("loopd setup")), "{second:?}");
    assert!(bench.world.notion(|desk, _| desk.rows(FEEDBACK)).is_empty());
    // Setup puts it back.
    bench.set_up().await;
    bench.attach(None, None).await;
    assert!(bench.write(FEEDBACK, &create(2, &json!({ "Summary": "y" }))).await.is_ok());
}
