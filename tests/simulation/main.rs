//! The simulation: one thread, one seed. Random inputs, edits by people on every side, faults everywhere, crashes at
//! any step, until quiet. Then the promise is checked against the vendors' own books.
//!
//! ```text
//! SEEDS=1000 SEED=0 cargo test --release --test simulation -- --nocapture
//! ```
//!
//! runs seeds 0 to 999. A seed that fails is named with the command that replays it; the same seed makes the same trace.
//!
//! After every run: what is outside is what should be there; another cycle writes nothing; what a person typed last in a
//! field stands there or is in the log; every input has its record exactly once; nothing was called above quota.

mod durable;
#[path = "../support/furnish.rs"]
mod furnish;
mod judged;
mod more;
mod people;
mod promise;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/town.rs"]
mod town;

use std::time::Duration;

use sandbox::faults::Rng;
use sandbox::{Faults, Vendor};
use town::Town;

/// What a seed decides about its run.
struct Weather {
    faults: Faults,
    acts: u64,
    /// How often, per act, the engine ends and begins again.
    crash: f64,
    power_loss: bool,
}

fn weather(rng: &mut Rng) -> Weather {
    let some = |rng: &mut Rng, most: f64| if rng.chance(0.5) { 0.0 } else { rng.below(1000) as f64 / 1000.0 * most };
    let mut faults = Faults::NONE;
    faults.fail_before = some(rng, 0.08);
    faults.fail_after = some(rng, 0.08);
    faults.server_error = some(rng, 0.05);
    faults.webhook_drop = some(rng, 0.4);
    faults.webhook_double = some(rng, 0.4);
    faults.webhook_reorder = some(rng, 0.5);
    faults.stale_read = some(rng, 0.1);
    faults.stale_read_ms = 200 + rng.below(4000);
    faults.slow = some(rng, 0.1);
    faults.slow_ms = 100 + rng.below(40_000);
    Weather { faults, acts: 20 + rng.below(60), crash: some(rng, 0.1), power_loss: rng.chance(0.5) }
}

/// Where items live: Airtable and Linear, or Notion and Salesforce as well; or in two places, with a language model among the vendors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Places {
    Two,
    Four,
    Judged,
}

/// One run. Returns a digest of all that happened.
fn run(seed: u64, places: Places) -> u64 {
    let mut rng = Rng::seeded(seed);
    let weather = weather(&mut rng);
    let four = places == Places::Four;
    let mut town = match places {
        Places::Two => Town::new(seed),
        Places::Four => Town::of_four(seed),
        Places::Judged => Town::with(seed, judged::MODEL),
    };
    let mut people = people::People::default();
    people.four = four;
    town.run_for(Duration::from_secs(30));
    town.world.set_faults(weather.faults);
    for _ in 0..weather.acts {
        if places == Places::Judged && rng.chance(0.3) {
            judged::act(&mut town, &mut rng);
        }
        people.act(&mut town, &mut rng);
        // Whatever is due, in any order, and not to its end.
        for _ in 0..rng.below(40) {
            if rng.chance(0.2) {
                town.post();
            }
            let room = usize::try_from(rng.below(town.rooms.len() as u64)).unwrap_or(0);
            if town.is_due(room) {
                town.step(room);
            }
        }
        if rng.chance(weather.crash) {
            let kept =
                weather.power_loss.then(|| usize::try_from(rng.below(town.store.at_risk() as u64 + 1)).unwrap_or(0));
            town.restart(kept);
        }
        if rng.chance(0.5) {
            town.run_for(Duration::from_millis(rng.below(20_000)));
        } else {
            town.clock.advance(Duration::from_millis(rng.below(3_000)));
        }
    }
    town.world.set_faults(Faults::NONE);
    town.world.mistral(|desk, _| desk.behave());
    people.tidy(&town);
    town.run_for(Duration::from_secs(90 * 60));
    promise::check(&mut town, &people);
    judged::check(&mut town);
    if std::env::var_os("TRACE").is_some() {
        println!("seed {seed}: {} steps, until {}", town.steps, connectors::Clock::now(&*town.clock));
        for vendor in Vendor::ALL {
            println!("{} {:#?}", vendor.name(), town.world.books(vendor));
        }
    }
    digest(&town)
}

fn digest(town: &Town) -> u64 {
    let mut ledger = Vec::new();
    loopd::ledger::portable::export(&**town.house.ledger.store(), &mut ledger).expect("memory");
    let books: Vec<String> = Vendor::ALL.into_iter().map(|vendor| format!("{:?}", town.world.books(vendor))).collect();
    loopd::ledger::digest(&(String::from_utf8_lossy(&ledger), books, town.steps)).expect("JSON")
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text}")),
        Err(_) => default,
    }
}

#[test]
fn the_promise_holds_whatever_happens() {
    hold(Places::Two);
}

#[test]
fn it_holds_in_four_places() {
    hold(Places::Four);
}

#[test]
fn it_holds_with_a_model_that_misbehaves() {
    hold(Places::Judged);
}

fn hold(places: Places) {
    // A debug build is ten times slower; CI runs a thousand in release.
    let (first, seeds) = (number("SEED", 0), number("SEEDS", if cfg!(debug_assertions) { 12 } else { 200 }));
    // A model adds much to each run, and nothing to most of what the other two hold.
    let seeds = if places == Places::Judged && seeds > 4 { seeds.div_ceil(4) } else { seeds };
    let mut failed = Vec::new();
    for seed in first..first + seeds {
        let outcome = std::panic::catch_unwind(|| run(seed, places));
        if outcome.is_err() {
            println!("seed {seed} failed; replay it with: SEEDS=1 SEED={seed} cargo test --release --test simulation");
            failed.push(seed);
            if failed.len() >= 5 {
                break;
            }
        }
    }
    let held = seeds - failed.len() as u64;
    let where_ = match places {
        Places::Two => "in two places",
        Places::Four => "in four places",
        Places::Judged => "in two places, with a model that misbehaves",
    };
    println!("simulation: {held} of {seeds} seeds kept the promise {where_}");
    assert_eq!(failed, Vec::<u64>::new(), "seeds that broke the promise");
}

#[test]
fn the_same_seed_makes_the_same_trace() {
    for (seed, places) in [(1, Places::Two), (2, Places::Two), (3, Places::Four), (4, Places::Judged)] {
        assert_eq!(run(seed, places), run(seed, places), "seed {seed} in {places:?} places");
    }
}
