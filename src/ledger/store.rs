//! The seam under the ledger: ordered trees, reads, prefix scans, one atomic batch over several trees with
//! preconditions, and [`Store::durable`]. A store shared by several machines could stand here too.

use thiserror::Error;

/// The ledger's trees. The name is what the store calls it, so it may never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tree {
    /// Raw inputs until they are normalized, by sequence.
    Inbox,
    /// What vendors said, compressed, for replay; kept for a time.
    Raw,
    /// The digest of the last input of each outside record: the same again is no news.
    Seen,
    Entities,
    /// Entity to outside record.
    Links,
    /// Outside record to entity: the inverse of `Links`.
    Linked,
    /// What both sides last agreed on, per link.
    Bases,
    /// Queued work, one slot per lane and item.
    Work,
    /// The same work, ordered by when it is due.
    Due,
    /// Where each stream stands.
    Cursors,
    /// Writes whose outcome is not in the books yet.
    Effects,
    Dead,
    /// What happened to each entity. Append-only.
    Log,
    /// The names by which customers are recognised.
    Aliases,
    /// Which entities name which: the inverse of the references in entities.
    Refs,
    /// Unrecognised customer names, and the feedback that waits for them.
    Waiting,
    /// Parts (comments) that came before what they are part of.
    Parked,
    /// Part (comment) to the entity in whose thread it stands.
    Parts,
    /// Messages to customers.
    Messages,
    /// Conflicts that a person must decide.
    Review,
    /// What connectors found and registered.
    Bindings,
    /// What is wrong right now, per connection.
    Conditions,
    /// How often each account used each feature on each day.
    Usage,
    /// When each account used something first and last.
    UsageOf,
    /// The people of whom it is known where they belong.
    Members,
    /// The events that were counted, by their ids.
    Counted,
    /// Pairs of customers who may be one, and what a person said of them; each pair stands both ways round.
    Pairs,
    /// Customers by what is left of their names when case, signs and legal forms are taken away.
    Alike,
    /// What texts are near to, as numbers: by the space that they lie in, then by entity.
    Vectors,
    /// The middle of each theme, by space and theme.
    Centroids,
    /// What was judged of each entity, of which text: nothing is judged twice.
    Triaged,
    /// What models answered, by the digest of what they were asked.
    Answers,
    /// What models cost, by day, task and model.
    Spent,
    /// What people said of a model's verdicts, by entity and path.
    Reviews,
    /// How well verdicts have stood, by task, category and segment.
    Standings,
    /// Items with suggestions that nobody has spoken to yet.
    Suggested,
    /// What models propose and only a person, or earned trust, does: merges and splits.
    Proposals,
    Meta,
}

impl Tree {
    pub const ALL: [Self; 38] = [
        Self::Inbox,
        Self::Raw,
        Self::Seen,
        Self::Entities,
        Self::Links,
        Self::Linked,
        Self::Bases,
        Self::Work,
        Self::Due,
        Self::Cursors,
        Self::Effects,
        Self::Dead,
        Self::Log,
        Self::Aliases,
        Self::Refs,
        Self::Waiting,
        Self::Parked,
        Self::Parts,
        Self::Messages,
        Self::Review,
        Self::Bindings,
        Self::Conditions,
        Self::Usage,
        Self::UsageOf,
        Self::Members,
        Self::Counted,
        Self::Pairs,
        Self::Alike,
        Self::Vectors,
        Self::Centroids,
        Self::Triaged,
        Self::Answers,
        Self::Spent,
        Self::Reviews,
        Self::Standings,
        Self::Suggested,
        Self::Proposals,
        Self::Meta,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Raw => "raw",
            Self::Seen => "seen",
            Self::Entities => "entities",
            Self::Links => "links",
            Self::Linked => "linked",
            Self::Bases => "bases",
            Self::Work => "work",
            Self::Due => "due",
            Self::Cursors => "cursors",
            Self::Effects => "effects",
            Self::Dead => "dead",
            Self::Log => "log",
            Self::Aliases => "aliases",
            Self::Refs => "refs",
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::Parts => "parts",
            Self::Messages => "messages",
            Self::Review => "review",
            Self::Bindings => "bindings",
            Self::Conditions => "conditions",
            Self::Usage => "usage",
            Self::UsageOf => "usage_of",
            Self::Members => "members",
            Self::Counted => "counted",
            Self::Pairs => "pairs",
            Self::Alike => "alike",
            Self::Vectors => "vectors",
            Self::Centroids => "centroids",
            Self::Triaged => "triaged",
            Self::Answers => "answers",
            Self::Spent => "spent",
            Self::Reviews => "reviews",
            Self::Standings => "standings",
            Self::Suggested => "suggested",
            Self::Proposals => "proposals",
            Self::Meta => "meta",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tree| tree.name() == name)
    }
}

pub(super) type Bytes = Vec<u8>;

/// All of it happens, or none: first every check must hold, then every write is made.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The value that must stand there (`None`: nothing).
    pub checks: Vec<(Tree, Bytes, Option<Bytes>)>,
    /// `None` removes.
    pub writes: Vec<(Tree, Bytes, Option<Bytes>)>,
}

const WAY_OUT: &str =
    "Keep the folder; at another `ledger.path`, import a backup (`loopd ledger import`), or run `loopd ledger rebuild`";

#[derive(Debug, Error)]
pub enum StoreError {
    /// A check did not hold: somebody else was faster. Read again and decide again.
    #[error("changed meanwhile: {tree:?}")]
    Conflict { tree: Tree },
    /// No room on the disk. Nothing of the batch was written.
    #[error("the disk is full: {free} bytes are free, {reserve} are kept in reserve")]
    Full { free: u64, reserve: u64 },
    #[error("the store failed: {0}")]
    Failed(String),
    #[error("the ledger at {path} is in use by another process; only one may hold it (is `loopd run` up?)")]
    Locked { path: String },
    /// Refused before anything was changed.
    #[error("the ledger at {path} cannot be read: {why}. It was left untouched. {WAY_OUT}")]
    Unreadable { path: String, why: String },
    /// Found while reading an open one.
    #[error("the ledger at {path} is damaged: {why}. {WAY_OUT}")]
    Damaged { path: String, why: String },
}

/// One row of a scan.
pub type Row = (Vec<u8>, Vec<u8>);

pub trait Store: Send + Sync {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Rows whose key starts with `prefix`, in key order, beginning after `after`; at most `limit`.
    fn scan(&self, tree: Tree, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError>;

    /// Visible to all readers at once. Not yet safe from power loss: see [`Store::durable`].
    fn apply(&self, batch: Batch) -> Result<(), StoreError>;

    /// Returns when everything applied before the call survives a power loss. Many callers share one sync.
    fn durable(&self) -> Result<(), StoreError>;

    /// From now on, less than so many bytes free on the disk is full. Means nothing where there is no disk.
    fn keep_free(&self, _bytes: u64) {}

    /// Whether there is room to write.
    fn has_room(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// How many bytes of the disk stay free.
    fn kept_free(&self) -> u64 {
        0
    }

    /// Bytes on disk; 0 where there is none.
    fn size_on_disk(&self) -> u64;
}
