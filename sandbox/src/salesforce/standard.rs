//! The objects that every org has, with the fields that people use of them, and its first users. (Object Reference, read
//! 2026-11-23; a small part of it.)

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::{Field, Kind, Object, Row};

/// The administrator, whose session a sandbox accepts from the start.
pub(super) const ADMIN: &str = "0055g0000000001AAA";
/// A user for integrations: sees what permission sets show.
pub(super) const INTEGRATION: &str = "0055g0000000002AAA";
pub(super) const ORG: &str = "00D5g0000000001EAA";

pub(super) fn objects() -> BTreeMap<String, Object> {
    let mut objects = BTreeMap::new();
    for object in business().into_iter().chain(administration()) {
        objects.insert(object.name.to_lowercase(), object);
    }
    objects
}

fn business() -> Vec<Object> {
    let account = object("Account", "Account", "Accounts", "001")
        .with(text("Name", 255).needed())
        .with(pick("Type", &["Prospect", "Customer - Direct", "Customer - Channel", "Partner", "Other"]))
        .with(pick(
            "Industry",
            &[
                "Banking",
                "Biotechnology",
                "Education",
                "Energy",
                "Finance",
                "Healthcare",
                "Media",
                "Retail",
                "Technology",
            ],
        ))
        .with(Field::new("Website", Kind::Url))
        .with(Field::new("Phone", Kind::Phone))
        .with(text("BillingCity", 40))
        .with(text("BillingCountry", 80))
        .with(money("AnnualRevenue", 0))
        .with(Field::new("NumberOfEmployees", Kind::Int))
        .with(Field::new("Description", Kind::Textarea))
        .with(pick("Rating", &["Hot", "Warm", "Cold"]))
        .with(points("OwnerId", "User", "Owner"))
        .with(points("ParentId", "Account", "Parent"))
        .with(Field { system: true, ..points("MasterRecordId", "Account", "MasterRecord") });
    let contact = object("Contact", "Contact", "Contacts", "003")
        .with(text("FirstName", 40))
        .with(text("LastName", 80).needed())
        .with(Field { system: true, ..text("Name", 121) })
        .with(Field::new("Email", Kind::Email))
        .with(Field::new("Phone", Kind::Phone))
        .with(text("Title", 128))
        .with(points("AccountId", "Account", "Account"))
        .with(points("OwnerId", "User", "Owner"));
    let opportunity = object("Opportunity", "Opportunity", "Opportunities", "006")
        .with(text("Name", 120).needed())
        .with(
            pick(
                "StageName",
                &[
                    "Prospecting",
                    "Qualification",
                    "Proposal/Price Quote",
                    "Negotiation/Review",
                    "Closed Won",
                    "Closed Lost",
                ],
            )
            .needed(),
        )
        .with(Field::new("CloseDate", Kind::Date).needed())
        .with(money("Amount", 2))
        .with(pick("Type", &["New Customer", "Existing Customer - Upgrade"]))
        .with(text("NextStep", 255))
        .with(Field::new("Description", Kind::Textarea))
        .with(points("AccountId", "Account", "Account"))
        .with(points("OwnerId", "User", "Owner"))
        .with(Field { system: true, ..Field::new("IsWon", Kind::Boolean) })
        .with(Field { system: true, ..Field::new("IsClosed", Kind::Boolean) });
    let lead = object("Lead", "Lead", "Leads", "00Q")
        .with(text("FirstName", 40))
        .with(text("LastName", 80).needed())
        .with(text("Company", 255).needed())
        .with(Field::new("Email", Kind::Email))
        .with(Field {
            default: json!("Open - Not Contacted"),
            ..pick("Status", &["Open - Not Contacted", "Working", "Closed"])
        })
        .with(points("OwnerId", "User", "Owner"));
    let case = object("Case", "Case", "Cases", "500")
        .with(text("Subject", 255))
        .with(Field { default: json!("New"), ..pick("Status", &["New", "Working", "Escalated", "Closed"]) })
        .with(pick("Origin", &["Phone", "Email", "Web"]))
        .with(Field::new("Description", Kind::Textarea))
        .with(points("AccountId", "Account", "Account"))
        .with(points("OwnerId", "User", "Owner"));
    let task = object("Task", "Task", "Tasks", "00T")
        .with(text("Subject", 255))
        .with(Field {
            default: json!("Not Started"),
            ..pick("Status", &["Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred"])
        })
        .with(Field { default: json!("Normal"), ..pick("Priority", &["High", "Normal", "Low"]) })
        .with(Field::new("ActivityDate", Kind::Date))
        .with(Field::new("Description", Kind::Textarea))
        .with(points("WhatId", "Account", "What"))
        .with(points("WhoId", "Contact", "Who"))
        .with(points("OwnerId", "User", "Owner"));
    [account, contact, opportunity, lead, case, task].map(|of| of.0).into()
}

