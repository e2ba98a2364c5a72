//! The records of a file, one after the other, each with the number of its first line.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::encoding::Encoding;
use super::sheet::Open;
use super::{Bad, Format, ImportError};

/// What one record takes at most, in bytes. One that is larger has a quote that is never closed.
const LARGEST: u64 = 8 << 20;
/// Of a bad line, this much is kept.
const KEPT: usize = 2048;

/// One record of the file, as it stands there.
pub(super) enum Found {
    /// Header, and text.
    Cells(Vec<String>),
    Object(Map<String, Value>),
}

/// The number of a line, and what begins there.
pub(super) type Record = (u64, Result<Result<Found, Bad>, ImportError>);

/// Records one after the other, each with the number of its first line.
pub(super) struct Records {
    delimiter: u8,
    encoding: Encoding,
    inner: Inner,
    done: bool,
}

enum Inner {
    Csv { reader: Box<csv::Reader<Guard>>, spent: Rc<Cell<u64>>, end: Rc<Cell<(u64, u8)>> },
    Lines { reader: BufReader<Box<dyn Read>>, line: u64 },
}

impl Records {
    pub(super) fn of(format: Format, delimiter: u8, encoding: Encoding, open: &Open<'_>) -> Result<Self, ImportError> {
        let mut file = BufReader::new(open().map_err(|error| ImportError::File(error.to_string()))?);
        skip_mark(&mut file)?;
        let file: Box<dyn Read> = Box::new(file);
        let inner = match format {
            Format::Csv => {
                let (spent, end) = (Rc::default(), Rc::default());
                let guard = Guard { file, spent: Rc::clone(&spent), end: Rc::clone(&end) };
                let mut builder = csv::ReaderBuilder::new();
                let reader = builder.delimiter(delimiter).flexible(true).has_headers(false).from_reader(guard);
                Inner::Csv { reader: Box::new(reader), spent, end }
            }
            Format::Ndjson => Inner::Lines { reader: BufReader::new(file), line: 0 },
        };
        Ok(Self { delimiter, encoding, inner, done: false })
    }

    pub(super) fn headers(&mut self) -> Result<Vec<String>, ImportError> {
        match self.next() {
            Some((_, Ok(Ok(Found::Cells(cells))))) => Ok(cells),
            Some((line, Ok(Err(bad)))) => Err(ImportError::Broken { line, why: bad.why }),
            Some((_, Err(error))) => Err(error),
            _ => Err(ImportError::Empty),
        }
    }

    pub(super) fn next(&mut self) -> Option<Record> {
        loop {
            if self.done {
                return None;
            }
            let (line, found) = match &mut self.inner {
                Inner::Csv { reader, spent, end } => next_cells(reader, spent, end, (self.delimiter, self.encoding))?,
                Inner::Lines { reader, line } => next_object(reader, line)?,
            };
            self.done = found.is_err();
            // An empty line, or one of nothing but separators.
            if matches!(&found, Ok(Ok(Found::Cells(cells))) if cells.iter().all(String::is_empty)) {
                continue;
            }
            return Some((line, found));
        }
    }
}

fn next_cells(
    reader: &mut csv::Reader<Guard>,
    spent: &Cell<u64>,
    end: &Cell<(u64, u8)>,
    (delimiter, encoding): (u8, Encoding),
) -> Option<Record> {
    let mut record = csv::ByteRecord::new();
    spent.set(0);
    let begins = reader.position().line();
    match reader.read_byte_record(&mut record) {
        Ok(false) => return None,
        Ok(true) => {}
        Err(error) => {
            let why = match error.kind() {
                csv::ErrorKind::Io(error) => error.to_string(),
                _ => "this is not CSV".to_owned(),
            };
            return Some((begins, Err(ImportError::Broken { line: begins, why })));
        }
    }
    let within: u64 = record.iter().map(|field| field.iter().filter(|byte| **byte == b'\n').count() as u64).sum();
    let (read, last) = end.get();
    // The last line may lack its end.
    let ended = u64::from(!(reader.position().byte() >= read && last != b'\n'));
    let line = reader.position().line().saturating_sub(ended + within).max(1);
    let mut cells = Vec::new();
    for field in &record {
        match encoding.read(field) {
            Some(text) => cells.push(text.trim().to_owned()),
            None => {
                let why = "this is not UTF-8, as the rest of the file: save it as CSV UTF-8".to_owned();
                let text = record.iter().map(|field| encoding.shown(field)).collect::<Vec<_>>();
                let text = cut(&text.join(&String::from(char::from(delimiter))));
                return Some((line, Ok(Err(Bad { line, why, text }))));
            }
        }
    }
    Some((line, Ok(Ok(Found::Cells(cells)))))
}

fn next_object(reader: &mut BufReader<Box<dyn Read>>, line: &mut u64) -> Option<Record> {
    loop {
        let mut bytes = Vec::new();
        *line += 1;
        let read = reader.by_ref().take(LARGEST).read_until(b'\n', &mut bytes);
        let broken = |why: String| Some((*line, Err(ImportError::Broken { line: *line, why })));
        match read {
            Ok(0) => return None,
            Ok(read) if read as u64 == LARGEST && bytes.last() != Some(&b'\n') => {
                return broken("this line is longer than 8 MiB: it is no NDJSON".into());
            }
            Ok(_) => {}
            Err(error) => return broken(error.to_string()),
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let found = match serde_json::from_slice::<Value>(&bytes) {
            Ok(Value::Object(object)) => Ok(Found::Object(object)),
            Ok(_) => Err("a line is one JSON object: {\"name\": …}".to_owned()),
            Err(error) => Err(format!("this is no JSON: {:?} at column {}", error.classify(), error.column())),
        };
        let bad = |why| Bad { line: *line, why, text: cut(&String::from_utf8_lossy(&bytes)) };
        return Some((*line, Ok(found.map_err(bad))));
    }
}

/// What it hands on since it was last asked, and what it handed on last.
struct Guard {
    file: Box<dyn Read>,
    spent: Rc<Cell<u64>>,
    end: Rc<Cell<(u64, u8)>>,
}

impl Read for Guard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.spent.set(self.spent.get() + read as u64);
        if self.spent.get() > LARGEST {
            return Err(io::Error::other("a quote that is opened here, or after, is never closed"));
        }
        if let Some(last) = buffer[..read].last() {
            self.end.set((self.end.get().0 + read as u64, *last));
        }
        Ok(read)
    }
}

/// The mark with which some programs begin UTF-8. Other encodings are refused.
pub(super) fn skip_mark(file: &mut BufReader<Box<dyn Read>>) -> Result<(), ImportError> {
    let start = file.fill_buf().map_err(|error| ImportError::File(error.to_string()))?;
    if start.starts_with(&[0xef, 0xbb, 0xbf]) {
        file.consume(3);
        return Ok(());
    }
    // An .xlsx or .ods, an .xls.
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err(ImportError::Workbook);
    }
    let utf16 = start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]);
    // Without a mark: every other byte of plain letters is nothing.
    let zeros = start.iter().take(64).filter(|byte| **byte == 0).count();
    if utf16 || zeros > 8 { Err(ImportError::Utf16) } else { Ok(()) }
}

pub(super) fn cut(text: &str) -> String {
    text.chars().take(KEPT).collect()
}
