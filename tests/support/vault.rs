//! A vault in memory, which outlives the house that uses it, and can be full.
#![expect(unreachable_pub, reason = "test binaries include this file as a module")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use connectors::oauth::Vault;
use secrecy::{ExposeSecret, SecretString};

#[derive(Default)]
pub struct MemoryVault {
    kept: Mutex<Option<String>>,
    stamp: AtomicU64,
    full: AtomicBool,
}

impl MemoryVault {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on it takes nothing, or takes it again.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    fn put(&self, text: Option<String>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = text;
        self.stamp.fetch_add(1, Ordering::Relaxed);
    }
}

impl Vault for MemoryVault {
    fn load(&self) -> Result<Option<SecretString>, String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.clone().map(SecretString::from))
    }
    fn store(&self, grant: &SecretString) -> Result<(), String> {
        if self.full.load(Ordering::Relaxed) {
            return Err("no space left".into());
        }
        self.put(Some(grant.expose_secret().to_owned()));
        Ok(())
    }
    fn forget(&self) -> Result<(), String> {
        self.put(None);
        Ok(())
    }
    fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Relaxed)
    }
    fn command(&self) -> String {
        "loopd auth NAME".into()
    }
}
