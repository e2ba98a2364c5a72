//! `config.toml` as text to typed settings, lying over the example's.
//!
//! The law: pure. A key that the user's file leaves out is read from `config.example.toml`, by the same code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use connectors::public::Network;

use super::connection::{self, Connection, read_schedule, read_zone};
use super::judge;
use super::{
    AuthConfig, CloseConfig, CustomersConfig, EnrichConfig, HttpConfig, LedgerConfig, LogConfig, LogFormat,
    ModelConfig, ReviewConfig, Route, Rules, SyncConfig, TaskConfig, Term, Tier, TriageConfig, UsageConfig,
};
use crate::mapping::source::{Item, Section};
use crate::mapping::{Template, expression, read_ends, read_entity};
use crate::schema::{Alias, AliasKind, Task};

/// Everything but the mappings.
pub(super) struct Parsed {
    pub(super) timezone: Tz,
    pub(super) ledger: LedgerConfig,
    pub(super) auth: AuthConfig,
    pub(super) http: HttpConfig,
    pub(super) log: LogConfig,
    pub(super) sync: SyncConfig,
    pub(super) close: CloseConfig,
    pub(super) customers: CustomersConfig,
    pub(super) enrich: EnrichConfig,
    pub(super) model: ModelConfig,
    pub(super) tasks: BTreeMap<Task, TaskConfig>,
    pub(super) triage: TriageConfig,
    pub(super) review: ReviewConfig,
    pub(super) usage: UsageConfig,
    pub(super) vocabularies: BTreeMap<String, Vec<Term>>,
    pub(super) connections: BTreeMap<String, Connection>,
    /// Connections that cannot be read, by name: what leads to them is no mistake of its own.
    pub(super) unread: Vec<String>,
    pub(super) routes: Vec<Route>,
    pub(super) builtin_mappings: bool,
    pub(super) mappings_dir: Option<PathBuf>,
}

/// A user's section over the example's.
pub(super) struct Over<'d, 't> {
    pub(super) user: Option<Section<'d, 't>>,
    pub(super) base: Option<Section<'d, 't>>,
}

impl<'d, 't> Over<'d, 't> {
    pub(super) fn get(&self, key: &str) -> Option<Item<'d, 't>> {
        let user = self.user.as_ref().and_then(|section| section.get(key));
        let base = self.base.as_ref().and_then(|section| section.get(key));
        user.or(base)
    }

    /// What `read` makes of the user's value; of the example's where there is none, or it is wrong (which is noted).
    pub(super) fn read<T>(&self, key: &str, read: impl Fn(&Item<'d, 't>) -> Option<T>) -> Option<T> {
        let user = self.user.as_ref().and_then(|section| section.get(key));
        let base = self.base.as_ref().and_then(|section| section.get(key));
        user.as_ref().and_then(&read).or_else(|| base.as_ref().and_then(&read))
    }

    pub(super) fn section(&self, key: &str) -> Over<'d, 't> {
        let inner = |section: &Option<Section<'d, 't>>| section.as_ref().and_then(|section| section.section(key));
        Over { user: inner(&self.user), base: inner(&self.base) }
    }

    pub(super) fn done(&self) {
        if let Some(user) = &self.user {
            user.done();
        }
        if let Some(base) = &self.base {
            base.done();
        }
    }
}

