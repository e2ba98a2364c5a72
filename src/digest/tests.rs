//! Digests of an invented week: what each role reads, and what a model may not write.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::check::check;
use super::gather::{Waits, week};
use super::prose::{WORDS, offline, words};
use super::role::{Section, sections, seen_by};
use super::span::Span;
use super::week::{Decide, Role, Week};
use super::write::told;
use crate::report::coverage::{Expected, coverage};
use crate::report::voices::{Account, Topic, Voice, Voices, Words};
use crate::schema::{EntityId, Quote, Risk, RiskReason, Status};
use crate::triage::testing::house_where_a_model_says;

fn span() -> Span {
    Span::parse("2026-W47", Tz::Europe__Paris).expect("a week")
}

fn id(kind: u8, number: u8) -> EntityId {
    let mut bytes = [number; 16];
    bytes[0] = kind.wrapping_mul(37).wrapping_add(number.wrapping_mul(91));
    bytes[15] = kind;
    EntityId::from_bytes(bytes)
}

fn account(name: &str, arr: Option<f64>, segment: &str, tier: &str) -> Account {
    Account { name: name.into(), arr, segment: Some(segment.into()), tier: Some(tier.into()), region: None }
}

fn topic(name: &str, statement: &str) -> Topic {
    Topic {
        name: name.into(),
        statement: Some(statement.into()),
        status: Some("hypothesis".into()),
        job: Some(format!("When I work with {}, I want to be done in time, so I can go home.", name.to_lowercase())),
        shipped_at: None,
    }
}

/// A day of the week that the digest is of: 1 is its Monday, 0 and less are before it.
fn day(day: i64) -> DateTime<Utc> {
    span().from() + TimeDelta::days(day - 1) + TimeDelta::hours(9)
}

fn voice(number: u8, at: i64, customer: u8, theme: u8, category: &str, text: &str) -> Voice {
    Voice {
        id: id(1, number),
        at: Some(day(at)),
        customer: (customer > 0).then(|| id(2, customer)),
        theme: (theme > 0).then(|| id(3, theme)),
        category: Some(category.into()),
        severity: Some("medium".into()),
        segment: None,
        product: Some("Console".into()),
        source: Some("support".into()),
        status: Status::New,
        shipped_at: None,
        risk: None,
        words: Some(Box::new(Words { title: None, verbatim: Some(text.into()) })),
    }
}

fn leaving(text: &str, weight: f64) -> Option<Risk> {
    let reason = |kind: &str, weight: f64, name: Option<&str>| RiskReason {
        kind: kind.into(),
        weight,
        quote: Quote { text: text.into(), end: text.len(), ..Quote::default() },
        name: name.map(str::to_owned),
    };
    let reasons = vec![reason("churn", weight, None), reason("competitor", 0.4, Some("Rival Example"))];
    Some(Risk { score: 0.88, reasons, model: "rules-1".into() })
}

/// Four customers, three themes, two weeks.
fn voices() -> Voices {
    let mut all = Voices::default();
    for (number, account) in [
        (1, account("Lumen Example", Some(840_000.0), "Energy", "Enterprise")),
        (2, account("Quill Example", Some(84_000.0), "Media", "Growth")),
        (3, account("Osier Example", Some(12_500.0), "Energy", "Starter")),
        (4, account("Birch Example", Some(400_000.0), "Healthcare", "Enterprise")),
    ] {
        all.accounts.insert(id(2, number), account);
    }
    for (number, topic) in [
        (1, topic("Exports fail on large sheets", "We believe Energy struggles with exports of large sheets.")),
        (2, topic("Single sign-on", "We believe Enterprise struggles with signing in.")),
        (3, topic("Dark mode", "We believe customers struggle with bright screens.")),
    ] {
        all.topics.insert(id(3, number), topic);
    }
    let shipped = |mut voice: Voice, on: i64| {
        voice.status = Status::Shipped;
        voice.shipped_at = Some(day(on));
        voice
    };
    all.items = vec![
        voice(1, 1, 1, 1, "bug", "Hello team,\nThe export stops after ten thousand rows. Please help."),
        voice(2, 2, 3, 1, "bug", "Exports of our yearly sheet never finish."),
        voice(3, 2, 2, 2, "feature_request", "We would like to sign in with our own directory."),
        voice(4, 3, 1, 2, "feature_request", "Please add single sign-on before our audit in spring."),
        voice(5, 4, 2, 0, "praise", "The new editor is a joy to use every day."),
        voice(6, 5, 0, 3, "feature_request", "My eyes hurt at night, a dark mode would be great."),
        Voice {
            risk: leaving("we are moving to Rival Example", 0.8),
            ..voice(7, 5, 2, 1, "churn_signal", "If exports stay so, we are moving to Rival Example in January.")
        },
        Voice {
            severity: Some("critical".into()),
            ..voice(8, 6, 1, 1, "bug", "Nobody here can export anything since today.")
        },
        // The week before.
        voice(9, -2, 3, 1, "bug", "An export took the whole night."),
        voice(10, -1, 1, 3, "feature_request", "Could you make a dark theme for the console?"),
        // Long before, and shipped in this week.
        shipped(voice(11, -40, 2, 3, "feature_request", "Dark mode, please."), 3),
        // Later than this week.
        voice(12, 9, 4, 1, "bug", "We see it, too."),
    ];
    // As the pass over the ledger does.
    for item in &mut all.items {
        item.segment = item.customer.and_then(|id| all.accounts.get(&id)).and_then(|account| account.segment.clone());
    }
    all
}

