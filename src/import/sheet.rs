//! A file of rows, read more than once and never held: to learn what it is (its encoding, its marks, its habits, how long it
//! is), and then for the rows.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use serde_json::Value;

use super::columns::{known, meanings, plain};
use super::encoding::Encoding;
use super::records::{Found, Records, cut, skip_mark};
use super::row::{self, Seen};
use super::values::{Habits, Order};
use super::{Bad, Format, ImportError, Kind, Options, Row};
use crate::mapping::FromMapping;

/// Opens the file at its beginning.
pub type Open<'a> = dyn Fn() -> io::Result<Box<dyn Read>> + 'a;

/// What a file was found to be.
#[derive(Debug)]
pub struct Sheet {
    pub kind: Kind,
    pub format: Format,
    pub records: u64,
    /// Headers that mean nothing to us.
    pub unknown: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
    headers: Vec<String>,
    columns: Vec<Option<&'static str>>,
    said: BTreeMap<String, String>,
    delimiter: u8,
    encoding: Encoding,
    pub(super) order: Order,
    pub(super) comma_is_decimal: bool,
    /// The header whose column tells one row from another, where a person said so.
    id: Option<String>,
    map: Option<FromMapping>,
}

impl Sheet {
    /// Reads the file through.
    ///
    /// # Errors
    /// One that cannot be read, is no text, or has no usable headers.
    pub fn survey(open: &Open<'_>, options: Options) -> Result<Self, ImportError> {
        options.columns.iter().try_for_each(|(theirs, ours)| known(options.kind, theirs, ours).map(|_| ()))?;
        let (format, delimiter) = look_at_the_beginning(open, options.format)?;
        // JSON is UTF-8.
        let encoding = if format == Format::Csv { Encoding::of(open)? } else { Encoding::Utf8 };
        let mut sheet = Self {
            kind: options.kind,
            format,
            records: 0,
            unknown: Vec::new(),
            notes: Vec::new(),
            headers: Vec::new(),
            columns: Vec::new(),
            said: options.columns,
            delimiter,
            encoding,
            order: Order::default(),
            comma_is_decimal: false,
            id: options.id,
            map: options.map,
        };
        if encoding == Encoding::Western {
            let note = "it is not UTF-8 and is read as Windows-1252, as Western spreadsheets and Salesforce's reports are; if that is wrong, save it as CSV UTF-8";
            sheet.notes.push(note.to_owned());
        }
        let mut records = Records::of(sheet.format, sheet.delimiter, encoding, open)?;
        if format == Format::Csv {
            sheet.headers = records.headers()?;
            if sheet.map.is_none() {
                (sheet.columns, sheet.unknown) = meanings(sheet.kind, &sheet.headers, &sheet.said)?;
            }
            let lacks = |named: &str| !sheet.headers.iter().any(|header| plain(header) == plain(named));
            let missing = sheet.said.iter().find(|(theirs, _)| lacks(theirs));
            let missing = missing.map(|(theirs, ours)| format!("--map {theirs}={ours}"));
            let id = sheet.id.as_ref().filter(|id| lacks(id)).map(|id| format!("--id {id}"));
            if let Some(said) = missing.or(id) {
                let there = sheet.headers.join(", ");
                return Err(ImportError::Header(format!("{said}: there is no such column\n  = there are {there}")));
            }
        }
        let mut habits = Habits::default();
        while let Some((_, found)) = records.next() {
            sheet.records += 1;
            let Ok(found) = found? else { continue };
            for (meaning, text) in sheet.texts(&found) {
                match meaning {
                    "customer_since" | "date" => habits.see_date(&text),
                    "arr" => habits.see_amount(&text),
                    _ => {}
                }
            }
        }
        let (order, open_order) = habits.order();
        sheet.order = options.dates.unwrap_or(order);
        sheet.comma_is_decimal = habits.comma_is_decimal();
        if open_order && options.dates.is_none() {
            let note = "its dates may be read two ways and are taken as month/day/year; --dates dmy says otherwise";
            sheet.notes.push(note.to_owned());
        }
        Ok(sheet)
    }

