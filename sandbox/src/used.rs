//! What was used, as the stand-ins of usage analytics hold it: their desks put rows in and take them out.

use chrono::NaiveDate;

/// So often an account (or a person) used a feature on a day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Used {
    pub day: NaiveDate,
    pub account: Option<String>,
    pub feature: String,
    pub user: Option<String>,
    pub count: u64,
}

impl Used {
    pub fn new(day: NaiveDate, account: &str, user: &str, feature: &str, count: u64) -> Self {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self { day, account: text(account), feature: feature.to_owned(), user: text(user), count }
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.day, &self.account, &self.feature, &self.user) == (other.day, &other.account, &other.feature, &other.user)
    }
}

/// Puts a row in, in the place of one of the same account, person, feature and day; a count of zero takes it out.
pub(crate) fn put(rows: &mut Vec<Used>, new: Used) {
    rows.retain(|row| !row.is_same(&new));
    if new.count > 0 {
        rows.push(new);
    }
}
