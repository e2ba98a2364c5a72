//! The ledger as text: export, import, and compaction (an import of its own export into a fresh store).
//!
//! One line a row: `{"tree":"links","key":"<hex>","value":…}`; the first line names the format. Values that are not
//! JSON (packed raw inputs) stand as `"hex"`. sled grows under updates; a fresh store holds only what is alive.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use super::migrate::FORMAT;
use super::store::{Batch, Store, StoreError, Tree};
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
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Serialize, Deserialize)]
struct Head {
    loopd_ledger: u32,
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
    serde_json::to_writer(&mut *out, &Head { loopd_ledger: FORMAT }).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    let mut count = 0;
    each_row(store, &mut |tree, key, value| {
        let text = std::str::from_utf8(value).ok().and_then(|text| RawValue::from_string(text.to_owned()).ok());
        let hex = text.is_none().then(|| to_hex(value));
        let line = RowLine { tree: tree.name().into(), key: to_hex(key), value: text, hex };
        serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

type See<'a> = dyn FnMut(Tree, &[u8], &[u8]) -> Result<(), PortError> + 'a;

fn each_row(store: &dyn Store, see: &mut See<'_>) -> Result<(), PortError> {
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
pub fn import(store: &dyn Store, lines: &mut dyn BufRead) -> Result<usize, PortError> {
    if !store.scan(Tree::Entities, &[], None, 1)?.is_empty() || !store.scan(Tree::Inbox, &[], None, 1)?.is_empty() {
        return Err(PortError::NotEmpty);
    }
    let mut count = 0;
    let mut batch = Batch::default();
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        if lines.read_line(&mut text)? == 0 {
            break;
        }
        let bad = |why: String| PortError::Line { line, why };
        if line == 1 {
            let head: Head = serde_json::from_str(&text)
                .map_err(|_| bad("not a loopd ledger export: its first line names the format".into()))?;
            if head.loopd_ledger > FORMAT {
                return Err(PortError::Newer { found: head.loopd_ledger });
            }
            continue;
        }
        let row: RowLine = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let tree = Tree::parse(&row.tree).ok_or_else(|| bad(format!("there is no tree {}", row.tree)))?;
        let key = from_hex(&row.key).ok_or_else(|| bad("the key is not hex".into()))?;
        let value = match (row.value, row.hex) {
            (Some(value), None) => value.get().as_bytes().to_vec(),
            (None, Some(hex)) => from_hex(&hex).ok_or_else(|| bad("the value is not hex".into()))?,
            // An index row holds nothing but its key: `"value": null`.
            (None, None) => b"null".to_vec(),
            (Some(_), Some(_)) => return Err(bad("a row has either a value or hex".into())),
        };
        batch.writes.push((tree, key, Some(value)));
        count += 1;
        if batch.writes.len() >= 512 {
            store.apply(std::mem::take(&mut batch))?;
        }
    }
    store.apply(batch)?;
    store.durable()?;
    Ok(count)
}

/// Rewrites the ledger in `path` into a fresh store and swaps it in. The old one stays beside it (`.before-compact`)
/// until the new one is in place and durable; a crash at any moment leaves one whole ledger at `path`, or
/// [`finish_swap`] puts it there. Returns (bytes before, bytes after).
pub fn compact(path: &Path, free: &FreeSpace) -> Result<(u64, u64), PortError> {
    finish_swap(path)?;
    let (fresh, old) = (beside(path, "compacting"), beside(path, "before-compact"));
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh)?;
    }
    let before = folder_size(path)?;
    {
        let from = SledStore::open(path, free.clone())?;
        let to = SledStore::open(&fresh, free.clone())?;
        let mut batch = Batch::default();
        each_row(&from, &mut |tree, key, value| {
            batch.writes.push((tree, key.to_vec(), Some(value.to_vec())));
            if batch.writes.len() >= 512 {
                to.apply(std::mem::take(&mut batch))?;
            }
            Ok(())
        })?;
        to.apply(batch)?;
        to.durable()?;
    }
    std::fs::rename(path, &old)?;
    std::fs::rename(&fresh, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    std::fs::remove_dir_all(&old)?;
    Ok((before, folder_size(path)?))
}

/// After a crash between the two renames of [`compact`] there is no ledger at `path`, but a whole one beside it.
pub fn finish_swap(path: &Path) -> io::Result<()> {
    let (fresh, old) = (beside(path, "compacting"), beside(path, "before-compact"));
    if !path.exists() && old.exists() {
        // The fresh one was complete before the first rename; the old one is as good, and surely whole.
        std::fs::rename(&old, path)?;
    }
    if path.exists() && old.exists() {
        std::fs::remove_dir_all(&old)?;
    }
    if path.exists() && fresh.exists() {
        std::fs::remove_dir_all(&fresh)?;
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::fs::File::open(path)?.sync_all()
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
