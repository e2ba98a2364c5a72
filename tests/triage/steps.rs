//! One step after the other, as people meet them.

use loopd::ledger::{ProposalState, Proposed};
use loopd::schema::{Body, Decision, Entity, EntityId, Feedback, Origin, Status, Theme};
use loopd::triage::{merge, themes};

use crate::Room;

const EXPORTS: [&str; 5] = [
    "The CSV export times out for large workspaces",
    "CSV export times out when the workspace is large",
    "Our CSV export of a large workspace times out",
    "Large workspace: the CSV export times out again",
    "The CSV export of our large workspace times out every night",
];

fn bug(text: &'static str) -> impl Fn(&mut Feedback) {
    move |feedback| {
        feedback.title = Some(text.into());
        feedback.tags.category = Some("bug".into());
    }
}

fn said(room: &Room, count: usize) -> Vec<EntityId> {
    (0..count).map(|at| room.say(&format!("export-{at}"), bug(EXPORTS[at]))).collect()
}

#[test]
fn a_theme_is_born_of_three_and_joined_by_the_next() {
    let mut room = Room::bare();
    let two = said(&room, 2);
    room.work();
    assert_eq!(room.themes(), Vec::new(), "two are not enough");
    assert_eq!(room.item(two[0]).theme, None);
    let all = said(&room, 4);
    room.work();
    let [theme] = room.themes()[..] else { panic!("one theme: {:?}", room.themes()) };
    assert_eq!(theme, all[0].branch("theme", 0), "its id follows from its first item");
    let born = room.theme(theme);
    assert_eq!(born.status.as_deref(), Some("hypothesis"));
    assert!(born.name.as_deref().is_some_and(|name| name.contains("Export")), "{born:?}");
    assert!(
        born.statement.as_deref().is_some_and(|said| said.starts_with("We believe customers struggle with ")),
        "{born:?}"
    );
    for id in &all {
        assert_eq!(room.item(*id).theme, Some(theme));
        assert_eq!(room.item(*id).enrichment["theme"].value, theme.to_string());
    }
    assert_eq!(room.house.ledger.conditions().expect("memory").len(), 0);
    said(&room, 5);
    room.work();
    let conditions = room.house.ledger.conditions().expect("memory");
    assert!(conditions[0].2.what.contains("5 items, time to verify"), "{conditions:?}");
    assert_eq!(room.seen(theme)["derived"]["verify"], true);
    // Nothing is done twice.
    let before = room.house.ledger.history(all[0]).expect("memory").len();
    room.restart();
    for id in &all {
        room.say_again(*id);
    }
    room.work();
    assert_eq!(room.house.ledger.history(all[0]).expect("memory").len(), before);
    room.commit(|tx| themes::verify(&room.house, tx, theme, "cli")).expect("it holds");
    assert_eq!(room.house.ledger.conditions().expect("memory").len(), 0);
    assert_eq!(room.seen(theme)["derived"]["verify"], false);
}

#[test]
fn praise_opens_nothing_and_joins_nothing() {
    let mut room = Room::bare();
    for (at, text) in EXPORTS.into_iter().enumerate() {
        room.say(&format!("praise-{at}"), |feedback| {
            feedback.title = Some(text.into());
            feedback.tags.category = Some("praise".into());
        });
    }
    room.work();
    assert_eq!(room.themes(), Vec::new());
    said(&room, 3);
    room.work();
    let [theme] = room.themes()[..] else { panic!("one theme") };
    assert_eq!(room.seen(theme)["derived"]["count"], 3);
}

