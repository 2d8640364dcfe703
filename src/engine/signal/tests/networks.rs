//! A network that has no number for some of what it is asked. `tests/fixtures/forecast/make_onnx.py` makes it: it
//! answers with the newest value, and with nothing where that is far below its window.

use super::*;
use crate::forecast::{FailureReason, Link};

const START: i64 = 2_600;
/// The step at which something happens.
const CRASH: i64 = START + 20;

fn settings() -> SignalSettings {
    let text = "{name: load, query: up, step: 5m, history: 7d, forecast: {horizons: [15m, 1h], \
                models: [seasonal_mean: {}, onnx: {path: moody.onnx, window: 16}]}}";
    let value = serde_yaml::Deserializer::from_str(text);
    serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap()
}

fn unit() -> SignalUnit {
    let name = "tests/fixtures/forecast/moody.onnx";
    let bytes = std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let models = ModelFiles::from([("moody.onnx".into(), Arc::from(bytes))]);
    SignalUnit::new(&settings(), &UnitOptions::default(), &models).unwrap()
}

/// Two walks, of which nobody knows more than their newest value.
fn walks(end: i64) -> Vec<Vec<f64>> {
    let walk = |series: u64| {
        let mut level = 1_000.0;
        let step = |index| {
            level += noise(series + 7, index);
            level
        };
        (0..=end).map(step).collect()
    };
    (0..2).map(walk).collect()
}

fn samples(walks: &[Vec<f64>], from: i64, to: i64) -> Matrix {
    let series = walks.iter().enumerate().map(|(series, walk)| {
        let at = |index: i64| (index * STEP, walk[index as usize]);
        SeriesSamples {
            labels: labels(series as u64),
            samples: (from..=to).map(at).collect(),
        }
    });
    Matrix {
        series: series.collect(),
        ..Matrix::default()
    }
}

/// What was told of each step after the start, and the state of the breaker then.
fn live(walks: &[Vec<f64>]) -> Vec<(Outcome, &'static str)> {
    let mut unit = unit();
    let history = unit.history_start(START * STEP) / STEP;
    unit.ingest(&samples(walks, history, START));
    let from = unit.restart(START * STEP) / STEP;
    for index in from + 1..=START {
        unit.advance(index * STEP, Mode::Replay);
    }
    let step = |index: i64| {
        unit.ingest(&samples(walks, index, index));
        let outcome = unit.advance(index * STEP, Mode::Publish);
        let state = unit.networks.states().next().unwrap();
        assert_eq!(state.0, "moody");
        (outcome, state.1)
    };
    (START + 1..walks[0].len() as i64).map(step).collect()
}

/// How often the network failed for want of a number.
fn failures(outcome: &Outcome) -> u64 {
    let failures = outcome.counts.failures.iter();
    let mut of = failures.filter(|one| (one.0, one.1) == ("onnx", FailureReason::NotFinite));
    of.next().unwrap().2
}

fn at<T>(steps: &[T], index: i64) -> &T {
    &steps[(index - START - 1) as usize]
}

#[test]
fn a_network_without_a_number_for_one_series_is_left_out_there_until_that_is_derived_anew() {
    let mut walks = walks(CRASH + 130);
    walks[1][CRASH as usize] -= 50.0;
    let steps = live(&walks);
    let (before, _) = at(&steps, CRASH - 1);
    assert_eq!(before.links, [Link::Champion; 4]);
    for index in CRASH..CRASH + 3 {
        let (outcome, state) = at(&steps, index);
        assert_eq!(outcome.links[..2], [Link::Champion; 2]);
        assert_eq!(outcome.links[2..], [Link::Ensemble; 2]);
        assert!(outcome.forecasts.iter().all(|one| one.upper.is_finite()));
        assert_eq!(failures(outcome), u64::from(index == CRASH), "counted once");
        assert_eq!(*state, "closed");
    }
    let shown = |name: &str, outcome: &Outcome| {
        let mut chunks = outcome.chunks.iter();
        let chunk = chunks.find(|chunk| chunk.name() == name).unwrap();
        format!("{chunk:?}")
    };
    let (outcome, _) = at(&steps, CRASH);
    let series = shown("forethought_forecast_series", outcome);
    assert!(
        series.contains("champion") && series.contains("absent"),
        "{series}"
    );
    let (last, _) = steps.last().unwrap();
    assert_eq!(last.links, [Link::Champion; 4], "an epoch later");
}

#[test]
fn a_network_without_a_number_for_anybody_rests_and_comes_back() {
    let mut walks = walks(CRASH + 80);
    for walk in &mut walks {
        for fall in 0..7 {
            walk[(CRASH + fall) as usize] -= 10.0_f64.powi(fall as i32 + 2);
        }
    }
    let steps = live(&walks);
    let states: Vec<&str> = (CRASH - 1..CRASH + 80)
        .map(|index| at(&steps, index).1)
        .collect();
    assert_eq!(states[..5], ["closed"; 5]);
    assert_eq!(states[5], "open", "after five steps without an answer");
    assert_eq!(failures(&at(&steps, CRASH).0), 2);
    assert_eq!(failures(&at(&steps, CRASH + 6).0), 0, "it is not asked");
    let (fallen, _) = at(&steps, CRASH + 6);
    assert!(fallen.links.iter().all(|&link| link == Link::Ensemble));
    // The trial is at a multiple of eight steps, and it is well again by then.
    let trial = (CRASH + 4).div_euclid(8) * 8 + 8;
    assert_eq!(at(&steps, trial - 1).1, "half_open");
    assert_eq!(at(&steps, trial).1, "closed");
    assert!(at(&steps, trial).0.links.contains(&Link::Champion));
}
