//! The merge's table, line by line. What the rest of the room does is told in `tests/sync`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use connectors::{Cursor, Edit, Fault, Record, Sink, Write, Written};
use serde_json::{Map, Value, json};

use super::merge::{Look, Merged, merge};
use crate::ledger::{Base, Effect, FieldBase, Was, What};
use crate::mapping::{IntoMapping, Mapping, compile};

/// A destination that trims what it stores.
struct Trims;

#[async_trait]
impl Sink for Trims {
    fn batch(&self, _: &str) -> usize {
        1
    }
    fn canonical(&self, _: &str, _: &str, value: Value) -> Value {
        match value {
            Value::String(text) if text.trim().is_empty() => Value::Null,
            Value::String(text) => Value::from(text.trim()),
            value => value,
        }
    }
    async fn write(&self, _: &str, _: &[Write]) -> Vec<Result<Written, Fault>> {
        Vec::new()
    }
    async fn read(&self, _: &str, _: &[String]) -> Result<Vec<Record>, Fault> {
        Ok(Vec::new())
    }
    async fn find(&self, _: &str, _: &[String]) -> Result<Vec<Option<Record>>, Fault> {
        Ok(Vec::new())
    }
    async fn list(&self, _: &str, _: Option<&Cursor>) -> Result<(Vec<(String, Record)>, Option<Cursor>), Fault> {
        Ok((Vec::new(), None))
    }
}

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_795_000_000, 0).expect("a time");

/// `F` is the field that all of these are about.
fn mapping(field: &str) -> IntoMapping {
    let text = format!("into = \"there.Rows\"\nentity = \"feedback\"\nkey = \"Loopd ID\"\n[fields.F]\n{field}\n");
    match compile("rows.toml", &text).unwrap_or_else(|problems| panic!("{problems:#?}")).mapping {
        Mapping::Into(mapping) => mapping,
        Mapping::From(_) => panic!("it maps into"),
    }
}

/// One look: what was agreed on (ours, theirs), what we would write now, what stands there.
#[derive(Default)]
struct Case {
    base: Option<FieldBase>,
    ours: Value,
    theirs: Value,
    writing: Option<Value>,
    /// We made the record.
    made: bool,
    edits: Vec<Edit>,
    known: Base,
}

fn agreed(both: &str) -> Option<FieldBase> {
    Some(FieldBase { ours: json!(both), theirs: json!(both), ..FieldBase::default() })
}

fn told(value: &str, overwritten: bool) -> Edit {
    Edit { field: "F".into(), value: json!(value), at: Some(NOW - TimeDelta::seconds(5)), overwritten }
}

impl Case {
    fn merge(self, field: &str) -> Merged {
        let mapping = mapping(field);
        let mut base = self.known;
        base.written_at = self.made.then(|| NOW - TimeDelta::minutes(5));
        base.fields.extend(self.base.map(|field| ("F".to_owned(), field)));
        let fields = |value: Value| BTreeMap::from([("F".to_owned(), value)]);
        let effect = self.writing.map(|value| Effect {
            write: Write {
                external_id: "e".into(),
                target: Some("r".into()),
                fields: Map::from_iter(fields(value.clone())),
                tags: BTreeMap::new(),
            },
            ours: fields(value),
            at: NOW,
            settling: false,
        });
        merge(&Look {
            mapping: &mapping,
            sink: &Trims,
            by: "there",
            now: NOW,
            desired: &fields(self.ours),
            entity: &json!({}),
            base: &base,
            effect: effect.as_ref(),
            theirs: &Map::from_iter(fields(self.theirs)),
            edits: &self.edits,
            resolve: &|_, _| None,
        })
    }
}

fn taken(merged: &Merged) -> Vec<Value> {
    merged.takes.iter().map(|take| take.value.clone()).collect()
}

fn logged(merged: &Merged) -> Vec<What> {
    merged.log.iter().map(|line| line.what).collect()
}

const BOTH: &str = "both = \".title\"\nwins = \"theirs\"";

#[test]
fn what_stands_as_agreed_is_nothing_whatever_we_would_write() {
    let merged = Case { base: agreed("a"), ours: json!("b"), theirs: json!(" a "), ..Case::default() }.merge(BOTH);
    assert_eq!((taken(&merged), logged(&merged), merged.edited), (vec![], vec![], false));
    assert!(!merged.base.fields["F"].restore);
}

#[test]
fn what_we_are_just_writing_is_our_own_echo() {
    let case =
        Case { base: agreed("a"), ours: json!("b"), theirs: json!("b"), writing: Some(json!("b")), ..Case::default() };
    let merged = case.merge(BOTH);
    assert_eq!((taken(&merged), logged(&merged), merged.edited), (vec![], vec![], false));
    assert_eq!(merged.base.fields["F"].theirs, json!("b"));
}

#[test]
fn what_stood_there_before_our_last_write_may_be_a_replica_that_lags() {
    let until = NOW + TimeDelta::seconds(60);
    let base = FieldBase { was: Some(Was { theirs: json!("old"), until }), ..agreed("new").expect("some") };
    let late = |theirs: &str| {
        Case { base: Some(base.clone()), ours: json!("new"), theirs: json!(theirs), ..Case::default() }.merge(BOTH)
    };
    let lagging = late("old");
    assert_eq!((taken(&lagging), lagging.look_again), (vec![], Some(until)));
    assert_eq!(taken(&late("typed")), [json!("typed")]);
}

