//! What holds for every signal, whatever its series are called and do: of learning that is held back, of budgets,
//! of sources that are away, of labels and their order.

use super::*;
use crate::source::SeriesSamples;
use proptest::prelude::*;

const STEP: Millis = 300_000;
const DAY: i64 = 288;

/// The value of a series in a grid slot; `None` is a missing sample.
type Course<'a> = &'a dyn Fn(u64, i64) -> Option<f64>;

/// A week of five minutes, as is the default otherwise.
fn settings(more: &str) -> SignalSettings {
    let text = format!(
        "{{name: load, query: up, step: 5m, history: 7d, forecast: {{horizons: []}}, {more}}}"
    );
    let settings: SignalSettings = serde_yaml::from_str(&text).unwrap();
    assert_eq!(settings.validate(), []);
    settings
}

/// A daily course with noise.
fn usual(series: u64, index: i64) -> f64 {
    let phase = (index % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
    let mut random = fastrand::Rng::with_seed(series.wrapping_mul(1 << 40) ^ index as u64);
    100.0 + 30.0 * phase.sin() + 12.0 * (random.f64() - 0.5)
}

/// So many series of a source, and how they are called.
struct Source<'a> {
    course: Course<'a>,
    names: Vec<String>,
}

impl<'a> Source<'a> {
    fn new(course: Course<'a>, series: usize) -> Self {
        let names = (0..series).map(|number| format!("pod-{number}")).collect();
        Self { course, names }
    }

    fn matrix(&self, from: i64, to: i64) -> Matrix {
        let series = self.names.iter().enumerate().map(|(number, name)| {
            let sample = |index| Some((index * STEP, (self.course)(number as u64, index)?));
            SeriesSamples {
                labels: Labels::new([("pod", name.as_str())]).unwrap(),
                samples: (from..=to).filter_map(sample).collect(),
            }
        });
        Matrix {
            series: series.collect(),
            ..Matrix::default()
        }
    }

    /// Every outcome after a start at `start`, up to `end`.
    fn run(&self, settings: &SignalSettings, start: i64, end: i64) -> Vec<Outcome> {
        let (options, models) = (UnitOptions::default(), ModelFiles::default());
        let mut unit = SignalUnit::new(settings, &options, &models).unwrap();
        let history = unit.history_start(start * STEP) / STEP;
        unit.ingest(&self.matrix(history, start));
        let from = unit.restart(start * STEP) / STEP;
        for index in from + 1..=start {
            unit.advance(index * STEP, Mode::Replay);
        }
        let step = |index: i64| {
            unit.ingest(&self.matrix(index, index));
            unit.advance(index * STEP, Mode::Publish)
        };
        (start + 1..=end).map(step).collect()
    }
}

/// Everything that is said of the series at one time.
fn said(outcome: &Outcome) -> Vec<String> {
    let one = |series: &crate::engine::SeriesOutcome| {
        let crate::engine::SeriesOutcome {
            labels,
            score,
            active,
            severity,
            band,
            ..
        } = series;
        let (expected, upper) = (band.expected, band.upper);
        format!("{labels:?} {score:.4} {active} {severity} {expected:.3} {upper:.3}")
    };
    outcome.series.iter().map(one).collect()
}

/// The grid slots at which the verdict of the first series is on.
fn on(outcomes: &[Outcome]) -> Vec<i64> {
    let active = |outcome: &&Outcome| outcome.series.first().is_some_and(|one| one.active);
    let on = outcomes.iter().filter(active);
    on.map(|outcome| outcome.at / STEP).collect()
}

fn begun(outcomes: &[Outcome]) -> u64 {
    let begun = outcomes.iter().map(|outcome| outcome.counts.begun);
    begun.map(|[below, above]| below + above).sum()
}

/// The newest value of a gauge that is one of the signal.
fn gauge(outcome: &Outcome, name: &str) -> Option<f64> {
    let chunk = outcome.chunks.iter().find(|chunk| chunk.name() == name)?;
    chunk.values().next()
}

/// Spikes twice a day, and an outage of seven hours.
fn troubled(series: u64, index: i64) -> Option<f64> {
    let shifted = index + 37 * series as i64;
    match shifted {
        3_820..3_904 => Some(0.0),
        _ if shifted % 144 < 3 => Some(usual(series, index) + 90.0),
        _ => Some(usual(series, index)),
    }
}

#[test]
fn a_restart_agrees_in_and_after_an_outage_and_over_a_budget() {
    let source = Source::new(&troubled, 2);
    let settings = settings("alerting: {budget: {alarms: 1, per: 2d}}");
    let (first, end) = (2_900, 4_000);
    let long = source.run(&settings, first, end);
    for start in [3_790, 3_850, 3_910, 3_980] {
        let fresh = source.run(&settings, start, end);
        for (long, fresh) in long[(start - first) as usize..].iter().zip(&fresh) {
            assert_eq!(said(long), said(fresh), "{start} {}", long.at / STEP);
        }
    }
    let over = |outcome: &Outcome| gauge(outcome, "anomaly_budget_exceeded_ratio");
    assert!(long.iter().any(|outcome| over(outcome) > Some(0.0)));
    let down: Vec<i64> = (3_822..3_904).collect();
    let on = on(&long);
    assert!(down.iter().all(|index| on.contains(index)), "{on:?}");
}

#[test]
fn a_budget_makes_bounds_wider_but_hides_no_outage() {
    let source = Source::new(&troubled, 1);
    let run = |more: &str| source.run(&settings(more), 2_900, 3_910);
    let (without, with) = (run(""), run("alerting: {budget: {alarms: 1, per: 1w}}"));
    let width = |outcomes: &[Outcome]| {
        let bands = outcomes.iter().flat_map(|outcome| &outcome.series);
        bands
            .map(|one| f64::from(one.band.upper - one.band.lower))
            .sum::<f64>()
    };
    assert!(width(&with) > 1.2 * width(&without));
    assert!(on(&with).contains(&3_860));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_source_that_was_away_for_hours_is_silence_and_no_alarm(
        seed in 0_u64..1_000, from in 2_320_i64..2_500, hours in 1_i64..30,
    ) {
        let away = from..from + 12 * hours;
        let course = |series: u64, index: i64| {
            (!away.contains(&index)).then(|| usual(series + seed, index))
        };
        let outcomes = Source::new(&course, 3).run(&settings(""), 2_300, away.end + DAY);
        prop_assert_eq!(begun(&outcomes), 0);
        let silent = |outcome: &&Outcome| away.contains(&(outcome.at / STEP));
        for outcome in outcomes.iter().filter(silent) {
            let scored = outcome.series.iter().any(|one| one.value.is_finite());
            prop_assert!(!scored && gauge(outcome, "anomaly_group_ratio").is_none());
        }
        let last = outcomes.last().unwrap();
        prop_assert!(last.series.len() == 3 && last.series.iter().all(|one| one.score.is_finite()));
    }

    #[test]
    fn an_outage_is_found_whatever_a_series_is_called(name in "[a-z]{1,12}", hours in 1_i64..8) {
        let down = 2_400..2_400 + 12 * hours;
        let course = |series: u64, index: i64| {
            Some(if down.contains(&index) { 0.0 } else { usual(series, index) })
        };
        let mut source = Source::new(&course, 1);
        source.names = vec![name];
        let on = on(&source.run(&settings(""), 2_300, down.end + DAY / 2));
        // Two steps until it is on, three ordinary ones until it is off.
        let expected: Vec<i64> = (down.start..down.end + 2).collect();
        prop_assert!(on == expected[..] || on == expected[1..], "{on:?}");
    }
}
