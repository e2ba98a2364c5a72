//! The labelled sets, read into one shape. What a set does not label is left open.

use std::path::Path;

use anyhow::{Context, Result};
use loopd::enrich::Text;
use loopd::enrich::reading::Reading;
use serde::Deserialize;

use crate::dress::dress;

/// As the issues are labelled, and as they are measured.
pub(crate) use loopd::eval::labels::{CATEGORIES, PRODUCTS, SEVERITIES};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Issues,
    Reviews,
    Intents,
    /// Invented: issues as they are, and in a form; reviews; what customers of a company write; single sentences; products.
    Plain,
    Formed,
    Talk,
    Business,
    Sentences,
    Products,
}

pub(crate) struct Example {
    pub source: Source,
    pub reading: Reading,
    /// What must not stand on both sides of a fold: the theme of an issue, the app of a review.
    pub group: String,
    pub language: String,
    /// Shares of the classes; all zero where the category is not known.
    pub category: Vec<f32>,
    pub severity: Option<usize>,
    pub product: Option<usize>,
    /// A review's own labels: problem report, feature request, irrelevant.
    pub labels: Option<[bool; 3]>,
    /// The product's coarser label, for the measure of the vocabulary.
    pub seed: Option<String>,
    pub text: String,
    pub hint: String,
}

#[derive(Deserialize)]
struct Issue {
    title: String,
    summary: String,
    category: String,
    severity: String,
    theme: String,
    lang: String,
    repo: String,
    product: String,
    product_seed: String,
}

#[derive(Deserialize)]
struct Review {
    app: String,
    lang: String,
    score: u8,
    problem_report: u8,
    feature_request: u8,
    irrelevant: u8,
    text: String,
}

#[derive(Deserialize)]
struct Clustered {
    app: String,
    lang: String,
    kind: String,
    text: String,
}

#[derive(Deserialize)]
struct Intent {
    label: String,
    text: String,
}

/// Intents that report a failure, that ask, and that leave; the others may be either and are not used.
const FAILURES: &[&str] = &[
    "declined_cash_withdrawal",
    "declined_card_payment",
    "declined_transfer",
    "failed_transfer",
    "top_up_failed",
    "card_not_working",
    "virtual_card_not_working",
    "contactless_not_working",
    "balance_not_updated_after_bank_transfer",
    "balance_not_updated_after_cheque_or_cash_deposit",
    "Refund_not_showing_up",
    "transaction_charged_twice",
    "transfer_not_received_by_recipient",
    "wrong_amount_of_cash_received",
    "unable_to_verify_identity",
    "top_up_reverted",
];
const QUESTIONS: &[&str] = &[
    "age_limit",
    "country_support",
    "fiat_currency_support",
    "atm_support",
    "card_acceptance",
    "exchange_rate",
    "supported_cards_and_currencies",
    "activate_my_card",
    "change_pin",
    "edit_personal_details",
    "order_physical_card",
    "getting_spare_card",
    "card_delivery_estimate",
    "verify_top_up",
    "visa_or_mastercard",
    "automatic_top_up",
    "top_up_limits",
    "receiving_money",
    "topping_up_by_card",
    "transfer_into_account",
    "transfer_timing",
    "apple_pay_or_google_pay",
    "exchange_via_app",
    "why_verify_identity",
    "disposable_card_limits",
];
const LEAVING: &[&str] = &["terminate_account"];

fn lines<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let parse = |(at, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), at + 1))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}

fn one_hot(category: &str) -> Result<Vec<f32>> {
    let at =
        CATEGORIES.iter().position(|name| *name == category).with_context(|| format!("no category {category:?}"))?;
    Ok((0..CATEGORIES.len()).map(|class| f32::from(u8::from(class == at))).collect())
}

fn severity(name: &str) -> Result<usize> {
    SEVERITIES.iter().position(|known| *known == name).with_context(|| format!("no severity {name:?}"))
}

fn product(name: &str) -> Result<usize> {
    PRODUCTS.iter().position(|known| *known == name).with_context(|| format!("no product {name:?}"))
}

fn reading(title: &str, body: &str) -> Reading {
    Reading::of(&Text { title: title.into(), body: body.into(), origin: String::new() })
}

