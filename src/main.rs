//! The program: reads the command line, runs one command, ends with its exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use loopd::cli::{self, Cli, Exit};

/// How long background work may linger after the command has ended.
const LINGER: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let command = Cli::parse();
    let out = command.out();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.note(format!("error: no threads to work with: {error}"));
            return Exit::Failed.into();
        }
    };
    let exit = match runtime.block_on(cli::run(command)) {
        Ok(exit) => exit,
        Err(error) => cli::tell(&error, &out),
    };
    runtime.shutdown_timeout(LINGER);
    exit.into()
}
