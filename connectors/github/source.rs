//! Reading: issues and comments by `since`, single records, and the list of what exists.
//!
//! The law of the position: the watermark moves only after the last page of a pass, to the newest `updated_at` seen
//! (or, after a long pass, to its beginning) and never past the present; each pass reads the last `overlap_seconds` again, because GitHub does not say whether
//! `since` includes its own second. Ascending order by `updated` means that an issue which changes during a pass moves
//! to a later page: it may be seen twice, never missed (OpenAPI and "Using pagination", read 2026-11-23).
//!
//! The law of the ETag: "unchanged" is believed only of a page that any news would change. A page read oldest first may
//! be full without saying so (a server may make pages smaller than asked), and stays as it is when more is appended. So
//! once there is a watermark, a turn looks at the newest first: news comes at the head of that page, however small it is.
//! Where that page is not all there is, a pass begins.

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::GitHub;
use super::client::{Met, hidden, next_link};
use super::types::{COMMENT, ISSUE, Item, changed, comment, issue, split_comment, split_issue};
use super::verdict::{Told, server_time};
use crate::fault::Fault;
use crate::http::{Answer, Call};
use crate::{Cursor, IdPage, Key, Next, Page, Record, Source, Stream};

const PER_PAGE: usize = 100;
/// GitHub's times are whole seconds; one more for a server whose clocks differ a little.
const SETTLED: TimeDelta = TimeDelta::seconds(2);

/// Where a stream stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    /// All that changed before this has been seen.
    watermark: Option<DateTime<Utc>>,
    /// The rest of a pass, below the base URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The newest change seen in this pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_max: Option<DateTime<Utc>>,
    /// What is new fills more than a page: it is read oldest first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pass: bool,
    /// `next` is not its first page.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    later_page: bool,
    /// When this pass began, by GitHub's clock, if it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun: Option<DateTime<Utc>>,
    /// Of a page that any news would change, for whom and for which watermark.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<Etag>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Etag {
    value: String,
    token: String,
    since: Option<String>,
}

/// A listing of what exists: which repository, and the rest of its pages.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Listing {
    repo: usize,
    next: Option<String>,
}

fn position<T: Default + for<'de> Deserialize<'de>>(after: Option<&Cursor>) -> Result<T, Fault> {
    let Some(Cursor(value)) = after else { return Ok(T::default()) };
    T::deserialize(value)
        .map_err(|error| Fault::locked(format!("the stored position of a GitHub stream cannot be read: {error}")))
}

fn cursor(position: &impl Serialize) -> Cursor {
    Cursor(serde_json::to_value(position).unwrap_or_default())
}

/// A short listing under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    begun: bool,
    next: Option<String>,
    items: Vec<Value>,
}

impl Listed {
    fn take(&mut self, answer: &Answer, next: Option<String>) -> Result<(), Fault> {
        self.items.extend(answer.json::<Vec<Value>>()?);
        (self.begun, self.next) = (true, next);
        Ok(())
    }
}

/// The first page of a repository's issues or comments.
fn listing(repo: &str, collection: &str, sort: &str, direction: &str) -> Call {
    let call = match collection {
        COMMENT => Call::get(format!("{repo}/issues/comments")),
        _ => Call::get(format!("{repo}/issues")).query("state", "all"),
    };
    call.query("sort", sort).query("direction", direction).query("per_page", PER_PAGE.to_string())
}

/// The repository is there and this list is not: that stops no other stream.
fn missing(collection: &str, handle: &str) -> Fault {
    Fault::rejected(format!("{handle} is there, but its list of {collection}s is not"))
}

/// Below a repository.
fn place(collection: &str) -> &'static str {
    if collection == COMMENT { "issues/comments" } else { "issues" }
}

fn read_item(collection: &str, handle: &str, item: Value) -> Item {
    if collection == COMMENT { comment(handle, item) } else { issue(handle, item) }
}

