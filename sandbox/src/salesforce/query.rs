//! Answering a query: which rows, in which order, shown with which fields.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use serde_json::{Map, Value, json};

use super::access::Access;
use super::model::{Field, Kind, Object, Row, read_id};
use super::refusal::{Answer, Refusal, no_such_type, refuse};
use super::soql::{Filter, Literal, Op, Path, Query, Select};
use super::values::read_time;

/// Where a query looks.
pub(super) struct Scope<'s> {
    pub(super) objects: &'s BTreeMap<String, Object>,
    pub(super) access: &'s Access,
    pub(super) now: DateTime<Utc>,
    /// `/services/data/v67.0`
    pub(super) root: &'s str,
    /// With what lies in the recycle bin.
    pub(super) all: bool,
}

/// Some of an object's rows, or their number.
pub(super) enum Found {
    Rows(Vec<Value>),
    Count(usize),
}

impl Scope<'_> {
    pub(super) fn run(&self, query: &Query) -> Answer<Found> {
        let of = self.object(&query.from)?;
        if query.offset > 2000 {
            return Err(refuse(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"));
        }
        let paths = self.selected(of, query)?;
        for path in &paths {
            self.field(of, path)?;
        }
        let rows = self.rows(of, query)?;
        if query.select.iter().any(|select| matches!(select, Select::Count)) {
            return Ok(Found::Count(rows.len()));
        }
        Ok(Found::Rows(rows.into_iter().map(|row| self.show(of, row, &paths)).collect()))
    }

    fn object(&self, name: &str) -> Answer<&Object> {
        let object = self.objects.get(&name.to_lowercase());
        object.filter(|object| self.access.may(object, "Read")).ok_or_else(|| no_such_type(name))
    }

    fn rows<'o>(&self, of: &'o Object, query: &Query) -> Answer<Vec<&'o Row>> {
        let mut rows = Vec::new();
        if let Some(filter) = &query.filter {
            // Its mistakes are told whether there are rows or not.
            self.fits(of, &Row::default(), filter)?;
        }
        let few = query.filter.as_ref().and_then(|filter| few(of, filter));
        for row in few.unwrap_or_else(|| of.rows.values().collect()) {
            if row.deleted && !self.all && !query.all_rows {
                continue;
            }
            if query.filter.as_ref().map_or(Ok(true), |filter| self.fits(of, row, filter))? {
                rows.push(row);
            }
        }
        for order in &query.order {
            let field = self.field(of, &order.path)?;
            if !field.can_be_filtered() {
                return Err(bad_field(format!("field '{}' can not be sorted in a query call", field.name)));
            }
        }
        rows.sort_by(|a, b| {
            let by = query.order.iter().map(|order| {
                let (a, b) = (self.value(of, a, &order.path), self.value(of, b, &order.path));
                match (a.is_null(), b.is_null()) {
                    (true, true) => Ordering::Equal,
                    (true, false) => {
                        if order.nulls_last {
                            Ordering::Greater
                        } else {
                            Ordering::Less
                        }
                    }
                    (false, true) => {
                        if order.nulls_last {
                            Ordering::Less
                        } else {
                            Ordering::Greater
                        }
                    }
                    (false, false) => {
                        let ordering =
                            self.field(of, &order.path).map_or(Ordering::Equal, |field| compare(field, &a, &b));
                        if order.descending { ordering.reverse() } else { ordering }
                    }
                }
            });
            by.into_iter().find(|ordering| *ordering != Ordering::Equal).unwrap_or(Ordering::Equal)
        });
        Ok(rows.into_iter().skip(query.offset).take(query.limit.unwrap_or(50_000)).collect())
    }

    fn selected(&self, of: &Object, query: &Query) -> Answer<Vec<Path>> {
        let mut paths = Vec::new();
        for select in &query.select {
            match select {
                Select::Count => {}
                Select::Path(path) => paths.push(path.clone()),
                Select::Fields(word) => {
                    if word != "STANDARD" && query.limit.is_none_or(|limit| limit > 200) {
                        let why = "The SOQL FIELDS function must have a LIMIT of at most 200";
                        return Err(refuse(400, "MALFORMED_QUERY", why));
                    }
                    let wanted = |field: &&Field| match word.as_str() {
                        "STANDARD" => !field.is_custom(),
                        "CUSTOM" => field.is_custom(),
                        _ => true,
                    };
                    let seen = of.fields.iter().filter(|field| self.access.sees(of, field)).filter(wanted);
                    paths.extend(seen.map(|field| vec![field.name.clone()]));
                }
            }
        }
        Ok(paths)
    }

    /// The field at the end of a path of relationships.
    fn field<'o>(&'o self, of: &'o Object, path: &[String]) -> Answer<&'o Field> {
        let Some((name, relations)) = path.split_last() else { return Err(bad_field("no field".into())) };
        let mut of = of;
        for relation in relations {
            let link = of.relation(relation).filter(|field| self.access.sees(of, field));
            let target = link.and_then(|field| self.objects.get(&field.points_to.as_deref()?.to_lowercase()));
            of = target.ok_or_else(|| {
                bad_field(format!("Didn't understand relationship '{relation}' in field path. If you are attempting to use a custom relationship, be sure to append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the appropriate names."))
            })?;
        }
        let field = of.field(name).filter(|field| self.access.sees(of, field));
        field.ok_or_else(|| {
            bad_field(format!(
                "\nERROR at Row:1:Column:8\nNo such column '{name}' on entity '{}'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names.",
                of.name
            ))
        })
    }

    fn value(&self, of: &Object, row: &Row, path: &[String]) -> Value {
        let Some((first, rest)) = path.split_first() else { return Value::Null };
        if rest.is_empty() {
            let name = of.field(first).map_or(first.as_str(), |field| field.name.as_str());
            return row.cells.get(name).cloned().unwrap_or_default();
        }
        self.target(of, row, first).map_or(Value::Null, |(target, row)| self.value(target, row, rest))
    }

    fn target(&self, of: &Object, row: &Row, relation: &str) -> Option<(&Object, &Row)> {
        let field = of.relation(relation)?;
        let id = row.text(&field.name)?;
        let target = self.objects.get(&field.points_to.as_deref()?.to_lowercase())?;
        Some((target, target.rows.get(id)?))
    }

    pub(super) fn show(&self, of: &Object, row: &Row, paths: &[Path]) -> Value {
        let id = row.text("Id").unwrap_or_default();
        let mut shown = Map::new();
        shown.insert(
            "attributes".into(),
            json!({ "type": of.name, "url": format!("{}/sobjects/{}/{id}", self.root, of.name) }),
        );
        let mut deeper: Vec<(&String, Vec<Path>)> = Vec::new();
        for path in paths {
            let Some((first, rest)) = path.split_first() else { continue };
            if rest.is_empty() {
                let Some(field) = of.field(first) else { continue };
                shown.insert(field.name.clone(), row.cells.get(&field.name).cloned().unwrap_or_default());
            } else if let Some((_, paths)) = deeper.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(first)) {
                paths.push(rest.to_vec());
            } else {
                deeper.push((first, vec![rest.to_vec()]));
            }
        }
        for (relation, paths) in deeper {
            let name =
                of.relation(relation).and_then(|field| field.relation.clone()).unwrap_or_else(|| relation.clone());
            let target = self.target(of, row, relation).map(|(target, row)| self.show(target, row, &paths));
            shown.insert(name, target.unwrap_or_default());
        }
        Value::Object(shown)
    }

    fn fits(&self, of: &Object, row: &Row, filter: &Filter) -> Answer<bool> {
        Ok(match filter {
            Filter::And(all) => {
                let mut fits = true;
                for one in all {
                    fits &= self.fits(of, row, one)?;
                }
                fits
            }
            Filter::Or(all) => {
                let mut fits = false;
                for one in all {
                    fits |= self.fits(of, row, one)?;
                }
                fits
            }
            Filter::Not(one) => !self.fits(of, row, one)?,
            Filter::Compare { path, op, with } => {
                let field = self.filterable(of, path)?;
                self.compares(field, &self.value(of, row, path), *op, with)?
            }
            Filter::In { path, not, among } => {
                let field = self.filterable(of, path)?;
                let value = self.value(of, row, path);
                let mut hit = false;
                for literal in among {
                    hit |= self.compares(field, &value, Op::Is, literal)?;
                }
                hit != *not
            }
            Filter::InQuery { path, not, query } => {
                self.filterable(of, path)?;
                let value = self.value(of, row, path);
                let [Select::Path(inner)] = query.select.as_slice() else {
                    return Err(refuse(400, "MALFORMED_QUERY", "a semi-join selects one field"));
                };
                let target = self.object(&query.from)?;
                self.field(target, inner)?;
                let hit = self.rows(target, query)?.iter().any(|row| self.value(target, row, inner) == value);
                !value.is_null() && hit != *not
            }
            Filter::Includes { path, not, among } => {
                self.filterable(of, path)?;
                let value = self.value(of, row, path);
                let there: Vec<&str> = value.as_str().unwrap_or_default().split(';').collect();
                let hit = among.iter().any(|literal| match literal {
                    Literal::Text(text) => text.split(';').all(|part| there.contains(&part)),
                    _ => false,
                });
                hit != *not
            }
        })
    }

    fn filterable<'o>(&'o self, of: &'o Object, path: &[String]) -> Answer<&'o Field> {
        let field = self.field(of, path)?;
        if field.can_be_filtered() {
            return Ok(field);
        }
        Err(bad_field(format!("field '{}' can not be filtered in a query call", field.name)))
    }

    fn compares(&self, field: &Field, value: &Value, op: Op, with: &Literal) -> Answer<bool> {
        if *with == Literal::Null {
            return Ok(value.is_null() == (op == Op::Is));
        }
        if let Literal::Relative(name, count) = with {
            let (from, to) = span(self.now.date_naive(), name, *count);
            let day = value.as_str().and_then(|text| text.get(..10)).and_then(|day| day.parse::<NaiveDate>().ok());
            let Some(day) = day.filter(|_| matches!(field.kind, Kind::Date | Kind::DateTime)) else { return Ok(false) };
            return Ok(match op {
                Op::Is | Op::Like => day >= from && day < to,
                Op::IsNot => day < from || day >= to,
                Op::Less => day < from,
                Op::AtMost => day < to,
                Op::More => day >= to,
                Op::AtLeast => day >= from,
            });
        }
        let against = literal(field, with)?;
        if op == Op::Like {
            let pattern: Vec<char> = against.as_str().unwrap_or_default().to_lowercase().chars().collect();
            let text: Vec<char> = value.as_str().unwrap_or_default().to_lowercase().chars().collect();
            return Ok(!value.is_null() && like(&pattern, &text));
        }
        if value.is_null() {
            return Ok(op == Op::IsNot);
        }
        let ordering = compare(field, value, &against);
        Ok(match op {
            Op::Is | Op::Like => ordering == Ordering::Equal,
            Op::IsNot => ordering != Ordering::Equal,
            Op::Less => ordering == Ordering::Less,
            Op::AtMost => ordering != Ordering::Greater,
            Op::More => ordering == Ordering::Greater,
            Op::AtLeast => ordering != Ordering::Less,
        })
    }
}

