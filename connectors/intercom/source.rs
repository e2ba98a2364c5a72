//! Reading conversations: a search says which changed, then each is retrieved whole, a handful at a time.
//!
//! The law of the position: it remembers every conversation that a search named until it was retrieved, so a quota that
//! stops midway, a crash or a 500 loses none. The watermark moves to the newest `updated_at` seen, only after the last
//! page of a search; each search overlaps the one before, because Intercom's index lags. What was retrieved and has not
//! changed since is not retrieved again. Search order is undocumented, so nothing relies on it
//! (Intercom OpenAPI 2.16, read 2026-11-23).

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Told;
use super::retrieve::Retrieved;
use super::types::{COMPANY, CONTACT, CONVERSATION, first_contact, gone, id, is_id, parts_complete, record, seconds};
use super::{COMPANIES, CONVERSATIONS, Intercom};
use crate::fault::Fault;
use crate::http::Call;
use crate::{Cursor, IdPage, Key, Next, Page, Record, Source, Stream};

/// The most for any API (Intercom docs, "Pagination", read 2026-11-23).
const PER_PAGE: u64 = 150;
/// A conversation that fails so often is set aside until the stream's next turn, so that it holds up nobody.
const TRIES: u8 = 3;
/// The most retrieved conversations to remember; beyond it some are retrieved twice.
const MOST_DONE: usize = 5000;

