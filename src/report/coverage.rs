//! Coverage: who is heard, against who is there. A segment that pays a third of the revenue and says nothing is a gap, and so
//! is a product of which nobody speaks.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::voices::{Voice, Voices};
use crate::schema::EntityId;

/// Where voices come from and where they do not, in a period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
    pub items: usize,
    /// Customers that there are, and of them those who spoke.
    pub customers: usize,
    pub heard: usize,
    /// Their revenue, where any is known.
    pub arr: Option<f64>,
    pub arr_heard: Option<f64>,
    pub segments: Vec<Part>,
    pub products: Vec<Part>,
    pub sources: Vec<Part>,
    /// Every combination that was heard, loudest first.
    pub cells: Vec<Cell>,
    /// The largest customers who said nothing.
    pub silent: Vec<Silent>,
    pub gaps: Vec<Gap>,
}

/// One segment, product or source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub items: usize,
    /// Customers that belong to it: by their segment; or who ever spoke of the product, or through the source.
    pub customers: usize,
    pub heard: usize,
    pub arr: Option<f64>,
    /// Whole percents, of all there is.
    pub share_of_items: u32,
    pub share_of_customers: u32,
    pub share_of_arr: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub segment: Option<String>,
    pub product: Option<String>,
    pub source: Option<String>,
    pub items: usize,
    pub customers: usize,
    /// Of those customers, each once.
    pub arr: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Silent {
    pub name: String,
    pub segment: Option<String>,
    pub arr: Option<f64>,
}

/// Less voice than there should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// `segment`, `product`, `source`.
    pub of: String,
    pub name: String,
    pub items: usize,
    pub customers: usize,
    pub share_of_items: u32,
    pub share_of_customers: u32,
    pub share_of_arr: Option<u32>,
}

/// A part counts as a gap from this share of revenue or customers on, in percent: below it, silence is chance.
const LEAST_SHARE: u32 = 5;
/// How many silent customers are named.
const SILENT: usize = 10;

/// Whose products are configured: one of which nobody speaks is a gap, though no customer is known to use it.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub products: Vec<String>,
}

/// Counts what was said from `from` on and before `to`.
pub fn coverage(all: &Voices, from: DateTime<Utc>, to: DateTime<Utc>, expected: &Expected) -> Coverage {
    let now: Vec<&Voice> = all.items.iter().filter(|item| item.between(from, to)).collect();
    let ever: Vec<&Voice> = all.items.iter().filter(|item| item.at.is_some_and(|at| at < to)).collect();
    let everybody: BTreeSet<EntityId> = all.accounts.keys().copied().collect();
    let heard: BTreeSet<EntityId> = now.iter().filter_map(|item| item.customer).collect();
    let mut belongs: BTreeMap<String, BTreeSet<EntityId>> = BTreeMap::new();
    for (id, account) in &all.accounts {
        if let Some(segment) = &account.segment {
            belongs.entry(segment.clone()).or_default().insert(*id);
        }
    }
    let segments = parts(all, &now, &everybody, belongs, |item| item.segment.as_deref());
    let of_those_who_spoke = |by: fn(&Voice) -> Option<&str>, named: &[String]| {
        let mut belongs: BTreeMap<String, BTreeSet<EntityId>> =
            named.iter().map(|name| (name.clone(), BTreeSet::new())).collect();
        for item in &ever {
            if let Some(name) = by(item) {
                belongs.entry(name.to_owned()).or_default().extend(item.customer);
            }
        }
        parts(all, &now, &everybody, belongs, by)
    };
    let products = of_those_who_spoke(|item| item.product.as_deref(), &expected.products);
    let sources = of_those_who_spoke(|item| item.source.as_deref(), &[]);
    let mut gaps = Vec::new();
    for (of, parts) in [("segment", &segments), ("product", &products), ("source", &sources)] {
        let speaking = parts.iter().any(|part| part.items > 0);
        gaps.extend(parts.iter().filter(|part| is_gap(part, of, speaking)).map(|part| gap(of, part)));
    }
    gaps.sort_by(|a, b| weight(b).cmp(&weight(a)).then_with(|| (&a.of, &a.name).cmp(&(&b.of, &b.name))));
    let mut silent: Vec<Silent> = everybody
        .difference(&heard)
        .filter_map(|id| all.accounts.get(id))
        .filter(|account| account.arr.is_some())
        .map(|account| Silent { name: account.name.clone(), segment: account.segment.clone(), arr: account.arr })
        .collect();
    silent.sort_by(|a, b| b.arr.unwrap_or(0.0).total_cmp(&a.arr.unwrap_or(0.0)).then_with(|| a.name.cmp(&b.name)));
    silent.truncate(SILENT);
    Coverage {
        from: Some(from),
        to: Some(to),
        items: now.len(),
        customers: everybody.len(),
        heard: heard.len(),
        arr: revenue(all, &everybody),
        arr_heard: revenue(all, &heard),
        cells: cells(all, &now),
        segments,
        products,
        sources,
        silent,
        gaps,
    }
}

