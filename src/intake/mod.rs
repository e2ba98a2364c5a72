//! Intake: the one door. Polls, webhooks and single reads all end in the inbox, with the position they came from.
//!
//! Nothing is interpreted here. A page and the cursor after it are one commit; a webhook is answered only after its
//! content is on disk.

mod hooks;
mod poll;
mod sweep;
#[cfg(test)]
mod tests;

pub use hooks::{Arrived, Current, Door, Rejection, admit, receive};
pub use poll::Poll;

use connectors::Key;

/// A record to fetch, as an item of a fetch lane.
pub fn fetch_item(key: &Key) -> Vec<u8> {
    // A collection's name never holds a line break.
    format!("{}\n{}", key.collection, key.id).into_bytes()
}

pub fn read_fetch_item(item: &[u8]) -> Option<Key> {
    let (collection, id) = std::str::from_utf8(item).ok()?.split_once('\n')?;
    Some(Key::new(collection, id))
}
