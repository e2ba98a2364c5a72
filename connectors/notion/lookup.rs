//! Which data source a collection is: by the id that is known or configured, else by its title under the configured page.
//!
//! Notion's search knows titles as well, and is behind and not exhaustive; the page's own content is neither.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use super::binding::{Table, same};
use super::client::{Client, Verb};
use super::types::{DataSource, array, is_trashed, text, uuid};
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

    /// The databases that stand on a page: (id, title).
    async fn databases_on(&self, page: &str) -> Result<Vec<(String, String)>, Fault> {
        let mut databases = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let from = cursor.as_ref().map(|cursor| format!("&start_cursor={}", crate::http::encode(cursor)));
            let path = format!("/v1/blocks/{page}/children?page_size=100{}", from.unwrap_or_default());
            let answer = self.look(&path).await?.ok_or_else(|| Fault::locked(not_shared(page)))?;
            for block in array(&answer, "results").iter().filter(|block| !is_trashed(block)) {
                let title = block.get("child_database").and_then(|database| text(database, "title"));
                databases.extend(text(block, "id").as_deref().and_then(uuid).zip(title));
            }
            cursor = text(&answer, "next_cursor").filter(|next| !next.is_empty() && Some(next) != cursor.as_ref());
            if cursor.is_none() {
                break;
            }
        }
        Ok(databases)
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
        let databases = self.databases_on(page).await?;
        let exact = databases.iter().filter(|(_, title)| title == name);
        let alike = databases.iter().filter(|(_, title)| title != name && same(title, name));
        for (id, _) in exact.chain(alike) {
            if let Some(source) = self.source_of_database(id, name).await? {
                return Ok(Some(source));
            }
        }
        Ok(None)
    }
}
