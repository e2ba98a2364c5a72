//! Runs an expression on a row. Blank is equal to "", 0 and false, as in Airtable.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use super::parse::{Expr, Op};

/// What a formula computes with.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::airtable) enum Cell {
    Blank,
    Bool(bool),
    Number(f64),
    Text(String),
    Date(DateTime<Utc>),
    List(Vec<Cell>),
    /// `#ERROR!`: infects what it is used in, and no row passes by it.
    Error,
}

/// The row at hand, by field name or id.
pub(in crate::airtable) trait Row {
    fn id(&self) -> &str;
    fn created(&self) -> DateTime<Utc>;
    fn modified(&self, fields: Option<&[String]>) -> DateTime<Utc>;
    fn cell(&self, field: &str) -> Cell;
    fn now(&self) -> DateTime<Utc>;
}

impl Cell {
    pub(in crate::airtable) fn is_truthy(&self) -> bool {
        match self {
            Self::Blank | Self::Error => false,
            Self::Bool(b) => *b,
            Self::Number(n) => *n != 0.0,
            Self::Text(t) => !t.is_empty(),
            Self::Date(_) => true,
            Self::List(items) => !items.is_empty(),
        }
    }

    pub(in crate::airtable) fn text(&self) -> String {
        match self {
            Self::Blank => String::new(),
            Self::Bool(b) => if *b { "1" } else { "0" }.to_owned(),
            Self::Number(n) => n.to_string(),
            Self::Text(t) => t.clone(),
            Self::Date(d) => crate::airtable::model::stamp(*d),
            Self::List(items) => items.iter().map(Self::text).collect::<Vec<_>>().join(", "),
            Self::Error => "#ERROR!".to_owned(),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Blank => Some(0.0),
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            Self::Number(n) => Some(*n),
            Self::Text(t) => t.trim().parse().ok(),
            Self::List(items) => match items.as_slice() {
                [one] => one.number(),
                _ => None,
            },
            Self::Date(_) | Self::Error => None,
        }
    }

    fn date(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Date(d) => Some(*d),
            Self::Text(t) => parse_date(t),
            Self::List(items) => items.first().and_then(Self::date),
            Self::Blank | Self::Bool(_) | Self::Number(_) | Self::Error => None,
        }
    }
}

/// ISO dates and times; a time without a zone is UTC here.
pub(in crate::airtable) fn parse_date(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    DateTime::parse_from_rfc3339(text)
        .map(|d| d.to_utc())
        .ok()
        .or_else(|| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok().map(|d| d.and_utc()))
        .or_else(|| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok().map(|d| d.and_utc()))
        .or_else(|| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").ok().map(|d| d.and_utc()))
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0).map(|d| d.and_utc()))
}

/// Function names with how many arguments they take.
const FUNCTIONS: [(&str, usize, usize); 34] = [
    ("AND", 1, usize::MAX),
    ("OR", 1, usize::MAX),
    ("XOR", 1, usize::MAX),
    ("NOT", 1, 1),
    ("IF", 2, 3),
    ("TRUE", 0, 0),
    ("FALSE", 0, 0),
    ("BLANK", 0, 0),
    ("ERROR", 0, 0),
    ("ISERROR", 1, 1),
    ("RECORD_ID", 0, 0),
    ("CREATED_TIME", 0, 0),
    ("LAST_MODIFIED_TIME", 0, usize::MAX),
    ("NOW", 0, 0),
    ("TODAY", 0, 0),
    ("IS_AFTER", 2, 2),
    ("IS_BEFORE", 2, 2),
    ("IS_SAME", 2, 3),
    ("DATETIME_PARSE", 1, 3),
    ("LEN", 1, 1),
    ("LOWER", 1, 1),
    ("UPPER", 1, 1),
    ("TRIM", 1, 1),
    ("LEFT", 1, 2),
    ("RIGHT", 1, 2),
    ("MID", 3, 3),
    ("CONCATENATE", 1, usize::MAX),
    ("SUBSTITUTE", 3, 3),
    ("FIND", 2, 3),
    ("SEARCH", 2, 3),
    ("ARRAYJOIN", 1, 2),
    ("VALUE", 1, 1),
    ("SUM", 1, usize::MAX),
    ("EXACT", 2, 2),
];

