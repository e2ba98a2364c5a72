//! Reading records: one, or pages of a list (Airtable docs "list-records", read 2026-11-23).
//!
//! Pages are no snapshot: each is read when it is asked for. The offset names the place of the last row and when it was
//! given out; it expires after some idle minutes (the exact time is not documented) with
//! LIST_RECORDS_ITERATOR_NOT_AVAILABLE, and so it does when its place in a sorted list is gone.

use std::cmp::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::formula::Formula;
use super::formula_row::RowView;
use super::model::{Base, Row, Table};
use super::refusal::{Answer, Refusal};
use super::render;

const PAGE: usize = 100;
const IDLE: TimeDelta = TimeDelta::minutes(10);

pub(super) fn get(base: &Base, table: &str, row: &str, by_id: bool, now: DateTime<Utc>) -> Answer {
    let table = base.table(table)?;
    let row = table.rows.get(row).ok_or_else(Refusal::not_found)?;
    Ok(render::record(base, table, row, by_id, None, now))
}

/// What a list request asks for, checked.
struct Request<'t> {
    page: usize,
    most: usize,
    by_id: bool,
    only: Option<Vec<String>>,
    sort: Vec<(&'t super::model::Field, bool)>,
    formula: Option<Formula>,
    comment_count: bool,
    offset: Option<Offset>,
    /// Stands for all of the above but the offset: an offset belongs to one list.
    mark: String,
}

struct Offset {
    /// Number of the last row given out.
    row: u64,
    given: usize,
}

pub(super) fn list(base: &Base, table: &str, asked: &Map<String, Value>, now: DateTime<Utc>) -> Answer {
    let table = base.table(table)?;
    let request = check(table, asked, now)?;
    let passes =
        |row: &&Row| request.formula.as_ref().is_none_or(|f| f.passes(&RowView { base, table, row, now, depth: 0 }));
    let given = request.offset.as_ref().map_or(0, |o| o.given);
    let room = request.page.min(request.most.saturating_sub(given));
    let (page, more): (Vec<&Row>, bool) = if request.sort.is_empty() {
        let from = request.offset.as_ref().map_or(0, |o| o.row + 1);
        let mut rows = table.order.range(from..).filter_map(|(_, id)| table.rows.get(id)).filter(passes);
        let page = rows.by_ref().take(room).collect();
        (page, rows.next().is_some())
    } else {
        let mut rows: Vec<&Row> = table.rows.values().filter(passes).collect();
        rows.sort_by(|a, b| order(base, table, &request, now, a, b));
        let from = match &request.offset {
            None => 0,
            Some(offset) => rows.iter().position(|r| r.number == offset.row).ok_or_else(gone)? + 1,
        };
        let rest = rows.get(from..).unwrap_or_default();
        (rest.iter().copied().take(room).collect(), rest.len() > room)
    };
    let records: Vec<Value> = page
        .iter()
        .map(|row| {
            let mut record = render::record(base, table, row, request.by_id, request.only.as_deref(), now);
            if request.comment_count {
                record["commentCount"] = json!(row.comments.len());
            }
            record
        })
        .collect();
    let mut out = json!({ "records": records });
    let given = given + page.len();
    if let Some(last) = page.last().filter(|_| more && given < request.most) {
        out["offset"] = json!(format!("itr{:012x}{}/{}/{given}", now.timestamp_millis(), request.mark, last.number));
    }
    Ok(out)
}

fn gone() -> Refusal {
    Refusal::new(
        422,
        "LIST_RECORDS_ITERATOR_NOT_AVAILABLE",
        "The iterator is not available any more; start the list again",
    )
}