fn waits() -> Waits {
    Waits { verify: vec![id(3, 1)], proposals: 2, messages: 3, conflicts: 1, customers: 0 }
}

fn expected() -> Expected {
    Expected { products: vec!["Console".into(), "SDK".into()] }
}

fn whole() -> Week {
    week(&voices(), span(), &waits(), &expected(), day(10))
}

fn of(role: Role) -> Week {
    seen_by(whole(), role)
}

/// The texts are looked at by people: `GOLDEN=write` writes them anew.
#[test]
fn each_role_reads_its_own() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/digest/tests");
    for role in Role::ALL {
        let file = folder.join(format!("{}.md", role.name()));
        let text = offline(&of(role));
        if std::env::var("GOLDEN").is_ok_and(|golden| golden == "write") {
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(&file, &text).expect("it can be written");
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(text, golden, "{}", file.display());
    }
}

#[test]
fn the_numbers_are_those_of_the_week() {
    let week = whole();
    assert_eq!((week.items.now, week.items.before, week.items.change), (8, 2, 6));
    assert_eq!((week.customers.now, week.customers.before), (3, 2));
    assert_eq!(week.arr_heard.as_ref().map(|arr| arr.amount), Some(936_500.0));
    let themes: Vec<(&str, usize, i64, usize, Option<f64>)> = week
        .themes
        .iter()
        .map(|theme| {
            let arr = theme.arr.as_ref().map(|arr| arr.amount);
            (theme.name.as_str(), theme.items.now, theme.items.change, theme.customers, arr)
        })
        .collect();
    assert_eq!(
        themes,
        [
            // Each account once, whatever it says.
            ("Exports fail on large sheets", 4, 3, 3, Some(936_500.0)),
            ("Single sign-on", 2, 2, 2, Some(924_000.0)),
            ("Dark mode", 1, 0, 0, None),
        ]
    );
    assert_eq!((week.churning, week.churning_arr.as_ref().map(|arr| arr.amount)), (1, Some(84_000.0)));
    let wins: Vec<(&str, String, usize)> =
        week.wins.iter().map(|win| (win.name.as_str(), win.on.to_string(), win.customers)).collect();
    assert_eq!(wins, [("Dark mode", "2026-11-18".to_owned(), 1)]);
    let gaps: Vec<(&str, &str)> = week.gaps.iter().map(|gap| (gap.of.as_str(), gap.name.as_str())).collect();
    assert_eq!(gaps, [("segment", "Healthcare"), ("product", "SDK")]);
    // Twice the same, whatever has been said since.
    assert_eq!(whole(), week);
    let mut later = voices();
    later.items.push(voice(13, 12, 1, 2, "bug", "Something new is broken."));
    let later = super::gather::week(&later, span(), &waits(), &expected(), day(30));
    assert_eq!(later, week);
}

