//! The text of a query.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::settings::Settings;

/// The last row of a page; the next one begins behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Behind {
    pub(crate) day: String,
    pub(crate) account: String,
    pub(crate) feature: String,
    pub(crate) user: String,
}

/// What comes behind a row, of some days, both included. Columns: day, account, feature, user, count.
pub(crate) fn page(settings: &Settings, since: NaiveDate, until: NaiveDate, behind: Option<&Behind>) -> String {
    let inner = match &settings.query {
        Some(own) => own
            .trim()
            .trim_end_matches(';')
            .replace("{since}", &format!("toDate('{since}')"))
            .replace("{until}", &format!("toDate('{until}')")),
        None => {
            let Settings { account, user, when, .. } = settings;
            format!(
                "SELECT toDate(timestamp) AS day, {account} AS account, event AS feature, {user} AS user, count() AS count \
                 FROM events WHERE toDate(timestamp) >= toDate('{since}') AND toDate(timestamp) <= toDate('{until}') AND ({when}) \
                 GROUP BY day, account, feature, user"
            )
        }
    };
    // All of it as text: a keyset over texts means the same to PostHog and to us. Added up once more, for of two rows with the
    // same key (a query of one's own, nothing beside the empty text) the next page would leave one out.
    let rows = format!(
        "SELECT toString(day) AS d, ifNull(toString(account), '') AS a, ifNull(toString(feature), '') AS f, \
         ifNull(toString(user), '') AS u, toString(sum(count)) AS c FROM ({inner}) GROUP BY d, a, f, u"
    );
    let after = behind.map(|behind| format!(" WHERE {}", after(behind))).unwrap_or_default();
    format!("SELECT d, a, f, u, c FROM ({rows}){after} ORDER BY d, a, f, u LIMIT {}", settings.page_rows)
}

fn after(row: &Behind) -> String {
    let columns = [("d", &row.day), ("a", &row.account), ("f", &row.feature), ("u", &row.user)];
    let mut text = String::new();
    for (name, value) in columns.into_iter().rev() {
        let value = quote(value);
        text = match text.is_empty() {
            true => format!("{name} > {value}"),
            false => format!("{name} > {value} OR ({name} = {value} AND ({text}))"),
        };
    }
    text
}

/// A text of HogQL's, which escapes as ClickHouse does.
fn quote(text: &str) -> String {
    let mut quoted = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => quoted.push_str("\\'"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0' => quoted.push_str("\\0"),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}
