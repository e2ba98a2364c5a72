//! Messages are posted once, in the right place, and found again.

use std::time::Duration;

use connectors::{Fault, Key, Message, MessageKind};
use sandbox::{FailKind, Vendor};
use serde_json::{Value, json};

use super::bench::{Bench, GENERAL};
use crate::pull::patient;

fn message(to: Key, kind: MessageKind, text: &str) -> Message {
    Message { id: "m-1".into(), to, kind, body: text.into() }
}

fn by_app(bench: &Bench, channel: &str) -> Vec<Value> {
    let all = bench.world.slack(|desk, _| desk.messages(channel));
    all.into_iter().filter(|message| message["bot_id"].is_string()).collect()
}

#[tokio::test]
async fn an_uncertain_answer_is_found_and_not_posted_twice() {
    for (kind, unknown) in [
        (FailKind::ServerError, true),
        (FailKind::CutBefore, true),
        (FailKind::CutAfter, true),
        (FailKind::ErrorAfter, true),
        (FailKind::Throttled, false),
    ] {
        let bench = Bench::new().await;
        let (ada, _) = bench.people();
        let root = bench.say(GENERAL, &ada, "It fails");
        let ts = bench.reply(GENERAL, &root, &ada, "Always");
        bench.clock.advance(Duration::from_secs(5));
        let answer = message(bench.key(&ts), MessageKind::Reply, "It **shipped** <today> & works");
        let messenger = bench.slack.messenger().expect("it answers");
        assert_eq!(messenger.find(&answer).await, Ok(None));
        bench.world.fail_next_operation(Vendor::Slack, "chat.postMessage", 1, kind);
        let fault = messenger.send(&answer).await.expect_err("it fails");
        assert_eq!(matches!(fault, Fault::Unknown { .. }), unknown, "{kind:?}: {fault}");
        bench.clock.advance(Duration::from_secs(61));
        let found = messenger.find(&answer).await.expect("read");
        assert_eq!(found.is_some(), matches!(kind, FailKind::CutAfter | FailKind::ErrorAfter), "{kind:?}");
        if found.is_none() {
            let sent = messenger.send(&answer).await.expect("sent");
            assert_eq!(messenger.find(&answer).await.expect("read"), Some(sent));
        }
        let posted = by_app(&bench, GENERAL);
        assert_eq!(posted.len(), 1, "{kind:?}");
        assert_eq!(
            (&posted[0]["thread_ts"], &posted[0]["text"]),
            (&json!(root), &json!("It *shipped* &lt;today&gt; &amp; works"))
        );
    }
}

#[tokio::test]
async fn a_long_answer_comes_whole_in_several_messages_whatever_stops_it_between() {
    for kind in [FailKind::ServerError, FailKind::CutAfter, FailKind::Throttled] {
        let bench = Bench::new().await;
        let (ada, _) = bench.people();
        let ts = bench.say(GENERAL, &ada, "It fails");
        bench.clock.advance(Duration::from_secs(5));
        let text = (0..1800).map(|at| format!("word{at}")).collect::<Vec<_>>().join(" ");
        let answer = message(bench.key(&ts), MessageKind::Reply, &text);
        let messenger = bench.slack.messenger().expect("it answers");
        // The first goes out, the second is put off by our own pace, and then fails.
        assert!(matches!(messenger.send(&answer).await, Err(Fault::Later { .. })));
        assert_eq!((by_app(&bench, GENERAL).len(), messenger.find(&answer).await), (1, Ok(None)));
        bench.clock.advance(Duration::from_secs(2));
        bench.world.fail_next_operation(Vendor::Slack, "chat.postMessage", 1, kind);
        assert!(messenger.send(&answer).await.is_err());
        bench.clock.advance(Duration::from_secs(61));
        while messenger.find(&answer).await.expect("read").is_none() {
            let _ = patient(&bench.clock, async || messenger.send(&answer).await).await.expect("sent");
        }
        let posted = by_app(&bench, GENERAL);
        let whole: String = posted
            .iter()
            .map(|message| message["text"].as_str().expect("text").replace("\n_(continued in the next message)_", " "))
            .collect();
        assert_eq!(whole, text, "{kind:?}");
        assert!(posted.len() > 2 && posted.iter().all(|message| message["text"].as_str().expect("text").len() <= 4000));
    }
}

