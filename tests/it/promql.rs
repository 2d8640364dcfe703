//! Rules answer as a real Prometheus does: the same samples, the same expressions, the same time.

use crate::support::{eventually, files, guard::Guarded, guard::free_port, guard::run, http, read};
use forethought::{
    promql::{Element, Expression, METRIC_NAME, Snapshot, Value},
    series::Labels,
};
use serde_json::Value as Json;
use std::{collections::BTreeMap, fmt::Write, fs, sync::OnceLock};

mod generated;

/// The time of all samples and evaluations, seconds since the epoch: a Tuesday evening.
const AT: i64 = 1_700_000_000;

/// Relative difference up to which two numbers are the same: the libraries round the last digits differently.
const TOLERANCE: f64 = 1e-9;

/// The series, as they are exposed.
const SERIES: &str = r#"
queue_depth{app="shop",zone="a"} 1200
queue_depth{app="shop",zone="b"} 300
queue_depth{app="pay",zone="a"} 0
queue_depth{app="pay",zone="b"} -5.5
queue_depth{app="mail",zone="a"} NaN
queue_depth{app="mail",zone="b"} +Inf
queue_depth{app="base"} 42
queue_growth_per_second{app="shop"} 60
queue_growth_per_second{app="pay"} -0.25
queue_growth_per_second{app="mail"} 0
limits{app="shop",tier="gold"} 1000
limits{app="pay",tier="silver"} 10
limits{app="mail"} 5
predicted_queue_depth{app="shop",zone="a",horizon="15m"} 1500
predicted_queue_depth{app="shop",zone="a",horizon="1h"} 2500
predicted_queue_depth{app="shop",zone="b",horizon="15m"} 290
predicted_queue_depth{app="shop",zone="b",horizon="1h"} 310
predicted_queue_depth{app="pay",zone="a",horizon="15m"} 1
anomaly_score{signal="queue_depth",app="shop",zone="a"} 1.5
anomaly_score{signal="queue_depth",app="shop",zone="b"} 0.25
anomaly_score{signal="queue_depth",app="pay",zone="a"} NaN
anomaly_active{signal="queue_depth",app="shop"} 1
anomaly_active{signal="queue_depth",app="pay"} 0
workers 7
workers_ready 6.5
temperature{room="1"} -3.75
temperature{room="2"} -3.5
temperature{room="3"} -0.5
temperature{room="4"} 0
temperature{room="5"} 0.5
temperature{room="6"} 2.5
temperature{room="7"} 3.5
temperature{room="8"} 100.125
temperature{room="9"} NaN
huge{n="1"} 1e300
huge{n="2"} 1e-300
huge{n="3"} 123456789012
infinite{sign="plus"} +Inf
infinite{sign="minus"} -Inf
up{instance="10.0.0.1:9090",job="api"} 1
up{instance="10.0.0.2:9090",job="api"} 0
up{instance="10.0.0.3:9090",job="batch"} 1
stamp{what="epoch"} 0
stamp{what="leap"} 951782400
stamp{what="before"} -86401.5
stamp{what="far"} 10000000000
stamp{what="new year"} 1704067199.9
colon:queue_depth:sum{app="shop"} 1500
build_info{app="shop",version="1.2"} 1
build_info{app="pay",version="1.3"} 1
place{name="Köln"} 1
place{name="a.b"} 2
place{name="axb"} 3
place{name="quote\"d"} 4
place{name="back\\slash"} 5
"#;

/// How old a sample is, seconds: some are of minutes ago, so that an answer of the wrong time is noticed.
fn age(line: &str) -> i64 {
    let ages = [
        ("queue_depth{app=\"pay\"", 60),
        ("limits", 120),
        ("workers_ready", 180),
        ("temperature{room=\"2\"", 240),
        ("up{instance=\"10.0.0.2", 15),
    ];
    let found = ages.iter().find(|(start, _)| line.starts_with(start));
    found.map_or(0, |(_, age)| *age)
}

/// The series in memory.
fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::new();
    for line in SERIES.lines().filter(|line| !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let labels = labels(series);
        let name = labels.get(METRIC_NAME).unwrap().to_owned();
        let at = (AT - age(line)) * 1_000;
        let row = (labels.without(&[METRIC_NAME]), value.parse().unwrap(), at);
        snapshot.put(&name, [row]);
    }
    snapshot
}

/// `name{a="b",c="d"}` as labels.
fn labels(series: &str) -> Labels {
    let (name, rest) = series.split_once('{').unwrap_or((series, ""));
    let mut pairs = vec![(METRIC_NAME.to_owned(), name.to_owned())];
    for pair in rest
        .trim_end_matches('}')
        .split(',')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap();
        // The escapes of the format are those of JSON.
        pairs.push((name.to_owned(), serde_json::from_str(value).unwrap()));
    }
    Labels::new(pairs).unwrap()
}

