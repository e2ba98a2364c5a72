//! The ports: what every vendor looks like to the engine, and nothing of what the engine does with it.
//!
//! A connector speaks one vendor's protocol. It never sleeps, never retries a write, never reads files or the
//! environment, and never logs a body or a secret. It says what happened and when to come back ([`Fault`]); the
//! engine waits. Clock and transport are handed in ([`Outside`]), so a simulation can own both.
//!
//! To add a vendor: its folder here, one arm in [`Kind`], its stand-in in `sandbox`, a mapping. See CONTRIBUTING.md.

pub mod airtable;
pub mod app;
pub mod bigquery;
pub mod clock;
mod days;
pub mod fault;
pub mod ga4;
pub mod github;
mod google;
pub mod granola;
pub mod http;
pub mod intercom;
mod json;
mod kind;
pub mod linear;
mod memo;
pub mod mistral;
pub mod model;
pub mod notion;
pub mod oauth;
pub mod posthog;
pub mod public;
pub mod quota;
pub mod read_only;
pub mod salesforce;
pub mod segment;
mod settings;
pub mod signature;
pub mod slack;
mod spelling;
#[cfg(test)]
mod testing;
pub mod typeform;
mod unfinished;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use clock::Clock;
pub use fault::{Fault, Refusal};
pub use kind::{Kind, Need, SecretSpec, Secrets, SettingsError, open};
pub use public::Public;

/// Where a record lives at its vendor: a collection of that vendor (`issue`, `conversation`, `Feedback Items`)
/// and the vendor's id within it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    pub collection: String,
    pub id: String,
}

impl Key {
    pub fn new(collection: impl Into<String>, id: impl Into<String>) -> Self {
        Self { collection: collection.into(), id: id.into() }
    }
}

/// When the vendor says the record last changed, in milliseconds since 1970. Used only to recognise a snapshot that
/// arrives after a newer one; values are compared to decide what changed, never times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub i64);

/// One record as a vendor holds it.
///
/// For a collection that has a [`Sink`], `body` is a flat object from field name to canonical value (the names that
/// mappings use; an empty field is absent). For a collection that is only read, it is the vendor's own JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub key: Key,
    pub version: Option<Version>,
    /// `None`: deleted there.
    pub body: Option<Value>,
    pub url: Option<String>,
    /// What the vendor's own history says people typed since the last look, oldest first. It holds values that were
    /// overwritten before anyone could see them in `body`. Empty where the vendor keeps no history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
}

/// A value that a person typed into a field, known from the vendor's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    pub field: String,
    pub value: Value,
    pub at: Option<DateTime<Utc>>,
    /// An API write replaced it afterwards.
    pub overwritten: bool,
}

/// A position in a stream. Opaque to the engine, which stores it beside the data it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursor(pub Value);

/// What one [`Source::pull`] brought.
#[derive(Clone, Debug)]
pub struct Page {
    pub records: Vec<Record>,
    /// How often things were used; most sources tell nothing of it.
    pub usage: Vec<Usage>,
    /// The days that are all told with this page.
    pub whole: Option<Whole>,
    pub next: Next,
}

impl Page {
    pub fn of(records: Vec<Record>, next: Next) -> Self {
        Self { records, usage: Vec::new(), whole: None, next }
    }

    pub fn of_usage(usage: Vec<Usage>, next: Next) -> Self {
        Self { records: Vec::new(), usage, whole: None, next }
    }
}

/// Where to go on. Both carry the position *after* this page; it is stored in the same commit as the records.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// There is more right now.
    More(Cursor),
    /// Nothing more until the stream's next turn.
    CaughtUp(Cursor),
}

/// A thing to poll. One vendor call may bring records of several collections, so streams and collections differ.
#[derive(Clone, Debug)]
pub struct Stream {
    pub name: String,
    /// Default schedule, as cron with seconds (`sec min hour day month weekday`).
    pub every: &'static str,
    pub about: &'static str,
}

/// One page of the ids that exist in a collection; comparing them with the ledger's links finds deletions.
#[derive(Clone, Debug)]
pub struct IdPage {
    pub ids: Vec<String>,
    pub next: Option<Cursor>,
}

