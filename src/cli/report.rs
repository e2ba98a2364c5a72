//! `loopd report coverage`: who is heard, against who is there.

use anyhow::bail;

use super::admin::{self, Answer, AnswerVoice, Ask, AskVoice};
use super::{Exit, Out};
use crate::digest::week::Money;
use crate::report::coverage::{Cell, Coverage, Part};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// How much each segment, product and source says, against its share of customers and ARR
    Coverage {
        /// How many days back
        #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
}

/// Rows of the table of combinations; `--json` has all.
const CELLS: usize = 20;

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let What::Coverage { days } = args.what;
    let Answer::Voice(answer) = admin::ask(out, Ask::Voice(AskVoice::Coverage { days }))? else {
        bail!("another answer than was asked for")
    };
    let AnswerVoice::Coverage(coverage) = *answer else { bail!("another answer than was asked for") };
    out.json(&coverage);
    show(&coverage, days, out);
    Ok(Exit::Done)
}

fn show(coverage: &Coverage, days: u32, out: &Out) {
    let arr = match (coverage.arr_heard, coverage.arr) {
        (heard, Some(all)) => format!(", {} of {} ARR", money(Some(heard.unwrap_or(0.0))), money(Some(all))),
        (_, None) => String::new(),
    };
    let pieces = if coverage.items == 1 { "1 piece".into() } else { format!("{} pieces", coverage.items) };
    out.line(format!(
        "{pieces} of feedback in {days} days, from {} of {} customers{arr}",
        coverage.heard, coverage.customers
    ));
    for (name, parts) in
        [("SEGMENT", &coverage.segments), ("PRODUCT", &coverage.products), ("SOURCE", &coverage.sources)]
    {
        if parts.is_empty() {
            continue;
        }
        out.line("");
        let is_gap =
            |part: &Part| coverage.gaps.iter().any(|gap| gap.of.eq_ignore_ascii_case(name) && gap.name == part.name);
        let rows = parts.iter().map(|part| {
            vec![
                part.name.clone(),
                part.items.to_string(),
                format!("{}%", part.share_of_items),
                format!("{} of {}", part.heard, part.customers),
                format!("{}%", part.share_of_customers),
                money(part.arr),
                part.share_of_arr.map(|share| format!("{share}%")).unwrap_or_default(),
                if is_gap(part) { out.yellow("gap") } else { String::new() },
            ]
        });
        out.table(&[name, "PIECES", "OF ALL", "CUSTOMERS HEARD", "OF ALL", "ARR", "OF ALL", ""], rows);
    }
    if coverage.cells.len() > 1 {
        out.line("");
        let rows = coverage.cells.iter().take(CELLS).map(row);
        out.table(&["SEGMENT", "PRODUCT", "SOURCE", "PIECES", "CUSTOMERS", "ARR"], rows);
        if coverage.cells.len() > CELLS {
            out.line(out.faint(&format!("and {} more: --json has them all", coverage.cells.len() - CELLS)));
        }
    }
    if !coverage.silent.is_empty() {
        out.line("");
        let rows = coverage
            .silent
            .iter()
            .map(|silent| vec![silent.name.clone(), silent.segment.clone().unwrap_or_default(), money(silent.arr)]);
        out.table(&["SAID NOTHING", "SEGMENT", "ARR"], rows);
    }
}

fn row(cell: &Cell) -> Vec<String> {
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "?".into());
    vec![
        name(&cell.segment),
        name(&cell.product),
        name(&cell.source),
        cell.items.to_string(),
        cell.customers.to_string(),
        money(cell.arr),
    ]
}

fn money(amount: Option<f64>) -> String {
    amount.map(|amount| Money::of(amount).shown).unwrap_or_default()
}
