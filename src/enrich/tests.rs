//! Invented sentences always; the development sets where `../shared/data` is there.

use serde::Deserialize;

use super::classify::{CATEGORY, PRODUCT, SEVERITY};
use super::cues;
use super::features::{CHARS, DIMS, Features, HASHED};
use super::model::{Model, ModelError, interpolate};
use super::reading::Reading;
use super::{Classifier, Offline, Suggestion, Term, Text, Vocabulary};

const WEIGHTS: &[u8] = include_bytes!("weights/offline-2.bin");

fn term(value: &str, words: &[&str]) -> Term {
    Term { value: value.into(), words: words.iter().map(|&word| word.to_owned()).collect() }
}

fn offline() -> Offline {
    let terms = vec![
        term("Acme Desk", &["acmedesk", "desk app", "example/desk"]),
        term("Acme", &[]),
        term("Large", &["acme large"]),
        term("Rocket 3.1", &[]),
        term("Rocket 3.2", &[]),
    ];
    Offline::new(vec![Vocabulary { path: "tags.product".into(), terms }])
}

fn spoken(title: &str, body: &str) -> Text {
    Text { title: title.into(), body: body.into(), origin: String::new() }
}

fn of<'a>(said: &'a [Suggestion], path: &str) -> Option<&'a Suggestion> {
    said.iter().find(|suggestion| suggestion.path == path)
}

fn body(text: &str) -> Vec<Suggestion> {
    offline().classify(&spoken("", text))
}

fn product(title: &str, body: &str, origin: &str) -> Option<String> {
    let text = Text { origin: origin.into(), ..spoken(title, body) };
    let said = offline().classify(&text);
    of(&said, "tags.product").map(|suggestion| suggestion.value.clone())
}

#[test]
fn plain_sentences_get_the_category_that_a_person_would_give() {
    let cases = [
        ("bug", "The import crashes with an error since the last update and nothing is saved."),
        ("bug", "L'application plante à chaque démarrage depuis la dernière mise à jour."),
        ("bug", "Saving a draft fails with error 500, the page does not work any more."),
        ("feature_request", "Please add an option to sort the list by date, it would be great."),
        ("feature_request", "Il faudrait pouvoir trier la liste par date, ce serait bien d'ajouter cette option."),
        ("praise", "Great product, we love it. Thank you!"),
        ("praise", "Application géniale, très bien faite, merci et bravo."),
        ("churn_signal", "We are cancelling our subscription and moving to a competitor."),
        ("churn_signal", "Nous résilions notre abonnement et passons chez un concurrent."),
        ("pain_point", "The approval process is tedious and confusing, with far too many steps."),
        ("general", "How can I change the language of the interface? Where do I find the setting?"),
        ("general", "Comment puis-je changer la langue ? Où se trouve le réglage ?"),
    ];
    for (category, text) in cases {
        let said = body(text);
        let verdict = of(&said, CATEGORY).expect("a category is always said");
        assert_eq!(verdict.value, category, "{text}: {verdict:?}");
        assert!((0.0..=1.0).contains(&verdict.confidence));
        assert!(verdict.because.is_some(), "{text}");
    }
}

#[test]
fn a_question_has_a_class_of_its_own_where_the_vocabulary_has_a_word_for_it() {
    let asks = spoken("", "How can I change the language of the interface? Where do I find the setting?");
    let category = |offline: &Offline| of(&offline.classify(&asks), CATEGORY).map(|said| said.value.clone());
    assert_eq!(category(&offline()).as_deref(), Some("general"));
    assert_eq!(category(&Offline::trained()).as_deref(), Some("question"));
    let words = |values: &[&str]| {
        vec![Vocabulary { path: CATEGORY.into(), terms: values.iter().map(|value| term(value, &[])).collect() }]
    };
    assert_eq!(category(&Offline::new(words(&["bug", "question", "general"]))).as_deref(), Some("question"));
    assert_eq!(category(&Offline::new(words(&["bug", "general"]))).as_deref(), Some("general"));
}

#[test]
fn the_product_model_speaks_of_configured_products_only_and_a_name_wins() {
    let product = |terms: Vec<Term>, text: &str| {
        let offline = Offline::new(vec![Vocabulary { path: PRODUCT.into(), terms }]);
        of(&offline.classify(&spoken("", text)), PRODUCT).map(|said| said.value.clone())
    };
    let ours =
        || vec![term("Codestral", &[]), term("Le Chat", &[]), term("Voxtral", &["dictation box"]), term("Robin", &[])];
    assert_eq!(product(ours(), "fill in the middle returns the suffix again").as_deref(), Some("Codestral"));
    assert_eq!(product(ours(), "Robin: fill in the middle returns the suffix").as_deref(), Some("Robin"));
    // Other people's products are not what was learned.
    assert_eq!(product(vec![term("Robin", &[]), term("API", &[])], "the mistral api returns 400"), Some("API".into()));
    assert_eq!(product(vec![term("Robin", &[]), term("Codestral", &[])], "fill in the middle is broken"), None);
    let trained = Offline::trained().classify(&spoken("", "Voxtral drops the first word of a transcription"));
    assert_eq!(of(&trained, PRODUCT).map(|said| said.value.as_str()), Some("voxtral"));
}