#[test]
fn decisions_come_first_and_quotes_are_what_was_said() {
    let all = voices();
    for role in Role::ALL {
        assert_eq!(sections(role)[0], Section::Decisions);
        let week = of(role);
        assert!(!week.decisions.is_empty() && (2..=3).contains(&week.quotes.len()), "{role:?}");
        for said in &week.quotes {
            let verbatim = all.items.iter().filter_map(|item| item.words.as_ref()?.verbatim.as_deref());
            assert!(verbatim.into_iter().any(|verbatim| verbatim.contains(&said.text)), "{said:?}");
        }
        let text = offline(&week);
        let sees = role != Role::Engineering;
        assert_eq!(text.contains("Lumen Example") || text.contains("Quill Example"), sees, "{role:?}\n{text}");
        assert_eq!(serde_json::to_string(&week).expect("plain").contains("Quill Example"), sees);
    }
    assert_eq!(of(Role::Leadership).decisions[0].what, Decide::Churn);
    assert_eq!(of(Role::Pm).decisions[0].what, Decide::Verify);
    assert_eq!(of(Role::Engineering).decisions[0].what, Decide::Critical);
    assert!(of(Role::Engineering).themes.iter().all(|theme| theme.defects > 0));
}

#[test]
fn odd_weeks_read_well() {
    let nothing = Voices::default();
    let quiet = week(&nothing, span(), &Waits::default(), &Expected::default(), day(10));
    let text = offline(&seen_by(quiet, Role::Leadership));
    assert!(text.contains("Nobody was heard.") && text.contains("Nothing waits for a decision."), "{text}");

    let after = Span::parse("2026-W49", Tz::Europe__Paris).expect("a week");
    let mut before = voices();
    before.items.retain(|item| item.between(day(8), day(15)));
    let text = offline(&week(&before, after, &Waits::default(), &Expected::default(), day(30)));
    assert!(text.contains("Nobody was heard, after 1 piece the week before."), "{text}");

    let mut first = voices();
    first.items.retain(|item| item.between(day(1), day(8)));
    let first = week(&first, span(), &Waits::default(), &Expected::default(), day(10));
    let text = offline(&seen_by(first, Role::Pm));
    assert!(text.contains("first week that was heard") && !text.contains("more than"), "{text}");

    let running = week(&voices(), span(), &waits(), &expected(), day(6));
    let text = offline(&seen_by(running, Role::Leadership));
    assert!(text.contains("so far") && !text.contains("the week before"), "{text}");

    let mut poor = voices();
    poor.accounts.values_mut().for_each(|account| account.arr = None);
    let poor = week(&poor, span(), &waits(), &expected(), day(10));
    let text = offline(&seen_by(poor, Role::Leadership));
    assert!(text.contains("No revenue is known, so customers count.") && !text.contains("ARR"), "{text}");

    let mut one = voices();
    one.items.truncate(1);
    let one = week(&one, span(), &Waits::default(), &Expected::default(), day(10));
    let text = offline(&seen_by(one, Role::Leadership));
    assert!(text.contains("1 piece of feedback from 1 customer with 840k ARR"), "{text}");
}

#[test]
fn what_waited_then_is_what_waits_in_a_past_week() {
    // Told by the day on which it was settled: see `gather::waits`, and `tests/cli/digest.rs` for the rest.
    let without = week(&voices(), span(), &Waits::default(), &expected(), day(10));
    assert!(without.decisions.iter().all(|decision| matches!(decision.what, Decide::Churn | Decide::Critical)));
}

/// What a good model answers.
fn answer(week: &Week) -> Value {
    let sections: Vec<Value> = sections(week.role)
        .into_iter()
        .map(|section| {
            let text = match section {
                Section::Decisions => "- Who calls Quill Example, with 84k ARR, before they move?\n- When is the critical export failure fixed?",
                Section::Themes => "1. Exports fail on large sheets: four pieces from 3 customers with 937k ARR, 3 more than the week before.\n2. Single sign-on: 2 pieces, 924,000 ARR.\n3. Dark mode: one piece, as the week before.",
                Section::Signals => "One customer, Quill Example, speaks of leaving: “we are moving to Rival Example”. 84k ARR.",
                Section::Gaps => "Healthcare has 30% of ARR and 25% of customers, and says nothing.",
                Section::Wins => "Dark mode shipped on 18 November.",
            };
            json!({ "section": section.name(), "text": text })
        })
        .collect();
    json!({ "headline": "Eight pieces from three customers, up 6: exports hurt, and one customer speaks of leaving.", "sections": sections })
}

#[test]
fn a_models_text_that_holds_is_shown_in_our_frame() {
    let week = of(Role::Leadership);
    let text = told(&week, &answer(&week)).expect("it holds");
    assert!(text.starts_with("# Voice of Customer, week 47 of 2026: for leadership\n\nEight pieces"), "{text}");
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what} in {text}"));
    assert!(place("## Decisions") < place("## New churn signals") && place("## Wins") < place("## In their words"));
    assert!(words(&text) < WORDS);
}

