//! A stored row as formulas see it: selects by name, links by the text of the linked rows' primary fields.

use chrono::{DateTime, Utc};
use serde_json::Value;

pub(super) use super::formula::parse_date;
use super::formula::{Cell, Row as FormulaRow};
use super::model::{Base, Row, Table};
use super::render;

pub(super) struct RowView<'a> {
    pub(super) base: &'a Base,
    pub(super) table: &'a Table,
    pub(super) row: &'a Row,
    pub(super) now: DateTime<Utc>,
    pub(super) depth: u8,
}

impl FormulaRow for RowView<'_> {
    fn id(&self) -> &str {
        &self.row.id
    }

    fn created(&self) -> DateTime<Utc> {
        self.row.created
    }

    fn modified(&self, fields: Option<&[String]>) -> DateTime<Utc> {
        let ids: Option<Vec<String>> =
            fields.map(|names| names.iter().filter_map(|n| Some(self.table.field(n)?.id.clone())).collect());
        self.row.modified(ids.as_deref())
    }

    fn now(&self) -> DateTime<Utc> {
        self.now
    }

    fn cell(&self, field: &str) -> Cell {
        let Some(field) = self.table.field(field) else { return Cell::Blank };
        if field.kind == "multipleRecordLinks" {
            let other = field.option("linkedTableId").and_then(|id| self.base.at(id)).map(|at| &self.base.tables[at]);
            let (Some(Value::Array(ids)), Some(other)) = (self.row.cells.get(&field.id), other) else {
                return Cell::Blank;
            };
            let names =
                ids.iter().filter_map(Value::as_str).map(|id| Cell::Text(render::primary_text(self.base, other, id)));
            return Cell::List(names.collect());
        }
        let Some(value) = render::rest(self.base, self.table, self.row, field, self.now, self.depth) else {
            return Cell::Blank;
        };
        if matches!(field.kind.as_str(), "date" | "dateTime" | "createdTime" | "lastModifiedTime")
            && let Some(at) = value.as_str().and_then(parse_date)
        {
            return Cell::Date(at);
        }
        cell(&value)
    }
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Blank,
        Value::Bool(b) => Cell::Bool(*b),
        Value::Number(n) => n.as_f64().map_or(Cell::Error, Cell::Number),
        Value::String(text) => Cell::Text(text.clone()),
        Value::Array(items) => Cell::List(items.iter().map(cell).collect()),
        Value::Object(map) => ["name", "text", "filename"]
            .iter()
            .find_map(|key| map.get(*key)?.as_str())
            .map_or(Cell::Error, |text| Cell::Text(text.to_owned())),
    }
}