/// `None` only if the example itself lacks a key: a bug that a test would find.
pub(super) fn parse<'d, 't>(user: Section<'d, 't>, base: Section<'d, 't>, folder: &Path) -> Option<Parsed> {
    let root = Over { user: Some(user), base: Some(base) };
    let timezone = root.read("timezone", read_zone)?;
    let ledger = read_ledger(&root.section("ledger"), folder)?;
    let auth = read_auth(&root.section("auth"), folder, &ledger.path)?;
    let http = read_http(&root.section("http"))?;
    let log = read_log(&root.section("log"))?;
    let sync = read_sync(&root.section("sync"), timezone)?;
    let close = read_close(&root.section("close"))?;
    let customers = read_customers(&root.section("customers"), folder)?;
    let enrich = read_enrich(&root.section("enrich"))?;
    let model = judge::read_model(&root.section("model"), folder)?;
    let tasks = judge::read_tasks(&root.section("tasks"))?;
    let triage = judge::read_triage(&root.section("triage"))?;
    let review = judge::read_review(&root.section("review"))?;
    let usage = read_usage(&root.section("usage"))?;
    let vocabularies = read_vocabularies(&root.section("vocabularies"));
    let mappings = root.section("mappings");
    let builtin_mappings = mappings.read("builtin", Item::boolean)?;
    let mappings_dir = mappings.read("dir", Item::string).filter(|dir| !dir.is_empty()).map(|dir| folder.join(dir));
    mappings.done();
    let connections =
        root.section("connection").user.map(|section| section.entries().collect::<Vec<_>>()).unwrap_or_default();
    let read = connections.iter().filter_map(|item| connection::read(item, timezone, folder));
    let read: BTreeMap<_, _> = read.map(|connection| (connection.name.clone(), connection)).collect();
    let unread = connections.iter().map(|item| item.key.clone()).filter(|name| !read.contains_key(name)).collect();
    let routes = root.user.as_ref().map(|user| user.sections("route")).unwrap_or_default();
    let routes = routes.iter().filter_map(read_route).collect();
    root.done();
    Some(Parsed {
        timezone,
        ledger,
        auth,
        http,
        log,
        sync,
        close,
        customers,
        enrich,
        model,
        tasks,
        triage,
        review,
        usage,
        vocabularies,
        connections: read,
        unread,
        routes,
        builtin_mappings,
        mappings_dir,
    })
}

pub(super) fn count(over: &Over<'_, '_>, key: &str, allowed: std::ops::RangeInclusive<u32>) -> Option<u32> {
    let allowed = u64::from(*allowed.start())..=u64::from(*allowed.end());
    over.read(key, |item| item.integer(allowed.clone())).and_then(|value| u32::try_from(value).ok())
}

/// A text that may be empty, for "none".
pub(super) fn optional(over: &Over<'_, '_>, key: &str) -> Option<String> {
    over.read(key, Item::string).filter(|text| !text.trim().is_empty())
}

fn read_ledger(over: &Over<'_, '_>, folder: &Path) -> Option<LedgerConfig> {
    let path = over.read("path", |item| {
        let path = item.string()?;
        if path.trim().is_empty() {
            item.note("the ledger needs a place", "write path = \"/var/lib/loopd/ledger\"");
            return None;
        }
        Some(folder.join(path))
    })?;
    let config = LedgerConfig {
        path,
        raw_days: count(over, "raw_days", 1..=36_500)?,
        audit_days: Some(count(over, "audit_days", 0..=36_500)?).filter(|days| *days > 0),
        cache_bytes: u64::from(count(over, "cache_mb", 1..=1_048_576)?) * 1024 * 1024,
        keep_free_bytes: u64::from(count(over, "keep_free_mb", 64..=1_073_741_824)?) * 1024 * 1024,
    };
    over.done();
    Some(config)
}

/// The grants are beside the ledger where no other folder is named.
fn read_auth(over: &Over<'_, '_>, folder: &Path, ledger: &Path) -> Option<AuthConfig> {
    let dir = over.read("dir", Item::string)?;
    let dir = if dir.trim().is_empty() { ledger.with_file_name("sign-ins") } else { folder.join(dir) };
    let port = u16::try_from(count(over, "port", 0..=65_535)?).ok()?;
    over.done();
    Some(AuthConfig { dir, port })
}

