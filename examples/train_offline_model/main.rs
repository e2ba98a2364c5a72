//! Trains the embedded offline classifier and measures it:
//!
//! ```text
//! cargo run --release --example train_offline_model -- DATA_DIR [OUT_DIR]
//! ```
//!
//! Reads the labelled sets in `DATA_DIR` (`mistral_issues/`, `reviews/`, `intents/`) and the texts in `invented/`, writes
//! `offline-2.bin` and `REPORT.md` into `OUT_DIR` (`src/enrich/weights`). Law: every figure in the report is of text whose group (an
//! issue's theme, a review's app, an intent, an invented sentence) was held out; the same data give the same bytes.

mod calibrate;
mod data;
mod dress;
mod fit;
mod folds;
mod products;
mod report;

use std::path::PathBuf;

use anyhow::{Context, Result};
use connectors::Clock;
use connectors::clock::SystemClock;
use loopd::enrich::model::Model;
use loopd::enrich::{Classifier, Offline, Text};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let data = arguments.next().context("name the folder of labelled data: train_offline_model DATA_DIR [OUT_DIR]")?;
    let out = arguments.next().unwrap_or_else(|| "src/enrich/weights".into());
    let examples = data::load(&data)?;
    let held_out = folds::held_out(&examples);
    let all: Vec<&data::Example> = examples.iter().collect();
    let trained = folds::train(&all);
    let mut tasks = trained.tasks;
    for (task, verdicts) in tasks.iter_mut().zip(&held_out) {
        (task.curve, task.worth) = calibrate::fit(verdicts, task.classes.len());
    }
    let model = Model { idf: trained.idf, tasks: tasks.into() };
    let bytes = model.encode();
    let report = report::write(&examples, &held_out, &products::measure(&model, &examples), bytes.len());
    std::fs::write(out.join("offline-2.bin"), &bytes).with_context(|| format!("writing into {}", out.display()))?;
    std::fs::write(out.join("REPORT.md"), &report).with_context(|| format!("writing into {}", out.display()))?;
    print!("{report}");
    println!("\n{:.0} texts a second on one core", pace(model, &examples));
    Ok(())
}

/// Texts a second, the examples as they are; not in the report, which is the same on every machine.
fn pace(model: Model, examples: &[data::Example]) -> f64 {
    let offline = Offline::with(model, Vec::new());
    let text = |example: &data::Example| Text { body: example.text.clone(), ..Text::default() };
    let texts: Vec<Text> = examples.iter().map(text).collect();
    let watch = SystemClock::new();
    for text in &texts {
        std::hint::black_box(offline.classify(text));
    }
    examples.len() as f64 / watch.monotonic().as_secs_f64()
}
