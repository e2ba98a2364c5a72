//! App: not built yet.

use serde_json::Value;

use crate::unbuilt::Unbuilt;
use crate::{Outside, SecretSpec, Secrets, SettingsError};

pub const SECRETS: &[SecretSpec] = &[];

/// # Errors
/// Always, until it is built.
pub fn open(_settings: &Value, _secrets: &Secrets, _outside: &Outside) -> Result<Unbuilt, SettingsError> {
    Err(SettingsError { key: None, why: "app is not built yet".into() })
}
