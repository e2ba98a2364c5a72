//! Customers from a CSV file: rows become inputs of the connection `csv`, and go the way of every input.
//!
//! The law: a row that cannot be taken is named by its line and its cause, and the others go on. The same file twice
//! changes nothing; a column that the file lacks leaves what is known as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use connectors::{Key, Record};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use thiserror::Error;

use crate::config::World;
use crate::house::{House, Stage, Step, Stop};
use crate::ledger::{Input, Ledger, LedgerError, Via, digest};
use crate::mapping::{FromMapping, Mapping, compile};
use crate::normalize::Normalize;
use crate::schema::EntityId;

pub const CONNECTION: &str = "csv";
pub const COLLECTION: &str = "customers";
const MAPPING: &str = include_str!("../mappings/csv.customers.toml");

/// What a column means, and the headers by which it is recognised (in lower case, with `_` for what is no letter).
pub const COLUMNS: [(&str, &[&str]); 12] = [
    ("name", &["name", "company", "company_name", "customer", "account", "account_name"]),
    ("domains", &["domains", "domain", "website", "url", "email_domain"]),
    ("company_id", &["company_id", "id", "external_id", "account_id", "customer_id"]),
    ("arr", &["arr", "annual_recurring_revenue", "annual_revenue", "revenue"]),
    ("industry", &["industry", "sector"]),
    ("region", &["region", "geo", "country"]),
    ("tier", &["tier", "plan", "segment"]),
    ("lifecycle", &["lifecycle", "lifecycle_stage", "stage"]),
    ("owner", &["owner", "account_owner", "csm", "account_manager"]),
    ("customer_since", &["customer_since", "since", "start_date", "signed_at"]),
    ("github_org", &["github_org", "github", "github_organisation", "github_organization"]),
    ("use_case", &["use_case", "usecase"]),
];

/// A customer, as a row says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Stable: the company's id, else its first domain, else its name.
    pub id: String,
    pub line: u64,
    pub body: Map<String, Value>,
}

/// A row that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bad {
    pub line: u64,
    pub why: String,
}

#[derive(Debug, Default)]
pub struct Table {
    pub rows: Vec<Row>,
    pub bad: Vec<Bad>,
    /// Headers that mean nothing to us.
    pub unknown: Vec<String>,
}

#[derive(Debug, Error)]
pub enum ImportError {
    #[error(
        "the first line names no column that is known\n  = its first line should hold headers such as name, domain, company_id, arr; or say --map \"Their header=name\""
    )]
    NoHeader,
    #[error("{0}")]
    Header(String),
    #[error("line {line}: {why}")]
    Broken { line: u64, why: String },
}

/// Reads a whole file. `map`: headers of the file that mean one of [`COLUMNS`].
///
/// # Errors
/// A file without usable headers, or whose quotes leave no telling where rows end.
pub fn read(text: &str, map: &BTreeMap<String, String>) -> Result<Table, ImportError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let separator = separator(text);
    let mut reader =
        csv::ReaderBuilder::new().delimiter(separator).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| broken(&error))?.clone();
    let mut table = Table::default();
    let mut columns: Vec<Option<&'static str>> = Vec::new();
    let mut taken = BTreeSet::new();
    for header in &headers {
        let column = meaning(header, map)?;
        match column {
            Some(column) if !taken.insert(column) => {
                return Err(ImportError::Header(format!(
                    "two columns mean {column} (the second is `{header}`)\n  = rename one of them"
                )));
            }
            Some(_) => {}
            None => table.unknown.push(header.to_owned()),
        }
        columns.push(column);
    }
    if !["name", "domains", "company_id"].iter().any(|column| taken.contains(column)) {
        return Err(ImportError::NoHeader);
    }
    let mut lines: BTreeMap<String, u64> = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| broken(&error))?;
        let line = record.position().map_or(0, |position| line_of(text, position));
        if record.iter().all(str::is_empty) {
            continue;
        }
        let read = if record.len() > headers.len() {
            Err(format!(
                "{} values where the first line has {} columns: a value with a comma needs quotes",
                record.len(),
                headers.len()
            ))
        } else {
            row(&columns, &record, line)
        };
        match read {
            Ok(row) => match lines.get(&row.id) {
                Some(first) => table.bad.push(Bad { line, why: format!("{} stands in line {first} already", row.id) }),
                None => {
                    lines.insert(row.id.clone(), line);
                    table.rows.push(row);
                }
            },
            Err(why) => table.bad.push(Bad { line, why }),
        }
    }
    Ok(table)
}