#[test]
fn an_edit_there_is_taken_or_put_back_as_the_mapping_says() {
    let edit = || Case { base: agreed("a"), ours: json!("a"), theirs: json!("typed"), ..Case::default() };
    for flow in [BOTH, "pull = \".title\""] {
        let merged = edit().merge(flow);
        assert_eq!((taken(&merged), logged(&merged)), (vec![json!("typed")], vec![What::Edited]), "{flow}");
    }
    let restored = edit().merge("from = \".title\"");
    let field = &restored.base.fields["F"];
    assert_eq!((taken(&restored), logged(&restored), field.restore), (vec![], vec![What::EditedThere], true));
    let held = edit().merge("from = \".title\"\nwins = \"theirs\"");
    let field = &held.base.fields["F"];
    assert_eq!(
        (taken(&held), logged(&held), field.restore, field.held),
        (vec![], vec![What::EditedThere], false, true)
    );
}

#[test]
fn what_is_typed_where_we_left_a_field_of_our_record_empty_is_an_edit() {
    let typed = |made: bool, field: &str| {
        let case = Case { theirs: json!("typed"), made, ..Case::default() };
        case.merge(field)
    };
    let held = typed(true, "from = \".title\"\nwins = \"theirs\"");
    assert_eq!((logged(&held), held.base.fields["F"].held, held.edited), (vec![What::EditedThere], true, true));
    let restored = typed(true, "from = \".title\"");
    assert_eq!((logged(&restored), restored.base.fields["F"].restore), (vec![What::EditedThere], true));
    // What a record held when it was found is nobody's word to us.
    let found = typed(false, "from = \".title\"");
    assert_eq!((logged(&found), found.base.fields["F"].restore), (vec![], true));
    // And what we are just writing is our own.
    let case = Case { theirs: json!("b"), writing: Some(json!("b")), made: true, ..Case::default() };
    let echo = case.merge("from = \".title\"\nwins = \"theirs\"");
    assert_eq!((logged(&echo), echo.base.fields["F"].held), (vec![], false));
}

#[test]
fn a_conflict_goes_by_the_fields_rule_and_the_loser_is_in_the_log() {
    let both_moved = || Case { base: agreed("a"), ours: json!("ours"), theirs: json!("theirs"), ..Case::default() };
    let rule = |wins: &str| both_moved().merge(&format!("both = \".title\"\nwins = \"{wins}\""));
    let lost = |merged: &Merged| merged.log.iter().any(|line| line.what == What::Conflict);
    let theirs = rule("theirs");
    assert_eq!(taken(&theirs), [json!("theirs")]);
    let ours = rule("ours");
    assert_eq!((taken(&ours), ours.base.fields["F"].restore), (vec![], true));
    let asked = rule("ask");
    assert_eq!((taken(&asked), asked.base.fields["F"].held, asked.questions.len()), (vec![], true, 1));
    // Nobody here decided, so what somebody typed there is the newer word.
    let newest = rule("newest");
    assert_eq!(taken(&newest), [json!("theirs")]);
    assert!([&theirs, &ours, &asked, &newest].into_iter().all(lost));
    let same = Case { base: agreed("a"), ours: json!("b"), theirs: json!("b"), ..Case::default() }.merge(BOTH);
    // Their word all the same: no model changes it from now on.
    assert_eq!((taken(&same), logged(&same)), (vec![json!("b")], vec![What::Edited]), "both say the same");
}

#[test]
fn history_puts_back_what_our_write_replaced_unseen_and_only_that() {
    let replaced = |known: Base| Case {
        base: agreed("ours"),
        ours: json!("ours"),
        theirs: json!("ours"),
        edits: vec![told("typed", true)],
        known,
        ..Case::default()
    };
    let unseen = replaced(Base::default()).merge(BOTH);
    assert_eq!((taken(&unseen), logged(&unseen)), (vec![json!("typed")], vec![What::Overtaken]));
    let overtaken = Case { edits: vec![told("typed", false)], ..replaced(Base::default()) }.merge(BOTH);
    assert_eq!((taken(&overtaken), logged(&overtaken)), (vec![], vec![What::Overtaken]), "others replaced it");

    // A look showed it, and it was merged then.
    let seen = Case { base: agreed("a"), ours: json!("a"), theirs: json!("typed"), ..Case::default() }.merge(BOTH);
    let later = replaced(Base { fields: BTreeMap::new(), ..seen.base }).merge(BOTH);
    assert_eq!((taken(&later), logged(&later)), (vec![], vec![]));
    // That holds for one telling: who types it again is heard again.
    let again = replaced(Base { fields: BTreeMap::new(), heard: None, ..later.base }).merge(BOTH);
    assert_eq!(taken(&again), [json!("typed")]);
}

#[test]
fn history_that_was_taken_in_is_no_news() {
    let heard = Base { heard: Some(NOW), ..Base::default() };
    let case = Case {
        base: agreed("ours"),
        ours: json!("ours"),
        theirs: json!("ours"),
        edits: vec![told("typed", true)],
        known: heard,
        ..Case::default()
    };
    let merged = case.merge(BOTH);
    assert_eq!((taken(&merged), logged(&merged)), (vec![], vec![]));
}
