//! What the schema's fields are, as a table: mappings are held against it before any record comes.
//!
//! The law: it says what serde says. A test fills every field of every entity and compares.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use connectors::FieldKind;
use serde_json::Value;

use super::expr::type_name;
use crate::schema::{EntityKind, Path, Status, Turn};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    /// A text of several lines.
    Prose,
    Number,
    Flag,
    /// An instant, RFC 3339 in UTC.
    Time,
    /// `YYYY-MM-DD`.
    Day,
    Status,
    Texts,
    Turns,
    /// The id of an entity.
    Entity(EntityKind),
    /// What only the engine reads and writes.
    Engine,
}

/// Who may set a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// A source's record and people in a destination.
    Anyone,
    /// Only a source's record: what a customer said stays as it was said.
    Source,
    /// People in a destination, and models.
    People,
    Engine,
}

pub(crate) struct Field {
    pub(crate) path: &'static str,
    pub(crate) ty: Type,
    pub(crate) set: Set,
}

const fn field(path: &'static str, ty: Type, set: Set) -> Field {
    Field { path, ty, set }
}

const FEEDBACK: &[Field] = &[
    field("source", Type::Text, Set::Anyone),
    field("origin.connection", Type::Text, Set::Engine),
    field("origin.collection", Type::Text, Set::Engine),
    field("origin.id", Type::Text, Set::Engine),
    field("origin.url", Type::Text, Set::Engine),
    field("received_at", Type::Time, Set::Source),
    field("title", Type::Text, Set::Anyone),
    field("verbatim", Type::Prose, Set::Source),
    field("summary", Type::Prose, Set::Anyone),
    field("language", Type::Text, Set::Anyone),
    field("author.name", Type::Text, Set::Anyone),
    field("author.email", Type::Text, Set::Anyone),
    field("author.handle", Type::Text, Set::Anyone),
    field("customer", Type::Entity(EntityKind::Customer), Set::People),
    field("theme", Type::Entity(EntityKind::Theme), Set::People),
    field("status", Type::Status, Set::Anyone),
    field("tags.model", Type::Text, Set::Anyone),
    field("tags.product", Type::Text, Set::Anyone),
    field("tags.category", Type::Text, Set::Anyone),
    field("tags.severity", Type::Text, Set::Anyone),
    field("tags.segment", Type::Text, Set::Anyone),
    field("tags.region", Type::Text, Set::Anyone),
    field("tags.use_case", Type::Text, Set::Anyone),
    field("thread", Type::Turns, Set::Source),
    field("thread_state", Type::Text, Set::Source),
    field("hints", Type::Engine, Set::Engine),
    field("enrichment", Type::Engine, Set::Engine),
    field("decided", Type::Engine, Set::Engine),
    field("withdrawn", Type::Flag, Set::Engine),
    field("merged_from", Type::Engine, Set::Engine),
    field("part_of", Type::Entity(EntityKind::Feedback), Set::Engine),
    field("quote", Type::Engine, Set::Engine),
    field("duplicate_of", Type::Entity(EntityKind::Feedback), Set::People),
    field("own_status", Type::Engine, Set::Engine),
    field("job", Type::Engine, Set::Engine),
    field("risk", Type::Engine, Set::Engine),
    field("reviewed", Type::Flag, Set::People),
];

