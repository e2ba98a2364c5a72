//! `/meta`: whoami, bases, tables and fields (Airtable docs "get-base-schema", "create-base", "create-table",
//! "create-field", "update-field", read 2026-11-23). Tables and fields cannot be deleted here, nor a field's type changed:
//! people do that, at the desk.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::changes::{Source, Transaction};
use super::model::{Base, Field, Table, mint};
use super::refusal::{Answer, Refusal};
use super::{fields, webhooks};
use crate::faults::Rng;
use crate::world::Context;

const DESCRIPTION_LIMIT: usize = 20_000;

fn name(body: &Map<String, Value>, what: &str) -> Answer<String> {
    let name = body.get("name").and_then(Value::as_str).map(str::trim).filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| Refusal::missing(format!("{what} needs a name")))
}

fn description(body: &Map<String, Value>) -> Answer<Option<String>> {
    match body.get("description") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= DESCRIPTION_LIMIT => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::malformed("description is not valid")),
    }
}

pub(super) fn tables(base: &Base) -> Value {
    json!({ "tables": base.tables.iter().map(Table::describe).collect::<Vec<_>>() })
}

/// A base from tables in the create-base shape. `linkedTableId` may name a table that stands later in the same list.
pub(super) fn new_base(id: String, name: String, tables: &[Value], by_person: bool, rng: &mut Rng) -> Answer<Base> {
    let mut base = Base { id, name, tables: Vec::new(), hooks: Vec::new(), transactions: 0 };
    for table in tables {
        let body = table.as_object().ok_or_else(|| Refusal::malformed("A table must be an object"))?;
        let (plain, _) = split_links(body)?;
        add_table(&mut base, body, &plain, by_person, rng)?;
    }
    for table in tables.iter().filter_map(Value::as_object) {
        let at = base.at(table["name"].as_str().unwrap_or_default()).ok_or_else(Refusal::no_model)?;
        for field in split_links(table)?.1 {
            add_field(&mut base, at, field, by_person, rng)?;
        }
        // Links were made last; people see the columns in the order they were given.
        let given = table["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        let place = |f: &Field| given.iter().position(|g| g["name"] == f.name.as_str()).unwrap_or(usize::MAX);
        base.tables[at].fields.sort_by_key(place);
    }
    Ok(base)
}

/// Plain fields, and those that can only be made once all tables are there.
type Split<'b> = (Vec<&'b Map<String, Value>>, Vec<&'b Map<String, Value>>);

fn split_links(body: &Map<String, Value>) -> Answer<Split<'_>> {
    let list = body.get("fields").and_then(Value::as_array).filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| Refusal::missing("A table needs at least one field"))?;
    let all = list.iter().map(|f| f.as_object().ok_or_else(|| Refusal::malformed("A field must be an object")));
    let all = all.collect::<Answer<Vec<_>>>()?;
    // Computed fields of a desk's table may look through its links, so they come with them.
    let late = |f: &&Map<String, Value>| {
        f.get("type").and_then(Value::as_str).is_some_and(|t| t == "multipleRecordLinks" || fields::is_computed(t))
    };
    Ok(all.into_iter().partition(|f| !late(f)))
}

fn add_table(
    base: &mut Base,
    body: &Map<String, Value>,
    given: &[&Map<String, Value>],
    by_person: bool,
    rng: &mut Rng,
) -> Answer<usize> {
    let name = name(body, "A table")?;
    if base.tables.iter().any(|t| t.name.eq_ignore_ascii_case(&name)) {
        return Err(Refusal::new(422, "DUPLICATE_TABLE_NAME", format!("There is a table {name:?} already")));
    }
    let Some((first, rest)) = given.split_first() else {
        return Err(Refusal::malformed("The first field of a table must be of a type that may be primary"));
    };
    let primary = field(&[], first, by_person, rng)?;
    if !fields::may_be_primary(&primary.kind) {
        let message = format!("A field of type {} cannot be the first field of a table", primary.kind);
        return Err(Refusal::new(422, "INVALID_PRIMARY_FIELD_TYPE", message));
    }
    let mut table = Table::new(mint(rng, "tbl"), name, primary, mint(rng, "viw"));
    table.description = description(body)?;
    for body in rest {
        let field = field(&table.fields, body, by_person, rng)?;
        table.fields.push(field);
    }
    base.tables.push(table);
    Ok(base.tables.len() - 1)
}

