//! Values that are not believed: nothing is learned from them, live or from the past.

use super::*;
use crate::quality::Finding;

/// An hour is twelve steps.
fn validating(more: &str) -> SignalSettings {
    let text = format!(
        "{{name: load, query: up, step: 5m, history: 7d, forecast: {{horizons: [15m, 1h]}}, \
         alerting: {{for: 10m, recover_for: 15m, refractory: 1h}}, {more}}}"
    );
    let settings: SignalSettings = serde_yaml::from_str(&text).unwrap();
    assert_eq!(settings.validate(), []);
    settings
}

type Values = fn(u64, i64) -> Option<f64>;

fn matrix_of(values: Values, from: i64, to: i64) -> Matrix {
    let series = (0..3_u64).map(|series| SeriesSamples {
        labels: labels(series),
        samples: (from..=to)
            .filter_map(|index| Some((index * STEP, values(series, index)?)))
            .collect(),
    });
    Matrix {
        series: series.collect(),
        ..Matrix::default()
    }
}

/// A unit started at `start` and run to `end`; its outcomes of the last `keep` steps.
fn run_of(
    settings: &SignalSettings,
    values: Values,
    (start, end): (i64, i64),
    keep: i64,
) -> Vec<Outcome> {
    let mut unit = unit(settings);
    let history = unit.history_start(start * STEP) / STEP;
    unit.ingest(&matrix_of(values, history, start));
    let from = unit.restart(start * STEP) / STEP;
    let mut kept = Vec::new();
    for index in from + 1..=end {
        if index > start {
            unit.ingest(&matrix_of(values, index, index));
        }
        let is_kept = index > end - keep;
        let mode = if is_kept { Mode::Publish } else { Mode::Replay };
        let outcome = unit.advance(index * STEP, mode);
        if is_kept {
            kept.push(outcome);
        }
    }
    kept
}

