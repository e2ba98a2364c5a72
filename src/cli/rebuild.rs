//! `loopd ledger rebuild`: a lost ledger, from what stands at the destinations.

use std::sync::Arc;

use super::{Exit, Out, open};
use crate::ledger::NoProbe;
use crate::pause::RealPause;
use crate::rebuild::rebuild;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(_args: Args, out: &Out) -> anyhow::Result<Exit> {
    let config = open::config(out)?;
    let ledger = open::ledger(&config, Arc::new(NoProbe))?;
    let house = open::house(config, ledger, &open::way_out(Arc::new(NoProbe))?)?;
    let bar = out.progress(None, "reading the destinations: records");
    let rebuilt = rebuild(&house, &RealPause, &mut |found| bar.inc(found)).await;
    bar.finish_and_clear();
    let rebuilt = rebuilt?;
    out.json(&rebuilt);
    let rows = rebuilt.entities.iter().map(|(kind, count)| vec![(*kind).to_owned(), count.to_string()]);
    out.table(
        &["rebuilt", "items"],
        rows.chain([
            vec!["links".to_owned(), rebuilt.links.to_string()],
            vec!["customers merged".to_owned(), rebuilt.merged.to_string()],
        ]),
    );
    for (record, why) in &rebuilt.left_out {
        out.note(format!("{} {record}: {why}", out.yellow("!")));
    }
    out.line("\nThe sources are read anew by the next `loopd run`; `loopd plan` shows what that would write.");
    Ok(if rebuilt.left_out.is_empty() { Exit::Done } else { Exit::NeedsPerson })
}
