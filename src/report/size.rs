//! How large the ledger is, and how much of that is alive: sled grows under updates.

use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, LedgerError, Tree};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Size {
    pub bytes_on_disk: u64,
    /// Keys and values that are alive.
    pub bytes_alive: u64,
    pub trees: Vec<TreeSize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeSize {
    pub tree: String,
    pub rows: u64,
    pub bytes: u64,
}

impl Size {
    /// Bytes on disk for each byte that is alive. `None` where nothing is.
    pub fn amplification(&self) -> Option<f64> {
        (self.bytes_alive > 0).then(|| self.bytes_on_disk as f64 / self.bytes_alive as f64)
    }
}

/// Reads every row.
///
/// # Errors
/// When the ledger cannot be read.
pub fn size(ledger: &Ledger) -> Result<Size, LedgerError> {
    let store = ledger.store();
    let mut trees = Vec::new();
    for tree in Tree::ALL {
        let mut size = TreeSize { tree: tree.name().to_owned(), rows: 0, bytes: 0 };
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = store.scan(tree, &[], after.as_deref(), 512)?;
            size.rows += rows.len() as u64;
            size.bytes += rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
            match rows.into_iter().next_back() {
                Some((key, _)) => after = Some(key),
                None => break,
            }
        }
        trees.push(size);
    }
    let bytes_alive = trees.iter().map(|tree| tree.bytes).sum();
    Ok(Size { bytes_on_disk: ledger.size_on_disk(), bytes_alive, trees })
}
