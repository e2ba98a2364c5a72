//! loopd closes the product feedback loop: what customers say, wherever they say it, becomes one shared record that
//! people judge, that engineers and customer success see where they work, and that is answered when it ships.
//!
//! # The way of the data
//!
//! ```text
//! vendors ─ poll, webhook ─▶ intake ─▶ normalize ─▶ enrich ─▶ triage ─▶ sync ─ write ─▶ vendors
//!                              ▲                                           │
//!                              └────── the records we wrote, edited ◀──────┘     close ─▶ the customer
//! ```
//!
//! One way round. An edit in Airtable or a status that moves in Linear comes in through the same door as a new Intercom
//! conversation. Rooms talk only through the [`ledger`]: a room takes a piece of work and, in one commit, stores the
//! result, marks the work done and queues what follows. So the way after a crash is the way of every day.
//!
//! # The rooms, in that order
//!
//! - [`intake`] polls, receives, listens, and puts on disk what vendors say; it interprets nothing.
//! - [`normalize`] draws entities from it with the `from` mappings, and merges what people changed in our records.
//! - [`enrich`] recognises the customer and suggests tags, by loopd's own small models.
//! - [`triage`] judges what has settled: extract, classify, compare, join a theme, weigh; with a language model where there is one.
//! - [`review`] holds what a person must decide, takes their word, and knows how well models have stood.
//! - [`sync`] compares what each outside record should be with what was agreed, and writes the difference.
//! - [`close`] prepares the answer to the customer, and sends it when a person says so.
//! - [`reconcile`] lets a changed configuration reach what is in the ledger already.
//! - [`usage`] says whose an account of the usage analytics is, and lets its customer's records show new numbers.
//! - [`upkeep`] forgets what has outlived its retention.
//! - [`eval`] measures how well texts are judged, on rows that somebody has labelled.
//! - [`report`] answers people's questions about all of it, and changes nothing; [`digest`] tells them the week.
//!
//! # What they stand on
//!
//! - [`schema`] is what loopd knows: feedback, customers, themes. [`view`] is what a mapping sees of it.
//! - [`mapping`] compiles what ops write: what flows where, which way, and who wins.
//! - [`ledger`] holds what is true, what both sides agreed on, and what is left to do.
//! - [`customers`] holds what people judge of customers: who may be one, who is, who is not.
//! - [`recognise`] says whose a piece of feedback is; [`follow`] what is to be looked at again when an entity has changed.
//! - [`model`] asks a language model, and lets no answer through that does not hold.
//! - [`vault`] keeps the grants of people who signed in for a connection.
//! - [`config`] reads and checks `config.toml`; [`house`] is what each room is handed; [`delay`] how long it
//!   waits, and [`pause`] how a command does.
//! - [`daemon`] wires them, and is the only loop that waits. [`cli`] and [`web`] are what people hold in their hands; [`telemetry`]
//!   is what the log says.

pub mod backfill;
pub mod cli;
pub mod close;
pub mod config;
pub mod customers;
pub mod daemon;
pub mod delay;
pub mod demo;
pub mod digest;
pub mod enrich;
pub mod eval;
pub mod follow;
pub mod house;
pub mod import;
pub mod intake;
pub mod ledger;
pub mod mapping;
pub mod model;
pub mod normalize;
pub mod pause;
pub mod plan;
pub mod rebuild;
pub mod recognise;
pub mod reconcile;
pub mod report;
pub mod restore;
pub mod review;
pub mod schema;
pub mod setup;
pub mod sync;
pub mod telemetry;
pub mod triage;
pub mod trial;
pub mod upkeep;
pub mod usage;
pub mod vault;
pub mod view;
pub mod web;