const CUSTOMER: &[Field] = &[
    field("name", Type::Text, Set::Anyone),
    field("origin.connection", Type::Text, Set::Engine),
    field("origin.collection", Type::Text, Set::Engine),
    field("origin.id", Type::Text, Set::Engine),
    field("origin.url", Type::Text, Set::Engine),
    field("domains", Type::Texts, Set::Source),
    field("aliases", Type::Engine, Set::Engine),
    field("industry", Type::Text, Set::Anyone),
    field("region", Type::Text, Set::Anyone),
    field("tier", Type::Text, Set::Anyone),
    field("arr", Type::Number, Set::Anyone),
    field("lifecycle", Type::Text, Set::Anyone),
    field("use_case", Type::Text, Set::Anyone),
    field("owner", Type::Text, Set::Anyone),
    field("customer_since", Type::Day, Set::Anyone),
    field("decided", Type::Engine, Set::Engine),
    field("withdrawn", Type::Flag, Set::Engine),
    field("given", Type::Engine, Set::Engine),
    field("refused", Type::Engine, Set::Engine),
    field("absorbed", Type::Engine, Set::Engine),
    field("merged.into", Type::Engine, Set::Engine),
    field("merged.at", Type::Engine, Set::Engine),
    field("merged.by", Type::Engine, Set::Engine),
    field("merged.took", Type::Engine, Set::Engine),
    field("merged.handed", Type::Engine, Set::Engine),
    field("parted_from", Type::Entity(EntityKind::Customer), Set::Engine),
];

const THEME: &[Field] = &[
    field("name", Type::Text, Set::Anyone),
    field("origin.connection", Type::Text, Set::Engine),
    field("origin.collection", Type::Text, Set::Engine),
    field("origin.id", Type::Text, Set::Engine),
    field("origin.url", Type::Text, Set::Engine),
    field("statement", Type::Prose, Set::Anyone),
    field("description", Type::Prose, Set::Anyone),
    field("status", Type::Text, Set::Anyone),
    field("owner", Type::Text, Set::Anyone),
    field("decided", Type::Engine, Set::Engine),
    field("withdrawn", Type::Flag, Set::Engine),
    field("job", Type::Engine, Set::Engine),
    field("merged_into", Type::Entity(EntityKind::Theme), Set::Engine),
    field("split_from", Type::Entity(EntityKind::Theme), Set::Engine),
    field("split_items", Type::Engine, Set::Engine),
];

/// A contribution to a thread, as a `[part_of]` mapping draws it.
pub(crate) const TURN: &[Field] = &[
    field("id", Type::Text, Set::Source),
    field("author", Type::Text, Set::Source),
    field("customer", Type::Flag, Set::Source),
    field("at", Type::Time, Set::Source),
    field("text", Type::Prose, Set::Source),
    field("url", Type::Text, Set::Source),
];

/// What the engine adds to an entity for mappings to show, beyond its own fields.
pub(crate) fn extras(kind: EntityKind) -> &'static [&'static str] {
    match kind {
        EntityKind::Feedback => &[
            "id",
            "short_id",
            "kind",
            "links",
            "derived.customer_name",
            "derived.arr",
            "derived.tier",
            "derived.segment",
            "derived.industry",
            "derived.region",
            "derived.theme_name",
            "derived.suggested",
            "derived.urls",
            "derived.shipped_at",
            "derived.customer_links",
            "derived.duplicates",
        ],
        EntityKind::Customer => &[
            "id",
            "short_id",
            "kind",
            "links",
            "derived.days_as_customer",
            "derived.feedback_count",
            "derived.open_count",
            "derived.open_requests",
            "derived.last_feedback_at",
            "derived.top_theme",
            "derived.risk",
            "derived.addressed_count",
            "derived.last_addressed_at",
            "derived.addressed",
            "usage.last_seen",
            "usage.events_30d",
            "usage.previous_30d",
            "usage.active_users",
            "usage.active_features",
            "usage.top_feature",
            "usage.trend",
            "derived.merged_into",
        ],
        EntityKind::Theme => &[
            "id",
            "short_id",
            "kind",
            "links",
            "derived.count",
            "derived.items",
            "derived.customers",
            "derived.arr",
            "derived.newest_at",
            "derived.verify",
        ],
    }
}

pub(crate) fn fields(kind: EntityKind) -> &'static [Field] {
    match kind {
        EntityKind::Feedback => FEEDBACK,
        EntityKind::Customer => CUSTOMER,
        EntityKind::Theme => THEME,
    }
}

