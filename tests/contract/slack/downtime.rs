//! What an event captured is known after a restart, and what befell it while we were down is found.

use std::collections::BTreeMap;
use std::time::Duration;

use connectors::Cursor;
use serde_json::{Value, json};

use super::bench::{Bench, GENERAL, ids};

const MINUTE: Duration = Duration::from_secs(60);

impl Bench {
    /// Does what the engine does with what has come: fetches, then pulls. Returns how many calls the pull made.
    async fn work_off(&self, at: &mut Option<Cursor>) -> usize {
        let told = self.deliver();
        let source = self.slack.source().expect("it reads");
        for key in &told.fetch {
            source.fetch(key).await.expect("read");
        }
        let before = self.sent.seen().len();
        if !told.pull.is_empty() {
            assert!(self.sweep(at).await.expect("read").is_empty(), "it was fetched already");
        }
        self.sent.seen().len() - before
    }
}

#[tokio::test]
async fn what_only_an_event_captured_is_looked_after_through_a_downtime() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let root = bench.say(GENERAL, &ada, "Morning");
    let said: Vec<String> =
        ["untaken", "deleted", "edited", "left alone"].map(|text| bench.say(GENERAL, &ada, text)).into();
    let replies: Vec<String> =
        ["reply untaken", "reply deleted"].map(|text| bench.reply(GENERAL, &root, &ada, text)).into();
    bench.deliver();
    // Older than an ordinary turn looks back.
    bench.clock.advance(MINUTE * 120);
    let mut at = None;
    assert!(bench.sweep(&mut at).await.expect("read").is_empty());
    let mut calls = Vec::new();
    for ts in said.iter().chain(&replies) {
        bench.react(GENERAL, ts, &bo, "bug");
        calls.push(bench.work_off(&mut at).await);
    }
    assert_eq!(calls, [0; 6], "saved without a turn");
    bench.react(GENERAL, &said[0], &ada, "bug");
    assert!(bench.deliver().pull.is_empty(), "it is known");

    bench.world.slack(|desk, cx| {
        for user in [&bo, &ada] {
            desk.unreact(GENERAL, &said[0], user, "bug", cx);
        }
        desk.delete_message(GENERAL, &said[1], cx);
        desk.edit(GENERAL, &said[2], "edited twice", cx);
        desk.unreact(GENERAL, &replies[0], &bo, "bug", cx);
        desk.delete_message(GENERAL, &replies[1], cx);
    });
    bench.clock.advance(MINUTE * 7);
    let again = Bench::over(&bench, &json!({})).await;
    let records = again.sweep(&mut at).await.expect("read");
    let found: BTreeMap<String, Option<Value>> = records
        .iter()
        .map(|record| (record.key.id.clone(), record.body.as_ref().map(|body| body["captured"]["category"].clone())))
        .collect();
    let id = |ts: &String| format!("{GENERAL}:{ts}");
    let expect: BTreeMap<String, Option<Value>> = [
        (id(&said[0]), Some(json!(null))),
        (id(&said[1]), None),
        (id(&said[2]), Some(json!("bug"))),
        (id(&replies[0]), Some(json!(null))),
        (id(&replies[1]), None),
    ]
    .into();
    assert_eq!(found, expect);
    again.clock.advance(MINUTE * 10);
    assert!(again.sweep(&mut at).await.expect("read").is_empty(), "and each is said once");
}

#[tokio::test]
async fn a_reaction_that_comes_back_while_we_are_down_is_news() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let ts = bench.say(GENERAL, &ada, "It fails");
    bench.deliver();
    bench.clock.advance(MINUTE * 120);
    let mut at = None;
    bench.sweep(&mut at).await.expect("read");
    bench.react(GENERAL, &ts, &bo, "bug");
    bench.work_off(&mut at).await;
    bench.world.slack(|desk, cx| desk.unreact(GENERAL, &ts, &bo, "bug", cx));
    bench.work_off(&mut at).await;
    bench.react(GENERAL, &ts, &bo, "bug");
    bench.clock.advance(MINUTE * 7);
    let again = Bench::over(&bench, &json!({})).await;
    assert_eq!(ids(&again.sweep(&mut at).await.expect("read")), [format!("{GENERAL}:{ts}")]);
}

#[tokio::test]
async fn a_downtime_longer_than_slacks_patience_is_looked_through() {
    for (minutes, found) in [(4, 0), (7, 1)] {
        let bench = Bench::new().await;
        let (ada, bo) = bench.people();
        let ts = bench.say(GENERAL, &ada, "It fails");
        bench.clock.advance(MINUTE * 180);
        let mut at = None;
        bench.sweep(&mut at).await.expect("read");
        bench.react(GENERAL, &ts, &bo, "bug");
        bench.clock.advance(MINUTE * minutes);
        let again = Bench::over(&bench, &json!({})).await;
        assert_eq!(again.sweep(&mut at).await.expect("read").len(), found, "{minutes} minutes");
    }
}

#[tokio::test]
async fn an_answer_below_a_captured_message_is_heard_after_a_restart() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let ts = bench.say(GENERAL, &ada, "It fails");
    bench.react(GENERAL, &ts, &bo, "bug");
    let mut at = None;
    bench.sweep(&mut at).await.expect("read");
    bench.deliver();
    let again = Bench::over(&bench, &json!({})).await;
    again.clock.advance(MINUTE);
    again.sweep(&mut at).await.expect("read");
    again.reply(GENERAL, &ts, &ada, "In Safari, too");
    assert_eq!(again.deliver().fetch, [again.key(&ts)]);
}

#[tokio::test]
async fn without_its_line_it_looks_deep_and_once_more_when_it_is_back() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let made: Vec<String> = (0..2).map(|at| bench.say(GENERAL, &ada, &format!("It fails {at}"))).collect();
    bench.clock.advance(MINUTE * 180);
    let mut at = None;
    bench.sweep(&mut at).await.expect("read");
    let listener = bench.slack.listener().expect("it listens");
    bench.world.slack(|desk, _| desk.revoke_token(sandbox::slack::APP_TOKEN));
    assert!(listener.dial().await.is_err());
    bench.react(GENERAL, &made[0], &bo, "bug");
    bench.clock.advance(MINUTE * 2);
    assert!(bench.sweep(&mut at).await.expect("read").is_empty(), "for so long Slack tells again what it could not");
    bench.clock.advance(MINUTE * 10);
    assert_eq!(ids(&bench.sweep(&mut at).await.expect("read")), [format!("{GENERAL}:{}", made[0])]);
}

#[tokio::test]
async fn a_reply_in_a_channel_that_we_left_holds_nothing_up() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let root = bench.say(GENERAL, &ada, "Morning");
    let reply = bench.reply(GENERAL, &root, &ada, "It fails");
    let mut at = None;
    bench.sweep(&mut at).await.expect("read");
    bench.react(GENERAL, &reply, &bo, "bug");
    bench.work_off(&mut at).await;
    bench.world.slack(|desk, _| desk.remove_app(GENERAL));
    bench.clock.advance(MINUTE * 90);
    assert!(bench.sweep(&mut at).await.expect("read to its end").is_empty());
}