pub(crate) fn load(dir: &Path) -> Result<Vec<Example>> {
    let mut examples = Vec::new();
    for issue in lines::<Issue>(&dir.join("mistral_issues/issues.ndjson"))? {
        examples.push(Example {
            source: Source::Issues,
            reading: reading(&issue.title, &issue.summary),
            group: issue.theme,
            language: issue.lang,
            category: one_hot(&issue.category)?,
            severity: Some(severity(&issue.severity)?),
            labels: None,
            product: Some(product(&issue.product)?),
            seed: Some(issue.product_seed),
            text: format!("{}\n{}", issue.title, issue.summary),
            hint: issue.repo,
        });
    }
    let open = |source, group: String, language: String, category, text: String| Example {
        source,
        reading: reading("", &text),
        group,
        language,
        category,
        severity: None,
        labels: None,
        product: None,
        seed: None,
        text,
        hint: String::new(),
    };
    for review in lines::<Review>(&dir.join("reviews/reviews.ndjson"))? {
        let labels = [review.problem_report == 1, review.feature_request == 1, review.irrelevant == 1];
        // Praise or nothing to act on: the stars tell.
        let other = if review.score >= 4 { "praise" } else { "general" };
        let of = |label: bool, name| if label { one_hot(name) } else { Ok(vec![0.0; CATEGORIES.len()]) };
        let [bug, request, rest] = [of(labels[0], "bug")?, of(labels[1], "feature_request")?, of(labels[2], other)?];
        let sum: Vec<f32> = bug.iter().zip(&request).zip(&rest).map(|((a, b), c)| a + b + c).collect();
        let whole: f32 = sum.iter().sum();
        if whole > 0.0 {
            let category = sum.iter().map(|part| part / whole).collect();
            let example = open(Source::Reviews, review.app, review.lang, category, review.text);
            examples.push(Example { labels: Some(labels), ..example });
        }
    }
    let known: std::collections::HashSet<String> = examples.iter().map(|example| example.text.clone()).collect();
    for review in lines::<Clustered>(&dir.join("reviews/clusters.ndjson"))? {
        let category = one_hot(if review.kind == "feature_request" { "feature_request" } else { "bug" })?;
        if !known.contains(&review.text) {
            examples.push(open(Source::Reviews, review.app, review.lang, category, review.text));
        }
    }
    for intent in lines::<Intent>(&dir.join("intents/banking77_dev.ndjson"))? {
        let groups = [(FAILURES, "bug"), (QUESTIONS, "question"), (LEAVING, "churn_signal")];
        let category = groups.iter().find(|(labels, _)| labels.contains(&intent.label.as_str())).map(|(_, name)| *name);
        if let Some(category) = category {
            examples.push(open(Source::Intents, intent.label, "en".into(), one_hot(category)?, intent.text));
        }
    }
    for (source, file, text) in INVENTED {
        for (at, line) in text.lines().enumerate().skip(1) {
            let fields: Vec<&str> = line.split('\t').collect();
            let place = || format!("{file}, line {}", at + 1);
            let [group, category, level, about, title, body] = fields[..] else {
                anyhow::bail!("{}: six fields", place())
            };
            let none = || vec![0.0; CATEGORIES.len()];
            let kind = CATEGORIES.iter().position(|name| *name == category);
            let example = |source, title: &str, body: &str| -> Result<Example> {
                Ok(Example {
                    reading: reading(title, body),
                    severity: if level.is_empty() { None } else { Some(severity(level)?) },
                    product: if about.is_empty() { None } else { Some(product(about)?) },
                    ..open(
                        source,
                        if group == "product" { format!("{file} {at}") } else { group.to_owned() },
                        String::new(),
                        if category.is_empty() { none() } else { one_hot(category)? },
                        if title.is_empty() { body.to_owned() } else { format!("{title}\n{body}") },
                    )
                })
            };
            examples.push(example(*source, title, body).with_context(place)?);
            if let (Source::Plain, Some(kind @ 0..=2)) = (source, kind) {
                for turn in 0..TURNS {
                    let (title, body) = dress(title, body, kind, turn);
                    examples.push(example(Source::Formed, &title, &body)?);
                }
            }
        }
    }
    Ok(examples)
}

/// Forms that each invented issue is put into.
const TURNS: u32 = 2;

const INVENTED: &[(Source, &str, &str)] = &[
    (Source::Plain, "issues.tsv", include_str!("invented/issues.tsv")),
    (Source::Talk, "reviews.tsv", include_str!("invented/reviews.tsv")),
    (Source::Business, "business.tsv", include_str!("invented/business.tsv")),
    (Source::Sentences, "sentences.tsv", include_str!("invented/sentences.tsv")),
    (Source::Products, "products.tsv", include_str!("invented/products.tsv")),
];