pub(crate) fn find(table: &'static [Field], path: &Path) -> Option<&'static Field> {
    let dotted = path.dotted();
    table.iter().find(|field| field.path == dotted)
}

/// Does some field lie below this path?
pub(crate) fn is_inner(table: &[Field], dotted: &str) -> bool {
    table.iter().any(|field| field.path.strip_prefix(dotted).is_some_and(|rest| rest.starts_with('.')))
}

/// Could a plain path of an expression find something in the view of such an entity?
pub(crate) fn readable(kind: EntityKind, keys: &[&str]) -> bool {
    let dotted = keys.join(".");
    // Into these one may look as deep as one likes.
    let open = [
        "links",
        "enrichment",
        "decided",
        "origin",
        "hints",
        "thread",
        "quote",
        "job",
        "risk",
        "aliases",
        "derived.urls",
        "derived.customer_links",
        "derived.addressed",
    ];
    if keys.is_empty() || open.iter().any(|open| dotted == *open || dotted.starts_with(&format!("{open}."))) {
        return true;
    }
    let known = fields(kind).iter().map(|field| field.path).chain(extras(kind).iter().copied());
    let mut known = known.filter(|known| *known == dotted || known.starts_with(&format!("{dotted}.")));
    known.next().is_some()
}

/// Everything that a plain path can name, for "did you mean".
pub(crate) fn readable_names(kind: EntityKind) -> impl Iterator<Item = &'static str> {
    fields(kind).iter().map(|field| field.path).chain(extras(kind).iter().copied())
}

impl Type {
    /// How a destination would best hold it.
    pub(crate) fn kind(self) -> FieldKind {
        match self {
            Self::Text | Self::Engine => FieldKind::Text,
            Self::Prose | Self::Turns | Self::Texts => FieldKind::LongText,
            Self::Number => FieldKind::Number,
            Self::Flag => FieldKind::Checkbox,
            Self::Time => FieldKind::DateTime,
            Self::Day => FieldKind::Date,
            Self::Status => FieldKind::Select,
            Self::Entity(_) => FieldKind::Link,
        }
    }

    /// Can a destination's field of this kind give back a value of this type?
    pub(crate) fn fits(self, kind: FieldKind) -> bool {
        use FieldKind as K;
        match self {
            Self::Text => matches!(kind, K::Text | K::LongText | K::Select | K::Url | K::Number),
            Self::Prose => matches!(kind, K::Text | K::LongText),
            Self::Number => matches!(kind, K::Number | K::Currency),
            Self::Flag => kind == K::Checkbox,
            Self::Time => matches!(kind, K::DateTime | K::Date),
            Self::Day => matches!(kind, K::Date | K::DateTime),
            Self::Status => matches!(kind, K::Select | K::Text),
            Self::Texts => matches!(kind, K::MultiSelect | K::LongText | K::Text),
            Self::Entity(_) => kind == K::Link,
            Self::Turns | Self::Engine => false,
        }
    }

