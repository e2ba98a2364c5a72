//! The connector over the stand-in on a clock of its own, and what the stories do with it. When a story ends, each request
//! of it is held against Linear's schema.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use connectors::{
    CollectionShape, Connector, Cursor, Fault, FieldKind, FieldShape, Kind, Outside, Receipt, Record, Secrets, Shape,
    TagChange, Write, Written,
};
use sandbox::{Vendor, World};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::schema::{check, vendor};
use crate::pull;
use crate::recording::Recording;
use crate::support::{InProcess, TestClock};

pub(super) const SECRET: &str = "signing secret";
pub(super) const TEAM: &str = "ENG";

pub(super) struct Bench {
    pub(super) world: Arc<World>,
    pub(super) clock: Arc<TestClock>,
    sent: Arc<Recording>,
    pub(super) linear: Arc<dyn Connector>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let Some(vendor) = vendor().filter(|_| !std::thread::panicking()) else { return };
        let mut checked = BTreeSet::new();
        for request in self.sent.seen() {
            if checked.insert(request.body().clone()) {
                check(vendor, request.body())
                    .unwrap_or_else(|why| panic!("{}: {why}", String::from_utf8_lossy(request.body())));
            }
        }
    }
}

pub(super) fn id(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

pub(super) fn write(n: usize, target: Option<&str>, fields: &Value, add: &[&str], remove: &[&str]) -> Write {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let change = TagChange { add: names(add), remove: names(remove) };
    Write {
        external_id: id(n),
        target: target.map(String::from),
        fields: fields.as_object().cloned().unwrap_or_default(),
        tags: if add.is_empty() && remove.is_empty() {
            BTreeMap::new()
        } else {
            BTreeMap::from([("labels".into(), change)])
        },
    }
}

pub(super) fn receipt(verdict: Result<Written, Fault>) -> Receipt {
    match verdict {
        Ok(Written::Stored(receipt)) => receipt,
        other => panic!("{other:?}"),
    }
}

pub(super) fn shape() -> Shape {
    let labels = FieldShape {
        name: "labels".into(),
        kind: FieldKind::Tags,
        options: vec!["Bug".into(), "Churn risk".into()],
        links_to: None,
        description: String::new(),
    };
    let collection =
        |name: &str, fields: &[FieldShape]| CollectionShape { name: name.into(), key: None, fields: fields.to_vec() };
    Shape {
        collections: vec![
            collection("issue", &[labels]),
            collection("attachment", &[]),
            collection("customer", &[]),
            collection("need", &[]),
        ],
    }
}

impl Bench {
    pub(super) fn open(more: &Value) -> Self {
        let clock = TestClock::new();
        let world = World::new(23, clock.hands());
        let transport = InProcess { world: world.clone(), vendor: Vendor::Linear, clock: clock.clone() };
        let sent = Recording::new(Arc::new(transport));
        let outside =
            Outside { transport: sent.clone(), clock: clock.clone(), vault: Arc::new(connectors::oauth::NoVault) };
        let mut settings = json!({ "team": TEAM });
        settings.as_object_mut().expect("a table").extend(more.as_object().cloned().unwrap_or_default());
        let secrets: Secrets = [("token", Vendor::Linear.token()), ("webhook_secret", SECRET)]
            .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
            .into();
        let linear = connectors::open(Kind::Linear, &settings, &secrets, &outside).expect("it opens");
        Self { world, clock, sent, linear }
    }

    pub(super) async fn new() -> Self {
        let bench = Self::open(&json!({}));
        bench.attach(None).await;
        bench
    }

    pub(super) async fn attach(&self, known: Option<&Value>) -> Value {
        self.linear.attach(&shape(), None, known).await.expect("attaches")
    }

    pub(super) async fn write(&self, collection: &str, write: Write) -> Result<Written, Fault> {
        self.linear.sink().expect("it writes").write(collection, &[write]).await.remove(0)
    }

    pub(super) async fn issue(&self, n: usize) -> String {
        receipt(self.write("issue", write(n, None, &json!({ "title": format!("Issue {n}") }), &[], &[])).await).id
    }

    pub(super) async fn read(&self, collection: &str, ids: &[String]) -> Vec<Record> {
        self.linear.sink().expect("it reads").read(collection, ids).await.expect("reads")
    }

    pub(super) async fn pull_all(&self, at: &mut Option<Cursor>) -> Vec<Record> {
        let source = self.linear.source().expect("it reads");
        pull::all(at, async |at| pull::patient(&self.clock, async || source.pull("issues", at).await).await)
            .await
            .expect("a page")
    }

    pub(super) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}
