//! Taking rows in.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use connectors::{Key, Record};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Bad, CONNECTION, Came, ImportError, Kind, Options, Row, Sheet};
use crate::config::World;
use crate::house::{House, Stage, Step, Stop};
use crate::ledger::{Dead, Input, Ledger, LedgerError, Letter, Tx, Via, digest};
use crate::normalize::{Normalize, redraw};
use crate::schema::{Entity, EntityId};

/// Rows that one commit takes in.
const PIECE: usize = 256;
/// Bad lines that a report names.
const NAMED: usize = 1000;

/// What an import does, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub rows: u64,
    pub new: u64,
    /// Customers known from elsewhere that the row was found to be.
    pub matched: u64,
    pub changed: u64,
    pub unchanged: u64,
    /// The same row again, in the same file.
    pub repeated: u64,
    /// Rows that the mapping's `when` leaves out.
    pub left_out: u64,
    /// Rows that could not be taken; the first of them are in `bad`.
    pub refused: u64,
    pub bad: Vec<Bad>,
}

impl Report {
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.new += other.new;
        self.matched += other.matched;
        self.changed += other.changed;
        self.unchanged += other.unchanged;
        self.repeated += other.repeated;
        self.left_out += other.left_out;
        self.refused += other.refused;
        let room = NAMED.saturating_sub(self.bad.len());
        self.bad.extend(other.bad.into_iter().take(room));
    }

    pub fn refuse(&mut self, bad: Bad) {
        self.refused += 1;
        if self.bad.len() < NAMED {
            self.bad.push(bad);
        }
    }
}

/// A file is taken in from its beginning: what was wrong with its lines is told anew, where it still is.
///
/// # Errors
/// A ledger that cannot be written.
pub fn begin(house: &House, file: &str) -> Result<(), LedgerError> {
    let of_file = |dead: &Dead| matches!(&dead.letter, Letter::Line { file: of, .. } if of == file);
    let old: Vec<u64> = house.ledger.dead()?.into_iter().filter(|(_, dead)| of_file(dead)).map(|(at, _)| at).collect();
    for piece in old.chunks(PIECE) {
        house.ledger.transact(|tx| piece.iter().try_for_each(|number| tx.resurrected(*number)))?;
    }
    Ok(())
}

/// Puts rows into the inbox, and bad lines among the dead letters. `file`: how a person calls it. Returns how many rows are
/// news.
///
/// # Errors
/// A ledger that cannot be written.
pub fn take_in(house: &House, kind: Kind, file: &str, rows: &[Row], bad: &[Bad]) -> Result<usize, LedgerError> {
    let mut news = 0;
    for piece in rows.chunks(PIECE) {
        news += house.ledger.transact(|tx| {
            let mut news = 0;
            for row in piece {
                let url = row.body.get("url").and_then(Value::as_str).map(str::to_owned);
                let body = Some(laid_over(tx, kind, row)?);
                let key = Key::new(kind.collection(), &row.id);
                let record = Record { key, version: None, body, url, edits: Vec::new() };
                let input = Input { connection: CONNECTION.into(), record, via: Via::Import, seen_at: house.now() };
                news += usize::from(tx.ingest(&input)?);
            }
            Ok(news)
        })?;
    }
    for piece in bad.chunks(PIECE) {
        house.ledger.transact(|tx| piece.iter().try_for_each(|bad| bury(house, tx, kind, file, bad)))?;
    }
    house.ledger.durable()?;
    Ok(news)
}

fn letter(file: &str, line: u64, text: &str) -> Letter {
    Letter::Line { file: file.to_owned(), line, text: text.to_owned() }
}

fn bury(house: &House, tx: &mut Tx<'_>, kind: Kind, file: &str, bad: &Bad) -> Result<(), LedgerError> {
    let dead = Dead {
        at: house.now(),
        room: "import".into(),
        connection: CONNECTION.into(),
        key: Some(Key::new(kind.collection(), format!("{file}:{}", bad.line))),
        entity: None,
        field: None,
        cause: bad.why.clone(),
        letter: letter(file, bad.line, &bad.text),
        mapping: None,
    };
    tx.bury(&dead).map(|_| ())
}

