//! One pull: a few days at a time, a page at a time.

use async_trait::async_trait;
use chrono::{NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PostHog;
use super::client::Told;
use super::query::{self, Behind};
use crate::days::{Place, Row};
use crate::{Cursor, Fault, IdPage, Key, Page, Record, Source, Stream};

const USAGE: &str = "usage";

/// Where a pull stands: the first of the days that are asked for now, and the row that came last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct At {
    /// `None`: the pull's first day.
    since: Option<NaiveDate>,
    behind: Option<Behind>,
    /// How many days one query of this pull reads, where `query_days` were too many for PostHog.
    days: Option<u32>,
}

#[async_trait]
impl Source for PostHog {
    fn streams(&self) -> Vec<Stream> {
        vec![Stream {
            name: USAGE.into(),
            every: "0 27 * * * *",
            about: "events by account, person and day; the last days anew",
        }]
    }

    async fn pull(&self, _stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        let mut place: Place<At> = Place::read(after);
        let pull = place.pull(self.settings.days(), self.client.now(), At::default);
        let Some(at) = pull.at.clone() else { return place.finish() };
        let since = at.since.unwrap_or(pull.from);
        let days = at.days.unwrap_or(self.settings.query_days);
        let until = (since + TimeDelta::days(i64::from(days) - 1)).min(pull.to);
        let text = query::page(&self.settings, since, until, at.behind.as_ref());
        let rows = match self.client.query(&text).await? {
            Told::Rows(rows) => rows,
            Told::TooLong(why) => {
                pull.at = Some(fewer_days(at, since, until).ok_or_else(|| {
                    let mend = "`when` may choose fewer events, or `query` add up less";
                    Fault::later(format!("the query of a single day takes too long: {why}; {mend}"))
                })?);
                return place.page(Vec::new());
            }
        };
        let full = rows.len() >= self.settings.page_rows as usize;
        let mut usage = Vec::with_capacity(rows.len());
        let mut last = None;
        for row in &rows {
            let cells = cells(row).ok_or_else(|| Fault::unknown("PostHog answered rows of another shape"))?;
            let [day, account, feature, user, count] = cells;
            last = Some(Behind {
                day: day.clone(),
                account: account.clone(),
                feature: feature.clone(),
                user: user.clone(),
            });
            let row = Row { account: Some(account), user: Some(user), feature, day, count };
            let refused = |why: String| Fault::Rejected { why, field: Some("query".into()) };
            usage.push(row.usage(pull.began).map_err(refused)?);
        }
        if full && last == at.behind {
            // The keyset does not move it on: asking again would go round for ever.
            return Err(Fault::rejected("PostHog gives the same page again"));
        }
        pull.at = match (full, until < pull.to) {
            (true, _) => Some(At { since: Some(since), behind: last, days: at.days }),
            (false, true) => Some(At { since: Some(until + TimeDelta::days(1)), behind: None, days: at.days }),
            (false, false) => None,
        };
        place.page(usage)
    }

    async fn fetch(&self, _key: &Key) -> Result<Option<Record>, Fault> {
        Ok(None)
    }

    async fn ids(&self, _collection: &str, _after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        Ok(None)
    }
}

/// The same place, with half as many days to a query. The rows come by days, so those before the last one's have all come.
/// `None`: it is one day already.
fn fewer_days(at: At, since: NaiveDate, until: NaiveDate) -> Option<At> {
    let days = u32::try_from((until - since).num_days() + 1).ok().filter(|days| *days > 1)?;
    let since = match &at.behind {
        Some(behind) => behind.day.get(..10)?.parse::<NaiveDate>().ok()?.max(since),
        None => since,
    };
    Some(At { since: Some(since), behind: at.behind, days: Some(days / 2) })
}

fn cells(row: &Value) -> Option<[String; 5]> {
    let cells = row.as_array()?.iter().map(|cell| match cell {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null => Some(String::new()),
        _ => None,
    });
    cells.collect::<Option<Vec<String>>>()?.try_into().ok()
}
