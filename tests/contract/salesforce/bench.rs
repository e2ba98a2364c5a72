//! The connector over the stand-in on a clock of its own, with the shipped mappings' shape, and what the stories do with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use connectors::oauth::Vault;
use connectors::{
    CollectionShape, Connector, Cursor, Fault, FieldKind, FieldShape, Kind, Outside, Page, Receipt, Record, Secrets,
    Shape, Write, Written,
};
use sandbox::{Vendor, World};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::pull;
use crate::recording::Recording;
use crate::support::{InProcess, TestClock};

pub(super) const FEEDBACK: &str = "Loopd_Feedback__c";
pub(super) const ACCOUNT: &str = "Account";

/// A vault in memory.
#[derive(Default)]
pub(super) struct Pocket(Mutex<Option<String>>);

impl Vault for Pocket {
    fn load(&self) -> Result<Option<SecretString>, String> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().map(SecretString::from))
    }

    fn store(&self, grant: &SecretString) -> Result<(), String> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(grant.expose_secret().to_owned());
        Ok(())
    }
}

pub(super) struct Bench {
    pub(super) world: Arc<World>,
    pub(super) clock: Arc<TestClock>,
    pub(super) sent: Arc<Recording>,
    pub(super) salesforce: Arc<dyn Connector>,
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

/// What stands on an account, and an object with every kind of field.
pub(super) fn shape() -> Shape {
    let feedback = vec![
        field("Name", FieldKind::Text, &[], None),
        field("Account__c", FieldKind::Link, &[], Some(ACCOUNT)),
        field("Verbatim__c", FieldKind::LongText, &[], None),
        field("Status__c", FieldKind::Select, &["New", "Addressed"], None),
        field("Products__c", FieldKind::MultiSelect, &["API", "Chat"], None),
        field("ARR__c", FieldKind::Currency, &[], None),
        field("Count__c", FieldKind::Number, &[], None),
        field("Churned__c", FieldKind::Checkbox, &[], None),
        field("Addressed__c", FieldKind::Date, &[], None),
        field("Received__c", FieldKind::DateTime, &[], None),
        field("Link__c", FieldKind::Url, &[], None),
    ];
    let account = vec![
        field("Loopd_Open_Requests__c", FieldKind::Number, &[], None),
        field("Loopd_Risk__c", FieldKind::Select, &["High", "Low"], None),
        field("Loopd_Shipped__c", FieldKind::LongText, &[], None),
    ];
    Shape {
        collections: vec![
            CollectionShape { name: FEEDBACK.into(), key: Some("Loopd_ID__c".into()), fields: feedback },
            CollectionShape { name: ACCOUNT.into(), key: None, fields: account },
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

pub(super) fn with_token(token: &str) -> Secrets {
    [("token".to_owned(), SecretString::from(token))].into()
}

impl Bench {
    /// An org as it comes.
    pub(super) fn empty() -> Self {
        let clock = TestClock::new();
        let world = World::new(11, clock.hands());
        Self::open(world, clock, &with_token(Vendor::Salesforce.token()), &json!({}))
    }

    pub(super) fn open(world: Arc<World>, clock: Arc<TestClock>, secrets: &Secrets, more: &Value) -> Self {
        let transport = InProcess { world: world.clone(), vendor: Vendor::Salesforce, clock: clock.clone() };
        let sent = Recording::new(Arc::new(transport));
        let outside = Outside { transport: sent.clone(), clock: clock.clone(), vault: Arc::new(Pocket::default()) };
        let mut settings = json!({ "base_url": Vendor::Salesforce.home() });
        settings.as_object_mut().expect("a table").extend(more.as_object().cloned().unwrap_or_default());
        let salesforce = connectors::open(Kind::Salesforce, &settings, secrets, &outside).expect("it opens");
        Self { world, clock, sent, salesforce }
    }

    /// The same org by another connection.
    pub(super) fn beside(&self, secrets: &Secrets, more: &Value) -> Self {
        Self::open(self.world.clone(), self.clock.clone(), secrets, more)
    }

    /// An org that `setup` furnished, attached.
    pub(super) async fn new() -> Self {
        let bench = Self::empty();
        bench.furnish().await;
        bench.attach(None).await;
        bench
    }

    pub(super) async fn furnish(&self) {
        let setup = self.salesforce.setup().expect("it sets up");
        let wanted = shape();
        let plan = self.patient(async || setup.plan(&wanted).await).await.expect("plans");
        for change in plan.iter().filter(|change| change.by_hand.is_none()) {
            self.patient(async || setup.apply(change).await)
                .await
                .unwrap_or_else(|fault| panic!("{}: {fault}", change.what));
        }
    }

    pub(super) async fn patient<T>(&self, act: impl AsyncFn() -> Result<T, Fault>) -> Result<T, Fault> {
        pull::patient(&self.clock, act).await
    }

    pub(super) async fn attach(&self, known: Option<&Value>) -> Value {
        let wanted = shape();
        self.patient(async || self.salesforce.attach(&wanted, None, known).await).await.expect("attaches")
    }

    pub(super) async fn write(&self, collection: &str, writes: &[Write]) -> Vec<Result<Written, Fault>> {
        let sink = self.salesforce.sink().expect("it writes");
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

    pub(super) async fn read(&self, collection: &str, ids: &[String]) -> Result<Vec<Record>, Fault> {
        let sink = self.salesforce.sink().expect("it reads");
        self.patient(async || sink.read(collection, ids).await).await
    }

    pub(super) async fn find(&self, ids: &[String]) -> Vec<Option<Record>> {
        let sink = self.salesforce.sink().expect("it reads");
        self.patient(async || sink.find(FEEDBACK, ids).await).await.expect("finds")
    }

    pub(super) async fn page(&self, stream: &str, at: Option<&Cursor>) -> Result<Page, Fault> {
        let source = self.salesforce.source().expect("it reads");
        self.patient(async || source.pull(stream, at).await).await
    }

    pub(super) async fn pull_all(&self, stream: &str, at: &mut Option<Cursor>) -> Vec<Record> {
        pull::all(at, async |at| self.page(stream, at).await).await.expect("a page")
    }

    pub(super) fn calls(&self, operation: &str) -> u64 {
        self.world.books(Vendor::Salesforce).by_operation.get(operation).copied().unwrap_or_default()
    }

    /// A row that a person made.
    pub(super) fn made(&self, object: &str, fields: &Value) -> String {
        self.world.salesforce(|desk, cx| desk.create(cx, object, fields))
    }

    pub(super) fn edit(&self, object: &str, id: &str, fields: &Value) {
        self.world.salesforce(|desk, cx| desk.edit(cx, object, id, fields));
    }
}
