//! Relations: their pages exist, and both sides of a two-way relation say the same.

use serde_json::{Value, json};

use super::Notion;
use super::model::{Parent, Property};
use super::refusal::{Answer, Refusal};

impl Notion {
    /// The pages are rows of the related data source, and shared.
    pub(super) fn check_relation(&self, property: &Property, ids: &Value) -> Answer<()> {
        let target = property.config["data_source_id"].as_str().unwrap_or_default();
        for id in ids.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let page = self.page(id)?;
            if page.parent != Parent::Source(target.to_owned()) {
                return Err(Refusal::invalid(format!(
                    "body failed validation: page {id} is not in the data source that property {} relates to.",
                    property.name
                )));
            }
        }
        Ok(())
    }

    /// After a relation of `page` was set: the other side follows.
    pub(super) fn mirror(&mut self, page: &str, property: &Property, before: &Value, after: &Value) {
        let Some(synced) = property.config["dual_property"]["synced_property_id"].as_str() else { return };
        let synced = super::model::unescape(synced);
        let ids = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect()
        };
        let (before, after) = (ids(before), ids(after));
        for other in before.iter().filter(|id| !after.contains(id)) {
            self.relate(other, &synced, |list| list.retain(|id| id != page));
        }
        for other in after.iter().filter(|id| !before.contains(id)) {
            self.relate(other, &synced, |list| list.push(json!(page)));
        }
    }

    fn relate(&mut self, page: &str, property: &str, change: impl FnOnce(&mut Vec<Value>)) {
        let Some(page) = self.pages.get_mut(page) else { return };
        let mut list = page.values.get(property).and_then(Value::as_array).cloned().unwrap_or_default();
        change(&mut list);
        if list.is_empty() {
            page.values.remove(property);
        } else {
            page.values.insert(property.to_owned(), Value::Array(list));
        }
    }
}
