//! What language models cost: by day, task and model, against the budget.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::house::House;
use crate::ledger::{LedgerError, Spent};

/// What was spent in a span of days.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub from: NaiveDate,
    pub to: NaiveDate,
    pub rows: Vec<CostRow>,
    pub total: CostRow,
    /// US dollars.
    pub today_usd: f64,
    pub day_limit_usd: Option<f64>,
    pub month_usd: f64,
    pub month_limit_usd: Option<f64>,
    /// What went wrong with the model, or why nobody asks it now.
    pub conditions: Vec<String>,
}

/// One line of it. A day, task or model that stands for all is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CostRow {
    pub day: Option<NaiveDate>,
    pub task: String,
    pub model: String,
    pub calls: u64,
    /// Answers that were known, and cost nothing.
    pub from_cache: u64,
    /// Answers that did not hold.
    pub refused: u64,
    pub input_tokens: u64,
    /// Of them, known to the provider.
    pub cached_tokens: u64,
    pub output_tokens: u64,
    pub usd: f64,
}

/// By what lines are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    #[default]
    Task,
    Day,
    Model,
}

/// # Errors
/// When the ledger cannot be read.
pub fn cost(house: &House, since: Option<NaiveDate>, by: By) -> Result<Cost, LedgerError> {
    let to = day(house, house.now());
    let from = since.unwrap_or_else(|| to.with_day(1).unwrap_or(to));
    let mut rows: Vec<CostRow> = Vec::new();
    let mut total = CostRow::default();
    let (mut today, mut month) = (0, 0);
    for (on, task, model, spent) in house.ledger.spent()? {
        if on == to {
            today += spent.micro_usd;
        }
        if (on.year(), on.month()) == (to.year(), to.month()) {
            month += spent.micro_usd;
        }
        if on < from || on > to {
            continue;
        }
        let key = match by {
            By::Task => CostRow { task, model, ..CostRow::default() },
            By::Day => CostRow { day: Some(on), ..CostRow::default() },
            By::Model => CostRow { model, ..CostRow::default() },
        };
        add(&mut total, &spent);
        let same = |row: &&mut CostRow| (row.day, &row.task, &row.model) == (key.day, &key.task, &key.model);
        match rows.iter_mut().find(same) {
            Some(row) => add(row, &spent),
            None => {
                let mut row = key;
                add(&mut row, &spent);
                rows.push(row);
            }
        }
    }
    let conditions = house.ledger.conditions()?;
    let conditions = conditions.into_iter().filter(|(connection, ..)| connection == crate::model::MODEL);
    Ok(Cost {
        from,
        to,
        rows,
        total,
        today_usd: usd(today),
        day_limit_usd: house.config.model.day_micro_usd.map(usd),
        month_usd: usd(month),
        month_limit_usd: house.config.model.month_micro_usd.map(usd),
        conditions: conditions.map(|(_, _, condition)| condition.what).collect(),
    })
}

fn day(house: &House, at: DateTime<Utc>) -> NaiveDate {
    at.with_timezone(&house.config.timezone).date_naive()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 millionths")]
pub fn usd(micro: u64) -> f64 {
    micro as f64 / 1e6
}

fn add(row: &mut CostRow, spent: &Spent) {
    row.calls += spent.calls;
    row.from_cache += spent.cached_answers;
    row.refused += spent.refused;
    row.input_tokens += spent.input_tokens;
    row.cached_tokens += spent.cached_tokens;
    row.output_tokens += spent.output_tokens;
    row.usd += usd(spent.micro_usd);
}