#[test]
fn what_a_person_said_of_a_theme_stands() {
    let mut room = Room::bare();
    let all = said(&room, 3);
    room.work();
    let [theme] = room.themes()[..] else { panic!("one theme") };
    room.commit(|tx| themes::move_item(&room.house, tx, all[1], None, "cli")).expect("moved");
    room.commit(|tx| themes::rename(&room.house, tx, theme, "Nightly exports", "cli")).expect("renamed");
    said(&room, 5);
    room.say("export-1", |feedback| feedback.verbatim = Some("And more of it: the export times out.".into()));
    room.work();
    assert_eq!(room.item(all[1]).theme, None, "a person took it out");
    assert_eq!(room.theme(theme).name.as_deref(), Some("Nightly exports"));
    assert_eq!(room.seen(theme)["derived"]["count"], 4);
    room.commit(|tx| themes::undo(&room.house, tx, all[1], "cli")).expect("moved back");
    assert_eq!(room.item(all[1]).theme, Some(theme));
}

#[test]
fn a_theme_that_people_made_is_joined() {
    let mut room = Room::bare();
    let loose = room.say("one", bug("CSV export is slow"));
    room.work();
    assert_eq!(room.item(loose).theme, None);
    let id = EntityId::derive("airtable", "Themes", "rec1");
    let theme = Theme {
        name: Some("Slow CSV export".into()),
        origin: Some(Origin { connection: "airtable".into(), ..Origin::default() }),
        ..Theme::default()
    };
    room.put(&Entity { id, body: Body::Theme(Box::new(theme)) });
    room.work();
    assert_eq!(room.item(loose).theme, Some(id), "what is loose joins it");
    let later = room.say("two", bug("Why is the CSV export so slow?"));
    room.work();
    assert_eq!(room.item(later).theme, Some(id));
}

#[test]
fn whoever_speaks_of_something_else_now_leaves() {
    let mut room = Room::bare();
    let all = said(&room, 4);
    room.work();
    assert!(room.item(all[3]).theme.is_some());
    room.say("export-3", |feedback| feedback.title = Some("Invoices show the wrong VAT number".into()));
    room.work();
    assert_eq!(room.item(all[3]).theme, None);
    room.say("export-2", |feedback| feedback.verbatim = Some("It worked last week. CSV export times out.".into()));
    room.work();
    assert!(room.item(all[2]).theme.is_some(), "a few words more are no reason");
}

#[test]
fn what_was_sent_twice_is_proposed_and_merged_by_a_person_and_undone() {
    let mut room = Room::bare();
    let first = room.say("a", bug("The stream stops after 4 KB"));
    room.work();
    let again = |feedback: &mut Feedback| {
        feedback.title = Some("The stream stops  after 4 KB".into());
        feedback.author.handle = Some("a-example".into());
    };
    let second = room.say("b", again);
    room.work();
    let open = themes::open_proposals(&room.house.ledger).expect("memory");
    let [(number, proposal)] = &open[..] else { panic!("one proposal: {open:?}") };
    assert_eq!(proposal.what, Proposed::Duplicate { item: second, of: first }, "the newer of the older");
    assert_eq!(room.item(second).duplicate_of, None, "it is a proposal");
    room.commit(|tx| themes::decide(&room.house, tx, *number, true, "cli")).expect("merged");
    assert_eq!(room.seen(second)["duplicate_of"], first.to_string());
    assert_eq!(room.seen(first)["derived"]["duplicates"], 1);
    // It goes along.
    move_on(&room, first, Status::Shipped);
    assert_eq!(room.item(second).status, Status::Shipped);
    room.commit(|tx| merge::unmerge_item(&room.house, tx, second, "cli")).expect("undone");
    let item = room.item(second);
    assert_eq!((item.status, item.duplicate_of, item.own_status), (Status::New, None, None), "as it was");
    let state = room.house.ledger.proposal(*number).expect("memory").expect("kept").state;
    assert!(matches!(state, ProposalState::Undone { .. }), "{state:?}");
    room.say("b", |feedback| feedback.language = Some("en".into()));
    room.work();
    assert_eq!(themes::open_proposals(&room.house.ledger).expect("memory"), Vec::new(), "never proposed again");
}

