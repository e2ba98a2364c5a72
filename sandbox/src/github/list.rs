//! Lists: filters, order, pages, and the `Link` header, whose URLs go by repository id.
//!
//! The law: a page number reaches only so far (422 beyond: "use cursor based pagination"); a cursor from `Link` reaches
//! everything. A cursor is a place in the order, not an offset: what is updated during a scan with `sort=updated`,
//! ascending, moves ahead of the cursor and is seen again; descending, it is missed. (Vendor sheet section 4, 2026-11-23.)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::Response;
use serde_json::Value;

use super::errors::{Answer, ok, unprocessable};
use crate::wire;

const PER_PAGE: usize = 30;
pub(super) const MOST_PER_PAGE: usize = 100;

/// A place in the order of a list.
pub(super) type Place = (i64, u64);

/// How a list runs: each item's place, and whether places rise.
pub(super) struct Order<P> {
    pub(super) place: P,
    pub(super) rising: bool,
}

impl<P> Order<P> {
    pub(super) fn rising(place: P) -> Self {
        Self { place, rising: true }
    }

    /// The index behind (`past`) or at a place. By order and not by identity: an item that left the list leaves its place.
    fn position<T>(&self, all: &[T], at: Place, past: bool) -> usize
    where
        P: Fn(&T) -> Place,
    {
        all.partition_point(|item| {
            let here = (self.place)(item);
            let ahead = if self.rising { here < at } else { here > at };
            ahead || (past && here == at)
        })
    }
}

/// One page of a list that was asked for by a query string.
pub(super) struct Listing<'a> {
    query: &'a [(String, String)],
    /// Where the links point, without the query.
    path: String,
    pub(super) per_page: usize,
    page: usize,
    after: Option<Place>,
    before: Option<Place>,
}

impl<'a> Listing<'a> {
    pub(super) fn read(query: &'a [(String, String)], path: String, most: usize) -> Result<Self, Response<Bytes>> {
        let number = |key: &str, default: usize| {
            get(query, key).and_then(|value| value.parse::<usize>().ok()).filter(|n| *n > 0).unwrap_or(default)
        };
        Ok(Self {
            query,
            path,
            per_page: number("per_page", PER_PAGE).min(most),
            page: number("page", 1),
            after: place(query, "after")?,
            before: place(query, "before")?,
        })
    }

    /// Cuts the page out of `all`, which is in order, and answers with its links. `cap`: how many items page numbers
    /// reach; `None` for lists that GitHub does not cap.
    pub(super) fn answer<T>(
        &self,
        all: &[T],
        order: &Order<impl Fn(&T) -> Place>,
        show: impl Fn(&T) -> Value,
        cap: Option<usize>,
    ) -> Answer {
        let place = &order.place;
        let offset = (self.page - 1).saturating_mul(self.per_page);
        let (from, to) = if let Some(after) = self.after {
            let from = order.position(all, after, true);
            (from, from.saturating_add(self.per_page))
        } else if let Some(before) = self.before {
            let to = order.position(all, before, false);
            (to.saturating_sub(self.per_page), to)
        } else {
            if cap.is_some_and(|cap| offset >= cap) {
                return Err(unprocessable(
                    "Pagination with the page parameter is not supported for large datasets, please use cursor based pagination (after/before)",
                ));
            }
            (offset, offset.saturating_add(self.per_page))
        };
        let (from, to) = (from.min(all.len()), to.min(all.len()));
        let items = &all[from..to];
        let mut response = ok(&Value::Array(items.iter().map(show).collect()))?;

        let last_page = all.len().div_ceil(self.per_page).max(1);
        let mut links = Vec::new();
        let capped = cap.is_some();
        if to < all.len() {
            let cursor = items.last().filter(|_| capped).map(|item| ("after", cursor(place(item))));
            links.push(self.link("next", self.page + 1, cursor));
            if !capped || all.len() <= cap.unwrap_or(0) {
                links.push(self.link("last", last_page, None));
            }
        }
        if from > 0 && !items.is_empty() {
            let cursor = items.first().filter(|_| capped).map(|item| ("before", cursor(place(item))));
            links.push(self.link("prev", self.page.saturating_sub(1).max(1), cursor));
            links.push(self.link("first", 1, None));
        }
        if !links.is_empty() {
            wire::set(response.headers_mut(), "link", &links.join(", "));
        }
        Ok(response)
    }

    fn link(&self, rel: &str, page: usize, cursor: Option<(&str, String)>) -> String {
        let mut pairs: Vec<String> = self
            .query
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "page" | "after" | "before"))
            .map(|(key, value)| format!("{}={}", wire::encode(key), wire::encode(value)))
            .collect();
        if let Some((key, cursor)) = cursor {
            pairs.push(format!("{key}={cursor}"));
        }
        pairs.push(format!("page={page}"));
        format!("<{}?{}>; rel=\"{rel}\"", self.path, pairs.join("&"))
    }
}

fn cursor((key, id): Place) -> String {
    URL_SAFE_NO_PAD.encode(format!("cursor:v2:{key}:{id}"))
}

fn place(query: &[(String, String)], key: &str) -> Result<Option<Place>, Response<Bytes>> {
    let Some(text) = get(query, key) else { return Ok(None) };
    let read = || {
        let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (key, id) = decoded.strip_prefix("cursor:v2:")?.split_once(':')?;
        Some((key.parse().ok()?, id.parse().ok()?))
    };
    read().map(Some).ok_or_else(|| unprocessable(&format!("`{key}` does not appear to be a valid cursor.")))
}

pub(super) fn get<'q>(query: &'q [(String, String)], key: &str) -> Option<&'q str> {
    query.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// One of the values that a parameter may have, or its default.
pub(super) fn choice<'q>(
    query: &'q [(String, String)],
    key: &str,
    allowed: &[&'q str],
) -> Result<Option<&'q str>, Response<Bytes>> {
    match get(query, key) {
        None => Ok(None),
        Some(value) if allowed.contains(&value) => Ok(Some(value)),
        Some(value) => Err(super::errors::invalid(
            "Issue",
            key,
            "invalid",
            Some(&format!("`{value}` is not one of {}", allowed.join(", "))),
        )),
    }
}

pub(super) fn since(query: &[(String, String)]) -> Result<Option<DateTime<Utc>>, Response<Bytes>> {
    get(query, "since")
        .map(|text| {
            DateTime::parse_from_rfc3339(text)
                .map(|at| at.to_utc())
                .map_err(|_| unprocessable("`since` must be a timestamp in ISO 8601 format: YYYY-MM-DDTHH:MM:SSZ"))
        })
        .transpose()
}
