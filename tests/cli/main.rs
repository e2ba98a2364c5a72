//! The program as people meet it: the real binary, its words, its exit codes, its signals, its doors.

mod app;
mod auth;
mod backfill;
mod check;
mod commands;
mod customers;
mod digest;
mod eval;
mod hooks;
mod import;
mod ledger;
mod manager;
mod model;
mod newcomer;
mod reload;
mod review;
mod run;
mod support;
mod themes;
mod usage;
