//! The project's own screens: what is in the tables, where they are, how a query fares.

use super::BigQuery;
use crate::used::{self, Used};
use crate::world::Context;

/// How the next queries fare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Status, reason, message.
    Refused(u16, String, String),
    /// Reason and message, in an answer of 200.
    InAnswer(String, String),
}

impl BigQuery {
    /// Writes down a use; zero takes it out.
    pub fn put(&mut self, row: Used, _cx: &mut Context<'_>) {
        used::put(&mut self.rows, row);
    }

    /// Where the data is: `EU` at first.
    pub fn move_to(&mut self, location: &str, _cx: &mut Context<'_>) {
        location.clone_into(&mut self.location);
    }

    /// The columns that the query has.
    pub fn set_columns(&mut self, columns: &[&str], _cx: &mut Context<'_>) {
        self.columns = columns.iter().map(|&name| name.to_owned()).collect();
    }

    /// What a query reads.
    pub fn set_bytes(&mut self, bytes: u64, _cx: &mut Context<'_>) {
        self.bytes = bytes;
    }

    /// A new job is not done yet when it is asked for, so many times.
    pub fn set_busy(&mut self, times: u32, _cx: &mut Context<'_>) {
        self.busy = times;
    }

    /// How queries fare from now on; `None`: well.
    pub fn set_trouble(&mut self, trouble: Option<Trouble>, _cx: &mut Context<'_>) {
        self.trouble = trouble;
    }

    /// A service account's public key, in PEM. `false`: it is none.
    pub fn register_key(&mut self, email: &str, key_id: &str, public_key: &str, _cx: &mut Context<'_>) -> bool {
        self.tokens.register(email, key_id, public_key)
    }

    pub fn delete_account(&mut self, email: &str, _cx: &mut Context<'_>) {
        self.tokens.delete_account(email);
    }

    /// Every token that was handed out is good no more.
    pub fn revoke_tokens(&mut self, _cx: &mut Context<'_>) {
        self.tokens.revoke_all();
    }

    /// Bytes that were billed so far.
    pub fn billed(&self) -> u64 {
        self.billed
    }
}
