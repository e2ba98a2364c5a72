//! A `[connection.NAME]`: what the engine keeps for itself, where its secrets are, and the rest, which is the vendor's.
//!
//! The law: a secret is named in a configuration, never written there; it is read when it is needed and never printed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use connectors::{Kind, Secrets};
use secrecy::SecretString;
use serde_json::Value;

use super::{Config, Place, Problem, Schedule, World};
use crate::mapping::nearest;
use crate::mapping::source::{Item, Section};

/// Keys of a connection that are not the vendor's.
pub(super) const OURS: [&str; 5] = ["kind", "webhook", "poll", "schedule", "timezone"];

/// One account, as configured: settings that were parsed, and secrets that were not read yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    pub name: String,
    pub kind: Kind,
    /// The vendor's own keys, for [`connectors::open`].
    pub settings: Value,
    pub secrets: BTreeMap<String, SecretRef>,
    pub webhook: bool,
    pub poll: bool,
    /// By stream; `*` is every stream that has none of its own. Where there is neither, the stream's default applies.
    pub schedules: BTreeMap<String, Schedule>,
    pub at: Place,
    /// Where each key stands, for problems that a connector finds.
    pub(super) keys: BTreeMap<String, Problem>,
}

impl Connection {
    /// When a stream has its turn; `default` is the stream's own.
    pub fn schedule(&self, stream: &str, default: &Schedule) -> Schedule {
        self.schedules.get(stream).or_else(|| self.schedules.get("*")).unwrap_or(default).clone()
    }

    /// A problem at one of its keys, or at its head.
    pub(super) fn problem(&self, key: Option<&str>, what: impl Into<String>) -> Problem {
        let field = match key {
            Some(key) => format!("connection.{}.{key}", self.name),
            None => format!("connection.{}", self.name),
        };
        let at = key.and_then(|key| self.keys.get(key)).or_else(|| self.keys.get(""));
        let base = at.cloned().unwrap_or_else(|| Problem::of_file(&self.at.file, ""));
        Problem { what: what.into(), field: Some(field), ..base }
    }
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    Env(String),
    File(PathBuf),
    /// In systemd's credentials directory.
    Credential(String),
}

pub(super) fn read(item: &Item<'_, '_>, zone: Tz, folder: &Path) -> Option<Connection> {
    let section = item.section()?;
    let name = item.key.clone();
    if name.is_empty() || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-') {
        let problem = item.doc.problem(
            item.key_span.clone(),
            Some(&item.path),
            "a connection's name has letters, digits, - and _",
        );
        item.doc.note(problem.mend("rename it"));
        return None;
    }
    let kind =
        section.require("kind", "write the vendor's name: kind = \"github\"").and_then(|kind| read_kind(&kind))?;
    let zone = section.get("timezone").and_then(|zone| read_zone(&zone)).unwrap_or(zone);
    let schedules = section.get("schedule").map(|schedule| read_schedules(&schedule, zone)).unwrap_or_default();
    let mut connection = Connection {
        name,
        kind,
        settings: Value::Null,
        secrets: BTreeMap::new(),
        webhook: section.boolean("webhook").unwrap_or(kind.is_received_only()),
        poll: section.boolean("poll").unwrap_or(true),
        schedules,
        at: item.doc.place(&item.key_span, &item.path),
        keys: BTreeMap::new(),
    };
    connection.keys.insert(String::new(), item.doc.problem(item.key_span.clone(), None, ""));
    let mut settings = serde_json::Map::new();
    for entry in section.entries() {
        if kind.secrets().iter().any(|secret| secret.name == entry.key) {
            connection.keys.insert(entry.key.clone(), entry.problem("").without_excerpt());
            if let Some(secret) = read_secret(&entry, folder) {
                connection.secrets.insert(entry.key.clone(), secret);
            }
        } else {
            connection.keys.insert(entry.key.clone(), item.doc.problem(entry.key_span.clone(), None, ""));
            if !OURS.contains(&entry.key.as_str()) {
                settings.insert(entry.key.clone(), entry.json());
            }
        }
    }
    connection.settings = Value::Object(settings);
    Some(connection)
}

fn read_kind(item: &Item<'_, '_>) -> Option<Kind> {
    let name = item.string()?;
    let kind = Kind::parse(&name);
    if kind.is_none() {
        let names = Kind::ALL.map(Kind::name);
        let mend = nearest(&name, names).map_or_else(|| names.join(", "), |near| format!("did you mean \"{near}\"?"));
        item.note(format!("there is no kind `{name}`"), mend);
    }
    kind
}