/// The revenue of some customers, each once. `None`: none is known.
pub fn revenue(all: &Voices, customers: &BTreeSet<EntityId>) -> Option<f64> {
    let known = customers.iter().filter_map(|id| all.accounts.get(id)?.arr);
    known.fold(None, |sum, arr| Some(sum.unwrap_or(0.0) + arr))
}

/// A whole percent.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a whole, from 0 to 100")]
pub fn percent(part: f64, whole: f64) -> u32 {
    if whole > 0.0 { (part / whole * 100.0).round().clamp(0.0, 100.0) as u32 } else { 0 }
}

fn parts(
    all: &Voices,
    now: &[&Voice],
    everybody: &BTreeSet<EntityId>,
    mut belongs: BTreeMap<String, BTreeSet<EntityId>>,
    by: fn(&Voice) -> Option<&str>,
) -> Vec<Part> {
    let mut items: BTreeMap<&str, (usize, BTreeSet<EntityId>)> = BTreeMap::new();
    for item in now {
        if let Some(name) = by(item) {
            let said = items.entry(name).or_default();
            said.0 += 1;
            said.1.extend(item.customer);
        }
    }
    for name in items.keys() {
        belongs.entry((*name).to_owned()).or_default();
    }
    let whole = revenue(all, everybody);
    // Of what says where it belongs: what says nothing is nobody's share.
    let spoken: usize = items.values().map(|(count, _)| count).sum();
    let mut parts: Vec<Part> = belongs
        .into_iter()
        .map(|(name, customers)| {
            let (count, heard) = items.get(name.as_str()).map_or((0, 0), |(count, heard)| (*count, heard.len()));
            let arr = revenue(all, &customers);
            Part {
                items: count,
                heard,
                customers: customers.len(),
                share_of_items: percent(count as f64, spoken as f64),
                share_of_customers: percent(customers.len() as f64, everybody.len() as f64),
                share_of_arr: whole.map(|whole| percent(arr.unwrap_or(0.0), whole)),
                arr,
                name,
            }
        })
        .collect();
    parts.sort_by(|a, b| b.items.cmp(&a.items).then_with(|| a.name.cmp(&b.name)));
    parts
}

/// Less than half the voice that its share of revenue, or where none is known of customers, would give it. A configured
/// product of which nobody ever spoke is one too, once others are spoken of.
fn is_gap(part: &Part, of: &str, speaking: bool) -> bool {
    let due = part.share_of_arr.unwrap_or(0).max(part.share_of_customers);
    let never = of == "product" && part.customers == 0 && part.items == 0 && speaking;
    never || (due >= LEAST_SHARE && part.share_of_items * 2 < due)
}

fn weight(gap: &Gap) -> u32 {
    gap.share_of_arr.unwrap_or(0).max(gap.share_of_customers).saturating_sub(gap.share_of_items)
}

fn gap(of: &str, part: &Part) -> Gap {
    Gap {
        of: of.to_owned(),
        name: part.name.clone(),
        items: part.items,
        customers: part.customers,
        share_of_items: part.share_of_items,
        share_of_customers: part.share_of_customers,
        share_of_arr: part.share_of_arr,
    }
}

fn cells(all: &Voices, now: &[&Voice]) -> Vec<Cell> {
    type Where<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);
    let mut cells: BTreeMap<Where<'_>, (usize, BTreeSet<EntityId>)> = BTreeMap::new();
    for item in now {
        let place = (item.segment.as_deref(), item.product.as_deref(), item.source.as_deref());
        let said = cells.entry(place).or_default();
        said.0 += 1;
        said.1.extend(item.customer);
    }
    let mut cells: Vec<Cell> = cells
        .into_iter()
        .map(|((segment, product, source), (items, customers))| Cell {
            segment: segment.map(str::to_owned),
            product: product.map(str::to_owned),
            source: source.map(str::to_owned),
            items,
            customers: customers.len(),
            arr: revenue(all, &customers),
        })
        .collect();
    cells.sort_by(|a, b| {
        let place = |cell: &Cell| (cell.segment.clone(), cell.product.clone(), cell.source.clone());
        b.items.cmp(&a.items).then_with(|| place(a).cmp(&place(b)))
    });
    cells
}
