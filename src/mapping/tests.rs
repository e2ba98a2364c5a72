//! Mappings as ops write them: what they give, what comes back, and how mistakes are told.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::types::{self, TURN, Type};
use super::*;
use crate::schema::{
    Alias, AliasKind, Author, Body, Customer, Decision, Entity, EntityId, Feedback, Job, Merge, Origin, Quote, Risk,
    Status, Tags, Theme, Turn, Verdict,
};

fn problems(text: &str) -> Vec<Problem> {
    match compile("test.toml", text) {
        Ok(_) => panic!("it compiled:\n{text}"),
        Err(problems) => problems,
    }
}

fn from(text: &str) -> FromMapping {
    match compile("test.toml", text).map(|compiled| compiled.mapping) {
        Ok(Mapping::From(from)) => *from,
        other => panic!("{other:?}"),
    }
}

fn into(text: &str) -> IntoMapping {
    match compile("test.toml", text).map(|compiled| compiled.mapping) {
        Ok(Mapping::Into(into)) => into,
        other => panic!("{other:?}"),
    }
}

fn feedback_field(field: &str) -> String {
    format!("into = \"x.y\"\nentity = \"feedback\"\n[fields.\"F\"]\n{field}\n")
}

#[test]
fn every_shipped_mapping_compiles_has_two_examples_and_they_hold() {
    for (file, text) in crate::config::SHIPPED {
        let compiled = compile(file, text)
            .unwrap_or_else(|problems| panic!("{}", problems.iter().map(Problem::render).collect::<String>()));
        assert!(compiled.examples.len() >= 2, "{file}");
        let failed = run_examples(&compiled);
        assert!(failed.is_empty(), "{}", failed.iter().map(Problem::render).collect::<String>());
        let names = file.split('.').next();
        assert_eq!(Some(compiled.connection()), names, "a shipped file begins with its connection's name");
    }
}

fn full() -> [Entity; 3] {
    let id = EntityId::derive("a", "b", "c");
    let at = chrono::DateTime::UNIX_EPOCH;
    let text = || Some("x".to_owned());
    let origin = Some(Origin { connection: "a".into(), collection: "b".into(), id: "c".into(), url: text() });
    let alias = Alias::new(AliasKind::Domain, "example.com").expect("a domain");
    let decided = [("status".to_owned(), Decision { by: "cli".into(), at })];
    let verdict = Verdict {
        value: json!("bug"),
        model: "m".into(),
        prompt: None,
        confidence: 0.5,
        claimed: None,
        at,
        because: None,
    };
    let feedback = Feedback {
        source: text(),
        origin: origin.clone(),
        received_at: Some(at),
        title: text(),
        verbatim: text(),
        summary: text(),
        language: text(),
        author: Author { name: text(), email: text(), handle: text() },
        customer: Some(id),
        theme: Some(id),
        status: Status::Building,
        tags: Tags {
            model: text(),
            product: text(),
            category: text(),
            severity: text(),
            segment: text(),
            region: text(),
            use_case: text(),
        },
        thread: vec![Turn {
            id: "1".into(),
            author: text(),
            customer: true,
            at: Some(at),
            text: "t".into(),
            url: text(),
        }],
        thread_state: text(),
        hints: vec![alias.clone()],
        enrichment: [("tags.category".to_owned(), verdict)].into(),
        decided: decided.clone().into(),
        withdrawn: true,
        merged_from: vec![id],
        part_of: Some(id),
        quote: Some(Quote::default()),
        duplicate_of: Some(id),
        own_status: Some(Status::New),
        job: Some(Job::default()),
        risk: Some(Risk::default()),
        reviewed: true,
    };
    let customer = Customer {
        name: text(),
        origin: origin.clone(),
        domains: vec!["example.com".into()],
        aliases: vec![alias.clone()],
        industry: text(),
        region: text(),
        tier: text(),
        arr: Some(1.5),
        lifecycle: text(),
        use_case: text(),
        owner: text(),
        customer_since: chrono::NaiveDate::from_ymd_opt(2026, 1, 2),
        decided: decided.clone().into(),
        withdrawn: true,
        given: vec![alias.clone()],
        refused: vec![alias],
        absorbed: vec![id],
        merged: Some(Merge { into: id, at, by: "cli".into(), took: BTreeMap::new(), handed: Vec::new() }),
        parted_from: Some(id),
    };
    let theme = Theme {
        name: text(),
        origin,
        statement: text(),
        description: text(),
        status: text(),
        owner: text(),
        decided: decided.into(),
        withdrawn: true,
        job: Some(Job::default()),
        merged_into: Some(id),
        split_from: Some(id),
        split_items: vec![(id, id)],
    };
    [Body::Feedback(Box::new(feedback)), Body::Customer(Box::new(customer)), Body::Theme(Box::new(theme))]
        .map(|body| Entity { id, body })
}

