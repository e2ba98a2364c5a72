//! How a field of a row is found: by its name where it is kept, by `…Id` where it is a relation, backwards for connections.
//! Fields that exist at Linear but are not modelled answer `null`, or the plainest value where null is not allowed.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::fault::{Answer, Fault};
use super::filter;
use super::schema::{Ty, TypeDef, schema};
use super::store::{
    ATTACHMENT, COMMENT, CUSTOMER, HISTORY, ISSUE, KINDS, Kind, LABEL, NEED, ORGANIZATION, PROJECT, Row, STATE, Store,
    TEAM, USER,
};
use super::values;

const PAGE: usize = 50;
/// Live probes, 2026-08 and 2026-10; the schema does not say it.
const MOST: i64 = 250;

/// The result of resolving one field, before its own selection is looked at.
pub(super) enum Out {
    Leaf(Value),
    Row(Kind, String),
    /// A plain object: a payload, or part of one. Fields it lacks are not modelled.
    Object(Vec<(&'static str, Out)>),
    /// An object kept as JSON.
    Json(Value),
    List(Vec<Out>),
    Page {
        kind: Kind,
        ids: Vec<String>,
        before: bool,
        after: bool,
    },
}

impl Out {
    pub(super) const NULL: Self = Self::Leaf(Value::Null);
}

pub(super) fn kind_of(name: &str) -> Option<Kind> {
    KINDS.iter().find(|kind| **kind == name).copied()
}

/// The one row that a relation names.
pub(super) fn relation<'s>(store: &'s Store, kind: Kind, row: &Row, field: &str) -> Option<(Kind, &'s Row)> {
    let below = kind_of(schema().field(kind, field)?.ty.name())?;
    let id = if below == ORGANIZATION { "organization" } else { row.get(&format!("{field}Id")).as_str()? };
    Some((below, store.get(below, id)?))
}

/// The rows behind a connection or list, unordered.
pub(super) fn related<'s>(store: &'s Store, kind: Kind, row: &Row, field: &str) -> (Kind, Vec<&'s Row>) {
    let id = row.id();
    match (kind, field) {
        (ISSUE, "comments") => (COMMENT, store.having(COMMENT, "issueId", id)),
        (ISSUE, "attachments" | "formerAttachments") => {
            (ATTACHMENT, if field == "attachments" { store.having(ATTACHMENT, "issueId", id) } else { Vec::new() })
        }
        (ISSUE, "history") => (HISTORY, store.having(HISTORY, "issueId", id)),
        (ISSUE, "needs") => (NEED, store.having(NEED, "issueId", id)),
        (ISSUE, "labels") => (LABEL, listed(store, LABEL, &row.texts("labelIds"))),
        (ISSUE, "children") => (ISSUE, store.having(ISSUE, "parentId", id)),
        (ISSUE, "subscribers") => (USER, listed(store, USER, &row.texts("subscriberIds"))),
        (TEAM, "states") => (STATE, store.having(STATE, "teamId", id)),
        (TEAM, "labels") => (LABEL, store.having(LABEL, "teamId", id)),
        (TEAM, "issues") => (ISSUE, store.having(ISSUE, "teamId", id)),
        (TEAM | ORGANIZATION, "members" | "users") => (USER, store.all(USER).collect()),
        (USER | ORGANIZATION, "teams") => (TEAM, store.all(TEAM).collect()),
        (TEAM, "projects") => (PROJECT, store.all(PROJECT).collect()),
        (ORGANIZATION, "labels") => (LABEL, store.all(LABEL).filter(|l| l.get("teamId").is_null()).collect()),
        (STATE, "issues") => (ISSUE, store.having(ISSUE, "stateId", id)),
        (LABEL, "issues") => {
            (ISSUE, store.all(ISSUE).filter(|i| i.texts("labelIds").iter().any(|l| l == id)).collect())
        }
        (LABEL, "children") => (LABEL, store.having(LABEL, "parentId", id)),
        (USER, "assignedIssues") => (ISSUE, store.having(ISSUE, "assigneeId", id)),
        (USER, "createdIssues") => (ISSUE, store.having(ISSUE, "creatorId", id)),
        (COMMENT, "children") => (COMMENT, store.having(COMMENT, "parentId", id)),
        (CUSTOMER, "needs") => (NEED, store.having(NEED, "customerId", id)),
        (PROJECT, "issues") => (ISSUE, store.having(ISSUE, "projectId", id)),
        _ => {
            let below =
                schema().field(kind, field).and_then(|def| kind_of(def.ty.name().trim_end_matches("Connection")));
            (below.unwrap_or(ISSUE), Vec::new())
        }
    }
}

