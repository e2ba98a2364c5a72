//! Review: what a person must decide, their word, and how well models have stood against it.
//!
//! - [`record`] hears every word of a person about a model's verdict, wherever they said it. An edit of a field in Airtable
//!   or Notion is a review as much as a key pressed in `loopd review`.
//! - [`trust`] says, from these words alone, whether a task may act by itself.
//! - [`queue`] puts first what matters most; [`act`] does what a person says there.
//! - [`calibration`] makes how sure a model says it is into how often it is right.
//! - [`agreement`] tells how well models stand; [`examples`] and [`memory`] learn from where they did not.
//! - [`conflict`] is where both sides changed a field and its mapping leaves the rest to a person.
//!
//! Laws:
//! - Trust is earned by reviews and by nothing else: configuration can forbid it, and cannot give it.
//! - What is people's alone stays so, whatever the trust: a model sets only what [`WRITABLE`] names.
//! - A person's word counts once: a later one about the same verdict takes the place of the earlier.

pub mod act;
pub mod agreement;
pub mod calibration;
pub mod conflict;
pub mod examples;
pub mod memory;
pub mod open;
pub mod queue;
pub mod record;
pub mod trust;

pub use conflict::{Choice, decide};
pub use open::{WRITABLE, is_writable, suggested, task_of};
pub use record::learn;
pub use trust::{may_act, sampled, wilson};
