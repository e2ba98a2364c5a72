use chrono::{DateTime, Utc};

use super::{Cell, Formula, Row};

struct Sample;

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap_or_default().to_utc()
}

impl Row for Sample {
    fn id(&self) -> &str {
        "recSample00000001"
    }
    fn created(&self) -> DateTime<Utc> {
        at("2026-11-01T08:00:00Z")
    }
    fn modified(&self, fields: Option<&[String]>) -> DateTime<Utc> {
        if fields.is_some_and(|f| f == ["Title"]) { at("2026-11-02T08:00:00Z") } else { at("2026-11-03T08:00:00Z") }
    }
    fn cell(&self, field: &str) -> Cell {
        match field {
            "Title" => Cell::Text("Say \"hi\" \\ bye".to_owned()),
            "Count" => Cell::Number(3.0),
            "Tags" => Cell::List(vec![Cell::Text("Red".to_owned()), Cell::Text("Blue".to_owned())]),
            _ => Cell::Blank,
        }
    }
    fn now(&self) -> DateTime<Utc> {
        at("2026-11-04T08:00:00Z")
    }
}

#[test]
fn passes_and_refuses_rows() {
    let cases = [
        (r#"{Title} = "Say \"hi\" \\ bye""#, true),
        (r#"{Title} = 'Say "hi" \\ bye'"#, true),
        ("Count >= 3", true),
        ("{Count} < 3", false),
        ("AND({Count}=3, NOT({Missing}))", true),
        ("OR({Missing}, FALSE(), 0)", false),
        (r#"{Missing} = """#, true),
        ("{Missing} = BLANK()", true),
        ("RECORD_ID() = 'recSample00000001'", true),
        (r#"IS_AFTER(LAST_MODIFIED_TIME(), "2026-11-02T23:59:59.000Z")"#, true),
        (r#"IS_AFTER(LAST_MODIFIED_TIME({Title}), "2026-11-02T23:59:59.000Z")"#, false),
        (r#"IS_BEFORE(CREATED_TIME(), DATETIME_PARSE("2026-11-02"))"#, true),
        ("IS_SAME(CREATED_TIME(), '2026-11-01', 'day')", true),
        ("FIND('Blue', ARRAYJOIN({Tags}, ';'))", true),
        ("FIND('blue', ARRAYJOIN({Tags}))", false),
        ("SEARCH('blue', {Tags})", true),
        ("LEN({Missing} & 'ab') = 2", true),
        ("LOWER('ABC') & 1 = 'abc1'", true),
        ("1 + 2 * 3 - 4 / 2 = 5", true),
        ("-(2) = 0 - 2", true),
        ("1 / 0", false),
        ("IF({Count} > 2, 'yes')", true),
    ];
    for (text, expected) in cases {
        let formula = Formula::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(formula.passes(&Sample), expected, "{text}");
    }
}

#[test]
fn bad_formulas_do_not_parse() {
    let deep = "(".repeat(1_000) + "1";
    for text in ["", "AND(", "{Open", "'open", "1 +", "NOPE(1)", "NOT()", "1 2", "LAST_MODIFIED_TIME('x')", "#", &deep]
    {
        assert!(Formula::parse(text).is_err(), "{text}");
    }
}

#[test]
fn names_its_fields() {
    let formula = Formula::parse(r"AND({With \} brace}, Plain = 1)").unwrap();
    assert_eq!(formula.fields(), ["With } brace", "Plain"]);
}
