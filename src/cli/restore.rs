//! `loopd restore`: makes a record that was deleted at a destination anew.

use super::admin::{self, Ask};
use super::{Exit, Out};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The item: a Loopd ID, a short id (FB-7K3Q9X), the id of a record outside, or its URL
    id: String,
    /// Where it was deleted: airtable.Feedback, or Feedback where that is plain
    collection: String,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let answer = admin::ask(out, Ask::Restore { id: args.id, place: args.collection, by: admin::person() })?;
    super::dead::outcomes(answer, "is made anew", out)
}
