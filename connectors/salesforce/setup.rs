//! Making the object and the fields that mappings name, by the Tooling API, and showing them to the user: what was made is
//! seen by nobody until a permission set says so. Objects first, then fields, then the permission set, because each
//! needs the one before. ("Tooling API: CustomField, CustomObject", "PermissionSet", read 2026-11-23.)

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Failure, Verb};
use super::metadata::{
    by_hand_field, by_hand_object, field_metadata, is_activity, is_kin, label, no_external_id, no_standard_field,
    not_seen, object_metadata, options_by_hand, retype,
};
use super::org::Described;
use super::settings::DEFAULT_KEY;
use super::soql::{among, quoted};
use super::types::{ACCOUNT, OPPORTUNITY, array, object, text};
use super::{Salesforce, Told};
use crate::http::Call;
use crate::{Change, CollectionShape, Fault, FieldKind, FieldShape, Setup, Shape};

/// One step, as it is carried from plan to apply.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Step {
    Object {
        name: String,
    },
    Field {
        object: String,
        name: String,
        metadata: Value,
    },
    Options {
        object: String,
        name: String,
        options: Vec<String>,
    },
    /// Show fields to the user, and let them work with the objects.
    Show {
        objects: Vec<String>,
        fields: Vec<(String, String)>,
    },
}

