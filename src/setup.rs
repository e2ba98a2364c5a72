//! Setup: the tables, fields and labels that the mappings need, made in order. Planned first, then applied; a second plan
//! of what was applied is empty but for what people must do by hand.

use connectors::{Change, Fault, Setup};
use thiserror::Error;

use crate::house::{Connection, House};
use crate::pause::Pause;

#[derive(Debug, Error)]
pub enum SetupError {
    #[error("{connection}: nothing can be set up there")]
    None { connection: String },
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
    let shape = house.config.mappings.shape(&connection.name);
    let setup = of(connection)?;
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

fn of(connection: &Connection) -> Result<&dyn Setup, SetupError> {
    connection.connector.setup().ok_or_else(|| SetupError::None { connection: connection.name.clone() })
}

/// Repeats a call that was certainly not done. What may have been done is planned anew, by running setup again.
async fn patiently<T, F: Future<Output = Result<T, Fault>>>(
    pause: &dyn Pause,
    call: impl Fn() -> F,
) -> Result<T, Fault> {
    const TRIES: usize = 200;
    let mut last = Fault::later("the quota never let this call through");
    for _ in 0..TRIES {
        match call().await {
            Err(Fault::Later { after, why }) => {
                pause.pause(after.unwrap_or(std::time::Duration::from_secs(1))).await;
                last = Fault::Later { after, why };
            }
            done => return done,
        }
    }
    Err(last)
}
