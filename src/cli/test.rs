//! `loopd test`: the examples of the mappings, through the sandbox and back. No account, no key, no network.

use std::sync::Arc;

use anyhow::Context;

use super::{Exit, Out, Told, open};
use crate::config::{self, Machine};
use crate::demo;
use crate::ledger::{Ledger, MemoryStore, NoProbe};
use crate::pause::RealPause;
use crate::trial;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only mappings whose file name holds this
    #[arg(value_name = "PART")]
    only: Option<String>,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let folder = tempfile::Builder::new().prefix("loopd-test-").tempdir().context("no temporary folder")?;
    let repos = [trial::REPO.to_owned()];
    let (world, served) = demo::vendors(1, &repos).await?;
    let names = demo::Names { repos: repos.to_vec(), ..demo::Names::default() };
    let path = demo::write_config(folder.path(), &served, ([127, 0, 0, 1], 0).into(), &demo::STAGED, &names)?;
    let load = || config::load(&path, &Machine).map_err(|problems| anyhow::anyhow!(open::render(&problems)));
    let ledger = Ledger::over(Arc::new(MemoryStore::new()), Arc::new(NoProbe))?;
    let vendors = open::house(load()?, ledger, &open::way_out(Arc::new(NoProbe))?)?;
    let own = out.config_path().exists();
    let config = if own { open::config(out)? } else { load()? };
    let mut files = if own { trial::files(&config, &Machine) } else { trial::shipped() };
    files.retain(|name, _| args.only.as_ref().is_none_or(|part| name.contains(part.as_str())));
    if let Some(part) = args.only.as_ref().filter(|_| files.is_empty()) {
        let text = format!("error: no mapping that is in use has `{part}` in its file's name");
        return Err(Told::usage(text).into());
    }
    let tried = trial::run(&config, &files, &vendors, &world, &RealPause).await;
    served.shutdown().await;
    let bad = tried.iter().filter(|tried| !tried.wrong.is_empty()).count();
    out.json(&serde_json::json!({ "tried": tried, "wrong": bad }));
    out.table(
        &["mapping", "example", "fields", "result"],
        tried.iter().map(|one| {
            let result = if one.wrong.is_empty() { out.green("holds") } else { out.red(&one.wrong.join("; ")) };
            vec![one.mapping.clone(), one.example.clone(), one.fields.to_string(), result]
        }),
    );
    out.line(format!("\n{} tried, {bad} wrong.", tried.len()));
    Ok(if bad == 0 { Exit::Done } else { Exit::Failed })
}
