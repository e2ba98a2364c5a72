//! Stand-ins for the vendors: they keep state, page, sign and send webhooks, enforce quotas and penalties, and refuse
//! what the vendors refuse. They speak real HTTP through [`server`], or are called in process by a simulation.
//!
//! Nothing here is shared with the `connectors` crate, on purpose: a client and its stand-in must not share a mistake.
//!
//! A [`World`] holds one stand-in per vendor, a clock, a seed and the faults to commit. [`World::call`] is the whole
//! surface: a request in, a [`Reply`] out. People act on the vendors' own screens through its desks:
//! [`World::github`], [`World::airtable`] and so on (open an issue, edit a cell, move a card). Those are the hands whose
//! edits must never be lost.

#![expect(clippy::result_large_err, reason = "a refusal *is* an HTTP answer; boxing it would help nobody")]

pub mod airtable;
pub mod bigquery;
pub mod faults;
pub mod ga4;
pub mod github;
pub mod google;
pub mod granola;
pub mod intercom;
pub mod linear;
mod lines;
pub mod mistral;
pub mod notion;
mod oauth;
mod post;
pub mod posthog;
mod room;
pub mod salesforce;
pub mod server;
pub mod slack;
#[cfg(test)]
mod testing;
pub mod typeform;
mod used;
mod wire;
pub mod world;

pub use faults::{FailKind, Faults, Rng};
pub use server::{Ports, Served, serve};
pub use used::Used;
pub use world::{Books, Clock, Context, Outgoing, Phase, Reply, StandIn, Vendor, World};