/// A Prometheus with these samples and nothing else.
struct Reference {
    address: String,
    version: String,
    _server: Guarded,
}

/// The reference, shared by the run.
fn reference() -> &'static Reference {
    static SHARED: OnceLock<Reference> = OnceLock::new();
    SHARED.get_or_init(Reference::start)
}

impl Reference {
    fn start() -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let server = Guarded::start("prometheus", |folder| {
            let data = folder.join("data");
            fs::create_dir(&data).unwrap();
            fs::write(folder.join("prometheus.yml"), "{}").unwrap();
            let mut text = String::new();
            for line in SERIES.lines().filter(|line| !line.is_empty()) {
                writeln!(text, "{line} {}", AT - age(line)).unwrap();
            }
            let samples = folder.join("samples.om");
            fs::write(&samples, text + "# EOF\n").unwrap();
            let [samples, data] = [&samples, &data].map(|path| path.to_str().unwrap());
            let create = [
                "tsdb",
                "create-blocks-from",
                "openmetrics",
                "-q",
                samples,
                data,
            ];
            run("promtool", &create, None).unwrap();
            vec![
                format!("--config.file={}/prometheus.yml", folder.display()),
                format!("--storage.tsdb.path={data}"),
                format!("--web.listen-address={address}"),
                "--storage.tsdb.retention.time=100y".to_owned(), // the samples are old
            ]
        });
        eventually("the reference is ready", 60, || {
            http::get(&address, "/-/ready")
        });
        let build = http::json(&address, "/api/v1/status/buildinfo").unwrap();
        let own = Self {
            version: build["data"]["version"].as_str().unwrap().to_owned(),
            address,
            _server: server,
        };
        let count = own.answer("count({__name__=~\".+\"})").unwrap();
        let there = SERIES.lines().filter(|line| !line.is_empty()).count();
        assert_eq!(
            count,
            Answer::Vector(vec![(Labels::default(), there as f64)])
        );
        own
    }

    /// The data of its answer, or its complaint.
    fn ask(&self, expression: &str) -> Result<Json, String> {
        let body = format!("time={AT}&query={}", http::encode(expression));
        let head = [("Content-Type", "application/x-www-form-urlencoded")];
        let body = body.as_bytes();
        let reply = http::request("POST", &self.address, "/api/v1/query", &head, body);
        let answer: Json = serde_json::from_str(&reply.unwrap().text()).unwrap();
        if answer["status"] == "success" {
            Ok(answer["data"].clone())
        } else {
            Err(answer["error"].to_string())
        }
    }

    /// Its answer as a value.
    fn answer(&self, expression: &str) -> Result<Answer, String> {
        let data = self.ask(expression)?;
        let number = |value: &Json| value[1].as_str().unwrap().parse::<f64>().unwrap();
        match data["resultType"].as_str().unwrap() {
            "scalar" => Ok(Answer::Scalar(number(&data["result"]))),
            "vector" => {
                let of = |series: &Json| {
                    let labels: BTreeMap<String, String> =
                        serde_json::from_value(series["metric"].clone()).unwrap();
                    (Labels::new(labels).unwrap(), number(&series["value"]))
                };
                let all = data["result"].as_array().unwrap();
                Ok(Answer::Vector(all.iter().map(of).collect()))
            }
            other => panic!("{expression}: {other}"),
        }
    }

    /// Compares both answers; the difference, if there is one.
    fn difference(&self, expression: &str, snapshot: &Snapshot) -> Option<String> {
        let expected = self.answer(expression);
        let found = Expression::parse(expression)
            .map_err(|refusal| refusal.to_string())
            .and_then(|rule| {
                let value = rule.evaluate(AT * 1_000, snapshot);
                value.map(Answer::of).map_err(|error| error.to_string())
            });
        let same = match (&expected, &found) {
            (Ok(expected), Ok(found)) => expected.is_like(found, is_ordered(expression)),
            (Err(_), Err(_)) => true,
            _ => false,
        };
        (!same)
            .then(|| format!("{expression}\n  Prometheus: {expected:?}\n  a rule:     {found:?}"))
    }
}

#[derive(Debug, PartialEq)]
enum Answer {
    Scalar(f64),
    Vector(Vec<(Labels, f64)>),
}

impl Answer {
    fn of(value: Value) -> Self {
        match value {
            Value::Scalar(number) => Self::Scalar(number),
            Value::Vector(elements) => {
                let of = |element: &Element| (element.whole_labels(), element.value);
                Self::Vector(elements.iter().map(of).collect())
            }
        }
    }