    /// The rows, one after the other.
    ///
    /// # Errors
    /// A file that cannot be opened again.
    pub fn rows(&self, open: &Open<'_>) -> Result<Rows<'_>, ImportError> {
        let mut records = Records::of(self.format, self.delimiter, self.encoding, open)?;
        if self.format == Format::Csv {
            records.headers()?;
        }
        Ok(Rows { sheet: self, records, seen: Seen::default(), loose: Vec::new(), ready: Vec::new() })
    }

    /// What a record says, by meaning, where that is known.
    fn texts(&self, found: &Found) -> Vec<(&'static str, String)> {
        let meaning = |key: &str| super::columns::meaning(self.kind, key, &self.said).ok().flatten();
        match found {
            Found::Cells(cells) => {
                let known =
                    self.columns.iter().zip(cells).filter_map(|(meaning, text)| Some(((*meaning)?, text.clone())));
                known.collect()
            }
            Found::Object(object) => {
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let known = object.iter().filter_map(|(key, value)| Some((meaning(key)?.0, text(value))));
                known.collect()
            }
        }
    }

    fn row(&self, line: u64, found: &Found) -> Result<Option<Row>, String> {
        if let Found::Cells(cells) = found
            && cells.len() > self.headers.len()
        {
            return Err(format!(
                "{} values where the first line has {} columns: a value with a {} needs quotes",
                cells.len(),
                self.headers.len(),
                match self.delimiter {
                    b';' => "semicolon",
                    b'\t' => "tab",
                    _ => "comma",
                }
            ));
        }
        let raw = || match found {
            Found::Object(object) => object.clone(),
            Found::Cells(cells) => {
                let value = |text: &String| if text.is_empty() { Value::Null } else { Value::from(text.as_str()) };
                let pairs = self.headers.iter().zip(cells).map(|(header, text)| (header.clone(), value(text)));
                pairs.collect()
            }
        };
        let own_id = match &self.id {
            None => None,
            Some(id) => {
                let found = raw().into_iter().find(|(key, _)| plain(key) == plain(id)).map(|(_, value)| value);
                let text = match found {
                    Some(Value::String(text)) => text.trim().to_owned(),
                    Some(Value::Number(number)) => number.to_string(),
                    _ => String::new(),
                };
                if text.is_empty() {
                    return Err(format!("its {id} is empty, and nothing else tells it from the others"));
                }
                Some(text)
            }
        };
        match &self.map {
            Some(map) => row::mapped(self.kind, map, &raw(), line, own_id),
            None => {
                let values = match found {
                    Found::Cells(cells) => {
                        let value = |text: &String| Value::from(text.as_str());
                        let known = self.columns.iter().zip(cells);
                        known.filter_map(|(meaning, text)| Some(((*meaning)?, value(text)))).collect()
                    }
                    Found::Object(object) => {
                        let meaning = |key: &str| super::columns::meaning(self.kind, key, &self.said).ok().flatten();
                        let mut best: BTreeMap<&'static str, (usize, Value)> = BTreeMap::new();
                        for (key, value) in object {
                            if let Some((meaning, rank)) = meaning(key)
                                && best.get(meaning).is_none_or(|(before, _)| rank < *before)
                            {
                                best.insert(meaning, (rank, value.clone()));
                            }
                        }
                        best.into_iter().map(|(meaning, (_, value))| (meaning, value)).collect()
                    }
                };
                row::plain_row(self, values, line, own_id).map(Some)
            }
        }
    }
}

/// What comes of one record.
#[derive(Debug)]
pub enum Came {
    Row(Row),
    Bad(Bad),
    /// The same row as one before it, or one that the map's `when` leaves out.
    Nothing {
        repeated: bool,
    },
}

pub struct Rows<'a> {
    sheet: &'a Sheet,
    records: Records,
    seen: Seen,
    /// Lines of one cell: the end of a Salesforce report, unless rows follow.
    loose: Vec<Bad>,
    ready: Vec<Came>,
}

