//! Stores without a disk: [`MemoryStore`] for simulations, which can lose power, and [`Overlay`] for `plan`, which
//! reads through to the real ledger and keeps its writes to itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::store::{Batch, Bytes, Row, Store, StoreError, Tree};

type Rows = BTreeMap<(Tree, Bytes), Bytes>;

/// Keeps everything in memory. [`MemoryStore::lose_power`] forgets what was not durable, as a disk would.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rows: Rows,
    /// How to take back each batch since the last sync, oldest first.
    undo: Vec<Vec<(Tree, Bytes, Option<Bytes>)>>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Of the batches since the last [`Store::durable`], the first `kept` survive (a disk writes in order, and may get
    /// further than it promised).
    pub fn lose_power(&self, kept: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.undo.len() > kept {
            for (tree, key, value) in state.undo.pop().into_iter().flatten().rev() {
                put(&mut state.rows, tree, key, value);
            }
        }
        state.undo.clear();
    }

    /// How many batches a power loss could take.
    pub fn at_risk(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).undo.len()
    }
}

fn put(rows: &mut Rows, tree: Tree, key: Bytes, value: Option<Bytes>) -> Option<Bytes> {
    match value {
        Some(value) => rows.insert((tree, key), value),
        None => rows.remove(&(tree, key)),
    }
}

fn scan(rows: &Rows, tree: Tree, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<Row> {
    use std::ops::Bound;
    let from = match after {
        Some(after) if after >= prefix => Bound::Excluded((tree, after.to_vec())),
        _ => Bound::Included((tree, prefix.to_vec())),
    };
    rows.range((from, Bound::Unbounded))
        .take_while(|((at, key), _)| *at == tree && key.starts_with(prefix))
        .take(limit)
        .map(|((_, key), value)| (key.clone(), value.clone()))
        .collect()
}

impl Store for MemoryStore {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.rows.get(&(tree, key.to_vec())).cloned())
    }

    fn scan(&self, tree: Tree, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(scan(&state.rows, tree, prefix, after, limit))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (tree, key, expected) in batch.checks {
            if state.rows.get(&(tree, key)) != expected.as_ref() {
                return Err(StoreError::Conflict { tree });
            }
        }
        let mut undo = Vec::new();
        for (tree, key, value) in batch.writes {
            let before = put(&mut state.rows, tree, key.clone(), value);
            undo.push((tree, key, before));
        }
        state.undo.push(undo);
        Ok(())
    }

    fn durable(&self) -> Result<(), StoreError> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).undo.clear();
        Ok(())
    }

    fn size_on_disk(&self) -> u64 {
        0
    }
}

/// What would be, on top of what is: reads see both, writes stay here.
pub struct Overlay {
    below: Arc<dyn Store>,
    above: Mutex<Above>,
}

#[derive(Default)]
struct Above {
    rows: Rows,
    removed: BTreeSet<(Tree, Bytes)>,
}

impl Overlay {
    pub fn new(below: Arc<dyn Store>) -> Self {
        Self { below, above: Mutex::default() }
    }

    fn see(&self, above: &Above, tree: Tree, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let place = (tree, key.to_vec());
        match above.rows.get(&place) {
            Some(value) => Ok(Some(value.clone())),
            None if above.removed.contains(&place) => Ok(None),
            None => self.below.get(tree, key),
        }
    }
}

impl Store for Overlay {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let above = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        self.see(&above, tree, key)
    }

    fn scan(&self, tree: Tree, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let above = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: BTreeMap<Bytes, Bytes> = scan(&above.rows, tree, prefix, after, limit).into_iter().collect();
        let mut from = after.map(<[u8]>::to_vec);
        let mut left = limit;
        // Removed rows take up places in a page from below, so keep paging until enough are left.
        while left > 0 {
            let page = self.below.scan(tree, prefix, from.as_deref(), left)?;
            let full = page.len() == left;
            from = page.last().map(|(key, _)| key.clone());
            for (key, value) in page {
                if !above.removed.contains(&(tree, key.clone())) {
                    rows.entry(key).or_insert(value);
                    left -= 1;
                }
            }
            if !full {
                break;
            }
        }
        Ok(rows.into_iter().take(limit).collect())
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut above = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        for (tree, key, expected) in batch.checks {
            if self.see(&above, tree, &key)? != expected {
                return Err(StoreError::Conflict { tree });
            }
        }
        for (tree, key, value) in batch.writes {
            match &value {
                Some(_) => above.removed.remove(&(tree, key.clone())),
                None => above.removed.insert((tree, key.clone())),
            };
            put(&mut above.rows, tree, key, value);
        }
        Ok(())
    }

    fn durable(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn size_on_disk(&self) -> u64 {
        0
    }
}