    fn is_like(&self, other: &Self, ordered: bool) -> bool {
        match (self, other) {
            (Self::Scalar(one), Self::Scalar(other)) => is_same(*one, *other),
            (Self::Vector(one), Self::Vector(other)) => {
                // Of equal values the order is not defined.
                let in_order = one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_same(one.1, other.1));
                let sorted = |vector: &[(Labels, f64)]| {
                    let mut sorted = vector.to_vec();
                    sorted.sort_by(|one, other| one.0.cmp(&other.0));
                    sorted
                };
                let (left, right) = (sorted(one), sorted(other));
                let mut pairs = left.iter().zip(&right);
                one.len() == other.len()
                    && (in_order || !ordered)
                    && pairs.all(|(one, other)| one.0 == other.0 && is_same(one.1, other.1))
            }
            _ => false,
        }
    }
}

/// Whether the order of the answer is part of it.
fn is_ordered(expression: &str) -> bool {
    ["sort(", "sort_desc(", "topk", "bottomk"]
        .iter()
        .any(|start| expression.starts_with(start))
        && !expression.contains(" by ")
        && !expression.contains(" without ")
}

fn is_same(one: f64, other: f64) -> bool {
    one == other
        || (one.is_nan() && other.is_nan())
        || (one - other).abs() <= TOLERANCE * one.abs().max(other.abs())
}

/// The lines of a list, without comments.
fn lines(name: &str) -> Vec<String> {
    let text = read(format!("tests/fixtures/promql/{name}.txt"));
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[test]
fn rules_agree_with_prometheus_on_every_expression_of_the_lists() {
    let (reference, snapshot) = (reference(), snapshot());
    let lists = [
        "selectors",
        "arithmetic",
        "matching",
        "aggregations",
        "functions",
        "errors",
    ];
    assert_eq!(files("tests/fixtures/promql", "txt").len(), lists.len() + 3);
    let mut differences = Vec::new();
    let mut count = 0;
    // Versions differ: each of these is for those whose number begins so.
    let of_version = lines("versions").into_iter().filter_map(|line| {
        let (versions, expression) = line.split_once(" | ").unwrap();
        let mut versions = versions.split(' ');
        let is_meant = versions.any(|version| reference.version.starts_with(version));
        is_meant.then(|| expression.to_owned())
    });
    for expression in lists.into_iter().flat_map(lines).chain(of_version) {
        count += 1;
        differences.extend(reference.difference(&expression, &snapshot));
    }
    println!(
        "{count} expressions compared with Prometheus {}",
        reference.version
    );
    assert!(count > 500);
    assert!(
        differences.is_empty(),
        "{} of {count} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn rules_agree_with_prometheus_on_generated_expressions() {
    let (reference, snapshot) = (reference(), snapshot());
    let mut generator = generated::Generator::new(5);
    let (mut differences, mut answered, mut nonempty) = (Vec::new(), 0, 0);
    let count = 1_000;
    for _ in 0..count {
        let expression = generator.expression();
        differences.extend(reference.difference(&expression, &snapshot));
        if let Ok(answer) = reference.answer(&expression) {
            answered += 1;
            nonempty += usize::from(answer != Answer::Vector(Vec::new()));
        }
    }
    println!(
        "{count} generated expressions compared, {answered} with an answer, {nonempty} not empty"
    );
    assert!(
        answered > count / 2 && nonempty > count / 3,
        "the grammar makes too little that means something"
    );
    assert!(
        differences.is_empty(),
        "{} of {count} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn what_only_prometheus_can_answer_is_refused_with_its_position() {
    let reference = reference();
    for line in lines("refused") {
        let [at, part, expression] = line.splitn(3, " | ").collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let refusal = Expression::parse(expression).unwrap_err();
        assert_eq!(
            refusal.at,
            Some(at.parse().unwrap()),
            "{expression}: {refusal}"
        );
        assert!(refusal.message.contains(part), "{expression}: {refusal}");
        let known = reference.ask(expression).err();
        assert_eq!(known, None, "{expression}: it is not only we who refuse it");
    }
}

#[test]
fn what_is_newer_than_the_server_is_answered_or_refused() {
    for line in lines("newer") {
        let [expected, expression] = line.splitn(2, " | ").collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let found = match Expression::parse(expression) {
            Ok(rule) => match rule.evaluate(AT * 1_000, &snapshot()).unwrap() {
                Value::Scalar(number) => number.to_string(),
                Value::Vector(elements) => {
                    let all: Vec<String> = elements.iter().map(Element::to_string).collect();
                    all.join("; ")
                }
            },
            Err(refusal) => format!("{}: {refusal}", refusal.at.unwrap()),
        };
        assert!(found.starts_with(expected), "{expression}: {found}");
    }
}

#[test]
fn the_examples_of_the_manual_are_rules() {
    let text = read("docs/rules.md");
    let (_, table) = text.split_once("## Examples").unwrap();
    let examples: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(rule, _)| rule)
        .collect();
    assert!(examples.len() > 5);
    for rule in examples {
        let read = Expression::parse_condition(rule).unwrap();
        assert_eq!(read.caution(), None, "{rule}");
        read.evaluate(AT * 1_000, &snapshot()).unwrap();
    }
}
