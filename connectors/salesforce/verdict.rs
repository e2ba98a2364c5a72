//! What a row's errors mean: who has to do what about it ("Status codes", SOAP API guide, read 2026-11-23).

use std::time::Duration;

use serde_json::Value;

use super::client::clip;
use super::types::{array, text};
use crate::Fault;

/// Why one row of a collection was not saved.
#[derive(Debug, PartialEq)]
pub(super) enum Refused {
    Fault(Fault),
    /// The record is not there any more.
    Gone,
    /// These fields may not be written by this user; without them the row may pass.
    Closed(Vec<String>),
}

/// How long others usually hold a lock.
const LOCKED: Duration = Duration::from_secs(5);

/// `updates`: a record that is there was to be changed.
pub(super) fn of_row(verdict: &Value, updates: bool) -> Refused {
    let errors = array(verdict, "errors");
    let Some(first) = errors.first() else {
        return Refused::Fault(Fault::rejected("Salesforce refused the record and does not say why"));
    };
    let code = text(first, "statusCode").or_else(|| text(first, "errorCode")).unwrap_or_default();
    let message = clip(&text(first, "message").unwrap_or_default());
    let fields: Vec<String> = array(first, "fields").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let why = if message.is_empty() { code.clone() } else { format!("{code}: {message}") };
    let field = fields.first().cloned();
    let rejected = |why: String| Refused::Fault(Fault::Rejected { why, field: field.clone() });
    match code.as_str() {
        "UNABLE_TO_LOCK_ROW" => Refused::Fault(Fault::Later { after: Some(LOCKED), why }),
        // Said of one row, it is certain that this row was not saved.
        "SERVER_UNAVAILABLE"
        | "QUERY_TIMEOUT"
        | "REQUEST_LIMIT_EXCEEDED"
        | "UNKNOWN_EXCEPTION"
        | "ALL_OR_NONE_OPERATION_ROLLED_BACK" => Refused::Fault(Fault::later(why)),
        "STORAGE_LIMIT_EXCEEDED" | "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED" => {
            Refused::Fault(Fault::locked(why))
        }
        // Without a field it is the record itself; with one, what the field points to.
        "ENTITY_IS_DELETED" | "INVALID_CROSS_REFERENCE_KEY" | "NOT_FOUND" if updates && fields.is_empty() => {
            Refused::Gone
        }
        "MALFORMED_ID" if updates && (fields.is_empty() || fields == ["Id"]) => Refused::Gone,
        "INVALID_FIELD_FOR_INSERT_UPDATE" if !fields.is_empty() => Refused::Closed(fields),
        "DUPLICATE_VALUE" | "DUPLICATE_EXTERNAL_ID" => rejected(format!(
            "{why} (a record that this user does not see may hold the same id: give the user View All on the object)"
        )),
        "DUPLICATES_DETECTED" => rejected(format!("{why} (a duplicate rule of the org stands against it)")),
        "INSUFFICIENT_ACCESS_OR_READONLY"
        | "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"
        | "CANNOT_UPDATE_CONVERTED_LEAD" => rejected(format!("{why} (this user may not change this record)")),
        _ => rejected(why),
    }
}
