//! What no event told is found by the sweep: at the full rate, at one request a minute, and whatever fails on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use connectors::{Fault, Key, Next};
use sandbox::{FailKind, Vendor};
use serde_json::json;

use super::bench::{Bench, GENERAL, body, ids};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_downtime_loses_no_reaction_edit_removal_or_reply() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let second = bench.world.slack(|desk, cx| desk.add_channel("product", true, cx));
    for at in 0..420 {
        bench.say(GENERAL, &ada, &format!("chatter {at}"));
    }
    let bug = bench.say(GENERAL, &ada, "It fails");
    let wish = bench.say(&second, &ada, "Dark mode");
    bench.clock.advance(MINUTE);
    let mut at = None;
    assert_eq!(ids(&bench.sweep(&mut at).await.expect("read")), Vec::<String>::new(), "nobody reacted yet");

    // The daemon is down; the posts go nowhere.
    bench.clock.advance(MINUTE * 90);
    bench.react(GENERAL, &bug, &bo, "bug");
    bench.react(&second, &wish, &bo, "bulb");
    let below = bench.reply(GENERAL, &bug, &ada, "In Safari, too");
    bench.react(GENERAL, &below, &bo, "bug");
    bench.clock.advance(MINUTE);
    let again = Bench::over(&bench, &json!({})).await;
    let records = again.sweep(&mut at).await.expect("read");
    let mut expect = [format!("{GENERAL}:{bug}"), format!("{second}:{wish}"), format!("{GENERAL}:{below}")];
    expect.sort();
    assert_eq!(ids(&records), expect);
    let root = records.iter().find(|record| record.key == again.key(&bug)).expect("there");
    assert_eq!(body(root)["thread"].as_array().map(Vec::len), Some(1));

    again.clock.advance(MINUTE * 10);
    assert!(again.sweep(&mut at).await.expect("read").is_empty(), "nothing is new");

    // Edited, answered, taken back, deleted: each is said once.
    again.clock.advance(MINUTE * 90);
    again.world.slack(|desk, cx| {
        desk.edit(&second, &wish, "Dark mode, and high contrast", cx);
        desk.unreact(GENERAL, &bug, &bo, "bug", cx);
    });
    again.clock.advance(MINUTE);
    let records = again.sweep(&mut at).await.expect("read");
    assert_eq!(ids(&records), [format!("{GENERAL}:{bug}"), format!("{second}:{wish}")]);
    let by_id: BTreeMap<_, _> = records.iter().map(|record| (record.key.id.clone(), body(record).clone())).collect();
    assert_eq!(by_id[&format!("{GENERAL}:{bug}")]["captured"], json!(null));
    assert_eq!(by_id[&format!("{second}:{wish}")]["text"], "Dark mode, and high contrast");
    again.clock.advance(MINUTE * 90);
    again.reply(&second, &wish, &ada, "Thanks");
    again.clock.advance(MINUTE);
    let records = again.sweep(&mut at).await.expect("read");
    assert_eq!(
        (ids(&records), body(&records[0])["thread"].as_array().map(Vec::len)),
        (vec![format!("{second}:{wish}")], Some(1))
    );
    again.clock.advance(MINUTE * 90);
    let other = again.say(&second, &ada, "Light mode");
    again.react(&second, &other, &bo, "bulb");
    again.clock.advance(MINUTE);
    assert_eq!(again.sweep(&mut at).await.expect("read").len(), 1);
    again.clock.advance(MINUTE * 90);
    again.world.slack(|desk, cx| desk.delete_message(&second, &other, cx));
    again.clock.advance(MINUTE);
    let records = again.sweep(&mut at).await.expect("read");
    assert_eq!(
        records.iter().map(|record| (record.key.id.clone(), record.body.is_none())).collect::<Vec<_>>(),
        [(format!("{second}:{other}"), true)]
    );
    assert_eq!(again.world.books(Vendor::Slack).throttled, 0);
}

#[tokio::test]
async fn a_fault_midway_costs_time_and_no_message() {
    for kind in [
        FailKind::Unavailable,
        FailKind::ServerError,
        FailKind::CutBefore,
        FailKind::CutAfter,
        FailKind::BadGatewayAfter,
        FailKind::Throttled,
    ] {
        for operation in [
            "users.conversations",
            "conversations.history",
            "conversations.replies",
            "users.info",
            "conversations.info",
            "chat.getPermalink",
        ] {
            let bench = Bench::new().await;
            let (ada, bo) = bench.people();
            let made: Vec<String> = (0..12).map(|at| bench.say(GENERAL, &ada, &format!("It fails {at}"))).collect();
            for ts in &made {
                bench.react(GENERAL, ts, &bo, "bug");
                bench.reply(GENERAL, ts, &bo, "Hm");
            }
            bench.clock.advance(MINUTE);
            bench.world.fail_next_operation(Vendor::Slack, operation, 2, kind);
            let (mut at, mut seen) = (None, BTreeMap::new());
            let source = bench.slack.source().expect("it reads");
            for _ in 0..120 {
                match source.pull("history", at.as_ref()).await {
                    Ok(page) => {
                        seen.extend(page.records.into_iter().map(|record| (record.key.id.clone(), record)));
                        let (Next::More(cursor) | Next::CaughtUp(cursor)) = page.next.clone();
                        at = Some(cursor);
                        if matches!(page.next, Next::CaughtUp(_)) && seen.len() == made.len() {
                            break;
                        }
                    }
                    Err(Fault::Later { .. } | Fault::Unknown { .. }) => {}
                    Err(fault) => panic!("{kind:?} {operation}: {fault}"),
                }
                bench.clock.advance(MINUTE + Duration::from_secs(1));
            }
            assert_eq!(seen.len(), made.len(), "{kind:?} {operation}");
            assert!(
                seen.values().all(|record| body(record)["author"]["name"] == "Ada Example"),
                "{kind:?} {operation}"
            );
        }
    }
}

