//! What customers say, told: the week's digest, coverage, the job behind a request.

use std::future::Future;

use chrono::{Days, NaiveTime};
use serde::{Deserialize, Serialize};

use super::desk::meant;
use crate::digest::{Edition, Wanted, digest};
use crate::house::House;
use crate::pause::RealPause;
use crate::report::coverage::{Coverage, Expected, coverage};
use crate::report::voices::voices;
use crate::schema::Job;
use crate::triage::jtbd;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskVoice {
    Digest {
        wanted: Wanted,
    },
    /// Of the last days.
    Coverage {
        days: u32,
    },
    /// The job of an item or a theme; written if it was not.
    Job {
        id: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerVoice {
    Digest(Box<Edition>),
    Coverage(Box<Coverage>),
    Job(Box<Told>),
    No(String),
}

/// The job of something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub short_id: String,
    pub title: String,
    pub job: Job,
    /// When a model is asked again, where none had time.
    pub later: Option<chrono::DateTime<chrono::Utc>>,
}

pub(super) fn answer(house: &House, ask: AskVoice) -> anyhow::Result<AnswerVoice> {
    Ok(match ask {
        AskVoice::Digest { wanted } => match wait(ready(house, digest(house, &wanted)))? {
            Ok(edition) => AnswerVoice::Digest(Box::new(edition)),
            Err(why) => AnswerVoice::No(why),
        },
        AskVoice::Coverage { days } => {
            let zone = house.config.timezone;
            let today = house.now().with_timezone(&zone).date_naive();
            let from = today - Days::new(u64::from(days.saturating_sub(1)));
            let from = from.and_time(NaiveTime::MIN).and_local_timezone(zone).earliest();
            let from = from.map_or_else(|| house.now(), |from| from.to_utc());
            let products = house.config.vocabularies.get("product").map_or(&[][..], Vec::as_slice);
            let expected = Expected { products: products.iter().map(|term| term.value.clone()).collect() };
            let all = voices(&house.ledger, |_| false)?;
            AnswerVoice::Coverage(Box::new(coverage(&all, from, house.now(), &expected)))
        }
        AskVoice::Job { id } => {
            let id = match meant(house, &id)? {
                Ok(id) => id,
                Err(why) => return Ok(AnswerVoice::No(why)),
            };
            match wait(ready(house, jtbd::asked_for(house, id)))? {
                Ok((job, later)) => {
                    let entity = house.ledger.entity(id)?;
                    let title = entity.as_ref().map(crate::report::why::title).unwrap_or_default();
                    let short_id = entity.map(|entity| entity.short_id()).unwrap_or_default();
                    AnswerVoice::Job(Box::new(Told { short_id, title, job, later }))
                }
                Err(why) => AnswerVoice::No(why),
            }
        }
    })
}

/// A process that has just begun waits for its model's quota.
async fn ready<T>(house: &House, answer: impl Future<Output = T>) -> T {
    crate::model::ready(house, &RealPause).await;
    answer.await
}

/// An answer is given by a thread that may wait; a model may take its time.
fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(answer))
}