/// The row over what an earlier file said of columns that this one lacks.
fn laid_over(tx: &mut Tx<'_>, kind: Kind, row: &Row) -> Result<Value, LedgerError> {
    let before = tx.raw(CONNECTION, kind.collection(), &row.id)?.and_then(|input| input.record.body);
    let Some(Value::Object(mut body)) = before else { return Ok(Value::Object(row.body.clone())) };
    body.extend(row.body.clone());
    Ok(Value::Object(body))
}

/// Takes a text in as `loopd import` takes a file in, and leaves the rest to the rooms. Returns the bad lines.
///
/// # Errors
/// A text that is no table, or a ledger that cannot be written, in words.
pub fn take_in_text(house: &House, kind: Kind, text: &str) -> Result<Vec<Bad>, String> {
    let options = Options { kind, ..Options::default() };
    match all_of(house, "text", text, options) {
        Ok(taken) => Ok(taken.bad),
        Err(Whole::File(error)) => Err(error.to_string()),
        Err(Whole::Ledger(error)) => Err(error.to_string()),
    }
}

/// What was in a text.
struct Taken {
    rows: usize,
    news: usize,
    bad: Vec<Bad>,
}

enum Whole {
    File(ImportError),
    Ledger(LedgerError),
}

impl From<ImportError> for Whole {
    fn from(error: ImportError) -> Self {
        Self::File(error)
    }
}