impl Iterator for Rows<'_> {
    type Item = Result<Came, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.pop() {
                return Some(Ok(ready));
            }
            let Some((line, found)) = self.records.next() else {
                // What Salesforce writes beneath a report says nothing about customers.
                let report = self.loose.iter().any(|bad| is_footer(&bad.text));
                let loose = std::mem::take(&mut self.loose);
                self.ready = if report { Vec::new() } else { loose.into_iter().rev().map(Came::Bad).collect() };
                return self.ready.pop().map(Ok);
            };
            let found = match found {
                Ok(Ok(found)) => found,
                Ok(Err(bad)) => return Some(Ok(Came::Bad(bad))),
                Err(error) => return Some(Err(error)),
            };
            let text = || match &found {
                Found::Cells(cells) => cut(&cells.join(&String::from(char::from(self.sheet.delimiter)))),
                Found::Object(object) => cut(&Value::Object(object.clone()).to_string()),
            };
            if let Found::Cells(cells) = &found
                && cells.len() == 1
                && self.sheet.headers.len() > 1
            {
                let why = format!("one value where the first line has {} columns", self.sheet.headers.len());
                self.loose.push(Bad { line, why, text: text() });
                if self.loose.len() < 32 {
                    continue;
                }
            }
            self.ready.extend(std::mem::take(&mut self.loose).into_iter().map(Came::Bad));
            if matches!(&found, Found::Cells(cells) if cells.len() == 1 && self.sheet.headers.len() > 1) {
                self.ready.reverse();
                continue;
            }
            let read = match self.sheet.row(line, &found) {
                Ok(None) => Came::Nothing { repeated: false },
                Ok(Some(row)) => match self.seen.before(&row) {
                    None => Came::Row(row),
                    Some(row::Before::Same) => Came::Nothing { repeated: true },
                    Some(row::Before::Another(first)) => {
                        Came::Bad(Bad { line, why: format!("{} stands in line {first} already", row.id), text: text() })
                    }
                },
                Err(why) => Came::Bad(Bad { line, why, text: text() }),
            };
            self.ready.push(read);
            self.ready.reverse();
        }
    }
}

/// Beneath a report that Salesforce exports with its details.
fn is_footer(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    ["copyright (c)", "copyright ©", "confidential information", "generated by", "grand total", "filtered by", "as of "]
        .iter()
        .any(|start| text.starts_with(start))
}

/// The format, and of CSV what stands between values: spreadsheets of half the world write semicolons.
fn look_at_the_beginning(open: &Open<'_>, said: Option<Format>) -> Result<(Format, u8), ImportError> {
    let mut file = BufReader::with_capacity(1 << 16, open().map_err(|error| ImportError::File(error.to_string()))?);
    skip_mark(&mut file)?;
    let mut head = Vec::new();
    let read = file.take(1 << 16).read_to_end(&mut head);
    read.map_err(|error| ImportError::File(error.to_string()))?;
    let head = String::from_utf8_lossy(&head);
    let first = head.trim_start().chars().next().ok_or(ImportError::Empty)?;
    let format = said.unwrap_or(if first == '{' { Format::Ndjson } else { Format::Csv });
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    for c in head.trim_start().chars() {
        match c {
            '"' => quoted = !quoted,
            '\n' if !quoted => break,
            c if !quoted => {
                counts.iter_mut().filter(|(mark, _)| char::from(*mark) == c).for_each(|(_, count)| *count += 1);
            }
            _ => {}
        }
    }
    let delimiter = counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(mark, _)| mark);
    Ok((format, delimiter))
}