/// The keys of an object, going into those objects that the table goes into.
fn leaves(value: &Value, prefix: &str, table: &[types::Field], found: &mut Vec<String>) {
    for (key, inner) in value.as_object().expect("an object") {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        if types::is_inner(table, &path) { leaves(inner, &path, table, found) } else { found.push(path) }
    }
}

#[test]
fn the_table_of_types_says_what_serde_says() {
    for entity in full() {
        let (kind, value) = (entity.kind(), entity.to_value());
        let table = types::fields(kind);
        let mut found = Vec::new();
        leaves(&value, "", table, &mut found);
        found.sort();
        let mut named: Vec<String> = table.iter().map(|field| field.path.to_owned()).collect();
        named.sort();
        assert_eq!(found, named, "{}", kind.name());
        for field in table.iter().filter(|field| field.ty != Type::Engine) {
            let path: crate::schema::Path = field.path.parse().expect("a path");
            let held = path.get(&value).clone();
            assert_eq!(field.ty.take(held.clone()), Ok(held), "{}", field.path);
            // What the table takes, serde takes: a value set by path makes an entity again.
            let mut empty = Entity::empty(entity.id, kind).to_value();
            path.set(&mut empty, path.get(&value).clone());
            assert!(Entity::from_value(entity.id, kind, empty).is_ok(), "{}", field.path);
        }
    }
    let turn = serde_json::to_value(Turn::default()).expect("JSON");
    let mut named: Vec<&str> = TURN.iter().map(|field| field.path).collect();
    named.sort_unstable();
    assert_eq!(turn.as_object().map(|map| map.keys().map(String::as_str).collect::<Vec<_>>()), Some(named));
}

#[test]
fn a_record_is_drawn_with_its_customer_and_what_it_lacks_is_empty() {
    let mapping = from(
        "from = \"intercom.conversation\"\nentity = \"feedback\"\n[fields]\nverbatim = '.body'\nreceived_at = '.at | from_epoch'\n\
         status = { from = '.state', values = { shipped = [\"done\", \"closed\"], new = \"open\" } }\ntags.product = '.product'\n\
         [customer]\nmatch = ['.contacts[0].company_id', '.email | domain', { name = '.company' }]\n",
    );
    let drawn = mapping.draw(
        &json!({"body": "  Hi <b>  ", "at": 0, "state": "Closed", "email": "a@lumen.example.com", "company": "Lumen"}),
    );
    let drawn = drawn.expect("drawn");
    let get = |path: &str| drawn.fields[&path.parse().expect("a path")].clone();
    assert_eq!(get(".verbatim"), json!("  Hi <b>  "), "a customer's words are not touched");
    assert_eq!(get(".received_at"), json!("1970-01-01T00:00:00Z"));
    assert_eq!(get(".status"), json!("shipped"));
    assert_eq!(get(".tags.product"), json!(null));
    let hints: Vec<String> = drawn.hints.iter().map(ToString::to_string).collect();
    assert_eq!(hints, ["domain:lumen.example.com", "name:lumen"]);
    let error = mapping.draw(&json!({"body": {"secret": 1}})).expect_err("an object is no text");
    assert_eq!(error.to_string(), "test.toml:4:12: fields.verbatim: a text is expected, this is an object");
    let error = mapping.draw(&json!({"state": "lost"})).expect_err("no status");
    assert!(error.what.contains("no status") && !error.what.contains("lost"), "{error}");
}