#[test]
fn a_form_is_a_sign_and_no_text() {
    let form = "**Describe the bug**\nThe list is empty.\n\n**Expected behavior**\n\n### Environment\n- OS: Linux\n- Version: 3.2\n\n\
        - [x] I have searched\n|a|b|\n<details>\nlots\n</details>\n   at run (main.js:1:2)\nType: <b>Feature Request</b>\n## What else\nand so on";
    let reading = Reading::of(&spoken("", form));
    let words: Vec<String> = reading.words().iter().map(|word| reading.folded(word).iter().collect()).collect();
    assert_eq!(words.join(" "), "the list is empty what else and so on");
    assert_eq!(reading.forms, [true, false, false]);
    assert!(reading.trace);
    assert_eq!(reading.label, Some(super::markdown::Label::Request));
}

#[test]
fn near_texts_have_near_vectors_and_similar_is_not_duplicate() {
    use super::duplicate::{Side, compare};
    use super::embed::{DIMS, cosine, embed};
    let vector = |text| embed(&spoken("", text));
    let (one, other) = (vector("The export fails with error 500"), vector("Export fails: error 500"));
    let length = one.iter().map(|value| value * value).sum::<f32>();
    assert!(one.len() == DIMS && (length - 1.0).abs() < 1e-4);
    assert!(cosine(&one, &other) > 0.6 && cosine(&one, &vector("Please add a dark theme")) < 0.3);
    assert!(vector("").iter().all(|value| *value == 0.0) && cosine(&one, &[1.0]) == 0.0);
    let side = |body| Side { body, ..Side::default() };
    let judged = compare(
        &side("CSV export stops at 10000 rows with ERR_LIMIT"),
        &side("ERR_LIMIT: the CSV export stops at row 10000"),
    );
    assert!(judged.duplicate, "{judged:?}");
    let a = Side { product: Some("Robin"), ..side("Please add a dark theme to the settings") };
    let judged = compare(&a, &Side { product: Some("Wren"), ..side("Please add a dark theme to the settings") });
    assert!(!judged.duplicate && judged.because.contains("Wren"), "{judged:?}");
    assert!(!compare(&side("Upload fails with 413"), &side("Upload fails with 401 since Monday")).duplicate);
    assert!(!compare(&side(""), &side("")).duplicate);
}

#[test]
fn an_outage_is_critical_and_a_typo_is_not() {
    let severity = |text| of(&body(text), SEVERITY).map(|suggestion| suggestion.value.clone());
    assert_eq!(
        severity("Production is down for all our users, every request fails since noon.").as_deref(),
        Some("critical")
    );
    assert_eq!(
        severity("Panne : tous nos utilisateurs sont bloqués, nous avons perdu des données.").as_deref(),
        Some("critical")
    );
    assert_eq!(severity("Small typo in the documentation of the colours.").as_deref(), Some("low"));
}

#[test]
fn the_reason_is_made_of_the_authors_own_words() {
    let said = body("Since Tuesday the Export crashes when I press the button.");
    let reason = of(&said, CATEGORY).and_then(|verdict| verdict.because.as_deref()).expect("it rests on something");
    assert!(reason.contains("\u{201c}crashes\u{201d}"), "{reason}");
}

#[test]
fn what_cannot_be_read_is_general_and_unsure() {
    for text in ["", "   \n", "?!", "这个产品每天都崩溃，请尽快修复", "Программа постоянно падает", "😀😀"]
    {
        let said = body(text);
        let verdict = of(&said, CATEGORY).expect("always said");
        assert_eq!(verdict.value, "general", "{text}");
        assert!(verdict.confidence <= 0.2, "{text}");
        assert_eq!(of(&said, SEVERITY), None, "{text}");
    }
}

#[test]
fn another_language_of_latin_script_is_believed_less() {
    let german =
        "Die Anwendung stürzt nach dem Start immer wieder mit einem Error ab, so können wir leider nicht arbeiten.";
    let said = body(german);
    assert_eq!(of(&said, "language").map(|suggestion| suggestion.value.as_str()), Some("de"));
    assert!(of(&said, CATEGORY).is_some_and(|verdict| verdict.confidence <= 0.6), "{said:?}");
}

