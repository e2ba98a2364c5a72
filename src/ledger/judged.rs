//! What models judged and what people said of it: rows, and how they are read and written.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::store::Tree;
use super::tx::Tx;
use super::{Ledger, LedgerError, decode, keys};
use crate::schema::{EntityId, Task};

/// Which state of an item was judged, so that the same is not judged twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Triaged {
    /// Digest of the text that each task last answered for, together with its prompt; by the task's name.
    pub done: std::collections::BTreeMap<String, u64>,
}

/// An answer that passed its checks, kept under the digest of what was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub value: Value,
    /// The model that really answered.
    pub model: String,
    pub at: DateTime<Utc>,
}

/// What was spent on one task and model on one day. Money is in millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    pub calls: u64,
    /// Answers from the cache, which cost nothing.
    pub cached_answers: u64,
    /// Answers that did not pass their checks.
    pub refused: u64,
    pub input_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    pub micro_usd: u64,
}

/// What a person said of a model's verdict. One an item, path and prompt; a later word replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Review {
    pub at: DateTime<Utc>,
    /// The connection where the person said so, or `cli`.
    pub by: String,
    pub task: Task,
    pub path: String,
    /// What the model had said.
    pub said: Value,
    /// What stands.
    pub stands: Value,
    pub agreed: bool,
    /// The cell that it counts in: the category that the model saw, or said, and the customer's segment, in lower case;
    /// empty where there is none. Trust is asked for with what the model says, not with what a person makes of it.
    pub category: String,
    pub segment: String,
    pub model: String,
    /// `classify/1`; empty for a model that needs no prompt.
    pub prompt: String,
    pub confidence: f64,
    /// How sure the model said it was, where that is another matter ([`crate::review::calibration`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<f64>,
}

/// How verdicts of a task have stood in one category and segment: the newest reviews, and whether they have earned trust.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// The newest, oldest first; as many as the window of the configuration.
    pub recent: Vec<bool>,
    /// Whose each of them is, in the same order, so that a later word of the same person replaces the earlier one.
    pub of: Vec<u64>,
    /// All there ever were.
    pub reviews: u64,
    pub agreed: u64,
    /// Since when it may act by itself. `None`: it may not.
    pub earned: Option<DateTime<Utc>>,
}

/// What models suggested of an item and nobody has spoken to yet. A row stands as long as that is so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waits {
    /// The oldest of the suggestions.
    pub since: DateTime<Utc>,
    /// 0 to 1, before revenue is weighed in.
    pub risk: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<EntityId>,
    pub category: String,
    /// The item's own segment; where it has none, its customer's counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Path and confidence.
    pub open: Vec<(String, f64)>,
}

/// Something that a model proposes and that is not done yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    pub at: DateTime<Utc>,
    pub what: Proposed,
    pub because: String,
    pub confidence: f64,
    pub model: String,
    pub prompt: String,
    pub state: ProposalState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Proposed {
    /// Two items are one.
    Duplicate { item: EntityId, of: EntityId },
    /// Two themes are one.
    MergeThemes { theme: EntityId, into: EntityId },
    /// Some items of a theme are about something else.
    SplitTheme { theme: EntityId, items: Vec<EntityId> },
    /// A theme has enough behind it to be looked at.
    VerifyTheme { theme: EntityId },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum ProposalState {
    Open,
    /// Done by a person, or by the task itself once it had earned that.
    Done {
        by: String,
        at: DateTime<Utc>,
    },
    /// A person said no: it is never proposed again.
    Refused {
        by: String,
        at: DateTime<Utc>,
    },
    /// It was done, and a person took it back: it is never proposed again.
    Undone {
        by: String,
        at: DateTime<Utc>,
    },
}

impl Proposed {
    /// The number of the proposal of this, made or not; a few digits are enough for people to type.
    pub fn number(&self) -> Result<u64, LedgerError> {
        let pair = |kind: &str, a: EntityId, b: EntityId| {
            if a < b { format!("{kind} {a} {b}") } else { format!("{kind} {b} {a}") }
        };
        let identity = match self {
            Self::Duplicate { item, of } => pair("duplicate", *item, *of),
            Self::MergeThemes { theme, into } => pair("themes", *theme, *into),
            Self::SplitTheme { theme, items } => format!("split {theme} {items:?}"),
            Self::VerifyTheme { theme } => format!("verify {theme}"),
        };
        Ok(super::digest(&identity)? % 1_000_000_000)
    }
}

/// A vector as it is kept: whole numbers of -127 to 127, and what one of them is worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed {
    pub scale: f32,
    pub values: Vec<i8>,
}