/// What a collection is, for offline checks and for mappings.
#[derive(Clone, Debug)]
pub struct CollectionSpec {
    pub name: String,
    pub fields: Fields,
    /// May be written to ([`Sink`]).
    pub writable: bool,
    /// Writes may create records; otherwise they only change records that exist (labels on a GitHub issue).
    pub creatable: bool,
}

/// The fields of a collection, as far as they are known without asking the vendor.
#[derive(Clone, Debug)]
pub enum Fields {
    /// Any field may exist; only the vendor's schema tells (an Airtable table, a raw JSON body).
    Open,
    Fixed(Vec<FieldSpec>),
}

/// A field that every account of the vendor has, by the name that mappings use.
#[derive(Clone, Debug)]
pub struct FieldSpec {
    pub name: &'static str,
    pub kind: FieldKind,
    pub writable: bool,
}

/// The types of field that destinations know, in their smallest common form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    Text,
    LongText,
    Number,
    Currency,
    Checkbox,
    /// A day, `YYYY-MM-DD`.
    Date,
    /// An instant, RFC 3339 in UTC.
    DateTime,
    Url,
    Select,
    MultiSelect,
    /// An array of outside ids of records in another collection of the same vendor.
    Link,
    /// A set that others add to as well: it is changed by adding and removing members, never replaced.
    Tags,
}

/// The tables and fields that mappings expect to find at a destination.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    pub collections: Vec<CollectionShape>,
}

/// A table, or what stands for one, as mappings expect it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CollectionShape {
    pub name: String,
    /// The field that holds the entity's id (`Loopd ID`), where the collection has one.
    pub key: Option<String>,
    pub fields: Vec<FieldShape>,
}

/// A field, as mappings expect it; [`Setup`] makes it of this kind where it lacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldShape {
    pub name: String,
    pub kind: FieldKind,
    /// For selects and tags: the values that may be written.
    pub options: Vec<String>,
    /// For links: the collection they point into.
    pub links_to: Option<String>,
    pub description: String,
}

/// One record to write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// The entity's id, a UUID v4 in lower-case hex with hyphens. It is stored in the record's external-id field, or
    /// is the record's own id where the vendor accepts one (Linear).
    pub external_id: String,
    /// The outside id: `Some` updates that record, `None` creates one.
    pub target: Option<String>,
    /// Only what differs. `null` clears.
    pub fields: Map<String, Value>,
    /// Changes to fields of kind [`FieldKind::Tags`].
    pub tags: BTreeMap<String, TagChange>,
}

/// Members of a set to add and to remove, by name; those of others are left alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TagChange {
    pub add: Vec<String>,
    pub remove: Vec<String>,
}

/// What became of one write whose outcome is known and good.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    Stored(Receipt),
    /// The target no longer exists there.
    Gone,
}

/// What stands there after a write that went well.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    pub id: String,
    pub url: Option<String>,
    pub version: Option<Version>,
    /// The written fields (at least) as the vendor now holds them, canonical. Tags: the whole set there.
    pub fields: Map<String, Value>,
    /// Where the vendor's history tells: what this write replaced, per field.
    pub replaced: Map<String, Value>,
    /// Fields that were left out because the destination has none of that name or type, with the reason. They are
    /// owed, and written when [`Connector::attach`] returns another binding.
    pub skipped: BTreeMap<String, String>,
    /// False when the record was there already.
    pub created: bool,
}

/// A message to a customer, or a note beside the thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Stable over retries; carried in the message as a marker where the vendor has no idempotency key.
    pub id: String,
    /// The record whose thread is answered.
    pub to: Key,
    pub kind: MessageKind,
    /// Markdown.
    pub body: String,
}

/// Who sees a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// The customer sees it.
    Reply,
    /// Only the team sees it.
    Note,
}

/// A message that is in the thread: the vendor's id of it, and where a person can look at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub id: String,
    pub url: Option<String>,
}

