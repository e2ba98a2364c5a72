//! What ten changes cost, from the vendor's webhook to the row in Airtable, beside 10,000, 100,000 and a million entities:
//! processor time and reads of the ledger. The cost must follow the changes, not the ledger.
//!
//! Fifty items come in as always. The rest are their copies, put into the ledger with link, base and a line of history in the order
//! of their ids (that is fast), so that the trees are as high as with real ones. Time is virtual: waits cost nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use connectors::Clock;
use loopd::ledger::{Batch, Ledger, Link, Row, SledStore, Store, StoreError, Tree};
use loopd::schema::{Entity, EntityId};
use sandbox::github::Edit;
use sandbox::{Vendor, World};

use crate::Size;
use crate::figures::{Aim, Figures};
use crate::machine::{Timer, cpu_ms, folder, free_space};
use crate::support::TestClock;
use crate::town::{REPO, config};
use crate::works::{Works, entities, open_issues};

const REAL: u64 = 50;
const CHANGES: u64 = 10;
const LANES: [(&str, &str); 1] = [("airtable", "Feedback")];

/// A store that counts what it is asked for.
struct Counting {
    inner: SledStore,
    gets: AtomicU64,
    scans: AtomicU64,
    rows: AtomicU64,
}

impl Store for Counting {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.inner.get(tree, key)
    }
    fn scan(&self, tree: Tree, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        let rows = self.inner.scan(tree, prefix, after, limit)?;
        self.rows.fetch_add(rows.len() as u64, Ordering::Relaxed);
        Ok(rows)
    }
    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.inner.apply(batch)
    }
    fn durable(&self) -> Result<(), StoreError> {
        self.inner.durable()
    }
    fn size_on_disk(&self) -> u64 {
        self.inner.size_on_disk()
    }
}

impl Counting {
    fn reads(&self) -> u64 {
        self.gets.load(Ordering::Relaxed) + self.rows.load(Ordering::Relaxed)
    }
}

pub(crate) fn run(size: Size, figures: &mut Figures) {
    let sizes: &[u64] = size.pick(&[10_000, 100_000, 1_000_000], &[1_000, 10_000]);
    let mut costs = Vec::new();
    for &wanted in sizes {
        costs.push(one(figures, wanted, size.pick(20, 5)));
    }
    if let (Some(first), Some(last)) = (costs.first(), costs.last()) {
        let (from, to) = (sizes[0], sizes[sizes.len() - 1]);
        figures.add("cycle", format!("processor time, {to} / {from} entities"), last.0 / first.0, "", Aim::AtMost(1.5));
        figures.add("cycle", format!("rows read, {to} / {from} entities"), last.1 / first.1, "", Aim::AtMost(1.1));
    }
}

/// Milliseconds and rows read for ten changes.
fn one(figures: &mut Figures, wanted: u64, cycles: u64) -> (f64, f64) {
    let folder = folder();
    let inner = SledStore::open(&folder.path().join("ledger"), free_space()).expect("a new ledger");
    let store = Arc::new(Counting {
        inner,
        gets: AtomicU64::default(),
        scans: AtomicU64::default(),
        rows: AtomicU64::default(),
    });
    let mut works = Works::open(store.clone(), &config(""), Duration::ZERO);
    open_issues(&works.world, REAL, 0);
    works.settle(Duration::from_secs(24 * 3600), |house| entities(house) as u64 >= REAL);
    let timer = Timer::start();
    populate(&works.house.ledger, wanted - REAL);
    works.house.ledger.durable().expect("a disk with room");
    let populated = timer.seconds();
    // The rooms meet the large ledger once before anything is measured.
    change(&mut works, 0);
    let (mut cpu, reads) = (Vec::new(), store.reads());
    for cycle in 1..=cycles {
        let before = cpu_ms();
        change(&mut works, cycle);
        cpu.push(cpu_ms() - before);
    }
    cpu.sort_by(f64::total_cmp);
    let (middle, reads) = (cpu[cpu.len() / 2], (store.reads() - reads) as f64 / cycles as f64);
    let disk = works.house.ledger.size_on_disk() as f64 / 1e6;
    println!("-- {wanted} entities: {disk:.0} MB on disk, put there in {populated:.0} s");
    figures.add(
        "cycle",
        format!("ten changes beside {wanted} entities: processor time, median of {cycles}"),
        middle,
        "ms",
        Aim::None,
    );
    figures.add("cycle", format!("ten changes beside {wanted} entities: rows read"), reads, "rows", Aim::None);
    (middle, reads)
}

/// Ten people edit their issues, and it is brought to its end.
fn change(works: &mut Works, cycle: u64) {
    let clock: Arc<TestClock> = works.line.clock.clone();
    // A new second: vendors note no smaller times.
    clock.advance(Duration::from_secs(2));
    for number in 1..=CHANGES {
        let edit = Edit { title: Some(format!("Report {number}, edited {cycle} times")), ..Edit::default() };
        works
            .world
            .github(|desk, cx| assert!(desk.edit_issue(REPO, number, edit, "ada-example", cx), "the issue is there"));
    }
    let before = written(&works.world);
    // What the vendors then tell of our own writes is part of the cost.
    let (world, end) = (works.world.clone(), clock.monotonic() + Duration::from_secs(60));
    works.settle(Duration::from_secs(3600), |_| written(&world) > before && clock.monotonic() >= end);
}

fn written(world: &World) -> u64 {
    world.books(Vendor::Airtable).by_operation.get("PATCH records").copied().unwrap_or(0)
}

/// Copies what the ledger holds of its first entity, under other ids: these.
pub(crate) fn populate(ledger: &Ledger, count: u64) -> Vec<EntityId> {
    let mut template: Option<Entity> = None;
    ledger
        .each_entity(|entity| {
            template.get_or_insert(entity);
            Ok(())
        })
        .expect("the ledger is open");
    let template = template.expect("items came in");
    let links: Vec<_> = LANES
        .iter()
        .filter_map(|(connection, collection)| {
            let link = ledger.link(template.id, connection, collection).expect("the ledger is open")?;
            let base = ledger.base(template.id, connection, collection).expect("the ledger is open")?;
            Some((*connection, *collection, link, base))
        })
        .collect();
    assert_eq!(links.len(), LANES.len(), "the items are in Airtable");
    let history = ledger.history(template.id).expect("the ledger is open");
    let mut ids: Vec<EntityId> =
        (0..count).map(|number| EntityId::derive("filler", "issue", &number.to_string())).collect();
    ids.sort_unstable();
    for (piece, ids) in ids.chunks(500).enumerate() {
        ledger
            .transact(|tx| {
                for (place, id) in ids.iter().enumerate() {
                    tx.put_entity(&Entity { id: *id, body: template.body.clone() })?;
                    for (connection, collection, link, base) in &links {
                        let link = Link { id: format!("rec{:014}", piece * 500 + place), ..link.clone() };
                        tx.put_link(*id, connection, collection, &link)?;
                        tx.put_base(*id, connection, collection, base)?;
                    }
                    for entry in history.iter().take(1) {
                        tx.log(*id, entry)?;
                    }
                }
                Ok(())
            })
            .expect("a disk with room");
    }
    ids
}