#[test]
fn a_digest_changes_with_the_mapping() {
    let text = "from = \"a.b\"\nentity = \"feedback\"\n[fields]\ntitle = '.t'\n";
    assert_eq!(from(text).digest(), from(text).digest());
    assert_ne!(from(text).digest(), from(&text.replace(".t'", ".u'")).digest());
}

#[test]
fn a_contribution_names_its_parent() {
    let text = "from = \"a.comment\"\nentity = \"feedback\"\n[part_of]\ncollection = \"issue\"\nid = '.parent'\n[fields]\nid = '.id'\ntext = '.text'\n";
    let drawn = from(text).draw(&json!({"id": 7, "text": "x", "parent": 12})).expect("drawn");
    assert_eq!(drawn.part_of.as_deref(), Some("12"));
    assert_eq!(drawn.fields[&"id".parse().expect("a path")], json!("7"));
    assert!(from(text).draw(&json!({"id": 7, "text": "x"})).expect_err("no parent").what.contains("whose part"));
    let found = problems(&text.replace("text = '.text'", "author = '.a'"));
    assert!(found.iter().any(|problem| problem.field.as_deref() == Some("fields.text")), "{found:?}");
}

#[test]
fn values_translate_both_ways_and_unknown_words_pass_where_the_vocabulary_is_open() {
    let mapping = into(&feedback_field("both = \".tags.category\"\nvalues = { bug = \"Bug\", praise = \"Praise\" }"));
    let lens = &mapping.fields["F"];
    assert_eq!((lens.flow, lens.wins, lens.kind), (Flow::Both, Wins::Theirs, connectors::FieldKind::Select));
    assert_eq!(lens.options, ["Bug", "Praise"]);
    let wanted = |view: Value| mapping.desire(&view).expect("desired")["F"].clone();
    assert_eq!(wanted(json!({"tags": {"category": "bug"}})), Wanted::Value(json!("Bug")));
    assert_eq!(wanted(json!({"tags": {"category": "odd"}})), Wanted::Value(json!("odd")));
    assert_eq!(wanted(json!({})), Wanted::Value(json!(null)));
    for (theirs, meant) in [
        (json!("Bug"), json!("bug")),
        (json!(" bug"), json!("bug")),
        (json!("New one"), json!("New one")),
        (json!(null), json!(null)),
        (json!(""), json!(null)),
    ] {
        assert_eq!(lens.read_back(&theirs), Ok(meant), "{theirs}");
    }
    assert!(lens.read_back(&json!(["Bug"])).expect_err("a list").what.contains("a list"));

    let status = into(&feedback_field("both = \".status\"\nvalues = { new = \"New\", wont_do = \"Won't Do\" }"));
    assert_eq!(status.fields["F"].read_back(&json!("Won't Do")), Ok(json!("wont_do")));
    assert_eq!(status.fields["F"].read_back(&json!("Shipped")), Ok(json!("shipped")), "the engine's own word passes");
    assert!(status.fields["F"].read_back(&json!("Parked")).expect_err("no status").what.contains("no status"));
}

#[test]
fn what_goes_out_comes_back_as_itself() {
    for (field, view, path) in [
        (
            "both = \".tags.severity\"\nvalues = { critical = 1, high = 2 }\nempty = 0",
            json!({"tags": {"severity": "critical"}}),
            ".tags.severity",
        ),
        (
            "both = \".tags.severity\"\nvalues = { critical = 1, high = 2 }\nempty = 0",
            json!({"tags": {"severity": null}}),
            ".tags.severity",
        ),
        ("both = \".status\"", json!({"status": "wont_do"}), ".status"),
        ("both = \".title\"", json!({"title": "T"}), ".title"),
        ("both = \".summary\"", json!({"summary": "a\nb"}), ".summary"),
    ] {
        let mapping = into(&feedback_field(field));
        let Wanted::Value(out) = mapping.desire(&view).expect("desired")["F"].clone() else { panic!("a value") };
        let path: crate::schema::Path = path.parse().expect("a path");
        assert_eq!(mapping.fields["F"].read_back(&out), Ok(path.get(&view).clone()), "{field}");
    }
}