#[test]
fn english_and_french_are_told_apart_and_little_is_said_of_a_word() {
    let language = |text| of(&body(text), "language").map(|suggestion| suggestion.value.clone());
    assert_eq!(language("The synchronisation with my calendar has been broken for a week.").as_deref(), Some("en"));
    assert_eq!(
        language("La synchronisation avec mon agenda ne marche plus depuis une semaine.").as_deref(),
        Some("fr")
    );
    assert!(of(&body("Ok"), "language").is_none_or(|suggestion| suggestion.confidence < 0.7));
}

#[test]
fn the_longest_name_wins_on_whole_words_whatever_the_case() {
    assert_eq!(product("", "The ACME desk does not start", "").as_deref(), Some("Acme Desk"));
    assert_eq!(product("", "Acme does not start", "").as_deref(), Some("Acme"));
    assert_eq!(product("", "Acmeish things", ""), None);
    assert_eq!(product("", "AcmeDesk支持请求", "").as_deref(), Some("Acme Desk"), "beside a script without spaces");
    assert_eq!(product("", "Rocket 3.2 fails", "").as_deref(), Some("Rocket 3.2"), "versions are told apart");
    assert_eq!(product("Acme", "and Desk app, desk app", "").as_deref(), Some("Acme"), "the title weighs more");
    assert_eq!(product("Acme", "Desk is nice", "").as_deref(), Some("Acme"), "no name reaches out of the title");
}

#[test]
fn an_ordinary_word_says_less_than_a_name_and_a_place_helps_where_nothing_is_named() {
    let confidence = |body| {
        let said = offline().classify(&spoken("", body));
        of(&said, "tags.product").map(|suggestion| suggestion.confidence)
    };
    assert!(confidence("uploads of a large file fail") < confidence("acme large fails"));
    assert_eq!(product("", "it fails", "https://code.example.com/example/desk/issues/7").as_deref(), Some("Acme Desk"));
    assert_eq!(product("", "it fails", "example/desktop"), None);
}

#[test]
fn reading_is_bounded_and_takes_head_and_tail() {
    let text = format!("alpha {} omega", "padding ".repeat(500_000));
    let reading = Reading::of(&spoken("", &text));
    assert!(reading.prose().len() < 9_000);
    let folded = |at: usize| reading.folded(&reading.words()[at]).iter().collect::<String>();
    assert_eq!((folded(0).as_str(), folded(reading.words().len() - 1).as_str()), ("alpha", "omega"));
    let wide = "é".repeat(100_000);
    assert_eq!(Reading::of(&spoken("", &wide)).words().len(), 2, "cuts fall between characters");
}

#[test]
fn code_links_and_comments_are_not_the_authors_prose() {
    let text = "Start <!-- describe\nthe bug --> middle https://example.com/path end\n```\nlet a\nlet b\nlet c\nError: bad\n```\nafter";
    let reading = Reading::of(&spoken("", text));
    let words: Vec<String> = reading.words().iter().map(|word| reading.folded(word).iter().collect()).collect();
    assert_eq!(words, ["start", "middle", "end", "error", "bad", "after"]);
    assert!(reading.code);
}

#[test]
fn the_longest_phrase_counts_and_consumes_its_words() {
    let names = |text| {
        let reading = Reading::of(&spoken("", text));
        cues::find(&reading).iter().map(|found| cues::name(found.cue)).collect::<Vec<_>>()
    };
    assert!(names("I had no error so far with it").contains(&"no_problem"));
    assert!(!names("I had no error so far with it").contains(&"failure"));
    assert!(names("Ça plantait").contains(&"failure"), "stems and accents");
}

#[test]
fn hashed_features_form_two_vectors_of_length_one() {
    let reading = Reading::of(&spoken("", "one small step, one giant leap"));
    let features = Features::of(&reading, &vec![1.0; HASHED]);
    let length = |from: usize, to: usize| {
        let inside = features.values.iter().filter(|(index, _)| (from..to).contains(index));
        inside.map(|(_, value)| value * value).sum::<f32>()
    };
    assert!((length(0, CHARS) - 1.0).abs() < 1e-4);
    assert!((length(CHARS, HASHED) - 1.0).abs() < 1e-4);
    assert!(features.values.iter().all(|(index, _)| *index < DIMS));
}

#[test]
fn the_embedded_weights_are_whole_small_and_of_this_build() {
    assert!(WEIGHTS.len() <= 2_000_000);
    let model = Model::parse(WEIGHTS).expect("committed with the code that reads them");
    assert!([CATEGORY, SEVERITY, PRODUCT].iter().all(|path| model.task(path).is_some()));
    let again = Model::parse(&model.encode()).expect("its own file");
    assert_eq!(again.tasks, model.tasks);
}