fn check<'t>(table: &'t Table, asked: &Map<String, Value>, now: DateTime<Utc>) -> Answer<Request<'t>> {
    let count = |name: &str, default: usize, most: usize| match asked.get(name).filter(|v| !v.is_null()) {
        None => Ok(default),
        Some(value) => value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| (1..=most).contains(n))
            .ok_or_else(|| Refusal::malformed(format!("{name} is not valid"))),
    };
    if let Some(view) = asked.get("view").and_then(Value::as_str)
        && view != table.view
        && view != "Grid view"
    {
        return Err(Refusal::new(422, "VIEW_NAME_NOT_FOUND", format!("View {view:?} not found")));
    }
    if asked.get("cellFormat").is_some_and(|f| f == "string") {
        return Err(Refusal::malformed("cellFormat \"string\" is not modelled by this stand-in"));
    }
    let only = match asked.get("fields") {
        None | Some(Value::Null) => None,
        Some(Value::Array(names)) => {
            let ids = names.iter().map(|n| Ok(table.known_field(n.as_str().unwrap_or_default())?.id.clone()));
            Some(ids.collect::<Answer<Vec<_>>>()?)
        }
        Some(_) => return Err(Refusal::malformed("fields must be an array")),
    };
    let mut sort = Vec::new();
    for entry in asked.get("sort").and_then(Value::as_array).into_iter().flatten() {
        let name = entry["field"].as_str().ok_or_else(|| Refusal::malformed("sort needs a field"))?;
        let descending = match entry.get("direction").and_then(Value::as_str) {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(Refusal::malformed("sort direction must be asc or desc")),
        };
        sort.push((table.known_field(name)?, descending));
    }
    let formula = match asked.get("filterByFormula").and_then(Value::as_str).filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(formula(table, text)?),
    };
    let mark = mark(asked);
    let offset = match asked.get("offset").filter(|v| !v.is_null()) {
        None => None,
        Some(given) => Some(read_offset(given.as_str().unwrap_or_default(), &mark, now)?),
    };
    let list_of = |name: &str| asked.get(name).and_then(Value::as_array).into_iter().flatten();
    Ok(Request {
        page: count("pageSize", PAGE, PAGE)?,
        most: count("maxRecords", usize::MAX, usize::MAX)?,
        by_id: asked.get("returnFieldsByFieldId").is_some_and(|v| *v == true),
        only,
        sort,
        formula,
        comment_count: list_of("recordMetadata").any(|v| v == "commentCount"),
        offset,
        mark,
    })
}

fn formula(table: &Table, text: &str) -> Answer<Formula> {
    let bad = |why: String| {
        Refusal::new(422, "INVALID_FILTER_BY_FORMULA", format!("The formula for filtering records is invalid: {why}"))
    };
    let formula = Formula::parse(text).map_err(bad)?;
    match formula.fields().into_iter().find(|name| table.field(name).is_none()) {
        None => Ok(formula),
        Some(name) => Err(bad(format!("Unknown field names: {}", name.to_lowercase()))),
    }
}

fn read_offset(text: &str, mark: &str, now: DateTime<Utc>) -> Answer<Offset> {
    let bad = || Refusal::new(422, "INVALID_OFFSET_VALUE", "The value of offset is not valid");
    let mut parts = text.strip_prefix("itr").ok_or_else(bad)?.split('/');
    let head = parts.next().ok_or_else(bad)?;
    let (issued, theirs) = head.split_at_checked(12).ok_or_else(bad)?;
    let issued = i64::from_str_radix(issued, 16).ok().and_then(DateTime::from_timestamp_millis).ok_or_else(bad)?;
    let row = parts.next().and_then(|p| p.parse().ok()).ok_or_else(bad)?;
    let given = parts.next().and_then(|p| p.parse().ok()).ok_or_else(bad)?;
    if theirs != mark {
        return Err(bad());
    }
    if now - issued > IDLE {
        return Err(gone());
    }
    Ok(Offset { row, given })
}

/// A short fingerprint (FNV-1a) of what decides the rows and their order.
fn mark(asked: &Map<String, Value>) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    for name in ["view", "filterByFormula", "sort", "maxRecords"] {
        for byte in asked.get(name).unwrap_or(&Value::Null).to_string().bytes() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    format!("{hash:08x}")
}

/// Empty cells come first, as in the grid; ties keep the order of creation.
fn order(base: &Base, table: &Table, request: &Request<'_>, now: DateTime<Utc>, a: &Row, b: &Row) -> Ordering {
    for (field, descending) in &request.sort {
        let cell = |row: &Row| render::rest(base, table, row, field, now, 0);
        let by = match (cell(a), cell(b)) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => text_of(&a).cmp(&text_of(&b)),
            },
        };
        let by = if *descending { by.reverse() } else { by };
        if by.is_ne() {
            return by;
        }
    }
    a.number.cmp(&b.number)
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
