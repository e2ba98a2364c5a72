//! `loopd init`: a first configuration, by questions on a terminal or by flags.
//!
//! The law: it never overwrites what somebody wrote, unless told to.

use std::path::PathBuf;

use anyhow::Context;
use connectors::Kind;

use super::{Exit, Out, Told};
use crate::config::{SHIPPED, starter};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The vendors to connect: github, intercom, airtable, linear, notion, salesforce, …
    #[arg(long, value_delimiter = ',', value_name = "VENDOR,…", value_parser = kind)]
    vendor: Vec<Kind>,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
    /// Also copy the shipped mappings of these vendors into this folder, to be edited
    #[arg(long, value_name = "FOLDER")]
    mappings: Option<PathBuf>,
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| format!("there are {}", Kind::ALL.map(Kind::name).join(", ")))
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let path = out.config_path();
    if path.exists() && !args.force {
        let text = format!("error: {} is there already\n  = edit it, or write over it with --force", path.display());
        return Err(Told::usage(text).into());
    }
    let kinds = if args.vendor.is_empty() { ask(out)? } else { args.vendor };
    let mut text = starter(&kinds);
    if let Some(folder) = &args.mappings {
        copy_mappings(folder, &kinds, args.force)?;
        // A path in TOML is a text like any other.
        text.push_str(&format!("\n[mappings]\ndir = {}\n", serde_json::to_string(&std::path::absolute(folder)?)?));
    }
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    out.json(&serde_json::json!({ "config": path, "vendors": kinds }));
    out.line(format!("Wrote {}. Next:", path.display()));
    out.line("  1. put in what is yours: repositories, base, team, and where the secrets are");
    out.line(format!("  2. loopd --config {} check, and then check --live", path.display()));
    let made = [Kind::Airtable, Kind::Linear, Kind::Notion, Kind::Salesforce].map(Kind::name);
    let made: Vec<&str> = made.into_iter().filter(|name| kinds.iter().any(|kind| kind.name() == *name)).collect();
    if !made.is_empty() {
        out.line(format!(
            "  3. loopd setup {}: the tables, fields and labels that are missing there",
            made.join(", setup ")
        ));
    }
    out.line("`loopd demo` shows the whole loop without any account.");
    Ok(Exit::Done)
}

fn ask(out: &Out) -> anyhow::Result<Vec<Kind>> {
    let mut kinds = Vec::new();
    for known in Kind::ALL {
        match out.ask(&format!("Connect {}? [y/N]", known.name())) {
            Some(answer) if answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes") => kinds.push(known),
            Some(_) => {}
            None => {
                return Err(Told::usage(
                    "error: nobody can be asked here\n  = name the vendors: loopd init --vendor github,airtable",
                )
                .into());
            }
        }
    }
    if kinds.is_empty() {
        return Err(Told::usage("error: no vendor was chosen, so there is nothing to write").into());
    }
    Ok(kinds)
}

fn copy_mappings(folder: &PathBuf, kinds: &[Kind], force: bool) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for (name, text) in SHIPPED {
        let of = name.split('.').next().and_then(Kind::parse);
        if !of.is_some_and(|kind| kinds.contains(&kind)) {
            continue;
        }
        let path = folder.join(name);
        if path.exists() && !force {
            return Err(Told::usage(format!(
                "error: {} is there already\n  = write over it with --force",
                path.display()
            ))
            .into());
        }
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
