//! The property's own screens: what was seen, what is registered, what Google says of its numbers.

use super::Ga4;
use crate::used::{self, Used};
use crate::world::Context;

impl Ga4 {
    /// Writes down a use; zero takes it out.
    pub fn put(&mut self, row: Used, _cx: &mut Context<'_>) {
        used::put(&mut self.rows, row);
    }

    /// Takes a dimension of the owner's own out of the property.
    pub fn unregister(&mut self, dimension: &str, _cx: &mut Context<'_>) {
        self.custom.remove(dimension);
    }

    /// Reports may withhold rows of few people.
    pub fn set_thresholding(&mut self, on: bool, _cx: &mut Context<'_>) {
        self.thresholding = on;
    }

    /// Reports roll rare values up.
    pub fn set_other_row(&mut self, on: bool, _cx: &mut Context<'_>) {
        self.other_row = on;
    }

    /// Somebody else's reports cost tokens, too.
    pub fn spend_tokens(&mut self, tokens: u64, cx: &mut Context<'_>) {
        let (hour, day) = (cx.now.timestamp().div_euclid(3600), cx.now.timestamp().div_euclid(86_400));
        if self.hour.0 != hour {
            self.hour = (hour, 0);
        }
        if self.day.0 != day {
            self.day = (day, 0);
        }
        self.spend(tokens);
    }

    /// A service account's public key, in PEM. `false`: it is none.
    pub fn register_key(&mut self, email: &str, key_id: &str, public_key: &str, _cx: &mut Context<'_>) -> bool {
        self.tokens.register(email, key_id, public_key)
    }

    pub fn revoke_tokens(&mut self, _cx: &mut Context<'_>) {
        self.tokens.revoke_all();
    }
}
