//! Whatever people do, in whatever order: counts are right, the index agrees with the ledger, and taking everything back leaves
//! everything as it was.

use std::collections::{BTreeMap, BTreeSet};

use loopd::schema::{EntityId, EntityKind};
use loopd::triage::{Near, merge, themes};
use proptest::prelude::*;
use serde_json::Value;

use crate::Room;

const TOPICS: [&str; 3] = [
    "the CSV export times out for large workspaces",
    "invoices show the wrong tax number of the company",
    "sign-in by single sign-on ends in a redirect loop",
];

#[derive(Clone, Debug)]
enum Deed {
    Say(usize),
    Move(usize, usize),
    MergeItems(usize, usize),
    MergeThemes(usize, usize),
    Split(usize, u8),
    Withdraw(usize),
    Restart,
    /// The latest deed that can be undone is.
    Undo,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (0..3_usize).prop_map(Deed::Say),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(item, theme)| Deed::Move(item, theme)),
        3 => (any::<usize>(), any::<usize>()).prop_map(|(item, of)| Deed::MergeItems(item, of)),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(theme, into)| Deed::MergeThemes(theme, into)),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(theme, part)| Deed::Split(theme, part)),
        1 => any::<usize>().prop_map(Deed::Withdraw),
        1 => Just(Deed::Restart),
        2 => Just(Deed::Undo),
    ]
}

/// What people see of an item: its theme, who stands for it, and how far it is.
type Shown = BTreeMap<EntityId, (Value, Value, Value)>;

fn shown(room: &Room, items: &[EntityId]) -> Shown {
    let seen = items.iter().map(|id| (*id, room.seen(*id)));
    seen.map(|(id, seen)| (id, (seen["theme"].clone(), seen["duplicate_of"].clone(), seen["status"].clone()))).collect()
}

fn pick<T: Copy>(all: &[T], at: usize) -> Option<T> {
    (!all.is_empty()).then(|| all[at % all.len()])
}

/// What can be taken back, and how everything looked before it.
struct Done {
    undo: EntityId,
    before: Shown,
}

fn live(room: &Room) -> Vec<EntityId> {
    room.themes().into_iter().filter(|id| room.theme(*id).merged_into.is_none()).collect()
}

fn check(room: &Room, items: &[EntityId]) {
    let ledger = &room.house.ledger;
    let seen = shown(room, items);
    for theme in room.themes() {
        let named = |id: &&EntityId| seen[*id].0 == theme.to_string() && !room.item(**id).withdrawn;
        let members: BTreeSet<EntityId> = items.iter().filter(named).copied().collect();
        let roots: BTreeSet<String> =
            members.iter().map(|id| seen[id].1.as_str().map_or_else(|| id.to_string(), str::to_owned)).collect();
        let derived = room.seen(theme)["derived"].clone();
        assert_eq!((&derived["count"], &derived["items"]), (&roots.len().into(), &members.len().into()), "{theme}");
    }
    for (id, (_, of, _)) in &seen {
        assert_ne!(of.as_str(), Some(id.to_string().as_str()), "nobody stands for itself");
    }
    assert_eq!(loopd::ledger::verify(ledger).expect("memory"), Vec::new());
    // The index that was kept in step, and one that is loaded now.
    for id in items.iter().copied().chain(room.themes()) {
        loopd::triage::nearest::settle(&room.house, id).expect("memory");
    }
    let space = loopd::enrich::embed::NAME;
    let kept = room.house.near.with(&room.house, |index| Ok(index.middles(space))).expect("memory");
    let fresh = Near::default().with(&room.house, |index| Ok(index.middles(space))).expect("memory");
    assert_eq!(kept, fresh, "who joined and left has left no trace");
}

fn undo(room: &Room, items: &[EntityId], done: &Done) {
    room.commit(|tx| themes::undo(&room.house, tx, done.undo, "cli")).expect("it can be undone");
    let now = shown(room, items);
    for (id, was) in &done.before {
        let mut is = now[id].clone();
        if was.0.is_null() {
            is.0 = Value::Null; // What was loose may have found its theme since.
        }
        assert_eq!(&is, was, "{} is as it was", id.short(EntityKind::Feedback));
    }
}

fn tell(deeds: &[Deed]) {
    let mut room = Room::bare();
    let mut items: Vec<EntityId> = Vec::new();
    let mut done: Vec<Done> = Vec::new();
    for deed in deeds {
        let before = shown(&room, &items);
        match deed {
            Deed::Say(topic) => {
                let number = items.len();
                items.push(room.say(&number.to_string(), |feedback| {
                    feedback.title = Some(format!("{} ({number})", TOPICS[*topic]));
                    feedback.tags.category = Some("bug".into());
                }));
                room.work();
            }
            Deed::Move(item, theme) => {
                if let (Some(item), Some(theme)) = (pick(&items, *item), pick(&live(&room), *theme)) {
                    room.commit(|tx| themes::move_item(&room.house, tx, item, Some(theme), "cli")).expect("it moves");
                    // Whoever is moved is not where an undo would find it.
                    done.clear();
                }
            }
            Deed::MergeItems(item, of) => {
                if let (Some(item), Some(of)) = (pick(&items, *item), pick(&items, *of))
                    && room.item(item).duplicate_of.is_none()
                    && room.commit(|tx| merge::merge_items(&room.house, tx, item, of, "cli")).is_ok()
                {
                    done.push(Done { undo: item, before });
                }
            }
            Deed::MergeThemes(theme, into) => {
                if let (Some(theme), Some(into)) = (pick(&live(&room), *theme), pick(&live(&room), *into))
                    && room.commit(|tx| themes::merge_themes(&room.house, tx, theme, into, "cli")).is_ok()
                {
                    done.push(Done { undo: theme, before });
                }
            }
            Deed::Split(theme, part) => {
                if let Some(theme) = pick(&live(&room), *theme) {
                    let of = |id: &&EntityId| before[*id].0 == theme.to_string();
                    let members = items.iter().filter(of).enumerate();
                    let part: Vec<EntityId> =
                        members.filter(|(at, _)| part >> (at % 8) & 1 == 1).map(|(_, id)| *id).collect();
                    let split = room.commit(|tx| themes::split_theme(&room.house, tx, theme, &part, None, "cli"));
                    if let Ok(split) = split {
                        done.push(Done { undo: split, before });
                    }
                }
            }
            Deed::Withdraw(item) => {
                if let Some(at) = (!items.is_empty()).then(|| item % items.len()) {
                    room.say(&at.to_string(), |feedback| feedback.withdrawn = !feedback.withdrawn);
                    room.work();
                    done.clear();
                }
            }
            Deed::Restart => room.restart(),
            Deed::Undo => {
                if let Some(done) = done.pop() {
                    undo(&room, &items, &done);
                }
            }
        }
    }
    room.work();
    check(&room, &items);
    while let Some(done) = done.pop() {
        undo(&room, &items, &done);
    }
    room.work();
    check(&room, &items);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_people_do_can_be_taken_back(deeds in proptest::collection::vec(deed(), 1..30)) {
        tell(&deeds);
    }
}
