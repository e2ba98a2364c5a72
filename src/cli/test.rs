//! (W2 writes this file.)

use super::{Exit, Out};

#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(_args: Args, _out: &Out) -> anyhow::Result<Exit> {
    anyhow::bail!("being written")
}
