//! Reading responses: page by page from the newest back to where the last walk began, less an overlap.
//!
//! The law of the position: the watermark is the newest time that Typeform itself gave, and moves only when a walk has come
//! to its end; so a crash, a 500 or a quota in its middle loses none. Each walk reaches back over what may have been missing
//! from the last one, and what was read already is not told again: it was read with the questions as they were then. (Typeform developer pages "Retrieve responses" and "Walkthroughs", read 2026-11-23: `since` includes
//! its second; `before` is a token and excludes it; the order is by time of arrival, newest first; there is no next link, and
//! `page_count` shrinks on the way.)

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Typeform;
use super::client::Told;
use super::definition::Definition;
use super::response::{RESPONSE, gone, is_complete, parts, record, settled, token};
use crate::fault::Fault;
use crate::http::Call;
use crate::{Cursor, IdPage, Key, Next, Page, Record, Source, Stream};

/// A definition is read again after this, and earlier where an answer belongs to no question in it.
const FRESH: Duration = Duration::from_secs(3600);
const JUST_READ: Duration = Duration::from_secs(60);
/// How often a walk begins anew because the response that it stood at is gone.
const RESTARTS: u8 = 3;
/// The most responses to remember; beyond it some are told twice.
const MOST_TOLD: usize = 2000;

/// Where the stream of a form's responses stands. Times in unix seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    watermark: Option<i64>,
    /// Where the walk under way ends.
    floor: Option<i64>,
    /// The last response of its last page.
    before: Option<String>,
    seen_max: Option<i64>,
    restarts: u8,
    /// Told already, as of this time: those that the next walk may come by again.
    told: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Listing {
    form: usize,
    before: Option<String>,
}

fn position<T: Default + for<'de> Deserialize<'de>>(after: Option<&Cursor>) -> Result<T, Fault> {
    let Some(Cursor(value)) = after else { return Ok(T::default()) };
    T::deserialize(value)
        .map_err(|error| Fault::locked(format!("the stored position of a Typeform stream cannot be read: {error}")))
}

fn cursor(position: &impl Serialize) -> Cursor {
    Cursor(serde_json::to_value(position).unwrap_or_default())
}

/// What a page asks for.
struct Ask<'a> {
    form: &'a str,
    kind: &'a str,
    since: Option<i64>,
    before: Option<&'a str>,
}

/// One page of responses.
pub(super) struct Found {
    items: Vec<Value>,
    more: bool,
}

impl Found {
    fn last(&self) -> Option<String> {
        self.items.last().and_then(token)
    }
}

#[async_trait]
impl Source for Typeform {
    fn streams(&self) -> Vec<Stream> {
        let stream =
            |kind: &str, form: &String, about| Stream { name: format!("{kind}:{form}"), every: "0 */5 * * * *", about };
        let mut streams: Vec<Stream> =
            self.settings.forms.iter().map(|form| stream("responses", form, "responses that were sent off")).collect();
        if self.settings.partial {
            let begun = |form| stream("partial", form, "responses that were begun and not sent off");
            streams.extend(self.settings.forms.iter().map(begun));
        }
        streams
    }

    async fn pull(&self, stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        let (kind, form) = match stream.split_once(':') {
            Some(("responses", form)) => ("completed", form),
            Some(("partial", form)) => ("partial", form),
            _ => return Err(Fault::rejected(format!("Typeform has no stream {stream}"))),
        };
        self.pull_form(stream, form, kind, position(after)?).await
    }

