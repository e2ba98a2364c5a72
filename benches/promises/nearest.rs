//! What it takes to find what lies near an item among a hundred thousand, on one core, and to load them.

use std::sync::Arc;

use connectors::clock::SystemClock;
use connectors::http::Transport;
use loopd::enrich::embed::{DIMS, NAME};
use loopd::ledger::{Ledger, MemoryStore, NoProbe, Packed};
use loopd::schema::EntityId;

use crate::Size;
use crate::figures::{Aim, Figures};
use crate::machine::Timer;
use crate::support::TestClock;
use crate::throughput::Direct;
use crate::town::config;
use crate::works::{house, vendors};

const LOOKS: u32 = 20;

pub(crate) fn run(wanted: Size, figures: &mut Figures) {
    let items: u32 = wanted.pick(100_000, 10_000);
    let store = Arc::new(MemoryStore::new());
    let ledger = Ledger::over(store.clone(), Arc::new(NoProbe)).expect("memory");
    let mut chance = 7_u32;
    let mut next = || {
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(chance >> 16).expect("16 bits")) / 32_768.0 - 1.0
    };
    let ids: Vec<EntityId> = (0..items).map(|at| EntityId::derive("bench", "item", &at.to_string())).collect();
    let mut first = Vec::new();
    for piece in ids.chunks(1000) {
        let vectors: Vec<Vec<f32>> = piece.iter().map(|_| (0..DIMS).map(|_| next()).collect()).collect();
        if first.is_empty() {
            first.clone_from(&vectors[0]);
        }
        let store_them = ledger.transact(|tx| {
            for (id, vector) in piece.iter().zip(&vectors) {
                tx.put_vector(NAME, *id, &Packed::of(vector));
            }
            Ok(())
        });
        store_them.expect("memory");
    }
    let world = vendors(&TestClock::new());
    let way_out = move |vendor| -> Arc<dyn Transport> { Arc::new(Direct { world: world.clone(), vendor }) };
    let house = house(store, Arc::new(SystemClock::new()), &config(""), way_out);
    let timer = Timer::start();
    house.near.with(&house, |_| Ok(())).expect("memory");
    figures.add("nearest", format!("loading {items} items"), timer.seconds() * 1e3, "ms", Aim::None);
    let length = first.iter().map(|value| value * value).sum::<f32>().sqrt();
    first.iter_mut().for_each(|value| *value /= length);
    let timer = Timer::start();
    for _ in 0..LOOKS {
        let look = house.near.with(&house, |index| index.nearest(NAME, (&first, ids[1]), 5, |_| Ok(true)));
        let found = look.expect("memory");
        assert_eq!(found.first().map(|(id, _)| *id), ids.first().copied(), "it lies nearest to itself");
    }
    let each = timer.seconds() * 1e3 / f64::from(LOOKS);
    figures.add("nearest", format!("the five nearest of {items}"), each, "ms", Aim::AtMost(25.0));
}
