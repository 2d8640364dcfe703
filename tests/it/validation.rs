//! Values that cannot be believed, from a source that answers as Prometheus does: they are told, and nothing is learned
//! from them.

use crate::support::{
    eventually, now,
    program::Program,
    server::{Answer, Asked, Server},
};
use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

const SIGNALS: &str = r#"
global: {evaluation_interval: 1s}
sources:
  - {name: main, prometheus: {url: "http://ADDRESS"}}
signals:
  - {name: load, query: load, step: 1s, history: 15m, offset: 1s, seasonality: [1m], alerting: {for: 2s}, validate: {frozen_after: 30s}}
  - {name: share, query: share, step: 1s, history: 15m, offset: 1s, seasonality: [1m], alerting: {for: 2s}, validate: {unit: ratio}}
  - {name: requests, query: sum by (path) (requests_total), step: 1s, history: 15m, offset: 1s, seasonality: [1m], alerting: {for: 2s}}
"#;

/// Seconds of past in which the bad series are bad; they may be so for 235 before that counts as what they do.
const BAD: i64 = 60;

/// A value with a little noise, the same in every run.
fn quiet(at: i64) -> f64 {
    100.0 + (at * 7_919).rem_euclid(1_000) as f64 / 100.0
}

/// The value of one series of a query at a second, bad ones being so from `since` on until they are healed.
fn value(query: &str, path: &str, at: i64, since: i64) -> f64 {
    let is_bad = path == "/bad" && at >= since;
    match query {
        "load" if is_bad => quiet(since),
        "share" if is_bad => 57.0,
        "share" => quiet(at) / 200.0,
        "load" => quiet(at),
        _ => (at % 100_000) as f64 * 20.0,
    }
}

/// The answer to a range query. What is asked again of the past is what it was.
fn answer(asked: &Asked, since: i64, healed: i64) -> Answer {
    let query = asked.parameter("query");
    let (start, end) = (asked.seconds("start") as i64, asked.seconds("end") as i64);
    let mut result = Vec::new();
    for path in ["/bad", "/good"] {
        let mut points = String::new();
        for at in start..=end {
            let since = if at >= healed { i64::MAX } else { since };
            let value = value(query, path, at, since);
            write!(points, "[{at},\"{value}\"],").unwrap();
        }
        points.pop();
        result.push(format!(
            r#"{{"metric":{{"path":"{path}"}},"values":[{points}]}}"#
        ));
    }
    let result = result.join(",");
    let text =
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{result}]}}}}"#);
    Answer::json(200, text)
}

#[test]
fn what_cannot_be_believed_is_told_and_not_learned() {
    let since = now() / 1_000 - BAD;
    let is_healed = Arc::new(AtomicBool::new(false));
    let ordered = Arc::clone(&is_healed);
    let healed = std::sync::OnceLock::new();
    let server = Server::start(move |asked| {
        let healed = match ordered.load(Ordering::Acquire) {
            true => *healed.get_or_init(|| now() / 1_000),
            false => i64::MAX,
        };
        answer(asked, since, healed)
    });
    let program = Program::start(&SIGNALS.replace("ADDRESS", &server.address()), &[]);
    let invalid = |signal: &str, reason: &str| {
        let words = [
            format!("signal=\"{signal}\""),
            format!("reason=\"{reason}\""),
        ];
        let words = [words[0].as_str(), words[1].as_str()];
        program
            .metrics()?
            .value("forethought_signal_invalid_series", &words)
    };
    let expect = |signal: &str, reason: &str, count: f64| {
        eventually(
            &format!("{signal}: {count} {reason}"),
            60,
            || match invalid(signal, reason)? {
                found if found == count => Ok(()),
                found => Err(format!("{found}")),
            },
        );
    };
    expect("load", "frozen", 1.0);
    expect("share", "out_of_range", 1.0);
    expect("requests", "counter", 2.0);
    assert_eq!(invalid("load", "out_of_range"), Ok(0.0));
    assert_eq!(invalid("share", "frozen"), Ok(0.0));

    // A minute of 57 has moved nothing, and is news.
    let shown = eventually("both series of it are served", 30, || {
        let shown = program.metrics()?;
        match shown.values("predicted_share", &["horizon=\"0s\""]).len() {
            2 => Ok(shown),
            count => Err(count.to_string()),
        }
    });
    let words = ["path=\"/bad\"", "horizon=\"0s\""];
    let expected = shown.value("predicted_share", &words).unwrap();
    assert!((0.5..0.55).contains(&expected), "{expected}");
    let words = ["path=\"/bad\"", "signal=\"share\""];
    assert_eq!(shown.value("anomaly_active", &words), Ok(1.0));
    // Nothing is expected of a counter.
    assert_eq!(shown.values("predicted_requests", &[]), [0.0; 0]);
    let counted = eventually("values are counted", 10, || {
        let words = ["signal=\"share\"", "reason=\"out_of_range\""];
        let shown = program.metrics()?;
        let count = shown.value("forethought_signal_invalid_values_total", &words)?;
        (count > 0.0)
            .then_some(count)
            .ok_or_else(|| count.to_string())
    });
    assert!(counted > 0.0);
    let document = program.json("/api/v1/series?signal=load").unwrap();
    let first = &document["series"][0];
    assert_eq!(first["labels"]["path"], "/bad", "{first}");
    let why = first["not_believed"].as_str().unwrap();
    assert!(
        why.starts_with("frozen: ") && why.contains("validate.frozen_after"),
        "{why}"
    );
    let status = program.json("/api/v1/status").unwrap();
    let units = status["units"].as_array().unwrap();
    let share = units.iter().find(|unit| unit["name"] == "share").unwrap();
    assert_eq!(share["invalid"][0]["reason"], "out_of_range", "{share}");

    is_healed.store(true, Ordering::Release);
    expect("load", "frozen", 0.0);
    expect("share", "out_of_range", 0.0);
    let log = program.log();
    for (line, signal) in [("not believed", "load"), ("believed again", "share")] {
        let lines = log.lines().filter(|one| one.contains(line));
        let count = lines.filter(|one| one.contains(signal)).count();
        assert_eq!(count, 1, "{line}: {log}");
    }
}
