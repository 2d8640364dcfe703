//! Rules as a whole: what they give, what is refused and where. `tests/it/promql.rs` asks a real Prometheus.

use super::*;
use crate::series::Labels;
use proptest::prelude::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().copied()).unwrap()
}

/// A few queues and their workers.
fn snapshot() -> Snapshot {
    let series = |name: &str, pairs: &[(&str, &str)], value: f64| {
        let name = [(METRIC_NAME, name)];
        let all = pairs.iter().chain(&name).copied();
        (Labels::new(all).unwrap(), value)
    };
    Snapshot::of(
        1_700_000_000_000,
        [
            series("depth", &[("queue", "mail"), ("zone", "a")], 1_200.0),
            series("depth", &[("queue", "mail"), ("zone", "b")], 300.0),
            series("depth", &[("queue", "pay"), ("zone", "a")], f64::NAN),
            series("growth", &[("queue", "mail")], 60.0),
            series("growth", &[("queue", "pay")], -5.0),
            series("workers", &[], 7.0),
        ],
    )
}

fn evaluate(text: &str) -> Result<Value, EvaluationError> {
    let expression = Expression::parse(text).unwrap();
    expression.evaluate(1_700_000_000_500, &snapshot())
}

/// `expected`: the elements as texts, sorted.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let mut found: Vec<String> = match evaluate(text).unwrap() {
        Value::Scalar(number) => vec![number.to_string()],
        Value::Vector(elements) => elements.iter().map(Element::to_string).collect(),
    };
    found.sort();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn the_rule_of_the_manual_holds() {
    let text = "depth > 1000 and on(queue) growth > 50";
    check(text, &[r#"depth{queue="mail", zone="a"} 1200"#]);
    assert!(evaluate(text).unwrap().holds());
    assert!(!evaluate("depth > 5000").unwrap().holds());
    assert!(evaluate("scalar(workers) > bool 6").unwrap().holds());
    assert!(
        !evaluate("scalar(absent(workers)) > bool 6")
            .unwrap()
            .holds()
    );
}

#[test]
fn values_are_those_of_the_language() {
    check("-2 ^ 2", &["-4"]);
    check("2 ^ 3 ^ 2", &["512"]);
    check("-7 % 3", &["-1"]);
    check("1 + 2 * 3 - 4", &["3"]);
    check(
        "sum(depth{zone=\"a\",queue=\"mail\"}) by (queue)",
        &[r#"{queue="mail"} 1200"#],
    );
    check("max(depth)", &["{} 1200"]);
    check(
        "sum without (zone) (depth{queue!=\"pay\"})",
        &[r#"{queue="mail"} 1500"#],
    );
    check(
        "depth{queue=\"mail\"} / on(queue) group_left growth",
        &[
            r#"{queue="mail", zone="a"} 20"#,
            r#"{queue="mail", zone="b"} 5"#,
        ],
    );
    check("topk(1, depth)", &[r#"depth{queue="mail", zone="a"} 1200"#]);
    check("absent(nothing{a=\"b\", c=~\"d\"})", &[r#"{a="b"} 1"#]);
    check("timestamp(workers)", &["{} 1700000000"]);
    check("timestamp(workers + 0)", &["{} 1700000000.5"]);
    check("time()", &["1700000000.5"]);
    check(
        "label_replace(workers, \"kind\", \"$1-${1}x$$\", \"__name__\", \"work(.*)\")",
        &[r#"workers{kind="ers-ersx$"} 7"#],
    );
}

#[test]
fn either_group_of_conditions_selects() {
    check(
        "{__name__=\"workers\" or queue=\"pay\", zone=\"a\"}",
        &[r#"depth{queue="pay", zone="a"} NaN"#, "workers 7"],
    );
    check(
        "growth{queue=\"x\" or queue=~\"m.*\"}",
        &[r#"growth{queue="mail"} 60"#],
    );
}

#[test]
fn what_is_ambiguous_is_an_error() {
    let error = evaluate("growth / on(queue) depth").unwrap_err();
    assert_eq!(error.at, 7);
    assert!(
        error
            .message
            .contains("found duplicate series for the match group {queue=\"mail\"} on the right"),
        "{error}"
    );
    let error = evaluate("depth / on(queue) growth").unwrap_err();
    assert!(error.message.contains("must be explicit"), "{error}");
    let error = evaluate("label_replace(depth, \"zone\", \"\", \"zone\", \".*\")").unwrap_err();
    assert!(error.message.contains("same labelset"), "{error}");
}

#[test]
fn work_is_bounded() {
    let series = (0..1_000).map(|index| {
        (
            labels(&[(METRIC_NAME, "x"), ("i", &index.to_string())]),
            1.0,
        )
    });
    let snapshot = Snapshot::of(0, series);
    let many = vec!["x"; 250].join(" or ");
    let error = Expression::parse(&many)
        .unwrap()
        .evaluate(0, &snapshot)
        .is_err();
    assert!(
        !error,
        "250 reads of 1,000 series and as many operations are allowed"
    );
    let more = format!("count({many}) > count({many}) + count({many})");
    let error = Expression::parse(&more)
        .unwrap()
        .evaluate(0, &snapshot)
        .unwrap_err();
    assert!(error.message.contains("record a part"), "{error}");
}

#[test]
fn says_what_is_read() {
    let rule = Expression::parse(
        "b > 1 and on() {__name__=\"a\"} or b{x=\"y\"} or {q=\"r\", __name__!~\"z.*\"}",
    )
    .unwrap();
    let names = rule.selectors().iter().map(|one| one.matchers.name());
    let names: Vec<Option<&str>> = names.collect();
    assert_eq!(names, [Some("b"), Some("a"), Some("b"), None]);
    let places: Vec<usize> = rule
        .selectors()
        .iter()
        .map(|selector| selector.at)
        .collect();
    assert_eq!(places, [0, 15, 33, 45]);
    let last = &rule.selectors()[3].matchers;
    assert!(last.may_match("depth") && !last.may_match("zebra"));
    let among = |name: &str, q: &str| last.may_match_with(name, &[("p", "x"), ("q", q)]);
    assert!(among("depth", "r") && !among("depth", "s") && !among("zebra", "r"));
}

#[test]
fn knows_what_is_a_condition() {
    for text in ["x", "x > 1", "1 > bool 2", "(time() > bool 2)"] {
        assert!(Expression::parse_condition(text).is_ok(), "{text}");
    }
    let refusal = Expression::parse_condition(" 1 + 2").unwrap_err();
    assert_eq!(refusal.at, Some(3));
    assert!(Expression::parse_condition("time()").is_err());
    let caution = |text: &str| Expression::parse(text).unwrap().caution();
    assert_eq!(caution("x > bool 1").unwrap().at, Some(2));
    assert_eq!(caution("x > 1"), None);
    assert_eq!(caution("1 > bool 2"), None);
}

/// Words that make many sentences of the language.
const WORDS: &[&str] = &[
    "depth",
    "growth",
    "workers",
    "1",
    "-",
    "+",
    "(",
    ")",
    "*",
    "^",
    ">",
    "== bool",
    "and",
    "or",
    "unless",
    "on(queue)",
    "ignoring(zone)",
    "group_left",
    "group_left(zone)",
    "sum",
    "by(queue)",
    "without(zone)",
    "abs(",
    "{queue=\"mail\"}",
    "topk(1,",
    "vector(",
    "scalar(",
    "time()",
    "offset 5m",
    "[5m]",
    "@ 3",
    "1e-3",
    "# c\n",
    "atan2",
];

/// Series that are sound by their types, and mostly there.
fn vector() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "depth",
        "growth",
        "workers",
        "depth{queue=\"mail\"}",
        "{zone=\"a\"}",
        "absent(nothing)",
        "vector(3)",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(4, 16, 2, |inner| {
            let operators = [
                "and",
                "or",
                "unless",
                ">",
                "+",
                "* on(queue)",
                "or on(queue)",
            ];
            let one = [
                "abs",
                "-",
                "sum by (queue) ",
                "max without (zone) ",
                "sort",
                "1 + ",
                "7 > ",
            ];
            prop_oneof![
                (
                    inner.clone(),
                    prop::sample::select(operators.to_vec()),
                    inner.clone()
                )
                    .prop_map(|(left, operator, right)| format!("({left}) {operator} ({right})")),
                (prop::sample::select(one.to_vec()), inner)
                    .prop_map(|(one, inner)| format!("{one}({inner})")),
            ]
        })
}

fn elements(text: &str) -> Option<Vec<String>> {
    let Ok(Value::Vector(found)) = evaluate(text) else {
        return None;
    };
    let mut all: Vec<String> = found.iter().map(Element::to_string).collect();
    all.sort();
    Some(all)
}

proptest! {
    #[test]
    fn what_is_a_sentence_is_understood(words in prop::collection::vec(prop::sample::select(WORDS), 1..12)) {
        let text = words.join(" ");
        match Expression::parse(&text) {
            Ok(expression) => drop(expression.evaluate(0, &snapshot())),
            Err(refusal) => prop_assert!(!refusal.message.contains("not understood"), "{text}: {refusal:?}"),
        }
    }

    #[test]
    fn sets_and_sums_keep_their_laws(x in vector()) {
        if let Some(found) = elements(&x) {
            prop_assert_eq!(elements(&format!("({x}) and ({x})")), Some(found.clone()));
            prop_assert_eq!(elements(&format!("({x}) or ({x})")), Some(found.clone()));
            prop_assert_eq!(elements(&format!("({x}) unless ({x})")), Some(Vec::new()));
            prop_assert_eq!(elements(&format!("({x}) or nothing")), Some(found.clone()));
            prop_assert_eq!(elements(&format!("topk(1e9, {x})")), Some(found.clone()));
            let counted = elements(&format!("sum(count without () ({x})) or vector(0)"));
            if let Some(counted) = counted {
                prop_assert_eq!(counted, vec![format!("{{}} {}", found.len())]);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z(){}\\[\\]\"'`=~!,.:0-9 +*/%^<>@#\\\\$\u{e4}-]{0,60}") {
        match Expression::parse(&text) {
            Ok(expression) => drop(expression.evaluate(0, &snapshot())),
            Err(refusal) => prop_assert!(refusal.at.is_none_or(|at| text.is_char_boundary(at))),
        }
    }
}
