//! Intake: the one door. Polls, webhooks and single reads all end in the inbox, with the position they came from.
//!
//! Nothing is interpreted here. A page and the cursor after it are one commit; a webhook is answered only after its
//! content is on disk.

mod hooks;
mod listen;
mod poll;
mod sweep;

pub(crate) use hooks::NOTICE;
pub use hooks::{Arrived, Current, Door, Rejection, admit, receive, receive_at, serves};
pub use listen::Listen;
pub use poll::Poll;
