//! Socket Mode, frame by frame; and over a real socket.

use std::sync::Arc;
use std::time::Duration;

use connectors::http::{Heard, Reqwest, Wire};
use connectors::{Connector, Frame, Kind, Listener, Outside, Secrets, Shape};
use sandbox::slack::Shown;
use sandbox::{Ports, Vendor, World};
use secrecy::SecretString;
use serde_json::json;

use super::bench::{Bench, GENERAL};

/// The next delivery of a line.
async fn next(
    listener: &dyn Listener,
    line: &mut Box<dyn Wire>,
    now: chrono::DateTime<chrono::Utc>,
) -> Option<(String, connectors::Delivery)> {
    loop {
        match line.next(Duration::from_secs(5)).await.expect("an open line")? {
            Heard::Alive => {}
            Heard::Text(text) => match listener.read(&text, now).expect("a frame") {
                Frame::Delivery { ticket, delivery } => return Some((ticket, *delivery)),
                Frame::Nothing => {}
                Frame::Over(why) => panic!("over: {why}"),
            },
        }
    }
}

#[tokio::test]
async fn what_comes_over_a_line_is_what_comes_by_webhook() {
    let bench = Bench::new().await;
    bench.world.slack(|desk, _| desk.set_socket_mode());
    let listener = bench.slack.listener().expect("it has an app token");
    let mut line = listener.dial().await.expect("a line");
    let (ada, bo) = bench.people();
    let ts = bench.say(GENERAL, &ada, "It fails");
    bench.react(GENERAL, &ts, &bo, "bug");
    let now = bench.world.now();
    let (ticket, told) = next(listener, &mut line, now).await.expect("the message");
    assert!(told.fetch.is_empty());
    line.say(listener.receipt(&ticket, None)).await.expect("heard");
    let (_, told) = next(listener, &mut line, now).await.expect("the reaction");
    assert_eq!(told.fetch, [bench.key(&ts)]);
    // The line breaks before its receipt: the next one brings it again.
    drop(line);
    let mut line = listener.dial().await.expect("a line");
    let (ticket, again) = next(listener, &mut line, now).await.expect("again");
    assert_eq!((again.id, again.fetch), (told.id, told.fetch));
    line.say(listener.receipt(&ticket, None)).await.expect("heard");
    assert!(next(listener, &mut line, now).await.is_none());

    let trigger = bench.world.slack(|desk, cx| desk.slash(GENERAL, &ada, "/feedback", "It fails", cx));
    let (ticket, told) = next(listener, &mut line, now).await.expect("the command");
    let reply = told.reply.expect("an answer");
    line.say(listener.receipt(&ticket, Some(&reply.body))).await.expect("heard");
    assert!(
        matches!(bench.world.slack(|desk, _| desk.shown(&trigger)), Some(Shown::Text(text)) if text.contains("noted"))
    );

    bench.world.slack(|desk, _| desk.refresh_lines());
    let frame = line.next(Duration::ZERO).await.expect("open").expect("a frame");
    let Heard::Text(frame) = frame else { panic!("{frame:?}") };
    assert!(matches!(listener.read(&frame, now), Ok(Frame::Over(why)) if why == "refresh_requested"));
    assert!(listener.read("no JSON", now).is_err());
}

/// The same protocol over TCP: the handshake, frames, pings and the end are the library's and the sandbox's.
#[tokio::test]
async fn a_line_over_a_real_socket() {
    let clock = connectors::clock::SystemClock::new();
    let world = World::new(1, Arc::new(move || connectors::Clock::now(&clock)));
    let served = sandbox::serve(world.clone(), &Ports::new()).await.expect("ports");
    world.slack(|desk, _| desk.set_socket_mode());
    let outside = Outside {
        transport: Arc::new(Reqwest::new().expect("a client")),
        clock: Arc::new(clock),
        vault: Arc::new(connectors::oauth::NoVault),
    };
    let secrets: Secrets = [("token", Vendor::Slack.token()), ("app_token", sandbox::slack::APP_TOKEN)]
        .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
        .into();
    let settings = json!({"base_url": served.base(Vendor::Slack)});
    let slack: Arc<dyn Connector> = connectors::open(Kind::Slack, &settings, &secrets, &outside).expect("it opens");
    slack.attach(&Shape::default(), None, None).await.expect("attached");
    let listener = slack.listener().expect("it listens");
    let mut line = listener.dial().await.expect("a line");
    let ts = world.slack(|desk, cx| {
        let ts = desk.say(GENERAL, "U0ADMIN", "It fails", cx);
        desk.react(GENERAL, &ts, "U0ADMIN", "bug", cx);
        ts
    });
    for _ in 0..2 {
        let (ticket, told) = next(listener, &mut line, world.now()).await.expect("an event");
        line.say(listener.receipt(&ticket, None)).await.expect("heard");
        assert!(told.fetch.iter().all(|key| key.id == format!("{GENERAL}:{ts}")));
    }
    let record =
        slack.source().expect("it reads").fetch(&connectors::Key::new("message", format!("{GENERAL}:{ts}"))).await;
    assert!(record.expect("read").is_some_and(|record| record.body.is_some()));
    world.slack(|desk, _| desk.refresh_lines());
    let Some(Heard::Text(frame)) = line.next(Duration::from_secs(5)).await.expect("open") else { panic!("a goodbye") };
    assert!(matches!(listener.read(&frame, world.now()), Ok(Frame::Over(_))));
    assert!(line.next(Duration::from_secs(5)).await.is_err(), "and then it is closed");
    drop(line);
    served.shutdown().await;
}