impl Packed {
    #[expect(clippy::cast_possible_truncation, reason = "scaled into the range before")]
    pub fn of(vector: &[f32]) -> Self {
        let top = vector.iter().fold(0.0_f32, |top, value| top.max(value.abs()));
        let scale = if top > 0.0 { top / 127.0 } else { 1.0 };
        Self { scale, values: vector.iter().map(|value| (value / scale).round().clamp(-127.0, 127.0) as i8).collect() }
    }

    pub fn unpack(&self) -> Vec<f32> {
        self.values.iter().map(|value| f32::from(*value) * self.scale).collect()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.scale.to_le_bytes().to_vec();
        bytes.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    fn from_bytes(tree: Tree, bytes: &[u8]) -> Result<Self, LedgerError> {
        let (scale, values) = bytes
            .split_first_chunk::<4>()
            .ok_or_else(|| LedgerError::Corrupt { tree: tree.name(), why: "a vector ends early".into() })?;
        let values = values.iter().map(|byte| i8::from_le_bytes([*byte])).collect();
        Ok(Self { scale: f32::from_le_bytes(*scale), values })
    }
}

fn in_space(space: &str, id: EntityId) -> Vec<u8> {
    let mut key = keys::texts(&[space]);
    key.extend(id.as_bytes());
    key
}

impl Tx<'_> {
    pub fn triaged(&mut self, id: EntityId) -> Result<Triaged, LedgerError> {
        Ok(self.read(Tree::Triaged, id.as_bytes().to_vec())?.unwrap_or_default())
    }

    pub fn put_triaged(&mut self, id: EntityId, triaged: &Triaged) -> Result<(), LedgerError> {
        self.write(Tree::Triaged, id.as_bytes().to_vec(), triaged)
    }

    pub fn put_answer(&mut self, digest: &str, answer: &Answer) -> Result<(), LedgerError> {
        self.write(Tree::Answers, keys::texts(&[digest]), answer)
    }

    /// Adds to what was spent on a day.
    pub fn spend(&mut self, day: NaiveDate, task: &str, model: &str, more: Spent) -> Result<(), LedgerError> {
        let key = keys::texts(&[&day.to_string(), task, model]);
        let was: Spent = self.read(Tree::Spent, key.clone())?.unwrap_or_default();
        let sum = Spent {
            calls: was.calls + more.calls,
            cached_answers: was.cached_answers + more.cached_answers,
            refused: was.refused + more.refused,
            input_tokens: was.input_tokens + more.input_tokens,
            cached_tokens: was.cached_tokens + more.cached_tokens,
            output_tokens: was.output_tokens + more.output_tokens,
            micro_usd: was.micro_usd + more.micro_usd,
        };
        self.write(Tree::Spent, key, &sum)
    }

    /// What a person said of this path of this item, of the model and prompt that they saw.
    pub fn review(&mut self, id: EntityId, path: &str, prompt: &str) -> Result<Option<Review>, LedgerError> {
        self.read(Tree::Reviews, keys::entity(id, &[path, prompt]))
    }

    pub fn put_review(&mut self, id: EntityId, review: &Review) -> Result<(), LedgerError> {
        self.write(Tree::Reviews, keys::entity(id, &[&review.path, &review.prompt]), review)
    }

    pub fn drop_review(&mut self, id: EntityId, path: &str, prompt: &str) {
        self.remove(Tree::Reviews, keys::entity(id, &[path, prompt]));
    }

    pub fn waits(&mut self, id: EntityId) -> Result<Option<Waits>, LedgerError> {
        self.read(Tree::Suggested, id.as_bytes().to_vec())
    }