#[test]
fn damaged_weights_are_refused_with_the_reason() {
    assert_eq!(Model::parse(b"something else"), Err(ModelError::Foreign));
    assert_eq!(Model::parse(b"loopdlin"), Err(ModelError::Broken));
    assert_eq!(Model::parse(b"loopdlin\x09"), Err(ModelError::Version(9)));
    let mut flipped = WEIGHTS.to_vec();
    flipped[5_000] ^= 1;
    assert_eq!(Model::parse(&flipped), Err(ModelError::Sum));
    for end in (9..WEIGHTS.len()).step_by(97_701) {
        assert!(Model::parse(&WEIGHTS[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn the_curve_is_linear_between_its_knots_and_level_outside() {
    let curve = [(0.2, 0.1), (0.6, 0.5)];
    let at = |x| (interpolate(&curve, x) * 100.0).round();
    assert_eq!([at(0.0), at(0.2), at(0.4), at(0.6), at(1.0)], [10.0, 10.0, 30.0, 50.0, 50.0]);
}

#[test]
fn the_same_text_gets_the_same_suggestions() {
    let text = "Could you add dark mode? The bright page hurts, and sometimes it crashes.";
    assert_eq!(body(text), body(text));
}

#[derive(Deserialize)]
struct Issue {
    title: String,
    summary: String,
    category: String,
}

#[derive(Deserialize)]
struct Review {
    problem_report: u8,
    feature_request: u8,
    text: String,
}

fn lines<T: for<'a> Deserialize<'a>>(file: &str) -> Option<Vec<T>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: there is no {file} in the folder of development data");
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).expect("labelled as its readme says")).collect())
}

/// The weights have seen these texts: this guards against a file that does not fit the code, not against overfitting. The
/// held-out figures are in `weights/REPORT.md`.
#[test]
fn the_shipped_weights_hold_their_floor_on_the_development_sets() {
    let offline = offline();
    let judge = |title: &str, body: &str| {
        let said = offline.classify(&spoken(title, body));
        of(&said, CATEGORY).map(|verdict| (verdict.value.clone(), verdict.confidence)).expect("always said")
    };
    let check = |name: &str, verdicts: &[(String, String, f64)], classes: &[&str], floor: f64| {
        let count = |of: &dyn Fn(&(String, String, f64)) -> bool| {
            verdicts.iter().filter(|verdict| of(verdict)).map(|_| 1.0).sum::<f64>()
        };
        let f1 = |class: &&str| {
            2.0 * count(&|v| v.0 == *class && v.1 == *class) / (count(&|v| v.0 == *class) + count(&|v| v.1 == *class))
        };
        let macro_f1 = classes.iter().map(f1).sum::<f64>() / classes.iter().map(|_| 1.0).sum::<f64>();
        let mean = verdicts.iter().map(|verdict| verdict.2).sum::<f64>() / count(&|_| true);
        let right = count(&|v| v.0 == v.1) / count(&|_| true);
        println!("{name}: macro-F1 {macro_f1:.3}, right {right:.3}, mean confidence {mean:.3}");
        assert!(macro_f1 >= floor, "{name}: macro-F1 {macro_f1:.3} is below {floor}");
        assert!(mean - right <= 0.05, "{name}: it claims {mean:.3} and is right in {right:.3}");
    };
    if let Some(issues) = lines::<Issue>("mistral_issues/issues.ndjson") {
        let of = |issue: &Issue| {
            let truth = if issue.category == "question" { "general" } else { &issue.category };
            let (said, confidence) = judge(&issue.title, &issue.summary);
            (truth.to_owned(), said, confidence)
        };
        let verdicts: Vec<_> = issues.iter().map(of).collect();
        check("issues", &verdicts, &["bug", "feature_request", "general"], 0.85);
    }
    if let Some(reviews) = lines::<Review>("reviews/reviews.ndjson") {
        let of = |review: &Review| {
            let truth = match (review.problem_report, review.feature_request) {
                (1, 0) => "problem",
                (0, 1) => "request",
                (0, 0) => "other",
                _ => return None,
            };
            let (said, confidence) = judge("", &review.text);
            let said = match said.as_str() {
                "bug" | "pain_point" | "churn_signal" => "problem",
                "feature_request" => "request",
                _ => "other",
            };
            Some((truth.to_owned(), said.to_owned(), confidence))
        };
        let verdicts: Vec<_> = reviews.iter().filter_map(of).collect();
        check("reviews", &verdicts, &["problem", "request", "other"], 0.80);
    }
}
