//! Which data source a collection is: by the id that is known or configured, else by its title under the configured page.
//!
//! The page's own content is asked first: Notion's search knows titles as well, and is behind and not exhaustive. It is asked
//! for what does not stand there by itself, but in a column or a toggle.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::binding::{Table, same};
use super::client::{Client, Verb};
use super::types::{DataSource, array, is_trashed, plain, text, uuid};
use super::{Notion, held};
use crate::http::Call;
use crate::{Clock, Fault};

/// How long an answer serves the calls that follow it.
const KEEP: Duration = Duration::from_secs(60);
/// A page with more blocks than so many hundreds is not looked through.
const MOST_PAGES: usize = 50;

/// What was just read, so that work of several calls does not start over whenever the quota says "later". The vendor is
/// the truth: it is forgotten when the work is done.
#[derive(Default)]
pub(super) struct Lookup {
    answers: Mutex<BTreeMap<String, (Duration, Option<Value>)>>,
}

impl Lookup {
    /// The answer, `None` where there is nothing.
    pub(super) async fn get(&self, client: &Client, clock: &dyn Clock, path: &str) -> Result<Option<Value>, Fault> {
        self.once(client, clock, path, Call::get(path)).await
    }

    pub(super) async fn once(
        &self,
        client: &Client,
        clock: &dyn Clock,
        name: &str,
        call: Call,
    ) -> Result<Option<Value>, Fault> {
        let now = clock.monotonic();
        let known = held(&self.answers).get(name).filter(|(at, _)| now.saturating_sub(*at) < KEEP).cloned();
        if let Some((_, answer)) = known {
            return Ok(answer);
        }
        let answer = match client.send(call, Verb::Read).await {
            Ok(answer) => Some(answer),
            Err(failure) if failure.is_absence() || failure.is_unknown_endpoint() => None,
            // Another kind of object has this id.
            Err(failure) if failure.status == 400 && failure.message.contains("is a ") => None,
            Err(failure) => return Err(failure.fault),
        };
        held(&self.answers).insert(name.to_owned(), (clock.monotonic(), answer.clone()));
        Ok(answer)
    }

    pub(super) fn forget(&self) {
        held(&self.answers).clear();
    }
}

pub(super) fn not_shared(page: &str) -> String {
    format!(
        "page {page} is not there, or not shared with the connection: open it in Notion, choose ••• > Connections, and add the connection"
    )
}

impl Notion {
    async fn look(&self, path: &str) -> Result<Option<Value>, Fault> {
        self.lookup.get(&self.client, &*self.clock, path).await
    }

    async fn source_by_id(&self, id: &str) -> Result<Option<DataSource>, Fault> {
        let answer = self.look(&format!("/v1/data_sources/{id}")).await?;
        Ok(answer.as_ref().and_then(DataSource::read).filter(|source| !source.trashed))
    }

    /// The data source of that name in a database, else its first.
    async fn source_of_database(&self, id: &str, name: &str) -> Result<Option<DataSource>, Fault> {
        let Some(database) = self.look(&format!("/v1/databases/{id}")).await?.filter(|there| !is_trashed(there)) else {
            return Ok(None);
        };
        let sources = array(&database, "data_sources");
        let named = sources.iter().find(|source| text(source, "name").is_some_and(|other| same(&other, name)));
        match named.or(sources.first()).and_then(|source| text(source, "id")).as_deref().and_then(uuid) {
            Some(id) => self.source_by_id(&id).await,
            None => Ok(None),
        }
    }

    /// The databases that stand on a page: (id, title). `None`: its content is not to be had.
    async fn databases_on(&self, page: &str) -> Result<Option<Vec<(String, String)>>, Fault> {
        let mut databases = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let from = cursor.as_ref().map(|cursor| format!("&start_cursor={}", crate::http::encode(cursor)));
            let path = format!("/v1/blocks/{page}/children?page_size=100{}", from.unwrap_or_default());
            let Some(answer) = self.look(&path).await? else { return Ok(None) };
            for block in array(&answer, "results").iter().filter(|block| !is_trashed(block)) {
                let title = block.get("child_database").and_then(|database| text(database, "title"));
                databases.extend(text(block, "id").as_deref().and_then(uuid).zip(title));
            }
            cursor = text(&answer, "next_cursor").filter(|next| !next.is_empty() && Some(next) != cursor.as_ref());
            if cursor.is_none() {
                break;
            }
        }
        Ok(Some(databases))
    }

    /// The data source of that title somewhere below the page, as far as Notion's index knows.
    async fn source_by_search(&self, page: &str, name: &str) -> Result<Option<DataSource>, Fault> {
        let filter = json!({ "property": "object", "value": "data_source" });
        let body = json!({ "query": name, "filter": filter, "page_size": 100 });
        let call = Call::post("/v1/search", body);
        let answer = self.lookup.once(&self.client, &*self.clock, &format!("search {name}"), call).await?;
        let found = answer.as_ref().map_or(&[][..], |answer| array(answer, "results"));
        let is_ours = |there: &&Value| {
            let parent = there.get("database_parent").unwrap_or(&Value::Null);
            let below = text(parent, "page_id").as_deref().and_then(uuid).is_some_and(|id| id == page)
                || text(parent, "block_id").is_some();
            below && !is_trashed(there) && same(&plain(array(there, "title")), name)
        };
        match found.iter().find(is_ours).and_then(|there| text(there, "id")).as_deref().and_then(uuid) {
            Some(id) => self.source_by_id(&id).await,
            None => Ok(None),
        }
    }

    /// `None`: there is none, or it is not shared with us.
    pub(super) async fn find_source(&self, name: &str, known: Option<&Table>) -> Result<Option<DataSource>, Fault> {
        if let Some(id) = self.settings.data_sources.get(name) {
            return match self.source_by_id(id).await? {
                Some(source) => Ok(Some(source)),
                // People copy the address of the database.
                None => self.source_of_database(id, name).await,
            };
        }
        if let Some(known) = known.filter(|known| !known.id.is_empty())
            && let Some(source) = self.source_by_id(&known.id).await?
        {
            return Ok(Some(source));
        }
        let Some(page) = &self.settings.page else { return Ok(None) };
        let on_page = self.databases_on(page).await?;
        let databases = on_page.clone().unwrap_or_default();
        let exact = databases.iter().filter(|(_, title)| title == name);
        let alike = databases.iter().filter(|(_, title)| title != name && same(title, name));
        for (id, _) in exact.chain(alike) {
            if let Some(source) = self.source_of_database(id, name).await? {
                return Ok(Some(source));
            }
        }
        if let Some(source) = self.source_by_search(page, name).await? {
            return Ok(Some(source));
        }
        match on_page {
            None if self.look(&format!("/v1/pages/{page}")).await?.is_none() => Err(Fault::locked(not_shared(page))),
            _ => Ok(None),
        }
    }
}
