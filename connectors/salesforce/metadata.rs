//! What setup makes, in the words of the Metadata API; and the clicks that a person makes instead.
//! ("Metadata API: CustomField, CustomObject", read 2026-11-23.)

use serde_json::{Value, json};

use super::org::is_number;
use super::types::{ACCOUNT, text};
use crate::{Change, CollectionShape, FieldKind, FieldShape};

/// `Loopd_Open_Requests__c` is shown as "Loopd Open Requests".
pub(super) fn label(name: &str) -> String {
    let label: String = name.strip_suffix("__c").unwrap_or(name).replace('_', " ");
    label.chars().take(40).collect()
}

pub(super) fn object_metadata(name: &str) -> Value {
    let label = label(name);
    json!({
        "label": label, "pluralLabel": label, "nameField": { "type": "Text", "label": "Name" }, "deploymentStatus": "Deployed",
        "sharingModel": "ReadWrite", "enableReports": true, "enableSearch": true,
        "description": "Made by loopd: what customers said, and what became of it",
    })
}

pub(super) fn field_metadata(shape: &CollectionShape, field: &FieldShape, is_key: bool, number_scale: u8) -> Value {
    let (name, label) = (field.name.strip_suffix("__c").unwrap_or(&field.name), label(&field.name));
    let values: Vec<Value> =
        field.options.iter().map(|option| json!({ "valueName": option, "label": option, "default": false })).collect();
    let set = json!({ "restricted": false, "valueSetDefinition": { "sorted": false, "value": values } });
    let mut metadata = match field.kind {
        // Whether activities take external ids is not told; they are looked for by this one.
        _ if is_key && is_activity(&shape.name) => json!({ "type": "Text", "length": 64 }),
        _ if is_key => {
            json!({ "type": "Text", "length": 64, "externalId": true, "unique": true, "caseSensitive": true })
        }
        FieldKind::Text => json!({ "type": "Text", "length": 255 }),
        FieldKind::LongText => json!({ "type": "LongTextArea", "length": 32_768, "visibleLines": 5 }),
        FieldKind::Number => json!({ "type": "Number", "precision": 18, "scale": number_scale }),
        FieldKind::Currency => json!({ "type": "Currency", "precision": 18, "scale": 2 }),
        FieldKind::Checkbox => json!({ "type": "Checkbox", "defaultValue": "false" }),
        FieldKind::Date => json!({ "type": "Date" }),
        FieldKind::DateTime => json!({ "type": "DateTime" }),
        FieldKind::Url => json!({ "type": "Url" }),
        // Not restricted: a word that is new must not cost the record.
        FieldKind::Select => json!({ "type": "Picklist", "valueSet": set }),
        FieldKind::MultiSelect | FieldKind::Tags => {
            json!({ "type": "MultiselectPicklist", "visibleLines": 4, "valueSet": set })
        }
        FieldKind::Link => {
            let to = field.links_to.as_deref().unwrap_or(ACCOUNT);
            let own = shape.name.strip_suffix("__c").unwrap_or(&shape.name);
            json!({ "type": "Lookup", "referenceTo": to, "relationshipName": format!("{own}_{name}"), "deleteConstraint": "SetNull" })
        }
    };
    metadata["label"] = json!(label);
    if !field.description.is_empty() {
        metadata["description"] = json!(field.description.chars().take(1000).collect::<String>());
        metadata["inlineHelpText"] = json!(field.description.chars().take(255).collect::<String>());
    }
    metadata
}

/// Whether values of the first kind can be kept in a field of the second.
pub(super) fn is_kin(kind: FieldKind, there: &str) -> bool {
    let texts = matches!(
        there,
        "string" | "textarea" | "url" | "email" | "phone" | "picklist" | "combobox" | "encryptedstring"
    );
    match kind {
        FieldKind::Text | FieldKind::LongText | FieldKind::Url | FieldKind::Select => texts,
        FieldKind::Number | FieldKind::Currency => is_number(there) || there == "string",
        FieldKind::Checkbox => there == "boolean",
        FieldKind::Date => matches!(there, "date" | "string"),
        FieldKind::DateTime => matches!(there, "datetime" | "date" | "string"),
        FieldKind::MultiSelect | FieldKind::Tags => there == "multipicklist",
        FieldKind::Link => there == "reference",
    }
}

/// Tasks and events share their fields, which belong to `Activity`.
pub(super) fn is_activity(object: &str) -> bool {
    matches!(object, "Task" | "Event")
}

/// Where a person finds an object's fields.
fn place(of: &str) -> String {
    let label = if is_activity(of) { "Activity".to_owned() } else { label(of) };
    format!("Setup > Object Manager > {label} > Fields & Relationships")
}

fn by_hand(what: String, how: String) -> Change {
    Change { what, by_hand: Some(how), detail: Value::Null }
}

pub(super) fn not_seen(of: &str) -> Change {
    by_hand(
        format!("this user does not see the object {of}"),
        format!(
            "Setup > Permission Sets > (that of the user) > Object Settings > {of} > Edit: tick Read and Edit, and save"
        ),
    )
}

pub(super) fn no_standard_field(of: &str, name: &str) -> Change {
    by_hand(
        format!("this user does not see the field {name} of {of}"),
        format!(
            "Setup > Permission Sets > (that of the user) > Object Settings > {of} > Edit: tick Read and Edit for {name}; or take it out of the mapping"
        ),
    )
}

pub(super) fn retype(of: &str, field: &FieldShape, there: &str) -> Change {
    let wanted = text(
        &field_metadata(&CollectionShape { name: of.into(), key: None, fields: Vec::new() }, field, false, 0),
        "type",
    )
    .unwrap_or_default();
    by_hand(
        format!("field {} of {of} is of type {there}, where {wanted} is expected", field.name),
        format!(
            "{} > {} > Edit > Change Field Type > {wanted}; or name another field in the mapping",
            place(of),
            field.name
        ),
    )
}

pub(super) fn no_external_id(of: &str, name: &str) -> Change {
    by_hand(
        format!("field {name} of {of} is no external id"),
        format!("{} > {name} > Edit: tick External ID and Unique (case sensitive), and save", place(of)),
    )
}

pub(super) fn options_by_hand(of: &str, name: &str, options: &[String]) -> String {
    format!("{} > {name} > Values > New: add {}", place(of), options.join(", "))
}

pub(super) fn by_hand_object(name: &str) -> String {
    format!(
        "Setup > Object Manager > Create > Custom Object: label {0}, plural label {0}, object name {1}, record name of data type Text; save, and run setup again",
        label(name),
        name.strip_suffix("__c").unwrap_or(name)
    )
}

pub(super) fn by_hand_field(of: &str, name: &str, metadata: &Value) -> String {
    let kind = text(metadata, "type").unwrap_or_default();
    let own = name.strip_suffix("__c").unwrap_or(name);
    let more = if metadata["externalId"] == true { ", tick External ID and Unique (case sensitive)" } else { "" };
    format!("{} > New > {kind}: label {}, name {own}{more}; show it to the user, and save", place(of), label(name))
}