/// Refuses unknown functions and wrong argument counts before any row is looked at.
pub(super) fn check(expr: &Expr) -> Result<(), String> {
    match expr {
        Expr::Call(name, args) => {
            let Some((_, least, most)) = FUNCTIONS.iter().find(|(known, _, _)| known == name) else {
                return Err(format!("unknown function {name}"));
            };
            if args.len() < *least || args.len() > *most {
                return Err(format!("wrong number of arguments for {name}"));
            }
            if name == "LAST_MODIFIED_TIME" && args.iter().any(|arg| !matches!(arg, Expr::Field(_))) {
                return Err("LAST_MODIFIED_TIME takes fields".to_owned());
            }
            args.iter().try_for_each(check)
        }
        Expr::Binary(_, left, right) => check(left).and_then(|()| check(right)),
        Expr::Negate(inner) => check(inner),
        Expr::Number(_) | Expr::Text(_) | Expr::Field(_) => Ok(()),
    }
}

pub(super) fn run(expr: &Expr, row: &dyn Row) -> Cell {
    match expr {
        Expr::Number(n) => Cell::Number(*n),
        Expr::Text(t) => Cell::Text(t.clone()),
        Expr::Field(name) => row.cell(name),
        Expr::Negate(inner) => run(inner, row).number().map_or(Cell::Error, |n| Cell::Number(-n)),
        Expr::Binary(op, left, right) => binary(*op, &run(left, row), &run(right, row)),
        Expr::Call(name, args) => call(name, args, row),
    }
}

fn binary(op: Op, left: &Cell, right: &Cell) -> Cell {
    if *left == Cell::Error || *right == Cell::Error {
        return Cell::Error;
    }
    let arithmetic = |f: fn(f64, f64) -> f64| match (left.number(), right.number()) {
        (Some(l), Some(r)) => Some(f(l, r)).filter(|n| n.is_finite()).map_or(Cell::Error, Cell::Number),
        _ => Cell::Error,
    };
    let ordered = |f: fn(std::cmp::Ordering) -> bool| compare(left, right).map_or(Cell::Error, |o| Cell::Bool(f(o)));
    match op {
        Op::Equal => Cell::Bool(equal(left, right)),
        Op::NotEqual => Cell::Bool(!equal(left, right)),
        Op::Less => ordered(std::cmp::Ordering::is_lt),
        Op::LessOrEqual => ordered(std::cmp::Ordering::is_le),
        Op::Greater => ordered(std::cmp::Ordering::is_gt),
        Op::GreaterOrEqual => ordered(std::cmp::Ordering::is_ge),
        Op::Concat => Cell::Text(left.text() + &right.text()),
        Op::Add => arithmetic(|l, r| l + r),
        Op::Subtract => arithmetic(|l, r| l - r),
        Op::Multiply => arithmetic(|l, r| l * r),
        Op::Divide => arithmetic(|l, r| l / r),
    }
}

fn equal(left: &Cell, right: &Cell) -> bool {
    match (left, right) {
        (Cell::Blank, other) | (other, Cell::Blank) => !other.is_truthy(),
        (Cell::Date(a), b) | (b, Cell::Date(a)) => b.date().is_some_and(|b| *a == b),
        (Cell::Text(a), b) | (b, Cell::Text(a)) => *a == b.text(),
        (Cell::List(_), _) | (_, Cell::List(_)) => left.text() == right.text(),
        _ => left.number() == right.number(),
    }
}

fn compare(left: &Cell, right: &Cell) -> Option<std::cmp::Ordering> {
    if matches!(left, Cell::Date(_)) || matches!(right, Cell::Date(_)) {
        return Some(left.date()?.cmp(&right.date()?));
    }
    match (left.number(), right.number()) {
        (Some(l), Some(r)) => l.partial_cmp(&r),
        _ => Some(left.text().cmp(&right.text())),
    }
}

fn call(name: &str, args: &[Expr], row: &dyn Row) -> Cell {
    // These decide themselves which arguments are run, and whether an error in one matters.
    match name {
        "IF" => {
            let chosen = match run(&args[0], row) {
                Cell::Error => return Cell::Error,
                test if test.is_truthy() => args.get(1),
                _ => args.get(2),
            };
            return chosen.map_or(Cell::Blank, |arg| run(arg, row));
        }
        "ISERROR" => return Cell::Bool(run(&args[0], row) == Cell::Error),
        "LAST_MODIFIED_TIME" => {
            let fields: Vec<String> = args
                .iter()
                .filter_map(|arg| if let Expr::Field(name) = arg { Some(name.clone()) } else { None })
                .collect();
            return Cell::Date(row.modified((!fields.is_empty()).then_some(&fields)));
        }
        _ => {}
    }
    let values: Vec<Cell> = args.iter().map(|arg| run(arg, row)).collect();
    if values.contains(&Cell::Error) {
        return Cell::Error;
    }
    match name {
        "TRUE" => Cell::Bool(true),
        "FALSE" => Cell::Bool(false),
        "BLANK" => Cell::Blank,
        "RECORD_ID" => Cell::Text(row.id().to_owned()),
        "CREATED_TIME" => Cell::Date(row.created()),
        "NOW" => Cell::Date(row.now()),
        "TODAY" => row.now().date_naive().and_hms_opt(0, 0, 0).map_or(Cell::Error, |d| Cell::Date(d.and_utc())),
        "AND" => Cell::Bool(values.iter().all(Cell::is_truthy)),
        "OR" => Cell::Bool(values.iter().any(Cell::is_truthy)),
        "XOR" => Cell::Bool(values.iter().filter(|v| v.is_truthy()).count() % 2 == 1),
        "NOT" => Cell::Bool(!values[0].is_truthy()),
        "IS_AFTER" => dates(&values, |a, b| a > b),
        "IS_BEFORE" => dates(&values, |a, b| a < b),
        "IS_SAME" => same(&values),
        "DATETIME_PARSE" => values[0].date().map_or(Cell::Error, Cell::Date),
        "VALUE" => values[0].number().map_or(Cell::Error, Cell::Number),
        "SUM" => Cell::Number(flat(&values).iter().filter_map(Cell::number).sum()),
        _ => text_call(name, &values),
    }
}

