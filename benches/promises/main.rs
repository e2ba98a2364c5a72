//! The promises that are numbers: how close to the vendors' limits loopd works, how many calls it needs, how fast it
//! takes in, how much memory and disk it uses, and what a change costs in a large ledger.
//!
//! ```text
//! cargo bench                       # full sizes
//! cargo bench -- --quick            # small sizes, for CI
//! cargo bench -- --only hooks       # one of: efficiency, hooks, app, slack, throughput, memory, cycle, growth, usage, nearest,
//!                                   # judgement
//! cargo bench -- --json             # and one object on the last line
//! ```
//!
//! Whatever is measured is printed, beside what is aimed at. Where a figure depends on the machine, what the machine
//! itself can do is measured in the same run and the ratio is given.

mod app;
mod cycle;
mod efficiency;
mod figures;
mod growth;
mod hooks;
mod judgement;
mod machine;
mod memory;
mod nearest;
mod slack;
mod throughput;
mod timeline;
mod usage;
mod works;

#[path = "../../tests/support/furnish.rs"]
mod furnish;
#[path = "../../tests/support/mod.rs"]
mod support;
#[expect(dead_code, reason = "only its configuration is used; rooms run side by side here")]
#[path = "../../tests/support/town.rs"]
mod town;

use figures::Figures;

/// What was asked on the command line.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) quick: bool,
}

impl Size {
    pub(crate) fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

type Bench = fn(Size, &mut Figures);
const BENCHES: [(&str, Bench); 11] = [
    ("efficiency", efficiency::run),
    ("hooks", hooks::run),
    ("app", app::run),
    ("slack", slack::run),
    ("throughput", throughput::run),
    ("memory", memory::run),
    ("cycle", cycle::run),
    ("growth", growth::run),
    ("usage", usage::run),
    ("nearest", nearest::run),
    ("judgement", judgement::run),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let only = arguments.iter().position(|argument| argument == "--only").and_then(|at| arguments.get(at + 1));
    if let Some(only) = only
        && !BENCHES.iter().any(|(name, _)| name == only)
    {
        println!("there is no bench {only}; there are {}", BENCHES.map(|(name, _)| name).join(", "));
        std::process::exit(2);
    }
    let size = Size { quick: has("--quick") };
    let mut figures = Figures::default();
    for (name, bench) in BENCHES {
        if only.is_none_or(|only| only == name) {
            let timer = machine::Timer::start();
            bench(size, &mut figures);
            println!("-- {name} took {:.1} s", timer.seconds());
        }
    }
    figures.print();
    if has("--json") {
        println!("{}", figures.json(size.quick));
    }
}