#[test]
fn a_models_text_that_does_not_hold_is_refused() {
    let week = of(Role::Leadership);
    let good = answer(&week);
    let with = |section: &str, text: &str| {
        let mut answer = good.clone();
        for given in answer["sections"].as_array_mut().expect("a list") {
            if given["section"] == section {
                given["text"] = json!(text);
            }
        }
        answer
    };
    for (section, text, complaint) in [
        ("themes", "Exports hurt 9 customers.", "`9` is not in the data"),
        ("themes", "Exports hurt 5 customers.", "`5` is not in the data"),
        ("themes", "Exports hurt twice as many customers.", "ratio"),
        ("themes", "Exports hurt 1.2M ARR.", "not in the data"),
        ("themes", "Down 3 on exports.", "not in the data"),
        ("gaps", "Healthcare has 31% of ARR.", "not in the data"),
        ("gaps", "Healthcare has a third of ARR.", "ratio"),
        ("signals", "It says “we are leaving you for good”.", "nobody said"),
        ("signals", "It says “we are moving to Rival", "does not end"),
        ("signals", "They told Maple Example of it.", "is a name"),
        ("signals", "> we are moving", "plain sentences"),
        ("wins", "Dark mode shipped on 19 November.", "date"),
        ("wins", "See https://rival.example for it.", "plain sentences"),
        ("decisions", "", "missing"),
    ] {
        let refused = told(&week, &with(section, text)).expect_err(text);
        assert!(refused.contains(complaint), "{text}: {refused}");
    }
    let mut less = good.clone();
    less["sections"].as_array_mut().expect("a list").pop();
    assert!(told(&week, &less).expect_err("one is missing").contains("to be there once"));
    let mut more = good.clone();
    more["sections"].as_array_mut().expect("a list").push(json!({"section": "advice", "text": "Build it."}));
    assert!(told(&week, &more).expect_err("one too many").contains("no section"));
    assert!(told(&week, &with("gaps", &"Healthcare is silent. ".repeat(150))).expect_err("long").contains("fewer"));
    for odd in [json!(null), json!([]), json!({"headline": 7}), json!({"headline": "Fine.", "sections": {}})] {
        assert!(told(&week, &odd).is_err());
    }
}

#[tokio::test]
async fn a_model_that_lies_is_not_believed_and_hears_no_name() {
    let week = of(Role::Leadership);
    let (house, model) = house_where_a_model_says("", &answer(&week));
    let edition = super::write::write(&house, week.clone()).await.expect("memory");
    assert_eq!((edition.prompt.as_deref(), edition.note.as_deref()), (Some("digest/1"), None), "{}", edition.text);
    assert!(edition.text.contains("one customer speaks of leaving"));
    let heard = model.heard();
    assert!(heard.contains("84k ARR") && !heard.contains("Quill Example"), "{heard}");

    let mut lie = answer(&week);
    lie["headline"] = json!("Feedback doubled to 80 pieces.");
    let (house, model) = house_where_a_model_says("", &lie);
    let edition = super::write::write(&house, week.clone()).await.expect("memory");
    assert_eq!((edition.by.as_str(), edition.text.as_str()), ("loopd", offline(&week).as_str()));
    assert!(edition.note.as_deref().is_some_and(|note| note.contains("no model's text held")), "{:?}", edition.note);
    assert!(model.heard().contains("`headline`: "), "it is told what was wrong");
    // Off, or nothing to tell of: nobody is asked.
    let (house, model) = house_where_a_model_says("[tasks]\ndigest = { mode = \"off\" }\n", &answer(&week));
    assert_eq!(super::write::write(&house, week).await.expect("memory").by, "loopd");
    let quiet = seen_by(
        super::gather::week(&Voices::default(), span(), &Waits::default(), &Expected::default(), day(10)),
        Role::Pm,
    );
    super::write::write(&house, quiet).await.expect("memory");
    assert_eq!(model.heard(), "");
}

#[test]
fn our_own_words_pass_the_check_that_a_model_must_pass() {
    for role in Role::ALL {
        let week = of(role);
        let body: Vec<String> = offline(&week)
            .lines()
            .filter(|line| !line.starts_with(['#', '>']))
            .map(|line| line.replace('\\', ""))
            .collect();
        super::numbers::check(&body.join("\n"), &week.known()).unwrap_or_else(|why| panic!("{role:?}: {why}"));
    }
    assert!(check("Nothing new.", &of(Role::Pm)).is_ok());
}

