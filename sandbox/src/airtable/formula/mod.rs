//! The part of Airtable's formula language that sync clients use in `filterByFormula`: field references, literals,
//! comparison, arithmetic, `&`, and the functions for logic, text and dates (Airtable formula reference, read 2026-11-23).
//!
//! A formula is parsed once, its field names are checked against the table, then it runs per row. Whatever does not
//! parse, or names an unknown field or function, is refused as a whole: INVALID_FILTER_BY_FORMULA.

mod eval;
mod parse;

pub(super) use eval::{Cell, Row, parse_date};

/// A formula that can be run.
#[derive(Debug, Clone)]
pub(super) struct Formula(parse::Expr);

impl Formula {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expr = parse::parse(text)?;
        eval::check(&expr)?;
        Ok(Self(expr))
    }

    /// Every field the formula names, for checking against the table.
    pub(super) fn fields(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.0.fields(&mut out);
        out
    }

    /// Whether the row passes: the formula is neither blank, 0, false, "" nor an error.
    pub(super) fn passes(&self, row: &dyn Row) -> bool {
        eval::run(&self.0, row).is_truthy()
    }

    /// The value of a formula field.
    pub(super) fn value(&self, row: &dyn Row) -> Cell {
        eval::run(&self.0, row)
    }
}

#[cfg(test)]
mod tests;