fn listed<'s>(store: &'s Store, kind: Kind, ids: &[String]) -> Vec<&'s Row> {
    ids.iter().filter_map(|id| store.get(kind, id)).collect()
}

/// A field of a row.
pub(super) fn field(
    store: &Store,
    kind: Kind,
    row: &Row,
    name: &str,
    args: &Map<String, Value>,
    now: DateTime<Utc>,
) -> Answer<Out> {
    let Some(def) = schema().field(kind, name) else { return Ok(Out::NULL) };
    let below = def.ty.name();
    if let Some(value) = derived(store, kind, row, name) {
        return Ok(Out::Leaf(value));
    }
    if below.ends_with("Connection") {
        let (below_kind, rows) = related(store, kind, row, name);
        // Of types that are not modelled there are none.
        return match kind_of(below.trim_end_matches("Connection")) {
            Some(_) => page(store, below_kind, rows, args, now),
            None => Ok(Out::Page { kind: ISSUE, ids: Vec::new(), before: false, after: false }),
        };
    }
    if !schema().is_object(below) {
        return Ok(Out::Leaf(row.get(name).clone()));
    }
    if is_list(&def.ty) {
        let ids = row.texts(&format!("{}Ids", name.strip_suffix('s').unwrap_or(name)));
        let rows = if ids.is_empty() {
            related(store, kind, row, name).1
        } else {
            kind_of(below).map(|k| listed(store, k, &ids)).unwrap_or_default()
        };
        let Some(below) = kind_of(below).filter(|_| !rows.is_empty() || def.ty.is_required()) else {
            return Ok(Out::NULL);
        };
        return Ok(Out::List(rows.iter().map(|row| Out::Row(below, row.id().to_owned())).collect()));
    }
    if row.get(name).is_object() {
        return Ok(Out::Json(row.get(name).clone()));
    }
    Ok(relation(store, kind, row, name).map_or(Out::NULL, |(below, row)| Out::Row(below, row.id().to_owned())))
}

fn is_list(ty: &Ty) -> bool {
    match ty {
        Ty::List(_) => true,
        Ty::NonNull(inner) => is_list(inner),
        Ty::Named(_) => false,
    }
}

/// Values that are worked out of others.
fn derived(store: &Store, kind: Kind, row: &Row, name: &str) -> Option<Value> {
    let count = |kind: Kind, field: &str| {
        json!(store.having(kind, field, row.id()).iter().filter(|r| !r.is_archived()).count())
    };
    Some(match (kind, name) {
        (ISSUE, "customerTicketCount") => count(NEED, "issueId"),
        (CUSTOMER, "approximateNeedCount") => count(NEED, "customerId"),
        (TEAM, "issueCount") => count(ISSUE, "teamId"),
        (USER, "createdIssueCount") => count(ISSUE, "creatorId"),
        (ORGANIZATION, "customerCount") => json!(store.all(CUSTOMER).count()),
        (ORGANIZATION, "userCount") => json!(store.all(USER).count()),
        (ORGANIZATION, "createdIssueCount") => json!(store.all(ISSUE).count()),
        (TEAM, "displayName") => row.get("name").clone(),
        _ => return None,
    })
}

