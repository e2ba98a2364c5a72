//! The ledger's format. An older ledger is brought up step by step on open; a newer one is refused, untouched.

use super::store::{Batch, Store, Tree};
use super::{LedgerError, StoreError, decode, encode, keys};

/// What this version writes.
pub(super) const FORMAT: u32 = 3;

const KEY: &str = "format";

/// From one format to the next. Each step is one batch, so that a crash leaves either format whole.
pub(super) type Step = fn(&dyn Store) -> Result<Batch, LedgerError>;

/// `STEPS[n]` leads from format n + 1 to n + 2.
const STEPS: &[Step] = &[
    // Usage has trees of its own, which a loopd before them would leave behind when it compacts: nothing else changes.
    |_| Ok(Batch::default()),
    // So has judgement.
    |_| Ok(Batch::default()),
];

pub(super) fn migrate(store: &dyn Store) -> Result<(), LedgerError> {
    migrate_with(store, FORMAT, STEPS)
}

pub(super) fn migrate_with(store: &dyn Store, format: u32, steps: &[Step]) -> Result<(), LedgerError> {
    let key = keys::texts(&[KEY]);
    let found: u32 = match store.get(Tree::Meta, &key)? {
        Some(bytes) => decode(Tree::Meta, &bytes)?,
        None => {
            let write = (Tree::Meta, key, Some(encode(&format)?));
            return Ok(store.apply(Batch { checks: Vec::new(), writes: vec![write] })?);
        }
    };
    if found > format {
        return Err(LedgerError::Store(StoreError::Unreadable {
            path: "given".into(),
            why: format!("it was written by a newer loopd (format {found}, this one knows {format}); use that version"),
        }));
    }
    for at in found..format {
        let step = steps
            .get(at as usize - 1)
            .ok_or_else(|| LedgerError::Bug(format!("no way from ledger format {at} to {}", at + 1)))?;
        let mut batch = step(store)?;
        batch.writes.push((Tree::Meta, key.clone(), Some(encode(&(at + 1))?)));
        store.apply(batch)?;
        store.durable()?;
        tracing::info!(from = at, to = at + 1, "ledger migrated");
    }
    Ok(())
}
