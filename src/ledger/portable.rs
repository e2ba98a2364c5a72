//! The ledger as text: export, import, and compaction (an import of its own export into a fresh store).
//!
//! One line a row: `{"tree":"links","key":"<hex>","value":…}`; the first line names the format, and the last one says how
//! many rows there are and holds the SHA-256 of all lines before it. Values that are not JSON (packed raw inputs) stand as
//! `"hex"`. sled grows under updates; a fresh store holds only what is alive.
//!
//! The law: a ledger stands at its place whole or not at all. What is read or copied goes into a folder beside it, and is
//! moved in when the last row is on disk.

use std::io::{self, BufRead, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::migrate::FORMAT;
use super::place::{Place, stands};
use super::store::{Batch, Row, Store, StoreError, Tree};
use super::{FreeSpace, SledStore};

#[derive(Debug, Error)]
pub enum PortError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("line {line}: {why}")]
    Line { line: usize, why: String },
    #[error("this export is of format {found}, and this loopd knows up to {FORMAT}: use the newer loopd")]
    Newer { found: u32 },
    #[error("the ledger to import into is not empty: give a new folder")]
    NotEmpty,
    #[error("the export ends after {rows} rows without its last line: it was cut. {TAKE_CUT}")]
    Cut { rows: usize },
    #[error("line {line}: the lines before it are not those that were exported: the file was changed or lacks some")]
    Changed { line: usize },
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Serialize, Deserialize)]
struct Head {
    loopd_ledger: u32,
}

const TAKE_CUT: &str = "Take another, or take what there is of it with `--cut`";

/// The last line.
#[derive(Serialize, Deserialize)]
struct End {
    rows: usize,
    sha256: String,
}

/// How the last line begins, and no other.
pub const END: &str = "{\"rows\":";

/// Whether an export must have its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Needed,
    /// It is taken as far as it goes. What is wrong with the lines there are is refused all the same.
    MayLack,
}

#[derive(Serialize, Deserialize)]
struct RowLine {
    tree: String,
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// Writes every row. Returns how many.
pub fn export(store: &dyn Store, out: &mut dyn Write) -> Result<usize, PortError> {
    let mut hash = Sha256::new();
    let mut write = |line: &mut Vec<u8>| {
        line.push(b'\n');
        hash.update(&line);
        out.write_all(line)
    };
    write(&mut serde_json::to_vec(&Head { loopd_ledger: FORMAT }).map_err(io::Error::from)?)?;
    let mut rows = 0;
    each_row(store, &mut |tree, key, value| {
        let text = std::str::from_utf8(value).ok().and_then(|text| RawValue::from_string(text.to_owned()).ok());
        let hex = text.is_none().then(|| to_hex(value));
        let line = RowLine { tree: tree.name().into(), key: to_hex(key), value: text, hex };
        write(&mut serde_json::to_vec(&line).map_err(io::Error::from)?)?;
        rows += 1;
        Ok::<(), PortError>(())
    })?;
    let end = End { rows, sha256: to_hex(&hash.finalize()) };
    serde_json::to_writer(&mut *out, &end).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(rows)
}

type See<'a, E> = dyn FnMut(Tree, &[u8], &[u8]) -> Result<(), E> + 'a;

fn each_row<E: From<StoreError>>(store: &dyn Store, see: &mut See<'_, E>) -> Result<(), E> {
    for tree in Tree::ALL {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = store.scan(tree, &[], after.as_deref(), 512)?;
            for (key, value) in &rows {
                see(tree, key, value)?;
            }
            match rows.into_iter().next_back() {
                Some((key, _)) => after = Some(key),
                None => break,
            }
        }
    }
    Ok(())
}

/// Reads an export into an empty store. Returns how many rows.
///
/// # Errors
/// An export that is not whole, or not an export. Rows before the fault are in the store then: it is to be thrown away.
pub fn import(store: &dyn Store, lines: &mut dyn BufRead, ending: Ending) -> Result<usize, PortError> {
    if !is_empty(store, &Tree::ALL)? {
        return Err(PortError::NotEmpty);
    }
    let (mut rows, mut hash) = (0, Sha256::new());
    let mut batch = Batch::default();
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        let bad = |why: String| PortError::Line { line, why };
        if lines.read_line(&mut text)? == 0 {
            match ending {
                Ending::MayLack if line > 1 => break,
                _ => return Err(PortError::Cut { rows }),
            }
        }
        if line == 1 {
            let head: Head = serde_json::from_str(&text)
                .map_err(|_| bad("not a loopd ledger export: its first line names the format".into()))?;
            if head.loopd_ledger > FORMAT {
                return Err(PortError::Newer { found: head.loopd_ledger });
            }
        } else if text.starts_with(END) {
            let end: End = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
            if end.rows != rows || end.sha256 != to_hex(&hash.finalize()) {
                return Err(PortError::Changed { line });
            }
            text.clear();
            if lines.read_line(&mut text)? > 0 {
                return Err(PortError::Line { line: line + 1, why: "there is more after the last line".into() });
            }
            break;
        } else {
            let (tree, (key, value)) = row(&text).map_err(bad)?;
            batch.writes.push((tree, key, Some(value)));
            rows += 1;
            if batch.writes.len() >= 512 {
                store.apply(std::mem::take(&mut batch))?;
            }
        }
        hash.update(&text);
    }
    store.apply(batch)?;
    store.durable()?;
    Ok(rows)
}