fn administration() -> Vec<Object> {
    let flag = |name: &str| Field::new(name, Kind::Boolean);
    let mut user = object("User", "User", "Users", "005")
        .with(text("Username", 80).needed())
        .with(text("FirstName", 40))
        .with(text("LastName", 80).needed())
        .with(Field { system: true, ..text("Name", 121) })
        .with(Field::new("Email", Kind::Email).needed())
        .with(Field { default: json!(true), ..flag("IsActive") })
        .0;
    for (id, first, last, name) in [
        (ADMIN, "Ada", "Admin", "ada@sandbox.example.com"),
        (INTEGRATION, "Ingo", "Integration", "loopd@sandbox.example.com"),
    ] {
        let cells = json!({
            "Id": id, "Username": name, "FirstName": first, "LastName": last, "Name": format!("{first} {last}"), "Email": name,
            "IsActive": true, "IsDeleted": false,
        });
        let taken = user.mint();
        debug_assert_eq!(taken, id);
        user.put(id, row(cells));
    }
    let mut organization = object("Organization", "Organization", "Organizations", "00D")
        .with(text("Name", 80))
        .with(flag("IsSandbox"))
        .with(text("OrganizationType", 40))
        .with(text("InstanceName", 5))
        .0;
    let cells = json!({
        "Id": ORG, "Name": "Sandbox Example", "IsSandbox": false, "OrganizationType": "Developer Edition", "InstanceName": "SBX1",
        "IsDeleted": false,
    });
    let taken = organization.mint();
    debug_assert_eq!(taken, ORG);
    organization.put(ORG, row(cells));
    let set = object("PermissionSet", "Permission Set", "Permission Sets", "0PS")
        .with(Field { unique: true, ..text("Name", 80).needed() })
        .with(text("Label", 80).needed())
        .with(text("Description", 255));
    let mut on_object = object("ObjectPermissions", "Object Permissions", "Object Permissions", "110")
        .with(points("ParentId", "PermissionSet", "Parent").needed())
        .with(text("SobjectType", 80).needed());
    for name in ["Create", "Read", "Edit", "Delete", "ViewAllRecords", "ModifyAllRecords"] {
        on_object = on_object.with(flag(&format!("Permissions{name}")));
    }
    let on_field = object("FieldPermissions", "Field Permissions", "Field Permissions", "01k")
        .with(points("ParentId", "PermissionSet", "Parent").needed())
        .with(text("SobjectType", 80).needed())
        .with(text("Field", 160).needed())
        .with(flag("PermissionsRead"))
        .with(flag("PermissionsEdit"));
    let given = object("PermissionSetAssignment", "Permission Set Assignment", "Permission Set Assignments", "0Pa")
        .with(points("AssigneeId", "User", "Assignee").needed())
        .with(points("PermissionSetId", "PermissionSet", "PermissionSet").needed());
    vec![user, organization, set.0, on_object.0, on_field.0, given.0]
}

/// A row of which everything is given.
pub(super) fn row(cells: Value) -> Row {
    let mut row = Row::default();
    if let Value::Object(cells) = cells {
        row.cells = cells;
    }
    row
}

struct Of(Object);

impl Of {
    fn with(mut self, field: Field) -> Self {
        self.0.fields.push(field);
        self
    }
}

impl Field {
    fn needed(self) -> Self {
        Self { required: true, ..self }
    }
}

fn object(name: &str, label: &str, plural: &str, prefix: &str) -> Of {
    Of(Object::new(name, label, plural, prefix))
}

fn text(name: &str, length: usize) -> Field {
    Field { length, ..Field::new(name, Kind::Text) }
}

/// An unrestricted picklist, as the standard ones are.
fn pick(name: &str, values: &[&str]) -> Field {
    Field { values: values.iter().map(ToString::to_string).collect(), ..Field::new(name, Kind::Picklist) }
}

fn money(name: &str, scale: usize) -> Field {
    Field { scale, ..Field::new(name, Kind::Currency) }
}

pub(super) fn points(name: &str, to: &str, relation: &str) -> Field {
    Field { points_to: Some(to.into()), relation: Some(relation.into()), ..Field::new(name, Kind::Reference) }
}
