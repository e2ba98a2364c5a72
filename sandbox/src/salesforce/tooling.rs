//! The Tooling API: objects and fields are made, and looked up ("Tooling API objects: CustomField, CustomObject", read
//! 2026-11-23). A field that was made here is seen by nobody until a permission set shows it.

use std::collections::BTreeMap;

use http::{Method, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::Salesforce;
use super::access::Access;
use super::model::{Field, Kind, Object, Row, id_of};
use super::refusal::{Answer, not_found, ok, refuse, unsaved, wrong_method};
use super::standard::points;
use crate::wire;
use crate::world::Context;

/// The most external id fields of an object.
const EXTERNAL_IDS: usize = 25;

impl Salesforce {
    pub(super) fn tooling(
        &mut self,
        path: &[&str],
        method: &Method,
        body: &Map<String, Value>,
        access: &Access,
        cx: &Context<'_>,
    ) -> Answer {
        access.must_customize()?;
        match (method, path) {
            (&Method::POST, ["sobjects", "CustomField"]) => self.create_field(body),
            (&Method::POST, ["sobjects", "CustomObject"]) => self.create_object(body, cx),
            (&Method::GET, ["sobjects", "CustomField", id]) => {
                let (object, field) = self.field_of(id).ok_or_else(not_found)?;
                Ok(ok(&json!({
                    "attributes": { "type": "CustomField" }, "Id": field.id, "FullName": format!("{object}.{}", field.name),
                    "DeveloperName": bare(&field.name), "Metadata": field.metadata,
                })))
            }
            (&Method::PATCH, ["sobjects", "CustomField", id]) => {
                let (object, old) =
                    self.field_of(id).map(|(object, field)| (object, field.clone())).ok_or_else(not_found)?;
                let new = read_field(&old.name, &body["Metadata"])?;
                if new.kind != old.kind {
                    let why = "Cannot change the type of a field that has data";
                    return Err(unsaved("FIELD_INTEGRITY_EXCEPTION", why, &["Metadata"]));
                }
                let new = Field { id: old.id, ..new };
                if let Some(there) = self.objects.get_mut(&object.to_lowercase()).and_then(|of| of.field_mut(&old.name))
                {
                    *there = new;
                }
                Ok(wire::empty(StatusCode::NO_CONTENT))
            }
            (_, ["sobjects", ..]) => Err(wrong_method(method)),
            _ => Err(not_found()),
        }
    }

    fn field_of(&self, id: &str) -> Option<(String, &Field)> {
        let found = |object: &Object| object.fields.iter().any(|field| field.id == id);
        let object = self.objects.values().find(|object| found(object)).filter(|_| !id.is_empty())?;
        let field = object.fields.iter().find(|field| field.id == id)?;
        Some((object.name.clone(), field))
    }

    pub(super) fn create_field(&mut self, body: &Map<String, Value>) -> Answer {
        let name = body.get("FullName").and_then(Value::as_str).unwrap_or_default();
        let (object, field) = name
            .split_once('.')
            .ok_or_else(|| refuse(400, "INVALID_FULL_NAME", "The full name must be Object.Field__c"))?;
        let home = match object {
            // Tasks and events share their fields.
            "Activity" => "Task",
            "Task" | "Event" => {
                let why = format!("Entity Enumeration Or ID: bad value for restricted picklist field: {object}");
                return Err(unsaved("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", why, &["TableEnumOrId"]));
            }
            object => object,
        };
        let mut field = read_field(field, body.get("Metadata").unwrap_or(&Value::Null))?;
        self.schema += 1;
        field.id = id_of("00N", self.schema);
        if let Some(to) = &field.points_to
            && !self.objects.contains_key(&to.to_lowercase())
        {
            return Err(unsaved(
                "INVALID_CROSS_REFERENCE_KEY",
                format!("referenceTo value of '{to}' does not resolve to a valid sObject type"),
                &[],
            ));
        }
        let of = self.objects.get_mut(&home.to_lowercase()).ok_or_else(|| {
            unsaved("INVALID_CROSS_REFERENCE_KEY", format!("no CustomObject named {object} found"), &["FullName"])
        })?;
        if of.field(&field.name).is_some() {
            let why = format!("There is already a field named {} on {}.", bare(&field.name), of.label);
            return Err(unsaved("DUPLICATE_DEVELOPER_NAME", why, &["DeveloperName"]));
        }
        if field.external_id && of.fields.iter().filter(|field| field.external_id).count() >= EXTERNAL_IDS {
            let why = "You have reached the maximum number of external ID fields for this object";
            return Err(unsaved("LIMIT_EXCEEDED", why, &["ExternalId"]));
        }
        let id = field.id.clone();
        of.fields.push(field);
        Ok(made(&id))
    }

    fn create_object(&mut self, body: &Map<String, Value>, cx: &Context<'_>) -> Answer {
        let name = body.get("FullName").and_then(Value::as_str).unwrap_or_default();
        check_name(name)?;
        let said = body.get("Metadata").cloned().unwrap_or_default();
        let text = |key: &str| said[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let lacks = |what: &str| unsaved("REQUIRED_FIELD_MISSING", format!("Required field is missing: {what}"), &[]);
        let label = text("label").ok_or_else(|| lacks("label"))?;
        let plural = text("pluralLabel").ok_or_else(|| lacks("pluralLabel"))?;
        if text("deploymentStatus").is_none() {
            return Err(lacks("deploymentStatus"));
        }
        if text("sharingModel").is_none() {
            return Err(lacks("sharingModel"));
        }
        let name_label = said["nameField"]["label"].as_str().ok_or_else(|| lacks("nameField"))?.to_owned();
        if self.objects.contains_key(&name.to_lowercase()) {
            let why = format!("The object name {} is already in use", bare(name));
            return Err(unsaved("DUPLICATE_DEVELOPER_NAME", why, &["DeveloperName"]));
        }
        self.schema += 1;
        let _ = cx;
        let mut object = Object::new(name, &label, &plural, &format!("a{:02}", self.schema % 100));
        object.id = id_of("01I", self.schema);
        let kind = Field { label: name_label, length: 80, ..Field::new("Name", Kind::Text) };
        let numbered = said["nameField"]["type"] == "AutoNumber";
        object.fields.push(Field { system: numbered, ..kind });
        object.fields.push(points("OwnerId", "User", "Owner"));
        let id = object.id.clone();
        self.objects.insert(name.to_lowercase(), object);
        Ok(made(&id))
    }

    /// What the Tooling API's queries look into.
    pub(super) fn metadata(&self) -> BTreeMap<String, Object> {
        let mut objects = Object::new("CustomObject", "Custom Object", "Custom Objects", "01I");
        let mut fields = Object::new("CustomField", "Custom Field", "Custom Fields", "00N");
        for name in ["DeveloperName", "NamespacePrefix"] {
            objects.fields.push(Field::new(name, Kind::Text));
            fields.fields.push(Field::new(name, Kind::Text));
        }
        fields.fields.push(Field::new("TableEnumOrId", Kind::Text));
        let put = |into: &mut Object, id: &str, cells: Value| {
            let row = Row { cells: cells.as_object().cloned().unwrap_or_default(), ..Row::default() };
            into.put(id, row);
        };
        for object in self.objects.values() {
            if object.is_custom() {
                put(&mut objects, &object.id, json!({ "Id": object.id, "DeveloperName": bare(&object.name) }));
            }
            for field in object.fields.iter().filter(|field| field.is_custom()) {
                let table = match object.name.as_str() {
                    "Task" => "Activity",
                    _ if object.is_custom() => &object.id,
                    name => name,
                };
                put(
                    &mut fields,
                    &field.id,
                    json!({ "Id": field.id, "DeveloperName": bare(&field.name), "TableEnumOrId": table }),
                );
            }
        }
        BTreeMap::from([("customobject".to_owned(), objects), ("customfield".to_owned(), fields)])
    }
}

fn made(id: &str) -> Response<bytes::Bytes> {
    wire::json(StatusCode::CREATED, &json!({ "id": id, "success": true, "errors": [], "warnings": [], "infos": [] }))
}

fn bare(name: &str) -> &str {
    name.strip_suffix("__c").unwrap_or(name)
}

fn check_name(name: &str) -> Answer<()> {
    let own = name.strip_suffix("__c").unwrap_or_default();
    let good = own.starts_with(|c: char| c.is_ascii_alphabetic())
        && own.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !own.contains("__")
        && !own.ends_with('_')
        && own.len() <= 40;
    if good {
        return Ok(());
    }
    let why = format!(
        "Error: The API Name: {name} can only contain underscores and alphanumeric characters. It must be unique, begin with a letter, not include spaces, not end with an underscore, not contain two consecutive underscores, and be at most 40 characters."
    );
    Err(unsaved("FIELD_INTEGRITY_EXCEPTION", why, &["FullName"]))
}

/// A field of the metadata that describes it.
pub(super) fn read_field(name: &str, said: &Value) -> Answer<Field> {
    check_name(name)?;
    let lacks = |what: &str| unsaved("REQUIRED_FIELD_MISSING", format!("Required field is missing: {what}"), &[]);
    let wrong = |why: String| unsaved("FIELD_INTEGRITY_EXCEPTION", why, &["Metadata"]);
    let text = |key: &str| said[key].as_str().filter(|text| !text.is_empty());
    let number = |key: &str| said[key].as_u64().and_then(|number| usize::try_from(number).ok());
    let label = text("label").ok_or_else(|| lacks("label"))?;
    if label.chars().count() > 40 {
        return Err(wrong(format!("{name}: data value too large: {label} (max length=40)")));
    }
    if text("inlineHelpText").is_some_and(|help| help.chars().count() > 510) {
        return Err(wrong(format!("{name}: inline help text is longer than 510 characters")));
    }
    if text("description").is_some_and(|about| about.chars().count() > 1000) {
        return Err(wrong(format!("{name}: description is longer than 1000 characters")));
    }
    let kind = match text("type").ok_or_else(|| lacks("type"))? {
        "Text" => Kind::Text,
        "TextArea" | "LongTextArea" => Kind::Textarea,
        "Url" => Kind::Url,
        "Email" => Kind::Email,
        "Phone" => Kind::Phone,
        "Number" => Kind::Number,
        "Currency" => Kind::Currency,
        "Percent" => Kind::Percent,
        "Checkbox" => Kind::Boolean,
        "Date" => Kind::Date,
        "DateTime" => Kind::DateTime,
        "Picklist" => Kind::Picklist,
        "MultiselectPicklist" => Kind::Multipicklist,
        "Lookup" => Kind::Reference,
        other => return Err(wrong(format!("'{other}' is not a valid value for the enum 'FieldType'"))),
    };
    let mut field = Field {
        label: label.to_owned(),
        help: text("inlineHelpText").unwrap_or_default().to_owned(),
        metadata: said.clone(),
        ..Field::new(name, kind)
    };
    match said["type"].as_str().unwrap_or_default() {
        "Text" => {
            field.length = number("length").ok_or_else(|| lacks("length"))?;
            if !(1..=255).contains(&field.length) {
                return Err(wrong(format!("{name}: length must be between 1 and 255")));
            }
        }
        "TextArea" => field.length = 255,
        "LongTextArea" => {
            field.length = number("length").ok_or_else(|| lacks("length"))?;
            if number("visibleLines").is_none() {
                return Err(lacks("visibleLines"));
            }
            if !(256..=131_072).contains(&field.length) {
                return Err(wrong(format!("{name}: length must be between 256 and 131072")));
            }
        }
        "Number" | "Currency" | "Percent" => {
            field.precision = number("precision").ok_or_else(|| lacks("precision"))?;
            field.scale = number("scale").ok_or_else(|| lacks("scale"))?;
            if field.precision > 18 || field.scale > field.precision {
                return Err(wrong(format!("{name}: precision is at most 18, and scale at most precision")));
            }
        }
        "Checkbox" => {
            let default = said.get("defaultValue").ok_or_else(|| lacks("defaultValue"))?;
            field.default = json!(*default == true || *default == "true");
        }
        "Picklist" | "MultiselectPicklist" => {
            let values = said["valueSet"]["valueSetDefinition"]["value"].as_array().ok_or_else(|| lacks("valueSet"))?;
            field.values = values
                .iter()
                .filter_map(|value| value["valueName"].as_str().or_else(|| value["fullName"].as_str()))
                .map(str::to_owned)
                .collect();
            field.restricted = said["valueSet"]["restricted"] == true;
            if kind == Kind::Multipicklist && number("visibleLines").is_none() {
                return Err(lacks("visibleLines"));
            }
        }
        "Lookup" => {
            field.points_to = Some(text("referenceTo").ok_or_else(|| lacks("referenceTo"))?.to_owned());
            text("relationshipName").ok_or_else(|| lacks("relationshipName"))?;
            field.relation = Some(format!("{}__r", bare(name)));
        }
        _ => {}
    }
    field.external_id = said["externalId"] == true;
    field.unique = said["unique"] == true;
    field.case_sensitive = said["caseSensitive"] == true;
    field.required = said["required"] == true;
    if (field.external_id || field.unique) && !matches!(kind, Kind::Text | Kind::Email | Kind::Number) {
        return Err(wrong(format!("{name}: fields of this type cannot be external ids")));
    }
    Ok(field)
}