#[test]
fn mistakes_are_told_with_place_and_mend() {
    for (field, what, mend) in [
        ("both = \".tags.categori\"", "feedback has no `.tags.categori`", "did you mean `.tags.category`?"),
        ("both = \".tags.category | .\"", "must be a plain path", "from"),
        ("both = \".verbatim\"", "what the customer said", "from = \".verbatim\""),
        ("both = \".customer\"", "names another entity", "link = \".customer\" and both = true"),
        ("both = \".withdrawn\"", "the engine's own", "from"),
        ("from = \".derived.arrr\"", "feedback has no `.derived.arrr`", "did you mean `.derived.arr`?"),
        ("from = '.a | lenght'", "no filter `lenght`", "did you mean `length`?"),
        ("from = '.a |'", "expected here", "jq"),
        ("link = \".title\"", "names no entity", "link .customer"),
        ("both = \".title\"\nvalues = { a = \"X\", b = \"x\" }", "could be either", "each its own word"),
        ("both = \".title\"\nvalues = { a = [\"X\", \"Y\"] }", "can only be pulled", "pull"),
        ("both = \".title\"\nwinz = \"ours\"", "no such key", "did you mean `wins`?"),
        ("both = \".title\"\nwins = \"mine\"", "nobody is called", "theirs, ours"),
        ("from = \".title\"\nwins = \"ask\"", "only pushed", "both"),
        ("pull = \".title\"\nwins = \"ours\"", "no conflict", "leave"),
        ("both = \".received_at\"", "what the customer said", "from"),
        ("both = \".title\"\ntype = \"checkbox\"", "cannot give back", "type"),
        ("both = \".title\"\ntype = \"selct\"", "no type `selct`", "did you mean `select`?"),
        ("from = \".title\"\nboth = \".title\"", "several sources", "one of"),
        ("type = \"text\"", "not said where", "one of"),
        ("both = true", "a text is expected", "write it as"),
        ("template = \"{{ title | shout }}\"", "shout", "there are truncate"),
        ("template = \"{% set x = 1 %}\"", "`set` is not for these templates", "if, elif"),
        ("template = \"{{ title\"", "syntax error", "Templates"),
    ] {
        let found = problems(&feedback_field(field));
        let hit =
            found.iter().find(|problem| problem.what.contains(what)).unwrap_or_else(|| panic!("{field}: {found:?}"));
        assert!(hit.mend.as_deref().is_some_and(|text| text.contains(mend)), "{field}: {hit:?}");
        assert!(hit.line >= 3 && hit.column >= 1 && hit.excerpt.is_some(), "{field}: {hit:?}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_found_at_once() {
    let text = "from = \"nodot\"\nentity = \"feedbak\"\n";
    let found = problems(text);
    assert_eq!(found.len(), 2, "{found:?}");
    let text = "from = \"a.b\"\nentity = \"feedback\"\ncolour = 1\n[fields]\ntittle = '.t'\nhints = '.h'\ncustomer = '.c'\nstatus = '\"open\"'\ntitle = '.['\n[customer]\nmatch = ['.x.y', { domane = '.d' }]\n";
    let found: Vec<String> = problems(text).iter().map(ToString::to_string).collect();
    for part in [
        "test.toml:3:1: colour: no such key",
        "test.toml:5:1: fields.tittle: the schema has no such field (did you mean `title`?)",
        "test.toml:6:9: fields.hints: the engine sets this",
        "test.toml:7:12: fields.customer: a source cannot name an entity",
        "test.toml:8:10: fields.status: this is no status",
        "test.toml:9:",
        "test.toml:11:10: customer.match[0]: it is not clear what this gives",
        "a customer is not recognised by `domane`",
    ] {
        assert!(found.iter().any(|told| told.contains(part)), "{part} is not in {found:#?}");
    }
    assert!(problems("a = = 1\nfrom = [").iter().any(|problem| problem.what.contains("not TOML")));
    assert!(
        problems("into = \"a.b\"\nfrom = \"a.b\"\nentity = \"theme\"")
            .iter()
            .any(|problem| problem.what.contains("one way"))
    );
}

#[test]
fn a_problem_is_shown_as_a_compiler_shows_it() {
    let found =
        problems("into = \"x.y\"\nentity = \"feedback\"\n[fields.\"Sevérité\"]\nfrom = '.title | ascii_downcas'\n");
    let expected = "error: fields.\"Sevérité\".from: there is no filter `ascii_downcas` for mappings\n \
                    --> test.toml:4:18\n  |\n4 | from = '.title | ascii_downcas'\n  |                  ^^^^^^^^^^^^^\n  = did you mean `ascii_downcase`?\n";
    assert_eq!(found[0].render(), expected);
}

#[test]
fn links_lead_home_and_shapes_name_what_is_needed() {
    let shipped: Vec<Mapping> =
        crate::config::SHIPPED.iter().filter_map(|(file, text)| Some(compile(file, text).ok()?.mapping)).collect();
    let vocabularies = BTreeMap::from([
        ("product".to_owned(), vec!["sdk".to_owned()]),
        ("category".to_owned(), vec!["bug".to_owned(), "legal".to_owned()]),
    ]);
    let mappings = Mappings::new(shipped, &vocabularies);
    assert_eq!(mappings.home("airtable", EntityKind::Customer), Some("Customers"));
    assert_eq!(mappings.home("linear", EntityKind::Feedback), Some("issue"));
    let shape = mappings.shape("airtable");
    let feedback = shape.collections.iter().find(|collection| collection.name == "Feedback").expect("the table");
    assert_eq!(feedback.key.as_deref(), Some("Loopd ID"));
    let field = |name: &str| feedback.fields.iter().find(|field| field.name == name).expect("the field");
    assert_eq!(field("Customer").links_to.as_deref(), Some("Customers"));
    assert_eq!(field("Theme").links_to.as_deref(), Some("Themes"));
    assert_eq!(field("Product").options, ["sdk"]);
    assert!(
        field("Category").options.contains(&"legal".to_owned())
            && !field("Category").options.contains(&"bug".to_owned())
    );
    assert_eq!(field("Status").options.len(), 6);
    assert!(mappings.from_for("github", "comment").is_some_and(|from| from.part_of.is_some()));
    assert!(mappings.into_for("airtable", "Feedback", EntityKind::Theme).is_none());
}

#[test]
fn a_link_that_flows_back_gives_the_records_of_the_other_side_untouched() {
    let mapping = into(&feedback_field("link = \".customer\"\nboth = true"));
    let lens = &mapping.fields["F"];
    assert_eq!((lens.flow, lens.path.as_ref().map(ToString::to_string).as_deref()), (Flow::Both, Some(".customer")));
    assert_eq!(lens.read_back(&json!(["rec1"])), Ok(json!(["rec1"])));
    let id = EntityId::derive("a", "b", "c");
    assert_eq!(
        mapping.desire(&json!({"customer": id})).expect("desired")["F"],
        Wanted::Links { collection: None, ids: vec![id] }
    );
    assert!(mapping.desire(&json!({"customer": "lumen"})).expect_err("no id").what.contains("names no entity"));
}

#[test]
fn templates_end_and_stay_small() {
    let mapping = |text: &str| into(&feedback_field(&format!("template = '''{text}'''")));
    let render = |text: &str, view: Value| mapping(text).desire(&view);
    let view = json!({"title": "T", "thread": vec!["x"; 3000], "arr": 1_234_567.5, "quote": "a\n\nb"});
    assert_eq!(
        render("{{ title }} {{ nothing.at.all }}{{ arr | money }}\n{{ quote | quote }}", view.clone()).expect("text")["F"],
        Wanted::Value(json!("T 1,234,568\n> a\n>\n> b"))
    );
    for text in [
        "{% for a in thread %}{% for b in thread %}{% for c in thread %}x{% endfor %}{% endfor %}{% endfor %}",
        "{{ title * 1000000000 }}",
        "{% for a in thread %}{{ title * 100000 }}{% endfor %}",
    ] {
        assert!(render(text, view.clone()).is_err(), "{text}");
    }
    assert_eq!(
        render("{{ title * 3 }}", json!({"title": "<b>"})).expect("text")["F"],
        Wanted::Value(json!("<b><b><b>")),
        "nothing is escaped"
    );
}

#[test]
fn the_page_about_mappings_names_every_filter() {
    let page = include_str!("../../docs/mappings.md");
    for name in super::expr::known_names().filter(|name| !["true", "false", "null"].contains(name)) {
        let named = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '@').any(|word| word == name);
        assert!(named, "docs/mappings.md does not name {name}");
    }
}
