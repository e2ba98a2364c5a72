//! What an evaluation may cost, counted while it runs.
//!
//! The law: an expression that ops wrote, over a record that anybody wrote, ends. Nothing in the language can loop
//! without end (see `allow.rs`); what remains is work that multiplies (`[.[] as $a | .[] as $b | …]`, texts doubled
//! again and again), and that is bounded here: steps by count, and bytes made by size.

use std::cell::Cell;

use jaq_core::data::HasLut;
use jaq_core::{DataT, Lut};
use jaq_json::{Num, Val};

/// Values yielded, elements compared. Some tenths of a second.
const STEPS: u64 = 1_000_000;
/// Bytes of texts and lists made.
const BYTES: u64 = 64 * 1024 * 1024;

pub(super) const SPENT: &str = "the expression does too much work for this record";
pub(super) const TOO_BIG: &str = "the expression makes too large a value of this record";

/// One evaluation's allowance. Once spent it stays spent, whatever the expression catches.
pub(super) struct Fuel {
    steps: Cell<u64>,
    bytes: Cell<u64>,
    /// A cause that is ours to tell; jaq's own errors quote values.
    why: Cell<Option<&'static str>>,
}

impl Fuel {
    pub(super) fn new() -> Self {
        Self { steps: Cell::new(STEPS), bytes: Cell::new(BYTES), why: Cell::new(None) }
    }

    /// The bound that was met, or the last cause that one of our filters gave.
    pub(super) fn why(&self) -> Option<&'static str> {
        self.why.get()
    }

    pub(super) fn spent(&self) -> bool {
        matches!(self.why.get(), Some(SPENT | TOO_BIG))
    }

    pub(super) fn blame(&self, why: &'static str) -> jaq_json::Error {
        if !self.spent() {
            self.why.set(Some(why));
        }
        jaq_json::Error::str(why)
    }

    pub(super) fn pay(&self, steps: u64) -> Result<(), jaq_json::Error> {
        if self.spent() {
            return Err(jaq_json::Error::str(SPENT));
        }
        match self.steps.get().checked_sub(steps) {
            Some(left) => self.steps.set(left),
            None => return Err(self.blame(SPENT)),
        }
        Ok(())
    }

    /// For a value that was just made.
    pub(super) fn made(&self, value: &Val) -> Result<(), jaq_json::Error> {
        self.pay(1)?;
        let size = match value {
            Val::Num(Num::BigInt(int)) if int.bits() > 256 => return Err(self.blame(TOO_BIG)),
            Val::TStr(text) | Val::BStr(text) => text.len(),
            Val::Arr(items) => items.len() * 16,
            Val::Obj(map) => map.len() * 64,
            Val::Null | Val::Bool(_) | Val::Num(_) => 0,
        };
        match self.bytes.get().checked_sub(size as u64) {
            Some(left) => self.bytes.set(left),
            None => return Err(self.blame(TOO_BIG)),
        }
        Ok(())
    }

    /// For a filter that goes through its whole input.
    pub(super) fn walk(&self, value: &Val) -> Result<u64, jaq_json::Error> {
        let cost = shallow(value);
        self.pay(cost)?;
        Ok(cost)
    }

    /// For a filter that goes through its input and everything in it.
    pub(super) fn dive(&self, value: &Val) -> Result<u64, jaq_json::Error> {
        let mut cost = self.walk(value)?;
        match value {
            Val::Arr(items) => {
                for item in items.iter() {
                    cost += self.dive(item)?;
                }
            }
            Val::Obj(map) => {
                for value in map.values() {
                    cost += self.dive(value)?;
                }
            }
            Val::Null | Val::Bool(_) | Val::Num(_) | Val::TStr(_) | Val::BStr(_) => {}
        }
        Ok(cost)
    }
}

fn shallow(value: &Val) -> u64 {
    let size = match value {
        Val::TStr(text) | Val::BStr(text) => text.len() / 64,
        Val::Arr(items) => items.len() / 8,
        Val::Obj(map) => map.len() / 4,
        Val::Null | Val::Bool(_) | Val::Num(_) => 0,
    };
    size as u64 + 1
}

/// jaq's values with [`Fuel`] at hand for native filters.
pub(super) struct Metered;

impl DataT for Metered {
    type V<'a> = Val;
    type Data<'a> = Run<'a>;
}

#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) lut: &'a Lut<Metered>,
    pub(super) fuel: &'a Fuel,
}

impl<'a> HasLut<'a, Metered> for Run<'a> {
    fn lut(&self) -> &'a Lut<Metered> {
        self.lut
    }
}
