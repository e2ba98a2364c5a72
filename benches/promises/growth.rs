//! How much disk the ledger takes for what is alive in it: when items have come in, after every one was changed again and
//! again, and after `loopd ledger compact`. sled grows under updates; this is what the metric and the command are for.

use std::sync::Arc;
use std::time::Duration;

use loopd::ledger::{Entry, Ledger, NoProbe, SledStore, What, portable};
use loopd::report::size;
use loopd::schema::{Body, EntityId};

use crate::Size;
use crate::cycle::populate;
use crate::figures::{Aim, Figures};
use crate::machine::{folder, free_space};
use crate::town::config;
use crate::works::{Works, entities, open_issues};

pub(crate) fn run(wanted: Size, figures: &mut Figures) {
    let (items, rounds) = wanted.pick((20_000, 5), (2_000, 3));
    let folder = folder();
    let path = folder.path().join("ledger");
    {
        let store = Arc::new(SledStore::open(&path, free_space()).expect("a new ledger"));
        let mut works = Works::open(store, &config(""), Duration::ZERO);
        open_issues(&works.world, 10, 0);
        works.settle(Duration::from_secs(24 * 3600), |house| entities(house) >= 10);
        let ids = populate(&works.house.ledger, items);
        let ledger = works.house.ledger.clone();
        drop(works);
        tell(figures, &ledger, &format!("{items} items came in"));
        for round in 1..=rounds {
            for (place, id) in ids.iter().enumerate() {
                update(&ledger, *id, round);
                // As often as the daemon does while it writes in tens.
                if place % 10 == 0 {
                    ledger.durable().expect("a disk with room");
                }
            }
        }
        tell(figures, &ledger, &format!("every item changed {rounds} times"));
    }
    let (before, after) = portable::compact(&path, &free_space()).expect("a whole ledger");
    figures.add("growth", "compact: bytes after / before", after as f64 / before as f64, "", Aim::None);
    let ledger = Ledger::open(&path, free_space(), Arc::new(NoProbe)).expect("a whole ledger");
    tell(figures, &ledger, "compacted");
}

fn tell(figures: &mut Figures, ledger: &Ledger, when: &str) {
    ledger.durable().expect("a disk with room");
    let size = size(ledger).expect("a whole ledger");
    figures.add("growth", format!("{when}: alive"), size.bytes_alive as f64 / 1e6, "MB", Aim::None);
    figures.add("growth", format!("{when}: on disk / alive"), size.amplification().unwrap_or_default(), "", Aim::None);
}

/// An item changed: its entity, what was agreed on, a line of history.
fn update(ledger: &Ledger, id: EntityId, round: u32) {
    ledger
        .transact(|tx| {
            let mut entity = tx.entity(id)?.expect("it came in");
            if let Body::Feedback(feedback) = &mut entity.body {
                feedback.title = Some(format!("Changed {round} times"));
            }
            tx.put_entity(&entity)?;
            let mut base = tx.base(id, "airtable", "Feedback")?;
            base.rounds = round;
            tx.put_base(id, "airtable", "Feedback", &base)?;
            let at = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000 + i64::from(round));
            tx.log(
                id,
                &Entry {
                    at,
                    by: "github".into(),
                    what: What::Drawn,
                    field: Some("title".into()),
                    old: None,
                    new: None,
                    note: None,
                },
            )
        })
        .expect("a disk with room");
}