/// A daily season with noise and nothing else.
fn usual(series: u64, index: i64) -> f64 {
    let phase = (index % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
    100.0 + 40.0 * phase.sin() + 8.0 * noise(series, index)
}

/// First grid index of what is bad.
const BAD: i64 = 2_400;

/// Series 0 stands still for a while, series 1 has values that cannot be.
fn bad(series: u64, index: i64) -> Option<f64> {
    match (series, index - BAD) {
        (0, 0..=100) => Some(usual(0, BAD)),
        (1, 0..=40) => Some(5_000.0),
        _ => Some(usual(series, index)),
    }
}

/// The same with a gap where it stands still, and with other values that cannot be.
fn otherwise_bad(series: u64, index: i64) -> Option<f64> {
    match (series, index - BAD) {
        (0, 11..=100) => None,
        (1, 0..=40) => Some(-1e9),
        _ => bad(series, index),
    }
}

fn counter(_: u64, index: i64) -> Option<f64> {
    Some((index * 500) as f64 + 300.0 * noise(1, index))
}

const RANGE: &str = "range: {min: 0, max: 1000}, validate: {frozen_after: 1h}";

fn forecasts(outcome: &Outcome) -> String {
    format!("{:?} {:?}", outcome.forecasts, outcome.trust)
}

#[test]
fn nothing_is_learned_from_what_is_not_believed() {
    let settings = validating(RANGE);
    // Each series is derived anew after it.
    let steps = (BAD - 20, BAD + 210);
    let told = run_of(&settings, bad, steps, 100);
    let others = run_of(&settings, otherwise_bad, steps, 100);
    for (one, other) in told.iter().zip(&others) {
        let since = one.at / STEP - BAD;
        assert_eq!(forecasts(one), forecasts(other), "{since}");
        assert_eq!((one.doubts.len(), other.doubts.len()), (0, 0));
        let bands = one.series.iter().zip(&other.series);
        for (place, (one, other)) in bands.enumerate() {
            // What stands still is judged, and the verdict holds the baseline back for a moment more than a gap does.
            let tolerance = if place == 0 { 0.02 } else { 0.0 };
            let (one, other) = (one.band.expected, other.band.expected);
            assert!(close(one, other, tolerance), "{since}: {one} {other}");
        }
    }
    let loose = validating("validate: {frozen_after: 0s}");
    let learned = run_of(&loose, bad, steps, 1);
    assert_ne!(forecasts(&learned[0]), forecasts(&others[99]));
}

#[test]
fn it_is_told_of_each_series_while_it_lasts() {
    let settings = validating(RANGE);
    let outcomes = run_of(&settings, bad, (BAD - 20, BAD + 110), 120);
    for outcome in &outcomes {
        let since = outcome.at / STEP - BAD;
        let frozen = (11..=100).contains(&since).then_some(Finding::Frozen);
        assert_eq!(outcome.doubt(&labels(0)), frozen, "{since}");
        let wild = (0..=40).contains(&since).then_some(Finding::OutOfRange);
        assert_eq!(outcome.doubt(&labels(1)), wild, "{since}");
        assert_eq!(outcome.doubt(&labels(2)), None, "{since}");
        let counts = [
            0,
            usize::from(frozen.is_some()),
            usize::from(wild.is_some()),
        ];
        assert_eq!(outcome.doubted(), counts, "{since}");
        let [still, impossible, _] = outcome.series.as_slice() else {
            panic!("{outcome:?}");
        };
        // Both are judged by what was learned before; what cannot be is news.
        assert!(!still.score.is_nan() && still.band.is_known());
        if wild.is_some() {
            assert!(impossible.score > 0.9, "{since}: {}", impossible.score);
        }
        if since < 0 || (5..=40).contains(&since) || since > 60 {
            assert_eq!(impossible.active, wild.is_some(), "{since}");
        }
    }
}

#[test]
fn a_restart_reaches_the_same_state_around_what_is_not_believed() {
    let settings = validating(RANGE);
    // It is under way; it is over.
    for end in [BAD + 60, BAD + 150] {
        let long = run_of(&settings, bad, (BAD - 40, end), 20);
        let fresh = run_of(&settings, bad, (end - 20, end), 20);
        for (one, other) in long.iter().zip(&fresh) {
            assert_same(one, other);
            assert_eq!(one.doubts, other.doubts);
        }
    }
}

#[test]
fn nothing_is_learned_of_a_counter_that_is_read_as_a_gauge() {
    let named = |more: &str| SignalSettings {
        query: "sum(requests_total)".to_owned(),
        ..validating(more)
    };
    let newest = |settings: &SignalSettings| {
        let mut outcomes = run_of(settings, counter, (2_300, 2_320), 1);
        outcomes.remove(0)
    };
    let told = newest(&named(""));
    assert_eq!(told.doubted(), [3, 0, 0]);
    assert!(told.series.iter().all(|one| !one.band.is_known()));
    assert!(told.forecasts.iter().all(|one| one.expected.is_nan()));
    for settings in [named("validate: {counter: gauge}"), validating("")] {
        let believed = newest(&settings);
        assert_eq!(believed.doubts, []);
        assert!(believed.series.iter().all(|one| one.band.is_known()));
    }
}

#[test]
fn a_wide_series_is_held_against_its_range_alone() {
    let settings = SignalSettings {
        class: Class::Wide,
        ..validating("range: {min: 0, max: 1000}")
    };
    let outcomes = run_of(&settings, bad, (BAD - 100, BAD + 50), 60);
    let found = |finding: Finding| {
        let doubts = outcomes.iter().flat_map(|outcome| &outcome.doubts);
        doubts.filter(|one| one.finding == finding).count()
    };
    assert_eq!(found(Finding::OutOfRange), 41);
    assert_eq!(found(Finding::Frozen), 0);
    let expected = outcomes[59].series[1].band.expected;
    assert!((0.0..200.0).contains(&expected), "{expected}");
}