/// The rows that a list of ids or texts leaves, so that not each row is held against each of them.
fn few<'o>(of: &'o Object, filter: &Filter) -> Option<Vec<&'o Row>> {
    match filter {
        Filter::And(all) => all.iter().find_map(|one| few(of, one)),
        Filter::In { path, not: false, among } => {
            let [name] = path.as_slice() else { return None };
            let texts: BTreeSet<String> = among
                .iter()
                .map(|literal| match literal {
                    Literal::Text(text) => Some(text.to_lowercase()),
                    _ => None,
                })
                .collect::<Option<_>>()?;
            let field = of.field(name)?;
            if field.kind == Kind::Id {
                let ids = among.iter().filter_map(|literal| match literal {
                    Literal::Text(text) => read_id(text),
                    _ => None,
                });
                let ids: BTreeSet<String> = ids.collect();
                return Some(ids.iter().filter_map(|id| of.rows.get(id)).collect());
            }
            let is_plain = !matches!(field.kind, Kind::Reference);
            let fits = |row: &&Row| row.text(&field.name).is_some_and(|text| texts.contains(&text.to_lowercase()));
            is_plain.then(|| of.rows.values().filter(fits).collect())
        }
        _ => None,
    }
}

fn bad_field(message: String) -> Refusal {
    refuse(400, "INVALID_FIELD", message)
}

