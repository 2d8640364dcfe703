use super::*;
use crate::{engine::settings::Class, source::SeriesSamples};
use proptest::prelude::*;

mod capacity;
mod columns;
mod crowd;
mod drift;
mod networks;
mod refit;
mod torn;
mod validation;
mod wide;

const STEP: Millis = 300_000;
const DAY: i64 = 288;

/// A week of five minutes: small enough to run for days in a test, with a season to learn.
fn settings() -> SignalSettings {
    let text = "{name: load, query: up, step: 5m, history: 7d, \
                forecast: {horizons: [15m, 1h]}, alerting: {for: 10m, recover_for: 15m, refractory: 1h}}";
    serde_yaml::from_str(text).unwrap()
}

fn unit(settings: &SignalSettings) -> SignalUnit {
    SignalUnit::new(settings, &UnitOptions::default(), &ModelFiles::default()).unwrap()
}

fn noise(seed: u64, index: i64) -> f64 {
    let mut hash = (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed;
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash ^= hash >> 32;
    (hash % 10_000) as f64 / 10_000.0 - 0.5
}

/// A daily season with noise, incidents and gaps; `None` is a missing sample.
fn value(series: u64, index: i64) -> Option<f64> {
    let phase = (index % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
    let usual = 100.0 + 40.0 * phase.sin() + 8.0 * noise(series, index);
    let since_incident = (index + series as i64 * 61) % 700;
    match since_incident {
        0..12 => Some(usual + 150.0),
        200..203 => None,
        400..409 => Some(0.0),
        _ => Some(usual),
    }
}

fn labels(series: u64) -> Labels {
    Labels::new([("pod", format!("pod-{series}"))]).unwrap()
}

/// Series 0 to 3 are old; series 4 begins late in the history.
fn matrix(from: i64, to: i64) -> Matrix {
    let born = |series: u64| if series == 4 { 2_500 } else { 0 };
    let series = (0..5_u64).map(|series| SeriesSamples {
        labels: labels(series),
        samples: (from.max(born(series))..=to)
            .filter_map(|index| Some((index * STEP, value(series, index)?)))
            .collect(),
    });
    Matrix {
        series: series.collect(),
        ..Matrix::default()
    }
}

/// A unit started at `start` and run to `end`; its outcomes of the last `keep` steps.
fn run(start: i64, end: i64, keep: i64) -> Vec<Outcome> {
    run_with(&settings(), start, end, keep)
}

fn run_with(settings: &SignalSettings, start: i64, end: i64, keep: i64) -> Vec<Outcome> {
    let mut unit = unit(settings);
    let history = unit.history_start(start * STEP) / STEP;
    unit.ingest(&matrix(history, start));
    let from = unit.restart(start * STEP) / STEP;
    let mut kept = Vec::new();
    for index in from + 1..=end {
        if index > start {
            unit.ingest(&matrix(index, index));
        }
        let mode = if index > end - keep {
            Mode::Publish
        } else {
            Mode::Replay
        };
        let outcome = unit.advance(index * STEP, mode);
        if mode == Mode::Publish {
            kept.push(outcome);
        }
    }
    kept
}

fn close(one: f32, other: f32, tolerance: f32) -> bool {
    one.to_bits() == other.to_bits()
        || (one.is_nan() && other.is_nan())
        || (one - other).abs() <= tolerance * one.abs().max(1.0)
}

fn assert_same(long: &Outcome, fresh: &Outcome) {
    assert_eq!(long.at, fresh.at);
    assert_eq!(long.series.len(), fresh.series.len());
    for (one, other) in long.series.iter().zip(&fresh.series) {
        assert_eq!(one.labels, other.labels);
        assert!(
            close(one.score, other.score, 1e-6),
            "{} {} {}",
            long.at,
            one.score,
            other.score
        );
        assert_eq!(
            (one.active, one.severity),
            (other.active, other.severity),
            "{one:?}"
        );
    }
    for (one, other) in long.forecasts.iter().zip(&fresh.forecasts) {
        assert!(
            close(one.expected, other.expected, 0.01),
            "{one:?} {other:?}"
        );
        assert!(close(one.lower, other.lower, 0.01) && close(one.upper, other.upper, 0.01));
    }
}

#[test]
fn a_restart_reaches_the_state_of_a_long_run() {
    let end = 3_900;
    let long = run(2_100, end, 60);
    for start in [end - 60, end - 59, end - 350, 2_600] {
        let fresh = run(start, end, 60);
        for (one, other) in long
            .iter()
            .zip(&fresh)
            .skip((start - (end - 60)).max(0) as usize)
        {
            assert_same(one, other);
        }
    }
    assert!(
        long.iter()
            .any(|outcome| outcome.forecasts.iter().any(|one| one.lower.is_finite()))
    );
}

/// Six pods of each of two apps, around 100 and around 900; pod 3 of each at three times as much from `odd` on.
fn pods(index: i64, odd: i64) -> Matrix {
    let series = (0..12_u64).map(|pod| {
        let level = if pod < 6 { 100.0 } else { 900.0 };
        let factor = if pod % 6 == 3 && index >= odd {
            3.0
        } else {
            1.0
        };
        let app = if pod < 6 { "small" } else { "large" };
        let value = factor * level * (1.0 + 0.05 * noise(pod, index));
        SeriesSamples {
            labels: Labels::new([("app", app.to_owned()), ("pod", format!("{pod:02}"))]).unwrap(),
            samples: vec![(index * STEP, value)],
        }
    });
    Matrix {
        series: series.collect(),
        ..Matrix::default()
    }
}

#[test]
fn peers_that_are_named_are_compared_and_groups_name_their_farthest() {
    let settings = SignalSettings {
        peers: vec!["app".to_owned()],
        group_by: vec!["app".to_owned()],
        ..settings()
    };
    assert_eq!(settings.validate(), []);
    let mut unit = unit(&settings);
    let (start, odd, end) = (10_000, 10_400, 10_420);
    unit.restart(start * STEP);
    let mut last = Outcome::default();
    for index in start + 1..=end {
        unit.ingest(&pods(index, odd));
        last = unit.advance(index * STEP, Mode::Publish);
    }
    let active: Vec<usize> = (0..12).filter(|&pod| last.series[pod].active).collect();
    // Sorted by labels: the large ones come first.
    assert_eq!(active, [3, 9]);
    let series = &last.series[3];
    let reason = series.reason.as_ref().unwrap();
    let dbscan = reason.detectors.iter().find(|(kind, _)| *kind == "dbscan");
    assert!(dbscan.unwrap().1 > 1.0, "{reason:?}");
    let around = reason.peers.as_ref().unwrap();
    assert_eq!((around.present, around.together), (6, 5));
    let (low, high) = around.between.unwrap();
    assert!(low > 850.0 && high < 950.0, "{around:?}");
    let named: Vec<String> = around.named.iter().map(Labels::to_string).collect();
    assert_eq!(named[0], "{pod=\"06\"}");
    assert_eq!(named.len(), 5);

    let told: Vec<_> = last
        .groups
        .iter()
        .map(|group| (group.labels.get("app"), group.judged, group.active))
        .collect();
    assert_eq!(told, [(Some("large"), 6, 1), (Some("small"), 6, 1)]);
    assert_eq!(last.groups[1].top[0].index, 9);
    let ratio = last.chunks.iter();
    let ratio = ratio.filter(|chunk| chunk.name() == "anomaly_group_ratio");
    assert_eq!(ratio.map(|chunk| chunk.len()).collect::<Vec<_>>(), [2]);
}

#[test]
fn seasonal_follows_the_clock_and_the_holidays_of_its_signal() {
    let text = "{name: load, query: up, timezone: Europe/Berlin, holidays: [de], detectors: [{seasonal: {}}]}";
    let yaml = serde_yaml::Deserializer::from_str(text);
    let settings: SignalSettings =
        serde_yaml::with::singleton_map_recursive::deserialize(yaml).unwrap();
    let models = ModelFiles::default();
    let error = SignalUnit::new(&settings, &UnitOptions::default(), &models).unwrap_err();
    assert_eq!(error, "there is no calendar \"de\"");
    let country: crate::series::calendar::CalendarSettings =
        serde_yaml::from_str("{name: de, country: DE}").unwrap();
    let named = crate::engine::settings::NamedCalendar {
        calendar: Arc::new(country.build(b"").unwrap()),
        revision: 1,
    };
    let options = UnitOptions {
        calendars: [("de".to_owned(), named)].into(),
        ..UnitOptions::default()
    };
    let plan = Plan::new(&settings, &options, &models).unwrap();
    let shown = format!("{:?}", plan.detector(0));
    assert!(
        shown.contains("Europe/Berlin") && shown.contains("Holidays("),
        "{shown}"
    );
}

/// `settings` that leave the grid times `from..to` out.
fn excluding(from: i64, to: i64, purposes: &str) -> SignalSettings {
    let time = |index: i64| jiff::Timestamp::from_millisecond(index * STEP).unwrap();
    let text = format!(
        "[{{from: '{}', to: '{}', for: {purposes}}}]",
        time(from),
        time(to)
    );
    SignalSettings {
        exclude: serde_yaml::from_str(&text).unwrap(),
        ..settings()
    }
}

#[test]
fn a_restart_reaches_the_same_state_around_what_is_excluded() {
    let end = 3_000;
    for purposes in ["[training]", "[scoring]", "[training, scoring]"] {
        for (from, to) in [(end - 300, end - 20), (end - 30, end + 10)] {
            let settings = excluding(from, to, purposes);
            let long = run_with(&settings, 2_100, end, 40);
            for start in [end - 40, end - 25] {
                let fresh = run_with(&settings, start, end, 40);
                for (one, other) in long.iter().zip(&fresh).skip((start - end + 40) as usize) {
                    assert_same(one, other);
                    assert_eq!(one.excluded, other.excluded);
                }
            }
            let scored = |outcome: &Outcome| outcome.series.iter().any(|one| one.score.is_finite());
            for outcome in &long {
                let inside = (from..to).contains(&(outcome.at / STEP));
                let judged = !(inside && purposes.contains("scoring"));
                assert_eq!(scored(outcome), judged, "{purposes} {}", outcome.at / STEP);
                assert_eq!(outcome.excluded.is_none(), judged);
                assert!(outcome.series.iter().any(|one| one.value.is_finite()));
                assert!(outcome.series.iter().any(|one| one.band.is_known()));
            }
        }
    }
}

/// What was expected of series 0, and forecast of it, must not depend on the values of a span that is
/// left out of training.
#[test]
fn what_is_excluded_from_training_leaves_no_trace() {
    let (from, to, end) = (2_400, 2_700, 2_800);
    let last = |settings: &SignalSettings, outage: f64| {
        let mut unit = unit(settings);
        let shifted = |begin: i64, end: i64| {
            let mut matrix = matrix(begin, end);
            for (at, value) in matrix.series.iter_mut().flat_map(|one| &mut one.samples) {
                if (from..to).contains(&(*at / STEP)) {
                    *value += outage;
                }
            }
            matrix
        };
        let history = unit.history_start(2_300 * STEP) / STEP;
        unit.ingest(&shifted(history, 2_300));
        let begin = unit.restart(2_300 * STEP) / STEP;
        let mut newest = Outcome::default();
        for index in begin + 1..=end {
            if index > 2_300 {
                unit.ingest(&shifted(index, index));
            }
            newest = unit.advance(index * STEP, Mode::Study);
        }
        let bands: Vec<_> = newest.series.iter().map(|one| one.band).collect();
        format!("{bands:?} {:?}", newest.forecasts)
    };
    let excluded = excluding(from, to, "[training, scoring]");
    assert_eq!(last(&excluded, 500.0), last(&excluded, 0.0));
    assert_ne!(last(&settings(), 500.0), last(&settings(), 0.0));
}

#[test]
fn an_incident_is_seen_and_ends() {
    let mut unit = unit(&settings());
    let history = unit.history_start(2_100 * STEP) / STEP;
    unit.ingest(&matrix(history, 2_099));
    // Index 2,100 is when an incident of series 0 begins, and nothing else happens to it.
    let from = unit.restart(2_099 * STEP) / STEP;
    let mut active = Vec::new();
    for index in from + 1..2_160 {
        unit.ingest(&matrix(index, index));
        let outcome = unit.advance(index * STEP, Mode::Study);
        let series = outcome
            .series
            .iter()
            .find(|series| series.labels == labels(0));
        active.push((index, series.is_some_and(|series| series.active)));
    }
    let on: Vec<i64> = active
        .iter()
        .filter(|(index, on)| *on && *index >= 2_100)
        .map(|(index, _)| *index)
        .collect();
    assert!(on.first().is_some_and(|&first| first <= 2_104), "{on:?}");
    assert!(on.last().is_some_and(|&last| last < 2_130), "{on:?}");
}

#[test]
fn a_missing_series_is_absent_at_once() {
    let mut unit = unit(&settings());
    unit.ingest(&matrix(0, 2_000));
    let from = unit.restart(2_000 * STEP) / STEP;
    for index in from + 1..=2_000 {
        unit.advance(index * STEP, Mode::Replay);
    }
    let outcome = unit.advance(2_001 * STEP, Mode::Publish);
    assert!(outcome.series.is_empty());
    assert!(
        outcome
            .chunks
            .iter()
            .all(|chunk| !chunk.name().starts_with("predicted_load"))
    );
}

#[test]
fn a_wide_series_misses_nothing_of_what_it_catches_up_with() {
    let wide = SignalSettings {
        class: Class::Wide,
        ..settings()
    };
    let run = |outage: std::ops::Range<i64>| {
        let mut unit = unit(&wide);
        unit.ingest(&matrix(0, 0));
        let from = unit.restart(0) / STEP + 1;
        let mut last = Outcome::default();
        for index in from..=outage.end + 20 {
            if index == outage.end {
                unit.ingest(&matrix(outage.start - 4, index));
                for missed in outage.clone() {
                    unit.advance(missed * STEP, Mode::Replay);
                }
            } else if !outage.contains(&index) {
                unit.ingest(&matrix(index, index));
            }
            if !outage.contains(&index) {
                last = unit.advance(index * STEP, Mode::Study);
            }
        }
        last
    };
    let (through, caught_up) = (run(2_900..2_900), run(2_800..2_900));
    assert!(through.series.iter().all(|series| series.score.is_finite()));
    assert_same(&through, &caught_up);
}

#[test]
fn corrections_are_counted() {
    let mut unit = unit(&settings());
    unit.ingest(&matrix(0, 100));
    unit.restart(100 * STEP);
    let mut late = matrix(100, 100);
    late.series[0].samples[0].1 += 1.0;
    unit.ingest(&late);
    let first = unit.evaluated().unwrap() + STEP;
    let outcome = unit.advance(first, Mode::Replay);
    assert_eq!(outcome.counts.corrections, 1);
}

#[test]
fn series_over_the_limit_are_left_out() {
    let limited = SignalSettings {
        max_series: 1,
        ..settings()
    };
    let mut unit = unit(&limited);
    unit.ingest(&matrix(0, 10));
    assert_eq!(unit.series(), 1);
    unit.restart(10 * STEP);
    let first = unit.evaluated().unwrap() + STEP;
    assert_eq!(unit.advance(first, Mode::Replay).counts.refused, 3);
}

#[test]
fn a_series_that_is_gone_makes_room_for_one_that_is_there() {
    let limited = SignalSettings {
        max_series: 1,
        ..settings()
    };
    let mut unit = unit(&limited);
    let only = |series: u64, from: i64, to: i64| {
        let mut matrix = matrix(from, to);
        matrix.series.retain(|own| own.labels == labels(series));
        matrix
    };
    unit.ingest(&only(0, 0, 10));
    unit.ingest(&only(1, 11, 20));
    unit.restart(20 * STEP);
    let mut last = Outcome::default();
    let first = unit.evaluated().unwrap() / STEP + 1;
    for index in first..=20 {
        last = unit.advance(index * STEP, Mode::Replay);
    }
    let there: Vec<_> = last.series.iter().map(|own| own.labels.clone()).collect();
    assert_eq!(there, [labels(1)]);
}

#[test]
fn what_began_before_the_start_is_not_counted_as_begun() {
    let mut unit = unit(&settings());
    let history = unit.history_start(2_115 * STEP) / STEP;
    unit.ingest(&matrix(history, 2_115));
    let from = unit.restart(2_115 * STEP) / STEP;
    let mut replayed = 0;
    for index in from + 1..=2_115 {
        let outcome = unit.advance(index * STEP, Mode::Replay);
        replayed += outcome.counts.begun.iter().sum::<u64>();
    }
    assert!(replayed > 0, "an incident lies in what is replayed");
    unit.ingest(&matrix(2_116, 2_116));
    let outcome = unit.advance(2_116 * STEP, Mode::Publish);
    assert_eq!(unit.publisher.begun, outcome.counts.begun);
}

#[test]
fn a_series_silent_since_before_the_restart_is_derived_at_the_right_times() {
    let silent = |start: i64| {
        let mut unit = unit(&settings());
        let history = unit.history_start(start * STEP) / STEP;
        let mut past = matrix(history, start);
        for series in &mut past.series {
            series.samples.retain(|sample| sample.0 <= 2_000 * STEP);
        }
        unit.ingest(&past);
        let from = unit.restart(start * STEP) / STEP;
        let mut last = Outcome::default();
        for index in from + 1..=2_420 {
            if index > 2_400 {
                unit.ingest(&matrix(index, index));
            }
            last = unit.advance(index * STEP, Mode::Study);
        }
        last
    };
    let (long, fresh) = (silent(2_010), silent(2_395));
    assert!(!long.series.is_empty());
    assert_same(&long, &fresh);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn the_order_of_series_does_not_matter(shift in 1_usize..5) {
        let mut rotated = matrix(0, 600);
        rotated.series.rotate_left(shift);
        let outcome = |history: &Matrix| {
            let mut unit = unit(&settings());
            unit.ingest(history);
            let from = unit.restart(600 * STEP) / STEP;
            (from + 1..=600).map(|index| unit.advance(index * STEP, Mode::Study)).last()
        };
        let (one, other) = (outcome(&matrix(0, 600)), outcome(&rotated));
        if let (Some(one), Some(other)) = (one, other) {
            assert_same(&one, &other);
        }
    }
}