fn row(text: &str) -> Result<(Tree, Row), String> {
    let row: RowLine = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let tree = Tree::parse(&row.tree).ok_or_else(|| format!("there is no tree {}", row.tree))?;
    let key = from_hex(&row.key).ok_or("the key is not hex")?;
    let value = match (row.value, row.hex) {
        (Some(value), None) => value.get().as_bytes().to_vec(),
        (None, Some(hex)) => from_hex(&hex).ok_or("the value is not hex")?,
        // An index row holds nothing but its key: `"value": null`.
        (None, None) => b"null".to_vec(),
        (Some(_), Some(_)) => return Err("a row has either a value or hex".into()),
    };
    Ok((tree, (key, value)))
}

fn is_empty(store: &dyn Store, trees: &[Tree]) -> Result<bool, StoreError> {
    for tree in trees {
        if !store.scan(*tree, &[], None, 1)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads an export into a ledger at `path`: whole, or nothing. Returns how many rows.
///
/// # Errors
/// As [`import`]; a ledger stands there that holds more than its format, or is held by another process.
pub fn import_at(path: &Path, lines: &mut dyn BufRead, ending: Ending, free: &FreeSpace) -> Result<usize, PortError> {
    let place = Place::hold(path, free)?;
    let taken = stands(path);
    if taken {
        // Opening alone leaves rows in `meta`.
        let trees: Vec<Tree> = Tree::ALL.into_iter().filter(|tree| *tree != Tree::Meta).collect();
        if !is_empty(&SledStore::inside(path, free.clone())?, &trees)? {
            return Err(PortError::NotEmpty);
        }
    }
    let fresh = place.beside("importing");
    let moved = read_into(&fresh, lines, ending, free).and_then(|(rows, seal)| {
        let moved = if taken { place.swap_in(&fresh, &seal, free) } else { place.move_in(&fresh) };
        Ok(moved.map(|()| rows)?)
    });
    if moved.is_err() {
        super::place::remove(&fresh)?;
    }
    moved
}

fn read_into(
    fresh: &Path,
    lines: &mut dyn BufRead,
    ending: Ending,
    free: &FreeSpace,
) -> Result<(usize, Seal), PortError> {
    let store = SledStore::inside(fresh, free.clone())?;
    let rows = import(&store, lines, ending)?;
    Ok((rows, Seal::of(&store)?))
}

/// What a ledger holds, in one value: two with the same seal hold the same rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    pub rows: usize,
    digest: [u8; 32],
}

impl Seal {
    /// Reads every row.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn of(store: &dyn Store) -> Result<Self, StoreError> {
        let (mut rows, mut hash) = (0, Sha256::new());
        each_row(store, &mut |tree, key, value| {
            rows += 1;
            for part in [tree.name().as_bytes(), key, value] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            Ok::<(), StoreError>(())
        })?;
        Ok(Self { rows, digest: hash.finalize().into() })
    }
}

/// Rewrites the ledger in `path` into a fresh store and swaps it in. The place is held all along; the old ledger stays
/// beside the new one until that, at its place and on disk, is seen to hold the same rows. Returns (bytes before, bytes
/// after).
///
/// # Errors
/// A ledger that is held by another process, or that cannot be read; a disk that is full. The old ledger stays.
pub fn compact(path: &Path, free: &FreeSpace) -> Result<(u64, u64), PortError> {
    let place = Place::hold(path, free)?;
    let before = folder_size(path)?;
    let fresh = place.beside("compacting");
    let seal = {
        let from = SledStore::inside(path, free.clone())?;
        copy(&from, &SledStore::inside(&fresh, free.clone())?)?;
        Seal::of(&from)?
    };
    place.swap_in(&fresh, &seal, free)?;
    Ok((before, folder_size(path)?))
}

fn copy(from: &dyn Store, to: &dyn Store) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    each_row(from, &mut |tree, key, value| {
        batch.writes.push((tree, key.to_vec(), Some(value.to_vec())));
        if batch.writes.len() >= 512 {
            to.apply(std::mem::take(&mut batch))?;
        }
        Ok::<(), StoreError>(())
    })?;
    to.apply(batch)?;
    to.durable()
}

/// Bytes in a folder and below.
pub fn folder_size(path: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        size += if meta.is_dir() { folder_size(&entry.path())? } else { meta.len() };
    }
    Ok(size)
}

fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