#[tokio::test]
async fn notes_go_to_the_teams_channel_and_a_commands_answer_to_its_author() {
    let bench = Bench::new().await;
    let (ada, _) = bench.people();
    let ts = bench.say(GENERAL, &ada, "It fails");
    let note = message(bench.key(&ts), MessageKind::Note, "Told by phone");
    let Err(Fault::Rejected { why, .. }) = bench.slack.messenger().expect("it answers").send(&note).await else {
        panic!("there is nowhere to put it")
    };
    assert!(why.starts_with("notes_channel"), "{why}");

    let team = bench.world.slack(|desk, cx| desk.add_channel("team", true, cx));
    let bench = Bench::over(&bench, &json!({"notes_channel": team})).await;
    let messenger = bench.slack.messenger().expect("it answers");
    let sent = messenger.send(&note).await.expect("sent");
    assert_eq!(messenger.find(&note).await, Ok(Some(sent)));
    let posted = by_app(&bench, &team);
    assert!(
        posted.len() == 1 && posted[0]["text"].as_str().is_some_and(|text| text.contains(&ts.replace('.', ""))),
        "{posted:?}"
    );

    bench.clock.advance(Duration::from_secs(5));
    let answer = message(Key::new("command", format!("{ada}:1.2.abc")), MessageKind::Reply, "It shipped");
    let sent = messenger.send(&answer).await.expect("sent");
    assert_eq!(messenger.find(&answer).await, Ok(Some(sent)));
    let direct = bench.world.slack(|desk, cx| desk.direct_with(&ada, cx));
    assert_eq!(by_app(&bench, &direct).len(), 1);
}

#[tokio::test]
async fn an_answer_is_given_other_words_in_its_place_and_is_still_known() {
    let bench = Bench::new().await;
    let (ada, _) = bench.people();
    let ts = bench.say(GENERAL, &ada, "It fails");
    bench.clock.advance(Duration::from_secs(5));
    let answer = message(bench.key(&ts), MessageKind::Reply, "It shiped");
    let messenger = bench.slack.messenger().expect("it answers");
    let sent = messenger.send(&answer).await.expect("sent");
    let better = message(bench.key(&ts), MessageKind::Reply, "It **shipped**");
    assert!(messenger.updates());
    // Lost on the way, it is told again; done twice, it is as if done once.
    bench.world.fail_next_operation(Vendor::Slack, "chat.update", 1, FailKind::CutAfter);
    assert!(matches!(messenger.update(&better, &sent.id).await, Err(Fault::Later { .. })));
    for _ in 0..2 {
        bench.clock.advance(Duration::from_secs(5));
        messenger.update(&better, &sent.id).await.expect("changed");
    }
    let posted = by_app(&bench, GENERAL);
    assert_eq!((posted.len(), &posted[0]["text"]), (1, &json!("It *shipped*")));
    assert_eq!(messenger.find(&better).await.expect("read").map(|found| found.id), Some(sent.id.clone()));

    let long = message(bench.key(&ts), MessageKind::Reply, &"word ".repeat(1000));
    assert!(
        matches!(messenger.update(&long, &sent.id).await, Err(Fault::Rejected { why, .. }) if why.contains("longer"))
    );
    let (_, posted) = sent.id.split_once(':').expect("an id");
    bench.world.slack(|desk, cx| desk.delete_message(GENERAL, posted, cx));
    for id in [sent.id.as_str(), "C1:", "nonsense"] {
        assert!(matches!(messenger.update(&better, id).await, Err(Fault::Rejected { .. })), "{id}");
    }
}

#[tokio::test]
async fn nobody_is_there_to_answer() {
    let bench = Bench::new().await;
    let (ada, _) = bench.people();
    let ts = bench.say(GENERAL, &ada, "It fails");
    bench.world.slack(|desk, cx| desk.delete_message(GENERAL, &ts, cx));
    let messenger = bench.slack.messenger().expect("it answers");
    for to in [bench.key(&ts), Key::new("message", "nonsense"), Key::new("command", "nobody"), Key::new("other", "x")] {
        let answer = message(to, MessageKind::Reply, "It shipped");
        assert!(matches!(messenger.send(&answer).await, Err(Fault::Rejected { .. })), "{answer:?}");
    }
}