/// What stands where nothing is kept: `null`, or the plainest value of a type that may not be null.
pub(super) fn plainest(ty: &Ty) -> Out {
    let Ty::NonNull(inner) = ty else { return Out::NULL };
    match &**inner {
        Ty::List(_) | Ty::NonNull(_) => Out::List(Vec::new()),
        Ty::Named(name) => match schema().get(name) {
            Some(TypeDef::Object(_)) if name.ends_with("Connection") => {
                Out::Page { kind: ISSUE, ids: Vec::new(), before: false, after: false }
            }
            Some(TypeDef::Object(_)) => Out::Object(Vec::new()),
            Some(TypeDef::Enum(choices)) => Out::Leaf(choices.first().map_or(Value::Null, |c| json!(c))),
            _ => Out::Leaf(match name.as_str() {
                "Boolean" => json!(false),
                "Int" | "Float" => json!(0),
                "DateTime" => json!("2026-01-01T00:00:00.000Z"),
                "JSON" | "JSONObject" => json!({}),
                _ => json!(""),
            }),
        },
    }
}

/// A page of a connection: newest first by `orderBy`, archived rows left out, the cursor being the id of the last row.
pub(super) fn page(
    store: &Store,
    kind: Kind,
    mut rows: Vec<&Row>,
    args: &Map<String, Value>,
    now: DateTime<Utc>,
) -> Answer<Out> {
    let size = |name: &str| -> Answer<Option<usize>> {
        let Some(asked) = args.get(name).filter(|v| !v.is_null()) else { return Ok(None) };
        match asked.as_i64() {
            Some(n) if n > MOST => {
                Err(Fault::argument(name, asked, &format!("{name} must not be greater than {MOST}")))
            }
            Some(n) if n >= 0 => Ok(usize::try_from(n).ok()),
            _ => Err(Fault::argument(name, asked, &format!("{name} must not be less than 0"))),
        }
    };
    let (first, last) = (size("first")?, size("last")?);
    if args.get("includeArchived") != Some(&Value::Bool(true)) {
        rows.retain(|row| !row.is_archived());
    }
    if let Some(Value::Object(wanted)) = args.get("filter") {
        let ty = format!("{kind}Filter");
        rows.retain(|row| filter::passes(store, kind, row, &ty, wanted, now));
    }
    let by = if args.get("orderBy").is_some_and(|v| v == "updatedAt") { "updatedAt" } else { "createdAt" };
    let place = |row: &Row| (values::date(row.text(by)), row.seq);
    rows.sort_by_cached_key(|row| std::cmp::Reverse(place(row)));
    let (mut before, mut after) = (false, false);
    if let Some(cursor) = args.get("after").and_then(Value::as_str) {
        let at = place(at_cursor(store, kind, cursor)?);
        let skip = rows.iter().take_while(|row| place(row) >= at).count();
        before = skip > 0;
        rows.drain(..skip);
    }
    if let Some(cursor) = args.get("before").and_then(Value::as_str) {
        let at = place(at_cursor(store, kind, cursor)?);
        let keep = rows.iter().take_while(|row| place(row) > at).count();
        after = keep < rows.len();
        rows.truncate(keep);
    }
    if let Some(n) = last.filter(|n| first.is_none() && *n < rows.len()) {
        rows.drain(..rows.len() - n);
        before = true;
    } else {
        let n = first.or(last).unwrap_or(PAGE);
        after |= rows.len() > n;
        rows.truncate(n);
    }
    Ok(Out::Page { kind, ids: rows.iter().map(|row| row.id().to_owned()).collect(), before, after })
}

fn at_cursor<'s>(store: &'s Store, kind: Kind, cursor: &str) -> Answer<&'s Row> {
    store.get(kind, cursor).ok_or_else(|| Fault::missing(kind))
}
