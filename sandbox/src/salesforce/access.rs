//! Who sees and changes what: object and field permissions, as permission sets give them. A field that nobody has been
//! given is not there for the API, not even for an administrator ("Field-level security", read 2026-11-23).

use std::collections::{BTreeMap, BTreeSet};

use super::Salesforce;
use super::model::{Field, Object};
use super::refusal::{Answer, no_such_type, refuse};

/// A user at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) user: String,
    /// Modifies all data and customizes the application.
    pub(super) admin: bool,
    pub(super) scopes: BTreeSet<String>,
}

/// What a user may, as it stands at the beginning of a request.
pub(super) struct Access {
    pub(super) user: String,
    admin: bool,
    /// The desk is a person before the screen: sees and does everything.
    all: bool,
    objects: BTreeMap<String, BTreeSet<String>>,
    /// By `object.field` in lower case: whether it may be edited.
    fields: BTreeMap<String, bool>,
}

impl Salesforce {
    pub(super) fn access(&self, who: &Who) -> Access {
        let rows = |name: &str| self.objects.get(name).into_iter().flat_map(|object| object.rows.values());
        let sets: BTreeSet<&str> = rows("permissionsetassignment")
            .filter(|row| !row.deleted && row.text("AssigneeId") == Some(&who.user))
            .filter_map(|row| row.text("PermissionSetId"))
            .collect();
        let given = |name| {
            let of_ours = |row: &&super::model::Row| row.text("ParentId").is_some_and(|set| sets.contains(set));
            rows(name).filter(|row| !row.deleted).filter(of_ours)
        };
        let mut objects: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in given("objectpermissions") {
            let may = objects.entry(row.text("SobjectType").unwrap_or_default().to_lowercase()).or_default();
            let yes = row.cells.iter().filter(|(_, value)| **value == true);
            may.extend(yes.filter_map(|(name, _)| name.strip_prefix("Permissions").map(str::to_owned)));
        }
        let mut fields = BTreeMap::new();
        for row in
            given("fieldpermissions").filter(|row| row.cells.get("PermissionsRead").is_some_and(|yes| *yes == true))
        {
            let edit = row.cells.get("PermissionsEdit").is_some_and(|yes| *yes == true);
            *fields.entry(row.text("Field").unwrap_or_default().to_lowercase()).or_insert(false) |= edit;
        }
        Access { user: who.user.clone(), admin: who.admin, all: false, objects, fields }
    }

    /// An object that this user sees.
    pub(super) fn seen(&self, access: &Access, name: &str) -> Answer<&Object> {
        let object = self.objects.get(&name.to_lowercase());
        object.filter(|object| access.may(object, "Read")).ok_or_else(|| no_such_type(name))
    }
}

impl Access {
    /// A person before the screen.
    pub(super) fn of_desk(user: &str) -> Self {
        Self { user: user.to_owned(), admin: true, all: true, objects: BTreeMap::new(), fields: BTreeMap::new() }
    }

    /// `Create`, `Read`, `Edit`, `Delete`. Standard objects are the profile's affair, which gives them.
    pub(super) fn may(&self, object: &Object, what: &str) -> bool {
        self.admin
            || !object.is_custom()
            || self.objects.get(&object.name.to_lowercase()).is_some_and(|may| may.contains(what))
    }

    pub(super) fn must(&self, object: &Object, what: &str) -> Answer<()> {
        if self.may(object, what) {
            return Ok(());
        }
        Err(refuse(403, "INSUFFICIENT_ACCESS", "insufficient access rights on object id"))
    }

    pub(super) fn must_customize(&self) -> Answer<()> {
        if self.admin {
            return Ok(());
        }
        Err(refuse(400, "INSUFFICIENT_ACCESS", "insufficient access rights on cross-reference id"))
    }

    /// Standard and required fields are seen by all.
    pub(super) fn sees(&self, object: &Object, field: &Field) -> bool {
        self.all || !field.is_custom() || field.required || self.fields.contains_key(&key(object, field))
    }

    pub(super) fn edits(&self, object: &Object, field: &Field) -> bool {
        !field.system
            && (self.all
                || !field.is_custom()
                || field.required
                || self.fields.get(&key(object, field)).is_some_and(|edit| *edit))
    }
}

fn key(object: &Object, field: &Field) -> String {
    format!("{}.{}", object.name, field.name).to_lowercase()
}
