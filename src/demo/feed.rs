//! What the demo plays: threads, conversations and what other sources hold, one JSON object a line.
//!
//! The law: a line that cannot be played is named with its file, its line and the mend, before anything starts.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::voices::{self, Account, Usage, Voice, domain};

/// The demo's own feed: invented threads, conversations and companies.
const OWN: &str = include_str!("feed.ndjson");

/// A GitHub thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Thread {
    pub repo: String,
    pub number: u64,
    pub title: String,
    pub body: Option<String>,
    pub open: bool,
    pub created: Option<DateTime<Utc>>,
    pub author: String,
    pub labels: Vec<String>,
}

/// An Intercom conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Talk {
    pub contact: String,
    pub email: String,
    pub company: Option<Company>,
    pub subject: String,
    pub body: String,
    pub created: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Company {
    pub name: String,
    pub company_id: String,
    pub website: Option<String>,
    pub industry: Option<String>,
    pub arr: Option<f64>,
    pub region: Option<String>,
    pub plan: Option<String>,
    pub lifecycle: Option<String>,
    pub github_org: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feed {
    pub threads: Vec<Thread>,
    pub talks: Vec<Talk>,
    /// Of all other sources.
    pub voices: Vec<Voice>,
    /// Lines that say what an earlier line said.
    pub repeated: usize,
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("error: {file}:{line}: {why}\n  = {mend}")]
pub struct FeedError {
    pub file: String,
    pub line: usize,
    pub why: String,
    pub mend: String,
}

#[derive(Deserialize)]
struct Line {
    source: Option<String>,
    repo: Option<String>,
    number: Option<u64>,
    title: Option<String>,
    body: Option<String>,
    summary: Option<String>,
    state: Option<String>,
    created: Option<String>,
    author: Option<String>,
    #[serde(default)]
    labels: Vec<Value>,
    contact: Option<Contact>,
    company: Option<Company>,
}

#[derive(Deserialize)]
struct Contact {
    name: Option<String>,
    email: Option<String>,
}

impl Thread {
    /// What makes it another thing said: the same number with another title is a thread of its own.
    fn mark(&self) -> (String, u64, String) {
        (self.repo.to_lowercase(), self.number, self.title.clone())
    }
}

impl Feed {
    /// The demo's own feed.
    ///
    /// # Errors
    /// Never, unless the demo is broken; a test reads it.
    pub fn own() -> Result<Self, FeedError> {
        let mut feed = Self::default();
        feed.read("(the demo's own feed)", OWN)?;
        Ok(feed)
    }

    /// Adds what a file holds.
    ///
    /// # Errors
    /// The first line that cannot be played.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), FeedError> {
        let mut known: BTreeSet<(String, u64, String)> = self.threads.iter().map(Thread::mark).collect();
        for (at, text) in text.lines().enumerate() {
            if text.trim().is_empty() {
                continue;
            }
            let fail = |(why, mend): (String, &str)| FeedError {
                file: file.to_owned(),
                line: at + 1,
                why,
                mend: mend.to_owned(),
            };
            // What names a source of its own is read as that source's.
            if let Ok(Value::Object(line)) = serde_json::from_str(text)
                && let Some(source) = line.get("source").and_then(Value::as_str).map(str::to_owned)
                && let Some(voice) = voices::read(&source, line)
            {
                self.voices.push(voice.map_err(fail)?);
                continue;
            }
            let line: Line = serde_json::from_str(text).map_err(|error| {
                let mend = "each line is a JSON object with repo, number, title and body or summary, state, created; author and labels may be there";
                // serde's own place is within the line.
                fail((format!("{error}").replace(" at line 1", ","), mend))
            })?;
            if line.source.as_deref() == Some("intercom") {
                self.talks.push(talk(line).map_err(fail)?);
                continue;
            }
            let thread = thread(line).map_err(fail)?;
            if known.insert(thread.mark()) {
                self.threads.push(thread);
            } else {
                self.repeated += 1;
            }
        }
        Ok(())
    }

    /// How many things will have been said, by the vendor or the way by which they come.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::from([("github", self.threads.len()), ("intercom", self.talks.len())]);
        for voice in &self.voices {
            let (source, said): (_, usize) = match voice {
                Voice::Chat(_) => ("slack", 1),
                Voice::Call(_) => ("granola", 1),
                Voice::Answer(_) => ("typeform", 1),
                Voice::Post(_) => ("app", 1),
                Voice::Account(account) => ("salesforce", account.deals.iter().map(|deal| deal.said().count()).sum()),
                // Counted, and not said.
                Voice::Usage(_) => continue,
            };
            *counts.entry(source).or_default() += said;
        }
        counts.retain(|_, count| *count > 0);
        counts
    }

    /// How many things will have been said.
    pub fn len(&self) -> usize {
        self.counts().values().sum()
    }

    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.voices.iter().filter_map(|voice| if let Voice::Account(account) = voice { Some(account) } else { None })
    }

    pub fn usage(&self) -> impl Iterator<Item = &Usage> {
        self.voices.iter().filter_map(|voice| if let Voice::Usage(usage) = voice { Some(usage) } else { None })
    }

    /// The companies that Intercom or Salesforce knows, by their domain: each must become one customer.
    pub fn companies(&self) -> BTreeMap<String, Known> {
        let mut known: BTreeMap<String, Known> = BTreeMap::new();
        for company in self.talks.iter().filter_map(|talk| talk.company.as_ref()) {
            let Some(domain) = company.website.as_deref().and_then(domain) else { continue };
            let entry = known.entry(domain).or_default();
            entry.id = Some(company.company_id.clone());
            entry.github_org.clone_from(&company.github_org);
        }
        for domain in self.accounts().filter_map(|account| domain(&account.website)) {
            known.entry(domain).or_default().has_account = true;
        }
        known
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The repositories, in order of their first thread.
    pub fn repos(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut repos = Vec::new();
        for thread in &self.threads {
            if seen.insert(thread.repo.to_lowercase()) {
                repos.push(thread.repo.clone());
            }
        }
        repos
    }
}

