//! Pages: by cursor (searches and lists of contacts and conversations) or by number (companies, deleted conversations).
//!
//! A cursor is a place in the order, newest update first. What is updated during a walk jumps ahead of it and is not seen
//! again in that walk: the trap of the vendor sheet, section 4.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::errors::bad;

/// For any API (Intercom docs, read 2026-11-23).
const MOST_PER_PAGE: u64 = 150;

/// A place in a list: when, and whose id.
pub(super) type Place = (i64, String);

pub(super) struct Cursor {
    pub(super) per_page: usize,
    page: usize,
    after: Option<Place>,
}

impl Cursor {
    /// From a search's `pagination`, or from a query string made into such an object.
    pub(super) fn read(pagination: &Value, default: u64) -> Result<Self, Response<Bytes>> {
        let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let per_page = match pagination.get("per_page") {
            None | Some(Value::Null) => default,
            Some(value) => number(value).filter(|n| *n > 0).ok_or_else(|| bad("Per Page is not a valid number"))?,
        };
        if per_page > MOST_PER_PAGE {
            return Err(bad("Per Page is too big"));
        }
        let (page, after) =
            match pagination.get("starting_after").and_then(Value::as_str).filter(|text| !text.is_empty()) {
                None => (1, None),
                Some(text) => {
                    let place = read_place(text).ok_or_else(|| bad("Bad cursor: starting_after is not valid"))?;
                    (place.0, Some(place.1))
                }
            };
        Ok(Self { per_page: usize::try_from(per_page).unwrap_or(1), page, after })
    }

    /// The page out of `all` (in any order), with its `pages` object.
    pub(super) fn cut<T>(&self, mut all: Vec<T>, place: impl Fn(&T) -> Place) -> (Vec<T>, Value) {
        all.sort_by_cached_key(|item| std::cmp::Reverse(place(item)));
        let total_pages = all.len().div_ceil(self.per_page).max(1);
        let from = self.after.as_ref().map_or(0, |after| all.partition_point(|item| place(item) >= *after));
        let rest = all.len() - from;
        let items: Vec<T> = all.into_iter().skip(from).take(self.per_page).collect();
        let mut pages =
            json!({"type": "pages", "page": self.page, "per_page": self.per_page, "total_pages": total_pages});
        if let (Some(last), Value::Object(pages)) = (items.last().filter(|_| rest > self.per_page), &mut pages) {
            let (at, id) = place(last);
            let after = STANDARD_NO_PAD.encode(json!([self.page + 1, at, id]).to_string());
            pages.insert(
                "next".into(),
                json!({"page": self.page + 1, "per_page": self.per_page, "starting_after": after}),
            );
        }
        (items, pages)
    }
}

fn read_place(text: &str) -> Option<(usize, Place)> {
    serde_json::from_slice::<(usize, i64, String)>(&STANDARD_NO_PAD.decode(text).ok()?)
        .ok()
        .map(|(page, at, id)| (page, (at, id)))
}

/// Pages by number, for lists that are asked for with `page` and `per_page`.
pub(super) struct Numbered {
    pub(super) page: usize,
    pub(super) per_page: usize,
}

impl Numbered {
    pub(super) fn read(get: impl Fn(&str) -> Option<String>, default: usize) -> Result<Self, Response<Bytes>> {
        let number = |key: &str, default: usize| match get(key) {
            None => Ok(default),
            Some(text) => text
                .parse::<usize>()
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| bad(&format!("{key} is not a valid number"))),
        };
        let (page, per_page) = (number("page", 1)?, number("per_page", default)?);
        if per_page as u64 > MOST_PER_PAGE {
            return Err(bad("Per Page is too big"));
        }
        Ok(Self { page, per_page })
    }

    pub(super) fn cut<T>(&self, all: Vec<T>, next: impl Fn(usize) -> String) -> (Vec<T>, Value) {
        let total_pages = all.len().div_ceil(self.per_page).max(1);
        let next = if self.page < total_pages { Value::from(next(self.page + 1)) } else { Value::Null };
        let pages = json!({"type": "pages", "next": next, "page": self.page, "per_page": self.per_page, "total_pages": total_pages});
        (all.into_iter().skip((self.page - 1).saturating_mul(self.per_page)).take(self.per_page).collect(), pages)
    }
}
