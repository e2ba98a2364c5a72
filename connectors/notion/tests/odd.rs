//! Answers that are not as documented: nothing panics, nothing is taken for what it is not.

use serde_json::{Value, json};

use super::{BOT, DATABASE, HOME, ROW, SOURCE, attached, notion, shape, write};
use crate::notion::types::uuid;
use crate::{Connector, Fault, Next, Setup, Sink, Source, Written};

fn oddities() -> Vec<Value> {
    vec![
        Value::Null,
        json!(7),
        json!("text"),
        json!([]),
        json!({}),
        json!({ "results": 7, "has_more": "yes", "next_cursor": 5 }),
        json!({ "results": [null, 7, {}, { "id": 7 }, { "id": "x", "properties": 7 }], "next_cursor": null }),
        json!({ "id": ROW, "properties": { "Severity": 7, "ARR": { "id": 7 }, "Status": { "id": "st", "type": 7, "status": [] } }, "parent": 7 }),
        json!({ "id": ROW, "parent": { "data_source_id": SOURCE }, "properties": { "Summary": { "id": "title", "type": "title", "title": "x" } } }),
    ]
}

#[tokio::test]
async fn odd_answers_are_borne() {
    for odd in oddities() {
        let (notion, script, clock) = attached(false).await;
        let answer = || {
            for _ in 0..12 {
                script.answer(200, &odd);
            }
        };
        answer();
        let verdict = notion.write_one("Feedback", &write(None, &json!({ "ARR": 1 }))).await;
        let has_id = odd.get("id").and_then(Value::as_str).is_some_and(|id| uuid(id).is_some());
        assert!(
            if has_id {
                matches!(verdict, Ok(Written::Stored(_)))
            } else {
                matches!(verdict, Err(Fault::Unknown { .. }))
            },
            "{odd}: {verdict:?}"
        );
        answer();
        drop(notion.read("Feedback", &[ROW.to_owned()]).await);
        answer();
        drop(notion.find("Feedback", &["x".to_owned()]).await);
        answer();
        drop(notion.list("Feedback", None).await);
        answer();
        drop(notion.ids("Feedback", None).await);
        answer();
        if let Ok(page) = notion.pull("modified", None).await {
            let (Next::More(cursor) | Next::CaughtUp(cursor)) = page.next;
            drop(notion.pull("modified", Some(&cursor)).await);
        }
        answer();
        drop(notion.probe().await);
        answer();
        drop(notion.plan(&shape()).await);
        clock.advance(120);
        answer();
        drop(notion.attach(&shape(), None, Some(&odd)).await);
        drop(notion.rebound(&odd, &odd));
    }
}

#[tokio::test]
async fn a_list_that_never_ends_does_not_hold_us() {
    let (notion, script, _) = attached(false).await;
    // The same cursor again and again.
    let page = json!({ "results": [], "has_more": true, "next_cursor": "same" });
    for _ in 0..3 {
        script.answer(200, &page);
    }
    let Next::More(at) = notion.pull("modified", None).await.expect("a page").next else { panic!("there is more") };
    let Next::CaughtUp(_) = notion.pull("modified", Some(&at)).await.expect("a page").next else {
        panic!("a cursor that stands still is the end")
    };
}

#[tokio::test]
async fn a_cursor_of_another_time_begins_anew() {
    let (notion, script, _) = attached(false).await;
    for cursor in [json!(null), json!(7), json!({ "scan": { "collection": 7 } })] {
        script.answer(200, &json!({ "results": [] }));
        let page = notion.pull("modified", Some(&crate::Cursor(cursor))).await.expect("a page");
        assert!(matches!(page.next, Next::CaughtUp(_)));
    }
    assert!(matches!(notion.pull("other", None).await, Err(Fault::Rejected { .. })));
}

#[tokio::test]
async fn a_page_that_is_not_shared_is_told_with_its_mend() {
    let (notion, script, _) = notion(false);
    script.answer(200, &json!({ "id": BOT }));
    script.answer(404, &super::refusal(404, "object_not_found", "Could not find block with ID"));
    script.answer(200, &json!({ "results": [] }));
    script.answer(404, &super::refusal(404, "object_not_found", "Could not find page with ID"));
    let fault = notion.attach(&shape(), None, None).await.expect_err("it is not shared");
    assert!(matches!(&fault, Fault::Locked { why } if why.contains(HOME) && why.contains("Connections")), "{fault}");
    // A database without a data source of that name, and one in the trash.
    let (notion, script, _) = super::notion(false);
    script.answer(200, &json!({ "id": BOT }));
    let databases = [(DATABASE, "Feedback"), (SOURCE, "Feedback")]
        .map(|(id, title)| json!({ "id": id, "child_database": { "title": title } }));
    script.answer(200, &json!({ "results": databases }));
    script.answer(200, &json!({ "id": DATABASE, "data_sources": [] }));
    script.answer(200, &json!({ "id": SOURCE, "in_trash": true, "data_sources": [{ "id": SOURCE }] }));
    let elsewhere =
        json!({ "id": SOURCE, "title": [{ "plain_text": "Feedback" }], "database_parent": { "page_id": ROW } });
    script.answer(200, &json!({ "results": [elsewhere] }));
    notion.attach(&shape(), None, None).await.expect("attaches");
    assert!(matches!(notion.table("Feedback"), Err(Fault::Locked { why }) if why.contains("loopd setup")));
}

#[tokio::test]
async fn a_database_in_a_column_is_found_by_the_search() {
    // Also where a page's content is not to be had at all.
    for children in [200, 404] {
        let (notion, script, _) = notion(false);
        script.answer(200, &json!({ "id": BOT }));
        script.answer(children, &json!({ "results": [{ "id": ROW, "type": "column_list", "column_list": {} }] }));
        let other = json!({ "id": ROW, "title": [{ "plain_text": "Feedback of others" }], "database_parent": { "block_id": ROW } });
        let ours =
            json!({ "id": SOURCE, "title": [{ "plain_text": "Feedback" }], "database_parent": { "block_id": ROW } });
        script.answer(200, &json!({ "results": [other, ours] }));
        script.answer(200, &super::source());
        notion.attach(&shape(), None, None).await.expect("attaches");
        assert_eq!(notion.table("Feedback").expect("bound").id, SOURCE);
    }
}
