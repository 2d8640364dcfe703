//! Drift of a signal, as it is published and after a restart.

use super::*;

const HOUR: Millis = 3_600_000;
/// Three weeks of hours.
const KNOWN: i64 = 21 * 24;

fn hourly() -> SignalSettings {
    let text = r#"{"name": "load", "query": "up", "step": "1h", "history": "21d", "detectors": [{"envelope": {}}],
                   "forecast": {"horizons": ["1h", "3h"], "models": [{"seasonal_naive": {}}, {"last_value": {}}]}}"#;
    serde_json::from_str(text).unwrap()
}

/// Three series with a daily season, all of which rise by half at the hour `rise`.
fn hours(from: i64, to: i64, rise: i64) -> Matrix {
    let value = |series: u64, hour: i64| {
        let phase = (hour % 24) as f64 / 24.0 * std::f64::consts::TAU;
        let usual = 100.0 + 40.0 * phase.sin() + 8.0 * noise(series, hour);
        if hour >= rise { 1.5 * usual } else { usual }
    };
    let one = |series: u64| SeriesSamples {
        labels: labels(series),
        samples: (from..=to)
            .map(|hour| (hour * HOUR, value(series, hour)))
            .collect(),
    };
    Matrix {
        series: (0..3).map(one).collect(),
        ..Matrix::default()
    }
}

/// One that was started at the hour `start` and ran to `end`; its drift at each hour since.
fn drifts(start: i64, end: i64, rise: i64) -> Vec<Option<f32>> {
    let mut unit = unit(&hourly());
    let history = unit.history_start(start * HOUR) / HOUR;
    unit.ingest(&hours(history, start, rise));
    let from = unit.restart(start * HOUR) / HOUR;
    for hour in from + 1..=start {
        unit.advance(hour * HOUR, Mode::Replay);
    }
    let step = |hour: i64| {
        unit.ingest(&hours(hour, hour, rise));
        let outcome = unit.advance(hour * HOUR, Mode::Publish);
        let names = outcome.chunks.iter().map(|chunk| chunk.name());
        let shown = names
            .filter(|name| *name == "predicted_drift_score")
            .count();
        assert_eq!(shown, usize::from(outcome.drift.is_some()));
        outcome.drift
    };
    (start + 1..=end).map(step).collect()
}

#[test]
fn a_change_is_published_within_a_day_and_what_is_ordinary_is_not() {
    let start = KNOWN;
    let rise = start + 48;
    let scores = drifts(start, rise + 24, rise);
    let (before, after) = scores.split_at(47);
    let above = |scores: &[Option<f32>]| scores.iter().flatten().any(|&score| score > 1.0);
    assert!(before.iter().all(Option::is_some), "{before:?}");
    assert!(!above(before), "{before:?}");
    assert!(above(after), "{after:?}");
}

#[test]
fn a_replica_that_has_just_started_says_the_same() {
    let rise = KNOWN + 60;
    let end = rise + 30;
    let long = drifts(KNOWN, end, rise);
    let fresh = drifts(end - 5, end, rise);
    assert_eq!(long[long.len() - fresh.len()..], fresh[..]);
}

#[test]
fn nothing_is_said_of_what_is_not_known() {
    let mut young = unit(&hourly());
    young.ingest(&hours(0, 40, KNOWN));
    young.restart(40 * HOUR);
    let outcome = young.advance(41 * HOUR, Mode::Publish);
    assert_eq!(outcome.drift, None);
}
