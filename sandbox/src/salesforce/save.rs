//! Saving a row: made, changed, or whichever an external id decides; deleted into the recycle bin.

use serde_json::{Map, Value, json};

use super::Salesforce;
use super::access::Access;
use super::model::{Kind, Row, read_id, stamp};
use super::refusal::{Answer, Refusal, no_such_column, refuse, unsaved};
use super::values::store;
use crate::world::Context;

/// What became of a save.
#[derive(Debug, PartialEq)]
pub(super) struct Saved {
    pub(super) id: String,
    pub(super) created: bool,
}

/// What an external id matches.
pub(super) enum Match {
    None,
    One(String),
    Many(Vec<String>),
}

impl Salesforce {
    pub(super) fn insert(
        &mut self,
        access: &Access,
        object: &str,
        body: &Map<String, Value>,
        cx: &Context<'_>,
    ) -> Answer<Saved> {
        access.must(self.seen(access, object)?, "Create")?;
        let given = self.read_cells(access, object, body)?;
        let object = object.to_lowercase();
        let mut row = Row::default();
        for field in &self.objects[&object].fields {
            if !field.default.is_null() {
                row.cells.insert(field.name.clone(), field.default.clone());
            }
        }
        if self.objects[&object].field("OwnerId").is_some() {
            row.cells.insert("OwnerId".into(), json!(access.user));
        }
        row.cells.insert("CreatedDate".into(), json!(stamp(cx.now)));
        row.cells.insert("CreatedById".into(), json!(access.user));
        self.finish(access, &object, None, row, given, cx)
    }

    pub(super) fn update(
        &mut self,
        access: &Access,
        object: &str,
        id: &str,
        body: &Map<String, Value>,
        cx: &Context<'_>,
    ) -> Answer<Saved> {
        access.must(self.seen(access, object)?, "Edit")?;
        let given = self.read_cells(access, object, body)?;
        let object = object.to_lowercase();
        let id = self.existing(&object, id)?;
        let row = self.objects[&object].rows.get(&id).cloned().unwrap_or_default();
        self.finish(access, &object, Some(id), row, given, cx)
    }

    pub(super) fn delete(&mut self, access: &Access, object: &str, id: &str, cx: &Context<'_>) -> Answer<String> {
        access.must(self.seen(access, object)?, "Delete")?;
        let object = object.to_lowercase();
        let id = self.existing(&object, id)?;
        self.unlock(&object, &id)?;
        let Some(object) = self.objects.get_mut(&object) else { return Err(super::refusal::not_found()) };
        let mut row = object.rows.get(&id).cloned().unwrap_or_default();
        row.deleted = true;
        row.cells.insert("IsDeleted".into(), json!(true));
        touch(&mut row, access, cx);
        object.put(&id, row);
        Ok(id)
    }

    /// The rows that an external id matches. `Id` serves as one, too.
    pub(super) fn matches(&mut self, access: &Access, object: &str, field: &str, value: &Value) -> Answer<Match> {
        let of = self.seen(access, object)?;
        let named =
            of.field(field).filter(|named| access.sees(of, named) && (named.external_id || named.kind == Kind::Id));
        let Some(named) = named else {
            let message = format!("Provided external ID field does not exist or is not accessible: {field}");
            return Err(refuse(404, "NOT_FOUND", message));
        };
        let (name, kind) = (named.name.clone(), named.kind);
        let value = store(named, value)?;
        if value.is_null() {
            return Err(unsaved("MISSING_ARGUMENT", format!("{name} not specified"), &[]));
        }
        if kind == Kind::Id {
            let id = value.as_str().and_then(read_id);
            let there = id.filter(|id| self.objects[&object.to_lowercase()].rows.contains_key(id));
            return Ok(there.map_or(Match::None, Match::One));
        }
        let Some(object) = self.objects.get_mut(&object.to_lowercase()) else { return Ok(Match::None) };
        let mut ids = object.having(&name, &value);
        Ok(match ids.len() {
            0 => Match::None,
            1 => Match::One(ids.remove(0)),
            _ => Match::Many(ids),
        })
    }

