//! One week in numbers, all of them ours. It is what `loopd digest --json` prints, and all that a text may speak of.

use std::fmt;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::numbers::Known;
use crate::report::coverage::Gap;

/// Whom the digest is for. They see the same numbers, and not the same things first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    #[default]
    Leadership,
    Pm,
    Engineering,
    Sales,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Leadership, Self::Pm, Self::Engineering, Self::Sales];

    pub fn name(self) -> &'static str {
        match self {
            Self::Leadership => "leadership",
            Self::Pm => "pm",
            Self::Engineering => "engineering",
            Self::Sales => "sales",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Week {
    /// `2026-W47`
    pub week: String,
    pub year: i32,
    pub number: u32,
    pub from: NaiveDate,
    /// Its last day.
    pub until: NaiveDate,
    pub timezone: String,
    pub role: Role,
    /// It has not ended.
    pub running: bool,
    /// Nothing was heard before it.
    pub first: bool,
    pub items: Change,
    pub customers: Change,
    /// Of the customers who spoke, each once. `None`: no revenue is known.
    pub arr_heard: Option<Money>,
    pub praise: usize,
    pub defects: usize,
    /// Pieces that belong to no theme.
    pub unsorted: usize,
    pub decisions: Vec<Decision>,
    pub themes: Vec<ThemeLine>,
    pub signals: Vec<Signal>,
    /// Customers with a new churn signal, and their revenue.
    pub churning: usize,
    pub churning_arr: Option<Money>,
    pub gaps: Vec<Gap>,
    /// The days that the gaps are looked for in.
    pub gap_days: u32,
    pub wins: Vec<Win>,
    pub quotes: Vec<Said>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub now: usize,
    pub before: usize,
    pub change: i64,
}

impl Change {
    pub fn of(now: usize, before: usize) -> Self {
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Self { now, before, change: signed(now) - signed(before) }
    }
}

/// An amount, exact to the unit, and as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Money {
    pub amount: f64,
    pub shown: String,
}

