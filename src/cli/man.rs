//! `loopd man`: the manual page, of the whole program or of one command.

use clap::CommandFactory;

use super::{Cli, Exit, Out, Told};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A command; without it, the program
    command: Option<String>,
}

pub async fn run(args: Args, _out: &Out) -> anyhow::Result<Exit> {
    let mut program = Cli::command();
    program.build();
    let page = match &args.command {
        None => program,
        Some(name) => {
            let found = program.find_subcommand(name).cloned();
            found.ok_or_else(|| Told::usage(format!("error: there is no command {name}; `loopd --help` lists them")))?
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    super::out::write_whole(&text);
    Ok(Exit::Done)
}
