//! What an entity's record in a collection should hold: the mapping, with links made into the vendor's ids. Pure, but
//! for looking up links.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::house::House;
use crate::ledger::{Base, LedgerError};
use crate::mapping::{IntoMapping, MapError, Wanted};
use crate::schema::{Entity, EntityId};

/// Should-be, in the vendor's terms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    pub fields: BTreeMap<String, Value>,
    /// Fields that link to a record that does not exist yet.
    pub unresolved: Vec<Unresolved>,
}

/// A field that must wait: its target has no record in `collection` of the same connection yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Unresolved {
    pub field: String,
    pub target: EntityId,
    pub collection: String,
}

/// Why there is no should-be.
#[derive(Debug, thiserror::Error)]
pub enum DesireError {
    #[error(transparent)]
    Map(#[from] MapError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What the record should hold, by outside field, in the vendor's terms. `view` is what mappings see of the entity.
///
/// # Errors
/// A mapping that cannot take the entity ([`DesireError::Map`]), or a ledger that cannot be read.
pub fn desired(house: &House, mapping: &IntoMapping, entity: &Entity, view: &Value) -> Result<Desired, DesireError> {
    let mut desired = Desired::default();
    for (field, wanted) in mapping.desire(view)? {
        let value = match wanted {
            Wanted::Value(value) => value,
            Wanted::Tags(tags) => tags.into_iter().map(Value::from).collect(),
            Wanted::Links { collection, ids } => {
                let Some(ids) =
                    resolve(house, mapping, entity, collection.as_deref(), &ids, &field, &mut desired.unresolved)?
                else {
                    continue;
                };
                ids
            }
        };
        desired.fields.insert(field, value);
    }
    Ok(desired)
}

/// The outside ids of linked records; `None` when one of them does not exist yet.
fn resolve(
    house: &House,
    mapping: &IntoMapping,
    entity: &Entity,
    collection: Option<&str>,
    ids: &[EntityId],
    field: &str,
    unresolved: &mut Vec<Unresolved>,
) -> Result<Option<Value>, LedgerError> {
    let mut outside = BTreeSet::new();
    let mut whole = true;
    for id in ids {
        let home = match collection {
            Some(collection) => Some(collection.to_owned()),
            None => match if *id == entity.id {
                Some(entity.kind())
            } else {
                house.ledger.entity(*id)?.map(|target| target.kind())
            } {
                Some(kind) => house.config.mappings.home(&mapping.connection, kind).map(str::to_owned),
                None => None,
            },
        };
        let Some(home) = home else { continue };
        match house.ledger.link(*id, &mapping.connection, &home)? {
            Some(link) if link.is_live() => {
                outside.insert(link.id);
            }
            // Deleted there: the link is simply not there to be made; and what hangs on it needs no making.
            Some(_) if *id != entity.id => {}
            Some(_) => {
                whole = false;
                unresolved.push(Unresolved { field: field.to_owned(), target: *id, collection: home });
            }
            None => {
                whole = false;
                unresolved.push(Unresolved { field: field.to_owned(), target: *id, collection: home });
            }
        }
    }
    Ok(whole.then(|| outside.into_iter().map(Value::from).collect()))
}

/// The fields to write: where should-be differs from what both sides agreed on.
pub fn difference(mapping: &IntoMapping, desired: &Desired, base: &Base) -> BTreeSet<String> {
    let differs = |(name, value): (&String, &Value)| -> Option<String> {
        let differs = match base.fields.get(name) {
            _ if base.owed.contains_key(name) && base.refused.get(name).is_none_or(|refused| refused == value) => false,
            Some(field) => !field.held && (field.restore || field.ours != *value),
            None => !is_empty(value),
        };
        differs.then(|| name.clone())
    };
    desired.fields.iter().filter(|(name, _)| mapping.fields.contains_key(*name)).filter_map(differs).collect()
}

/// Nothing that a vendor could show.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