    async fn fetch(&self, key: &Key) -> Result<Option<Record>, Fault> {
        let Some((form, token)) = parts(&key.id).filter(|_| key.collection == RESPONSE) else { return Ok(None) };
        let definition = match self.definition(form, FRESH).await {
            // The form cannot be seen, which says nothing of the response.
            Err(Fault::Rejected { .. }) => return Ok(None),
            definition => definition?,
        };
        let call = Call::get(format!("/forms/{form}/responses"))
            .query("included_response_ids", token)
            .query("response_type", self.kinds());
        let answer = match self.client.call(call).await? {
            Told::Here(answer) => answer.json::<Value>()?,
            Told::Missing => return Ok(None),
        };
        let items = answer["items"].as_array().ok_or_else(unlisted)?;
        let found = items
            .iter()
            .find(|item| [&item["token"], &item["response_id"]].into_iter().any(|id| id.as_str() == Some(token)));
        match found {
            Some(item) => Ok(record(&self.settings, form, &definition, item.clone())),
            // It came by webhook a moment ago, and the API does not show it yet.
            None if self.young.holds(self.client.clock(), &key.id) => Ok(None),
            None => Ok(Some(gone(form, token))),
        }
    }

    async fn ids(&self, collection: &str, after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        if collection != RESPONSE {
            return Ok(None);
        }
        let at: Listing = position(after)?;
        let Some(form) = self.settings.forms.get(at.form) else {
            return Ok(Some(IdPage { ids: Vec::new(), next: None }));
        };
        let ask = Ask { form, kind: self.kinds(), since: None, before: at.before.as_deref() };
        let Some(found) = self.look(&ask).await? else {
            return Err(Fault::rejected(format!(
                "form {form} is not there: its responses are not believed to be gone"
            )));
        };
        let mut ids: Vec<String> =
            found.items.iter().filter_map(token).map(|token| format!("{form}/{token}")).collect();
        if at.form == 0 && at.before.is_none() {
            ids.extend(self.young.all(self.client.clock()));
        }
        let last = found.last().filter(|last| found.more && at.before.as_ref() != Some(last));
        let next = match last {
            Some(last) => Some(Listing { form: at.form, before: Some(last) }),
            None => (at.form + 1 < self.settings.forms.len()).then_some(Listing { form: at.form + 1, before: None }),
        };
        Ok(Some(IdPage { ids, next: next.as_ref().map(cursor) }))
    }
}

