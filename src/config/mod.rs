//! Configuration: `config.toml` and the mappings, read, checked and told about.
//!
//! The law: reading is pure (the [`World`] is handed in) and finds every mistake in one go, each with its file, line,
//! column and mend. What is parsed cannot be wrong inside. `config.example.toml` is complete and *is* the defaults: it
//! is compiled in, and a user's file lies over it key by key.

mod check;
mod connection;
mod judge;
mod load;
mod parse;
mod schedule;
mod starter;
#[cfg(test)]
mod tests;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use connectors::public::Network;
use serde::Serialize;
use serde_json::Value;

pub use check::check;
pub use connection::{Connection, SecretRef};
pub use judge::{Mode, ModelConfig, Price, Provider, ReviewConfig, TaskConfig, TriageConfig};
pub use load::{EXAMPLE, SHIPPED, examine, ledger_path, load, load_text};
pub use schedule::Schedule;
pub use starter::{routes, starter};
pub use world::{Machine, World};

use crate::mapping::{Expression, MapError, Mappings};
pub use crate::mapping::{Place, Problem};
use crate::model::prompts::Library;
use crate::schema::domain::is_mail_provider;
use crate::schema::{Alias, AliasKind, EntityKind, Task};

/// A whole configuration. It has been parsed and wired: every name in it leads somewhere.
#[derive(Debug)]
pub struct Config {
    pub ledger: LedgerConfig,
    pub auth: AuthConfig,
    pub http: HttpConfig,
    pub log: LogConfig,
    /// Of schedules that name no time zone.
    pub timezone: chrono_tz::Tz,
    pub connections: BTreeMap<String, Connection>,
    pub routes: Vec<Route>,
    /// By the name of the tag: `product`.
    pub vocabularies: BTreeMap<String, Vec<Term>>,
    pub sync: SyncConfig,
    pub close: CloseConfig,
    pub customers: CustomersConfig,
    pub enrich: EnrichConfig,
    pub model: ModelConfig,
    /// Shipped, and the user's own.
    pub prompts: Library,
    pub tasks: BTreeMap<Task, TaskConfig>,
    pub triage: TriageConfig,
    pub review: ReviewConfig,
    pub usage: UsageConfig,
    pub mappings: Mappings,
    /// What loading found that is worth telling but stops nothing.
    pub warnings: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LedgerConfig {
    pub path: PathBuf,
    /// How long raw inputs are kept.
    pub raw_days: u32,
    /// How long the audit log is kept; `None`: for ever.
    pub audit_days: Option<u32>,
    pub cache_bytes: u64,
    /// With less than this free on its disk, nothing is taken in.
    pub keep_free_bytes: u64,
}

/// Sign-ins (`loopd auth`).
#[derive(Clone, Debug, PartialEq)]
pub struct AuthConfig {
    /// The folder of the grants.
    pub dir: PathBuf,
    /// Where `loopd auth` waits for the browser to come back.
    pub port: u16,
}

/// Where loopd listens, for webhooks and for those who watch it.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    /// Where vendors reach us, without a slash at its end.
    pub public_url: Option<String>,
    pub max_body_bytes: usize,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    pub format: LogFormat,
    pub filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    Auto,
    Human,
    Json,
}

/// A word of a vocabulary, and the words by which a text is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    pub value: String,
    pub words: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SyncConfig {
    /// How long an observed edit waits before it travels on.
    pub settle_seconds: u32,
    /// How often counts and sums of a record are written at most.
    pub counts_settle_seconds: u32,
    /// How long a vendor may still show the value before a write.
    pub stale_read_seconds: u32,
    pub sweep: Schedule,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CloseConfig {
    /// Connections whose messages go out without approval.
    pub send_without_approval: Vec<String>,
    pub template: String,
    /// A note for the team instead of an answer to the customer.
    pub note: bool,
}

/// Where customers come from besides the sources, and how they are sorted by revenue.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomersConfig {
    pub create_unknown: bool,
    /// Highest first.
    pub tiers: Vec<Tier>,
    pub csv: Option<PathBuf>,
    pub rules: Rules,
}

/// What customers are recognised by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// Kinds of names that make two one, best first.
    pub matching: Vec<AliasKind>,
    /// Kinds of names that make nobody one: a person is asked.
    pub doubtful: Vec<AliasKind>,
    /// Mail providers beside those that are known; their domains name nobody.
    pub free_mail: BTreeSet<String>,
    /// Domains that are a company's all the same.
    pub companies: BTreeSet<String>,
    /// Our own domains, with all below them.
    pub own_domains: BTreeSet<String>,
}

impl Rules {
    /// Two who share a name of this kind are one.
    pub fn is_certain(&self, alias: &Alias) -> bool {
        self.matching.contains(&alias.kind)
    }

    /// A name that says something: of a kind that is looked at, and no mail provider's or our own domain.
    pub fn admits(&self, alias: &Alias) -> bool {
        self.rank(alias.kind).is_some() && (alias.kind != AliasKind::Domain || self.names_a_company(&alias.value))
    }

    fn names_a_company(&self, domain: &str) -> bool {
        let ours =
            |own: &String| domain.strip_suffix(own.as_str()).is_some_and(|left| left.is_empty() || left.ends_with('.'));
        let provider = is_mail_provider(domain) || self.free_mail.contains(domain);
        (!provider || self.companies.contains(domain)) && !self.own_domains.iter().any(ours)
    }

    fn rank(&self, kind: AliasKind) -> Option<usize> {
        self.matching.iter().chain(&self.doubtful).position(|known| *known == kind)
    }

    /// The names that say something, best first; of one kind in the order in which they came.
    pub fn order(&self, names: &[Alias]) -> Vec<Alias> {
        let mut names: Vec<Alias> = names.iter().filter(|alias| self.admits(alias)).cloned().collect();
        names.sort_by_key(|alias| self.rank(alias.kind));
        names
    }
}

/// A band of annual recurring revenue, which begins at `from_arr` (in whatever currency the customers' ARR is in).
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    pub name: String,
    pub from_arr: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EnrichConfig {
    pub enabled: bool,
    /// A suggestion below this confidence fills no tag.
    pub threshold: f64,
}

/// How long what was counted is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageConfig {
    pub days: u32,
    /// How long the ids of events are kept, by which one that is sent again is known.
    pub dedupe_days: u32,
}

impl Config {
    /// How a task is done.
    ///
    /// # Panics
    /// Never: every task has its section in the example, which is the defaults.
    pub fn task(&self, task: Task) -> &TaskConfig {
        self.tasks.get(&task).expect("every task has its defaults")
    }
}

/// Which entities go where.
#[derive(Debug)]
pub struct Route {
    pub entity: EntityKind,
    pub connection: String,
    pub collection: String,
    pub when: Option<Expression>,
    pub at: Place,
}

impl Route {
    /// Does this entity go there? `view` is what mappings see of it; its kind must be the route's.
    ///
    /// # Errors
    /// When `when` meets a type that it cannot use.
    pub fn takes(&self, view: &Value) -> Result<bool, MapError> {
        self.when.as_ref().map_or(Ok(true), |when| when.test(view))
    }
}