fn field(beside: &[Field], body: &Map<String, Value>, by_person: bool, rng: &mut Rng) -> Answer<Field> {
    let name = name(body, "A field")?;
    let kind = body
        .get("type")
        .and_then(Value::as_str)
        .ok_or_else(|| Refusal::missing(format!("Field {name:?} needs a type")))?;
    let options = fields::options(&name, kind, body.get("options").unwrap_or(&Value::Null), by_person, rng)?;
    if beside.iter().any(|f| f.name.eq_ignore_ascii_case(&name)) {
        return Err(Refusal::new(422, "DUPLICATE_OR_EMPTY_FIELD_NAME", format!("There is a field {name:?} already")));
    }
    Ok(Field { id: mint(rng, "fld"), name, kind: kind.to_owned(), options, description: description(body)? })
}

/// Adds a field; a link gets its inverse in the other table. Says which fields are new, by table.
fn add_field(
    base: &mut Base,
    table: usize,
    body: &Map<String, Value>,
    by_person: bool,
    rng: &mut Rng,
) -> Answer<Vec<(usize, String)>> {
    let mut field = field(&base.tables[table].fields, body, by_person, rng)?;
    if field.kind != "multipleRecordLinks" {
        if by_person {
            resolve_names(base, table, &mut field);
        }
        let id = field.id.clone();
        base.tables[table].fields.push(field);
        return Ok(vec![(table, id)]);
    }
    let other = field.option("linkedTableId").and_then(|t| base.at(t));
    let other = other
        .ok_or_else(|| fields::invalid(format!("Field {:?}: options.linkedTableId is not in this base", field.name)))?;
    let link = |to: &Table, inverse: &str| json!({"linkedTableId": to.id, "isReversed": false, "prefersSingleRecordLink": false, "inverseLinkFieldId": inverse});
    let inverse_name = {
        let (wanted, names) = (&base.tables[table].name, &base.tables[other].fields);
        let free = |name: &str| {
            !names.iter().any(|f| f.name.eq_ignore_ascii_case(name)) && (other != table || name != field.name)
        };
        let numbered = (2..).map(|n| format!("{wanted} {n}"));
        std::iter::once(wanted.clone()).chain(numbered).find(|name| free(name)).unwrap_or_default()
    };
    let inverse = Field {
        id: mint(rng, "fld"),
        name: inverse_name,
        kind: "multipleRecordLinks".to_owned(),
        options: link(&base.tables[table], &field.id),
        description: None,
    };
    field.options = link(&base.tables[other], &inverse.id);
    let made = vec![(table, field.id.clone()), (other, inverse.id.clone())];
    base.tables[table].fields.push(field);
    base.tables[other].fields.push(inverse);
    Ok(made)
}

/// In a person's computed field, options may name fields by name; they are kept by id.
fn resolve_names(base: &Base, table: usize, field: &mut Field) {
    let held = &base.tables[table];
    let Some(link) = field.option("recordLinkFieldId").and_then(|name| held.field(name)).cloned() else { return };
    field.options["recordLinkFieldId"] = json!(link.id);
    let other = link.option("linkedTableId").and_then(|t| base.at(t)).map(|at| &base.tables[at]);
    if let Some(target) = other.zip(field.option("fieldIdInLinkedTable")).and_then(|(other, name)| other.field(name)) {
        field.options["fieldIdInLinkedTable"] = json!(target.id);
    }
}

pub(super) fn create_table(base: &mut Base, body: &Map<String, Value>, cx: &mut Context<'_>) -> Answer {
    let (plain, links) = split_links(body)?;
    if links.iter().any(|f| f.get("type").and_then(Value::as_str).is_some_and(fields::is_computed)) {
        for field_body in &links {
            field(&[], field_body, false, cx.rng)?;
        }
    }
    // A refused link must not leave a table behind.
    for link in &links {
        let options = link.get("options").unwrap_or(&Value::Null);
        if options["linkedTableId"].as_str().and_then(|t| base.at(t)).is_none() {
            return Err(fields::invalid("options.linkedTableId is not in this base".to_owned()));
        }
    }
    let names: Vec<String> =
        plain.iter().chain(&links).map(|f| Ok(name(f, "A field")?.to_lowercase())).collect::<Answer<_>>()?;
    if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
        return Err(Refusal::new(422, "DUPLICATE_OR_EMPTY_FIELD_NAME", "Two fields have the same name"));
    }
    let at = add_table(base, body, &plain, false, cx.rng)?;
    let mut txn = Transaction::new(Source::Api);
    for link in links {
        for (table, id) in add_field(base, at, link, false, cx.rng)? {
            if table != at {
                txn.table(&base.tables[table].id).created_fields.insert(id);
            }
        }
    }
    txn.created_tables.push(base.tables[at].id.clone());
    webhooks::commit(base, &txn, cx);
    Ok(base.tables[at].describe())
}

