//! Reading companies: the whole list, page by page. It is sorted by when a company was last seen, so pages may shift
//! while they are read; the next turn reads them all again. Companies without users are not listed, and the list ends at
//! 10,000 (Intercom OpenAPI 2.16, read 2026-11-23).

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Intercom;
use super::client::Told;
use super::source::{cursor, position};
use super::types::{COMPANY, gone, id, record, with_arr};
use crate::fault::Fault;
use crate::http::Call;
use crate::{Cursor, IdPage, Next, Page, Record};

const PER_PAGE: u64 = 50;
const MOST: u64 = 10_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
struct Listing {
    page: u64,
}

impl Default for Listing {
    fn default() -> Self {
        Self { page: 1 }
    }
}

/// An empty list would say that every company is gone.
fn unlisted() -> Fault {
    Fault::rejected("there is no list of companies, neither POST /companies/list nor GET /companies")
}

struct Found {
    companies: Vec<Value>,
    next: Option<Listing>,
}

impl Intercom {
    pub(super) async fn pull_companies(&self, after: Option<&Cursor>) -> Result<Page, Fault> {
        let at: Listing = position(after)?;
        let found = match self.list_companies(&at).await {
            Ok(found) => found,
            // Conversations are worth having without them.
            Err(Fault::Locked { why }) => {
                tracing::warn!(%why, "companies cannot be listed");
                self.note("companies cannot be listed (permission \"Read and list users and companies\"): left out");
                Found { companies: Vec::new(), next: None }
            }
            Err(Fault::Rejected { why, .. }) => {
                tracing::warn!(page = at.page, %why, "the list of companies ends here");
                if at.page == 1 {
                    self.note(
                        "companies cannot be listed (neither POST /companies/list nor GET /companies works): left out",
                    );
                }
                Found { companies: Vec::new(), next: None }
            }
            Err(fault) => return Err(fault),
        };
        let records = found.companies.into_iter().filter_map(|company| self.company(company)).collect();
        let next = match found.next {
            Some(next) => Next::More(cursor(&next)),
            None => Next::CaughtUp(cursor(&Listing::default())),
        };
        Ok(Page::of(records, next))
    }

    pub(super) async fn company_ids(&self, after: Option<&Cursor>) -> Result<IdPage, Fault> {
        let found = self.list_companies(&position(after)?).await?;
        let ids = found.companies.iter().filter_map(|company| id(&company["id"])).collect();
        Ok(IdPage { ids, next: found.next.as_ref().map(cursor) })
    }

    pub(super) async fn fetch_company(&self, company: &str) -> Result<Record, Fault> {
        match self.client.read(Call::get(format!("/companies/{company}"))).await? {
            Told::Here(answer) => {
                let body = with_arr(answer.json()?, self.settings.arr_attribute.as_deref());
                Ok(record(COMPANY, company, body))
            }
            Told::Missing(_) => Ok(gone(COMPANY, company)),
        }
    }

    fn company(&self, company: Value) -> Option<Record> {
        let Some(id) = id(&company["id"]) else {
            tracing::warn!("Intercom listed a company without an id; left out");
            return None;
        };
        Some(record(COMPANY, &id, with_arr(company, self.settings.arr_attribute.as_deref())))
    }

    async fn list_companies(&self, at: &Listing) -> Result<Found, Fault> {
        let page = |call: Call| call.query("page", at.page.to_string()).query("per_page", PER_PAGE.to_string());
        let by_get = self.companies_by_get.load(Ordering::Relaxed);
        let call = if by_get {
            page(Call::get("/companies"))
        } else {
            page(Call::new(http::Method::POST, "/companies/list")).query("order", "asc")
        };
        let answer = match self.client.read(call).await? {
            Told::Here(answer) => answer.json::<Value>()?,
            // The other list may be there. Not in the midst of this one: they are not in one order.
            Told::Missing(_) if !by_get && at.page == 1 => match self.client.read(page(Call::get("/companies"))).await?
            {
                Told::Here(answer) => {
                    self.companies_by_get.store(true, Ordering::Relaxed);
                    answer.json::<Value>()?
                }
                Told::Missing(_) => return Err(unlisted()),
            },
            Told::Missing(_) => {
                self.companies_by_get.store(false, Ordering::Relaxed);
                return Err(unlisted());
            }
        };
        let companies =
            answer["data"].as_array().or_else(|| answer["companies"].as_array()).cloned().unwrap_or_default();
        let pages = &answer["pages"];
        let more = !pages["next"].is_null() || pages["total_pages"].as_u64().is_some_and(|total| at.page < total);
        if more && at.page * PER_PAGE >= MOST {
            self.note("there are more than 10,000 companies: Intercom lists no further, the rest comes with webhooks");
        }
        let next =
            (more && !companies.is_empty() && at.page * PER_PAGE < MOST).then_some(Listing { page: at.page + 1 });
        Ok(Found { companies, next })
    }
}