    /// A value as the schema holds it; what is empty becomes `null`.
    pub(crate) fn take(self, value: Value) -> Result<Value, String> {
        let wrong = |value: &Value, wanted: &str| Err(format!("{wanted} is expected, this is {}", type_name(value)));
        Ok(match (self, value) {
            (_, Value::Null) => Value::Null,
            (Self::Text | Self::Prose | Self::Entity(_), Value::String(text)) => {
                if text.trim().is_empty() {
                    Value::Null
                } else {
                    Value::String(text)
                }
            }
            // An id that is a number at one vendor is a text at the next.
            (Self::Text, Value::Number(number)) => Value::String(number.to_string()),
            (Self::Text | Self::Prose | Self::Entity(_), other) => return wrong(&other, "a text"),
            (Self::Number, Value::Number(number)) => Value::Number(number),
            (Self::Number, other) => return wrong(&other, "a number (for a text, add `| tonumber`)"),
            (Self::Flag, Value::Bool(flag)) => Value::Bool(flag),
            (Self::Flag, other) => return wrong(&other, "true or false"),
            (Self::Time, Value::String(text)) if text.trim().is_empty() => Value::Null,
            (Self::Time, Value::String(text)) => time(&text)?,
            (Self::Time, other) => return wrong(&other, "a time as text (for seconds since 1970, add `| from_epoch`)"),
            (Self::Day, Value::String(text)) if text.trim().is_empty() => Value::Null,
            (Self::Day, Value::String(text)) => day(&text)?,
            (Self::Day, other) => return wrong(&other, "a day as text, YYYY-MM-DD"),
            (Self::Status, Value::String(text)) => status(&text)?,
            (Self::Status, other) => return wrong(&other, "a status as text"),
            (Self::Texts, Value::String(text)) => Value::Array(vec![Value::String(text)]),
            (Self::Texts, Value::Array(items)) => Value::Array(
                items.into_iter().map(text_item).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect(),
            ),
            (Self::Texts, other) => return wrong(&other, "a list of texts"),
            (Self::Turns, Value::Array(items)) => Value::Array(items.into_iter().map(turn).collect::<Result<_, _>>()?),
            (Self::Turns, other) => {
                return wrong(&other, "a list of contributions {id, author, customer, at, text, url}");
            }
            (Self::Engine, _) => return Err("the engine sets this".into()),
        })
    }
}

fn text_item(value: Value) -> Result<Option<Value>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => Ok(Some(Value::String(text))),
        other => Err(format!("a list of texts is expected, in it is {}", type_name(&other))),
    }
}

/// Each value of a contribution by its own type; unknown keys are a mistake in the mapping.
fn turn(value: Value) -> Result<Value, String> {
    let Value::Object(map) = value else {
        return Err(format!("a contribution is an object, this is {}", type_name(&value)));
    };
    let mut entries = serde_json::Map::new();
    for (key, value) in map {
        let Some(field) = TURN.iter().find(|field| field.path == key) else {
            return Err(format!(
                "a contribution has no `{}`; it has id, author, customer, at, text, url",
                super::expr::truncate(&key, 40)
            ));
        };
        let value = field.ty.take(value).map_err(|what| format!("in a contribution's {key}: {what}"))?;
        if !value.is_null() {
            entries.insert(key, value);
        }
    }
    if !entries.contains_key("id") {
        return Err("a contribution has no id".into());
    }
    let turn: Turn =
        serde_json::from_value(Value::Object(entries)).map_err(|_| "this is no contribution".to_owned())?;
    serde_json::to_value(turn).map_err(|_| "this is no contribution".to_owned())
}

fn time(text: &str) -> Result<Value, String> {
    let text = text.trim();
    let instant = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
    let instant = instant.or_else(|_| {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d")?;
        Ok::<_, chrono::ParseError>(day.and_time(chrono::NaiveTime::MIN).and_utc())
    });
    let instant = instant.map_err(|_| "a time as RFC 3339 is expected, this text is none".to_owned())?;
    Ok(Value::String(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
}

fn day(text: &str) -> Result<Value, String> {
    let text = text.trim();
    let day = text.get(..10).unwrap_or(text);
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d")
        .map_err(|_| "a day as YYYY-MM-DD is expected, this text is none".to_owned())?;
    let rest = text.get(10..).unwrap_or_default();
    if !rest.is_empty() && !rest.starts_with(['T', 't', ' ']) {
        return Err("a day as YYYY-MM-DD is expected, this text is none".into());
    }
    Ok(Value::String(day.format("%Y-%m-%d").to_string()))
}

fn status(text: &str) -> Result<Value, String> {
    let wanted = text.trim().to_lowercase().replace([' ', '-'], "_");
    if wanted.is_empty() {
        return Ok(Value::Null);
    }
    let known = Status::ALL.into_iter().find(|status| status.name() == wanted);
    known.map(|status| Value::from(status.name())).ok_or_else(|| {
        let names: Vec<_> = Status::ALL.iter().map(|status| status.name()).collect();
        format!("this is no status; there are {}. Translate it with `values`", names.join(", "))
    })
}
