//! How well models stand against people: rate, kappa, calibration, and the week's mistakes. Reads every review.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::open::{short, worded};
use super::trust::{Kappa, cell_name, holds, kappa, lacks, tally, wilson};
use crate::config::Mode;
use crate::house::House;
use crate::ledger::{LedgerError, Review};
use crate::report::why::title;
use crate::schema::{EntityId, Task};

/// What reviews are told apart by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// By nothing but the task.
    #[default]
    Task,
    Category,
    Segment,
    Prompt,
    Model,
    Field,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    pub task: Option<Task>,
    pub by: By,
    /// Only of the last seven days.
    pub week: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    pub at: DateTime<Utc>,
    pub rows: Vec<Row>,
    /// Trust, category by segment: the most reviewed first.
    pub cells: Vec<Cell>,
    /// What was said with which confidence, against how often it stood.
    pub calibration: Vec<Bin>,
    /// Of the last seven days, the surest first.
    pub mistakes: Vec<Mistake>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub task: Task,
    /// Of what the question asked for: a category, a prompt. Empty where there is none.
    pub of: String,
    pub reviews: usize,
    pub agreed: usize,
    pub rate: f64,
    pub low: f64,
    pub high: f64,
    /// `None`: nothing was ever said but one value.
    pub kappa: Option<f64>,
    pub kappa_low: Option<f64>,
    pub kappa_high: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub task: Task,
    pub cell: String,
    pub category: String,
    pub segment: String,
    /// The newest, as many as the window takes.
    pub reviews: usize,
    pub agreed: usize,
    pub low: f64,
    pub high: f64,
    /// It acts by itself.
    pub trusted: bool,
    pub since: Option<DateTime<Utc>>,
    /// What is lacking, in words.
    pub lacks: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    pub from: f64,
    pub to: f64,
    pub reviews: usize,
    pub agreed: usize,
    /// What was claimed, on average.
    pub claimed: f64,
    pub rate: f64,
    pub low: f64,
    pub high: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    pub at: DateTime<Utc>,
    pub item: String,
    pub title: String,
    pub url: Option<String>,
    pub field: String,
    pub said: Value,
    pub stands: Value,
    /// Both, as people read them.
    pub said_shown: String,
    pub stands_shown: String,
    pub confidence: f64,
    pub model: String,
    pub prompt: String,
    pub by: String,
}

const WEEK: TimeDelta = TimeDelta::days(7);
/// Mistakes that are told.
const MISTAKES: usize = 50;
/// Where bins of confidence begin; the last ends at 1.
const BINS: [f64; 6] = [0.0, 0.5, 0.6, 0.7, 0.8, 0.9];

/// How well models stand.
///
/// # Errors
/// When the ledger cannot be read.
pub fn agreement(house: &House, wanted: &Wanted) -> Result<Agreement, LedgerError> {
    let now = house.now();
    let of_task = |task: Task| wanted.task.is_none_or(|wanted| wanted == task);
    let all = house.ledger.reviews()?;
    let reviews: Vec<(EntityId, Review)> = all.into_iter().filter(|(_, review)| of_task(review.task)).collect();
    let recent = |review: &Review| now - review.at <= WEEK;
    let counted: Vec<&Review> =
        reviews.iter().map(|(_, review)| review).filter(|review| !wanted.week || recent(review)).collect();
    let rows = rows(&counted, wanted.by);
    let calibration = calibration(&counted);
    let mut wrong: Vec<&(EntityId, Review)> =
        reviews.iter().filter(|(_, review)| !review.agreed && recent(review)).collect();
    wrong.sort_by(|(a, one), (b, other)| {
        other.confidence.total_cmp(&one.confidence).then(other.at.cmp(&one.at)).then(a.cmp(b))
    });
    let mistakes = wrong.into_iter().take(MISTAKES).map(|(id, review)| mistake(house, *id, review));
    Ok(Agreement {
        at: now,
        rows,
        cells: cells(house, of_task)?,
        calibration,
        mistakes: mistakes.collect::<Result<_, _>>()?,
    })
}

fn rows(reviews: &[&Review], by: By) -> Vec<Row> {
    let mut groups: BTreeMap<(Task, String), Vec<&Review>> = BTreeMap::new();
    for review in reviews {
        let of = match by {
            By::Task => String::new(),
            By::Category => review.category.clone(),
            By::Segment => review.segment.clone(),
            By::Prompt => review.prompt.clone(),
            By::Model => review.model.clone(),
            By::Field => short(&review.path).to_owned(),
        };
        groups.entry((review.task, of)).or_default().push(review);
    }
    groups.into_iter().map(|((task, of), reviews)| row(task, of, &reviews)).collect()
}

fn row(task: Task, of: String, reviews: &[&Review]) -> Row {
    let agreed = reviews.iter().filter(|review| review.agreed).count();
    let (low, high) = wilson(agreed, reviews.len());
    // As it was judged: what counts as the same is the same word here.
    let words: Vec<(&str, String, String)> = reviews
        .iter()
        .map(|review| {
            let said = word(&review.said);
            let stands = if review.agreed { said.clone() } else { word(&review.stands) };
            (review.path.as_str(), said, stands)
        })
        .collect();
    let kappa: Option<Kappa> = kappa(words.iter().map(|(path, said, stands)| (*path, said.as_str(), stands.as_str())));
    Row {
        task,
        of,
        reviews: reviews.len(),
        agreed,
        rate: share(agreed, reviews.len()),
        low,
        high,
        kappa: kappa.map(|kappa| kappa.value),
        kappa_low: kappa.map(|kappa| kappa.low),
        kappa_high: kappa.map(|kappa| kappa.high),
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_lowercase())
}

