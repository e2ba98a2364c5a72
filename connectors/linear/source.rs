//! Reading: the issues that were updated, in windows of time.
//!
//! Linear lists by `updatedAt`, newest first, and a page cursor in a list that moves skips rows. So each pull fixes a
//! window that ends now, follows the cursor inside it only, and the next window begins where this one ended, less an
//! overlap. An issue that is touched while its window is read moves into the next.
//!
//! "Where it ended" is the newest `updatedAt` that was seen, not our clock: if ours is ahead of theirs by more than the
//! overlap, what they stamp next would lie before a window that begins at our time.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Linear;
use super::operations::{IssueIds, Issues, IssuesWithHistory, issue_ids, issues, issues_with_history};
use super::types::{ATTACHMENT, ISSUE, edits, instant, nodes, record, text};
use crate::spelling::millis;
use crate::{Cursor, Fault, IdPage, Key, Next, Page, Record, Sink, Source, Stream};

pub(super) const ISSUES: &str = "issues";
/// Issues a page: with labels and history some 90 points each, of 10,000.
const PAGE: i64 = 50;
/// Ids a page: the most that Linear allows.
const ID_PAGE: i64 = 250;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    /// All that changed before, by their clock, is known.
    watermark: Option<DateTime<Utc>>,
    /// When, by our clock, it last moved.
    moved: Option<DateTime<Utc>>,
    /// The overlap was read again after that for as long as it lasts: what lies in it is known.
    settled: bool,
    window: Option<Window>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Window {
    from: Option<DateTime<Utc>>,
    to: DateTime<Utc>,
    after: Option<String>,
    /// The newest change on the pages so far.
    #[serde(default)]
    newest: Option<DateTime<Utc>>,
}

#[async_trait]
impl Source for Linear {
    fn streams(&self) -> Vec<Stream> {
        vec![Stream { name: ISSUES.into(), every: "*/30 * * * * *", about: "issues of the team that changed" }]
    }

    async fn pull(&self, stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        if stream != ISSUES {
            return Err(Fault::rejected(format!("Linear has no stream {stream}")));
        }
        let binding = self.bound()?;
        let mut place: Place = after.and_then(|after| Place::deserialize(&after.0).ok()).unwrap_or_default();
        let overlap = TimeDelta::seconds(self.settings.overlap_seconds.into());
        let from = place.watermark.map(|watermark| watermark - overlap).or(self.settings.start);
        let mut window =
            place.window.take().unwrap_or_else(|| Window { from, to: self.clock.now(), after: None, newest: None });
        let data = self.updated(&binding.team_id, &window).await?;
        let (found, next) = nodes(&data, "issues");
        let known = place.watermark.filter(|_| place.settled);
        let read = |node: &Value| {
            if known.is_some_and(|known| instant(node, "updatedAt").is_some_and(|at| at <= known)) {
                return None;
            }
            let record = record(ISSUE, node, &self.settings)?;
            Some(Record { edits: edits(node, &binding.me, window.from, &self.settings), ..record })
        };
        let records = found.iter().filter_map(read).collect();
        window.newest = found.iter().filter_map(|node| instant(node, "updatedAt")).max().max(window.newest);
        let cursor = |place: &Place| Cursor(serde_json::to_value(place).unwrap_or_default());
        if next.is_some() && next != window.after {
            window.after = next;
            place.window = Some(window);
            return Ok(Page::of(records, Next::More(cursor(&place))));
        }
        // Nothing new: it stays, and the next window, which ends later, reads the overlap again.
        let newest = window.newest.map(|newest| newest.min(window.to));
        if newest > place.watermark {
            (place.watermark, place.moved, place.settled) = (newest, Some(window.to), false);
        } else {
            place.settled = place.moved.is_some_and(|moved| window.to - moved > overlap);
        }
        Ok(Page::of(records, Next::CaughtUp(cursor(&place))))
    }

    async fn fetch(&self, key: &Key) -> Result<Option<Record>, Fault> {
        Ok(self.read(&key.collection, std::slice::from_ref(&key.id)).await?.into_iter().next())
    }

    async fn ids(&self, collection: &str, after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        match collection {
            ISSUE => self.issue_ids(after).await.map(Some),
            // Those of the whole workspace: too many for what they tell.
            ATTACHMENT => Ok(None),
            _ if self.binding().customers == Some(false) => Ok(None),
            other => {
                let (nodes, next) = self.page(other, after).await?;
                Ok(Some(IdPage { ids: nodes.iter().filter_map(|node| text(node, "id")).collect(), next }))
            }
        }
    }
}

impl Linear {
    /// A page of the window, with history where the server keeps one.
    async fn updated(&self, team: &str, window: &Window) -> Result<Value, Fault> {
        let (gte, lt) = (window.from.map(millis), Some(millis(window.to)));
        if self.has_history() {
            let filter = issues_with_history::IssueFilter {
                id: None,
                team: Some(issues_with_history::TeamFilter {
                    id: Some(issues_with_history::IDComparator { eq: Some(team.to_owned()), in_: None }),
                    key: None,
                }),
                updated_at: Some(issues_with_history::DateComparator { gte: gte.clone(), lt: lt.clone() }),
            };
            let variables = issues_with_history::Variables { filter, first: PAGE, after: window.after.clone() };
            match self.client.query::<IssuesWithHistory>(variables).await {
                Err(failure) if failure.spares_history() => self.forgo_history(&failure.message),
                answer => return Ok(answer?),
            }
        }
        let filter = issues::IssueFilter {
            id: None,
            team: Some(issues::TeamFilter {
                id: Some(issues::IDComparator { eq: Some(team.to_owned()), in_: None }),
                key: None,
            }),
            updated_at: Some(issues::DateComparator { gte, lt }),
        };
        Ok(self.client.query::<Issues>(issues::Variables { filter, first: PAGE, after: window.after.clone() }).await?)
    }

    async fn issue_ids(&self, after: Option<&Cursor>) -> Result<IdPage, Fault> {
        let binding = self.bound()?;
        let team = issue_ids::TeamFilter {
            id: Some(issue_ids::IDComparator { eq: Some(binding.team_id.clone()), in_: None }),
            key: None,
        };
        let filter = issue_ids::IssueFilter { id: None, team: Some(team), updated_at: None };
        let after = after.and_then(|after| after.0.as_str()).map(String::from);
        let data = self.client.query::<IssueIds>(issue_ids::Variables { filter, first: ID_PAGE, after }).await?;
        let (found, next) = nodes(&data, "issues");
        let alive = |node: &&Value| !node.get("trashed").and_then(Value::as_bool).unwrap_or(false);
        let ids = found.iter().filter(alive).filter_map(|node| text(node, "id")).collect();
        Ok(IdPage { ids, next: next.map(|next| Cursor(Value::String(next))) })
    }
}
