//! Which repository is meant: the settings' spelling (the *handle*) names it in every key, for ever; GitHub's numeric
//! id recognises it in webhooks; its present name makes the paths. A rename changes only the last.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::settings::is_handle;
use super::types::Repository;

pub(crate) struct Repos {
    handles: Vec<String>,
    bound: Mutex<Bound>,
}

/// What is kept across restarts, as [`crate::Connector::attach`] returns it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bound {
    /// Numeric id -> handle.
    #[serde(default)]
    repos: BTreeMap<String, String>,
    /// Handle -> present name, where that is another.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    renamed: BTreeMap<String, String>,
}

impl Repos {
    pub(crate) fn new(handles: Vec<String>) -> Self {
        Self { handles, bound: Mutex::default() }
    }

    pub(crate) fn handles(&self) -> &[String] {
        &self.handles
    }

    /// The handle as configured, whatever the case it is asked in.
    pub(crate) fn handle(&self, text: &str) -> Option<&str> {
        self.handles.iter().find(|handle| handle.eq_ignore_ascii_case(text)).map(String::as_str)
    }

    /// The name to call it by now.
    pub(crate) fn path(&self, handle: &str) -> String {
        self.lock().renamed.get(handle).cloned().unwrap_or_else(|| handle.to_owned())
    }

    pub(crate) fn id(&self, handle: &str) -> Option<u64> {
        self.lock().repos.iter().find(|(_, bound)| *bound == handle).and_then(|(id, _)| id.parse().ok())
    }

    /// Remembers what GitHub says of the repository behind a handle.
    pub(crate) fn learn(&self, handle: &str, repository: &Repository) {
        let mut bound = self.lock();
        if let Some(id) = repository.id {
            bound.repos.retain(|_, other| other != handle);
            bound.repos.insert(id.to_string(), handle.to_owned());
        }
        match repository.full_name.as_deref().filter(|name| is_handle(name)) {
            Some(name) if !name.eq_ignore_ascii_case(handle) => {
                bound.renamed.insert(handle.to_owned(), name.to_owned());
            }
            Some(_) => {
                bound.renamed.remove(handle);
            }
            None => {}
        }
    }

    /// The handle of a repository named in a webhook; `None`: not one of ours. The id decides; the name only as long as
    /// no id is known for it.
    pub(crate) fn recognise(&self, repository: &Repository) -> Option<String> {
        let bound = self.lock();
        if let Some(handle) = repository.id.and_then(|id| bound.repos.get(&id.to_string())) {
            return Some(handle.clone());
        }
        let name = repository.full_name.as_deref()?;
        let handle = self.handle(name)?;
        let known = bound.repos.values().any(|other| other == handle);
        (!known || repository.id.is_none()).then(|| handle.to_owned())
    }

    /// Takes up a stored binding; what is no longer configured falls away.
    pub(crate) fn restore(&self, known: &Value) {
        let Ok(mut known) = Bound::deserialize(known) else { return };
        known.repos.retain(|_, handle| self.handle(handle).is_some());
        known.renamed.retain(|handle, name| self.handle(handle).is_some() && is_handle(name));
        *self.lock() = known;
    }

    pub(crate) fn binding(&self) -> Value {
        serde_json::to_value(&*self.lock()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
