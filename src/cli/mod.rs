//! The command line: one file a subcommand, each with its `Args` and its `run`.
//!
//! The law: a subcommand does what the daemon would do, through the same functions. Where the daemon holds the ledger it
//! is asked over its socket ([`admin`]); else the subcommand opens the ledger itself. So an answer never depends on
//! whether the daemon is up.
//!
//! `anyhow` stays in here. What a person must mend is a [`Told`] with its exit code.

pub mod admin;
pub mod agreement;
pub mod auth;
pub mod backfill;
pub mod check;
pub mod close;
pub mod completions;
pub mod cost;
pub mod customers;
pub mod dead;
pub mod demo;
pub mod digest;
pub mod eval;
mod exit;
pub mod import;
pub mod init;
pub mod jtbd;
pub mod ledger;
pub mod man;
pub mod open;
pub mod out;
pub mod plan;
pub mod prompts;
pub mod rebuild;
pub mod report;
pub mod restore;
pub mod review;
pub mod run;
pub mod sandbox;
pub mod setup;
pub mod status;
pub mod test;
pub mod themes;
pub mod usage;
pub mod why;

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

pub use exit::{EXIT_CODES, Exit, Told};
pub use out::Out;

/// Closes the product feedback loop: what customers say becomes one shared record, and they hear when it ships.
#[derive(Debug, Parser)]
#[command(name = "loopd", version, after_help = EXIT_CODES, arg_required_else_help = true, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Args)]
struct Globals {
    /// The configuration [default: ./config.toml, else /etc/loopd/config.toml]
    #[arg(long, global = true, value_name = "PATH", env = "LOOPD_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Answer in JSON, for machines
    #[arg(long, global = true)]
    json: bool,
    /// No colours (also by the environment variable NO_COLOR)
    #[arg(long, global = true)]
    no_color: bool,
    /// Say more; twice for still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play the whole loop in the sandbox: no account, no key, no network
    Demo(demo::Args),
    /// Write a first config.toml
    Init(init::Args),
    /// Check the configuration, the mappings and their examples; with --live the accounts too
    Check(check::Args),
    /// Sign in to a vendor in a browser, for a connection that has no token in its settings
    Auth(auth::Args),
    /// Make or mend the tables, fields and labels at a destination: plan first, then apply
    Setup(setup::Args),
    /// Tell what a run would write, where, and at what cost
    Plan(plan::Args),
    /// The daemon
    Run(run::Args),
    /// Connections, queues, freshness, quota, and what needs a person
    Status(status::Args),
    /// Who used what, and how much more or less than before
    Usage(usage::Args),
    /// The week's Voice of Customer: what to decide, what customers say, who may leave, who is not heard
    Digest(digest::Args),
    /// Who is heard, against who is there
    Report(report::Args),
    /// The job to be done behind an item or a theme, and what to ask before building
    Jtbd(jtbd::Args),
    /// How a value came to be
    Why(why::Args),
    /// Records that could not pass, and how to send them through again
    Dead(dead::Args),
    /// Messages to customers that wait for approval
    Close(close::Args),
    /// What the language model costs, and how far the budget is spent
    Cost(cost::Args),
    /// The prompt library, and what another prompt or model would have said
    Prompts(prompts::Args),
    /// What waits for a person: suggestions, conflicts, proposals
    Review(review::Args),
    /// How well models stand against people, and where they may act by themselves
    Agreement(agreement::Args),
    /// Who they are, which of them are one, and which are not
    Customers(customers::Args),
    /// What customers struggle with: who says it, how much hangs on it; merge, split, rename, verify
    Themes(themes::Args),
    /// Make a record that was deleted at a destination anew
    Restore(restore::Args),
    /// Measure how well labelled texts are judged
    Eval(eval::Args),
    /// Run the mapping examples through the sandbox
    Test(test::Args),
    /// Read a source again from a date
    Backfill(backfill::Args),
    /// Take in customers or feedback from a file: CSV or NDJSON
    Import(import::Args),
    /// Look after the ledger: verify, export, import, compact, size, rebuild
    Ledger(ledger::Args),
    /// Serve stand-ins of the vendors on loopback ports, for any client
    Sandbox(sandbox::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Print the manual page
    Man(man::Args),
}

/// "1 route", "2 routes".
fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Runs one command.
///
/// # Errors
/// [`Told`] where the exit code is known; anything else is a failure.
pub async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let out = cli.out();
    let out = &out;
    match cli.command {
        Command::Demo(args) => demo::run(args, out).await,
        Command::Init(args) => init::run(args, out).await,
        Command::Check(args) => check::run(args, out).await,
        Command::Auth(args) => auth::run(args, out).await,
        Command::Setup(args) => setup::run(args, out).await,
        Command::Plan(args) => plan::run(args, out).await,
        Command::Run(args) => run::run(args, out).await,
        Command::Status(args) => status::run(args, out).await,
        Command::Usage(args) => usage::run(args, out).await,
        Command::Digest(args) => digest::run(args, out).await,
        Command::Report(args) => report::run(args, out).await,
        Command::Jtbd(args) => jtbd::run(args, out).await,
        Command::Why(args) => why::run(args, out).await,
        Command::Dead(args) => dead::run(args, out).await,
        Command::Close(args) => close::run(args, out).await,
        Command::Cost(args) => cost::run(args, out).await,
        Command::Prompts(args) => prompts::run(args, out).await,
        Command::Review(args) => review::run(args, out).await,
        Command::Agreement(args) => agreement::run(args, out).await,
        Command::Customers(args) => customers::run(args, out).await,
        Command::Themes(args) => themes::run(args, out).await,
        Command::Restore(args) => restore::run(args, out).await,
        Command::Eval(args) => eval::run(args, out).await,
        Command::Test(args) => test::run(args, out).await,
        Command::Backfill(args) => backfill::run(args, out).await,
        Command::Import(args) => import::run(args, out).await,
        Command::Ledger(args) => ledger::run(args, out).await,
        Command::Sandbox(args) => sandbox::run(args, out).await,
        Command::Completions(args) => completions::run(args, out).await,
        Command::Man(args) => man::run(args, out).await,
    }
}

impl Cli {
    pub fn out(&self) -> Out {
        let globals = &self.globals;
        let color = !globals.no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Out::new(globals.config.clone(), globals.json, color, globals.verbose)
    }
}

/// Says why a command failed, and returns its exit code. The one place that tells errors to people.
pub fn tell(error: &anyhow::Error, out: &Out) -> Exit {
    let told = error.downcast_ref::<Told>();
    let exit = told.map_or(Exit::Failed, |told| told.exit);
    if out.is_json() {
        out.json(&serde_json::json!({ "error": format!("{error:#}"), "exit": exit.code() }));
    } else if told.is_some() {
        out.note(format!("{error}"));
    } else {
        out.note(format!("error: {error:#}"));
    }
    exit
}
