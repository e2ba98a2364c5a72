//! Report: answers to people's questions about what loopd knows and does.
//!
//! The law: a report reads and changes nothing. It is plain data, so that the command line, the admin socket and the
//! web show the same.

pub mod cost;
pub mod coverage;
pub mod size;
pub mod status;
pub mod themes;
pub mod usage;
pub mod voices;
pub mod why;

pub use size::{Size, TreeSize, size};
pub use status::{Status, status};
pub use why::{Found, Why, find, why};
