//! Measures what is not trained: the vocabulary matcher, on the issues' product labels with a vocabulary as ops would write it,
//! and the language, on the reviews.

use std::collections::BTreeMap;

use loopd::enrich::model::Model;
use loopd::enrich::{Classifier, Offline, Term, Text, Vocabulary};

use crate::data::{Example, Source};

/// Value, synonyms, and places.
const TERMS: &[(&str, &str, &str)] = &[
    ("Large", "mistral large | mistral-large-latest | pixtral-large", ""),
    ("Medium", "mistral medium", ""),
    ("Small", "mistral small | magistral small | magistral", ""),
    ("Embed", "mistral embed | mistralaiembeddings | embeddings", ""),
    ("Pixtral", "pixtral", ""),
    ("Codestral", "codestral | mamba codestral | devstral", ""),
    ("Le Chat", "le chat | lechat | chat.mistral.ai", ""),
    ("Platform", "la plateforme | console | fine-tuning", ""),
    (
        "Open Weights",
        "mixtral | mistral 7b | 7b | 8x7b | 8*7b | tekken",
        "mistralai/mistral-inference | mistralai/mistral-common",
    ),
    (
        "API",
        "mistral api | mistralai api | sdk | mistralclient | api key",
        "mistralai/client-python | mistralai/client-js | mistralai/client-ts",
    ),
];

fn list(text: &str) -> Vec<String> {
    text.split('|').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Told with a confidence: right, told. `none`: nothing was told.
pub(crate) type Tally = BTreeMap<String, (u32, u32)>;

/// Products on issues; languages on reviews.
pub(crate) fn measure(model: &Model, examples: &[Example]) -> (Tally, Tally) {
    let term = |(value, words, places): &(&str, &str, &str)| Term {
        value: (*value).into(),
        words: [list(words), list(places)].concat(),
    };
    let vocabulary = Vocabulary { path: "tags.product".into(), terms: TERMS.iter().map(term).collect() };
    let offline = Offline::with(model.clone(), vec![vocabulary]);
    let (mut products, mut languages) = (Tally::new(), Tally::new());
    for example in examples {
        let (title, body) = match example.source {
            Source::Issues => example.text.split_once('\n').unwrap_or_default(),
            _ => ("", example.text.as_str()),
        };
        let text = Text { title: title.into(), body: body.into(), origin: example.hint.clone() };
        let said = offline.classify(&text);
        let find = |path: &str| said.iter().find(|suggestion| suggestion.path == path);
        match (&example.seed, example.source) {
            (Some(truth), _) => {
                let product = find("tags.product");
                let kind = product.map_or_else(|| "none".into(), |said| format!("{:.2}", said.confidence));
                note(&mut products, kind, product.is_some_and(|said| said.value == *truth));
            }
            (None, Source::Reviews) => {
                let language = find("language");
                let kind = language.map_or_else(
                    || "none".into(),
                    |said| format!("{:.1} and above", (said.confidence * 10.0).floor() / 10.0),
                );
                note(&mut languages, kind, language.is_some_and(|said| said.value == example.language));
            }
            (None, _) => {}
        }
    }
    (products, languages)
}

fn note(tally: &mut Tally, kind: String, right: bool) {
    let (hits, told) = tally.entry(kind).or_default();
    *hits += u32::from(right);
    *told += 1;
}
