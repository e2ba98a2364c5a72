//! The base that loopd keeps: Feedback, Customers and Themes, in the shape that create-base takes, so that
//! it can be compared with what a client's own set-up makes.

use serde_json::{Value, json};

fn text(name: &str) -> Value {
    json!({"name": name, "type": "singleLineText"})
}

fn long(name: &str) -> Value {
    json!({"name": name, "type": "multilineText"})
}

fn number(name: &str, precision: u8) -> Value {
    json!({"name": name, "type": "number", "options": {"precision": precision}})
}

fn money(name: &str) -> Value {
    json!({"name": name, "type": "currency", "options": {"precision": 0, "symbol": "€"}})
}

fn date(name: &str) -> Value {
    json!({"name": name, "type": "date", "options": {"dateFormat": {"name": "iso"}}})
}

fn one_of(name: &str, choices: &[&str]) -> Value {
    let choices: Vec<Value> = choices.iter().map(|choice| json!({ "name": choice })).collect();
    json!({"name": name, "type": "singleSelect", "options": {"choices": choices}})
}

fn link(name: &str, table: &str) -> Value {
    json!({"name": name, "type": "multipleRecordLinks", "options": {"linkedTableId": table}})
}

/// The tables of the loopd base.
pub(super) fn tables() -> Vec<Value> {
    vec![
        json!({"name": "Feedback", "fields": [
            text("ID"),
            date("Date"),
            one_of("Source", &["support", "community", "sales", "survey", "in-app", "email", "chat"]),
            one_of("Category", &["Bug", "Request", "Pain Point", "Praise", "Churn Signal", "General", "Behavior Working", "Behavior Not Working"]),
            long("Verbatim"),
            long("Summary"),
            text("Product"),
            text("Model"),
            link("Customer", "Customers"),
            link("Theme", "Themes"),
            one_of("Status", &["New", "Reviewing", "Validated", "Building", "Shipped", "Won't Do"]),
            one_of("Severity", &["Critical", "High", "Medium", "Low"]),
            money("ARR"),
            json!({"name": "Source URL", "type": "url"}),
            json!({"name": "Linear URL", "type": "url"}),
            text("Loopd ID"),
        ]}),
        json!({"name": "Customers", "fields": [
            text("Name"),
            text("Industry"),
            text("Region"),
            one_of("Tier", &["Enterprise", "Growth", "Starter", "Free"]),
            one_of("Lifecycle", &["Prospect", "Onboarding", "Active", "At Risk", "Churned"]),
            text("Use Case"),
            text("Owner"),
            number("Days as Customer", 0),
            money("ARR"),
            text("Domains"),
            text("Loopd ID"),
        ]}),
        json!({"name": "Themes", "fields": [
            text("Name"),
            long("Description"),
            one_of("Status", &["Hypothesis", "Validated", "In Progress", "Shipped"]),
            text("Owner"),
            number("Feedback Count", 0),
            number("Unique Customers", 0),
            money("Total ARR"),
            text("Loopd ID"),
        ]}),
    ]
}