/// Whose account the credentials open.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identity {
    /// Stable id of the account, workspace or base.
    pub account: String,
    /// For people.
    pub name: String,
    /// What the credentials may do, in the vendor's words, where it says.
    pub scopes: Vec<String>,
    /// Things to know ("no customer:write: customers are left out").
    pub notes: Vec<String>,
}

/// A webhook request as it came in, unverified.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub headers: &'a ::http::HeaderMap,
    pub body: &'a [u8],
}

/// A webhook request that is proven to be the vendor's.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// The vendor's delivery id; the same on a redelivery. Used to count duplicates, not to refuse work.
    pub id: String,
    /// Records that came whole.
    pub records: Vec<Record>,
    /// Records that must be fetched: only their key came, or only a part.
    pub fetch: Vec<Key>,
    /// Streams to pull now.
    pub pull: Vec<String>,
    /// How often things were used.
    pub usage: Vec<Usage>,
    /// Who belongs where.
    pub members: Vec<Member>,
    /// What the sender must read in our answer, besides its 2xx.
    pub reply: Option<Reply>,
    /// What a person has to do or know now (paste a token that came with this request), told by `status` until a request comes
    /// that asks for nothing (but to count), until the daemon is started or reloaded anew, or for a day.
    pub notice: Option<String>,
}

/// The body of our 2xx, where a vendor wants one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub content_type: &'static str,
    pub body: String,
    /// `{id}` in the body stands for the short id (`FB-7K3Q9X`) of the feedback that is drawn from this record.
    pub names: Option<Key>,
}

/// How often somebody used a feature on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The vendor's name of the account: a group id, a domain, a customer's number. `None`: it follows from who it was.
    pub account: Option<String>,
    /// The vendor's name of a known person.
    pub user: Option<String>,
    /// The vendor's name of somebody who has not said who they are.
    pub anonymous: Option<String>,
    /// Of the person; its domain names the account where nothing else does.
    pub email: Option<String>,
    /// The event's name.
    pub feature: String,
    /// In UTC, or in the vendor's own time zone where it only tells days.
    pub day: NaiveDate,
    pub count: Counted,
}

/// Whether a number adds to what is known, or is what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// One more, known by this id: told twice, it counts once.
    Once(String),
    /// A number that the vendor has added up. What one pull brings of an account, feature and day adds up over its users,
    /// and takes the place of what an earlier pull brought.
    Total {
        count: u64,
        /// When the pull began, in milliseconds since 1970.
        pull: i64,
    },
}

/// The days, both included, of which a pull has now brought everything: what an earlier pull brought of them and this one
/// did not is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    pub from: NaiveDate,
    pub to: NaiveDate,
    /// As in [`Counted::Total`].
    pub pull: i64,
}

/// Whose a person is, as it has just become known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The vendor's name of the person.
    pub user: String,
    pub of: Belongs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Belongs {
    /// To this account.
    Account(String),
    /// To the account of this address' domain, unless another is known.
    Email(String),
    /// It is another name of this person.
    Person(String),
}

/// Calls made so far, for `status`, metrics and the demo's table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Meter {
    pub calls: u64,
    /// Answers that said "too many".
    pub throttled: u64,
}

/// How fast this connection may write, for `plan`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    pub calls: u32,
    pub per: std::time::Duration,
}

impl Pace {
    /// Of one that makes no calls: it is never waited for, and any pace would do.
    pub const IDLE: Self = Self { calls: 1, per: std::time::Duration::from_secs(1) };
}

/// What a connector is given besides its settings and secrets.
#[derive(Clone)]
pub struct Outside {
    pub transport: Arc<dyn http::Transport>,
    pub clock: Arc<dyn Clock>,
    /// Where this connection's grant is kept, if its credentials change while it runs.
    pub vault: Arc<dyn oauth::Vault>,
}

/// A connection to one account of one vendor.
#[async_trait]
pub trait Connector: Send + Sync {
    fn collections(&self) -> Vec<CollectionSpec>;

