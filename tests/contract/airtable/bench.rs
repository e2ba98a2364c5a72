//! The connector over the stand-in on a clock of its own, with a base of two tables, and what the stories do with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use connectors::{
    CollectionShape, Connector, Cursor, Fault, FieldKind, FieldShape, Kind, Outside, Page, Receipt, Record, Secrets,
    Shape, Write, Written,
};
use sandbox::{Vendor, World};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::pull;
use crate::recording::Recording;
use crate::support::{InProcess, TestClock};

pub(super) const BASE: &str = "appContract000001";
pub(super) const CALLBACK: &str = "https://loopd.example.com/hooks/airtable";
pub(super) const FEEDBACK: &str = "Feedback";

pub(super) struct Bench {
    pub(super) world: Arc<World>,
    pub(super) clock: Arc<TestClock>,
    pub(super) sent: Arc<Recording>,
    pub(super) airtable: Arc<dyn Connector>,
}

pub(super) fn field(name: &str, kind: FieldKind, options: &[&str], links_to: Option<&str>) -> FieldShape {
    FieldShape {
        name: name.into(),
        kind,
        options: options.iter().map(ToString::to_string).collect(),
        links_to: links_to.map(String::from),
        description: format!("What loopd writes into {name}"),
    }
}

/// Two tables with every kind of field.
pub(super) fn shape() -> Shape {
    let key = Some("Loopd ID".to_owned());
    let feedback = vec![
        field("Summary", FieldKind::Text, &[], None),
        field("Verbatim", FieldKind::LongText, &[], None),
        field("Severity", FieldKind::Select, &["High", "Low"], None),
        field("Products", FieldKind::MultiSelect, &["API", "Chat"], None),
        field("ARR", FieldKind::Currency, &[], None),
        field("Count", FieldKind::Number, &[], None),
        field("Churned", FieldKind::Checkbox, &[], None),
        field("Date", FieldKind::Date, &[], None),
        field("Seen", FieldKind::DateTime, &[], None),
        field("Source URL", FieldKind::Url, &[], None),
        field("Customer", FieldKind::Link, &[], Some("Customers")),
    ];
    Shape {
        collections: vec![
            CollectionShape { name: FEEDBACK.into(), key: key.clone(), fields: feedback },
            CollectionShape { name: "Customers".into(), key, fields: vec![field("Name", FieldKind::Text, &[], None)] },
        ],
    }
}

pub(super) fn id(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

pub(super) fn create(n: usize, fields: &Value) -> Write {
    Write {
        external_id: id(n),
        target: None,
        fields: fields.as_object().cloned().unwrap_or_default(),
        tags: BTreeMap::new(),
    }
}

pub(super) fn update(n: usize, target: &str, fields: &Value) -> Write {
    Write { target: Some(target.into()), ..create(n, fields) }
}

pub(super) fn receipt(verdict: &Result<Written, Fault>) -> &Receipt {
    match verdict {
        Ok(Written::Stored(receipt)) => receipt,
        other => panic!("{other:?}"),
    }
}

impl Bench {
    /// An empty base.
    pub(super) fn empty(token: &str, more: &Value) -> Self {
        let clock = TestClock::new();
        let world = World::new(11, clock.hands());
        world.airtable(|desk, cx| desk.create_base_with(cx, BASE, "Contract", &json!([])));
        Self::open(world, clock, token, more)
    }

    pub(super) fn open(world: Arc<World>, clock: Arc<TestClock>, token: &str, more: &Value) -> Self {
        let transport = InProcess { world: world.clone(), vendor: Vendor::Airtable, clock: clock.clone() };
        let sent = Recording::new(Arc::new(transport));
        let outside =
            Outside { transport: sent.clone(), clock: clock.clone(), vault: Arc::new(connectors::oauth::NoVault) };
        let mut settings = json!({ "base": BASE });
        settings.as_object_mut().expect("a table").extend(more.as_object().cloned().unwrap_or_default());
        let secrets: Secrets = [("token".to_owned(), SecretString::from(token))].into();
        let airtable = connectors::open(Kind::Airtable, &settings, &secrets, &outside).expect("it opens");
        Self { world, clock, sent, airtable }
    }

    /// A base that `setup` furnished, and attached.
    pub(super) async fn new() -> Self {
        let bench = Self::furnished(&json!({})).await;
        bench.attach(Some(CALLBACK), None).await;
        bench
    }

    /// A base that `setup` furnished.
    pub(super) async fn furnished(more: &Value) -> Self {
        let bench = Self::empty(Vendor::Airtable.token(), more);
        let setup = bench.airtable.setup().expect("it sets up");
        let wanted = shape();
        let plan = bench.patient(async || setup.plan(&wanted).await).await.expect("plans");
        for change in plan.iter().filter(|change| change.by_hand.is_none()) {
            bench
                .patient(async || setup.apply(change).await)
                .await
                .unwrap_or_else(|fault| panic!("{}: {fault}", change.what));
        }
        bench
    }

    /// The same connection after a restart: nothing is remembered but the world.
    pub(super) fn restarted(&self) -> Self {
        Self::open(self.world.clone(), self.clock.clone(), Vendor::Airtable.token(), &json!({}))
    }

    pub(super) async fn patient<T>(&self, act: impl AsyncFn() -> Result<T, Fault>) -> Result<T, Fault> {
        pull::patient(&self.clock, act).await
    }

    pub(super) async fn attach(&self, callback: Option<&str>, known: Option<&Value>) -> Value {
        let wanted = shape();
        self.patient(async || self.airtable.attach(&wanted, callback, known).await).await.expect("attaches")
    }

    pub(super) async fn write(&self, collection: &str, writes: &[Write]) -> Vec<Result<Written, Fault>> {
        let sink = self.airtable.sink().expect("it writes");
        loop {
            let verdicts = sink.write(collection, writes).await;
            match verdicts.first() {
                Some(Err(Fault::Later { after: Some(wait), why })) if why.contains("our own") => {
                    self.clock.advance(*wait);
                }
                _ => return verdicts,
            }
        }
    }

    /// Makes so many rows of feedback; their record ids.
    pub(super) async fn fill(&self, n: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for first in (0..n).step_by(10) {
            let writes: Vec<_> =
                (first..n.min(first + 10)).map(|n| create(n, &json!({ "Summary": format!("Item {n}") }))).collect();
            ids.extend(self.write(FEEDBACK, &writes).await.iter().map(|verdict| receipt(verdict).id.clone()));
        }
        ids
    }

    pub(super) async fn read(&self, ids: &[String]) -> Result<Vec<Record>, Fault> {
        let sink = self.airtable.sink().expect("it reads");
        self.patient(async || sink.read(FEEDBACK, ids).await).await
    }

    pub(super) async fn page(&self, stream: &str, at: Option<&Cursor>) -> Result<Page, Fault> {
        let source = self.airtable.source().expect("it reads");
        self.patient(async || source.pull(stream, at).await).await
    }

    pub(super) async fn pull_all(&self, stream: &str, at: &mut Option<Cursor>) -> Vec<Record> {
        pull::all(at, async |at| self.page(stream, at).await).await.expect("a page")
    }

    pub(super) fn calls(&self, operation: &str) -> u64 {
        self.world.books(Vendor::Airtable).by_operation.get(operation).copied().unwrap_or_default()
    }

    pub(super) fn edit(&self, record: &str, field: &str, value: &Value) {
        self.world.airtable(|desk, cx| desk.edit_cell(cx, BASE, FEEDBACK, record, field, value));
    }
}