#[async_trait]
impl Source for GitHub {
    fn streams(&self) -> Vec<Stream> {
        let of = |collection: &str, handle: &String, every, about| Stream {
            name: format!("{collection}s:{handle}"),
            every,
            about,
        };
        let handles = self.client.repos.handles();
        let issues = handles.iter().map(|handle| of(ISSUE, handle, "0 * * * * *", "issues opened or changed"));
        let comments = handles.iter().map(|handle| of(COMMENT, handle, "30 */2 * * * *", "comments on issues"));
        issues.chain(comments).collect()
    }

    async fn pull(&self, stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        let (collection, handle) = self.stream(stream)?;
        let mut at: Position = position(after)?;
        let Some(next) = at.next.take() else { return self.first_page(collection, &handle, at).await };
        match self.client.read(Call::get(next)).await {
            Ok(Told::Here(answer)) => self.page(collection, &handle, at, &answer),
            Ok(Told::Unchanged) => Err(Fault::unknown("GitHub answered 304 to an unconditional request")),
            // The link has died (an expired cursor, or the page cap). All up to `seen_max` was seen: begin again there.
            Ok(Told::Missing | Told::Moved(_)) | Err(Fault::Rejected { .. }) => {
                let seen = at.seen_max.take();
                if seen <= at.watermark {
                    return Err(Fault::later("GitHub's next page is gone and the one before it brought nothing new"));
                }
                (at.watermark, at.pass) = (seen, true);
                Ok(Page::of(Vec::new(), Next::More(cursor(&at))))
            }
            Err(fault) => Err(fault),
        }
    }

    async fn fetch(&self, key: &Key) -> Result<Option<Record>, Fault> {
        let (id, below, make): (_, _, fn(&str, Value) -> Item) = match key.collection.as_str() {
            ISSUE => (split_issue(&key.id), "issues", issue),
            COMMENT => (split_comment(&key.id), "issues/comments", comment),
            _ => return Ok(None),
        };
        let Some((handle, number)) = id.and_then(|(handle, number)| Some((self.client.repos.handle(handle)?, number)))
        else {
            return Ok(None);
        };
        match self.client.read_in(handle, |repo| Call::get(format!("{repo}/{below}/{number}"))).await? {
            Met::Here(answer) => match make(handle, answer.json()?) {
                // What was asked for is what it is, even if the answer's own number is odd.
                Item::Issue(record) => Ok(Some(Record { key: key.clone(), ..record })),
                Item::PullRequest => Ok(None),
                Item::Nameless => Err(Fault::unknown("GitHub answered with something that has no number")),
            },
            Met::Gone => Ok(Some(Record { key: key.clone(), version: None, body: None, url: None, edits: Vec::new() })),
            Met::Unchanged => Err(Fault::unknown("GitHub answered 304 to an unconditional request")),
        }
    }

    async fn ids(&self, collection: &str, after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        if ![ISSUE, COMMENT].contains(&collection) {
            return Ok(None);
        }
        let at: Listing = position(after)?;
        let Some(handle) = self.client.repos.handles().get(at.repo) else {
            return Ok(Some(IdPage { ids: Vec::new(), next: None }));
        };
        let answer = match &at.next {
            Some(next) => match self.client.read(Call::get(next.clone())).await? {
                Told::Here(answer) => answer,
                Told::Unchanged | Told::Missing | Told::Moved(_) => {
                    return Err(Fault::later("a page of the listing vanished; the next try begins anew"));
                }
            },
            None => match self.client.read_in(handle, |repo| listing(repo, collection, "created", "asc")).await? {
                Met::Here(answer) => answer,
                Met::Unchanged | Met::Gone => return Err(missing(collection, handle)),
            },
        };
        let ids = answer.json::<Vec<Value>>()?.into_iter().filter_map(|item| {
            if let Item::Issue(record) = read_item(collection, handle, item) { Some(record.key.id) } else { None }
        });
        let next = match self.next(&answer, handle, place(collection)) {
            Some(next) => Some(Listing { repo: at.repo, next: Some(next) }),
            None => {
                (at.repo + 1 < self.client.repos.handles().len()).then_some(Listing { repo: at.repo + 1, next: None })
            }
        };
        Ok(Some(IdPage { ids: ids.collect(), next: next.as_ref().map(cursor) }))
    }
}