    pub fn put_waits(&mut self, id: EntityId, waits: Option<&Waits>) -> Result<(), LedgerError> {
        match waits {
            Some(waits) => self.write(Tree::Suggested, id.as_bytes().to_vec(), waits),
            None => {
                self.remove(Tree::Suggested, id.as_bytes().to_vec());
                Ok(())
            }
        }
    }

    pub fn standing(&mut self, task: Task, category: &str, segment: &str) -> Result<Standing, LedgerError> {
        Ok(self.read(Tree::Standings, keys::texts(&[task.name(), category, segment]))?.unwrap_or_default())
    }

    pub fn put_standing(
        &mut self,
        task: Task,
        category: &str,
        segment: &str,
        standing: &Standing,
    ) -> Result<(), LedgerError> {
        self.write(Tree::Standings, keys::texts(&[task.name(), category, segment]), standing)
    }

    pub fn proposal(&mut self, number: u64) -> Result<Option<Proposal>, LedgerError> {
        self.read(Tree::Proposals, keys::sequence(number))
    }

    pub fn put_proposal(&mut self, proposal: &Proposal) -> Result<(), LedgerError> {
        self.write(Tree::Proposals, keys::sequence(proposal.what.number()?), proposal)
    }

    /// Where an item's text lies; `space` names what measured it.
    pub fn vector(&mut self, space: &str, id: EntityId) -> Result<Option<Packed>, LedgerError> {
        let bytes = self.bytes(Tree::Vectors, in_space(space, id))?;
        bytes.map(|bytes| Packed::from_bytes(Tree::Vectors, &bytes)).transpose()
    }

    pub fn put_vector(&mut self, space: &str, id: EntityId, vector: &Packed) {
        self.put(Tree::Vectors, in_space(space, id), vector.to_bytes());
    }

    pub fn drop_vector(&mut self, space: &str, id: EntityId) {
        self.remove(Tree::Vectors, in_space(space, id));
    }

    /// The middle of a theme.
    pub fn centroid(&mut self, space: &str, theme: EntityId) -> Result<Option<Packed>, LedgerError> {
        let bytes = self.bytes(Tree::Centroids, in_space(space, theme))?;
        bytes.map(|bytes| Packed::from_bytes(Tree::Centroids, &bytes)).transpose()
    }

    pub fn put_centroid(&mut self, space: &str, theme: EntityId, centroid: &Packed) {
        self.put(Tree::Centroids, in_space(space, theme), centroid.to_bytes());
    }

    pub fn drop_centroid(&mut self, space: &str, theme: EntityId) {
        self.remove(Tree::Centroids, in_space(space, theme));
    }
}

impl Ledger {
    pub fn triaged(&self, id: EntityId) -> Result<Triaged, LedgerError> {
        Ok(self.get(Tree::Triaged, id.as_bytes())?.unwrap_or_default())
    }

    pub fn answer(&self, digest: &str) -> Result<Option<Answer>, LedgerError> {
        self.get(Tree::Answers, &keys::texts(&[digest]))
    }

    /// What was spent, by day, task and model, in that order.
    pub fn spent(&self) -> Result<Vec<(NaiveDate, String, String, Spent)>, LedgerError> {
        let mut rows = Vec::new();
        self.each(Tree::Spent, &[], |key, value| {
            let parts = keys::read_texts(key).unwrap_or_default();
            if let [day, task, model] = parts.as_slice()
                && let Ok(day) = day.parse()
            {
                rows.push((day, task.clone(), model.clone(), decode(Tree::Spent, value)?));
            }
            Ok(true)
        })?;
        Ok(rows)
    }

    /// What was spent on one day, in millionths of a dollar.
    pub fn spent_on(&self, day: NaiveDate) -> Result<u64, LedgerError> {
        let mut sum = 0;
        self.each(Tree::Spent, &keys::texts(&[&day.to_string()]), |_, value| {
            sum += decode::<Spent>(Tree::Spent, value)?.micro_usd;
            Ok(true)
        })?;
        Ok(sum)
    }

