//! The hands of people in the org: rows made, changed, merged and thrown away on its screens, fields made and hidden, apps
//! and limits set. And looks at what is there.

use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::access::Access;
use super::auth::who;
use super::model::stamp;
use super::standard::{ADMIN, INTEGRATION};
use super::{Salesforce, tooling};
use crate::github::read_public_key;
use crate::world::Context;

/// Who works at the screens, and is not the integration.
const PERSON: &str = ADMIN;

fn cells(fields: &Value) -> Map<String, Value> {
    fields.as_object().cloned().unwrap_or_default()
}

impl Salesforce {
    /// Makes a row, as a person does. Its id.
    ///
    /// # Panics
    /// When Salesforce would not take it: a mistake of the test that says so.
    pub fn create(&mut self, cx: &mut Context<'_>, object: &str, fields: &Value) -> String {
        let access = Access::of_desk(PERSON);
        match self.insert(&access, object, &cells(fields), cx) {
            Ok(saved) => saved.id,
            Err(refusal) => panic!("{object} {fields}: {}", refusal.message),
        }
    }

    /// Changes a row, as a person does.
    ///
    /// # Panics
    /// When Salesforce would not take it.
    pub fn edit(&mut self, cx: &mut Context<'_>, object: &str, id: &str, fields: &Value) {
        let access = Access::of_desk(PERSON);
        if let Err(refusal) = self.update(&access, object, id, &cells(fields), cx) {
            panic!("{object} {id} {fields}: {}", refusal.message);
        }
    }

    /// Throws a row into the recycle bin.
    pub fn throw_away(&mut self, cx: &mut Context<'_>, object: &str, id: &str) -> bool {
        self.delete(&Access::of_desk(PERSON), object, id, cx).is_ok()
    }

    /// Empties the recycle bin of one row, or removes it at once: it was never there.
    pub fn erase(&mut self, object: &str, id: &str) {
        if let Some(object) = self.objects.get_mut(&object.to_lowercase()) {
            object.remove(id);
        }
    }

    /// Takes a row out of the recycle bin.
    pub fn restore(&mut self, cx: &mut Context<'_>, object: &str, id: &str) {
        if let Some(object) = self.objects.get_mut(&object.to_lowercase())
            && let Some(mut row) = object.rows.get(id).cloned()
        {
            row.deleted = false;
            row.cells.insert("IsDeleted".into(), json!(false));
            row.cells.insert("SystemModstamp".into(), json!(stamp(cx.now)));
            object.put(id, row);
        }
    }

    /// Merges two accounts: the second goes, and what hung on it hangs on the first.
    pub fn merge(&mut self, cx: &mut Context<'_>, winner: &str, loser: &str) {
        let names: Vec<String> = self.objects.keys().cloned().collect();
        for name in names {
            let Some(object) = self.objects.get_mut(&name) else { continue };
            let links: Vec<String> = object
                .fields
                .iter()
                .filter(|field| field.points_to.as_deref() == Some("Account") && !field.system)
                .map(|field| field.name.clone())
                .collect();
            let hanging: Vec<String> = object
                .rows
                .iter()
                .filter(|(_, row)| links.iter().any(|link| row.text(link) == Some(loser)))
                .map(|(id, _)| id.clone())
                .collect();
            for id in hanging {
                let mut row = object.rows.get(&id).cloned().unwrap_or_default();
                for link in links.iter().filter(|link| row.text(link) == Some(loser)).cloned().collect::<Vec<_>>() {
                    row.cells.insert(link, json!(winner));
                }
                row.cells.insert("SystemModstamp".into(), json!(stamp(cx.now)));
                object.put(&id, row);
            }
        }
        self.throw_away(cx, "Account", loser);
        if let Some(object) = self.objects.get_mut("account")
            && let Some(mut row) = object.rows.get(loser).cloned()
        {
            row.cells.insert("MasterRecordId".into(), json!(winner));
            object.put(loser, row);
        }
    }

    /// A row as it stands there, or nothing.
    pub fn row(&self, object: &str, id: &str) -> Option<Value> {
        let row = self.objects.get(&object.to_lowercase())?.rows.get(id)?;
        (!row.deleted).then(|| Value::Object(row.cells.clone()))
    }

    /// All rows that are there, in the order of their ids.
    pub fn rows(&self, object: &str) -> Vec<Value> {
        let rows = self.objects.get(&object.to_lowercase()).into_iter().flat_map(|object| object.rows.values());
        rows.filter(|row| !row.deleted).map(|row| Value::Object(row.cells.clone())).collect()
    }

    /// Values that stand in more than one row's field.
    pub fn doubles(&self, object: &str, field: &str) -> Vec<String> {
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        for row in self.rows(object) {
            if let Some(text) = row.get(field).and_then(Value::as_str) {
                *seen.entry(text.to_owned()).or_default() += 1;
            }
        }
        seen.into_iter().filter(|(_, count)| *count > 1).map(|(text, _)| text).collect()
    }

    /// Makes a field as an administrator does in Setup, where it is shown to everybody at once.
    ///
    /// # Panics
    /// When Salesforce would not take it.
    pub fn add_field(&mut self, cx: &mut Context<'_>, object: &str, name: &str, metadata: &Value) {
        let home = if object == "Task" { "Activity" } else { object };
        let body = cells(&json!({ "FullName": format!("{home}.{name}"), "Metadata": metadata }));
        if let Err(refusal) = self.create_field(&body) {
            panic!("{object}.{name}: {}", refusal.message);
        }
        self.show_field(cx, object, name);
    }

