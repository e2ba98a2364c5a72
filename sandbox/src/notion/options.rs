//! Options of selects and statuses: found by name or id, made on the way where that is allowed.

use serde_json::{Value, json};

use super::model::Property;
use super::refusal::{Answer, Refusal};
use crate::faults::Rng;

const COLORS: [&str; 9] = ["default", "gray", "brown", "orange", "yellow", "green", "blue", "purple", "pink"];

/// A new option.
fn option(name: &str, color: Option<&Value>, description: Option<&Value>, rng: &mut Rng) -> Value {
    let drawn = usize::try_from(rng.below(COLORS.len() as u64)).ok().and_then(|at| COLORS.get(at).copied());
    json!({
        "id": rng.uuid(),
        "name": name,
        "color": color.cloned().unwrap_or_else(|| json!(drawn.unwrap_or("default"))),
        "description": description.cloned().unwrap_or_default(),
    })
}

fn checked(name: &str) -> Answer<&str> {
    if name.contains(',') {
        return Err(Refusal::invalid(format!("Invalid select option, commas not allowed: {name}")));
    }
    Ok(name)
}

/// The ids of what a value refers to. An unknown name becomes an option, but for a status.
pub(super) fn resolve(property: &mut Property, value: &Value, rng: &mut Rng) -> Answer<Value> {
    let mut one = |reference: &Value| -> Answer<Value> {
        if let Some(id) = reference["id"].as_str() {
            return match property.option(id) {
                Some(_) => Ok(json!(id)),
                None => Err(Refusal::invalid(format!("{} option with id \"{id}\" does not exist.", property.kind))),
            };
        }
        let name = checked(reference["name"].as_str().unwrap_or_default())?;
        if let Some(known) = property.options().iter().find(|option| option["name"] == name) {
            return Ok(known["id"].clone());
        }
        if property.kind == "status" {
            return Err(Refusal::invalid(format!("Invalid status option. Status option \"{name}\" does not exist.")));
        }
        let made = option(name, None, None, rng);
        let id = made["id"].clone();
        if let Some(options) = property.config.get_mut("options").and_then(Value::as_array_mut) {
            options.push(made);
        }
        Ok(id)
    };
    match value {
        Value::Array(references) => {
            let mut ids: Vec<Value> = Vec::new();
            for reference in references {
                let id = one(reference)?;
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            Ok(Value::Array(ids))
        }
        reference => one(reference),
    }
}

/// The configuration that a schema change asks for. The list replaces what was there; options that it names by id or name
/// stay, and keep their color.
pub(super) fn configured(kind: &str, asked: &Value, before: Option<&Property>, rng: &mut Rng) -> Answer<Value> {
    let empty = Vec::new();
    let before = before.filter(|property| property.kind == kind);
    let mut options: Vec<Value> = Vec::new();
    let given = match asked.get("options") {
        Some(given) => given.as_array().unwrap_or(&empty),
        None => {
            if let Some(before) = before {
                return Ok(before.config.clone());
            }
            &empty
        }
    };
    if given.len() > 100 {
        return Err(Refusal::too_long(&format!("{kind}.options"), 100, given.len()));
    }
    for one in given {
        let known = before.and_then(|property| {
            let by_id = one["id"].as_str().and_then(|id| property.option(id));
            by_id.or_else(|| property.options().iter().find(|option| option["name"] == one["name"]))
        });
        match (known, one["name"].as_str()) {
            (Some(known), _) => options.push(known.clone()),
            (None, Some(name)) => {
                options.push(option(checked(name)?, one.get("color"), one.get("description"), rng));
            }
            (None, None) => return Err(Refusal::undefined(&format!("{kind}.options.name"))),
        }
    }
    let mut config = json!({ "options": options });
    if kind == "status" {
        let defaults = [
            ("Not started", "To-do", "default"),
            ("In progress", "In progress", "blue"),
            ("Done", "Complete", "green"),
        ];
        if options.is_empty() {
            options = defaults.iter().map(|(name, _, color)| option(name, Some(&json!(color)), None, rng)).collect();
            config["options"] = json!(options);
        }
        let mut groups =
            match before {
                Some(property) => property.config["groups"].clone(),
                None => json!(defaults.map(
                    |(_, group, color)| json!({ "id": rng.uuid(), "name": group, "color": color, "option_ids": [] })
                )),
            };
        // Options without a group are things to do.
        let grouped: Vec<Value> = groups
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|group| group["option_ids"].as_array().cloned().unwrap_or_default())
            .collect();
        let loose: Vec<Value> =
            options.iter().map(|option| option["id"].clone()).filter(|id| !grouped.contains(id)).collect();
        if let Some(first) = groups.get_mut(0).and_then(|group| group["option_ids"].as_array_mut()) {
            first.extend(loose);
        }
        config["groups"] = groups;
    }
    Ok(config)
}