#[tokio::test]
async fn the_first_refusal_of_history_is_the_last() {
    let bench = Bench::new().await;
    bench.world.slack(|desk, _| desk.set_restricted(true));
    let (ada, bo) = bench.people();
    let made: Vec<String> = (0..40).map(|at| bench.say(GENERAL, &ada, &format!("It fails {at}"))).collect();
    bench.react(GENERAL, &made[3], &bo, "bug");
    bench.clock.advance(MINUTE);
    let source = bench.slack.source().expect("it reads");
    let (mut at, mut found, mut told) = (None, Vec::new(), 0);
    let start = bench.world.now();
    loop {
        match source.pull("history", at.as_ref()).await {
            Ok(page) => {
                found.extend(page.records);
                match page.next {
                    Next::More(cursor) => at = Some(cursor),
                    Next::CaughtUp(_) => break,
                }
            }
            Err(Fault::Later { after: Some(wait), .. }) => {
                told += 1;
                bench.clock.advance(wait);
            }
            Err(fault) => panic!("{fault}"),
        }
    }
    assert_eq!(ids(&found), [format!("{GENERAL}:{}", made[3])]);
    // The first page came, the second was refused; from then on each came in its minute.
    assert_eq!(bench.world.books(Vendor::Slack).throttled, 1, "told to wait {told} times");
    assert!(bench.world.now() - start < chrono::TimeDelta::minutes(5), "{}", bench.world.now() - start);
    assert!(bench.slack.wants_attach());
    bench.attach().await;
    assert!(bench.slack.hindrance().is_some_and(|why| why.contains("once a minute")));
    let pages = bench.sent.seen();
    let last = pages.iter().rfind(|request| request.uri().path().ends_with("conversations.history")).expect("read");
    assert!(String::from_utf8_lossy(last.body()).contains("limit=15"));

    // An hour later it is tried again, and with another tier it goes fast.
    bench.world.slack(|desk, _| desk.set_restricted(false));
    bench.clock.advance(MINUTE * 61);
    bench.attach().await;
    assert_eq!(bench.slack.hindrance(), None);
}

#[tokio::test]
async fn channels_that_cannot_be_read_keep_none_of_the_others_back() {
    let bench = Bench::with(&json!({"channels": {"C0NOTOURS": "acme.example"}})).await;
    let (ada, bo) = bench.people();
    let ts = bench.say(GENERAL, &ada, "It fails");
    bench.react(GENERAL, &ts, &bo, "bug");
    bench.clock.advance(MINUTE);
    assert_eq!(ids(&bench.sweep(&mut None).await.expect("read")), [format!("{GENERAL}:{ts}")]);
    // Without groups:read the public channels are swept.
    let token = Vendor::Slack.token();
    let scopes = ["channels:history", "channels:read", "reactions:read", "users:read"];
    bench.world.slack(|desk, _| desk.set_scopes(token, &scopes));
    let again = Bench::over(&bench, &json!({})).await;
    assert_eq!(ids(&again.sweep(&mut None).await.expect("read")).len(), 1);
    let only = Bench::over(&bench, &json!({"channels": {GENERAL: "acme.example"}, "sweep": "listed"})).await;
    assert_eq!(ids(&only.sweep(&mut None).await.expect("read")).len(), 1);
    assert!(only.sent.lines(0).iter().all(|line| !line.contains("users.conversations")));
    let none = Bench::over(&bench, &json!({"sweep": "none"})).await;
    assert!(none.slack.source().expect("it reads").streams().is_empty());
}

#[tokio::test]
async fn a_start_and_a_window_are_kept_to() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let old = bench.say(GENERAL, &ada, "It failed long ago");
    bench.react(GENERAL, &old, &bo, "bug");
    bench.clock.advance(MINUTE * 60 * 24 * 5);
    let new = bench.say(GENERAL, &ada, "It fails");
    bench.react(GENERAL, &new, &bo, "bug");
    bench.clock.advance(MINUTE);
    assert_eq!(ids(&bench.sweep(&mut None).await.expect("read")), [format!("{GENERAL}:{new}")]);
    let started = Bench::over(&bench, &json!({"start": "2026-11-01"})).await;
    assert_eq!(started.sweep(&mut None).await.expect("read").len(), 2);
    // What nobody can page through any more is still fetched by name.
    assert!(
        bench.slack.source().expect("it reads").fetch(&Key::new("message", format!("{GENERAL}:{old}"))).await.is_ok()
    );
}