/// What the feed says of a company.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The id by which our own systems know it.
    pub id: Option<String>,
    pub github_org: Option<String>,
    pub has_account: bool,
}

type Wrong = (String, &'static str);

fn missing(what: &str) -> Wrong {
    (
        format!("`{what}` is missing or empty"),
        "a thread needs repo, number and title; a conversation source = \"intercom\", contact.email and body",
    )
}

fn full(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

fn thread(line: Line) -> Result<Thread, Wrong> {
    let repo = full(line.repo).ok_or_else(|| missing("repo"))?;
    let good = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if !repo.split_once('/').is_some_and(|(owner, name)| good(owner) && good(name)) {
        return Err((format!("repo: `{repo}` is no repository"), "write it as owner/name"));
    }
    let open = match line.state.as_deref() {
        None | Some("open") => true,
        Some("closed") => false,
        Some(other) => return Err((format!("state: `{other}` is no state"), "write open or closed")),
    };
    let label = |label: Value| match label {
        Value::String(name) => Ok(name),
        Value::Object(map) if map.get("name").is_some_and(Value::is_string) => {
            Ok(map["name"].as_str().unwrap_or_default().to_owned())
        }
        _ => Err(("labels: this is no label".to_owned(), "write labels as texts: [\"bug\"]")),
    };
    Ok(Thread {
        repo,
        number: line.number.filter(|number| *number > 0).ok_or_else(|| missing("number"))?,
        title: full(line.title).ok_or_else(|| missing("title"))?,
        body: full(line.body).or_else(|| full(line.summary)),
        open,
        created: created(line.created)?,
        author: full(line.author).unwrap_or_else(|| "somebody-example".to_owned()),
        labels: line.labels.into_iter().map(label).collect::<Result<_, _>>()?,
    })
}

fn talk(line: Line) -> Result<Talk, Wrong> {
    let contact = line.contact.ok_or_else(|| missing("contact"))?;
    let email = full(contact.email).filter(|email| email.contains('@')).ok_or_else(|| missing("contact.email"))?;
    if let Some(company) = &line.company
        && (company.name.trim().is_empty() || company.company_id.trim().is_empty())
    {
        return Err((
            "company: its name or its company_id is missing".to_owned(),
            "write {\"name\": …, \"company_id\": …}, or leave company out",
        ));
    }
    Ok(Talk {
        contact: full(contact.name).unwrap_or_else(|| email.split('@').next().unwrap_or_default().to_owned()),
        email,
        company: line.company,
        subject: full(line.title).unwrap_or_default(),
        body: full(line.body).or_else(|| full(line.summary)).ok_or_else(|| missing("body"))?,
        created: created(line.created)?,
    })
}

fn created(text: Option<String>) -> Result<Option<DateTime<Utc>>, Wrong> {
    let Some(text) = full(text) else { return Ok(None) };
    let day = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let moment = day().or_else(|| DateTime::parse_from_rfc3339(&text).ok().map(|at| at.to_utc()));
    moment
        .map(Some)
        .ok_or_else(|| (format!("created: `{text}` is no date"), "write 2026-01-31 or 2026-01-31T08:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_feed_plays_and_names_nobody_who_is_real() {
        let feed = Feed::own().expect("it can be read");
        assert_eq!((feed.threads.len(), feed.talks.len(), feed.repeated), (40, 12, 0));
        let sources: Vec<&str> = feed.counts().into_keys().collect();
        assert_eq!(sources, ["app", "github", "granola", "intercom", "salesforce", "slack", "typeform"]);
        assert!(feed.usage().count() > 0);
        let several = feed.companies().into_values().filter(|known| known.has_account && known.id.is_some()).count();
        assert!(several >= 3, "companies that several vendors know: {several}");
        assert!(
            feed.threads
                .iter()
                .all(|thread| thread.repo.starts_with("example-org/") && thread.author.ends_with("-example"))
        );
        assert!(feed.talks.iter().all(|talk| talk.email.ends_with(".example.com")));
        for address in OWN.split(['"', ' ']).filter(|word| word.contains('@')) {
            assert!(address.ends_with(".example.com"), "{address}");
        }
    }

    #[test]
    fn a_bad_line_is_named_with_its_mend() {
        let good =
            r#"{"repo": "a/b", "number": 1, "title": "t", "summary": "s", "state": "closed", "created": "2026-01-31"}"#;
        for (bad, part) in [
            ("{", "EOF"),
            (r#"{"number": 1, "title": "t"}"#, "`repo` is missing"),
            (r#"{"repo": "a b", "number": 1, "title": "t"}"#, "is no repository"),
            (r#"{"repo": "a/b", "number": "1", "title": "t"}"#, "invalid type"),
            (r#"{"repo": "a/b", "number": 1, "title": "t", "state": "merged"}"#, "is no state"),
            (r#"{"repo": "a/b", "number": 1, "title": "t", "created": "soon"}"#, "is no date"),
            (r#"{"source": "intercom", "body": "x"}"#, "`contact` is missing"),
            (r#"{"source": "slack", "channel": "general", "text": "x"}"#, "missing field `author`"),
            (r#"{"source": "granola", "title": "t", "people": [], "said": [], "summary": "s"}"#, "nobody was there"),
            (r#"{"source": "typeform", "email": "a@b.example", "score": 11}"#, "score: 11 is none"),
            (r#"{"source": "app", "post": 3}"#, "invalid type"),
            (
                r#"{"source": "salesforce", "name": "Lumen", "website": "lumen.example", "deal": []}"#,
                "unknown field `deal`",
            ),
            (r#"{"source": "segment", "account": "lumen-1"}"#, "missing field `user`"),
        ] {
            let error = Feed::default().read("feed.ndjson", &format!("{good}\n\n{bad}\n")).expect_err(bad);
            assert_eq!((error.line, error.file.as_str()), (3, "feed.ndjson"));
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn the_same_thread_twice_is_one_thread_and_another_title_is_another() {
        let mut feed = Feed::default();
        let line = r#"{"repo": "a/b", "number": 1, "title": "t"}"#;
        let other = line.replace("\"t\"", "\"another title\"");
        feed.read("f", &format!("{line}\n{line}\n{other}\n")).expect("it can be read");
        assert_eq!((feed.len(), feed.repeated, feed.repos()), (2, 1, vec!["a/b".to_owned()]));
    }
}