impl GitHub {
    fn stream(&self, stream: &str) -> Result<(&'static str, String), Fault> {
        let (plural, handle) = stream.split_once(':').unwrap_or((stream, ""));
        let collection = match plural {
            "issues" => Some(ISSUE),
            "comments" => Some(COMMENT),
            _ => None,
        };
        collection
            .zip(self.client.repos.handle(handle))
            .map(|(collection, handle)| (collection, handle.to_owned()))
            .ok_or_else(|| Fault::rejected(format!("GitHub has no stream {stream}")))
    }

    fn since(&self, watermark: Option<DateTime<Utc>>) -> Option<String> {
        let back = watermark.map(|at| at - TimeDelta::seconds(self.settings.overlap_seconds.into()));
        let since = back.max(self.settings.start)?;
        Some(since.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    async fn first_page(&self, collection: &str, handle: &str, mut at: Position) -> Result<Page, Fault> {
        let since = self.since(at.watermark);
        // Nothing was seen yet: there is no news to look for, and all of it is a pass.
        let pass = std::mem::take(&mut at.pass) || at.watermark.is_none();
        let token = self.client.mark().await?;
        let known = at.etag.take().filter(|etag| etag.token == token && etag.since == since);
        let met = self.client.read_in(handle, |repo| {
            let mut call = listing(repo, collection, "updated", if pass { "asc" } else { "desc" });
            if let Some(since) = &since {
                call = call.query("since", since.clone());
            }
            match &known {
                Some(etag) => call.header(http::header::IF_NONE_MATCH, etag.value.clone()),
                None => call,
            }
        });
        let met = match met.await {
            // One of several that is hidden must not stop the others.
            Err(fault) if fault == hidden(handle) && self.client.sees_another(handle) => {
                return Err(Fault::rejected(fault.to_string()));
            }
            met => met?,
        };
        match met {
            Met::Here(answer) => {
                let items: Vec<Value> = answer.json()?;
                if !pass && !self.is_all(&items, &answer, handle, collection, at.watermark) {
                    return Ok(Page::of(Vec::new(), Next::More(cursor(&Position { pass: true, ..at }))));
                }
                let etag =
                    answer.header("etag").map(|value| Etag { value: value.to_owned(), token, since: since.clone() });
                at.begun = server_time(&answer);
                let mut page = self.page(collection, handle, at, &answer)?;
                if !pass {
                    page.records.reverse();
                }
                if let Next::CaughtUp(Cursor(at)) = &mut page.next
                    && (items.is_empty() || (!pass && self.is_settled(&items, &answer)))
                {
                    self.keep_etag(at, etag);
                }
                Ok(page)
            }
            Met::Unchanged => {
                at.etag = known;
                Ok(Page::of(Vec::new(), Next::CaughtUp(cursor(&at))))
            }
            Met::Gone => Err(missing(collection, handle)),
        }
    }

    /// Whether a page that was asked for newest first holds all that is new: no other follows, and it reaches back to what
    /// is known (a proxy may drop the header that names the next).
    fn is_all(
        &self,
        items: &[Value],
        answer: &Answer,
        handle: &str,
        collection: &str,
        watermark: Option<DateTime<Utc>>,
    ) -> bool {
        self.next(answer, handle, place(collection)).is_none()
            && items.len() < PER_PAGE
            && (items.is_empty() || items.iter().filter_map(changed).min() <= watermark)
    }

    /// Whether the newest of a page is older than its answer by so much that what changes from now on is newer, and comes
    /// before it: within one second the order is not told.
    fn is_settled(&self, items: &[Value], answer: &Answer) -> bool {
        let present = server_time(answer).unwrap_or_else(|| self.client.now());
        items.iter().filter_map(changed).max().is_some_and(|newest| present - newest >= SETTLED)
    }

    fn page(&self, collection: &str, handle: &str, mut at: Position, answer: &Answer) -> Result<Page, Fault> {
        let mut records = Vec::new();
        let items: Vec<Value> = answer.json()?;
        let full = items.len() >= PER_PAGE;
        let long = at.later_page || full;
        for item in items {
            at.seen_max = at.seen_max.max(changed(&item));
            match read_item(collection, handle, item) {
                Item::Issue(record) => records.push(record),
                Item::PullRequest => {}
                Item::Nameless => {
                    tracing::warn!(%handle, collection, "GitHub listed something without a number; left out");
                }
            }
        }
        at.next = self.next(answer, handle, place(collection));
        at.later_page = at.next.is_some();
        if at.next.is_some() {
            return Ok(Page::of(records, Next::More(cursor(&at))));
        }
        // A date in the future (somebody's odd data) must not hide what comes after it.
        let present = server_time(answer).unwrap_or_else(|| self.client.now());
        let seen = at.seen_max.take().map(|seen| seen.min(present));
        let progress = seen > at.watermark;
        at.watermark = seen.max(at.watermark);
        // A full page and not a word about others (a proxy dropped the header, or there are exactly so many): all up to
        // the newest was seen, so what is left is asked for from there. Ends when that brings nothing newer.
        if full && progress && answer.header("link").is_none() {
            at.pass = true;
            return Ok(Page::of(records, Next::More(cursor(&at))));
        }
        // A short list is asked for again just as it was, for its ETag. A long one would cost all its pages on every look:
        // all that changed before this pass began was seen in it, so the next may begin there.
        let begun = at.begun.take();
        if long {
            at.watermark = begun.max(at.watermark);
        }
        Ok(Page::of(records, Next::CaughtUp(cursor(&at))))
    }

    /// Keeps an ETag, if the next turn asks for the same.
    fn keep_etag(&self, at: &mut Value, etag: Option<Etag>) {
        let Ok(mut kept) = Position::deserialize(&*at) else { return };
        kept.etag = etag.filter(|etag| self.since(kept.watermark) == etag.since);
        *at = cursor(&kept).0;
    }

    /// The next page of what is at `below`, as a target. A link may hold nothing but the query.
    fn next(&self, answer: &Answer, handle: &str, below: &str) -> Option<String> {
        let link = next_link(answer.header("link")?)?;
        if link.starts_with('?') {
            return Some(format!("/repos/{}/{below}{link}", self.client.repos.path(handle)));
        }
        self.client.home(link)
    }

    /// All pages of a short listing; `None`: what it belongs to is gone.
    pub(crate) async fn all(&self, handle: &str, below: &str) -> Result<Option<Vec<Value>>, Fault> {
        let work = format!("{handle}/{below}");
        let mut listed = self.listing.take(self.client.clock(), &work).unwrap_or_default();
        let done = self.all_after(handle, below, &mut listed).await;
        if done.is_err() {
            self.listing.put(self.client.clock(), &work, listed);
            return done.map(|_| None);
        }
        Ok(done?.then_some(listed.items))
    }

    async fn all_after(&self, handle: &str, below: &str, listed: &mut Listed) -> Result<bool, Fault> {
        if !listed.begun {
            let make = |repo: &str| Call::get(format!("{repo}/{below}")).query("per_page", PER_PAGE.to_string());
            let Met::Here(answer) = self.client.read_in(handle, make).await? else { return Ok(false) };
            listed.take(&answer, self.next(&answer, handle, below))?;
        }
        while let Some(next) = listed.next.clone() {
            match self.client.read(Call::get(next)).await? {
                Told::Here(answer) => listed.take(&answer, self.next(&answer, handle, below))?,
                Told::Unchanged | Told::Missing | Told::Moved(_) => {
                    *listed = Listed::default();
                    return Err(Fault::later("a page of the listing vanished; the next try begins anew"));
                }
            }
        }
        Ok(true)
    }

    pub(crate) fn issue_of(&self, id: &str) -> Option<(String, u64)> {
        let (handle, number) = split_issue(id)?;
        Some((self.client.repos.handle(handle)?.to_owned(), number))
    }
}