    /// Gives both users a permission set that shows this field.
    pub fn show_field(&mut self, cx: &mut Context<'_>, object: &str, name: &str) {
        let known = self.rows("PermissionSet").into_iter().find(|set| set["Name"] == "Everybody");
        let set = match known {
            Some(set) => set["Id"].as_str().unwrap_or_default().to_owned(),
            None => {
                let set = self.create(cx, "PermissionSet", &json!({ "Name": "Everybody", "Label": "Everybody" }));
                for user in [ADMIN, INTEGRATION] {
                    self.create(cx, "PermissionSetAssignment", &json!({ "AssigneeId": user, "PermissionSetId": set }));
                }
                set
            }
        };
        let rights = json!({ "ParentId": set, "SobjectType": object, "PermissionsRead": true, "PermissionsCreate": true, "PermissionsEdit": true });
        let there = self.rows("ObjectPermissions");
        let given = there.iter().any(|row| row["ParentId"] == *set && row["SobjectType"] == object);
        if !given && object != "Task" {
            self.create(cx, "ObjectPermissions", &rights);
        }
        let field = json!({ "ParentId": set, "SobjectType": object, "Field": format!("{object}.{name}"), "PermissionsRead": true, "PermissionsEdit": true });
        self.create(cx, "FieldPermissions", &field);
    }

    /// Takes a field out of all permission sets: it is not there for the API any more.
    pub fn hide_field(&mut self, object: &str, name: &str) {
        let named = format!("{object}.{name}");
        if let Some(given) = self.objects.get_mut("fieldpermissions") {
            let ids: Vec<String> = given
                .rows
                .iter()
                .filter(|(_, row)| row.text("Field") == Some(&named))
                .map(|(id, _)| id.clone())
                .collect();
            for id in ids {
                given.remove(&id);
            }
        }
    }

    /// Changes a field's metadata in Setup: other values, another length.
    ///
    /// # Panics
    /// When there is no such field, or Salesforce would not take it.
    pub fn change_field(&mut self, object: &str, name: &str, metadata: &Value) {
        let new = tooling::read_field(name, metadata).unwrap_or_else(|refusal| panic!("{name}: {}", refusal.message));
        let field = self.objects.get_mut(&object.to_lowercase()).and_then(|object| object.field_mut(name));
        let field = field.unwrap_or_else(|| panic!("{object} has no {name}"));
        let id = field.id.clone();
        *field = super::model::Field { id, ..new };
    }

    pub fn has_object(&self, object: &str) -> bool {
        self.objects.contains_key(&object.to_lowercase())
    }

    /// The next saves of this row, or of what hangs on it, meet a lock.
    pub fn lock(&mut self, object: &str, id: &str, times: u32) {
        if let Some(row) = self.objects.get_mut(&object.to_lowercase()).and_then(|object| object.rows.get_mut(id)) {
            row.locked = times;
        }
    }

    /// All sessions end; what refresh tokens and certificates open is new.
    pub fn expire_sessions(&mut self) {
        self.auth.close_all();
    }

    /// Refresh tokens die, too: somebody has to sign in again.
    pub fn revoke_grants(&mut self) {
        self.auth.close_all();
        self.auth.revoke_grants();
    }

    /// A session that does not end: the administrator's, or the integration user's.
    pub fn issue_token(&mut self, token: &str, admin: bool) {
        self.auth.open(token, who(if admin { ADMIN } else { INTEGRATION }, &["api", "id", "refresh_token"]), None);
    }

    pub fn revoke_token(&mut self, token: &str) {
        self.auth.close(token);
    }

    /// The user names of the administrator and of the integration user.
    pub fn usernames(&self) -> [String; 2] {
        [ADMIN, INTEGRATION].map(|id| {
            self.row("User", id).and_then(|row| Some(row["Username"].as_str()?.to_owned())).unwrap_or_default()
        })
    }

    /// Uploads a certificate's public key (PEM) to the app: from now on its signatures are checked.
    pub fn set_certificate(&mut self, pem: &str) {
        let key = read_public_key(pem);
        for app in self.auth.apps.values_mut() {
            app.public_key.clone_from(&key);
        }
    }

    /// Whether users are pre-authorised for the app.
    pub fn approve(&mut self, yes: bool) {
        for app in self.auth.apps.values_mut() {
            app.approved =
                if yes { [ADMIN, INTEGRATION].map(str::to_owned).into() } else { std::collections::BTreeSet::new() };
        }
    }

    /// Whether the app's client credentials flow is on, and as whom it runs.
    pub fn run_as(&mut self, admin: Option<bool>) {
        for app in self.auth.apps.values_mut() {
            app.runs_as = admin.map(|admin| if admin { ADMIN } else { INTEGRATION }.to_owned());
        }
    }

    /// Each refresh brings a new refresh token, and the old one dies.
    pub fn rotate_refresh_tokens(&mut self, yes: bool) {
        for app in self.auth.apps.values_mut() {
            app.rotates = yes;
        }
    }

    /// How many calls a day the org's edition allows.
    pub fn set_limit(&mut self, calls: u64) {
        self.limit = calls;
    }

    /// Other programs have called so often.
    pub fn use_up(&mut self, cx: &Context<'_>, calls: u64) {
        self.used.push_back((cx.now, calls));
    }

    /// Query locators expire.
    pub fn forget_cursors(&mut self) {
        self.cursors.values_mut().for_each(|kept| kept.made = DateTime::UNIX_EPOCH);
    }
}
