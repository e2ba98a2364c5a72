//! The project's own screens.

use super::PostHog;
use crate::used::{self, Used};
use crate::world::Context;

impl PostHog {
    /// Writes down a use; zero takes it out.
    pub fn put(&mut self, row: Used, _cx: &mut Context<'_>) {
        used::put(&mut self.rows, row);
    }

    /// A key that may not query.
    pub fn add_narrow_key(&mut self, key: &str, _cx: &mut Context<'_>) {
        self.keys.insert(key.to_owned());
        self.narrow.insert(key.to_owned());
    }

    pub fn revoke_key(&mut self, key: &str, _cx: &mut Context<'_>) {
        self.keys.remove(key);
    }

    /// Queries cannot be run from now on, and why; `None`: they can.
    pub fn set_trouble(&mut self, why: Option<&str>, _cx: &mut Context<'_>) {
        self.trouble = why.map(str::to_owned);
    }
}
