//! `/forms`: the list, one, and making, changing and deleting them.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::Typeform;
use super::errors::{Answer, done, invalid, no_form, ok};
use super::model::Form;
use crate::wire;
use crate::world::Context;

pub(super) const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const MOST_PER_PAGE: usize = 200;

impl Typeform {
    pub(super) fn list_forms(&self, query: &[(String, String)], cx: &Context<'_>) -> Answer {
        let asked = |name: &str| {
            query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        let number = |name: &str, otherwise: usize, most: usize| match asked(name) {
            None => Ok(otherwise),
            Some(text) => text
                .parse()
                .ok()
                .filter(|number| (1..=most).contains(number))
                .ok_or_else(|| invalid(name, "query", &format!("{name} must be between 1 and {most}"))),
        };
        let (page, size) = (number("page", 1, 1_000_000)?, number("page_size", 10, MOST_PER_PAGE)?);
        let search = asked("search").map(str::to_lowercase);
        let mut forms: Vec<&Form> = self
            .forms
            .values()
            .filter(|form| search.as_ref().is_none_or(|text| form.title.to_lowercase().contains(text)))
            .filter(|form| asked("workspace_id").is_none_or(|workspace| form.workspace == workspace))
            .collect();
        let by_creation = asked("sort_by") == Some("created_at");
        forms.sort_by_key(|form| (if by_creation { form.created_at } else { form.updated_at }, form.id.clone()));
        if asked("order_by") != Some("asc") {
            forms.reverse();
        }
        let total = forms.len();
        let home = self.responses_home(cx);
        let items: Vec<Value> =
            forms.into_iter().skip((page - 1) * size).take(size).map(|form| form.row(cx.base, home)).collect();
        ok(&json!({"total_items": total, "page_count": total.div_ceil(size), "items": items}))
    }

    pub(super) fn get_form(&self, id: &str, cx: &Context<'_>) -> Answer {
        ok(&self.forms.get(id).ok_or_else(|| no_form(id))?.show(cx.base, self.responses_home(cx)))
    }

    pub(super) fn create_form(&mut self, body: &Map<String, Value>, cx: &mut Context<'_>) -> Answer {
        let id = cx.rng.text(ALPHABET, 6);
        let form = self.read_form(id.clone(), body, cx)?;
        let shown = form.show(cx.base, self.responses_home(cx));
        self.forms.insert(id, form);
        Ok(wire::json(StatusCode::CREATED, &shown))
    }

    /// Replaces what it asks; what was answered stays.
    pub(super) fn put_form(&mut self, id: &str, body: &Map<String, Value>, cx: &mut Context<'_>) -> Answer {
        let old = self.forms.get(id).cloned().ok_or_else(|| no_form(id))?;
        let new = self.read_form(id.to_owned(), body, cx)?;
        let form = Form { created_at: old.created_at, responses: old.responses, hooks: old.hooks, ..new };
        let shown = form.show(cx.base, self.responses_home(cx));
        self.forms.insert(id.to_owned(), form);
        ok(&shown)
    }

    /// Operations on a handful of paths, of which the title is the one that matters here.
    pub(super) fn patch_form(&mut self, id: &str, operations: &Value, cx: &Context<'_>) -> Answer {
        let form = self.forms.get_mut(id).ok_or_else(|| no_form(id))?;
        let operations =
            operations.as_array().ok_or_else(|| invalid("", "body", "an array of operations is expected"))?;
        for operation in operations {
            let (path, value) = (operation["path"].as_str().unwrap_or_default(), &operation["value"]);
            match (operation["op"].as_str(), path) {
                (Some("replace" | "add"), "/title") => {
                    value
                        .as_str()
                        .ok_or_else(|| invalid("title", "body", "title must be a string"))?
                        .clone_into(&mut form.title);
                }
                (Some("replace" | "add" | "remove"), "/theme" | "/workspace" | "/cui_settings") => {}
                (Some("replace" | "add" | "remove"), path) if path.starts_with("/settings/") => {}
                _ => return Err(invalid("path", "body", &format!("{path} cannot be changed so"))),
            }
        }
        form.updated_at = cx.now;
        done()
    }

    pub(super) fn delete_form(&mut self, id: &str) -> Answer {
        self.forms.remove(id).map(|_| ()).ok_or_else(|| no_form(id))?;
        done()
    }

    pub(super) fn read_form(
        &self,
        id: String,
        body: &Map<String, Value>,
        cx: &mut Context<'_>,
    ) -> Result<Form, Response<Bytes>> {
        let title = body.get("title").and_then(Value::as_str).filter(|title| !title.is_empty());
        let title = title.ok_or_else(|| invalid("title", "body", "title is required"))?.to_owned();
        let mut fields = match body.get("fields") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(fields)) => fields.clone(),
            Some(_) => return Err(invalid("fields", "body", "fields must be an array")),
        };
        name(&mut fields, cx)?;
        let workspace = body
            .get("workspace")
            .and_then(|workspace| workspace["href"].as_str())
            .and_then(|href| href.rsplit('/').next())
            .unwrap_or(&self.workspace)
            .to_owned();
        let hidden = body.get("hidden").and_then(Value::as_array).into_iter().flatten();
        let ours = ["id", "title", "fields", "hidden", "workspace", "created_at", "last_updated_at", "_links", "self"];
        Ok(Form {
            id,
            title,
            workspace,
            hidden: hidden.filter_map(Value::as_str).map(str::to_owned).collect(),
            fields,
            rest: body
                .iter()
                .filter(|(key, _)| !ours.contains(&key.as_str()))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
            created_at: cx.now,
            updated_at: cx.now,
            responses: Vec::new(),
            hooks: Vec::new(),
        })
    }
}

/// Gives every question its id, and a reference where it has none.
fn name(fields: &mut [Value], cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
    for field in fields {
        let Value::Object(object) = field else { return Err(invalid("fields", "body", "a field must be an object")) };
        for needed in ["type", "title"] {
            if object.get(needed).and_then(Value::as_str).is_none() {
                return Err(invalid(needed, "body", &format!("{needed} is required")));
            }
        }
        if object.get("id").and_then(Value::as_str).is_none() {
            object.insert("id".into(), cx.rng.text(ALPHABET, 12).into());
        }
        if object.get("ref").and_then(Value::as_str).is_none() {
            object.insert("ref".into(), cx.rng.uuid().into());
        }
        let properties = object.entry("properties").or_insert_with(|| json!({}));
        if let Some(Value::Array(inner)) = properties.get_mut("fields") {
            name(inner, cx)?;
        }
    }
    Ok(())
}
