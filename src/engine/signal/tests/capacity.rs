//! Horizons of weeks and months, on a grid of hours.

use super::*;
use crate::series::Span;

const HOUR: Millis = 3_600_000;

/// As `docs/configuration.md` has it.
fn capacity(models: &str) -> SignalSettings {
    let text = format!(
        "{{name: capacity, query: up, step: 1h, history: {{length: 400d, min: 14d}}, \
          forecast: {{horizons: [7d, 30d, 90d], models: {models}}}}}"
    );
    let yaml = serde_yaml::Deserializer::from_str(&text);
    let settings: SignalSettings =
        serde_yaml::with::singleton_map_recursive::deserialize(yaml).unwrap();
    assert_eq!(settings.validate(), []);
    settings
}

/// A service that grows, by a day and a week; noise lasts for some hours.
fn load(series: u64, hour: i64) -> f64 {
    let day = hour as f64 / 24.0;
    let daily = (day * std::f64::consts::TAU).sin();
    let weekend = if hour.div_euclid(24).rem_euclid(7) < 2 {
        0.6
    } else {
        1.0
    };
    let lasting: f64 = (0..6)
        .map(|ago| noise(series, hour - ago) / (1 + ago) as f64)
        .sum();
    let growth = 1.0 + (0.5 + 0.1 * series as f64) * day / 400.0;
    growth * weekend * (200.0 + 60.0 * daily + 12.0 * lasting)
}

fn hours(series: std::ops::Range<u64>, from: i64, to: i64) -> Matrix {
    let one = |series: u64| SeriesSamples {
        labels: labels(series),
        samples: (from..=to)
            .map(|hour| (hour * HOUR, load(series, hour)))
            .collect(),
    };
    Matrix {
        series: series.map(one).collect(),
        ..Matrix::default()
    }
}

/// A unit that started at `start` with a past from `from` on.
fn started(
    settings: &SignalSettings,
    series: std::ops::Range<u64>,
    from: i64,
    start: i64,
) -> (SignalUnit, Outcome) {
    let mut unit = unit(settings);
    unit.ingest(&hours(series, from, start));
    let begin = unit.restart(start * HOUR) / HOUR;
    let mut last = None;
    for hour in begin + 1..=start {
        let mode = if hour == start {
            Mode::Publish
        } else {
            Mode::Replay
        };
        last = Some(unit.advance(hour * HOUR, mode));
    }
    (unit, last.unwrap())
}

#[test]
fn ninety_days_are_forecast_from_four_hundred() {
    let settings = capacity("auto");
    let (series, start) = (4, 400 * 24);
    let (unit, outcome) = started(&settings, 0..series, 0, start);
    let horizons = [7 * 24, 30 * 24, 90 * 24];
    let (mut inside, mut errors, mut still) = (0, [0.0; 3], [0.0; 3]);
    for (place, row) in outcome.forecasts.chunks(3).enumerate() {
        for (h, (interval, steps)) in row.iter().zip(horizons).enumerate() {
            let actual = load(place as u64, start + steps);
            let now = load(place as u64, start - 24 * 7);
            let within = f64::from(interval.lower)..=f64::from(interval.upper);
            inside += usize::from(within.contains(&actual));
            errors[h] += (f64::from(interval.expected) - actual).abs() / actual;
            still[h] += (now - actual).abs() / actual;
            let width = f64::from(interval.upper - interval.lower);
            assert!(width > 0.0 && width < 1.5 * actual, "{interval:?} {actual}");
        }
    }
    // Nine of ten are meant to be.
    assert!(inside >= 9, "{inside} of {}", 3 * series);
    for (h, error) in errors.iter().enumerate() {
        let mean = error / series as f64;
        assert!(mean < 0.15, "{h}: {errors:?} {still:?}");
    }
    assert!(unit.state_bytes() < series as usize * settings.bytes_per_series());
    // No interval of 90 days has come due yet: that takes four horizons of past, and this is 3.8 of it.
    let known: Vec<bool> = outcome.trust.iter().map(Option::is_some).collect();
    assert_eq!(known, [true, true, false]);
}

#[test]
fn windows_that_workloads_scale_by_take_what_is_reckoned_for_them() {
    let bytes = |windows: &[Span]| {
        let mut settings = capacity("[seasonal_naive: {}]");
        settings.forecast_for(windows, 0.95);
        let (unit, _) = started(&settings, 0..4, 0, 200 * 24);
        (unit.state_bytes() / 4, settings.bytes_per_series())
    };
    let windows = [6, 12, 24, 48].map(|hours| Span::minutes(60 * hours));
    let (without, with) = (bytes(&[]), bytes(&windows));
    let (taken, reckoned) = (with.0 - without.0, with.1 - without.1);
    assert!(
        taken <= reckoned && 3 * taken >= reckoned,
        "{taken} of {reckoned}"
    );
}

#[test]
fn a_horizon_is_there_when_twice_of_it_was_seen() {
    let mut settings = capacity("[seasonal_naive: {}]");
    let known = |settings: &SignalSettings, days: i64| -> Vec<bool> {
        let start = 400 * 24;
        let (_, outcome) = started(settings, 0..1, start - days * 24, start);
        let forecasts = outcome.forecasts.iter();
        forecasts.map(|one| one.expected.is_finite()).collect()
    };
    // Young series are derived at ages of powers of two, in hours, and a quarter later at most: 10 days, 21, 42 ...
    assert_eq!(known(&settings, 12), [false, false, false]);
    assert_eq!(known(&settings, 40), [true, false, false]);
    assert_eq!(known(&settings, 100), [true, true, false]);
    assert_eq!(known(&settings, 230), [true, true, true]);
    settings.history.min = Some(Span::days(80));
    assert_eq!(known(&settings, 60), [false, false, false]);
    assert_eq!(known(&settings, 130), [true, true, false]);
}
