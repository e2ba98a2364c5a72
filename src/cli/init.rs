//! `loopd init`: a first configuration, by questions on a terminal or by flags.
//!
//! The law: it never overwrites what somebody wrote, unless told to.

use std::path::PathBuf;

use anyhow::Context;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use connectors::Kind;

use super::{Exit, Out, Told};
use crate::config::{SHIPPED, routes, starter};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The vendors to connect, as many as there are to be; without it, each is asked for
    #[arg(long, value_delimiter = ',', value_name = "VENDOR,…", value_parser = Kinds)]
    vendor: Vec<Kind>,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
    /// Also copy the shipped mappings of these vendors into this folder, to be edited
    #[arg(long, value_name = "FOLDER")]
    mappings: Option<PathBuf>,
}

/// Reads a vendor's name, and tells the help which there are.
#[derive(Clone)]
struct Kinds;

impl TypedValueParser for Kinds {
    type Value = Kind;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Kind, clap::Error> {
        let name = PossibleValuesParser::new(Kind::ALL.map(Kind::name)).parse_ref(command, arg, value)?;
        Kind::parse(&name).ok_or_else(|| clap::Error::new(clap::error::ErrorKind::InvalidValue))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Kind::ALL.into_iter().map(|kind| PossibleValue::new(kind.name()))))
    }
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
    std::fs::write(&path, &text).with_context(|| path.display().to_string())?;
    out.json(&serde_json::json!({ "config": path, "vendors": kinds }));
    out.line(format!("Wrote {}. Next:", path.display()));
    next(&text, &kinds, &path.display().to_string(), out);
    Ok(Exit::Done)
}

/// What there is to do with it, in order.
fn next(text: &str, kinds: &[Kind], path: &str, out: &Out) {
    out.line("  1. put in what is yours; docs/vendors/NAME.md tells of each vendor where it is found");
    let secrets = secrets(text);
    if !secrets.is_empty() {
        out.line(format!("     and into the environment: {}", secrets.join(", ")));
    }
    out.line(format!("  2. loopd --config {path} check, and then check --live"));
    let destinations: Vec<&str> =
        kinds.iter().filter(|kind| !routes(&[**kind]).is_empty()).map(|kind| kind.name()).collect();
    let mut step = 2..;
    let mut say = |text: String| {
        step.next();
        out.line(format!("  {}. {text}", step.start));
    };
    for name in &destinations {
        say(format!("loopd --config {path} setup {name}, and then with --apply: what the mappings need there"));
    }
    say(format!("loopd --config {path} plan, and then run"));
    if destinations.is_empty() {
        let all = Kind::ALL.into_iter().filter(|kind| !routes(&[*kind]).is_empty()).map(Kind::name);
        out.line(format!("Nothing leads anywhere yet. Destinations are {}.", all.collect::<Vec<_>>().join(", ")));
    }
    out.line("`loopd demo` shows the whole loop without any account.");
}

/// The variables that the text wants, those of its comments left out.
fn secrets(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let names = lines.filter_map(|line| line.split_once("{ env = \"")?.1.split_once('"'));
    let mut names: Vec<String> = names.map(|(name, _)| name.to_owned()).collect();
    names.dedup();
    names
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
