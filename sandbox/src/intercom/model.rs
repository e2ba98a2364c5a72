//! What Intercom keeps: admins, contacts, companies, conversations with their parts, tags. Times are whole seconds.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

#[derive(Clone, Debug)]
pub struct Contact {
    /// Intercom's own, 24 hex digits.
    pub id: String,
    /// The workspace's own id of the person.
    pub external_id: Option<String>,
    pub role: String,
    pub email: Option<String>,
    pub name: Option<String>,
    /// Intercom ids of companies.
    pub companies: Vec<String>,
    pub custom_attributes: Map<String, Value>,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Clone, Debug)]
pub struct Company {
    /// Intercom's own, 24 hex digits.
    pub id: String,
    /// The workspace's own.
    pub company_id: String,
    pub name: String,
    pub website: Option<String>,
    pub industry: Option<String>,
    pub size: Option<i64>,
    /// Whole: decimals are cut.
    pub monthly_spend: i64,
    pub plan: Option<String>,
    /// How many contacts belong to it.
    pub user_count: usize,
    pub custom_attributes: Map<String, Value>,
    pub remote_created_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// `admin`, `user`, `lead`, `bot`.
    pub kind: String,
    pub id: String,
    pub name: Option<String>,
    pub email: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Closed,
    Snoozed,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Snoozed => "snoozed",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Conversation {
    pub id: u64,
    pub source_id: u64,
    pub title: Option<String>,
    pub subject: String,
    /// HTML.
    pub body: String,
    pub author: Author,
    pub contact: String,
    pub state: State,
    pub snoozed_until: Option<i64>,
    pub waiting_since: Option<i64>,
    pub read: bool,
    pub admin_assignee: Option<u64>,
    pub team_assignee: Option<u64>,
    pub custom_attributes: Map<String, Value>,
    /// Ids of tags, with when and by which admin.
    pub tags: Vec<(u64, i64, u64)>,
    /// Oldest first.
    pub parts: Vec<Part>,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Clone, Debug)]
pub struct Part {
    pub id: u64,
    /// `comment`, `note`, `close`, `open`, `snoozed`, `assignment`.
    pub kind: String,
    /// HTML.
    pub body: Option<String>,
    pub author: Author,
    pub created_at: i64,
    /// Set on what came through the API.
    pub app_package_code: Option<String>,
    pub assigned_to: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Admin {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) email: String,
}

impl Admin {
    pub(super) fn author(&self) -> Author {
        Author {
            kind: "admin".to_owned(),
            id: self.id.to_string(),
            name: Some(self.name.clone()),
            email: Some(self.email.clone()),
        }
    }
}

impl Contact {
    pub(super) fn author(&self) -> Author {
        Author { kind: self.role.clone(), id: self.id.clone(), name: self.name.clone(), email: self.email.clone() }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Webhook {
    pub(super) url: String,
    /// The app's client secret.
    pub(super) secret: String,
    /// `None`: every topic.
    pub(super) topics: Option<Vec<String>>,
}

/// The one walk over all companies that an app may have open.
#[derive(Clone, Debug)]
pub(super) struct Scroll {
    pub(super) param: String,
    pub(super) last_used: DateTime<Utc>,
    /// Companies still to come.
    pub(super) left: Vec<String>,
}
