//! Customers and feedback from files: rows become inputs of the connection `csv`, and go the way of every input.
//!
//! Laws:
//! - A row that cannot be taken is named by its line and its cause, and kept as a dead letter; the others go on.
//! - The same file twice changes nothing; a column that the file lacks leaves what is known as it is.
//! - A file is never held in memory: of each row that has passed, its id alone is remembered.

mod columns;
mod encoding;
mod records;
mod row;
mod sheet;
mod take;
mod values;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

pub use sheet::{Came, Open, Rows, Sheet};
pub use take::{Report, begin, configured, rehearse, run, take_in, take_in_text};
pub use values::Order;

use crate::mapping::{FromMapping, Mapping, Problem, compile, run_examples};

pub const CONNECTION: &str = "csv";

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    #[default]
    Customers,
    Feedback,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Customers, Self::Feedback];

    /// The collection that its rows are records of.
    pub fn collection(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Feedback => "feedback",
        }
    }

    fn shipped(self) -> (&'static str, &'static str) {
        match self {
            Self::Customers => ("mappings/csv.customers.toml", include_str!("../../mappings/csv.customers.toml")),
            Self::Feedback => ("mappings/csv.feedback.toml", include_str!("../../mappings/csv.feedback.toml")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table with headers; commas, semicolons or tabs between its values
    Csv,
    /// A JSON object a line
    Ndjson,
}

/// What a person says of a file.
#[derive(Debug, Default)]
pub struct Options {
    pub kind: Kind,
    /// Headers of the file, and which column each is.
    pub columns: BTreeMap<String, String>,
    /// A mapping of their own, in the place of columns.
    pub map: Option<FromMapping>,
    pub format: Option<Format>,
    /// The header of the column that tells one row from another.
    pub id: Option<String>,
    pub dates: Option<Order>,
}

/// A row, as the shipped mapping of its kind reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Stable: what tells it from others in the file, or a digest of all that it says.
    pub id: String,
    pub line: u64,
    pub body: Map<String, Value>,
}

/// A row that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    pub line: u64,
    pub why: String,
    /// The beginning of what stands there.
    #[serde(default)]
    pub text: String,
}

#[derive(Debug, Error)]
pub enum ImportError {
    #[error("it cannot be read: {0}")]
    File(String),
    #[error("it is empty\n  = its first line should hold headers, or each of its lines a JSON object")]
    Empty,
    #[error(
        "this is UTF-16, as Excel writes \u{201c}Unicode text\u{201d}\n  = save it as \u{201c}CSV UTF-8\u{201d}, or: iconv -f UTF-16 -t UTF-8 FILE"
    )]
    Utf16,
    #[error("this is a workbook\n  = save the sheet as \u{201c}CSV UTF-8\u{201d}")]
    Workbook,
    #[error(
        "the first line names no column that is known\n  = its first line should hold headers, one of them of {wants}; or say --map \"Their header=NAME\", or give a mapping: --map FILE.toml"
    )]
    NoHeader { wants: String },
    #[error("{0}")]
    Header(String),
    #[error("line {line}: {why}")]
    Broken { line: u64, why: String },
}

/// The mappings of imported rows; they belong to no configured connection.
pub fn mappings() -> Vec<FromMapping> {
    let compiled = Kind::ALL.into_iter().filter_map(|kind| {
        let (file, text) = kind.shipped();
        match compile(file, text).ok()?.mapping {
            Mapping::From(from) => Some(*from),
            Mapping::Into(_) => None,
        }
    });
    compiled.collect()
}

/// A mapping of a person's own, for one import: `from = "csv.customers"`, over the file's own words.
///
/// # Errors
/// Everything that is wrong with it.
pub fn own_mapping(file: &str, text: &str, kind: Kind) -> Result<FromMapping, Vec<Problem>> {
    let compiled = compile(file, text)?;
    let failed = run_examples(&compiled);
    if !failed.is_empty() {
        return Err(failed);
    }
    let wrong = |what: String| {
        Err(vec![Problem::of_file(file, what).mend(format!("write from = \"csv.{}\"", kind.collection()))])
    };
    match compiled.mapping {
        Mapping::From(from) if from.part_of.is_some() => wrong("a row is a whole record, and no part of one".into()),
        Mapping::From(from) if from.connection == CONNECTION && from.collection == kind.collection() => Ok(*from),
        Mapping::From(from) => wrong(format!("it reads {}.{}", from.connection, from.collection)),
        Mapping::Into(_) => wrong("it leads into a destination".into()),
    }
}

#[cfg(test)]
mod tests;