    /// A row that is there, by its id of 15 or 18 characters.
    pub(super) fn existing(&self, object: &str, id: &str) -> Answer<String> {
        let malformed = || unsaved("MALFORMED_ID", format!("malformed id {id}"), &["Id"]);
        let id = read_id(id).ok_or_else(malformed)?;
        let rows = self.objects.get(object).map(|object| &object.rows);
        match rows.and_then(|rows| rows.get(&id)) {
            Some(row) if row.deleted => Err(unsaved("ENTITY_IS_DELETED", "entity is deleted", &[]).with_status(404)),
            Some(_) => Ok(id),
            None => {
                let code = "INVALID_CROSS_REFERENCE_KEY";
                Err(unsaved(code, "invalid cross reference id", &[]).with_status(404))
            }
        }
    }

    /// The fields of a body by their own names, as they will be stored.
    pub(super) fn read_cells(
        &self,
        access: &Access,
        object: &str,
        body: &Map<String, Value>,
    ) -> Answer<Map<String, Value>> {
        let of = self.seen(access, object)?;
        let mut cells = Map::new();
        for (name, value) in body.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("attributes")) {
            if name.eq_ignore_ascii_case("id") {
                return Err(refuse(400, "INVALID_FIELD", "The Id field should not be specified in the sobject data."));
            }
            if let (Some(field), Value::Object(key)) = (of.relation(name), value) {
                cells.insert(field.name.clone(), self.foreign(field.points_to.as_deref().unwrap_or_default(), key)?);
                continue;
            }
            let field = of.field(name).filter(|field| access.sees(of, field));
            let field = field.ok_or_else(|| no_such_column(name, &of.name))?;
            cells.insert(field.name.clone(), value.clone());
        }
        for (name, value) in &mut cells {
            let Some(field) = of.field(name) else { continue };
            // What the reader of JSON cannot take is refused before any row is looked at.
            match store(field, value) {
                Ok(stored) => *value = stored,
                Err(refusal) if refusal.code == "JSON_PARSER_ERROR" => return Err(refusal),
                Err(_) => {}
            }
        }
        Ok(cells)
    }

    /// `"Account__r": {"Key__c": "k"}`
    fn foreign(&self, object: &str, key: &Map<String, Value>) -> Answer<Value> {
        let target = self.objects.get(&object.to_lowercase());
        let mut keys = key.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("attributes"));
        let (Some(target), Some((name, value))) = (target, keys.next()) else {
            return Err(super::refusal::unreadable("a relationship needs the external id of its record"));
        };
        let found = target.rows.iter().find(|(_, row)| !row.deleted && row.cells.get(name) == Some(value));
        found.map(|(id, _)| json!(id)).ok_or_else(|| {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let message = format!("Foreign key external ID: {shown} not found for field {name} in entity {object}");
            unsaved("INVALID_FIELD", message, &[])
        })
    }

    fn finish(
        &mut self,
        access: &Access,
        object: &str,
        id: Option<String>,
        mut row: Row,
        given: Map<String, Value>,
        cx: &Context<'_>,
    ) -> Answer<Saved> {
        let of = &self.objects[object];
        let closed: Vec<&str> = given
            .keys()
            .filter(|name| of.field(name).is_some_and(|field| !access.edits(of, field)))
            .map(String::as_str)
            .collect();
        if !closed.is_empty() {
            let message = format!(
                "Unable to create/update fields: {}. Please check the security settings of this field and verify that it is read/write for your profile or permission set.",
                closed.join(", ")
            );
            return Err(unsaved("INVALID_FIELD_FOR_INSERT_UPDATE", message, &closed));
        }
        for (name, value) in given {
            let Some(field) = of.field(&name) else { continue };
            let mut stored = store(field, &value)?;
            if let (Some(to), Some(text)) = (&field.points_to, stored.as_str()) {
                stored = json!(self.pointed(to, &field.label, &name, text)?);
            }
            if stored.is_null() { drop(row.cells.remove(&name)) } else { drop(row.cells.insert(name, stored)) }
        }
        let missing: Vec<&str> = of
            .fields
            .iter()
            .filter(|field| field.required && !row.cells.contains_key(&field.name))
            .map(|field| field.name.as_str())
            .collect();
        if !missing.is_empty() {
            let message = format!("Required fields are missing: [{}]", missing.join(", "));
            return Err(unsaved("REQUIRED_FIELD_MISSING", message, &missing));
        }
        self.check_uniques(object, id.as_deref(), &row)?;
        self.check_permissions(object, id.as_deref(), &row)?;
        let parents: Vec<String> = self.objects[object]
            .fields
            .iter()
            .filter(|field| field.kind == Kind::Reference && !field.system)
            .filter_map(|field| row.text(&field.name).map(str::to_owned))
            .collect();
        for locked in id.iter().chain(&parents) {
            self.unlock_any(locked)?;
        }
        let created = id.is_none();
        let Some(of) = self.objects.get_mut(object) else { return Err(super::refusal::not_found()) };
        let id = id.unwrap_or_else(|| of.mint());
        row.cells.insert("Id".into(), json!(id));
        derive(object, &mut row);
        touch(&mut row, access, cx);
        of.put(&id, row);
        Ok(Saved { id, created })
    }

    /// The record that a reference points to.
    fn pointed(&self, to: &str, label: &str, field: &str, text: &str) -> Answer<String> {
        let wrong = || unsaved("MALFORMED_ID", format!("{label}: id value of incorrect type: {text}"), &[field]);
        let id = read_id(text).ok_or_else(wrong)?;
        let home = self.objects.values().find(|object| id.starts_with(&object.prefix)).ok_or_else(wrong)?;
        // Activities hang on anything.
        if home.name != to && !matches!(field, "WhatId" | "WhoId" | "OwnerId") {
            return Err(wrong());
        }
        match home.rows.get(&id) {
            Some(row) if row.deleted => Err(unsaved("ENTITY_IS_DELETED", "entity is deleted", &[field])),
            Some(_) => Ok(id),
            None => Err(unsaved("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", &[field])),
        }
    }

    fn check_uniques(&mut self, object: &str, id: Option<&str>, row: &Row) -> Answer<()> {
        let Some(of) = self.objects.get_mut(object) else { return Ok(()) };
        let unique: Vec<String> =
            of.fields.iter().filter(|field| field.unique).map(|field| field.name.clone()).collect();
        for name in unique {
            let Some(value) = row.cells.get(&name) else { continue };
            if let Some(other) = of.having(&name, value).into_iter().find(|other| Some(other.as_str()) != id) {
                let message =
                    format!("duplicate value found: {name} duplicates value on record with id: {}", &other[..15]);
                return Err(unsaved("DUPLICATE_VALUE", message, &[]));
            }
        }
        Ok(())
    }

    /// What holds between the rows of permissions.
    fn check_permissions(&self, object: &str, id: Option<&str>, row: &Row) -> Answer<()> {
        let once = |fields: &[&str]| -> Answer<()> {
            let same = |(other, there): (&String, &Row)| {
                Some(other.as_str()) != id
                    && !there.deleted
                    && fields.iter().all(|name| there.cells.get(*name) == row.cells.get(*name))
            };
            if self.objects[object].rows.iter().any(same) {
                let message = "duplicate value found: <unknown> duplicates value on record with id: <unknown>";
                return Err(unsaved("DUPLICATE_VALUE", message, &[]));
            }
            Ok(())
        };
        match object {
            "permissionsetassignment" => once(&["AssigneeId", "PermissionSetId"]),
            "objectpermissions" => {
                let of = row.text("SobjectType").unwrap_or_default();
                // Who may see and edit activities is a permission of users, not of objects.
                if matches!(of.to_lowercase().as_str(), "task" | "event") {
                    let why = format!("Sobject Type Name: bad value for restricted picklist field: {of}");
                    return Err(unsaved("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", why, &["SobjectType"]));
                }
                once(&["ParentId", "SobjectType"])
            }
            "fieldpermissions" => {
                once(&["ParentId", "Field"])?;
                let wrong = |why: &str| Err(unsaved("FIELD_INTEGRITY_EXCEPTION", why, &["Field"]));
                let named = row.text("Field").unwrap_or_default();
                let (of, field) = named.split_once('.').unwrap_or_default();
                let Some(of) = self.objects.get(&of.to_lowercase()) else {
                    return wrong(&format!("Field Name: bad value for restricted picklist field: {named}"));
                };
                match of.field(field) {
                    Some(field) if field.is_custom() && !field.required => {}
                    Some(_) => return wrong(&format!("{named} is not permissionable")),
                    None => return wrong(&format!("Field Name: bad value for restricted picklist field: {named}")),
                }
                let readable = self.objects["objectpermissions"].rows.values().any(|there| {
                    !there.deleted
                        && there.text("ParentId") == row.text("ParentId")
                        && there.text("SobjectType").is_some_and(|name| name.eq_ignore_ascii_case(&of.name))
                        && there.cells.get("PermissionsRead").is_some_and(|yes| *yes == true)
                });
                if of.is_custom() && !readable {
                    return wrong(
                        "Field permissions depend on the object permission Read, which this permission set has not",
                    );
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn unlock_any(&mut self, id: &str) -> Answer<()> {
        let home = self.objects.iter().find(|(_, object)| id.starts_with(&object.prefix)).map(|(name, _)| name.clone());
        home.map_or(Ok(()), |home| self.unlock(&home, id))
    }

    /// Meets a lock of somebody else's, which lasts for so many saves.
    fn unlock(&mut self, object: &str, id: &str) -> Answer<()> {
        let Some(row) = self.objects.get_mut(object).and_then(|object| object.rows.get_mut(id)) else { return Ok(()) };
        if row.locked == 0 {
            return Ok(());
        }
        row.locked -= 1;
        let message = format!("unable to obtain exclusive access to this record or 1 records: {id}");
        Err(unsaved("UNABLE_TO_LOCK_ROW", message, &[]))
    }
}

/// What the server works out by itself.
fn derive(object: &str, row: &mut Row) {
    match object {
        "contact" | "user" => {
            let parts = [row.text("FirstName"), row.text("LastName")];
            let name = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
            row.cells.insert("Name".into(), json!(name));
        }
        "opportunity" => {
            let stage = row.text("StageName").unwrap_or_default();
            let (won, closed) = (stage == "Closed Won", stage.starts_with("Closed"));
            row.cells.insert("IsWon".into(), json!(won));
            row.cells.insert("IsClosed".into(), json!(closed));
        }
        _ => {}
    }
}

fn touch(row: &mut Row, access: &Access, cx: &Context<'_>) {
    row.cells.insert("LastModifiedDate".into(), json!(stamp(cx.now)));
    row.cells.insert("SystemModstamp".into(), json!(stamp(cx.now)));
    row.cells.insert("LastModifiedById".into(), json!(access.user));
}

/// A verdict of a collection.
pub(super) fn verdict(saved: Result<&Saved, &Refusal>, upsert: bool) -> Value {
    match saved {
        Ok(saved) => {
            let mut said = json!({ "id": saved.id, "success": true, "errors": [] });
            if upsert {
                said["created"] = json!(saved.created);
            }
            said
        }
        Err(refusal) => refusal.verdict(),
    }
}