    /// What people said of this path of this item, of whatever model and prompt.
    pub fn reviews_of(&self, id: EntityId, path: &str) -> Result<Vec<Review>, LedgerError> {
        let mut rows = Vec::new();
        self.each(Tree::Reviews, &keys::entity(id, &[path]), |_, value| {
            rows.push(decode(Tree::Reviews, value)?);
            Ok(true)
        })?;
        Ok(rows)
    }

    /// Every review, in no meaningful order.
    pub fn reviews(&self) -> Result<Vec<(EntityId, Review)>, LedgerError> {
        let mut rows = Vec::new();
        self.each(Tree::Reviews, &[], |key, value| {
            if let Some((id, _)) = keys::read_entity(key) {
                rows.push((id, decode(Tree::Reviews, value)?));
            }
            Ok(true)
        })?;
        Ok(rows)
    }

    /// Every item with suggestions that nobody has spoken to.
    pub fn each_waits(
        &self,
        mut see: impl FnMut(EntityId, Waits) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        self.each(Tree::Suggested, &[], |key, value| {
            if let Some((id, _)) = keys::read_entity(key) {
                see(id, decode(Tree::Suggested, value)?)?;
            }
            Ok(true)
        })
    }

    pub fn standing(&self, task: Task, category: &str, segment: &str) -> Result<Standing, LedgerError> {
        Ok(self.get(Tree::Standings, &keys::texts(&[task.name(), category, segment]))?.unwrap_or_default())
    }

    /// By task, category and segment.
    pub fn standings(&self) -> Result<Vec<(Task, String, String, Standing)>, LedgerError> {
        let mut rows = Vec::new();
        self.each(Tree::Standings, &[], |key, value| {
            let parts = keys::read_texts(key).unwrap_or_default();
            if let [task, category, segment] = parts.as_slice()
                && let Some(task) = Task::parse(task)
            {
                rows.push((task, category.clone(), segment.clone(), decode(Tree::Standings, value)?));
            }
            Ok(true)
        })?;
        Ok(rows)
    }

    pub fn proposal(&self, number: u64) -> Result<Option<Proposal>, LedgerError> {
        self.get(Tree::Proposals, &keys::sequence(number))
    }

    pub fn proposals(&self) -> Result<Vec<(u64, Proposal)>, LedgerError> {
        let mut rows = Vec::new();
        self.each(Tree::Proposals, &[], |key, value| {
            if let Ok(number) = <[u8; 8]>::try_from(key) {
                rows.push((u64::from_be_bytes(number), decode(Tree::Proposals, value)?));
            }
            Ok(true)
        })?;
        Ok(rows)
    }

    /// Every vector of a space.
    pub fn each_vector(
        &self,
        space: &str,
        mut see: impl FnMut(EntityId, Packed) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        self.each_packed(Tree::Vectors, space, &mut see)
    }

    /// Every vector, with its space.
    pub fn each_vector_anywhere(
        &self,
        mut see: impl FnMut(String, EntityId, Packed) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        self.each(Tree::Vectors, &[], |key, value| {
            if let Some((space, rest)) = keys::read_first_text(key)
                && let Some((id, _)) = keys::read_entity(rest)
            {
                see(space, id, Packed::from_bytes(Tree::Vectors, value)?)?;
            }
            Ok(true)
        })
    }

    /// Where an item's text lies, in a space.
    pub fn vector(&self, space: &str, id: EntityId) -> Result<Option<Packed>, LedgerError> {
        let bytes = self.store().get(Tree::Vectors, &in_space(space, id))?;
        bytes.map(|bytes| Packed::from_bytes(Tree::Vectors, &bytes)).transpose()
    }

    /// The middle of every theme, in a space.
    pub fn each_centroid(
        &self,
        space: &str,
        mut see: impl FnMut(EntityId, Packed) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        self.each_packed(Tree::Centroids, space, &mut see)
    }

    fn each_packed(
        &self,
        tree: Tree,
        space: &str,
        see: &mut dyn FnMut(EntityId, Packed) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let prefix = keys::texts(&[space]);
        self.each(tree, &prefix, |key, value| {
            if let Some((id, _)) = key.get(prefix.len()..).and_then(keys::read_entity) {
                see(id, Packed::from_bytes(tree, value)?)?;
            }
            Ok(true)
        })
    }
}
