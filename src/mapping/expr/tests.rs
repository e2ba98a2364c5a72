//! That expressions say what jq says, that nothing dangerous is let in, and that every evaluation ends.

use std::time::Duration;

use connectors::Clock;
use connectors::clock::SystemClock;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn place() -> Place {
    Place { file: "test.toml".into(), line: 3, column: 9, field: "fields.x".into() }
}

fn compiled(text: &str) -> Expression {
    match Expression::compile(text, place()) {
        Ok(expression) => expression,
        Err(refused) => panic!("{text}: {refused:?}"),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "so that a test may write json!(…) in place")]
fn run(text: &str, input: Value) -> Result<Value, MapError> {
    compiled(text).eval(&Input::new(&input))
}

fn refused(text: &str) -> Refused {
    Expression::compile(text, place()).err().unwrap_or_else(|| panic!("{text} was let in"))
}

#[test]
fn the_filters_that_mappings_need_work() {
    let record = json!({
        "name": "Ada", "n": 12, "list": [3, 1, 2], "text": "a,b,c", "none": null, "yes": true,
        "tags": [{"name": "Bug", "w": 2}, {"name": "P1", "w": 1}], "html": "<p>One <b>two</b></p><p>three</p>",
    });
    for (text, expected) in [
        (".name", json!("Ada")),
        (".missing.deeper", json!(null)),
        ("\"support\"", json!("support")),
        ("12.5", json!(12.5)),
        (".n * 12", json!(144)),
        (".n - 2 + 1", json!(11)),
        (".n / 4 | floor", json!(3)),
        ("[1, 2, 3, 2] - [2]", json!([1, 3])),
        (".list | sort | join(\"-\")", json!("1-2-3")),
        (".list | add", json!(6)),
        ("[.tags[].name | ascii_downcase] | any(. == \"bug\")", json!(true)),
        (".tags | map(.w) | max", json!(2)),
        (".tags | sort_by(.w) | first | .name", json!("P1")),
        ("[.tags[] | select(.w > 1) | .name]", json!(["Bug"])),
        ("first(.tags[] | select(.w > 5) | .name) // \"none\"", json!("none")),
        (".text | split(\",\") | length", json!(3)),
        (".text | test(\"^a,\")", json!(true)),
        (".text | sub(\",\"; \" \")", json!("a b,c")),
        (".text | gsub(\"[,]\"; \"\")", json!("abc")),
        (".text | capture(\"(?<first>[a-z]),\") | .first", json!("a")),
        ("[.text | scan(\"[a-z]\")]", json!(["a", "b", "c"])),
        (".text[2:3]", json!("b")),
        (".list[-1]", json!(2)),
        ("if .yes then \"y\" else \"n\" end", json!("y")),
        (".none // .name", json!("Ada")),
        ("(.name | tonumber)? // 7", json!(7)),
        ("\"5.5\" | tonumber", json!(5.5)),
        (".n | tostring", json!("12")),
        ("\"\\(.name) is \\(.n)\"", json!("Ada is 12")),
        ("{name, double: (.n * 2)}", json!({"name": "Ada", "double": 24})),
        (".tags | map({(.name): .w}) | add", json!({"Bug": 2, "P1": 1})),
        ("{a: 1} | to_entries | map(.key) | join(\"\")", json!("a")),
        (".tags | with_entries(.value |= .w)? // null", json!(null)),
        (".name as $n | .tags | map(.name + $n)", json!(["BugAda", "P1Ada"])),
        (".html | html_to_text", json!("One two\n\nthree")),
        ("\"a < b and c > d\" | html_to_text", json!("a < b and c > d")),
        ("\"x@sub.Example.com\" | domain", json!("sub.example.com")),
        ("\"https://www.example.com/a?b\" | domain", json!("example.com")),
        ("\"nothing\" | domain", json!(null)),
        ("1767348000 | from_epoch", json!("2026-01-02T10:00:00Z")),
        ("1767348000123 | from_epoch", json!("2026-01-02T10:00:00.123Z")),
        ("\"1767348000\" | from_epoch | date", json!("2026-01-02")),
        (".none | from_epoch", json!(null)),
        ("\"one two three\" | truncate(9)", json!("one two…")),
        ("[.tags[] | .name] | unique | length", json!(2)),
        (".tags | group_by(.w) | map(length)", json!([1, 1])),
        (".list | contains([3])", json!(true)),
        (".text | contains(\"b,\")", json!(true)),
        (".list | index(2)", json!(2)),
        ("empty", json!(null)),
        (".tags | all(.w > 0) and (isempty(.[]) | not)", json!(true)),
        ("[limit(2; .list[])]", json!([3, 1])),
        (".none | not", json!(true)),
        ("\"a b\" | @uri", json!("a%20b")),
        ("[.tags[] as {name: $n} | $n]", json!(["Bug", "P1"])),
    ] {
        if text.contains("|=") {
            assert!(refused(text).what.contains("assign"), "{text}");
            continue;
        }
        match run(text, record.clone()) {
            Ok(value) => assert_eq!(value, expected, "{text}"),
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

#[test]
fn what_could_loop_look_outside_or_end_the_program_is_refused_by_name() {
    for (text, named) in [
        ("def f: f; f", "def"),
        ("[range(1e12)]", "range"),
        ("[range(0; 10; 0)]", "range"),
        ("repeat(1)", "repeat"),
        ("[.] | until(false; .)", "until"),
        ("while(true; .)", "while"),
        ("recurse(.)", "recurse"),
        ("recurse", "recurse"),
        ("..", "`..`"),
        ("[..]", "`..`"),
        ("reduce .[] as $x (0; . + $x)", "reduce"),
        ("foreach .[] as $x (0; . + $x)", "foreach"),
        ("label $out | break $out", "label"),
        ("env", "env"),
        ("$ENV", "$ENV"),
        ("$ENV.PATH", "$ENV"),
        ("env.HOME", "env"),
        ("input", "input"),
        ("[inputs]", "inputs"),
        ("input_filename", "input_filename"),
        ("halt", "halt"),
        ("halt_error(\"x\")", "halt_error"),
        ("debug", "debug"),
        ("stderr", "stderr"),
        ("now", "now"),
        (".a = 1", "assign"),
        (".[1e9] = 1", "assign"),
        (".a |= 2", "assign"),
        (".a += 2", "assign"),
        (".a //= 2", "assign"),
        ("del(.a)", "del"),
        ("setpath([\"a\"]; 1)", "setpath"),
        ("map_values(1)", "map_values"),
        ("walk(.)", "walk"),
        ("paths", "paths"),
        ("fromjson", "fromjson"),
        ("combinations", "combinations"),
        ("transpose", "transpose"),
        ("explode", "explode"),
        ("pow(10; 9)", "pow"),
        ("loopd_made", "loopd_made"),
        ("loopd_main", "loopd_main"),
        ("matches(\"a\"; \"\")", "matches"),
        ("include \"x\"; .", "expected here"),
        ("import \"x\" as x; .", "expected here"),
        ("@base64d", "@base64d"),
        ("@sh \"\\(.)\"", "@sh"),
        ("x::y", "x::y"),
    ] {
        let refused = refused(text);
        assert!(refused.what.contains(named), "{text}: {}", refused.what);
        assert!(!refused.mend.is_empty());
    }
}

#[test]
fn a_refusal_points_at_the_culprit_and_names_the_likely_word() {
    let refusal = refused("[.a | ascii_downcas]");
    assert_eq!(&"[.a | ascii_downcas]"[refusal.at.clone()], "ascii_downcas");
    assert_eq!(refusal.mend, "did you mean `ascii_downcase`?");
    let refusal = refused(".a | split(1; 2; 3)");
    assert!(refusal.what.contains("takes 1 or 2 arguments, here are 3"), "{}", refusal.what);
    let refusal = refused(".a + $b");
    assert_eq!((&".a + $b"[refusal.at.clone()], refusal.what.as_str()), ("$b", "there is no variable `$b`"));
    let refusal = refused(".a | if . then 1");
    assert!(refusal.what.contains("expected here"), "{}", refusal.what);
    assert!(refused(".a[").what.contains("not jq"));
    assert!(refused("").what.contains("expected"));
}

#[test]
fn errors_tell_types_and_never_text() {
    let secret = json!({"a": "the customer's secret words", "b": {"secret": 1}, "c": ["secret"]});
    for text in [
        ".a.b",
        ".a[0]",
        ".c.x",
        ".a | keys",
        ".b + .c",
        ".a - 1",
        ".a * 3",
        ".a | tonumber",
        "error(.a)",
        ".a | error",
        ".b | html_to_text",
        ".a | from_epoch",
        ".c | join(1)",
        ".a | .[]",
        ".b | test(\"x\")",
        "{(.b): 1}",
    ] {
        let error = run(text, secret.clone()).expect_err(text).to_string();
        assert!(!error.contains("secret words") && !error.contains("secret\""), "{text}: {error}");
        assert!(error.starts_with("test.toml:3:9: fields.x: "), "{error}");
    }
    assert!(run(".a.b", secret.clone()).expect_err("a text").what.contains("a text"));
    assert_eq!(run("error(\"no company\")", secret).expect_err("asked for").what, "no company");
}

#[test]
fn one_value_is_one_value() {
    assert!(run(".[]", json!([1, 2])).expect_err("two").what.contains("several values"));
    assert_eq!(run(".[]", json!([1])), Ok(json!(1)));
    assert_eq!(run(".[]", json!([])), Ok(json!(null)));
}

/// Expressions that try to never end, or to fill the memory, over records made for it.
#[test]
fn nasty_expressions_end() {
    let wide: Vec<u32> = (0..100_000).collect();
    let long = "a".repeat(300_000);
    let record = json!({"wide": wide, "long": long, "texts": vec!["ab"; 50_000], "n": 1_000_000_000_i64});
    let double = |times: usize| format!("\"ab\" | {}", vec![". + ."; times].join(" | "));
    let nest = |times: usize| format!("[.] {}", "| [.[], .[]] ".repeat(times));
    let nasty = [
        "[.wide[] as $a | .wide[] as $b | $a + $b]".to_owned(),
        "[.wide[] as $a | .wide[] as $b | select(false)]".into(),
        "[.wide[] as $a | .wide[] as $b | empty]".into(),
        "[.wide[] as $a | .wide[] as $b | .wide[] as $c | select($a == $b)] | length".into(),
        "[.wide as $w | .wide[] | $w == $w]".into(),
        "[. as $r | .wide[] | $r | tostring] | length".into(),
        "[.wide as $w | .wide[] | $w | sort] | length".into(),
        "[.wide as $w | .wide[] | $w | length] | length".into(),
        "[.long as $w | .wide[] | $w | ascii_upcase] | length".into(),
        "[.long as $w | .wide[] | $w | length] | length".into(),
        "[.long as $w | .wide[] | $w[100000:]] | length".into(),
        "[.wide as $w | .wide[] | $w | map(.)] | length".into(),
        "[.wide as $w | .wide[] | $w - $w] | length".into(),
        "[.wide as $w | .wide[] | $w | contains($w)] | length".into(),
        "[.wide as $w | .wide[] | $w | index($w)] | length".into(),
        ".wide | contains(.)".into(),
        ".texts - [.texts[] | . + \"c\"]".into(),
        ".long | contains(.)".into(),
        ".long as $l | $l | index($l[1:] + \"b\")".into(),
        ".long | test(\"(a+)+$b\")".into(),
        ".long | test(\"(a|a|a|a|aa)*b\")".into(),
        ".long | test(\"(((a{1,100}){1,100}){1,100}){1,100}b\")".into(),
        ".long | test(\".*.*.*.*.*.*.*.*.*=x\")".into(),
        ".long | test(.long)".into(),
        "[.long | scan(\"a\")] | length".into(),
        ".long | gsub(\"a\"; \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\")".into(),
        ".long | gsub(\"\"; \"x\")".into(),
        ".long | split(\"\") | map(. + .) | add".into(),
        ".long / \"\" | length".into(),
        ".long * .n".into(),
        "\"x\" * 1000000000".into(),
        ".n * \"x\"".into(),
        "[limit(1000000000; .wide[], .wide[])] | length".into(),
        "[skip(1000000000; .wide[])]".into(),
        "[.texts[] | .[:1000000000]] | add".into(),
        ".texts | join(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\")".into(),
        ".texts | combinations".into(),
        ".[1e9]?".into(),
        ".wide[1e18]".into(),
        ".wide[-1e18:1e18] | length".into(),
        double(30),
        double(45),
        nest(30),
        nest(45),
        format!("9 {}", "| . * . ".repeat(40)),
        format!("{}1", "(.wide[], ".repeat(20)) + &")".repeat(20),
        format!("[{}1{}]", "first(".repeat(60), ")".repeat(60)),
        "(".repeat(2000) + "1" + &")".repeat(2000),
        "[".repeat(2000) + &"]".repeat(2000),
        "-".repeat(4000) + "1",
        "try ".repeat(1000) + "1",
        "if ".repeat(1300),
        "1 as $x | ".repeat(400) + "1",
        "1|".repeat(2000) + "1",
        "1+".repeat(2000) + "1",
        ".a".repeat(2000),
        ".[0]".repeat(1000),
        "{a:".repeat(1000) + "1" + &"}".repeat(1000),
        "\"\\(".repeat(1000) + "1" + &")\"".repeat(1000),
        "9".repeat(4000),
        "x".repeat(5000),
    ];
    for text in nasty {
        let watch = SystemClock::new();
        let outcome =
            Expression::compile(&text, place()).map(|expression| expression.eval(&Input::new(&record)).is_ok());
        let took = watch.monotonic();
        let shown: String = text.chars().take(60).collect();
        // A guard against what does not end, and no measure: a debug build on a busy machine takes its time.
        assert!(took < Duration::from_secs(300), "{shown} took {took:?} ({outcome:?})");
    }
}

#[test]
fn a_spent_allowance_cannot_be_caught() {
    let record = json!((0..3_000).collect::<Vec<u32>>());
    for text in [
        "[.[] as $a | .[] as $b | $a]? // \"caught\"",
        "try [.[] as $a | .[] as $b | $a] catch \"caught\"",
        "[(.[] as $a | .[] as $b | $a)?] | length",
        "first([.[] as $a | .[] as $b | $a] | length) // 1",
    ] {
        let error = run(text, record.clone()).expect_err(text);
        assert!(error.what.contains("too much work") || error.what.contains("too large"), "{text}: {}", error.what);
    }
}

#[test]
fn long_texts_are_cut_visibly_on_both_ways() {
    let record = json!({"t": "é".repeat(400_000)});
    for text in [".t", ".t | .", "(.t)"] {
        let value = run(text, record.clone()).expect("a cut text");
        let value = value.as_str().expect("a text");
        assert!(value.len() < 300_000 && value.ends_with("[cut by loopd: the first 262144 of 800000 bytes]"), "{text}");
    }
}

#[test]
fn deep_html_ends() {
    for html in [
        format!("{}x", "<div>".repeat(40_000)),
        format!("{}x", "<b><table><tr><td>".repeat(9_000)),
        "<p>a".repeat(60_000),
    ] {
        let watch = SystemClock::new();
        let _ = run(".h | html_to_text", json!({"h": html}));
        assert!(watch.monotonic() < Duration::from_secs(20), "{:?}", watch.monotonic());
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e6..1e6_f64).prop_map(Value::from),
        "[a-c ]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn path_text() -> impl Strategy<Value = String> {
    let step = prop_oneof![
        "[a-c]".prop_map(|key| format!(".{key}")),
        "[a-c]".prop_map(|key| format!(".\"{key}\"")),
        "[a-c]".prop_map(|key| format!("[\"{key}\"]")),
        (-4..4_i64).prop_map(|at| format!("[{at}]")),
    ];
    prop::collection::vec(step, 1..4).prop_map(|steps| {
        let text = steps.concat();
        if text.starts_with('.') { text } else { format!(".{text}") }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_native_accessor_agrees_with_jaq(text in path_text(), value in json_value()) {
        let native = path::parse(&text).expect("a plain path");
        let native = path::get(&value, &native);
        let jaq = jq::compile(&text).expect("jq").run(value::to_val(&value), &text).map(Option::unwrap_or_default);
        prop_assert_eq!(native.is_ok(), jaq.is_ok(), "{} on {}: {:?} and {:?}", text, value, native, jaq);
        if let (Ok(native), Ok(jaq)) = (native, jaq) {
            prop_assert_eq!(native, jaq, "{} on {}", text, value);
        }
    }

    #[test]
    fn values_survive_the_way_through_jaq(value in json_value()) {
        prop_assert_eq!(value::from_val(&value::to_val(&value)), Ok(value));
    }

    /// Whatever is typed, reading it ends, without a panic.
    #[test]
    fn any_text_is_read_or_refused(text in "[-.a-c\\[\\](){}|,;:?$\"\\\\/*+=<>@0-9 ]{0,40}", value in json_value()) {
        if let Ok(expression) = Expression::compile(&text, place()) {
            let _ = expression.eval(&Input::new(&value));
        }
    }

    #[test]
    fn any_combination_of_words_ends(
        words in prop::collection::vec(prop::sample::select(vec![
            ".", ".[]", ".a", ".[0]", ".[1:]", "map(.)", "[.[]?]", "add", "sort", "length", "tostring", "split(\"a\")", "join(\"\")", "first(.[]?)",
            "(., .)", "[., .]", "{a: .}", "flatten", "unique", "reverse", "group_by(.)", "to_entries", "test(\"a*\")", "gsub(\"a\"; \"aa\")", "tojson", "keys",
        ]), 1..8),
        value in json_value(),
    ) {
        let text = words.join(" | ");
        if let Ok(expression) = Expression::compile(&text, place()) {
            let _ = expression.eval(&Input::new(&value));
        }
    }
}