/// The literal as values of this field are kept; quotes belong around texts and around nothing else.
fn literal(field: &Field, literal: &Literal) -> Answer<Value> {
    let wrong = |kind: &str, quotes: &str| {
        let name = &field.name;
        Err(bad_field(format!(
            "value of filter criterion for field '{name}' must be of type {kind} and should {quotes}be enclosed in quotes"
        )))
    };
    match (field.kind, literal) {
        (Kind::Id | Kind::Reference, Literal::Text(text)) => match read_id(text) {
            Some(id) => Ok(json!(id)),
            None => Err(refuse(400, "INVALID_QUERY_FILTER_OPERATOR", format!("invalid ID field: {text}"))),
        },
        (Kind::DateTime, Literal::Time(at)) => Ok(json!(super::model::stamp(*at))),
        (Kind::DateTime, _) => wrong("dateTime", "not "),
        (Kind::Date, Literal::Day(day)) => Ok(json!(day.to_string())),
        (Kind::Date, _) => wrong("date", "not "),
        (Kind::Boolean, Literal::Boolean(flag)) => Ok(json!(flag)),
        (Kind::Boolean, _) => wrong("boolean", "not "),
        (kind, Literal::Number(number)) if kind.is_number() => Ok(json!(number)),
        (kind, _) if kind.is_number() => wrong("double", "not "),
        (_, Literal::Text(text)) => Ok(json!(text)),
        _ => wrong("string", ""),
    }
}