pub(super) fn read_zone(item: &Item<'_, '_>) -> Option<Tz> {
    let name = item.string()?;
    let zone = name.parse().ok();
    if zone.is_none() {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let mend = nearest(&name, names).map_or_else(
            || "write an IANA name such as \"Europe/Paris\"".to_owned(),
            |near| format!("did you mean \"{near}\"?"),
        );
        item.note(format!("there is no time zone `{name}`"), mend);
    }
    zone
}

pub(super) fn read_schedule(item: &Item<'_, '_>, zone: Tz) -> Option<Schedule> {
    let text = item.string()?;
    match Schedule::parse_in(&text, zone) {
        Ok(schedule) => Some(schedule),
        Err(why) => {
            item.note(why, "for every five minutes write \"*/5 * * * *\"");
            None
        }
    }
}

fn read_schedules(item: &Item<'_, '_>, zone: Tz) -> BTreeMap<String, Schedule> {
    if item.is_string() {
        return read_schedule(item, zone).map(|schedule| ("*".to_owned(), schedule)).into_iter().collect();
    }
    let entries = item.section().map(|section| section.entries().collect::<Vec<_>>()).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| read_schedule(entry, zone).map(|schedule| (entry.key.clone(), schedule)))
        .collect()
}

/// Its problems never show the line: somebody may have written the secret itself.
pub(super) fn read_secret(item: &Item<'_, '_>, folder: &Path) -> Option<SecretRef> {
    const MEND: &str = "write { env = \"VARIABLE\" }, { file = \"/path\" } or { credential = \"NAME\" }";
    let refuse = |what: &str| {
        item.doc.note(item.problem(what).mend(MEND).without_excerpt());
        None
    };
    if !item.is_table() {
        return refuse("a secret is named here, not written; if this one is real, it should be replaced");
    }
    let section: Section<'_, '_> = item.section()?;
    let entries: Vec<Item<'_, '_>> = section.entries().collect();
    let [entry] = entries.as_slice() else { return refuse("a secret is in one place") };
    if !entry.is_string() {
        return refuse("where a secret is is told by a text");
    }
    let value = entry.string()?;
    if value.trim().is_empty() {
        return refuse("the name is empty");
    }
    match entry.key.as_str() {
        "env" => Some(SecretRef::Env(value)),
        "file" => Some(SecretRef::File(folder.join(value))),
        "credential" if value.contains('/') => refuse("a credential's name holds no slash"),
        "credential" => Some(SecretRef::Credential(value)),
        _ => refuse("a secret is in env, file or credential"),
    }
}

impl Config {
    /// Reads a connection's secrets.
    ///
    /// # Errors
    /// The first one that is named but cannot be read, or holds nothing.
    pub fn secrets(&self, connection: &str, world: &dyn World) -> Result<Secrets, Problem> {
        let Some(connection) = self.connections.get(connection) else {
            return Err(Problem::of_file("", format!("there is no connection `{connection}`")));
        };
        let mut secrets = Secrets::new();
        for (name, secret) in &connection.secrets {
            let text = secret.read(world).map_err(|(what, mend)| connection.problem(Some(name), what).mend(mend))?;
            secrets.insert(name.clone(), SecretString::from(text));
        }
        Ok(secrets)
    }
}

impl SecretRef {
    pub(super) fn read(&self, world: &dyn World) -> Result<String, (String, String)> {
        let text = match self {
            Self::Env(name) => world.env(name).ok_or_else(|| {
                (format!("the environment has no {name}"), format!("set {name} where loopd is started"))
            })?,
            Self::File(path) => read_file(path, world)?,
            Self::Credential(name) => {
                let folder = world.credentials().ok_or_else(|| {
                    let what = format!("systemd hands over no credentials, so there is no `{name}`");
                    (what, "start loopd by its unit (a command: systemd/README.md shows how), or name the secret with { env = … } or { file = … }".to_owned())
                })?;
                read_file(&folder.join(name), world)?
            }
        };
        // A file ends in a newline; no secret does.
        let trimmed = text.trim_end_matches(['\n', '\r']);
        if trimmed.trim().is_empty() {
            return Err((format!("{self} holds nothing"), "put the secret there".into()));
        }
        Ok(trimmed.to_owned())
    }
}

fn read_file(path: &Path, world: &dyn World) -> Result<String, (String, String)> {
    world
        .read(path)
        .map_err(|error| (format!("{}: {error}", path.display()), "make the file, readable for loopd's user".into()))
}

impl std::fmt::Display for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the variable {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Credential(name) => write!(f, "the credential {name}"),
        }
    }
}
