//! The report beside the weights: what the held-out verdicts were worth.

use std::fmt::Write;

use crate::calibrate::crossed;
use crate::data::{CATEGORIES, Example, SEVERITIES, Source};
use crate::folds::{HeldOut, Verdict};
use crate::products::Tally;

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

/// Precision, recall and F1 of (truth, said).
fn scores(pairs: impl Iterator<Item = (bool, bool)> + Clone) -> (f64, f64, f64, usize) {
    let both = count(pairs.clone().filter(|(truth, said)| *truth && *said).count());
    let truth = pairs.clone().filter(|(truth, _)| *truth).count();
    let said = count(pairs.filter(|(_, said)| *said).count());
    (share(both, said), share(both, count(truth)), share(2.0 * both, said + count(truth)), truth)
}

fn classes(out: &mut String, title: &str, names: &[&str], verdicts: &[&Verdict]) {
    let right: f32 = verdicts.iter().map(|verdict| verdict.right).sum();
    let _ = writeln!(
        out,
        "\n### {title}: {} texts, accuracy {:.2}\n",
        verdicts.len(),
        share(right.into(), count(verdicts.len()))
    );
    let _ = writeln!(out, "| class | texts | precision | recall | F1 |\n|---|---|---|---|---|");
    for (class, name) in names.iter().enumerate() {
        let (precision, recall, f1, texts) = scores(verdicts.iter().map(|v| (v.truth == class, v.class == class)));
        let _ = writeln!(out, "| {name} | {texts} | {precision:.2} | {recall:.2} | {f1:.2} |");
    }
}

fn calibration(out: &mut String, verdicts: &[Verdict], names: &[&str], sources: &[(Source, &str)]) {
    let told = crossed(verdicts, names.len());
    for (source, name) in sources {
        let here: Vec<_> = told.iter().filter(|(verdict, _)| verdict.source == *source).collect();
        let _ = writeln!(out, "\n| {name}: confidence | verdicts | mean | right |\n|---|---|---|---|");
        let mut error = 0.0;
        for bin in 0..10_u8 {
            let (low, high) = (f32::from(bin) / 10.0, f32::from(bin + 1) / 10.0);
            let inside: Vec<_> = here.iter().filter(|(_, confidence)| (low..high).contains(confidence)).collect();
            if inside.is_empty() {
                continue;
            }
            let all = count(inside.len());
            let mean = inside.iter().map(|(_, confidence)| f64::from(*confidence)).sum::<f64>() / all;
            let right = inside.iter().map(|(verdict, _)| f64::from(verdict.right)).sum::<f64>() / all;
            error += (mean - right).abs() * share(all, count(here.len()));
            let _ = writeln!(out, "| {low:.1} to {high:.1} | {all} | {mean:.2} | {right:.2} |");
        }
        let _ = writeln!(out, "\nExpected calibration error on {name}: {error:.3}");
    }
}

pub(crate) fn write(
    examples: &[Example],
    held: &HeldOut,
    (products, languages): &(Tally, Tally),
    bytes: usize,
) -> String {
    let mut out = String::from(
        "# offline-1, measured\n\nWritten by `examples/train_offline_model`. Every text was judged by a model that had not seen its group: \
         an issue's theme,\na review's app, an intent, an invented sentence. Settings were chosen on these same figures, which flatters them a little.\n",
    );
    let _ = writeln!(out, "Weights: {bytes} bytes; the figures are of 8-bit weights, as shipped.\n\n## Category");
    let of = |verdicts: &'_ [Verdict], source| -> Vec<usize> {
        (0..verdicts.len()).filter(|at| verdicts[*at].source == source).collect()
    };
    for (source, title) in
        [(Source::Issues, "GitHub issues"), (Source::Invented, "Invented sentences, English and French")]
    {
        let chosen: Vec<&Verdict> = of(&held.category, source).into_iter().map(|at| &held.category[at]).collect();
        classes(&mut out, title, &CATEGORIES, &chosen);
        if source == Source::Issues {
            let three = [0, 1, 5];
            let known = chosen.iter().filter(|verdict| three.contains(&verdict.truth));
            let f1 = three.map(|class| scores(known.clone().map(|v| (v.truth == class, v.class == class))).2);
            let _ = writeln!(
                out,
                "\nbug, feature_request and general (question) alone: macro-F1 {:.3}",
                f1.iter().sum::<f64>() / 3.0
            );
        }
    }
    let _ = writeln!(out, "\n### App reviews, by their own labels, unseen app\n");
    let _ = writeln!(out, "| | problem report | feature request | irrelevant | macro-F1 |\n|---|---|---|---|---|");
    for language in ["en", "fr"] {
        let pairs: Vec<([bool; 3], usize)> = held
            .category
            .iter()
            .filter(|verdict| examples[verdict.example].language == language)
            .filter_map(|verdict| {
                let label = match CATEGORIES[verdict.class] {
                    "bug" | "pain_point" | "churn_signal" => 0,
                    "feature_request" => 1,
                    _ => 2,
                };
                Some((examples[verdict.example].labels?, label))
            })
            .collect();
        let f1 = [0, 1, 2].map(|label| scores(pairs.iter().map(|(truth, said)| (truth[label], *said == label))).2);
        let macro_f1 = f1.iter().sum::<f64>() / 3.0;
        let _ = writeln!(
            out,
            "| {language}, {} | {:.2} | {:.2} | {:.2} | {macro_f1:.3} |",
            pairs.len(),
            f1[0],
            f1[1],
            f1[2]
        );
    }
    let all = [(Source::Issues, "issues"), (Source::Reviews, "reviews"), (Source::Invented, "invented")];
    calibration(&mut out, &held.category, &CATEGORIES, &all);
    let _ = writeln!(out, "\n## Severity");
    for (source, title) in [(Source::Issues, "GitHub issues"), (Source::Invented, "Invented sentences")] {
        let chosen: Vec<&Verdict> = held.severity.iter().filter(|verdict| verdict.source == source).collect();
        classes(&mut out, title, &SEVERITIES, &chosen);
        let (precision, recall, f1, _) = scores(chosen.iter().map(|v| (v.truth < 2, v.class < 2)));
        let _ =
            writeln!(out, "\nhigh or above against the rest: precision {precision:.2}, recall {recall:.2}, F1 {f1:.2}");
    }
    calibration(&mut out, &held.severity, &SEVERITIES, &[all[0], all[2]]);
    let tallies = [
        ("Product, by vocabulary, on the issues (`none` is right where the label is Other: 23 of them)", products),
        ("Language, on the reviews", languages),
    ];
    for (title, tally) in tallies {
        let _ = writeln!(out, "\n## {title}\n\n| confidence told | texts | right |\n|---|---|---|");
        for (kind, (right, told)) in tally {
            let _ = writeln!(out, "| {kind} | {told} | {:.2} |", share((*right).into(), (*told).into()));
        }
    }
    out
}