fn compare(field: &Field, a: &Value, b: &Value) -> Ordering {
    if field.kind.is_number() {
        return a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default());
    }
    if field.kind == Kind::Boolean {
        return a.as_bool().cmp(&b.as_bool());
    }
    let (a, b) = (a.as_str().unwrap_or_default(), b.as_str().unwrap_or_default());
    if field.kind == Kind::DateTime {
        return read_time(a).cmp(&read_time(b));
    }
    if field.case_sensitive || matches!(field.kind, Kind::Id | Kind::Reference | Kind::Date) {
        return a.cmp(b);
    }
    a.to_lowercase().cmp(&b.to_lowercase())
}

/// `%` is anything, `_` one character, `\%` and `\_` themselves.
fn like(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skip| like(rest, &text[skip..])),
        ['\\', wild @ ('%' | '_'), rest @ ..] => {
            text.split_first().is_some_and(|(first, text)| first == wild && like(rest, text))
        }
        ['_', rest @ ..] => text.split_first().is_some_and(|(_, text)| like(rest, text)),
        [letter, rest @ ..] => text.split_first().is_some_and(|(first, text)| first == letter && like(rest, text)),
    }
}

/// The days, first and one past the last, that a word stands for.
fn span(today: NaiveDate, name: &str, count: i64) -> (NaiveDate, NaiveDate) {
    let days = Days::new(count.unsigned_abs());
    let one = Days::new(1);
    let week = today - Days::new(u64::from(today.weekday().num_days_from_sunday()));
    let month = today.with_day(1).unwrap_or(today);
    let year = NaiveDate::from_ymd_opt(today.year(), 1, 1).unwrap_or(today);
    match name {
        "YESTERDAY" => (today - one, today),
        "TOMORROW" => (today + one, today + Days::new(2)),
        "THIS_WEEK" => (week, week + Days::new(7)),
        "LAST_WEEK" => (week - Days::new(7), week),
        "THIS_MONTH" => (month, month + Months::new(1)),
        "LAST_MONTH" => (month - Months::new(1), month),
        "THIS_YEAR" => (year, year + Months::new(12)),
        "LAST_YEAR" => (year - Months::new(12), year),
        "LAST_N_DAYS" => (today - days, today + one),
        "NEXT_N_DAYS" => (today + one, today + one + days),
        "N_DAYS_AGO" => (today - days, today - days + one),
        _ => (today, today + one),
    }
}
