//! Invented rows; no file outside is needed.

use futures::executor::block_on;

use super::rows::Problem;
use super::score::auc;
use super::{Offline, Options, Report, Task, read, run};

fn options(map: &[(&str, &str)], only: &[&str]) -> Options {
    Options {
        map: map.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect(),
        only: only.iter().map(|&label| label.to_owned()).collect(),
        ..Options::default()
    }
}

fn report(file: &str, options: &Options) -> Result<Report, String> {
    let rows = read(file, options).map_err(|problem| problem.to_string())?;
    block_on(run(&Offline::new(Vec::new()), rows, options, 5, &|| ()))
}

fn wrong(file: &str, options: &Options) -> Problem {
    read(file, options).expect_err("it is wrong")
}

const ISSUES: &str = "\u{feff}{\"title\": \"Export crashes\", \"body\": \"It crashes with an error since the update.\", \"category\": \"Bug Report\", \"severity\": \"p1\", \"more\": [1]}

{\"title\": \"Add dark mode\", \"summary\": \"Please add an option for a dark theme.\", \"category\": \"enhancement\", \"lang\": \"en-GB\"}
{\"text\": \"How can I change the language? Where is the setting?\", \"category\": \"help\"}
{\"text\": \"Great, I love it. Thank you!\", \"category\": \"praise\"}
";

#[test]
fn labels_are_brought_to_one_spelling_and_that_is_told() {
    let report = report(ISSUES, &Options::default()).expect("rows with gold");
    let score = &report.tasks["category"];
    assert_eq!((score.n, score.accuracy, score.macro_f1, score.kappa), (4, 1.0, 1.0, 1.0));
    assert!(report.notes.iter().any(|note| note == "enhancement is read as feature_request"), "{:?}", report.notes);
    assert_eq!((report.tasks["severity"].n, report.tasks["lang"].n), (1, 1));
    assert_eq!(report.cost, super::Cost::default());
}

#[test]
fn only_restricts_rows_and_answers() {
    let report = report(ISSUES, &options(&[], &["bug", "feature"])).expect("two rows");
    let score = &report.tasks["category"];
    assert_eq!(score.n, 2);
    assert!(score.classes.iter().all(|class| ["bug", "feature_request"].contains(&class.name.as_str())));
    assert!(report.notes.iter().any(|note| note.starts_with("2 rows have other labels")), "{:?}", report.notes);
    assert!(self::report(ISSUES, &options(&[], &["nonsense"])).is_err_and(|why| why.contains("they are bug")));
}

#[test]
fn a_mapped_field_may_be_named_either_way_round() {
    let file = "{\"text\": \"It crashes with an error.\", \"kind\": \"bug\"}";
    for map in [("category", "kind"), ("kind", "category")] {
        let report = report(file, &options(&[map], &[])).expect("gold in kind");
        assert_eq!(report.tasks["category"].n, 1);
        assert!(report.notes.iter().any(|note| note == "category is taken from the field kind"));
    }
    let problem = wrong(file, &options(&[("category", "colour")], &[]));
    assert!(problem.why.contains("the fields are kind, text"), "{problem}");
    assert!(self::report(file, &Options::default()).is_err_and(|why| why.contains("--map category:FIELD")));
}

#[test]
fn reviews_are_counted_by_their_own_labels() {
    let file = "{\"text\": \"It crashes since the update, error each time\", \"problem_report\": 1, \"feature_request\": 0, \"irrelevant\": 0}
{\"text\": \"Great app, love it\", \"problem_report\": 0, \"feature_request\": 0, \"irrelevant\": 1}
{\"text\": \"nothing\", \"problem_report\": 0, \"feature_request\": 0, \"irrelevant\": 0}
{\"text\": \"Crashes, and please add a dark mode\", \"problem_report\": 1, \"feature_request\": 1, \"irrelevant\": 0}";
    let report = report(file, &Options::default()).expect("three rows with gold");
    let score = &report.tasks["category"];
    assert_eq!((score.n, score.accuracy), (3, 1.0), "{score:?}");
    assert!(score.confusion.contains_key("bug+feature_request"));
    assert!(report.notes.iter().any(|note| note.contains("no praise: it counts as general")), "{:?}", report.notes);
}

#[test]
fn a_mistake_names_its_line_and_mend() {
    let none = Options::default();
    let cases = [
        ("", None, "no rows"),
        ("{\"text\": \"a\"}\n{", Some(2), "one object a line"),
        ("[{}]", Some(1), "jq -c"),
        ("7", Some(1), "no JSON object"),
        ("\n{\"category\": \"bug\"}", Some(2), "--map text:FIELD"),
        ("{\"text\": \"a\", \"category\": {}}", Some(1), "category: a text"),
        ("{\"a_text\": \"a\", \"label\": 1}", Some(1), "b_text"),
        ("{\"a_text\": \"a\", \"b_text\": \"b\"}", Some(1), "without a label"),
    ];
    for (file, line, words) in cases {
        let problem = wrong(file, &none);
        assert_eq!(problem.line, line, "{file}");
        assert!(problem.why.contains(words), "{file}: {problem}");
    }
}

#[test]
fn pairs_tell_retrieval_and_verdict_apart() {
    let file = "{\"a_text\": \"CSV export stops at 10000 rows, ERR_LIMIT\", \"b_text\": \"ERR_LIMIT: CSV export stops at row 10000\", \"label\": true}
{\"a_text\": \"Please add a dark theme\", \"b_text\": \"Login fails with 401\", \"label\": \"hard_negative\"}";
    let pairs = report(file, &Options::default()).expect("two pairs").pairs.expect("pairs");
    assert_eq!((pairs.duplicates, pairs.others, pairs.texts), (1, 1, 4));
    assert_eq!((pairs.top5_recall, pairs.auc_hard, pairs.score.accuracy), (1.0, 1.0, 1.0));
}

#[test]
fn nearest_finds_what_has_the_same_label() {
    let file = "{\"text\": \"Where is my card? It has not arrived\", \"label\": \"arrival\"}
{\"text\": \"My card has not arrived yet\", \"label\": \"arrival\"}
{\"text\": \"The exchange rate is wrong\", \"label\": \"rate\"}";
    let report = report(file, &Options::default()).expect("labels");
    let nearest = report.nearest.expect("intents");
    assert_eq!((nearest.n, nearest.labels, nearest.sought, nearest.top1), (3, 2, 2, 1.0));
    let only = Options { tasks: vec![Task::Category], ..Options::default() };
    assert!(self::report(file, &only).is_err_and(|why| why.contains("no row has gold for category")));
}

#[test]
fn the_area_counts_ties_as_half() {
    assert_eq!(auc(&[2.0, 3.0], &[1.0]), 1.0);
    assert_eq!(auc(&[1.0], &[1.0]), 0.5);
    assert_eq!(auc(&[0.0, 2.0], &[1.0]), 0.5);
    assert_eq!(auc(&[], &[1.0]), 0.5);
}