fn text_call(name: &str, values: &[Cell]) -> Cell {
    let text = values.first().map(Cell::text).unwrap_or_default();
    let count = |at: usize, default: usize| values.get(at).and_then(Cell::number).map_or(default, whole);
    match name {
        "LEN" => Cell::Number(small(text.chars().count())),
        "LOWER" => Cell::Text(text.to_lowercase()),
        "UPPER" => Cell::Text(text.to_uppercase()),
        "TRIM" => Cell::Text(text.trim().to_owned()),
        "LEFT" => Cell::Text(text.chars().take(count(1, 1)).collect()),
        "RIGHT" => Cell::Text(text.chars().skip(text.chars().count().saturating_sub(count(1, 1))).collect()),
        "MID" => Cell::Text(text.chars().skip(count(1, 1).saturating_sub(1)).take(count(2, 0)).collect()),
        "CONCATENATE" => Cell::Text(values.iter().map(Cell::text).collect()),
        "SUBSTITUTE" => Cell::Text(text.replace(&values[1].text(), &values[2].text())),
        "EXACT" => Cell::Bool(text == values[1].text()),
        "FIND" => {
            position(&text, &values[1].text(), count(2, 1)).map_or(Cell::Number(0.0), |at| Cell::Number(small(at)))
        }
        "SEARCH" => position(&text.to_lowercase(), &values[1].text().to_lowercase(), count(2, 1))
            .map_or(Cell::Blank, |at| Cell::Number(small(at))),
        "ARRAYJOIN" => {
            let separator = values.get(1).map_or_else(|| ", ".to_owned(), Cell::text);
            Cell::Text(flat(&values[..1]).iter().map(Cell::text).collect::<Vec<_>>().join(&separator))
        }
        _ => Cell::Error,
    }
}

/// Where `needle` begins, counted from 1; FIND and SEARCH differ in case and in what "nowhere" is.
fn position(needle: &str, hay: &str, from: usize) -> Option<usize> {
    let skip = from.saturating_sub(1);
    let start = hay.char_indices().nth(skip).map_or(hay.len(), |(at, _)| at);
    let at = hay[start..].find(needle)?;
    Some(hay[..start + at].chars().count() + 1)
}

fn dates(values: &[Cell], holds: fn(DateTime<Utc>, DateTime<Utc>) -> bool) -> Cell {
    match (values[0].date(), values[1].date()) {
        (Some(a), Some(b)) => Cell::Bool(holds(a, b)),
        _ if values.contains(&Cell::Blank) => Cell::Bool(false),
        _ => Cell::Error,
    }
}

fn same(values: &[Cell]) -> Cell {
    let (Some(a), Some(b)) = (values[0].date(), values[1].date()) else { return Cell::Bool(false) };
    let unit = values.get(2).map(Cell::text).unwrap_or_default();
    let shape = match unit.trim_end_matches('s') {
        "year" => "%Y",
        "month" => "%Y-%m",
        "day" => "%Y-%m-%d",
        "hour" => "%Y-%m-%dT%H",
        "minute" => "%Y-%m-%dT%H:%M",
        "second" => "%Y-%m-%dT%H:%M:%S",
        _ => "%Y-%m-%dT%H:%M:%S%.3f",
    };
    Cell::Bool(a.format(shape).to_string() == b.format(shape).to_string())
}

fn flat(values: &[Cell]) -> Vec<Cell> {
    values.iter().flat_map(|v| if let Cell::List(items) = v { items.clone() } else { vec![v.clone()] }).collect()
}

fn small(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

fn whole(n: f64) -> usize {
    // Saturates, which is what a count out of a formula should do.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
    let n = n.max(0.0) as usize;
    n
}