fn move_on(room: &Room, id: EntityId, status: Status) {
    room.commit(|tx| {
        let before = tx.entity(id)?.expect("it is there");
        let mut after = before.clone();
        if let Body::Feedback(feedback) = &mut after.body {
            feedback.status = status;
            feedback.decided.insert("status".into(), Decision { by: "linear".into(), at: room.house.now() });
        }
        tx.put_entity(&after)?;
        loopd::follow::follow(&room.house, tx, &after, Some(&before), loopd::ledger::When::Now)
    });
}

#[test]
fn who_stands_for_an_item_is_the_last_that_is_there() {
    let mut room = Room::bare();
    let [a, b, c] = ["a", "b", "c"].map(|name| room.say(name, bug("Something")));
    room.work();
    let merge = |item, of| room.commit(|tx| merge::merge_items(&room.house, tx, item, of, "cli"));
    merge(c, b).expect("merged");
    merge(b, a).expect("merged");
    assert_eq!(room.seen(c)["duplicate_of"], a.to_string());
    assert!(merge(a, c).is_err(), "no circle");
    assert!(merge(a, a).is_err());
    room.say("a", |feedback| feedback.withdrawn = true);
    assert_eq!(room.seen(c)["duplicate_of"], b.to_string());
    assert_eq!(room.seen(b)["duplicate_of"], serde_json::Value::Null, "it stands for itself again");
    room.say("a", |feedback| feedback.withdrawn = false);
    assert_eq!(room.seen(b)["duplicate_of"], a.to_string());
}

#[test]
fn duplicates_count_once_and_their_customers_each() {
    let mut room = Room::bare();
    let customers: Vec<EntityId> = (0..2)
        .map(|at| {
            let id = EntityId::derive("test", "customer", &at.to_string());
            let mut entity = Entity::empty(id, loopd::schema::EntityKind::Customer);
            if let Body::Customer(customer) = &mut entity.body {
                customer.arr = Some(1000.0);
            }
            room.commit(|tx| tx.put_entity(&entity));
            id
        })
        .collect();
    let all = said(&room, 3);
    for (at, customer) in [0, 1, 1].into_iter().enumerate() {
        room.say(&format!("export-{at}"), |feedback| feedback.customer = Some(customers[customer]));
    }
    room.work();
    let [theme] = room.themes()[..] else { panic!("one theme") };
    let counts = |room: &Room| {
        let derived = room.seen(theme)["derived"].clone();
        (derived["count"].clone(), derived["items"].clone(), derived["customers"].clone(), derived["arr"].clone())
    };
    assert_eq!(counts(&room), (3.into(), 3.into(), 2.into(), 2000.0.into()));
    room.commit(|tx| merge::merge_items(&room.house, tx, all[1], all[0], "cli")).expect("merged");
    assert_eq!(counts(&room), (2.into(), 3.into(), 2.into(), 2000.0.into()), "once, and each account");
    room.commit(|tx| merge::unmerge_item(&room.house, tx, all[1], "cli")).expect("undone");
    assert_eq!(counts(&room), (3.into(), 3.into(), 2.into(), 2000.0.into()));
}

#[test]
fn parts_of_one_conversation_are_not_compared_and_speak_in_its_place() {
    let mut room = Room::bare();
    let whole = room.say("whole", |feedback| feedback.verbatim = Some("A long call.".into()));
    for name in ["p1", "p2"] {
        room.say(name, |feedback| {
            feedback.title = Some("The stream stops after 4 KB".into());
            feedback.author.handle = Some("ada-example".into());
            feedback.part_of = Some(whole);
        });
    }
    room.work();
    assert_eq!(room.house.ledger.proposals().expect("memory"), Vec::new());
}

impl Room {
    fn say_again(&self, id: EntityId) {
        let entity = self.house.ledger.entity(id).expect("memory").expect("it is there");
        self.put(&entity);
    }
}