    /// Where all its calls are counted. `None`: it makes none (it is only ever sent to), or has several, and then says the
    /// next three itself.
    fn quota(&self) -> Option<&quota::Quota> {
        None
    }
    fn pace(&self) -> Pace {
        self.quota().map_or(Pace::IDLE, quota::Quota::pace)
    }
    fn meter(&self) -> Meter {
        self.quota().map_or_else(Meter::default, quota::Quota::meter)
    }
    /// How long until the quota lets another call out; `None`: now. An estimate: the call itself decides.
    fn wait(&self) -> Option<std::time::Duration> {
        self.quota()?.wait()
    }

    /// Who are we there, and what may we do? One cheap read.
    async fn probe(&self) -> Result<Identity, Fault>;

    /// Finds what `shape` names (ids of tables, fields, teams, labels) and registers or renews webhooks where the
    /// vendor's API can (`callback`: our public URL for this connection, if there is one). Called at start, hourly,
    /// after a write that skipped a field, and when [`Connector::wants_attach`]. The returned binding is stored by the engine (it may hold a webhook
    /// secret) and handed back as `known`, also after a restart: what was bound by id stays bound when it is renamed.
    async fn attach(&self, shape: &Shape, callback: Option<&str>, known: Option<&Value>) -> Result<Value, Fault>;

    /// Of two bindings, an earlier and a later one: the fields (collection, name) that now stand for another field there
    /// than they did. What both sides agreed on was about the old one. Pure.
    fn rebound(&self, _before: &Value, _now: &Value) -> Vec<(String, String)> {
        Vec::new()
    }

    /// What the last attach could not have, or what the last reading said of its own quality, in words for ops: it works all the
    /// same. Asked for after each of them.
    fn hindrance(&self) -> Option<String> {
        None
    }

    /// Something that [`Connector::attach`] made is gone, as a read has just found: attaching is worth it before its hour.
    fn wants_attach(&self) -> bool {
        false
    }

    fn source(&self) -> Option<&dyn Source> {
        None
    }
    fn sink(&self) -> Option<&dyn Sink> {
        None
    }
    fn webhook(&self) -> Option<&dyn Webhook> {
        None
    }
    /// A way in that we open ourselves, where the configuration asks for one.
    fn listener(&self) -> Option<&dyn Listener> {
        None
    }
    fn messenger(&self) -> Option<&dyn Messenger> {
        None
    }
    fn setup(&self) -> Option<&dyn Setup> {
        None
    }

    /// How a person signs in (`loopd auth`); `None`: the credentials in the settings are all that this connection has.
    fn sign_in(&self) -> Option<&oauth::Session> {
        None
    }
}

/// Reading: what changed since a cursor, and single records.
#[async_trait]
pub trait Source: Send + Sync {
    fn streams(&self) -> Vec<Stream>;

    /// The next page of `stream`. `after: None` begins at the connection's configured start. A page may hold no
    /// records and still move the cursor.
    async fn pull(&self, stream: &str, after: Option<&Cursor>) -> Result<Page, Fault>;

    /// One record as it is now; `body: None` when it is gone. `Ok(None)`: it exists but is none of ours (a pull
    /// request, another team's issue).
    async fn fetch(&self, key: &Key) -> Result<Option<Record>, Fault>;

    /// The ids that exist in a collection, page by page; `Ok(None)` where the vendor cannot list them.
    async fn ids(&self, _collection: &str, _after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        Ok(None)
    }
}

/// Writing, with a verdict for each record.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The most records one [`Sink::write`] of this collection takes.
    fn batch(&self, collection: &str) -> usize;

    /// The value as the vendor would store and return it (trimmed, rounded, ordered; `null` for empty). Pure.
    fn canonical(&self, collection: &str, field: &str, value: Value) -> Value;

    /// Fields that mappings name and that the collection does not have now. Records show nothing of them, which is not to
    /// be taken for a value that somebody cleared.
    fn lacks(&self, _collection: &str) -> BTreeSet<String> {
        BTreeSet::new()
    }

    /// Writes up to [`Sink::batch`] records of one sort (all creates or all updates). One verdict per write, in order.
    /// Never repeats a call. [`Fault::Rejected`] on several records of one batch may be the fault of a single one:
    /// the engine halves the batch until it stands alone.
    async fn write(&self, collection: &str, writes: &[Write]) -> Vec<Result<Written, Fault>>;

    /// The records as they are now, in the order asked; `body: None` for those that are gone.
    async fn read(&self, collection: &str, ids: &[String]) -> Result<Vec<Record>, Fault>;

    /// Looks for records by the entity's id (external-id field, or own id): did an uncertain create happen?
    async fn find(&self, collection: &str, external_ids: &[String]) -> Result<Vec<Option<Record>>, Fault>;

    /// Every record of the collection that carries an external id, page by page, as (external id, record): the way
    /// back from a lost ledger.
    async fn list(
        &self,
        collection: &str,
        after: Option<&Cursor>,
    ) -> Result<(Vec<(String, Record)>, Option<Cursor>), Fault>;
}