pub(super) fn update_table(base: &mut Base, table: &str, body: &Map<String, Value>, cx: &mut Context<'_>) -> Answer {
    let at = base.at(table).ok_or_else(Refusal::no_model)?;
    let was = json!({"name": base.tables[at].name, "description": base.tables[at].description});
    let new_name = body.contains_key("name").then(|| name(body, "A table")).transpose()?;
    if let Some(new) = &new_name
        && base.tables.iter().enumerate().any(|(other, t)| other != at && t.name.eq_ignore_ascii_case(new))
    {
        return Err(Refusal::new(422, "DUPLICATE_TABLE_NAME", format!("There is a table {new:?} already")));
    }
    let new_description = description(body)?;
    let held = &mut base.tables[at];
    if let Some(name) = new_name {
        held.name = name;
    }
    if body.contains_key("description") {
        held.description = new_description;
    }
    let mut txn = Transaction::new(Source::Api);
    txn.table(&held.id).metadata = Some(was);
    webhooks::commit(base, &txn, cx);
    Ok(base.tables[at].describe())
}

pub(super) fn create_field(
    base: &mut Base,
    table: &str,
    body: &Map<String, Value>,
    source: Source,
    cx: &mut Context<'_>,
) -> Answer {
    let at = base.at(table).ok_or_else(Refusal::no_model)?;
    let made = add_field(base, at, body, source == Source::Person, cx.rng)?;
    let mut txn = Transaction::new(source);
    for (table, id) in &made {
        txn.table(&base.tables[*table].id).created_fields.insert(id.clone());
    }
    webhooks::commit(base, &txn, cx);
    let (_, id) = &made[0];
    base.tables[at].field(id).map(Field::describe).ok_or_else(Refusal::not_found)
}

/// Name and description; the options of a select may gain and rename choices, those of a link are fixed.
pub(super) fn update_field(
    base: &mut Base,
    table: &str,
    field: &str,
    body: &Map<String, Value>,
    cx: &mut Context<'_>,
) -> Answer {
    let at = base.at(table).ok_or_else(Refusal::no_model)?;
    let held = base.tables[at].field(field).cloned().ok_or_else(Refusal::no_model)?;
    let mut new = held.clone();
    if body.contains_key("name") {
        new.name = name(body, "A field")?;
        if base.tables[at].fields.iter().any(|f| f.id != held.id && f.name.eq_ignore_ascii_case(&new.name)) {
            return Err(Refusal::new(
                422,
                "DUPLICATE_OR_EMPTY_FIELD_NAME",
                format!("There is a field {:?} already", new.name),
            ));
        }
    }
    if body.contains_key("type") {
        return Err(Refusal::malformed("A field's type cannot be changed"));
    }
    if body.contains_key("description") {
        new.description = description(body)?;
    }
    if let Some(options) = body.get("options") {
        if held.kind == "multipleRecordLinks" || fields::is_computed(&held.kind) {
            return Err(Refusal::malformed(format!("The options of a {} field cannot be changed", held.kind)));
        }
        let options = fields::options(&new.name, &held.kind, options, false, cx.rng)?;
        if fields::is_select(&held.kind) {
            let kept =
                |id: &Value| options["choices"].as_array().is_some_and(|list| list.iter().any(|c| c["id"] == *id));
            if !held.choices().all(|choice| kept(&choice["id"])) {
                return Err(Refusal::malformed(
                    "Choices cannot be removed through the API; send every existing choice with its id",
                ));
            }
        }
        new.options = options;
    }
    let was = json!({"name": held.name, "type": held.kind});
    let answer = new.describe();
    if let Some(field) = base.tables[at].field_mut(&held.id) {
        *field = new;
    }
    let mut txn = Transaction::new(Source::Api);
    txn.table(&base.tables[at].id).changed_fields.insert(held.id, was);
    webhooks::commit(base, &txn, cx);
    Ok(answer)
}