fn read_http(over: &Over<'_, '_>) -> Option<HttpConfig> {
    let listen = over.read("listen", |item| {
        let text = item.string()?;
        let listen = text.parse().ok();
        if listen.is_none() {
            item.note(
                "this is no address to listen at",
                "write an IP address and a port: \"127.0.0.1:8787\", \"[::1]:8787\"",
            );
        }
        listen
    })?;
    let public_url = over.read("public_url", |item| {
        let text = item.string()?;
        let good = text.is_empty()
            || text
                .parse::<http::Uri>()
                .is_ok_and(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")));
        if !good {
            item.note("this is no URL", "write it as vendors reach it: \"https://loopd.example.com\"");
        }
        good.then(|| text.trim_end_matches('/').to_owned())
    });
    let max_body_bytes = over.read("max_body_bytes", |item| item.integer(1024..=268_435_456));
    let trusted_proxies =
        over.read("trusted_proxies", |item| Some(item.list()?.iter().filter_map(read_network).collect()));
    over.done();
    let max_body_bytes = usize::try_from(max_body_bytes?).ok()?;
    Some(HttpConfig {
        listen,
        public_url: public_url.filter(|url| !url.is_empty()),
        max_body_bytes,
        trusted_proxies: trusted_proxies?,
    })
}

fn read_network(item: &Item<'_, '_>) -> Option<Network> {
    let network = Network::parse(&item.string()?);
    if network.is_none() {
        item.note("this is neither an address nor a network", "write \"127.0.0.1\" or \"10.0.0.0/8\"");
    }
    network
}

fn read_log(over: &Over<'_, '_>) -> Option<LogConfig> {
    let format = over.read("format", |item| match item.string()?.as_str() {
        "auto" => Some(LogFormat::Auto),
        "human" => Some(LogFormat::Human),
        "json" => Some(LogFormat::Json),
        other => {
            item.note(format!("there is no format `{other}`"), "write \"auto\", \"human\" or \"json\"");
            None
        }
    })?;
    let filter = over.read("filter", |item| {
        let text = item.string()?;
        match text.parse::<tracing_subscriber::filter::Targets>() {
            Ok(_) => Some(text),
            Err(error) => {
                item.note(format!("this is no filter: {error}"), "write \"info\", or \"info,loopd::sync=debug\"");
                None
            }
        }
    })?;
    over.done();
    Some(LogConfig { format, filter })
}

fn read_sync(over: &Over<'_, '_>, zone: Tz) -> Option<SyncConfig> {
    let config = SyncConfig {
        settle_seconds: count(over, "settle_seconds", 0..=3600)?,
        counts_settle_seconds: count(over, "counts_settle_seconds", 0..=86_400)?,
        stale_read_seconds: count(over, "stale_read_seconds", 0..=86_400)?,
        sweep: over.read("sweep", |item| read_schedule(item, zone))?,
    };
    over.done();
    Some(config)
}

fn read_close(over: &Over<'_, '_>) -> Option<CloseConfig> {
    let template = over.read("template", |item| {
        let text = item.string()?;
        match Template::compile(&text, item.place()) {
            Ok(_) => Some(text),
            Err(broken) => {
                let span = item.inside(&text, broken.at);
                item.doc.note(item.doc.problem(span, Some(&item.path), broken.what).mend(broken.mend));
                None
            }
        }
    })?;
    let config = CloseConfig {
        send_without_approval: over.read("send_without_approval", Item::strings)?,
        template: template.trim().to_owned(),
        note: over.read("note", Item::boolean)?,
    };
    over.done();
    Some(config)
}

fn read_rules(over: &Over<'_, '_>) -> Option<Rules> {
    let kinds = |item: &Item<'_, '_>| {
        let kind = |item: &Item<'_, '_>| {
            let name = item.string()?;
            let kind = AliasKind::parse(&name);
            if kind.is_none() {
                let known: Vec<&str> = AliasKind::ALL.iter().map(|kind| kind.name()).collect();
                item.note(
                    format!("a customer is not recognised by `{name}`"),
                    format!("there are {}", known.join(", ")),
                );
            }
            kind
        };
        Some(item.list()?.iter().filter_map(kind).collect::<Vec<_>>())
    };
    let domains = |item: &Item<'_, '_>| {
        let domain = |item: &Item<'_, '_>| {
            let text = item.string()?;
            let domain = Alias::new(AliasKind::Domain, &text).map(|alias| alias.value);
            if domain.is_none() {
                item.note(format!("`{text}` is no domain that could be somebody's"), "write it as \"example.com\"");
            }
            domain
        };
        Some(item.list()?.iter().filter_map(domain).collect::<BTreeSet<_>>())
    };
    let rules = Rules {
        matching: over.read("match", kinds)?,
        doubtful: over.read("doubtful", kinds)?,
        free_mail: over.read("free_mail", domains)?,
        companies: over.read("companies", domains)?,
        own_domains: over.read("own_domains", domains)?,
    };
    if let Some(twice) = rules.matching.iter().find(|kind| rules.doubtful.contains(kind))
        && let Some(item) = over.get("doubtful").or_else(|| over.get("match"))
    {
        item.note(
            format!("{} is certain and doubtful at once", twice.name()),
            "name it in `customers.match` or in `customers.doubtful`",
        );
    }
    Some(rules)
}

fn read_customers(over: &Over<'_, '_>, folder: &Path) -> Option<CustomersConfig> {
    let mut tiers = over.read("tiers", |item| {
        let read = |item: &Item<'_, '_>| {
            let section = item.section()?;
            let name = section
                .require("name", "write { name = \"Enterprise\", from_arr = 100000 }")
                .and_then(|name| name.string());
            let from = section
                .require("from_arr", "write { name = \"Enterprise\", from_arr = 100000 }")
                .and_then(|from| from.number());
            section.done();
            Some(Tier { name: name?, from_arr: from? })
        };
        Some(item.list()?.iter().filter_map(read).collect::<Vec<_>>())
    })?;
    tiers.sort_by(|a, b| b.from_arr.total_cmp(&a.from_arr));
    if let Some(twice) = tiers.windows(2).find(|pair| pair[0].from_arr.total_cmp(&pair[1].from_arr).is_eq())
        && let Some(item) = over.get("tiers")
    {
        item.note(
            format!("{} and {} begin at the same ARR", twice[0].name, twice[1].name),
            "give each tier its own `from_arr`",
        );
    }
    let config = CustomersConfig {
        create_unknown: over.read("create_unknown", Item::boolean)?,
        tiers,
        csv: optional(over, "csv").map(|path| folder.join(path)),
        rules: read_rules(over)?,
    };
    over.done();
    Some(config)
}

fn read_enrich(over: &Over<'_, '_>) -> Option<EnrichConfig> {
    let threshold = over.read("threshold", |item| {
        let threshold = item.number()?;
        if !(0.0..=1.0).contains(&threshold) {
            item.note("a confidence is from 0 to 1", "write 0.6");
            return None;
        }
        Some(threshold)
    })?;
    let config = EnrichConfig { enabled: over.read("enabled", Item::boolean)?, threshold };
    over.done();
    Some(config)
}

fn read_usage(over: &Over<'_, '_>) -> Option<UsageConfig> {
    let config =
        UsageConfig { days: count(over, "days", 61..=3650)?, dedupe_days: count(over, "dedupe_days", 1..=365)? };
    over.done();
    Some(config)
}

/// Any name may be a vocabulary's; one that the user gives replaces the example's.
fn read_vocabularies(over: &Over<'_, '_>) -> BTreeMap<String, Vec<Term>> {
    let mut vocabularies = BTreeMap::new();
    for section in [&over.base, &over.user].into_iter().flatten() {
        for item in section.entries() {
            let known = over.base.as_ref().is_none_or(|base| base.entries().any(|known| known.key == item.key));
            if !known {
                let names: Vec<String> = over.base.iter().flat_map(Section::entries).map(|known| known.key).collect();
                let mend = crate::mapping::nearest(&item.key, names.iter().map(String::as_str));
                let mend = mend.map_or_else(
                    || format!("there are {}", names.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                let problem = item.doc.problem(item.key_span.clone(), Some(&item.path), "no tag has this name");
                item.doc.note(problem.mend(mend));
                continue;
            }
            let terms = item.list().unwrap_or_default();
            vocabularies.insert(item.key.clone(), terms.iter().filter_map(read_term).collect());
        }
    }
    vocabularies
}

fn read_term(item: &Item<'_, '_>) -> Option<Term> {
    let term = if item.is_string() {
        Term { value: item.string()?, words: Vec::new() }
    } else {
        let section = item.section()?;
        let value = section
            .require("value", "write { value = \"sdk\", words = [\"python client\"] }")
            .and_then(|value| value.string());
        let words = section.get("words").and_then(|words| words.strings()).unwrap_or_default();
        section.done();
        Term { value: value?, words }
    };
    if term.value.trim().is_empty() {
        item.note("an empty word", "leave it out");
        return None;
    }
    Some(term)
}

fn read_route(section: &Section<'_, '_>) -> Option<Route> {
    let entity = section
        .require("entity", "write entity = \"feedback\", \"customer\" or \"theme\"")
        .and_then(|item| read_entity(&item));
    let to = section.require("to", "write to = \"airtable.Feedback\"");
    let ends = to.as_ref().and_then(read_ends);
    let when = section.get("when");
    let compiled = when.as_ref().map(|when| expression(when));
    section.done();
    let (connection, collection) = ends?;
    let at = to?.place();
    // A condition that cannot be read must not let everything through.
    let when = match compiled {
        Some(compiled) => Some(compiled?),
        None => None,
    };
    Some(Route { entity: entity?, connection, collection, when, at })
}
