//! What the ledger's rows hold. All of it is JSON, versioned by the ledger's format (see `migrate`).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use connectors::{Cursor, Key, MessageKind, Record, Write};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::{Alias, EntityId};

/// An input as it came, until normalize has taken it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    pub connection: String,
    pub record: Record,
    pub via: Via,
    /// When the reading began. What we wrote to the record after that moment, this input cannot know.
    pub seen_at: DateTime<Utc>,
}

/// By which way an input came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    Poll,
    Webhook,
    Fetch,
    /// Read just before a write.
    Fence,
    Import,
    /// Drawn anew from what is kept of it.
    Replay,
}

/// The newest input accepted of an outside record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub digest: u64,
    pub version: Option<i64>,
}

/// An entity as stored: its kind beside its body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredEntity {
    pub kind: crate::schema::EntityKind,
    pub body: Value,
}

/// That an entity has a record in a collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    pub id: String,
    pub url: Option<String>,
    pub state: LinkState,
    /// How many records of this entity there have been in this collection before; folded into the external id where
    /// the vendor never forgets one (Linear).
    #[serde(default)]
    pub generation: u32,
    pub since: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum LinkState {
    Live,
    /// Deleted there. Nothing makes it anew unless ops say so.
    Gone {
        at: DateTime<Utc>,
    },
    /// Ops say that it is to be made anew, and that was not done yet. The id is that of the one that was deleted.
    Anew {
        at: DateTime<Utc>,
    },
    /// The destination keeps changing what we write; we stopped.
    Stopped {
        at: DateTime<Utc>,
        why: String,
    },
}

/// How many records of one entity in one collection may come one after the other (deleted, and made anew).
pub const GENERATIONS: u32 = 8;

impl Link {
    pub fn is_live(&self) -> bool {
        self.state == LinkState::Live
    }
}

/// What both sides last agreed on, field by field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Base {
    /// Fields of an `into` mapping, by the outside field's name.
    pub fields: BTreeMap<String, FieldBase>,
    /// What a `from` mapping last drew, by entity path.
    pub drawn: BTreeMap<String, Value>,
    /// The names by which a source last said that its customer goes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Alias>,
    /// The vendor's version of the newest snapshot merged.
    pub version: Option<i64>,
    /// When our last write to this record was answered.
    pub written_at: Option<DateTime<Utc>>,
    /// When the newest look that changed anything here began.
    pub looked_at: Option<DateTime<Utc>>,
    /// The newest line of the vendor's own history that was taken in.
    pub heard: Option<DateTime<Utc>>,
    /// Values that people put there and that looks have shown, by field: when the vendor's history tells of them later, it
    /// is no news.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub known: BTreeMap<String, Vec<Known>>,
    /// Writes in a row that came back changed.
    pub rounds: u32,
    /// Fields that the destination does not have; owed until its binding changes.
    pub owed: BTreeMap<String, String>,
    /// Of what is owed for want of an option: the value that was refused. Another value is tried.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, Value>,
}

/// One field's agreement, as each side writes it: the vendor may round, trim or re-order what we sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FieldBase {
    pub ours: Value,
    pub theirs: Value,
    /// What stood there before our last write. A replica that lags may still show it for a while; that is no edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Was>,
    /// What a person put there stands, and is not written over: the field is only pushed and its mapping lets that stand,
    /// or what it means cannot be read (then a [`Letter::Held`] tells), or a person is asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// A person changed a field that we only push, and its mapping says that ours stands: it is to be written again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restore: bool,
    /// The field only comes from there, and this stood there when the record was found: the vendor's own beginning, or a
    /// person's edit already. The vendor's history may yet tell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub found: bool,
}

/// A value that a look has shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    pub value: Value,
    pub at: DateTime<Utc>,
}

/// The destination's value before our last write, and until when a late replica may still show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Was {
    pub theirs: Value,
    pub until: DateTime<Utc>,
}

/// Where a stream of a connection stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    pub cursor: Option<Cursor>,
    /// Not before this. `None`: now.
    pub due: Option<DateTime<Utc>>,
    /// When the stream was last read to its end.
    pub caught_up: Option<DateTime<Utc>>,
    pub records: u64,
}

/// A write that was about to be made. While it stands here, its outcome is not in the books.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    pub write: Write,
    /// What each field means on our side, for the base once it is stored.
    pub ours: BTreeMap<String, Value>,
    pub at: DateTime<Utc>,
    /// Its outcome is being read back, through the inbox.
    #[serde(default)]
    pub settling: bool,
}

