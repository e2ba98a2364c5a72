//! The embedded classifier as a subject.

use async_trait::async_trait;

use super::{Asked, Choice, Cost, Judged, Offline, Subject, Task};
use crate::enrich::classify::{CATEGORY, PRODUCT, SEVERITY};
use crate::enrich::duplicate::{Side, compare};
use crate::enrich::embed::embed;
use crate::enrich::{Classifier, Offline as Model, Text, Vocabulary};

impl Offline {
    /// With no vocabulary for the product, the trained products are said.
    pub fn new(vocabularies: Vec<Vocabulary>) -> Self {
        Self(if vocabularies.is_empty() { Model::trained() } else { Model::new(vocabularies) })
    }

    /// The choice that the model gives most, all its classes together.
    fn choose(&self, path: &str, text: &Text, choices: &[Choice]) -> Judged {
        let shares = self.0.shares(text).into_iter().find(|shares| shares.path == path);
        let Some(shares) = shares else { return self.said(path, text, choices) };
        let of = |choice: &Choice| -> f64 {
            shares.classes.iter().filter(|(class, _)| choice.classes.contains(class)).map(|(_, share)| share).sum()
        };
        let whole: f64 = choices.iter().map(of).sum();
        let mut best: Option<(&Choice, f64)> = None;
        for choice in choices {
            let share = of(choice);
            if best.is_none_or(|(_, most)| share > most) {
                best = Some((choice, share));
            }
        }
        let Some((choice, share)) = best.filter(|_| whole > 0.0) else { return Judged::default() };
        let class = choice.classes.iter().max_by(|a, b| {
            let of =
                |name: &String| shares.classes.iter().find(|(class, _)| class == name).map_or(0.0, |(_, share)| *share);
            of(a).total_cmp(&of(b))
        });
        let confidence = class.map_or(0.0, |class| self.0.confidence(path, class, share / whole));
        let because = self.0.classify(text).into_iter().find(|said| said.path == path).and_then(|said| said.because);
        Judged { value: Some(choice.label.clone()), confidence, because, cost: Cost::default() }
    }

    /// What it says by itself, under the label of the choice that has it.
    fn said(&self, path: &str, text: &Text, choices: &[Choice]) -> Judged {
        let Some(said) = self.0.classify(text).into_iter().find(|said| said.path == path) else {
            return Judged::default();
        };
        let choice = choices.iter().find(|choice| choice.classes.contains(&said.value));
        let value = choice.map_or(said.value, |choice| choice.label.clone());
        Judged { value: Some(value), confidence: said.confidence, because: said.because, cost: Cost::default() }
    }
}

#[async_trait]
impl Subject for Offline {
    fn name(&self) -> String {
        self.0.name().to_owned()
    }

    async fn judge(&self, asked: Asked<'_>) -> Result<Judged, String> {
        let [text, more @ ..] = asked.texts else { return Ok(Judged::default()) };
        Ok(match asked.task {
            Task::Category => self.choose(CATEGORY, text, asked.choices),
            Task::Severity => self.choose(SEVERITY, text, asked.choices),
            Task::Product if self.0.names_products() => self.said(PRODUCT, text, asked.choices),
            Task::Product => self.choose(PRODUCT, text, asked.choices),
            Task::Lang => self.said("language", text, &[]),
            Task::Pairs | Task::Nearest => {
                let Some(other) = more.first() else { return Ok(Judged::default()) };
                let one = Side { title: &text.title, body: &text.body, ..Side::default() };
                let judged = compare(&one, &Side { title: &other.title, body: &other.body, ..Side::default() });
                Judged {
                    value: Some(if judged.duplicate { "duplicate" } else { "other" }.to_owned()),
                    confidence: judged.confidence,
                    because: Some(judged.because),
                    cost: Cost::default(),
                }
            }
        })
    }

    async fn embed(&self, texts: &[Text]) -> Result<(Vec<Vec<f32>>, Cost), String> {
        Ok((texts.iter().map(embed).collect(), Cost::default()))
    }
}