#[expect(clippy::cast_precision_loss, reason = "reviews are far fewer than 2^52")]
fn share(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

#[expect(clippy::cast_precision_loss, reason = "reviews are far fewer than 2^52")]
fn calibration(reviews: &[&Review]) -> Vec<Bin> {
    let ends = BINS.iter().skip(1).copied().chain([1.0]);
    let bins = BINS.iter().copied().zip(ends).filter_map(|(from, to)| {
        let within = |confidence: f64| confidence >= from && (confidence < to || to >= 1.0);
        let of: Vec<&&Review> = reviews.iter().filter(|review| within(review.confidence)).collect();
        let agreed = of.iter().filter(|review| review.agreed).count();
        let (low, high) = wilson(agreed, of.len());
        let claimed = of.iter().map(|review| review.confidence).sum::<f64>() / of.len() as f64;
        (!of.is_empty()).then(|| Bin {
            from,
            to,
            reviews: of.len(),
            agreed,
            claimed,
            rate: share(agreed, of.len()),
            low,
            high,
        })
    });
    bins.collect()
}

fn cells(house: &House, of_task: impl Fn(Task) -> bool) -> Result<Vec<Cell>, LedgerError> {
    let rule = &house.config.review;
    let mut cells = Vec::new();
    for (task, category, segment, standing) in house.ledger.standings()? {
        if !of_task(task) {
            continue;
        }
        let tally = tally(&standing, rule);
        let forbids = match house.config.task(task).mode {
            Mode::Auto => None,
            Mode::Suggest => Some("its mode is \"suggest\""),
            Mode::Off => Some("its mode is \"off\""),
        };
        let lacks = forbids.map(str::to_owned).or_else(|| lacks(&standing, rule));
        cells.push(Cell {
            task,
            cell: cell_name(&category, &segment),
            category,
            segment,
            reviews: tally.of,
            agreed: tally.agreed,
            low: tally.low,
            high: tally.high,
            trusted: lacks.is_none() && holds(&standing, rule),
            since: standing.earned,
            lacks,
        });
    }
    cells.sort_by(|a, b| b.reviews.cmp(&a.reviews).then_with(|| (a.task, &a.cell).cmp(&(b.task, &b.cell))));
    Ok(cells)
}

fn mistake(house: &House, id: EntityId, review: &Review) -> Result<Mistake, LedgerError> {
    let entity = house.ledger.entity(id)?;
    let item = entity.as_ref().and_then(|entity| entity.as_feedback());
    Ok(Mistake {
        at: review.at,
        item: entity.as_ref().map(crate::schema::Entity::short_id).unwrap_or_default(),
        title: entity.as_ref().map(title).unwrap_or_default(),
        url: item.and_then(|item| item.origin.as_ref()).and_then(|origin| origin.url.clone()),
        field: short(&review.path).to_owned(),
        said: review.said.clone(),
        stands: review.stands.clone(),
        said_shown: worded(&house.ledger, &review.said)?,
        stands_shown: worded(&house.ledger, &review.stands)?,
        confidence: review.confidence,
        model: review.model.clone(),
        prompt: review.prompt.clone(),
        by: review.by.clone(),
    })
}

/// Where tasks act by themselves, in words for `loopd status`.
///
/// # Errors
/// When the ledger cannot be read.
pub fn trusted(house: &House) -> Result<Vec<String>, LedgerError> {
    let cells = cells(house, |_| true)?.into_iter().filter(|cell| cell.trusted);
    Ok(cells
        .map(|cell| {
            format!("{} acts by itself on {}: {} of {}", cell.task.name(), cell.cell, cell.agreed, cell.reviews)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn review(said: &str, stands: &str, confidence: f64, prompt: &str) -> Review {
        Review {
            at: DateTime::UNIX_EPOCH,
            by: "airtable".into(),
            task: Task::Classify,
            path: "tags.category".into(),
            said: json!(said),
            stands: json!(stands),
            agreed: said == stands,
            category: said.into(),
            segment: String::new(),
            model: "offline-1".into(),
            prompt: prompt.into(),
            confidence,
            claimed: None,
        }
    }

    #[test]
    fn rows_are_by_what_was_asked_for() {
        let all = [
            review("bug", "bug", 0.95, "classify/1"),
            review("bug", "praise", 0.7, "classify/1"),
            review("praise", "praise", 0.55, "classify/2"),
        ];
        let all: Vec<&Review> = all.iter().collect();
        let by = |by| rows(&all, by).into_iter().map(|row| (row.of, row.reviews, row.agreed)).collect::<Vec<_>>();
        assert_eq!(by(By::Task), [(String::new(), 3, 2)]);
        assert_eq!(by(By::Prompt), [("classify/1".to_owned(), 2, 1), ("classify/2".to_owned(), 1, 1)]);
        assert_eq!(by(By::Category), [("bug".to_owned(), 2, 1), ("praise".to_owned(), 1, 1)]);
        let row = &rows(&all, By::Task)[0];
        assert!(row.low < row.rate && row.rate < row.high && row.kappa.is_some());
        assert!((row.kappa.expect("two values") - 0.4).abs() < 1e-9, "{row:?}");
    }

    #[test]
    fn confidence_is_held_against_what_stood() {
        let all = [
            review("bug", "bug", 0.95, ""),
            review("bug", "bug", 1.0, ""),
            review("bug", "praise", 0.9, ""),
            review("bug", "praise", 0.2, ""),
        ];
        let bins = calibration(&all.iter().collect::<Vec<_>>());
        let shown: Vec<(f64, usize, usize)> = bins.iter().map(|bin| (bin.from, bin.reviews, bin.agreed)).collect();
        assert_eq!(shown, [(0.0, 1, 0), (0.9, 3, 2)]);
        assert!((bins[1].claimed - 0.95).abs() < 1e-9);
    }
}