#[async_trait]
impl Setup for Salesforce {
    async fn plan(&self, wanted: &Shape) -> Result<Vec<Change>, Fault> {
        let shapes = self.shapes(wanted);
        let names: Vec<String> = shapes.iter().map(|shape| shape.name.clone()).collect();
        let mut told = self.begin("plan");
        let looked = self.look_around(&mut told, &names, &shapes).await;
        let (found, hidden) = self.end("plan", told, looked)?;
        let (mut objects, mut fields, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let (mut show, mut work): (Vec<(String, String)>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
        for shape in &shapes {
            let there = found.get(&shape.name).and_then(Option::as_ref);
            if there.is_none() {
                match made(&shape.name) {
                    Some(_) if hidden.objects.contains(&shape.name) => {}
                    Some(change) => objects.push(change),
                    None => {
                        others.push(not_seen(&shape.name));
                        continue;
                    }
                }
                work.insert(shape.name.clone());
            } else if shape.name.ends_with("__c") && there.is_some_and(|there| !there.creatable || !there.updatable) {
                work.insert(shape.name.clone());
            }
            for field in &shape.fields {
                let known = there.and_then(|there| there.field(&field.name));
                match known {
                    Some((_, known)) => {
                        if !is_kin(field.kind, &known.kind) {
                            others.push(retype(&shape.name, field, &known.kind));
                        }
                        let lacking: Vec<String> = field
                            .options
                            .iter()
                            .filter(|option| !known.only.is_empty() && !known.only.contains(option))
                            .cloned()
                            .collect();
                        if !lacking.is_empty() {
                            others.push(add_options(&shape.name, &field.name, lacking));
                        }
                        let is_key = shape.key.as_deref() == Some(&field.name);
                        if is_key && !known.external_id && !is_activity(&shape.name) {
                            others.push(no_external_id(&shape.name, &field.name));
                        }
                        if field.name.ends_with("__c") && !known.updatable && shape.name != OPPORTUNITY {
                            show.push((shape.name.clone(), field.name.clone()));
                        }
                    }
                    None if !field.name.ends_with("__c") => {
                        if there.is_some() {
                            others.push(no_standard_field(&shape.name, &field.name));
                        }
                    }
                    None => {
                        if !hidden.has(&shape.name, &field.name) {
                            fields.push(self.create_field(shape, field));
                        }
                        show.push((shape.name.clone(), field.name.clone()));
                    }
                }
            }
        }
        if !show.is_empty() || !work.is_empty() {
            others.insert(0, self.show(work.into_iter().collect(), show));
        }
        Ok(objects.into_iter().chain(fields).chain(others).collect())
    }

    async fn apply(&self, change: &Change) -> Result<(), Fault> {
        let step = Step::deserialize(&change.detail)
            .map_err(|_| Fault::rejected("not a change that Salesforce's setup planned"))?;
        let work = format!("apply {}", change.detail);
        let mut told = self.begin(&work);
        let done = self.take_step(&mut told, step).await;
        self.end(&work, told, done)
    }
}

/// Custom objects and fields that are there, and that this user does not see.
#[derive(Default)]
struct Hidden {
    objects: BTreeSet<String>,
    fields: BTreeMap<String, BTreeSet<String>>,
}

impl Hidden {
    fn has(&self, object: &str, field: &str) -> bool {
        self.fields.get(object).is_some_and(|names| names.iter().any(|name| name.eq_ignore_ascii_case(field)))
    }
}

impl Salesforce {
    /// What should be there: what mappings name, their keys, and the fields in which opportunities are to speak.
    fn shapes(&self, wanted: &Shape) -> Vec<CollectionShape> {
        let mut shapes = wanted.collections.clone();
        for shape in &mut shapes {
            // An account is known by its own id.
            let key = shape.key.clone().or_else(|| (shape.name != ACCOUNT).then(|| DEFAULT_KEY.to_owned()));
            if let Some(key) = &key
                && !shape.fields.iter().any(|field| field.name == *key)
            {
                shape.fields.insert(
                    0,
                    field(key, FieldKind::Text, "loopd's own id of what this record is about. Do not change it."),
                );
            }
            shape.key = key;
        }
        if self.settings.opportunity.is_none() {
            let about = [
                ("blockers", "What stands between this customer and a signature. loopd reads it as feedback."),
                ("wants", "What this customer asks for. loopd reads it as feedback."),
                ("wins", "What won this customer over. loopd reads it as feedback."),
            ];
            let said = self.settings.opportunity();
            let fields = about
                .iter()
                .filter_map(|(word, help)| Some(field(said.get(*word)?, FieldKind::LongText, help)))
                .collect();
            shapes.push(CollectionShape { name: OPPORTUNITY.into(), key: None, fields });
        }
        // What others point to comes first.
        shapes.sort_by_key(|shape| shape.fields.iter().any(|field| field.links_to.is_some()));
        shapes
    }

    async fn take_step(&self, told: &mut Told, step: Step) -> Result<(), Fault> {
        match step {
            Step::Object { name } => {
                let body = json!({ "FullName": name, "Metadata": object_metadata(&name) });
                self.make(told, "CustomObject", body, &by_hand_object(&name)).await
            }
            Step::Field { object, name, metadata } => {
                let home = if is_activity(&object) { "Activity" } else { &object };
                let body = json!({ "FullName": format!("{home}.{name}"), "Metadata": metadata });
                self.make(told, "CustomField", body, &by_hand_field(&object, &name, &metadata)).await
            }
            Step::Options { object, name, options } => self.add_values(told, &object, &name, &options).await,
            Step::Show { objects, fields } => self.grant(told, &objects, &fields).await,
        }
    }

    /// What is there and seen, and what is there and hidden: that is not to be made again.
    async fn look_around(
        &self,
        told: &mut Told,
        names: &[String],
        shapes: &[CollectionShape],
    ) -> Result<(BTreeMap<String, Option<Described>>, Hidden), Fault> {
        let found = self.describe(told, names).await?;
        let hidden = self.hidden(told, shapes, &found).await?;
        Ok((found, hidden))
    }

    async fn hidden(
        &self,
        told: &mut Told,
        shapes: &[CollectionShape],
        found: &BTreeMap<String, Option<Described>>,
    ) -> Result<Hidden, Fault> {
        let mut hidden = Hidden::default();
        let unseen = |shape: &&CollectionShape| {
            let there = found.get(&shape.name).and_then(Option::as_ref);
            shape.fields.iter().any(|field| {
                field.name.ends_with("__c") && there.is_none_or(|there| there.field(&field.name).is_none())
            })
        };
        for shape in shapes.iter().filter(unseen) {
            let mut table = if is_activity(&shape.name) { "Activity".to_owned() } else { shape.name.clone() };
            if let Some(own) = shape.name.strip_suffix("__c") {
                let soql = format!("SELECT Id FROM CustomObject WHERE DeveloperName = {}", quoted(own));
                let Some(rows) = self.metadata(told, &soql).await? else { return Ok(hidden) };
                let Some(id) = rows.first().and_then(|row| text(row, "Id")) else { continue };
                if found.get(&shape.name).and_then(Option::as_ref).is_none() {
                    hidden.objects.insert(shape.name.clone());
                }
                table = id;
            }
            let soql = format!("SELECT Id, DeveloperName FROM CustomField WHERE TableEnumOrId = {}", quoted(&table));
            let Some(rows) = self.metadata(told, &soql).await? else { return Ok(hidden) };
            let names = rows.iter().filter_map(|row| text(row, "DeveloperName")).map(|name| format!("{name}__c"));
            hidden.fields.insert(shape.name.clone(), names.collect());
        }
        Ok(hidden)
    }

    /// `None`: this user may not look at metadata; then what is hidden passes for missing, and making it says that it is there.
    async fn metadata(&self, told: &mut Told, soql: &str) -> Result<Option<Vec<Value>>, Fault> {
        match self.rows(told, "tooling/query", soql).await {
            Ok(rows) => Ok(Some(rows)),
            Err(failure) if matches!(failure.status, 400 | 403 | 404) && failure.code != "REQUEST_LIMIT_EXCEEDED" => {
                Ok(None)
            }
            Err(failure) => Err(failure.fault),
        }
    }

    fn create_field(&self, shape: &CollectionShape, field: &FieldShape) -> Change {
        let is_key = shape.key.as_deref() == Some(&field.name);
        let metadata = field_metadata(shape, field, is_key, self.settings.number_scale);
        let kind = text(&metadata, "type").unwrap_or_default();
        let more = if metadata["externalId"] == true { ", external id, unique" } else { "" };
        Change {
            what: format!("create field {} ({kind}{more}) on {}", field.name, shape.name),
            by_hand: None,
            detail: detail(&Step::Field { object: shape.name.clone(), name: field.name.clone(), metadata }),
        }
    }

    fn show(&self, objects: Vec<String>, fields: Vec<(String, String)>) -> Change {
        let set = &self.settings.permission_set;
        let whom = if self.settings.assign_to.is_empty() {
            "this user".to_owned()
        } else {
            format!("this user and {}", self.settings.assign_to.join(", "))
        };
        let names: Vec<String> = fields.iter().map(|(object, field)| format!("{object}.{field}")).collect();
        let what = match (objects.is_empty(), names.is_empty()) {
            (false, true) => objects.join(", "),
            (true, _) => names.join(", "),
            (false, false) => format!("{} with {}", objects.join(", "), names.join(", ")),
        };
        Change {
            what: format!("show {what} to {whom} by the permission set {set}"),
            by_hand: None,
            detail: detail(&Step::Show { objects, fields }),
        }
    }

    /// Makes a piece of metadata; what is there already is made. What this user may not make is told with the clicks that do.
    async fn make(&self, told: &mut Told, kind: &str, body: Value, by_hand: &str) -> Result<(), Fault> {
        let call = Call::post(self.client.path(&format!("tooling/sobjects/{kind}")), body);
        match self.ask(told, call, Verb::Write).await {
            Ok(_) => Ok(()),
            Err(failure) if is_there_already(&failure) => Ok(()),
            // No rights that this user lacks, and no clicks, mend a session.
            Err(failure) if failure.status == 401 => Err(failure.fault),
            Err(failure) => Err(match failure.fault {
                fault @ (Fault::Later { .. } | Fault::Unknown { .. }) => fault,
                Fault::Locked { why } | Fault::Rejected { why, .. } => {
                    Fault::rejected(format!("{why}. It needs a user with Customize Application; or by hand: {by_hand}"))
                }
            }),
        }
    }

    /// Adds values to a picklist that takes no others, keeping those that it has.
    async fn add_values(&self, told: &mut Told, of: &str, name: &str, options: &[String]) -> Result<(), Fault> {
        let table = match of.strip_suffix("__c") {
            Some(own) => {
                let soql = format!("SELECT Id FROM CustomObject WHERE DeveloperName = {}", quoted(own));
                self.rows(told, "tooling/query", &soql)
                    .await?
                    .first()
                    .and_then(|row| text(row, "Id"))
                    .unwrap_or_default()
            }
            None if is_activity(of) => "Activity".into(),
            None => of.to_owned(),
        };
        let own = name.strip_suffix("__c").unwrap_or(name);
        let soql = format!(
            "SELECT Id FROM CustomField WHERE TableEnumOrId = {} AND DeveloperName = {}",
            quoted(&table),
            quoted(own)
        );
        let rows = self.rows(told, "tooling/query", &soql).await?;
        let by_hand = options_by_hand(of, name, options);
        let id = rows.first().and_then(|row| text(row, "Id")).ok_or_else(|| Fault::rejected(by_hand.clone()))?;
        let path = self.client.path(&format!("tooling/sobjects/CustomField/{id}"));
        let known = self.ask(told, Call::get(path.clone()), Verb::Read).await?;
        let mut metadata = object(&known["Metadata"]);
        let values = metadata
            .get_mut("valueSet")
            .and_then(|set| set.get_mut("valueSetDefinition"))
            .and_then(|definition| definition.get_mut("value"))
            .and_then(Value::as_array_mut)
            // A set that several fields share is somebody else's.
            .ok_or_else(|| Fault::rejected(by_hand.clone()))?;
        for option in options {
            if !values.iter().any(|value| text(value, "valueName").as_ref() == Some(option)) {
                values.push(json!({ "valueName": option, "label": option, "default": false }));
            }
        }
        let body = json!({ "FullName": format!("{of}.{name}"), "Metadata": metadata });
        self.ask(told, Call::patch(path, body), Verb::Write).await.map_err(|failure| match failure.fault {
            Fault::Rejected { why, .. } | Fault::Locked { why } => {
                Fault::rejected(format!("{why}. By hand: {by_hand}"))
            }
            fault => fault,
        })?;
        Ok(())
    }

    /// The permission set with rights on objects and fields, given to whoever works for loopd.
    async fn grant(&self, told: &mut Told, objects: &[String], fields: &[(String, String)]) -> Result<(), Fault> {
        let name = &self.settings.permission_set;
        let soql = format!("SELECT Id FROM PermissionSet WHERE Name = {}", quoted(name));
        let known = self.rows(told, "query", &soql).await?.first().and_then(|row| text(row, "Id"));
        let set = match known {
            Some(set) => set,
            None => {
                let body =
                    json!({ "Name": name, "Label": name, "Description": "What loopd made, and what it works with" });
                let made =
                    self.ask(told, Call::post(self.client.path("sobjects/PermissionSet"), body), Verb::Write).await?;
                text(&made, "id")
                    .ok_or_else(|| Fault::unknown("Salesforce does not say which permission set it made"))?
            }
        };
        // Rights on fields need the right to read their object, in the same set. Where an object is there already, an error
        // says so. Activities have no such rights: who may see what they hang on may see them.
        let homes: BTreeSet<&String> = objects.iter().chain(fields.iter().map(|(object, _)| object)).collect();
        let rights = homes.into_iter().filter(|object| !is_activity(object)).map(|object| {
            let ours = object.ends_with("__c");
            json!({
                "attributes": { "type": "ObjectPermissions" }, "ParentId": set, "SobjectType": object, "PermissionsRead": true,
                "PermissionsCreate": ours, "PermissionsEdit": true, "PermissionsDelete": false, "PermissionsViewAllRecords": ours,
                "PermissionsModifyAllRecords": false,
            })
        });
        self.insert_rows(told, "the rights on objects", &rights.collect::<Vec<_>>()).await?;
        let shown = fields.iter().map(|(object, field)| {
            json!({
                "attributes": { "type": "FieldPermissions" }, "ParentId": set, "SobjectType": object,
                "Field": format!("{object}.{field}"), "PermissionsRead": true, "PermissionsEdit": true,
            })
        });
        self.insert_rows(told, "the rights on fields", &shown.collect::<Vec<_>>()).await?;
        let given = self.users(told).await?.into_iter().map(|user| {
            json!({ "attributes": { "type": "PermissionSetAssignment" }, "AssigneeId": user, "PermissionSetId": set })
        });
        self.insert_rows(told, "the assignment", &given.collect::<Vec<_>>()).await
    }

    /// This user, and those whom the settings name.
    async fn users(&self, told: &mut Told) -> Result<Vec<String>, Fault> {
        let mut users: Vec<String> = text(&self.whoami(told).await?, "user_id").into_iter().collect();
        if users.is_empty() {
            let why = "who signed in cannot be told (the scope `id` is missing): assign the permission set by hand in Setup > Users > Permission Sets";
            return Err(Fault::rejected(why));
        }
        if !self.settings.assign_to.is_empty() {
            let soql = format!("SELECT Id, Username FROM User WHERE {}", among("Username", &self.settings.assign_to));
            let rows = self.rows(told, "query", &soql).await?;
            let known: Vec<String> =
                rows.iter().filter_map(|row| text(row, "Username")).map(|name| name.to_lowercase()).collect();
            if let Some(unknown) = self.settings.assign_to.iter().find(|name| !known.contains(&name.to_lowercase())) {
                return Err(Fault::rejected(format!("assign_to: there is no user {unknown}")));
            }
            users.extend(rows.iter().filter_map(|row| text(row, "Id")));
        }
        users.sort();
        users.dedup();
        Ok(users)
    }

    /// Inserts rows of which some may be there already.
    async fn insert_rows(&self, told: &mut Told, what: &str, rows: &[Value]) -> Result<(), Fault> {
        for part in rows.chunks(200) {
            let body = json!({ "allOrNone": false, "records": part });
            let told = self.ask(told, Call::post(self.client.path("composite/sobjects"), body), Verb::Write).await?;
            let verdicts = told.as_array().cloned().unwrap_or_default();
            for verdict in
                verdicts.iter().filter(|verdict| verdict.get("success").and_then(Value::as_bool) != Some(true))
            {
                let error = array(verdict, "errors").first().cloned().unwrap_or_default();
                let code = text(&error, "statusCode").unwrap_or_default();
                if !code.starts_with("DUPLICATE") {
                    let message = text(&error, "message").unwrap_or_default();
                    return Err(Fault::rejected(format!("{what}: {code}: {message}")));
                }
            }
        }
        Ok(())
    }
}

fn is_there_already(failure: &Failure) -> bool {
    failure.code.starts_with("DUPLICATE") || failure.message.contains("already")
}

fn detail(step: &Step) -> Value {
    serde_json::to_value(step).unwrap_or_default()
}

fn field(name: &str, kind: FieldKind, description: &str) -> FieldShape {
    FieldShape { name: name.into(), kind, options: Vec::new(), links_to: None, description: description.into() }
}

fn made(name: &str) -> Option<Change> {
    name.ends_with("__c").then(|| Change {
        what: format!("create object {name} ({})", label(name)),
        by_hand: None,
        detail: detail(&Step::Object { name: name.to_owned() }),
    })
}

fn add_options(of: &str, name: &str, options: Vec<String>) -> Change {
    Change {
        what: format!("add {} to the values of {of}.{name}", options.join(", ")),
        by_hand: None,
        detail: detail(&Step::Options { object: of.to_owned(), name: name.to_owned(), options }),
    }
}
