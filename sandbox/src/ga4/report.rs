//! One report.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{NaiveDate, TimeDelta};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::{Answer, Ga4, TOKENS_A_DAY, TOKENS_AN_HOUR};
use crate::google::{number, refuse};
use crate::used::Used;
use crate::wire;
use crate::world::Context;

fn bad(why: &str) -> Response<Bytes> {
    refuse(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", "badRequest", why)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

impl Ga4 {
    pub(super) fn report(&mut self, request: &Request<Bytes>, cx: &mut Context<'_>) -> Answer {
        let asked: Value = serde_json::from_slice(request.body()).map_err(|_| bad("Invalid JSON payload received."))?;
        let names = |key: &str| -> Vec<String> {
            list(&asked, key).iter().filter_map(|one| one["name"].as_str()).map(str::to_owned).collect()
        };
        let (dimensions, metrics) = (names("dimensions"), names("metrics"));
        if dimensions.len() > 9 || metrics.len() > 10 || metrics.is_empty() {
            return Err(bad("Requests are limited to 9 dimensions and 10 metrics, and need one metric."));
        }
        for name in &dimensions {
            if !["date", "eventName"].contains(&name.as_str()) && !self.custom.contains_key(name) {
                return Err(bad(&format!(
                    "Field {name} is not a valid dimension. For a list of valid dimensions and metrics, see https://developers.google.com/analytics/devguides/reporting/data/v1/api-schema "
                )));
            }
        }
        if let Some(name) = metrics.iter().find(|name| *name != "eventCount") {
            return Err(bad(&format!("Field {name} is not a valid metric.")));
        }
        let ranges = list(&asked, "dateRanges");
        let today = cx.now.date_naive();
        let range = match ranges {
            [one] => day(&one["startDate"], today).zip(day(&one["endDate"], today)),
            // More of them add a dimension of their own, which nobody here asks for.
            _ => return Err(bad("One date range is expected.")),
        };
        let (from, to) = range.filter(|(from, to)| from <= to).ok_or_else(|| bad("Invalid date range."))?;
        let limit = asked.get("limit").map_or(Some(10_000), number).filter(|limit| (1..=250_000).contains(limit));
        let limit = limit.ok_or_else(|| bad("The limit must be between 1 and 250,000."))?;
        let offset = asked.get("offset").map_or(Some(0), number).ok_or_else(|| bad("Invalid offset."))?;

        let mut sums: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| from <= row.day && row.day <= to) {
            if self.passes(row, &asked["dimensionFilter"])? {
                *sums.entry(dimensions.iter().map(|name| self.value(row, name)).collect()).or_default() += row.count;
            }
        }
        let mut rows: Vec<(Vec<String>, u64)> = sums.into_iter().collect();
        let orders: Vec<usize> = list(&asked, "orderBys")
            .iter()
            .filter_map(|order| {
                let name = order["dimension"]["dimensionName"].as_str()?;
                dimensions.iter().position(|known| known == name)
            })
            .collect();
        if orders.is_empty() {
            // By no order that anyone may rely on: pages of two calls differ.
            cx.rng.next_u64();
            let turn = usize::try_from(cx.rng.below(rows.len() as u64)).unwrap_or(0);
            rows.rotate_left(turn);
        } else {
            rows.sort_by(|(a, _), (b, _)| {
                orders
                    .iter()
                    .map(|at| a[*at].cmp(&b[*at]))
                    .find(|order| order.is_ne())
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
        }
        let all = rows.len();
        let page = rows
            .into_iter()
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(usize::try_from(limit).unwrap_or(usize::MAX));
        let page: Vec<Value> = page
            .map(|(values, count)| {
                let values: Vec<Value> = values.into_iter().map(|value| json!({ "value": value })).collect();
                json!({"dimensionValues": values, "metricValues": [{"value": count.to_string()}]})
            })
            .collect();
        let spent = 1 + page.len() as u64 / 1000;
        self.spend(spent);
        let mut body = json!({
            "dimensionHeaders": dimensions.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
            "metricHeaders": [{"name": "eventCount", "type": "TYPE_INTEGER"}],
            "metadata": {"currencyCode": "USD", "timeZone": "Etc/UTC"},
            "kind": "analyticsData#runReport",
        });
        // What is false, zero or empty is left out, as everywhere in Google's JSON.
        if all > 0 {
            body["rowCount"] = json!(all);
        }
        if !page.is_empty() {
            body["rows"] = Value::Array(page);
        }
        if self.thresholding {
            body["metadata"]["subjectToThresholding"] = json!(true);
        }
        if self.other_row {
            body["metadata"]["dataLossFromOtherRow"] = json!(true);
        }
        if asked["returnPropertyQuota"] == true {
            let left = |most: u64, used: u64| {
                let left = most.saturating_sub(used);
                if left == 0 { json!({"consumed": spent}) } else { json!({"consumed": spent, "remaining": left}) }
            };
            body["propertyQuota"] = json!({
                "tokensPerDay": left(TOKENS_A_DAY, self.day.1),
                "tokensPerHour": left(TOKENS_AN_HOUR, self.hour.1),
                "tokensPerProjectPerHour": left(TOKENS_AN_HOUR * 35 / 100, self.hour.1),
                "concurrentRequests": {"remaining": 10},
                "serverErrorsPerProjectPerHour": {"remaining": 10},
                "potentiallyThresholdedRequestsPerHour": {"remaining": 120},
            });
        }
        Ok(wire::json(StatusCode::OK, &body))
    }

    pub(super) fn spend(&mut self, tokens: u64) {
        self.hour.1 += tokens;
        self.day.1 += tokens;
    }

    fn value(&self, row: &Used, dimension: &str) -> String {
        let set = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not set)".to_owned());
        match (dimension, self.custom.get(dimension)) {
            ("date", _) => row.day.format("%Y%m%d").to_string(),
            ("eventName", _) => row.feature.clone(),
            (_, Some(&"account")) => set(&row.account),
            (_, _) => set(&row.user),
        }
    }

    fn passes(&self, row: &Used, filter: &Value) -> Result<bool, Response<Bytes>> {
        if filter.is_null() {
            return Ok(true);
        }
        let name = filter["filter"]["fieldName"].as_str().ok_or_else(|| bad("Invalid dimension filter."))?;
        let values = list(&filter["filter"]["inListFilter"], "values");
        if values.is_empty() {
            return Err(bad("Invalid dimension filter."));
        }
        let value = self.value(row, name);
        Ok(values.iter().any(|wanted| wanted.as_str().is_some_and(|wanted| wanted.eq_ignore_ascii_case(&value))))
    }
}

/// `2026-11-23`, `today`, `yesterday`, `3daysAgo`.
fn day(value: &Value, today: NaiveDate) -> Option<NaiveDate> {
    match value.as_str()? {
        "today" => Some(today),
        "yesterday" => Some(today - TimeDelta::days(1)),
        text => match text.strip_suffix("daysAgo") {
            Some(days) => today.checked_sub_signed(TimeDelta::try_days(days.parse().ok()?)?),
            None => text.parse().ok(),
        },
    }
}