impl Money {
    pub fn of(amount: f64) -> Self {
        let amount = amount.round();
        Self { amount, shown: shown(amount) }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// `9,500`, `84k`, `1.2M`.
fn shown(amount: f64) -> String {
    if amount < 9_999.5 {
        let text = format!("{amount:.0}");
        return match text.len() {
            4 => format!("{},{}", &text[..1], &text[1..]),
            _ => text,
        };
    }
    let (value, unit) = match amount {
        amount if amount < 999_500.0 => return format!("{:.0}k", (amount / 1e3).round()),
        amount if amount < 999_950_000.0 => (amount / 1e6, "M"),
        amount => (amount / 1e9, "bn"),
    };
    // Halves go up, as people round: formatting alone takes them to the even digit.
    let text = format!("{:.1}", (value * 10.0).round() / 10.0);
    format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// Something that waits for somebody to decide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub what: Decide,
    /// The customer, theme or item that it is about. `None`: several, counted.
    pub name: Option<String>,
    pub count: usize,
    pub customers: usize,
    pub arr: Option<Money>,
    /// `FB-7K3Q9X`, `TH-…`
    pub id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decide {
    /// Who calls a customer that speaks of leaving.
    Churn,
    /// Something critical is open, and new.
    Critical,
    /// A hypothesis has enough behind it to be verified.
    Verify,
    /// Answers to customers wait for approval.
    Messages,
    /// Duplicates, merges and splits that are proposed.
    Proposals,
    /// Two sides changed the same field.
    Conflicts,
    /// Customers that may be one.
    Customers,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThemeLine {
    pub id: String,
    pub name: String,
    pub statement: Option<String>,
    pub status: Option<String>,
    pub job: Option<String>,
    pub items: Change,
    pub customers: usize,
    /// Of those who spoke of it this week.
    pub arr: Option<Money>,
    pub all_items: usize,
    pub all_customers: usize,
    /// What is broken, of this week's; and of that, what is critical.
    pub defects: usize,
    pub critical: usize,
}

/// A customer who gave a sign of risk, with its strongest words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// `None`: it is not known who spoke, or the role does not see it.
    pub customer: Option<String>,
    pub segment: Option<String>,
    pub tier: Option<String>,
    pub arr: Option<Money>,
    /// `churn`, `competitor`, `escalation`, `renewal`, worst first.
    pub kinds: Vec<String>,
    pub competitor: Option<String>,
    /// The item that says it strongest.
    pub item: String,
    pub quote: Option<String>,
}

impl Signal {
    pub fn is_churn(&self) -> bool {
        self.kinds.iter().any(|kind| kind == "churn")
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Win {
    /// The theme, or the item.
    pub name: String,
    pub id: String,
    pub on: NaiveDate,
    pub items: usize,
    pub customers: usize,
    pub arr: Option<Money>,
    /// Who asked for it, the largest first; as far as the role sees them.
    pub names: Vec<String>,
}

/// What somebody said, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Said {
    pub text: String,
    pub customer: Option<String>,
    pub segment: Option<String>,
    pub tier: Option<String>,
    pub item: String,
    pub theme: Option<String>,
    /// `churn`, `praise`, `defect`, `request`.
    pub kind: String,
}

impl Week {
    /// Everything that a text about this week may state.
    pub fn known(&self) -> Known {
        let mut known = Known::default();
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let lists = [self.decisions.len(), self.themes.len(), self.gaps.len(), self.wins.len(), self.quotes.len()];
        known.counts.extend(lists.map(wide));
        known.counts.insert(u64::from(self.gap_days));
        known.customers.extend([self.churning, self.signals.len()].map(wide));
        known.pieces.extend([self.praise, self.defects, self.unsorted].map(wide));
        for decision in &self.decisions {
            known.customers.insert(wide(decision.customers));
            let counts = match decision.what {
                Decide::Critical | Decide::Verify => &mut known.pieces,
                _ => &mut known.counts,
            };
            counts.insert(wide(decision.count));
        }
        for theme in &self.themes {
            known.customers.extend([theme.customers, theme.all_customers].map(wide));
            known.pieces.extend([theme.all_items, theme.defects, theme.critical].map(wide));
        }
        for gap in &self.gaps {
            known.customers.insert(wide(gap.customers));
            known.pieces.insert(wide(gap.items));
            known.shares.extend([gap.share_of_items, gap.share_of_customers].map(u64::from));
            known.shares.extend(gap.share_of_arr.map(u64::from));
        }
        for win in &self.wins {
            known.customers.insert(wide(win.customers));
            known.pieces.insert(wide(win.items));
        }
        known.customers.extend([self.customers.now, self.customers.before].map(wide));
        known.pieces.extend([self.items.now, self.items.before].map(wide));
        for theme in &self.themes {
            known.pieces.extend([theme.items.now, theme.items.before].map(wide));
        }
        let themes = self.themes.iter().map(|theme| &theme.items);
        for change in [&self.items, &self.customers].into_iter().chain(themes) {
            // A week that has not ended is compared with nothing.
            if !self.running && !self.first {
                known.counts.insert(change.change.unsigned_abs());
                match change.change {
                    0 => {}
                    1.. => drop(known.ups.insert(change.change.unsigned_abs())),
                    _ => drop(known.downs.insert(change.change.unsigned_abs())),
                }
            }
        }
        let both: Vec<u64> = known.customers.iter().chain(&known.pieces).copied().collect();
        known.counts.extend(both);
        let money = [&self.arr_heard, &self.churning_arr].into_iter();
        let money = money.chain(self.decisions.iter().map(|decision| &decision.arr));
        let money = money.chain(self.themes.iter().map(|theme| &theme.arr));
        let money = money.chain(self.signals.iter().map(|signal| &signal.arr));
        for money in money.chain(self.wins.iter().map(|win| &win.arr)).flatten() {
            known.money.push(money.amount);
            known.money.extend(read_shown(&money.shown));
        }
        known.days = [self.from, self.until].into_iter().chain(self.wins.iter().map(|win| win.on)).collect();
        known.tokens = known.days.iter().map(ToString::to_string).collect();
        known.tokens.insert(self.week.to_lowercase());
        known.tokens.extend(self.ids().map(str::to_lowercase));
        known.week = Some(u64::from(self.number));
        known.ranks = u64::try_from(self.themes.len()).unwrap_or_default();
        known.phrases = self.phrases().map(str::to_owned).collect();
        known
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        let decisions = self.decisions.iter().filter_map(|decision| decision.id.as_deref());
        let themes = self.themes.iter().map(|theme| theme.id.as_str());
        let signals = self.signals.iter().map(|signal| signal.item.as_str());
        let wins = self.wins.iter().map(|win| win.id.as_str());
        decisions.chain(themes).chain(signals).chain(wins).chain(self.quotes.iter().map(|said| said.item.as_str()))
    }

    /// What customers and people called things, and what they said.
    pub fn phrases(&self) -> impl Iterator<Item = &str> {
        let decisions = self.decisions.iter().filter_map(|decision| decision.name.as_deref());
        let themes = self.themes.iter().flat_map(|theme| {
            [Some(theme.name.as_str()), theme.statement.as_deref(), theme.job.as_deref()].into_iter().flatten()
        });
        let signals = self.signals.iter().flat_map(|signal| {
            [&signal.customer, &signal.segment, &signal.tier, &signal.competitor, &signal.quote].into_iter().flatten()
        });
        let wins = self.wins.iter().flat_map(|win| std::iter::once(&win.name).chain(&win.names));
        let gaps = self.gaps.iter().map(|gap| gap.name.as_str());
        let quotes = self.quotes.iter().flat_map(|said| {
            let more = [&said.customer, &said.segment, &said.tier, &said.theme].into_iter().flatten();
            std::iter::once(&said.text).chain(more)
        });
        let owned = signals.chain(wins).chain(quotes).map(String::as_str);
        decisions.chain(themes).chain(gaps).chain(owned)
    }

    /// The names of customers that stand in it.
    pub fn names(&self) -> Vec<String> {
        let signals = self.signals.iter().filter_map(|signal| signal.customer.clone());
        let quotes = self.quotes.iter().filter_map(|said| said.customer.clone());
        let churn = self.decisions.iter().filter(|decision| decision.what == Decide::Churn);
        let churn = churn.filter_map(|decision| decision.name.clone());
        let wins = self.wins.iter().flat_map(|win| win.names.clone());
        let names: std::collections::BTreeSet<String> = signals.chain(quotes).chain(churn).chain(wins).collect();
        names.into_iter().collect()
    }
}

/// What `84k` and `1.2M` stand for.
fn read_shown(shown: &str) -> Option<f64> {
    let (figures, factor) = [("bn", 1e9), ("M", 1e6), ("k", 1e3)]
        .into_iter()
        .find_map(|(unit, factor)| Some((shown.strip_suffix(unit)?, factor)))
        .unwrap_or((shown, 1.0));
    figures.replace(',', "").parse::<f64>().ok().map(|value| value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_short_and_read_back() {
        for (amount, text, back) in [
            (0.0, "0", 0.0),
            (950.4, "950", 950.0),
            (9_500.0, "9,500", 9_500.0),
            (9_999.7, "10k", 10_000.0),
            (84_321.0, "84k", 84_000.0),
            (999_499.0, "999k", 999_000.0),
            (999_600.0, "1M", 1_000_000.0),
            (1_234_567.0, "1.2M", 1_200_000.0),
            (25_000_000.0, "25M", 25_000_000.0),
            (1_250_000_000.0, "1.3bn", 1_300_000_000.0),
            (936_500.0, "937k", 937_000.0),
        ] {
            let money = Money::of(amount);
            assert_eq!(money.shown, text);
            assert_eq!(read_shown(&money.shown), Some(back), "{text}");
        }
    }
}
