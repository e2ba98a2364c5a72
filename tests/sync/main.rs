//! Stories of the whole engine and all four vendors, a file a theme. Each is told three times: undisturbed, with the
//! engine ended and begun again in its middle, and with the machine's power lost there. Whatever happened, the story
//! must end the same, with no work left in any queue, no broken law, and no room that failed.

#[path = "../support/furnish.rs"]
mod furnish;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/town.rs"]
mod town;

mod airtable_edits;
mod calls_and_surveys;
mod changed_config;
mod comments;
mod conflicts;
mod customers;
mod deletions;
mod duplicates;
mod echo;
mod four_places;
mod full_loop;
mod judgement;
mod linear_changes;
mod locked_out;
mod model;
mod notion;
mod odd_input;
mod one_customer;
mod repair;
mod retention;
mod rows_refused;
mod salesforce;
mod signed_in;
mod slack;
mod story;
mod tables_changed;
mod themes;
mod uncertain;
mod usage;
mod webhook_or_poll;
mod why;