impl Typeform {
    /// The response types of interest. Without a word Typeform gives only the completed.
    fn kinds(&self) -> &'static str {
        if self.settings.partial { "completed,partial" } else { "completed" }
    }

    async fn pull_form(&self, stream: &str, form: &str, kind: &str, mut at: Position) -> Result<Page, Fault> {
        let definition = self.definition(form, FRESH).await?;
        let floor = at.floor.unwrap_or_else(|| self.floor(at.watermark));
        let ask = Ask { form, kind, since: Some(floor).filter(|floor| *floor > 0), before: at.before.as_deref() };
        // A page whose questions were not known when the quota ran out is not asked for again.
        let left = self.pages.take(self.client.clock(), stream).filter(|(before, _)| *before == at.before);
        let found = match left {
            Some((_, found)) => Ok(Some(found)),
            None => self.look(&ask).await,
        };
        let found = match found {
            // The response that the walk stood at is gone: begin at the newest again.
            Ok(None) | Err(Fault::Rejected { .. }) if at.before.is_some() && at.restarts < RESTARTS => {
                at.restarts += 1;
                at.before = None;
                return Ok(Page::of(Vec::new(), Next::More(cursor(&at))));
            }
            found => found?.ok_or_else(|| not_there(form))?,
        };
        let definition = match self.catching_up(form, definition, &found.items).await {
            Ok(definition) => definition,
            Err(fault) => {
                self.pages.put(self.client.clock(), stream, (at.before, found));
                return Err(fault);
            }
        };
        let oldest = found.items.iter().filter_map(settled).map(|at| at.timestamp()).min();
        let newest = found.items.iter().filter_map(settled).map(|at| at.timestamp()).max();
        let last = found.last();
        at.seen_max = at.seen_max.max(newest);
        let mut records = Vec::new();
        for item in found.items {
            let settled = settled(&item).map(|at| at.timestamp());
            let ours = settled.is_none_or(|at| at >= floor) && is_complete(&item) == (kind == "completed");
            let Some(token) = token(&item).filter(|_| ours) else { continue };
            if settled.is_some() && at.told.get(&token).copied() == settled {
                continue;
            }
            at.told.extend(settled.map(|settled| (token, settled)));
            records.extend(record(&self.settings, form, &definition, item));
        }
        self.forget_old(&mut at);
        let past_the_floor = oldest.is_some_and(|oldest| oldest < floor);
        let moved = last.is_some() && last != at.before;
        if found.more && moved && !past_the_floor {
            at.floor = Some(floor);
            at.before = last;
            return Ok(Page::of(records, Next::More(cursor(&at))));
        }
        let done = Position { watermark: at.seen_max.max(at.watermark), told: at.told, ..Position::default() };
        Ok(Page::of(records, Next::CaughtUp(cursor(&done))))
    }

    /// What the next walk does not reach need not be remembered.
    fn forget_old(&self, at: &mut Position) {
        let floor = self.floor(at.seen_max.max(at.watermark));
        at.told.retain(|_, settled| *settled >= floor);
        if at.told.len() > MOST_TOLD {
            let mut times: Vec<i64> = at.told.values().copied().collect();
            times.sort_unstable();
            let oldest = times[times.len() - MOST_TOLD];
            at.told.retain(|_, settled| *settled >= oldest);
        }
    }

    /// The second from which on a walk reads.
    fn floor(&self, watermark: Option<i64>) -> i64 {
        let back = watermark.map(|at| at - i64::from(self.settings.overlap_seconds));
        let start = self.settings.start.map(|start| start.timestamp());
        back.max(start).unwrap_or(0).max(0)
    }

    /// One page; `None`: there is no such form, or no such response to stand at.
    async fn look(&self, ask: &Ask<'_>) -> Result<Option<Found>, Fault> {
        let size = usize::from(self.settings.page_size);
        let mut call = Call::get(format!("/forms/{}/responses", ask.form))
            .query("page_size", size.to_string())
            .query("response_type", ask.kind);
        if let Some(since) = ask.since.and_then(|since| DateTime::from_timestamp(since, 0)) {
            call = call.query("since", since.to_rfc3339_opts(SecondsFormat::Secs, true));
        }
        if let Some(before) = ask.before {
            call = call.query("before", before);
        }
        let answer = match self.client.call(call).await? {
            Told::Here(answer) => answer.json::<Value>()?,
            Told::Missing => return Ok(None),
        };
        let items = answer["items"].as_array().cloned().ok_or_else(unlisted)?;
        // A page may be shorter than was asked for; only an empty one, or one that is all there is, is the last.
        let all = answer["total_items"].as_u64().is_none_or(|total| total <= items.len() as u64);
        let more = !items.is_empty() && (items.len() >= size || !all);
        Ok(Some(Found { items, more }))
    }

    /// What the form asks, not older than `age`.
    pub(super) async fn definition(&self, form: &str, age: Duration) -> Result<Arc<Definition>, Fault> {
        if let Some((_, known)) = self.definitions.get(self.client.clock(), form).filter(|(old, _)| *old <= age) {
            return Ok(known);
        }
        match self.client.call(Call::get(format!("/forms/{form}"))).await? {
            Told::Here(answer) => {
                let definition = Arc::new(Definition::read(&answer.json()?));
                self.definitions.put(self.client.clock(), form, definition.clone());
                Ok(definition)
            }
            Told::Missing => Err(not_there(form)),
        }
    }

    /// Reads the form again if somebody answered what it did not ask a while ago.
    async fn catching_up(&self, form: &str, known: Arc<Definition>, items: &[Value]) -> Result<Arc<Definition>, Fault> {
        if items.iter().all(|item| known.covers(item)) {
            return Ok(known);
        }
        self.definition(form, JUST_READ).await
    }
}

fn unlisted() -> Fault {
    Fault::unknown("Typeform answered without a list of responses")
}

fn not_there(form: &str) -> Fault {
    Fault::rejected(format!("form {form} is not there, or the token may not see it"))
}
