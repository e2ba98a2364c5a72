//! The language of a text, by the trigrams of the `whatlang` crate, among the languages that customers write in.
//!
//! Law: nothing is said of a text too short to tell, and the confidence is what was measured, not the crate's.

use whatlang::{Detector, Lang};

use super::model::interpolate;
use super::reading::Reading;
use super::{Suggestion, round};

/// With their ISO 639-1 codes. Each further one costs accuracy on short texts.
const LANGUAGES: &[(Lang, &str)] = &[
    (Lang::Eng, "en"),
    (Lang::Fra, "fr"),
    (Lang::Deu, "de"),
    (Lang::Spa, "es"),
    (Lang::Ita, "it"),
    (Lang::Por, "pt"),
    (Lang::Nld, "nl"),
    (Lang::Pol, "pl"),
    (Lang::Swe, "sv"),
    (Lang::Tur, "tr"),
    (Lang::Rus, "ru"),
    (Lang::Ukr, "uk"),
    (Lang::Ara, "ar"),
    (Lang::Heb, "he"),
    (Lang::Hin, "hi"),
    (Lang::Cmn, "zh"),
    (Lang::Jpn, "ja"),
    (Lang::Kor, "ko"),
];
/// From the crate's confidence to how often it was right on app reviews in English and French; below the first it mostly was
/// not, and nothing is said.
const MEASURED: &[(f32, f32)] = &[(0.1, 0.6), (0.25, 0.72), (0.35, 0.85), (0.45, 0.94), (1.0, 0.98)];
/// Characters that are looked at.
const ENOUGH: usize = 400;

pub(super) struct Languages(Detector);

impl Languages {
    pub(super) fn new() -> Self {
        Self(Detector::with_allowlist(LANGUAGES.iter().map(|(lang, _)| *lang).collect()))
    }

    pub(super) fn suggest(&self, reading: &Reading) -> Option<Suggestion> {
        let prose = reading.prose();
        let end = prose.char_indices().nth(ENOUGH).map_or(prose.len(), |(end, _)| end);
        let info = self.0.detect(&prose[..end])?;
        let (_, code) = LANGUAGES.iter().find(|(lang, _)| *lang == info.lang())?;
        let least = MEASURED.first().map_or(0.0, |(least, _)| f64::from(*least));
        let confidence = f64::from(interpolate(MEASURED, single(info.confidence())));
        let said = || Suggestion {
            path: "language".into(),
            value: (*code).into(),
            confidence: round(confidence),
            because: None,
        };
        (info.confidence() >= least).then(said)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a share between 0 and 1 loses nothing that matters")]
fn single(share: f64) -> f32 {
    share as f32
}