/// The reader's position stands before the empty lines that it skips.
fn line_of(text: &str, position: &csv::Position) -> u64 {
    let rest = usize::try_from(position.byte()).ok().and_then(|at| text.as_bytes().get(at..)).unwrap_or_default();
    position.line()
        + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).filter(|byte| **byte == b'\n').count() as u64
}

fn broken(error: &csv::Error) -> ImportError {
    let line = error.position().map_or(1, csv::Position::line);
    let why = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "this is not UTF-8: save the file as CSV UTF-8".to_owned(),
        _ => "this is not CSV".to_owned(),
    };
    ImportError::Broken { line, why }
}

/// Spreadsheets of half the world write semicolons.
fn separator(text: &str) -> u8 {
    let head = text.lines().next().unwrap_or_default();
    let count = |mark: char| head.matches(mark).count();
    [(b',', count(',')), (b';', count(';')), (b'\t', count('\t'))]
        .into_iter()
        .rev()
        .max_by_key(|(_, count)| *count)
        .map_or(b',', |(mark, _)| mark)
}

fn plain(header: &str) -> String {
    let plain: String =
        header.trim().to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    plain.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

fn meaning(header: &str, map: &BTreeMap<String, String>) -> Result<Option<&'static str>, ImportError> {
    if let Some(wanted) = map.iter().find(|(theirs, _)| plain(theirs) == plain(header)).map(|(_, ours)| ours) {
        let known = COLUMNS.iter().find(|(name, _)| name == wanted);
        let names = || COLUMNS.map(|(name, _)| name).join(", ");
        return match known {
            Some((name, _)) => Ok(Some(name)),
            None => Err(ImportError::Header(format!(
                "--map {header}={wanted}: there is no `{wanted}`\n  = there are {}",
                names()
            ))),
        };
    }
    let plain = plain(header);
    Ok(COLUMNS.iter().find(|(_, names)| names.contains(&plain.as_str())).map(|(name, _)| *name))
}

