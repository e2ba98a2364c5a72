//! A workspace, and a connection to it that has attached.

use std::sync::Arc;
use std::time::Duration;

use connectors::{Connector, Cursor, Delivery, Fault, Key, Kind, Outside, Record, Request, Secrets, Shape};
use sandbox::{Vendor, World};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::pull;
use crate::recording::Recording;
use crate::support::{InProcess, TestClock};

pub(super) const SECRET: &str = "signing secret";
pub(super) const GENERAL: &str = "C0GENERAL";

pub(super) struct Bench {
    pub(super) world: Arc<World>,
    pub(super) clock: Arc<TestClock>,
    pub(super) sent: Arc<Recording>,
    pub(super) slack: Arc<dyn Connector>,
}

pub(super) fn body(record: &Record) -> &Value {
    record.body.as_ref().expect("it is there")
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with(&json!({})).await
    }

    pub(super) async fn with(settings: &Value) -> Self {
        let clock = TestClock::new();
        let world = World::new(7, clock.hands());
        world.slack(|desk, _| desk.set_webhook("https://loopd.example/hooks/slack", SECRET));
        Self::open(world, clock, settings).await
    }

    /// Another connection to the same workspace: a restart, or one that is configured otherwise.
    pub(super) async fn over(other: &Self, settings: &Value) -> Self {
        Self::open(other.world.clone(), other.clock.clone(), settings).await
    }

    async fn open(world: Arc<World>, clock: Arc<TestClock>, settings: &Value) -> Self {
        let transport = InProcess { world: world.clone(), vendor: Vendor::Slack, clock: clock.clone() };
        let sent = Recording::new(Arc::new(transport));
        let outside =
            Outside { transport: sent.clone(), clock: clock.clone(), vault: Arc::new(connectors::oauth::NoVault) };
        let secrets: Secrets =
            [("token", Vendor::Slack.token()), ("webhook_secret", SECRET), ("app_token", sandbox::slack::APP_TOKEN)]
                .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
                .into();
        let slack = connectors::open(Kind::Slack, settings, &secrets, &outside).expect("it opens");
        let bench = Self { world, clock, sent, slack };
        bench.clock.advance(Duration::from_secs(3));
        bench.attach().await;
        bench
    }

    pub(super) async fn attach(&self) -> Value {
        self.slack.attach(&Shape::default(), Some("https://loopd.example/hooks/slack"), None).await.expect("attached")
    }

    /// Two colleagues.
    pub(super) fn people(&self) -> (String, String) {
        self.world.slack(|desk, cx| {
            let ada = desk.add_user("ada", "Ada Example", "ada@sandbox.example", cx);
            (ada, desk.add_user("bo", "Bo Example", "bo@sandbox.example", cx))
        })
    }

    pub(super) fn say(&self, channel: &str, user: &str, text: &str) -> String {
        self.clock.advance(Duration::from_millis(10));
        self.world.slack(|desk, cx| desk.say(channel, user, text, cx))
    }

    pub(super) fn reply(&self, channel: &str, root: &str, user: &str, text: &str) -> String {
        self.clock.advance(Duration::from_millis(10));
        self.world.slack(|desk, cx| desk.reply(channel, root, user, text, cx))
    }

    pub(super) fn react(&self, channel: &str, ts: &str, user: &str, name: &str) {
        assert!(self.world.slack(|desk, cx| desk.react(channel, ts, user, name, cx)), "it reacted before");
    }

    /// What the posts that are due say, all together.
    pub(super) fn deliver(&self) -> Delivery {
        let hook = self.slack.webhook().expect("it receives");
        let mut all = Delivery::default();
        for outgoing in self.world.due_webhooks() {
            let raw = Request { headers: &outgoing.headers, body: &outgoing.body };
            let delivery = hook.open(raw, self.world.now()).expect("it is Slack's");
            assert!(!delivery.id.is_empty());
            all.records.extend(delivery.records);
            all.fetch.extend(delivery.fetch);
            all.pull.extend(delivery.pull);
            all.reply = delivery.reply.or(all.reply);
            all.notice = delivery.notice.or(all.notice);
            self.world.delivered(outgoing, Some(200));
        }
        all
    }

    pub(super) fn key(&self, ts: &str) -> Key {
        Key::new("message", format!("{GENERAL}:{ts}"))
    }

    pub(super) async fn fetch(&self, ts: &str) -> Result<Option<Record>, Fault> {
        let source = self.slack.source().expect("it reads");
        let key = self.key(ts);
        pull::patient(&self.clock, async || source.fetch(&key).await).await
    }

    /// Sweeps until caught up, waiting as told.
    pub(super) async fn sweep(&self, at: &mut Option<Cursor>) -> Result<Vec<Record>, Fault> {
        let source = self.slack.source().expect("it reads");
        pull::all(at, async |at| pull::patient(&self.clock, async || source.pull("history", at).await).await).await
    }
}

/// Their ids, in order.
pub(super) fn ids(records: &[Record]) -> Vec<String> {
    let mut ids: Vec<String> = records.iter().map(|record| record.key.id.clone()).collect();
    ids.sort();
    ids
}
