//! The connector over the stand-in on a clock of its own, with two databases, and what the stories do with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connectors::{
    CollectionShape, Connector, Cursor, Fault, FieldKind, FieldShape, Kind, Outside, Page, Receipt, Record, Secrets,
    Shape, Write, Written,
};
use sandbox::notion::PAGE;
use sandbox::{Vendor, World};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::pull;
use crate::recording::Recording;
use crate::support::{InProcess, TestClock};

pub(super) const CALLBACK: &str = "https://loopd.example.com/hooks/notion";
pub(super) const FEEDBACK: &str = "Feedback";
pub(super) const CUSTOMERS: &str = "Customers";
pub(super) const SECRET: &str = "secret_ofThisTestOnly";

pub(super) struct Bench {
    pub(super) world: Arc<World>,
    pub(super) clock: Arc<TestClock>,
    pub(super) sent: Arc<Recording>,
    pub(super) notion: Arc<dyn Connector>,
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

/// Two databases with every kind of property.
pub(super) fn shape() -> Shape {
    let key = Some("Loopd ID".to_owned());
    let feedback = vec![
        field("Summary", FieldKind::Text, &[], None),
        field("Verbatim", FieldKind::LongText, &[], None),
        field("Status", FieldKind::Select, &["New", "Shipped"], None),
        field("Severity", FieldKind::Select, &["High", "Low"], None),
        field("Category", FieldKind::Select, &["Bug", "Praise"], None),
        field("Products", FieldKind::MultiSelect, &["API", "Chat"], None),
        field("ARR", FieldKind::Currency, &[], None),
        field("Count", FieldKind::Number, &[], None),
        field("Churned", FieldKind::Checkbox, &[], None),
        field("Date", FieldKind::Date, &[], None),
        field("Seen", FieldKind::DateTime, &[], None),
        field("Source URL", FieldKind::Url, &[], None),
        field("Customer", FieldKind::Link, &[], Some(CUSTOMERS)),
    ];
    let customers = vec![
        field("Name", FieldKind::Text, &[], None),
        field("ARR", FieldKind::Currency, &[], None),
        field("Feedback Count", FieldKind::Number, &[], None),
    ];
    Shape {
        collections: vec![
            CollectionShape { name: FEEDBACK.into(), key: key.clone(), fields: feedback },
            CollectionShape { name: CUSTOMERS.into(), key, fields: customers },
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

/// The settings of a connection to the shared page.
pub(super) fn settings(more: &Value) -> Value {
    let mut settings = json!({ "page": PAGE });
    settings.as_object_mut().expect("a table").extend(more.as_object().cloned().unwrap_or_default());
    settings
}

impl Bench {
    pub(super) fn open(world: Arc<World>, clock: Arc<TestClock>, settings: &Value, secret: Option<&str>) -> Self {
        let transport = InProcess { world: world.clone(), vendor: Vendor::Notion, clock: clock.clone() };
        let sent = Recording::new(Arc::new(transport));
        let outside =
            Outside { transport: sent.clone(), clock: clock.clone(), vault: Arc::new(connectors::oauth::NoVault) };
        let mut secrets: Secrets = [("token".to_owned(), SecretString::from(Vendor::Notion.token()))].into();
        if let Some(secret) = secret {
            secrets.insert("webhook_secret".into(), SecretString::from(secret));
        }
        let notion = connectors::open(Kind::Notion, settings, &secrets, &outside).expect("it opens");
        Self { world, clock, sent, notion }
    }

    /// An empty page.
    pub(super) fn empty(more: &Value, secret: Option<&str>) -> Self {
        let clock = TestClock::new();
        let world = World::new(11, clock.hands());
        Self::open(world, clock, &settings(more), secret)
    }

    /// Databases that `setup` made, and attached.
    pub(super) async fn new() -> Self {
        Self::with(&json!({}), None).await
    }

    pub(super) async fn with(more: &Value, secret: Option<&str>) -> Self {
        let bench = Self::empty(more, secret);
        bench.set_up().await;
        bench.attach(None, None).await;
        bench
    }

    /// Applies the plan in its order; what was done.
    pub(super) async fn set_up(&self) -> Vec<String> {
        let setup = self.notion.setup().expect("it sets up");
        let wanted = shape();
        let plan = self.patient(async || setup.plan(&wanted).await).await.expect("plans");
        let mut done = Vec::new();
        for change in plan.iter().filter(|change| change.by_hand.is_none()) {
            self.patient(async || setup.apply(change).await)
                .await
                .unwrap_or_else(|fault| panic!("{}: {fault}", change.what));
            done.push(change.what.clone());
        }
        done
    }

    /// The same connection after a restart: nothing is remembered but the world.
    pub(super) fn restarted(&self, more: &Value, secret: Option<&str>) -> Self {
        Self::open(self.world.clone(), self.clock.clone(), &settings(more), secret)
    }

    pub(super) async fn patient<T>(&self, act: impl AsyncFn() -> Result<T, Fault>) -> Result<T, Fault> {
        pull::patient(&self.clock, act).await
    }

    pub(super) async fn attach(&self, callback: Option<&str>, known: Option<&Value>) -> Value {
        let wanted = shape();
        self.patient(async || self.notion.attach(&wanted, callback, known).await).await.expect("attaches")
    }

    /// Writes, with patience for our own quota.
    pub(super) async fn write(&self, collection: &str, write: &Write) -> Result<Written, Fault> {
        let sink = self.notion.sink().expect("it writes");
        self.patient(async || sink.write(collection, std::slice::from_ref(write)).await.remove(0)).await
    }

    /// Makes so many rows of feedback; their page ids.
    pub(super) async fn fill(&self, n: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for n in 0..n {
            let verdict = self.write(FEEDBACK, &create(n, &json!({ "Summary": format!("Item {n}") }))).await;
            ids.push(receipt(&verdict).id.clone());
        }
        ids
    }

    pub(super) async fn read(&self, id: &str) -> Result<Record, Fault> {
        let sink = self.notion.sink().expect("it reads");
        let ids = [id.to_owned()];
        Ok(self.patient(async || sink.read(FEEDBACK, &ids).await).await?.remove(0))
    }

    pub(super) async fn body(&self, id: &str) -> Value {
        self.read(id).await.expect("reads").body.expect("it is there")
    }

    /// Looks for an uncertain create until it is found or given up.
    pub(super) async fn find(&self, n: usize) -> Option<Record> {
        let sink = self.notion.sink().expect("it finds");
        for _ in 0..100 {
            match self.patient(async || sink.find(FEEDBACK, &[id(n)]).await).await {
                Ok(found) => return found.into_iter().next().flatten(),
                Err(Fault::Unknown { .. }) => self.clock.advance(Duration::from_secs(2)),
                Err(fault) => panic!("{fault}"),
            }
        }
        panic!("it is looked for for ever");
    }

    pub(super) async fn page(&self, at: Option<&Cursor>) -> Result<Page, Fault> {
        let source = self.notion.source().expect("it reads");
        self.patient(async || source.pull("modified", at).await).await
    }

    pub(super) async fn pull_all(&self, at: &mut Option<Cursor>) -> Vec<Record> {
        pull::all(at, async |at| self.page(at).await).await.expect("a page")
    }

    pub(super) fn calls(&self, operation: &str) -> u64 {
        self.world.books(Vendor::Notion).by_operation.get(operation).copied().unwrap_or_default()
    }

    pub(super) fn edit(&self, page: &str, values: &Value) {
        self.world.notion(|desk, cx| desk.edit_row(cx, page, values));
    }

    pub(super) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}
