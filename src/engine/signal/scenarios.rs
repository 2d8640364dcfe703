//! Alert hygiene as its users see it: each file in `tests/scenarios` is a signal, what its series did, and
//! the verdicts that are right. The real unit is run on it.
//!
//! ```yaml
//! signal: {alerting: {for: 2m}}          # as in a configuration; name and query are left out
//! history: {times: 40, values: '10 12 9 11 10'}     # before, so many times over
//! cases:
//!   - {case: what is shown, values: '10 90 90 10', verdicts: '..Ba'}
//! ```
//!
//! Values are in promtool's notation (`1 2 _ 3+1x4 _x5`). A verdict is one letter a step: `.` none, `B`
//! began, `a` active, `-` no score. Spaces are only for the eye.

use super::*;
use crate::source::SeriesSamples;
use serde::Deserialize;

const STEP: Millis = 60_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    signal: serde_yaml::Mapping,
    history: History,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    times: usize,
    values: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    case: String,
    values: String,
    verdicts: String,
}

/// promtool's notation for values; `NaN` for a missing sample.
fn notation(text: &str) -> Vec<f64> {
    text.split_whitespace().flat_map(group).collect()
}

fn group(text: &str) -> Vec<f64> {
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("{text:?}"));
    if let Some(missing) = text.strip_prefix('_') {
        let times = missing.strip_prefix('x').map_or(1.0, number);
        return vec![f64::NAN; times as usize];
    }
    let Some((start, times)) = text.split_once('x') else {
        return vec![number(text)];
    };
    // The sign of the step is the first after the start's own.
    let signs = start.char_indices().skip(1);
    let sign = signs.into_iter().find(|(_, one)| "+-".contains(*one));
    let (start, step) = sign.map_or((start, 0.0), |(at, _)| {
        let (start, step) = start.split_at(at);
        (start, number(step))
    });
    (0..=number(times) as usize)
        .map(|index| number(start) + index as f64 * step)
        .collect()
}

fn settings(scenario: &Scenario) -> SignalSettings {
    let mut map = serde_yaml::Mapping::new();
    map.insert("name".into(), "load".into());
    map.insert("query".into(), "up".into());
    map.insert("step".into(), "1m".into());
    map.insert(
        "forecast".into(),
        serde_yaml::from_str("{horizons: []}").unwrap(),
    );
    map.extend(scenario.signal.clone());
    let value = serde_yaml::Value::Mapping(map);
    let read = serde_yaml::with::singleton_map_recursive::deserialize(value);
    let settings: SignalSettings = read.unwrap();
    assert_eq!(settings.validate(), []);
    settings
}

/// One letter a value.
fn verdicts(settings: &SignalSettings, history: &[f64], values: &[f64]) -> String {
    let (options, models) = (UnitOptions::default(), ModelFiles::default());
    let mut unit = SignalUnit::new(settings, &options, &models).unwrap();
    let matrix = |from: usize, values: &[f64]| Matrix {
        series: vec![SeriesSamples {
            labels: Labels::new([("pod", "a")]).unwrap(),
            samples: values
                .iter()
                .enumerate()
                .map(|(index, value)| ((from + index) as Millis * STEP, *value))
                .filter(|(_, value)| value.is_finite())
                .collect(),
        }],
        ..Matrix::default()
    };
    // A whole number of epochs after a time that is one for every series.
    let first = 1_000_000;
    unit.ingest(&matrix(first, history));
    let start = (first + history.len() - 1) as Millis * STEP;
    let mut at = unit.restart(start);
    while at < start {
        at += STEP;
        unit.advance(at, Mode::Replay);
    }
    let letter = |(index, value): (usize, &f64)| {
        let place = first + history.len() + index;
        unit.ingest(&matrix(place, &[*value]));
        let outcome = unit.advance(place as Millis * STEP, Mode::Study);
        match outcome.series.first() {
            Some(one) if one.began => 'B',
            Some(one) if one.active => 'a',
            Some(one) if one.score.is_finite() => '.',
            _ => '-',
        }
    };
    values.iter().enumerate().map(letter).collect()
}

#[test]
fn scenarios_have_the_verdicts_they_say() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut wrong = String::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let scenario: Scenario =
            serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let settings = settings(&scenario);
        let once = notation(&scenario.history.values);
        let history = once.repeat(scenario.history.times);
        for case in &scenario.cases {
            let expected: String = case.verdicts.split_whitespace().collect();
            let found = verdicts(&settings, &history, &notation(&case.values));
            if found != expected {
                let (name, case) = (file.file_name(), &case.case);
                wrong += &format!("\n{name:?}: {case}\n expected {expected}\n found    {found}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(files.len() >= 6, "{files:?}");
}

#[test]
fn the_notation_is_that_of_promtool() {
    let read =
        |text: &str| -> Vec<String> { notation(text).iter().map(ToString::to_string).collect() };
    assert_eq!(read("1 2.5 -3"), ["1", "2.5", "-3"]);
    assert_eq!(read("1+2x3"), ["1", "3", "5", "7"]);
    assert_eq!(read("-1-1x2 7x1"), ["-1", "-2", "-3", "7", "7"]);
    assert_eq!(read("_ 1 _x2"), ["NaN", "1", "NaN", "NaN"]);
}