#[test]
fn coverage_tells_who_is_silent_and_what_is_heard_where() {
    let all = voices();
    let told = coverage(&all, day(-60), day(8), &expected());
    assert_eq!((told.items, told.customers, told.heard), (11, 4, 3));
    let silent: Vec<(&str, Option<f64>)> =
        told.silent.iter().map(|silent| (silent.name.as_str(), silent.arr)).collect();
    assert_eq!(silent, [("Birch Example", Some(400_000.0))]);
    let energy = told.segments.iter().find(|part| part.name == "Energy").expect("it is heard");
    assert_eq!((energy.items, energy.customers, energy.heard), (6, 2, 2));
    assert_eq!((energy.share_of_items, energy.share_of_customers, energy.share_of_arr), (60, 50, Some(64)));
    let cells: usize = told.cells.iter().map(|cell| cell.items).sum();
    assert_eq!(cells, told.items, "each piece stands in one place");
    assert_eq!(told.cells[0].segment.as_deref(), Some("Energy"));
    // Nothing at all is no gap: nobody is there.
    let nothing = coverage(&Voices::default(), day(-60), day(8), &expected());
    assert_eq!((nothing.gaps.len(), nothing.arr), (0, None));
}

proptest::proptest! {
    /// However long the names and however much there is to tell.
    #[test]
    fn it_is_always_short(
        name in "\\PC{0,300}",
        text in "[a-z ]{0,200}",
        items in 0_u8..120,
        waiting in 0_usize..1_000_000,
    ) {
        let mut all = voices();
        for topic in all.topics.values_mut() {
            topic.name.clone_from(&name);
            topic.statement = Some(name.repeat(3));
        }
        for account in all.accounts.values_mut() {
            account.name.clone_from(&name);
            account.segment = Some(name.clone());
            account.tier = Some(text.clone());
        }
        for number in 0..items {
            let mut voice = voice(number.wrapping_add(20), i64::from(number % 7) + 1, number % 5, number % 4, "churn_signal", &text);
            voice.severity = Some("critical".into());
            voice.risk = leaving(&text, 0.9);
            voice.product = Some(format!("{name} {number}"));
            voice.source = Some(format!("{text} {number}"));
            all.items.push(voice);
        }
        let waits = Waits { verify: vec![id(3, 1), id(3, 2), id(3, 3)], proposals: waiting, messages: waiting, conflicts: waiting, customers: waiting };
        let whole = week(&all, span(), &waits, &expected(), day(10));
        for role in Role::ALL {
            let text = offline(&seen_by(whole.clone(), role));
            proptest::prop_assert!(words(&text) < WORDS, "{} words", words(&text));
            proptest::prop_assert!(text.starts_with("# Voice of Customer") && text.contains("## Decisions"));
        }
    }
}

/// `cargo test --lib -- --ignored speed --nocapture`: a week out of 100,000 items.
#[tokio::test]
#[ignore = "a measurement"]
async fn speed() {
    use crate::schema::{Body, Entity, Feedback, Tags};
    use connectors::Clock;
    let house = crate::triage::testing::house("");
    let many: u32 = std::env::var("ITEMS").ok().and_then(|items| items.parse().ok()).unwrap_or(100_000);
    for piece in (0..many).collect::<Vec<_>>().chunks(500) {
        let put = |tx: &mut crate::ledger::Tx<'_>| {
            for number in piece {
                let mut bytes = [7_u8; 16];
                bytes[..4].copy_from_slice(&number.to_be_bytes());
                let tags = Tags { category: Some("bug".into()), product: Some("Console".into()), ..Tags::default() };
                let feedback = Feedback {
                    received_at: Some(crate::triage::testing::NOW - TimeDelta::minutes(i64::from(*number))),
                    verbatim: Some("The export stops after ten thousand rows. ".repeat(8)),
                    tags,
                    ..Feedback::default()
                };
                tx.put_entity(&Entity { id: EntityId::from_bytes(bytes), body: Body::Feedback(Box::new(feedback)) })?;
            }
            Ok(())
        };
        house.ledger.transact(put).expect("memory");
    }
    let clock = connectors::clock::SystemClock::new();
    let edition = super::digest(&house, &super::Wanted::default()).await.expect("memory").expect("a week");

    {
        println!("{many} items: {:?}; {}", clock.monotonic(), edition.week.week);
    }
}
