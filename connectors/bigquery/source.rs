//! One pull: the query is run once, waited for, and read to its last page.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::BigQuery;
use super::client::Told;
use crate::days::{Place, Pull, Row};
use crate::{Cursor, Fault, IdPage, Key, Page, Record, Source, Stream};

const USAGE: &str = "usage";
/// How long a call waits for the query there, in milliseconds.
const WAIT: u32 = 10_000;

/// How long a job is surely known there, in milliseconds.
const KEPT: i64 = 3_600_000;

/// Where a pull stands at BigQuery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct At {
    job: Option<Job>,
    page: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    id: String,
    /// Where it ran; BigQuery does not find it elsewhere.
    location: Option<String>,
}

#[async_trait]
impl Source for BigQuery {
    fn streams(&self) -> Vec<Stream> {
        vec![Stream { name: USAGE.into(), every: "0 17 * * * *", about: "the query's rows, the last days anew" }]
    }

    async fn pull(&self, _stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        let mut place: Place<At> = Place::read(after);
        let pull = place.pull(self.settings.days(), self.client.now(), At::default);
        let Some(at) = pull.at.clone() else { return place.finish() };
        let told = match &at.job {
            None => self.client.query(&self.request(pull)).await?,
            Some(job) => match self.client.results(&job.id, &self.page_of(job, at.page.as_deref())).await? {
                Told::Here(told) => told,
                // A job that began just now is somewhere else: to run the query again would bill it again, and find it no better.
                Told::Gone if self.client.now().timestamp_millis() - pull.began < KEPT => {
                    return Err(Fault::later(
                        "BigQuery does not find the job that it began: where does it run? `location` says so",
                    ));
                }
                // Its results are kept for a day: this pull is over, and the next one begins.
                Told::Gone => {
                    place.pull = None;
                    return place.page(Vec::new());
                }
            },
        };
        let job = match (at.job, told["jobReference"]["jobId"].as_str()) {
            (Some(job), _) => Some(job),
            (None, Some(id)) => {
                let location = told["jobReference"]["location"].as_str().map(str::to_owned);
                Some(Job { id: id.to_owned(), location: location.or_else(|| self.settings.location.clone()) })
            }
            (None, None) => None,
        };
        let done = told["jobComplete"] == true;
        let next = told["pageToken"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
        if job.is_none() && (!done || next.is_some()) {
            return Err(Fault::unknown("BigQuery names no job to read on from"));
        }
        if !done {
            // It has waited there as long as it was asked to.
            pull.at = Some(At { job, page: None });
            return place.page(Vec::new());
        }
        let rows = rows(&told, pull.began)?;
        pull.at = next.map(|page| At { job, page: Some(page) });
        place.page(rows)
    }

    async fn fetch(&self, _key: &Key) -> Result<Option<Record>, Fault> {
        Ok(None)
    }

    async fn ids(&self, _collection: &str, _after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        Ok(None)
    }
}

fn rows(told: &Value, pull: i64) -> Result<Vec<crate::Usage>, Fault> {
    let rows = told["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let refused = |why: String| Fault::Rejected { why, field: Some("query".into()) };
    let columns = Columns::read(&told["schema"]).map_err(refused)?;
    rows.iter().map(|row| columns.row(row).usage(pull).map_err(refused)).collect()
}

/// Where each column stands.
pub(super) struct Columns {
    account: Option<usize>,
    user: Option<usize>,
    feature: usize,
    day: usize,
    count: usize,
}

impl Columns {
    /// # Errors
    /// Which column the query lacks, in words.
    pub(super) fn read(schema: &Value) -> Result<Self, String> {
        let fields = schema["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        let place = |name: &str| {
            fields.iter().position(|field| field["name"].as_str().is_some_and(|known| known.eq_ignore_ascii_case(name)))
        };
        let need = |name: &str| place(name).ok_or_else(|| format!("the query gives no column `{name}`"));
        let (account, user) = (place("account"), place("user"));
        if account.is_none() && user.is_none() {
            return Err("the query gives neither a column `account` nor one `user`".into());
        }
        Ok(Self { account, user, feature: need("feature")?, day: need("day")?, count: need("count")? })
    }

    /// Every scalar is a text, or null.
    fn row(&self, row: &Value) -> Row {
        let cell = |at: usize| match &row["f"][at]["v"] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Row {
            account: self.account.and_then(cell),
            user: self.user.and_then(cell),
            feature: cell(self.feature).unwrap_or_default(),
            day: cell(self.day).unwrap_or_default(),
            count: cell(self.count).unwrap_or_default(),
        }
    }
}

impl BigQuery {
    fn request(&self, pull: &Pull<At>) -> Value {
        let settings = &self.settings;
        let mut request = self.shared(&pull.from.to_string(), &pull.to.to_string());
        request["timeoutMs"] = json!(WAIT);
        request["maxResults"] = json!(settings.page_rows);
        request["maximumBytesBilled"] = json!(settings.max_bytes_billed.to_string());
        // The same query for the same days within a quarter of an hour is the same job: what was sent and not answered is
        // not billed again.
        let digest = format!("{:x}", Sha256::digest(request.to_string()));
        request["requestId"] = json!(format!("loopd-{}", &digest[..30]));
        request
    }

    pub(super) fn dry_run(&self) -> Value {
        let today = self.client.now().date_naive().to_string();
        let mut request = self.shared(&today, &today);
        request["dryRun"] = json!(true);
        request
    }

    fn shared(&self, since: &str, until: &str) -> Value {
        let settings = &self.settings;
        let day = |name: &str, value: &str| json!({"name": name, "parameterType": {"type": "DATE"}, "parameterValue": {"value": value}});
        // What the query does not name is not sent.
        let named = [("since", since), ("until", until)].into_iter();
        let named = named.filter(|(name, _)| settings.query.to_lowercase().contains(&format!("@{name}")));
        let parameters: Vec<Value> = named.map(|(name, value)| day(name, value)).collect();
        let mut request = json!({
            "query": settings.query,
            "useLegacySql": false,
            "parameterMode": "NAMED",
            "queryParameters": parameters,
            "formatOptions": {"useInt64Timestamp": true},
            "labels": {"app": "loopd"},
        });
        if let Some(location) = &settings.location {
            request["location"] = json!(location);
        }
        request
    }

    fn page_of(&self, job: &Job, page: Option<&str>) -> Vec<(&'static str, String)> {
        let mut query = vec![
            ("timeoutMs", WAIT.to_string()),
            ("maxResults", self.settings.page_rows.to_string()),
            ("formatOptions.useInt64Timestamp", "true".to_owned()),
        ];
        query.extend(job.location.clone().map(|location| ("location", location)));
        query.extend(page.map(|page| ("pageToken", page.to_owned())));
        query
    }
}
