//! The Slack connector against its stand-in: what captures, what is missed and found again, what is said and how it is found.

mod answers;
mod bench;
mod downtime;
mod history;
mod line;
mod received;

use connectors::{Fault, Key, Shape};
use sandbox::Vendor;
use serde_json::json;

use bench::{Bench, GENERAL, body};

#[tokio::test]
async fn a_reaction_makes_a_message_feedback_with_all_that_belongs_to_it() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let ts = bench.say(GENERAL, &ada, &format!("Exports &lt;fail&gt;, <@{bo}>"));
    let answer = bench.reply(GENERAL, &ts, &bo, "We look");
    bench.deliver();
    bench.react(GENERAL, &ts, &bo, "bug::skin-tone-3");
    bench.react(GENERAL, &ts, &ada, "bulb");
    let keys = bench.deliver().fetch;
    assert_eq!(keys, [bench.key(&ts), bench.key(&ts)], "two events, one message");
    let record = bench.fetch(&ts).await.expect("read").expect("ours");
    let body = body(&record);
    assert_eq!(body["text"], "Exports <fail>, @bo");
    assert_eq!(
        (&body["author"]["name"], &body["author"]["email"]),
        (&json!("Ada Example"), &json!("ada@sandbox.example"))
    );
    assert_eq!((&body["channel"]["name"], &body["team"]), (&json!("general"), &json!("T0SANDBOX")));
    assert_eq!(body["captured"]["category"], "bug");
    assert_eq!(body["captured"]["emoji"], json!(["bug::skin-tone-3", "bulb"]));
    let link = format!("https://sandbox.slack.com/archives/{GENERAL}/p{}", ts.replace('.', ""));
    assert_eq!((record.url.as_deref(), &body["permalink"]), (Some(link.as_str()), &json!(link)));
    assert_eq!((&body["thread"][0]["ts"], &body["thread"][0]["text"]), (&json!(answer), &json!("We look")));
    // Asked again: the message and its thread are read anew, those who wrote are remembered.
    let before = bench.sent.seen().len();
    assert_eq!(bench.fetch(&ts).await.expect("read"), Some(record));
    assert_eq!(bench.sent.lines(before), ["POST /api/conversations.history", "POST /api/conversations.replies"]);
}

#[tokio::test]
async fn a_reply_in_a_thread_is_captured_by_itself() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let root = bench.say(GENERAL, &ada, "Morning");
    let ts = bench.reply(GENERAL, &root, &ada, "And dark mode, please");
    bench.react(GENERAL, &ts, &bo, "bulb");
    assert_eq!(bench.deliver().fetch, [bench.key(&ts)]);
    let record = bench.fetch(&ts).await.expect("read").expect("ours");
    let body = body(&record);
    assert_eq!(
        (&body["text"], &body["captured"]["category"]),
        (&json!("And dark mode, please"), &json!("feature_request"))
    );
    assert!(record.url.as_ref().is_some_and(|url| url.contains(&format!("thread_ts={root}"))));
    // The same where history may be read once a minute only: another method shows it.
    bench.world.slack(|desk, _| desk.set_restricted(true));
    let slow = Bench::over(&bench, &json!({"history": "slow"})).await;
    let before = slow.sent.seen().len();
    assert_eq!(self::body(&slow.fetch(&ts).await.expect("read").expect("ours"))["text"], body["text"]);
    assert_eq!(slow.sent.lines(before)[0], "POST /api/reactions.get");
}

#[tokio::test]
async fn removed_deleted_and_our_own() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let ts = bench.say(GENERAL, &ada, "It fails");
    bench.react(GENERAL, &ts, &bo, "mega");
    assert_eq!(body(&bench.fetch(&ts).await.expect("read").expect("ours"))["captured"]["category"], json!(null));
    bench.deliver();
    bench.world.slack(|desk, cx| desk.unreact(GENERAL, &ts, &bo, "mega", cx));
    assert_eq!(bench.deliver().fetch, [bench.key(&ts)]);
    let record = bench.fetch(&ts).await.expect("read").expect("ours");
    assert_eq!(body(&record)["captured"], json!(null));
    assert_eq!(body(&record)["message"], json!({ "ts": ts }), "what it said is not kept any more");
    // Ours count for nothing, neither told nor on the message.
    let us = bench.world.slack(|desk, _| desk.ids().1);
    bench.react(GENERAL, &ts, &us, "bug");
    assert!(bench.deliver().fetch.is_empty());
    assert_eq!(body(&bench.fetch(&ts).await.expect("read").expect("ours"))["captured"], json!(null));
    let ours = bench.say(GENERAL, &us, "Shipped!");
    bench.react(GENERAL, &ours, &bo, "bug");
    assert_eq!(bench.fetch(&ours).await.expect("read"), None);
    // Gone; and where somebody had answered, a stone is left.
    bench.reply(GENERAL, &ts, &bo, "Hm");
    for gone in [&ts, &bench.say(GENERAL, &ada, "Never mind")] {
        bench.deliver();
        bench.world.slack(|desk, cx| desk.delete_message(GENERAL, gone, cx));
        let told = bench.deliver();
        assert_eq!(
            told.records.iter().map(|record| (record.key.clone(), record.body.clone())).collect::<Vec<_>>(),
            [(bench.key(gone), None)]
        );
        assert_eq!(bench.fetch(gone).await.expect("read").expect("ours").body, None);
    }
    let foreign = Key::new("message", "nonsense");
    assert_eq!(bench.slack.source().expect("it reads").fetch(&foreign).await, Ok(None));
}

