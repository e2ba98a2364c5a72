//! One pull: a report over the days that may have changed, a page at a time.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Ga4;
use crate::days::{Place, Pull, Row};
use crate::json::array;
use crate::{Cursor, Fault, IdPage, Key, Page, Record, Source, Stream};

const USAGE: &str = "usage";

/// Where a pull stands: so many rows have come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct At {
    offset: u64,
}

#[async_trait]
impl Source for Ga4 {
    fn streams(&self) -> Vec<Stream> {
        vec![Stream {
            name: USAGE.into(),
            every: "0 37 */3 * * *",
            about: "events by account and day; the last days anew",
        }]
    }

    async fn pull(&self, _stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        let mut place: Place<At> = Place::read(after);
        let pull = place.pull(self.settings.days(), self.client.now(), At::default);
        let Some(at) = pull.at.clone() else { return place.finish() };
        let told = self.client.report(self.request(pull, at.offset)).await?;
        let rows = array(&told, "rows");
        // A row that is rolled up over the days, too, belongs to none of them.
        let (dayless, dated): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(|row| is_dayless(row));
        let mut flags = flags(&told["metadata"]);
        if !dayless.is_empty() {
            flags.insert(ROLLED_UP);
        }
        pull.lossy |= !flags.is_empty();
        {
            let mut known = self.flags.lock().unwrap_or_else(PoisonError::into_inner);
            if at.offset == 0 {
                known.clear();
            }
            known.extend(flags);
        }
        let refused = |why: String| Fault::Rejected { why, field: Some("metric".into()) };
        let usage =
            dated.iter().map(|row| self.row(row).usage(pull.began).map_err(refused)).collect::<Result<_, _>>()?;
        let come = at.offset + rows.len() as u64;
        let all = told["rowCount"].as_u64().unwrap_or(0);
        pull.at = (come < all && !rows.is_empty()).then_some(At { offset: come });
        place.page(usage)
    }

    async fn fetch(&self, _key: &Key) -> Result<Option<Record>, Fault> {
        Ok(None)
    }

    async fn ids(&self, _collection: &str, _after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        Ok(None)
    }
}

const ROLLED_UP: &str = "rare values are rolled up into (other)";

/// Whether a row says of its day, as of its other values, that it is all of the rest.
fn is_dayless(row: &Value) -> bool {
    matches!(row["dimensionValues"][0]["value"].as_str(), Some("(other)" | "(not set)"))
}

/// What GA4 says of its own rows, in words.
fn flags(metadata: &Value) -> BTreeSet<&'static str> {
    let mut flags = BTreeSet::new();
    if metadata["subjectToThresholding"] == true {
        flags.insert("rows of few people may be withheld (thresholding)");
    }
    if metadata["dataLossFromOtherRow"] == true {
        flags.insert(ROLLED_UP);
    }
    if !array(metadata, "samplingMetadatas").is_empty() {
        flags.insert("numbers are sampled");
    }
    if !array(metadata, "dataTruncationReasons").is_empty() {
        flags.insert("rows are cut off");
    }
    flags
}

impl Ga4 {
    fn request(&self, pull: &Pull<At>, offset: u64) -> Value {
        let settings = &self.settings;
        let names: Vec<&str> = std::iter::once("date").chain(settings.dimensions()).collect();
        // Without an order, pages overlap.
        let orders: Vec<Value> = names.iter().map(|name| json!({"dimension": {"dimensionName": name}})).collect();
        let mut request = json!({
            "dateRanges": [{"startDate": pull.from, "endDate": pull.to}],
            "dimensions": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
            "metrics": [{"name": settings.metric}],
            "orderBys": orders,
            "limit": settings.page_rows.to_string(),
            "offset": offset.to_string(),
            "returnPropertyQuota": true,
        });
        if !settings.features.is_empty() {
            let list = json!({"values": settings.features});
            request["dimensionFilter"] = json!({"filter": {"fieldName": settings.feature, "inListFilter": list}});
        }
        request
    }

    /// Values stand in the order that was asked for, all of them texts.
    fn row(&self, row: &Value) -> Row {
        let cell = |list: &str, at: usize| row[list][at]["value"].as_str().unwrap_or_default().to_owned();
        // What GA4 writes where it has no value, or does not tell it.
        let named = |text: String| Some(text).filter(|text| !matches!(text.as_str(), "" | "(not set)" | "(other)"));
        Row {
            day: cell("dimensionValues", 0),
            account: named(cell("dimensionValues", 1)),
            feature: cell("dimensionValues", 2),
            user: self.settings.user.as_ref().and_then(|_| named(cell("dimensionValues", 3))),
            count: cell("metricValues", 0),
        }
    }
}
