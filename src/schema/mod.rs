//! What loopd knows: feedback, customers, themes, in one shared tagging schema. Plain data; imports nothing of ours.
//!
//! Vocabularies are open: a category that nobody configured is kept as it came, and reported. So tags are strings, and
//! only what the engine itself decides upon ([`EntityKind`], [`Status`]) is an enum.

mod alias;
pub mod domain;
mod id;
mod judgement;
mod path;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use alias::{Alias, AliasKind};
pub use id::EntityId;
pub use judgement::{Job, Quote, Risk, RiskReason, Task};
pub use path::{Path, PathError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    Feedback,
    Customer,
    Theme,
}

impl EntityKind {
    pub const ALL: [Self; 3] = [Self::Feedback, Self::Customer, Self::Theme];

    pub fn name(self) -> &'static str {
        match self {
            Self::Feedback => "feedback",
            Self::Customer => "customer",
            Self::Theme => "theme",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The letters before a short id: `FB-7K3Q9X`.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Feedback => "FB",
            Self::Customer => "CU",
            Self::Theme => "TH",
        }
    }

    /// What others link to is written before what links to it, so that a link rarely needs a second write.
    pub fn rank(self) -> u8 {
        match self {
            Self::Customer => 0,
            Self::Theme => 1,
            Self::Feedback => 2,
        }
    }
}

/// One thing that loopd knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    pub id: EntityId,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Feedback(Box<Feedback>),
    Customer(Box<Customer>),
    Theme(Box<Theme>),
}

impl Entity {
    pub fn kind(&self) -> EntityKind {
        match self.body {
            Body::Feedback(_) => EntityKind::Feedback,
            Body::Customer(_) => EntityKind::Customer,
            Body::Theme(_) => EntityKind::Theme,
        }
    }

    pub fn set_origin(&mut self, origin: Origin) {
        match &mut self.body {
            Body::Feedback(body) => body.origin = Some(origin),
            Body::Customer(body) => body.origin = Some(origin),
            Body::Theme(body) => body.origin = Some(origin),
        }
    }

    /// `FB-7K3Q9X`
    pub fn short_id(&self) -> String {
        self.id.short(self.kind())
    }

    /// The body as JSON, for paths and expressions.
    pub fn to_value(&self) -> Value {
        let value = match &self.body {
            Body::Feedback(body) => serde_json::to_value(body),
            Body::Customer(body) => serde_json::to_value(body),
            Body::Theme(body) => serde_json::to_value(body),
        };
        value.expect("plain data with string keys is always JSON")
    }

    /// # Errors
    /// When a field has another type than the schema's; serde's message names it.
    pub fn from_value(id: EntityId, kind: EntityKind, value: Value) -> Result<Self, serde_json::Error> {
        let body = match kind {
            EntityKind::Feedback => Body::Feedback(Box::new(serde_json::from_value(value)?)),
            EntityKind::Customer => Body::Customer(Box::new(serde_json::from_value(value)?)),
            EntityKind::Theme => Body::Theme(Box::new(serde_json::from_value(value)?)),
        };
        Ok(Self { id, body })
    }

    /// An entity of which nothing is known yet.
    pub fn empty(id: EntityId, kind: EntityKind) -> Self {
        let body = match kind {
            EntityKind::Feedback => Body::Feedback(Box::default()),
            EntityKind::Customer => Body::Customer(Box::default()),
            EntityKind::Theme => Body::Theme(Box::default()),
        };
        Self { id, body }
    }

    /// The entities that this one names.
    pub fn refers_to(&self) -> Vec<EntityId> {
        match &self.body {
            Body::Feedback(feedback) => [feedback.customer, feedback.theme, feedback.part_of, feedback.duplicate_of]
                .into_iter()
                .flatten()
                .collect(),
            Body::Customer(customer) => customer.merged.iter().map(|merge| merge.into).collect(),
            Body::Theme(theme) => theme.merged_into.into_iter().collect(),
        }
    }

    /// The judgements that people made, by path.
    pub fn decided(&self) -> &BTreeMap<String, Decision> {
        match &self.body {
            Body::Feedback(body) => &body.decided,
            Body::Customer(body) => &body.decided,
            Body::Theme(body) => &body.decided,
        }
    }

    pub fn decided_mut(&mut self) -> &mut BTreeMap<String, Decision> {
        match &mut self.body {
            Body::Feedback(body) => &mut body.decided,
            Body::Customer(body) => &mut body.decided,
            Body::Theme(body) => &mut body.decided,
        }
    }

    pub fn as_feedback(&self) -> Option<&Feedback> {
        match &self.body {
            Body::Feedback(body) => Some(body),
            Body::Customer(_) | Body::Theme(_) => None,
        }
    }

    pub fn as_customer(&self) -> Option<&Customer> {
        match &self.body {
            Body::Customer(body) => Some(body),
            Body::Feedback(_) | Body::Theme(_) => None,
        }
    }

    pub fn as_theme(&self) -> Option<&Theme> {
        match &self.body {
            Body::Theme(body) => Some(body),
            Body::Feedback(_) | Body::Customer(_) => None,
        }
    }
}