#[tokio::test]
async fn a_channel_says_whose_it_is() {
    let bench = Bench::with(
        &json!({"channels": {GENERAL: "acme.example"}, "channel_pattern": ["ext-{customer}", "{customer}-shared"]}),
    )
    .await;
    let (_, bo) = bench.people();
    let (named, connected, ours, stranger) = bench.world.slack(|desk, cx| {
        let acme = desk.add_team("Lumen Example", "lumen", "lumen.example, lumen.example.org", cx);
        let connected = desk.add_channel("project-x", false, cx);
        desk.share_channel(&connected, &acme);
        let stranger = desk.add_stranger(&acme, "kim", "kim@lumen.example", cx);
        (desk.add_channel("ext-big-corp", true, cx), connected, desk.add_channel("lunch", false, cx), stranger)
    });
    for (channel, user, customer, external) in [
        (GENERAL, &bo, json!({"channel": GENERAL, "domains": ["acme.example"], "names": []}), false),
        (&named, &bo, json!({"channel": named, "domains": [], "names": ["big corp", "big-corp"]}), false),
        (
            &connected,
            &stranger,
            json!({"channel": connected, "domains": ["lumen.example", "lumen.example.org"], "names": ["Lumen Example"]}),
            true,
        ),
        (&ours, &bo, json!(null), false),
    ] {
        let ts = bench.say(channel, user, "It fails");
        bench.react(channel, &ts, &bo, "bug");
        let key = Key::new("message", format!("{channel}:{ts}"));
        let record = bench.slack.source().expect("it reads").fetch(&key).await.expect("read").expect("ours");
        assert_eq!((&body(&record)["customer"], &body(&record)["author"]["external"]), (&customer, &json!(external)));
    }
}

#[tokio::test]
async fn what_the_token_lacks_is_said_in_slacks_words() {
    let bench = Bench::new().await;
    let me = bench.slack.probe().await.expect("seen");
    assert_eq!((me.account.as_str(), me.name.as_str()), ("T0SANDBOX", "Sandbox (loopd)"));
    assert!(me.scopes.contains(&"reactions:read".to_owned()) && bench.slack.hindrance().is_none(), "{me:?}");

    let token = Vendor::Slack.token();
    bench.world.slack(|desk, _| desk.set_scopes(token, &["channels:history", "chat:write", "channels:read"]));
    let me = bench.slack.probe().await.expect("seen");
    for scope in ["reactions:read", "users:read", "users:read.email"] {
        assert!(me.notes.iter().any(|note| note.starts_with(&format!("no {scope}: "))), "{:?}", me.notes);
    }
    assert!(bench.slack.wants_attach(), "ops hear of it soon");
    bench.attach().await;
    assert!(bench.slack.hindrance().is_some_and(|why| why.contains("reactions:read")));
    // Without users:read a message is captured all the same.
    let (ada, bo) = bench.people();
    let ts = bench.say(GENERAL, &ada, "It fails");
    bench.react(GENERAL, &ts, &bo, "bug");
    let record = bench.fetch(&ts).await.expect("read").expect("ours");
    assert_eq!((&body(&record)["author"]["id"], &body(&record)["author"]["name"]), (&json!(ada), &json!(null)));

    bench.world.slack(|desk, _| desk.set_scopes(token, &["channels:read"]));
    let Err(Fault::Locked { why }) = bench.fetch(&ts).await else { panic!("it cannot be read") };
    assert!(why.contains("missing_scope: needed channels:history, the token has channels:read"), "{why}");
    bench.world.slack(|desk, _| desk.revoke_token(token));
    for fault in [bench.fetch(&ts).await.err(), bench.slack.probe().await.err()] {
        assert!(matches!(&fault, Some(Fault::Locked { why }) if why.contains("token_revoked")), "{fault:?}");
    }
}

#[tokio::test]
async fn another_workspaces_token_locks() {
    let bench = Bench::new().await;
    let known = json!({"team_id": "T0OTHER"});
    let Err(Fault::Locked { why }) = bench.slack.attach(&Shape::default(), None, Some(&known)).await else {
        panic!("it is another workspace")
    };
    assert!(why.contains("T0SANDBOX") && why.contains("T0OTHER"), "{why}");
}

#[tokio::test]
async fn a_channel_that_the_app_is_not_in_is_a_dead_letter_and_says_the_mend() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let ts = bench.say(GENERAL, &ada, "It fails");
    bench.react(GENERAL, &ts, &bo, "bug");
    bench.world.slack(|desk, _| desk.remove_app(GENERAL));
    let Err(Fault::Rejected { why, .. }) = bench.fetch(&ts).await else { panic!("it cannot be read") };
    assert!(why.contains("/invite"), "{why}");
}