impl From<LedgerError> for Whole {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

fn all_of(house: &House, file: &str, text: &str, options: Options) -> Result<Taken, Whole> {
    let open = || Ok(Box::new(Cursor::new(text.as_bytes().to_vec())) as Box<dyn Read>);
    let kind = options.kind;
    let sheet = Sheet::survey(&open, options)?;
    begin(house, file)?;
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for read in sheet.rows(&open)? {
        match read? {
            Came::Row(row) => rows.push(row),
            Came::Bad(line) => bad.push(line),
            Came::Nothing { .. } => {}
        }
    }
    let news = take_in(house, kind, file, &rows, &bad)?;
    Ok(Taken { rows: rows.len(), news, bad })
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
    let file = path.display().to_string();
    let text = world.read(path).map_err(|error| format!("{file} cannot be read: {error}"));
    let digest = digest(&(path, &text))?;
    if house.ledger.transact(|tx| tx.meta::<u64>(TAKEN))? == Some(digest) {
        return Ok(());
    }
    let wrong = match text.map(|text| all_of(house, &file, &text, Options::default())) {
        Ok(Ok(Taken { rows, news, bad })) => {
            tracing::info!(%file, rows, news, left_out = bad.len(), "customers are taken in from {file}");
            let mut told: Vec<String> =
                bad.iter().take(TOLD).map(|bad| format!("{file}:{}: {}", bad.line, bad.why)).collect();
            if bad.len() > TOLD {
                told.push(format!("and {} more", bad.len() - TOLD));
            }
            told.join("; ")
        }
        Ok(Err(Whole::Ledger(error))) => return Err(error),
        Ok(Err(Whole::File(error))) => format!("{file}: {error}"),
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

/// Takes rows in, lets them become entities at once, and counts in `report` what came of them.
///
/// # Errors
/// A ledger that fails.
pub async fn run(
    house: &Arc<House>,
    kind: Kind,
    file: &str,
    rows: &[Row],
    bad: &[Bad],
    report: &mut Report,
) -> Result<(), Stop> {
    for piece in rows.chunks(PIECE) {
        let mut before: BTreeMap<&str, (EntityId, Value)> = BTreeMap::new();
        for row in piece {
            if let Some(known) = stands(&house.ledger, kind, row)? {
                before.insert(&row.id, (known.id, known.to_value()));
            }
        }
        take_in(house, kind, file, piece, &[])?;
        let mut normalize = Normalize::new(house.clone());
        while normalize.step().await? == Step::Worked {}
        for row in piece {
            report.rows += 1;
            if let Some(why) = refused(&house.ledger, kind, row)? {
                report.refuse(Bad { line: row.line, why, text: String::new() });
                continue;
            }
            let Some(now) = stands(&house.ledger, kind, row)? else { continue };
            match before.get(row.id.as_str()) {
                None if came_from(&now, kind, row) => report.new += 1,
                None => report.matched += 1,
                Some((id, was)) if *id == now.id && *was == now.to_value() => report.unchanged += 1,
                Some(_) => report.changed += 1,
            }
        }
    }
    take_in(house, kind, file, &[], bad)?;
    for line in bad {
        report.rows += 1;
        report.refuse(line.clone());
    }
    Ok(())
}

/// What [`run`] would do: each row is drawn in a transaction of its own, which is thrown away. A row is seen beside what is
/// known, and not beside the rows before it.
///
/// # Errors
/// A ledger that cannot be read.
pub fn rehearse(house: &House, kind: Kind, rows: &[Row], bad: &[Bad]) -> Result<Report, LedgerError> {
    let mut report = Report::default();
    for row in rows {
        report.rows += 1;
        match rehearse_one(house, kind, row)? {
            Would::Refuse(why) => report.refuse(Bad { line: row.line, why, text: String::new() }),
            Would::Make => report.new += 1,
            Would::Match => report.matched += 1,
            Would::Change => report.changed += 1,
            Would::Leave => report.unchanged += 1,
        }
    }
    for line in bad {
        report.rows += 1;
        report.refuse(line.clone());
    }
    Ok(report)
}

enum Would {
    Refuse(String),
    Make,
    Match,
    Change,
    Leave,
}

fn rehearse_one(house: &House, kind: Kind, row: &Row) -> Result<Would, LedgerError> {
    let mut would = Would::Leave;
    let thrown_away = house.ledger.transact(|tx| -> Result<(), LedgerError> {
        let entity = |tx: &mut Tx<'_>| -> Result<Option<Entity>, LedgerError> {
            match tx.linked(CONNECTION, kind.collection(), &row.id)? {
                Some(id) => tx.entity(id),
                None => Ok(None),
            }
        };
        let before = entity(tx)?;
        let body = Some(laid_over(tx, kind, row)?);
        let key = Key::new(kind.collection(), &row.id);
        let record = Record { key, version: None, body, url: None, edits: Vec::new() };
        let input = Input { connection: CONNECTION.into(), record, via: Via::Import, seen_at: house.now() };
        let number = Letter::Input { input: Box::new(input.clone()) }.number(CONNECTION)?;
        redraw(house, tx, input)?;
        would = match (before, entity(tx)?, tx.unbury(number)?) {
            (_, _, Some(dead)) => Would::Refuse(why(dead)),
            (None, Some(now), None) if came_from(&now, kind, row) => Would::Make,
            (None, _, None) => Would::Match,
            (before, now, None) if before == now => Would::Leave,
            _ => Would::Change,
        };
        Err(LedgerError::Bug(REHEARSED.into()))
    });
    match thrown_away {
        Err(LedgerError::Bug(why)) if why == REHEARSED => Ok(would),
        Err(error) => Err(error),
        Ok(()) => Err(LedgerError::Bug("a rehearsal was kept".into())),
    }
}

/// With which a rehearsal's transaction is thrown away.
const REHEARSED: &str = "rehearsed";

fn why(dead: Dead) -> String {
    match dead.field {
        Some(field) => format!("{field}: {}", dead.cause),
        None => dead.cause,
    }
}

/// The entity of which this row speaks.
fn stands(ledger: &Ledger, kind: Kind, row: &Row) -> Result<Option<Entity>, LedgerError> {
    match ledger.linked(CONNECTION, kind.collection(), &row.id)? {
        Some(id) => ledger.entity(id),
        None => Ok(None),
    }
}

/// Whether the entity came to be by this row.
fn came_from(entity: &Entity, kind: Kind, row: &Row) -> bool {
    entity.id == EntityId::derive(CONNECTION, kind.collection(), &row.id)
}

/// Why the mapping did not take the row.
fn refused(ledger: &Ledger, kind: Kind, row: &Row) -> Result<Option<String>, LedgerError> {
    let key = Key::new(kind.collection(), &row.id);
    let record = Record { key, version: None, body: None, url: None, edits: Vec::new() };
    let input =
        Input { connection: CONNECTION.into(), record, via: Via::Import, seen_at: chrono::DateTime::UNIX_EPOCH };
    let number = Letter::Input { input: Box::new(input) }.number(CONNECTION)?;
    Ok(ledger.dead_letter(number)?.map(why))
}