/// A record that cannot pass, with its cause and all that is needed to try again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dead {
    pub at: DateTime<Utc>,
    pub room: String,
    pub connection: String,
    pub key: Option<Key>,
    pub entity: Option<EntityId>,
    pub field: Option<String>,
    pub cause: String,
    pub letter: Letter,
    /// Digest of the mapping (of a message: of the template) that refused it; another one redrives it by itself.
    pub mapping: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Letter {
    Input {
        input: Box<Input>,
    },
    Sync {
        collection: String,
        entity: EntityId,
    },
    /// A value of a person's that cannot be taken: its field is held, and the letter stays as long as it is.
    Held {
        collection: String,
        entity: EntityId,
        field: String,
    },
    Message {
        id: String,
    },
    Fetch {
        key: Key,
    },
    /// An inbox row that is not what an inbox row is; kept as it was found.
    Unreadable {
        bytes: Vec<u8>,
    },
    /// A line of a file that could not be taken in. It goes when the file, mended, is taken in again.
    Line {
        file: String,
        line: u64,
        text: String,
    },
}

impl Letter {
    /// Tells one thing from another; see [`Dead::number`].
    fn identity(&self, connection: &str) -> String {
        match self {
            Self::Input { input } => {
                format!("input {connection} {} {}", input.record.key.collection, input.record.key.id)
            }
            Self::Sync { collection, entity } => format!("sync {connection} {collection} {entity}"),
            Self::Held { collection, entity, field } => format!("held {connection} {collection} {entity} {field}"),
            Self::Message { id } => format!("message {id}"),
            Self::Fetch { key } => format!("fetch {connection} {} {}", key.collection, key.id),
            Self::Unreadable { bytes } => format!("unreadable {bytes:02x?}"),
            Self::Line { file, line, .. } => format!("line {connection} {file} {line}"),
        }
    }

    /// The number of the letter about this thing, whether it is dead or not.
    pub fn number(&self, connection: &str) -> Result<u64, super::LedgerError> {
        // A few digits are enough for people to type, and far more than a mailbox of dead letters needs.
        Ok(super::digest(&self.identity(connection))? % 1_000_000_000_000)
    }
}

impl Dead {
    pub fn number(&self) -> Result<u64, super::LedgerError> {
        self.letter.number(&self.connection)
    }
}

/// One line of an entity's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub at: DateTime<Utc>,
    /// The connection it came from or went to, a room, or `cli`.
    pub by: String,
    pub what: What,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The entity came to be.
    Created,
    /// A source said so.
    Drawn,
    /// A model suggested it.
    Suggested,
    /// A person changed it at a destination, and the entity took it.
    Edited,
    /// Both sides changed it; `new` won, `old` lost.
    Conflict,
    /// A person changed a field that loopd only pushes.
    EditedThere,
    /// A person's value that was replaced before it could be merged.
    Overtaken,
    /// Written to a record.
    Written,
    Linked,
    GoneThere,
    Stopped,
    Message,
    Decided,
    /// Two customers became one.
    Merged,
    /// What was one customer became two.
    Parted,
    /// A person said what they hold of a model's verdict.
    Reviewed,
}

/// A message that waits for a person, or is on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    pub entity: EntityId,
    pub connection: String,
    pub to: Key,
    pub kind: MessageKind,
    pub body: String,
    pub state: MessageState,
    pub prepared: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum MessageState {
    /// Waits for `loopd close approve`.
    Prepared,
    Approved {
        by: String,
        at: DateTime<Utc>,
    },
    /// Handed to the vendor; the outcome is not known yet.
    Sending {
        since: DateTime<Utc>,
    },
    Sent {
        id: String,
        url: Option<String>,
        at: DateTime<Utc>,
    },
    /// It was sent, and is to have other words there.
    Reworded {
        id: String,
        url: Option<String>,
        at: DateTime<Utc>,
    },
    Dropped {
        by: String,
        at: DateTime<Utc>,
    },
}

impl MessageState {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Prepared => "waits for approval",
            Self::Approved { .. } => "approved",
            Self::Sending { .. } => "sending",
            Self::Sent { .. } => "sent",
            Self::Reworded { .. } => "sent, to be changed",
            Self::Dropped { .. } => "dropped",
        }
    }
}

/// A conflict that the mapping leaves to a person (`wins = "ask"`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub at: DateTime<Utc>,
    pub entity: EntityId,
    pub connection: String,
    pub collection: String,
    pub field: String,
    pub path: String,
    /// In the entity's terms.
    pub ours: Value,
    pub theirs: Value,
}

/// Two customers who may be one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    pub at: DateTime<Utc>,
    pub state: DoubtState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum DoubtState {
    /// It waits for a person.
    Open,
    /// They are one, and were merged.
    One { by: String, at: DateTime<Utc> },
    /// They are two. That is never asked again.
    Two { by: String, at: DateTime<Utc> },
}

/// Something that is wrong with a connection now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    pub since: DateTime<Utc>,
    pub what: String,
    /// Stops the connection until it is mended.
    pub stops: bool,
}

/// Feedback that waits for a customer of this name to become known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    pub alias: Alias,
}