fn row(columns: &[Option<&'static str>], record: &csv::StringRecord, line: u64) -> Result<Row, String> {
    let mut body = Map::new();
    for (column, text) in columns.iter().zip(record) {
        let Some(column) = column else { continue };
        let value = match *column {
            _ if text.is_empty() => Value::Null,
            "domains" => text.split([',', ';', ' ', '|']).filter(|part| !part.is_empty()).map(Value::from).collect(),
            "arr" => money(text)?,
            "customer_since" => day(text)?,
            _ => Value::from(text),
        };
        body.insert((*column).to_owned(), value);
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let domain =
        || body.get("domains").and_then(|domains| domains.get(0)).and_then(Value::as_str).map(str::to_lowercase);
    let id = text("company_id").or_else(domain).or_else(|| text("name").map(|name| name.to_lowercase()));
    let id = id.ok_or("it has no name, no domain and no company id: nobody could be recognised by it")?;
    Ok(Row { id, line, body })
}

/// `€ 1,200,000.50`, `120000`, `1.5m`, `80k`.
fn money(text: &str) -> Result<Value, String> {
    let lower = text.to_lowercase();
    let bare: String = lower.chars().filter(|c| !c.is_whitespace() && !"$€£,'_".contains(*c)).collect();
    let bare = bare.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let (digits, factor) = match bare.chars().last() {
        Some('k') => (&bare[..bare.len() - 1], 1e3),
        Some('m') => (&bare[..bare.len() - 1], 1e6),
        _ => (bare, 1.0),
    };
    let number = digits.parse::<f64>().ok().map(|number| number * factor).and_then(Number::from_f64);
    number.map(Value::Number).ok_or_else(|| format!("arr: `{}` is no amount; write 120000", short(text)))
}

fn day(text: &str) -> Result<Value, String> {
    let head = text.get(..10).unwrap_or(text);
    let day = NaiveDate::parse_from_str(head, "%Y-%m-%d").or_else(|_| NaiveDate::parse_from_str(head, "%Y/%m/%d"));
    day.map(|day| Value::from(day.to_string()))
        .map_err(|_| format!("customer_since: `{}` is no day; write it as 2024-06-27", short(text)))
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The mapping of imported customers; it belongs to no configured connection.
pub fn mapping() -> Option<FromMapping> {
    match compile("mappings/csv.customers.toml", MAPPING) {
        Ok(compiled) => match compiled.mapping {
            Mapping::From(from) => Some(*from),
            Mapping::Into(_) => None,
        },
        Err(_) => None,
    }
}

/// Puts rows into the inbox. Returns how many are news.
///
/// # Errors
/// A ledger that cannot be written.
pub fn take_in(house: &House, rows: &[Row]) -> Result<usize, LedgerError> {
    let mut news = 0;
    for piece in rows.chunks(256) {
        news += house.ledger.transact(|tx| {
            let mut news = 0;
            for row in piece {
                let body = laid_over(&house.ledger, row)?;
                let record = Record {
                    key: Key::new(COLLECTION, &row.id),
                    version: None,
                    body: Some(body),
                    url: None,
                    edits: Vec::new(),
                };
                let input = Input { connection: CONNECTION.into(), record, via: Via::Import, seen_at: house.now() };
                news += usize::from(tx.ingest(&input)?);
            }
            Ok(news)
        })?;
    }
    house.ledger.durable()?;
    Ok(news)
}

/// The digest of the file that was taken in last.
const TAKEN: &str = "customers.csv taken in";
/// What is wrong with the file in the configuration.
const CONDITION: (&str, &str) = ("loopd", "customers.csv");
/// Bad lines that are told at most.
const TOLD: usize = 10;

/// Takes in the file that `customers.csv` of the configuration names, unless it is the one that was taken in last. Rows
/// are inputs like any other: what changed since the last file is taken over, and what a person decided stands.
///
/// # Errors
/// A ledger that cannot be written. A file that cannot be used is told as a condition.
pub fn configured(house: &House, world: &dyn World) -> Result<(), LedgerError> {
    let (of, name) = CONDITION;
    let Some(path) = &house.config.customers.csv else {
        return house.ledger.transact(|tx| tx.clear(of, name).map(|_| ()));
    };
    let file = path.display();
    let text = world.read(path).map_err(|error| format!("{file} cannot be read: {error}"));
    let digest = digest(&(path, &text))?;
    if house.ledger.transact(|tx| tx.meta::<u64>(TAKEN))? == Some(digest) {
        return Ok(());
    }
    let table = text.and_then(|text| read(&text, &BTreeMap::new()).map_err(|error| format!("{file}: {error}")));
    let wrong = match table {
        Ok(table) => {
            let news = take_in(house, &table.rows)?;
            tracing::info!(%file, rows = table.rows.len(), news, left_out = table.bad.len(), "customers are taken in from {file}");
            let mut told: Vec<String> =
                table.bad.iter().take(TOLD).map(|bad| format!("{file}:{}: {}", bad.line, bad.why)).collect();
            if table.bad.len() > TOLD {
                told.push(format!("and {} more", table.bad.len() - TOLD));
            }
            told.join("; ")
        }
        Err(why) => why,
    };
    if !wrong.is_empty() {
        tracing::warn!(why = wrong, "not all of {file} could be taken in");
    }
    house.ledger.transact(|tx| {
        tx.set_meta(TAKEN, &digest)?;
        if wrong.is_empty() { tx.clear(of, name).map(|_| ()) } else { tx.raise(of, name, &wrong, false, house.now()) }
    })
}

/// The row over what an earlier file said of columns that this one lacks.
fn laid_over(ledger: &Ledger, row: &Row) -> Result<Value, LedgerError> {
    let before = ledger.raw(CONNECTION, COLLECTION, &row.id)?.and_then(|input| input.record.body);
    let Some(Value::Object(mut body)) = before else { return Ok(Value::Object(row.body.clone())) };
    body.extend(row.body.clone());
    Ok(Value::Object(body))
}

/// What an import does, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub rows: usize,
    pub new: usize,
    /// Customers known from elsewhere that the row was found to be.
    pub matched: usize,
    pub changed: usize,
    pub unchanged: usize,
    pub bad: Vec<Bad>,
}

/// Takes rows in and lets them become customers at once.
///
/// # Errors
/// A ledger that fails.
pub async fn run(house: &Arc<House>, rows: &[Row]) -> Result<Report, Stop> {
    let mut before = Vec::new();
    let mut known: BTreeMap<EntityId, Value> = BTreeMap::new();
    house.ledger.each_entity(|entity| {
        if entity.as_customer().is_some() {
            known.insert(entity.id, entity.to_value());
        }
        Ok(())
    })?;
    for row in rows {
        before.push(house.ledger.linked(CONNECTION, COLLECTION, &row.id)?);
    }
    take_in(house, rows)?;
    let mut normalize = Normalize::new(house.clone());
    while normalize.step().await? == Step::Worked {}
    let dead: BTreeMap<String, String> = house
        .ledger
        .dead()?
        .into_iter()
        .filter(|(_, dead)| dead.connection == CONNECTION)
        .filter_map(|(_, dead)| Some((dead.key?.id, dead.cause)))
        .collect();
    let mut report = Report { rows: rows.len(), ..Report::default() };
    for (row, before) in rows.iter().zip(before) {
        if let Some(why) = dead.get(&row.id) {
            report.bad.push(Bad { line: row.line, why: why.clone() });
            continue;
        }
        let Some(id) = house.ledger.linked(CONNECTION, COLLECTION, &row.id)? else { continue };
        let now = house.ledger.entity(id)?.map(|entity| entity.to_value());
        match (before, known.get(&id)) {
            (None, None) => report.new += 1,
            (None, Some(_)) => report.matched += 1,
            (Some(_), was) if was == now.as_ref() => report.unchanged += 1,
            (Some(_), _) => report.changed += 1,
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_is_read_with_its_own_headers() {
        let text = "Account Name;Website;Annual Revenue;Since;Notes\nLumen Example;lumen.example.com | lumen.example.org;€ 1,200.50;2024-06-27;x\n\n;quill.example.com;80k;;\n";
        let table = read(text, &BTreeMap::new()).expect("it is read");
        assert_eq!((table.unknown, table.bad), (vec!["Notes".to_owned()], vec![]));
        assert_eq!(table.rows[0].id, "lumen.example.com");
        assert_eq!(table.rows[0].body["arr"], 1200.5);
        assert_eq!(table.rows[0].body["domains"], serde_json::json!(["lumen.example.com", "lumen.example.org"]));
        assert_eq!((table.rows[1].line, &table.rows[1].body["arr"]), (4, &Value::from(80_000.0)));
    }

    #[test]
    fn bad_rows_are_named_by_line_and_the_others_go_on() {
        let text = "name,arr,customer_since\nLumen Example,lots,\n,5,\nQuill Example,,soon\nAcme Example,1,\nAcme Example,2,\na,b,c,d\n";
        let table = read(text, &BTreeMap::new()).expect("it is read");
        let lines: Vec<u64> = table.bad.iter().map(|bad| bad.line).collect();
        assert_eq!((lines, table.rows.len()), (vec![2, 3, 4, 6, 7], 1), "{:?}", table.bad);
    }

    #[test]
    fn headers_can_be_mapped_and_must_mean_something() {
        let map = BTreeMap::from([("Kunde".to_owned(), "name".to_owned())]);
        assert_eq!(read("Kunde\nAcme Example\n", &map).expect("mapped").rows.len(), 1);
        assert!(matches!(read("Kunde\nAcme Example\n", &BTreeMap::new()), Err(ImportError::NoHeader)));
        let wrong = BTreeMap::from([("Kunde".to_owned(), "nmae".to_owned())]);
        assert!(matches!(read("Kunde\nx\n", &wrong), Err(ImportError::Header(_))));
    }

    #[test]
    fn the_shipped_mapping_compiles_and_its_examples_hold() {
        let compiled = compile("mappings/csv.customers.toml", MAPPING).expect("it compiles");
        assert_eq!(crate::mapping::run_examples(&compiled), vec![]);
        assert!(mapping().is_some());
    }
}
