//! What a form asks: the titles of its questions and their scales. A response holds only their ids.
//!
//! Facts (Typeform's API client 2.8.0, types; read 2026-11-23): questions nest in `properties.fields` of groups, matrices,
//! contact and address blocks. A reference stays when a form is edited. NPS is a type of its own, or an opinion scale with
//! eleven steps from 0.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::Clock;
use crate::json::{array, text};

/// As deep as forms nest, and a little more.
const DEEPEST: usize = 8;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Definition {
    pub(crate) title: String,
    pub(crate) fields: Vec<Field>,
    /// Where the responses are kept, as the form itself says.
    pub(crate) responses: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) id: String,
    pub(crate) reference: Option<String>,
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) steps: Option<i64>,
    pub(crate) starts_at_one: bool,
    /// A part of a contact or address block: it says who somebody is, not what they think.
    pub(crate) personal: bool,
    /// Which part of the block: `first_name`, `email`.
    pub(crate) part: Option<String>,
}

impl Definition {
    /// Of a form, or of the definition that comes with a webhook.
    pub(crate) fn read(form: &Value) -> Self {
        let mut fields = Vec::new();
        walk(form, false, DEEPEST, &mut fields);
        let responses = form["_links"]["responses"].as_str().map(str::to_owned);
        Self { title: text(form, "title").unwrap_or_default(), fields, responses }
    }

    /// By reference, or else by id.
    pub(crate) fn field(&self, of: &Value) -> Option<&Field> {
        let reference = text(of, "ref");
        let by_reference =
            || self.fields.iter().find(|field| field.reference.is_some() && field.reference == reference);
        by_reference().or_else(|| {
            let id = text(of, "id")?;
            self.fields.iter().find(|field| field.id == id)
        })
    }

    /// Whether every answer's question is known.
    pub(crate) fn covers(&self, item: &Value) -> bool {
        array(item, "answers").iter().all(|answer| self.field(&answer["field"]).is_some())
    }
}

fn walk(holder: &Value, personal: bool, depth: usize, into: &mut Vec<Field>) {
    for field in array(holder, "fields") {
        let kind = text(field, "type").unwrap_or_default();
        let inner = &field["properties"];
        let block = matches!(kind.as_str(), "contact_info" | "address");
        if depth > 0 && inner.is_object() {
            walk(inner, personal || block, depth - 1, into);
        }
        into.push(Field {
            id: text(field, "id").unwrap_or_default(),
            reference: text(field, "ref"),
            title: text(field, "title").unwrap_or_default(),
            steps: inner["steps"].as_i64(),
            starts_at_one: inner["start_at_one"].as_bool().unwrap_or(kind == "rating"),
            personal: personal || block || matches!(kind.as_str(), "email" | "phone_number"),
            part: text(field, "subfield_key").or_else(|| text(inner, "subfield_key")),
            kind,
        });
    }
}

/// Definitions by form, with the moment at which each was read.
#[derive(Default)]
pub(crate) struct Definitions(Mutex<BTreeMap<String, (Duration, Arc<Definition>)>>);

impl Definitions {
    /// The last one read, however old, and its age.
    pub(crate) fn get(&self, clock: &dyn Clock, form: &str) -> Option<(Duration, Arc<Definition>)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(form).map(|(at, definition)| (clock.monotonic().saturating_sub(*at), definition.clone()))
    }

    pub(crate) fn put(&self, clock: &dyn Clock, form: &str, definition: Arc<Definition>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(form.to_owned(), (clock.monotonic(), definition));
    }
}
