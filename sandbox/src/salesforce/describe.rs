//! How objects and fields are described to clients ("sObject Describe", REST API guide, read 2026-11-23).

use serde_json::{Value, json};

use super::Salesforce;
use super::access::Access;
use super::model::{Field, Kind, Object};

impl Salesforce {
    pub(super) fn describe_all(&self, access: &Access, root: &str) -> Value {
        let seen = self.objects.values().filter(|object| access.may(object, "Read"));
        let sobjects: Vec<Value> = seen.map(|object| brief(object, access, root)).collect();
        json!({ "encoding": "UTF-8", "maxBatchSize": 200, "sobjects": sobjects })
    }

    pub(super) fn describe(&self, object: &Object, access: &Access, root: &str) -> Value {
        let mut said = brief(object, access, root);
        let fields: Vec<Value> = object
            .fields
            .iter()
            .filter(|field| access.sees(object, field))
            .map(|field| of_field(object, field, access))
            .collect();
        let children: Vec<Value> = self
            .objects
            .values()
            .flat_map(|child| child.fields.iter().map(move |field| (child, field)))
            .filter(|(child, field)| field.points_to.as_deref() == Some(&object.name) && !field.system && access.sees(child, field))
            .map(|(child, field)| {
                json!({
                    "cascadeDelete": false, "childSObject": child.name, "deprecatedAndHidden": false, "field": field.name,
                    "junctionIdListNames": [], "junctionReferenceTo": [], "relationshipName": null, "restrictedDelete": false,
                })
            })
            .collect();
        for (name, value) in [
            ("fields", json!(fields)),
            ("childRelationships", json!(children)),
            ("recordTypeInfos", json!([])),
            ("actionOverrides", json!([])),
            ("namedLayoutInfos", json!([])),
            ("supportedScopes", json!([])),
        ] {
            said[name] = value;
        }
        said
    }
}

pub(super) fn brief(object: &Object, access: &Access, root: &str) -> Value {
    let url = format!("{root}/sobjects/{}", object.name);
    json!({
        "activateable": false, "associateEntityType": null, "associateParentEntity": null, "createable": access.may(object, "Create"),
        "custom": object.is_custom(), "customSetting": false, "deepCloneable": false, "deletable": access.may(object, "Delete"),
        "deprecatedAndHidden": false, "feedEnabled": false, "hasSubtypes": false, "isInterface": false, "isSubtype": false,
        "keyPrefix": object.prefix, "label": object.label, "labelPlural": object.plural, "layoutable": true, "mergeable": object.name == "Account",
        "mruEnabled": true, "name": object.name, "queryable": true, "replicateable": true, "retrieveable": true, "searchable": true,
        "triggerable": true, "undeletable": true, "updateable": access.may(object, "Edit"),
        "urls": {
            "sobject": url, "describe": format!("{url}/describe"), "rowTemplate": format!("{url}/{{ID}}"),
        },
    })
}

fn of_field(object: &Object, field: &Field, access: &Access) -> Value {
    let writable = access.edits(object, field);
    let texts = matches!(
        field.kind,
        Kind::Text | Kind::Textarea | Kind::Url | Kind::Email | Kind::Phone | Kind::Picklist | Kind::Multipicklist
    );
    let values: Vec<Value> = field
        .values
        .iter()
        .map(|value| json!({ "active": true, "defaultValue": field.default == **value, "label": value, "validFor": null, "value": value }))
        .collect();
    let points: Vec<&String> = field.points_to.iter().collect();
    let mut said = json!({
        "aggregatable": field.can_be_filtered(), "aiPredictionField": false, "autoNumber": false, "byteLength": field.length * 3,
        "calculated": field.system && !matches!(field.kind, Kind::Id | Kind::Reference | Kind::DateTime), "calculatedFormula": null,
        "cascadeDelete": false, "caseSensitive": field.case_sensitive, "compoundFieldName": null, "controllerName": null,
        "createable": writable, "custom": field.is_custom(), "defaultValue": if field.kind == Kind::Boolean { field.default.clone() } else { Value::Null },
        "defaultValueFormula": null, "defaultedOnCreate": !field.default.is_null() || field.name == "OwnerId" || field.system,
        "dependentPicklist": false, "deprecatedAndHidden": false, "digits": if field.kind == Kind::Int { field.precision } else { 0 },
        "displayLocationInDecimal": false, "encrypted": false, "externalId": field.external_id,
        "extraTypeInfo": if field.kind == Kind::Textarea { json!("plaintextarea") } else { Value::Null },
    });
    let more = json!({
        "filterable": field.can_be_filtered(), "filteredLookupInfo": null, "formulaTreatNullNumberAsZero": false,
        "groupable": field.can_be_filtered() && texts, "highScaleNumber": false, "htmlFormatted": false,
        "idLookup": field.kind == Kind::Id || field.external_id, "inlineHelpText": if field.help.is_empty() { Value::Null } else { json!(field.help) },
    });
    let most = json!({
        "label": field.label, "length": if texts || matches!(field.kind, Kind::Id | Kind::Reference) { field.length } else { 0 },
        "mask": null, "maskType": null, "name": field.name, "nameField": field.name == "Name", "namePointing": false,
        "nillable": !field.required && field.kind != Kind::Boolean && field.kind != Kind::Id, "permissionable": field.is_custom() && !field.required,
        "picklistValues": values, "polymorphicForeignKey": false, "precision": if field.kind.is_number() && field.kind != Kind::Int { field.precision } else { 0 },
        "queryByDistance": false, "referenceTargetField": null, "referenceTo": points, "relationshipName": field.relation,
        "relationshipOrder": null, "restrictedDelete": false, "restrictedPicklist": field.restricted, "scale": field.scale,
        "searchPrefilterable": false, "soapType": field.kind.soap(), "sortable": field.can_be_filtered(), "type": field.kind.word(),
        "unique": field.unique, "updateable": writable, "writeRequiresMasterRead": false,
    });
    for (name, value) in [more, most].iter().filter_map(Value::as_object).flatten() {
        said[name] = value.clone();
    }
    said
}