/// Something that a customer said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Feedback {
    /// The channel, for people: `support`, `github`, `call`.
    pub source: Option<String>,
    pub origin: Option<Origin>,
    pub received_at: Option<DateTime<Utc>>,
    pub title: Option<String>,
    /// The customer's own words, unchanged.
    pub verbatim: Option<String>,
    pub summary: Option<String>,
    /// ISO 639-1.
    pub language: Option<String>,
    pub author: Author,
    pub customer: Option<EntityId>,
    pub theme: Option<EntityId>,
    pub status: Status,
    pub tags: Tags,
    /// What was said afterwards in the same thread, oldest first.
    pub thread: Vec<Turn>,
    /// What the vendor says about the state of the thread (`open`, `closed`).
    pub thread_state: Option<String>,
    /// How its customer may be recognised, best first. Kept, so that a customer who becomes known later is found.
    pub hints: Vec<Alias>,
    /// What models suggested, by path (`tags.category`).
    pub enrichment: BTreeMap<String, Verdict>,
    pub decided: BTreeMap<String, Decision>,
    /// Deleted at its source.
    pub withdrawn: bool,
    /// Customers whose it was until they were merged into another, oldest first: it goes back when they are parted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub merged_from: Vec<EntityId>,
    /// The conversation that it was extracted from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<EntityId>,
    /// Where it was said there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
    /// The item that stands for it: one fix, or one feature, closes both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<EntityId>,
    /// How far it was by itself, while it goes along with the item that stands for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// A person has looked at what models suggested, and lets it stand.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reviewed: bool,
}

/// Where something came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    pub connection: String,
    pub collection: String,
    pub id: String,
    pub url: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Author {
    pub name: Option<String>,
    pub email: Option<String>,
    /// The name they go by at the source (a GitHub login).
    pub handle: Option<String>,
}

/// The strategy's six tags, with what they break down into. ARR is the customer's and is derived where it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tags {
    pub model: Option<String>,
    pub product: Option<String>,
    /// bug, feature_request, pain_point, praise, churn_signal, general, behavior_working, behavior_not_working; open.
    pub category: Option<String>,
    /// critical, high, medium, low; open.
    pub severity: Option<String>,
    pub segment: Option<String>,
    pub region: Option<String>,
    pub use_case: Option<String>,
}

/// One contribution to a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Turn {
    /// The source's id of it.
    pub id: String,
    pub author: Option<String>,
    /// Said by the customer's side.
    pub customer: bool,
    pub at: Option<DateTime<Utc>>,
    pub text: String,
    pub url: Option<String>,
}

/// How far a piece of feedback has come. In JSON and in mappings: `new`, `reviewing`, …, `wont_do`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    #[default]
    New,
    Reviewing,
    Validated,
    Building,
    Shipped,
    WontDo,
}

impl Status {
    pub const ALL: [Self; 6] =
        [Self::New, Self::Reviewing, Self::Validated, Self::Building, Self::Shipped, Self::WontDo];

    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Reviewing => "reviewing",
            Self::Validated => "validated",
            Self::Building => "building",
            Self::Shipped => "shipped",
            Self::WontDo => "wont_do",
        }
    }
}

/// A model's suggestion, with what one needs to judge it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub value: Value,
    /// Which model and version.
    pub model: String,
    /// Which prompt and version: `classify/1`. None: a model that needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// 0 to 1: how often the model is right when it says so, as measured.
    pub confidence: f64,
    /// How sure a language model said it was, where `confidence` is made of that and of reviews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<f64>,
    pub at: DateTime<Utc>,
    /// What in the text made it say so, where it can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// A person's judgement: no model overwrites it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The connection where the person made it, or `cli`.
    pub by: String,
    pub at: DateTime<Utc>,
}

/// A company that speaks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Customer {
    pub name: Option<String>,
    pub origin: Option<Origin>,
    pub domains: Vec<String>,
    /// The names by which sources know it: company ids, GitHub organisations.
    pub aliases: Vec<Alias>,
    pub industry: Option<String>,
    pub region: Option<String>,
    /// From the ARR band where config defines bands, else as the source says.
    pub tier: Option<String>,
    /// Annual recurring revenue in the workspace's currency.
    pub arr: Option<f64>,
    pub lifecycle: Option<String>,
    pub use_case: Option<String>,
    pub owner: Option<String>,
    pub customer_since: Option<NaiveDate>,
    pub decided: BTreeMap<String, Decision>,
    pub withdrawn: bool,
    /// Names that a person gave it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<Alias>,
    /// Names that a person took from it, whatever its sources say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Alias>,
    /// Customers that were merged into it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absorbed: Vec<EntityId>,
    /// It is another customer's other self.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merge>,
    /// The customer whose it was until a person parted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parted_from: Option<EntityId>,
}

/// That a customer was merged into another, and what undoing it takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Merge {
    pub into: EntityId,
    pub at: DateTime<Utc>,
    pub by: String,
    /// What the other took over, by path: what stood there before.
    pub took: BTreeMap<String, Stood>,
    /// Records at destinations that became the other's: (connection, collection).
    pub handed: Vec<(String, String)>,
}

/// A value as it stood, and who had decided it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stood {
    pub value: Value,
    pub decision: Option<Decision>,
}

impl Customer {
    /// It lives on in another customer.
    pub fn is_merged(&self) -> bool {
        self.merged.is_some()
    }

    /// Nobody has said its name: it goes by its domain until somebody does.
    pub fn is_nameless(&self) -> bool {
        let by_domain = |name: &String| self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(name));
        !self.decided.contains_key("name") && self.name.as_ref().is_none_or(by_domain)
    }
}

/// What several pieces of feedback are about. Its count, customers and ARR are derived, never stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Theme {
    pub name: Option<String>,
    pub origin: Option<Origin>,
    pub statement: Option<String>,
    pub description: Option<String>,
    /// hypothesis, validated, in_progress, shipped; open.
    pub status: Option<String>,
    pub owner: Option<String>,
    pub decided: BTreeMap<String, Decision>,
    pub withdrawn: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// It lives on in another theme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<EntityId>,
    /// The theme that it was split from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_from: Option<EntityId>,
    /// The items that were split off with it, and the theme that each of them named before: undoing it gives them back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub split_items: Vec<(EntityId, EntityId)>,
}
