//! Setup: the tables, fields and labels that the mappings need, made in order. Planned first, then applied; a second plan
//! of what was applied is empty but for what people must do by hand.

use connectors::{Change, Fault, Setup, Shape};
use serde_json::Value;
use thiserror::Error;

use crate::house::{Connection, House};
use crate::ledger::LedgerError;
use crate::pause::{Pause, patiently};

/// Records that one look at the ledger takes.
const PIECE: usize = 1024;

#[derive(Debug, Error)]
pub enum SetupError {
    #[error("{connection}: nothing can be set up there")]
    None { connection: String },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("{connection} cannot be looked at: {fault}")]
    Plan { connection: String, fault: Fault },
    #[error("{connection}: {what}: {fault}")]
    Apply { connection: String, what: String, fault: Fault },
}

/// What is missing there.
///
/// # Errors
/// A connection without setup, or one that cannot be read.
pub async fn plan(house: &House, connection: &Connection, pause: &dyn Pause) -> Result<Vec<Change>, SetupError> {
    let setup = of(connection)?;
    let shape = shape(house, &connection.name)?;
    patiently(pause, || setup.plan(&shape))
        .await
        .map_err(|fault| SetupError::Plan { connection: connection.name.clone(), fault })
}

/// Makes one change. What only a person can do is left to them.
///
/// # Errors
/// What the vendor refuses.
pub async fn apply(connection: &Connection, change: &Change, pause: &dyn Pause) -> Result<(), SetupError> {
    let setup = of(connection)?;
    let told = |fault| SetupError::Apply { connection: connection.name.clone(), what: change.what.clone(), fault };
    patiently(pause, || setup.apply(change)).await.map_err(told)
}

/// Makes all that a program can make.
///
/// # Errors
/// As [`plan`] and [`apply`].
pub async fn all(house: &House, connection: &Connection, pause: &dyn Pause) -> Result<usize, SetupError> {
    let mut made = 0;
    for change in plan(house, connection, pause).await? {
        if change.by_hand.is_none() {
            apply(connection, &change, pause).await?;
            made += 1;
        }
    }
    Ok(made)
}

/// What should be there: what the mappings in use name, and the options that records are waiting for.
///
/// # Errors
/// A ledger that fails.
pub fn shape(house: &House, connection: &str) -> Result<Shape, LedgerError> {
    let mut shape = house.config.mappings.shape(connection);
    let known = house.connections.get(connection);
    shape.collections.retain(|collection| {
        // Where loopd makes no records, a mapping into which no route leads writes nothing, and nothing is needed for it.
        let makes = known.and_then(|open| open.collection(&collection.name)).is_none_or(|spec| spec.creatable);
        makes
            || house
                .config
                .routes
                .iter()
                .any(|route| route.connection == connection && route.collection == collection.name)
    });
    for collection in &mut shape.collections {
        let mut after: Option<String> = None;
        loop {
            let records = house.ledger.linked_after(connection, &collection.name, after.as_deref(), PIECE)?;
            let Some((last, _)) = records.last() else { break };
            after = Some(last.clone());
            for (_, entity) in &records {
                let base = house.ledger.base(*entity, connection, &collection.name)?.unwrap_or_default();
                for (field, refused) in base.refused {
                    let Some(field) = collection.fields.iter_mut().find(|known| known.name == field) else { continue };
                    let options = refused.as_array().map_or(std::slice::from_ref(&refused), Vec::as_slice);
                    for option in options.iter().filter_map(Value::as_str).map(str::trim) {
                        if !option.is_empty() && !field.options.iter().any(|known| known == option) {
                            field.options.push(option.to_owned());
                        }
                    }
                }
            }
        }
    }
    Ok(shape)
}

fn of(connection: &Connection) -> Result<&dyn Setup, SetupError> {
    connection.connector.setup().ok_or_else(|| SetupError::None { connection: connection.name.clone() })
}