/// Where the stream of conversations stands. Times in unix seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    watermark: Option<i64>,
    /// The upper bound of the search under way.
    until: Option<i64>,
    /// The next page of it.
    after: Option<String>,
    /// All its pages have come.
    searched: bool,
    /// How often it had to begin anew.
    restarts: u8,
    seen_max: Option<i64>,
    pending: Vec<Pending>,
    /// Retrieved already, as of this `updated_at`.
    done: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Pending {
    id: String,
    updated_at: Option<i64>,
    contact: Option<String>,
    tries: u8,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Listing {
    after: Option<String>,
}

pub(super) fn position<T: Default + for<'de> Deserialize<'de>>(after: Option<&Cursor>) -> Result<T, Fault> {
    let Some(Cursor(value)) = after else { return Ok(T::default()) };
    T::deserialize(value)
        .map_err(|error| Fault::locked(format!("the stored position of an Intercom stream cannot be read: {error}")))
}

pub(super) fn cursor(position: &impl Serialize) -> Cursor {
    Cursor(serde_json::to_value(position).unwrap_or_default())
}

#[async_trait]
impl Source for Intercom {
    fn streams(&self) -> Vec<Stream> {
        let stream = |name: &str, every, about| Stream { name: name.into(), every, about };
        vec![
            stream(CONVERSATIONS, "0 * * * * *", "conversations that changed, each with its parts and its contact"),
            stream(COMPANIES, "0 7 * * * *", "all companies"),
        ]
    }

    async fn pull(&self, stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        match stream {
            CONVERSATIONS => self.pull_conversations(position(after)?).await,
            COMPANIES => self.pull_companies(after).await,
            _ => Err(Fault::rejected(format!("Intercom has no stream {stream}"))),
        }
    }

    async fn fetch(&self, key: &Key) -> Result<Option<Record>, Fault> {
        if !is_id(&key.id) {
            return Ok(None);
        }
        match key.collection.as_str() {
            CONVERSATION => Ok(Some(self.conversation(&key.id, None, false).await?.record)),
            COMPANY => self.fetch_company(&key.id).await.map(Some),
            CONTACT => Ok(Some(match self.contact_anew(&key.id).await? {
                Some(contact) if id(&contact["id"]).is_none_or(|id| id == key.id) => record(CONTACT, &key.id, contact),
                // Merged into another, or deleted.
                _ => gone(CONTACT, &key.id),
            })),
            _ => Ok(None),
        }
    }

    async fn ids(&self, collection: &str, after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        match collection {
            CONVERSATION => {
                let at: Listing = position(after)?;
                let all = json!({ "field": "created_at", "operator": ">", "value": 0 });
                let found = self.search(all, at.after.as_deref()).await?;
                let ids = found.items.iter().filter_map(|item| id(&item["id"])).collect();
                Ok(Some(IdPage { ids, next: found.next.map(|after| cursor(&Listing { after: Some(after) })) }))
            }
            COMPANY => self.company_ids(after).await.map(Some),
            _ => Ok(None),
        }
    }
}

/// One page of a search.
struct Found {
    items: Vec<Value>,
    next: Option<String>,
}

impl Intercom {
    async fn pull_conversations(&self, mut at: Position) -> Result<Page, Fault> {
        let mut moved = false;
        if at.until.is_none() || (!at.searched && at.pending.iter().all(|pending| pending.tries >= TRIES)) {
            self.look_for_more(&mut at).await?;
            moved = true;
        }
        let (records, stopped) = self.retrieve(&mut at, &mut moved).await;
        if let (Some(fault), false) = (stopped, moved) {
            return Err(fault);
        }
        if !at.searched || at.pending.iter().any(|pending| pending.tries < TRIES) {
            return Ok(Page::of(records, Next::More(cursor(&at))));
        }
        self.finish(&mut at);
        Ok(Page::of(records, Next::CaughtUp(cursor(&at))))
    }

    /// One page of the search: what it names is pending from here on.
    async fn look_for_more(&self, at: &mut Position) -> Result<(), Fault> {
        let until = at.until.unwrap_or_else(|| self.client.clock().now().timestamp() + 1);
        let query = json!({ "operator": "AND", "value": [
            { "field": "updated_at", "operator": ">", "value": self.floor(at.watermark) },
            { "field": "updated_at", "operator": "<", "value": until },
        ]});
        let found = match self.search(query, at.after.as_deref()).await {
            // The page's cursor has died: search again from the first page.
            Err(Fault::Rejected { .. }) if at.after.is_some() && at.restarts < TRIES => {
                at.restarts += 1;
                at.after = None;
                return Ok(());
            }
            found => found?,
        };
        at.until = Some(until);
        at.searched = found.next.is_none() || found.next == at.after;
        at.after = found.next;
        for item in &found.items {
            let updated_at = seconds(&item["updated_at"]);
            at.seen_max = at.seen_max.max(updated_at);
            let Some(id) = id(&item["id"]) else {
                tracing::warn!("Intercom's search found a conversation without an id; left out");
                continue;
            };
            let known = updated_at.zip(at.done.get(&id)).is_some_and(|(found, done)| found <= *done);
            if known {
                continue;
            }
            at.pending.retain(|pending| pending.id != id);
            let contact = first_contact(item).and_then(|contact| super::types::id(&contact["id"]));
            at.pending.push(Pending { id, updated_at, contact, tries: 0 });
        }
        Ok(())
    }

    /// Retrieves a handful. Hands back what came, and the fault that stopped it.
    async fn retrieve(&self, at: &mut Position, moved: &mut bool) -> (Vec<Record>, Option<Fault>) {
        let at_once = usize::from(self.settings.concurrency);
        let (mut handful, mut rest): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
        for pending in at.pending.drain(..) {
            let take = pending.tries < TRIES && handful.len() < at_once * 5;
            if take { handful.push(pending) } else { rest.push(pending) }
        }
        // Contacts first, each once: then a quota that stops here has wasted no conversation.
        let mut contacts: Vec<&String> = handful.iter().filter_map(|pending| pending.contact.as_ref()).collect();
        contacts.sort_unstable();
        contacts.dedup();
        // Each conversation asks again, and finds its contact remembered or says why not.
        let asked: Vec<_> = contacts.iter().map(|id| self.contact(id).boxed()).collect();
        futures::stream::iter(asked).buffered(at_once).for_each(|_| std::future::ready(())).await;
        for id in contacts {
            // One after another, because several may be of one company.
            if self.customer(id).await.is_err() {
                break;
            }
        }
        let mut asked = Vec::with_capacity(handful.len());
        for pending in &handful {
            let lenient = pending.tries + 1 >= TRIES;
            asked.push(self.conversation(&pending.id, pending.contact.as_deref(), lenient).boxed());
        }
        let answers: Vec<Result<Retrieved, Fault>> = futures::stream::iter(asked).buffered(at_once).collect().await;

        let (mut records, mut stopped, mut waiting, mut failed) = (Vec::new(), None, Vec::new(), Vec::new());
        for (mut pending, answer) in handful.into_iter().zip(answers) {
            match answer {
                Ok(retrieved) => {
                    *moved = true;
                    self.note_done(at, &pending, &retrieved);
                    records.push(retrieved.record);
                }
                Err(Fault::Rejected { why, .. }) => {
                    *moved = true;
                    tracing::warn!(id = %pending.id, %why, "Intercom refuses to show this conversation");
                    records.push(unreadable(&pending));
                }
                Err(fault @ (Fault::Later { after: Some(_), .. } | Fault::Locked { .. })) => {
                    stopped = Some(fault);
                    waiting.push(pending);
                }
                Err(fault) => {
                    *moved = true;
                    pending.tries += 1;
                    if pending.tries >= TRIES {
                        tracing::warn!(id = %pending.id, %fault, "conversation set aside until the next turn");
                    }
                    stopped = Some(fault);
                    failed.push(pending);
                }
            }
        }
        at.pending = waiting.into_iter().chain(rest).chain(failed).collect();
        (records, stopped)
    }

    /// Remembers a conversation as retrieved, if the next search may name it again, and if nothing can have happened since
    /// that its whole-second `updated_at` hides.
    fn note_done(&self, at: &mut Position, pending: &Pending, retrieved: &Retrieved) {
        let Some(body) = &retrieved.record.body else { return };
        let Some(updated_at) = seconds(&body["updated_at"]).max(pending.updated_at) else { return };
        let again = updated_at > self.floor(at.watermark.max(at.seen_max));
        let short_of_parts = body["conversation_parts"]["conversation_parts"].is_array() && !parts_complete(body);
        if again && retrieved.at > updated_at && !short_of_parts {
            at.done.insert(pending.id.clone(), updated_at);
        }
    }

    /// The turn is over: the watermark moves, and what was set aside gets one try in the next turn.
    fn finish(&self, at: &mut Position) {
        let until = at.until.take();
        at.watermark = at.seen_max.take().min(until.or(Some(i64::MAX))).max(at.watermark);
        at.after = None;
        (at.searched, at.restarts) = (false, 0);
        for pending in &mut at.pending {
            pending.tries = TRIES - 1;
        }
        let floor = self.floor(at.watermark);
        at.done.retain(|_, updated_at| *updated_at > floor);
        if at.done.len() > MOST_DONE {
            let mut times: Vec<i64> = at.done.values().copied().collect();
            times.sort_unstable();
            let oldest = times[times.len() - MOST_DONE];
            at.done.retain(|_, updated_at| *updated_at >= oldest);
        }
    }

    /// Searching after this second sees all that may not have been seen. `>` is exclusive, hence the one more.
    fn floor(&self, watermark: Option<i64>) -> i64 {
        let back = watermark.map(|at| at - i64::from(self.settings.overlap_seconds) - 1);
        let start = self.settings.start.map(|start| start.timestamp() - 1);
        back.max(start).unwrap_or(0).max(0)
    }

    async fn search(&self, query: Value, after: Option<&str>) -> Result<Found, Fault> {
        let mut pagination = json!({ "per_page": PER_PAGE });
        if let Some(after) = after {
            pagination["starting_after"] = json!(after);
        }
        let call = Call::post("/conversations/search", json!({ "query": query, "pagination": pagination }));
        let answer = match self.client.read(call).await? {
            Told::Here(answer) => answer.json::<Value>()?,
            Told::Missing(_) => return Err(Fault::locked("base_url: there is no /conversations/search here")),
        };
        let items = answer["conversations"].as_array().or_else(|| answer["data"].as_array());
        let items = items.cloned().ok_or_else(|| Fault::unknown("Intercom answered a search without conversations"))?;
        Ok(Found { items, next: starting_after(&answer["pages"]["next"]) })
    }
}

/// The next page's cursor, which newer lists give as an object and older ones as a link.
fn starting_after(next: &Value) -> Option<String> {
    let plain = &next["starting_after"];
    let link =
        || next.as_str()?.split(['?', '&']).find_map(|part| part.strip_prefix("starting_after=")).map(str::to_owned);
    plain
        .as_str()
        .map(str::to_owned)
        .or_else(|| plain.as_i64().map(|number| number.to_string()))
        .or_else(link)
        .filter(|next| !next.is_empty())
}

/// What there is of a conversation that Intercom names but refuses to show.
fn unreadable(pending: &Pending) -> Record {
    let body =
        json!({ "type": CONVERSATION, "id": pending.id, "updated_at": pending.updated_at, "parts_complete": false });
    record(CONVERSATION, &pending.id, body)
}