/// Receiving. Pure: verify, then parse; nothing of an unverified body reaches the engine.
pub trait Webhook: Send + Sync {
    fn open(&self, raw: Request<'_>, now: DateTime<Utc>) -> Result<Delivery, Refusal>;

    /// For senders whose path is given and who name the connection by a key: the paths below our address that they use,
    /// besides the connection's own.
    fn fixed_paths(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether a request at one of [`Webhook::fixed_paths`] bears this connection's key.
    fn is_ours(&self, _path: &str, _raw: Request<'_>) -> bool {
        false
    }

    /// [`Webhook::open`], of a request at one of [`Webhook::fixed_paths`].
    fn open_at(&self, _path: &str, raw: Request<'_>, now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        self.open(raw, now)
    }

    /// Its senders have no secret to sign with, only a public key, and post to paths of ours instead of `/hooks/NAME`.
    fn public(&self) -> Option<&dyn Public> {
        None
    }
}

/// Hearing over a line that we open, where no webhook can reach us. The engine owns the loop: it dials, hears, puts on disk what
/// came, and only then hands in its receipt. A line that ends is dialled anew.
#[async_trait]
pub trait Listener: Send + Sync {
    async fn dial(&self) -> Result<Box<dyn http::Wire>, Fault>;

    /// What a frame of the line says. Pure.
    fn read(&self, frame: &str, now: DateTime<Utc>) -> Result<Frame, Refusal>;

    /// The frame that tells the sender that a delivery is kept. `reply`: the body of [`Delivery::reply`], filled in.
    fn receipt(&self, ticket: &str, reply: Option<&str>) -> String;
}

/// What came over a line.
#[derive(Clone, Debug)]
pub enum Frame {
    /// It is sent again until its receipt is there.
    Delivery {
        /// By which the sender knows it.
        ticket: String,
        delivery: Box<Delivery>,
    },
    /// The sender is about to end this line and asks for another, for this reason.
    Over(String),
    /// A greeting, or a sign of life.
    Nothing,
}

/// Talking to the customer where they spoke.
#[async_trait]
pub trait Messenger: Send + Sync {
    async fn send(&self, message: &Message) -> Result<Sent, Fault>;
    /// Has this message been sent already? Looks for its marker in the thread.
    async fn find(&self, message: &Message) -> Result<Option<Sent>, Fault>;

    /// Whether a message that was sent can be given other words ([`Messenger::update`]).
    fn updates(&self) -> bool {
        false
    }

    /// Gives a message that was sent the words that `message` has now. `sent`: the id that [`Messenger::send`] gave. Done
    /// twice, it is as if done once.
    async fn update(&self, _message: &Message, _sent: &str) -> Result<(), Fault> {
        Err(Fault::rejected("a message that was sent cannot be changed there"))
    }
}

/// Making the tables, fields and labels that the mappings need.
#[async_trait]
pub trait Setup: Send + Sync {
    async fn plan(&self, wanted: &Shape) -> Result<Vec<Change>, Fault>;
    async fn apply(&self, change: &Change) -> Result<(), Fault>;
}

/// One step of a setup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// For people: "create field Severity (single select) in Feedback Items".
    pub what: String,
    /// The vendor's API cannot do it: exactly how a person does.
    pub by_hand: Option<String>,
    /// For [`Setup::apply`]; opaque.
    pub detail: Value,
}
