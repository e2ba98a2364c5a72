//! Runs an operation: root fields in order, then what was selected below them.
//!
//! As GraphQL has it (spec, October 2021), mutations run one after the other; one that fails ends the run, and since
//! Linear's payloads may not be null, `data` is then `null` although what came before has happened.

use chrono::{DateTime, Utc};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::document::{self, Operation, Wanted};
use super::fault::{Answer, Fault};
use super::resolve::{self, Out};
use super::schema::{Ty, schema};
use super::store::{Kind, Store};
use super::{Caller, Linear};
use crate::world::Context;

/// What an operation comes to.
pub(super) struct Outcome {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

pub(super) fn run(
    linear: &mut Linear,
    operation: &Operation,
    variables: &Map<String, Value>,
    caller: &Caller,
    cx: &mut Context<'_>,
) -> Outcome {
    let root = operation.root();
    let mut data = Map::new();
    let mut faults: Vec<(String, Fault)> = Vec::new();
    let mut lost = false;
    for wanted in operation.collect(root, &[&operation.selection], variables) {
        let name = &wanted.field.name;
        let Some(def) = schema().field(root, name) else {
            data.insert(wanted.key.to_owned(), json!(root));
            continue;
        };
        let result = document::arguments(def, wanted.field, variables)
            .and_then(|args| {
                if operation.mutation {
                    linear.mutate(name, &args, caller, cx)
                } else {
                    linear.query(name, &args, caller, cx)
                }
            })
            .and_then(|out| {
                Execution { store: &linear.store, operation, variables, now: cx.now }.complete(out, &def.ty, &wanted)
            });
        match result {
            Ok(value) => {
                data.insert(wanted.key.to_owned(), value);
            }
            Err(fault) => {
                faults.push((wanted.key.to_owned(), fault));
                data.insert(wanted.key.to_owned(), Value::Null);
                lost |= def.ty.is_required() && !linear.keeps_other_aliases;
                if operation.mutation && !linear.keeps_other_aliases {
                    break;
                }
            }
        }
    }
    let Some((_, first)) = faults.first() else {
        return Outcome { status: StatusCode::OK, body: json!({ "data": data }) };
    };
    let status = if lost { first.status } else { StatusCode::OK };
    let errors: Vec<Value> = faults.iter().map(|(key, fault)| fault.describe(Some(key))).collect();
    let data = if lost { Value::Null } else { Value::Object(data) };
    Outcome { status, body: json!({"errors": errors, "data": data}) }
}

struct Execution<'e> {
    store: &'e Store,
    operation: &'e Operation,
    variables: &'e Map<String, Value>,
    now: DateTime<Utc>,
}

impl Execution<'_> {
    fn complete(&self, out: Out, ty: &Ty, wanted: &Wanted<'_>) -> Answer<Value> {
        let name = ty.name();
        match out {
            Out::Leaf(Value::Null) if ty.is_required() => match resolve::plainest(ty) {
                Out::Leaf(Value::Null) => Ok(Value::Null),
                plain => self.complete(plain, ty, wanted),
            },
            Out::Leaf(value) => Ok(value),
            Out::List(items) => {
                let items = items.into_iter().map(|item| self.complete(item, &inner(ty), wanted));
                Ok(Value::Array(items.collect::<Answer<_>>()?))
            }
            Out::Row(kind, id) => self.row(kind, &id, wanted),
            Out::Object(fields) => {
                let mut fields: std::collections::BTreeMap<&'static str, Out> = fields.into_iter().collect();
                self.object(name, wanted, |field, _| Ok(fields.remove(field).unwrap_or(Out::NULL)))
            }
            Out::Json(Value::Array(items)) => {
                let items = items.into_iter().map(|item| self.complete(Out::Json(item), &inner(ty), wanted));
                Ok(Value::Array(items.collect::<Answer<_>>()?))
            }
            Out::Json(value) => self.object(name, wanted, |field, below| {
                let value = value.get(field).cloned().unwrap_or(Value::Null);
                Ok(if schema().is_object(below.name()) && !value.is_null() {
                    Out::Json(value)
                } else {
                    Out::Leaf(value)
                })
            }),
            Out::Page { kind, ids, before, after } => self.page(name, kind, &ids, before, after, wanted),
        }
    }

    fn row(&self, kind: Kind, id: &str, wanted: &Wanted<'_>) -> Answer<Value> {
        let Some(row) = self.store.get(kind, id) else { return Ok(Value::Null) };
        let mut out = Map::new();
        for below in self.operation.collect(kind, &wanted.below, self.variables) {
            let value = match schema().field(kind, &below.field.name) {
                None => json!(kind),
                Some(def) => {
                    let args = document::arguments(def, below.field, self.variables)?;
                    let found = resolve::field(self.store, kind, row, &below.field.name, &args, self.now)?;
                    self.complete(found, &def.ty, &below)?
                }
            };
            out.insert(below.key.to_owned(), value);
        }
        Ok(Value::Object(out))
    }

    /// An object whose fields a function gives.
    fn object(&self, name: &str, wanted: &Wanted<'_>, mut give: impl FnMut(&str, &Ty) -> Answer<Out>) -> Answer<Value> {
        let mut out = Map::new();
        for below in self.operation.collect(name, &wanted.below, self.variables) {
            let value = match schema().field(name, &below.field.name) {
                None => json!(name),
                Some(def) => self.complete(give(&below.field.name, &def.ty)?, &def.ty, &below)?,
            };
            out.insert(below.key.to_owned(), value);
        }
        Ok(Value::Object(out))
    }

    fn page(
        &self,
        name: &str,
        kind: Kind,
        ids: &[String],
        before: bool,
        after: bool,
        wanted: &Wanted<'_>,
    ) -> Answer<Value> {
        self.object(name, wanted, |field, _| {
            Ok(match field {
                "nodes" => Out::List(ids.iter().map(|id| Out::Row(kind, id.clone())).collect()),
                "edges" => {
                    let edge = |id: &String| {
                        Out::Object(vec![("cursor", Out::Leaf(json!(id))), ("node", Out::Row(kind, id.clone()))])
                    };
                    Out::List(ids.iter().map(edge).collect())
                }
                "pageInfo" => Out::Json(json!({
                    "hasNextPage": after,
                    "hasPreviousPage": before,
                    "startCursor": ids.first(),
                    "endCursor": ids.last(),
                })),
                _ => Out::NULL,
            })
        })
    }
}

fn inner(ty: &Ty) -> Ty {
    match ty {
        Ty::List(inner) => (**inner).clone(),
        Ty::NonNull(list) => inner(list),
        Ty::Named(_) => ty.clone(),
    }
}
