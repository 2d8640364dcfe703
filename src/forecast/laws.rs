//! What must hold of all forecasts, whatever the models.

use super::{
    Forecaster, Forecasts, Interval, KINDS, ModelFiles, ModelSettings, Models, Settings, auto,
    drift, mstl_ets, prophet, trees,
};
use crate::series::{Grid, Millis, Past, Slot, Span, Zone};
use proptest::prelude::*;

const STEP: Millis = 300_000;
const DAY: usize = 288;

fn grid() -> Grid {
    Grid::new(STEP).unwrap()
}

fn settings() -> Settings {
    Settings {
        horizons: Some(vec![Span::minutes(15), Span::minutes(60), Span::days(1)]),
        ..Settings::default()
    }
}

/// Days of a season with noise, made from `seed`.
fn series(seed: u64, days: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..days * DAY)
        .map(|index| {
            let day = (index as f32 / DAY as f32 * std::f32::consts::TAU).sin();
            100.0 + 20.0 * day + 4.0 * (random.f32() + random.f32() - 1.0)
        })
        .collect()
}

fn past<'a>(values: &'a [f32], last: usize, zone: &'a Zone) -> Past<'a> {
    const SEASONS: &[usize] = &[DAY];
    let seasons = if last >= 2 * DAY { SEASONS } else { &[] };
    Past {
        end: last as i64 * STEP,
        grid: grid(),
        values: &values[..=last],
        seasons,
        zone,
    }
}

/// Rebuilt at `epoch`, stepped to the end.
fn run(forecasts: &mut Forecasts, slot: Slot, values: &[f32], epoch: usize) -> Vec<Interval> {
    let zone = Zone::default();
    forecasts.rebuild(slot, &past(values, epoch, &zone));
    for (index, &value) in values.iter().enumerate().skip(epoch + 1) {
        forecasts.step(index as i64 * STEP, &[slot], &[value]);
    }
    let mut out = vec![Interval::ABSENT; forecasts.horizons().len()];
    forecasts.intervals(&[slot], &mut out);
    out
}

fn fresh(slots: usize) -> Forecasts {
    let mut forecasts = Forecasts::build(&settings(), grid(), &ModelFiles::new()).unwrap();
    forecasts.grow(slots);
    forecasts
}

/// What `auto` leaves out and what needs no file.
fn others() -> Vec<ModelSettings> {
    vec![
        ModelSettings::Drift(drift::Settings::default()),
        ModelSettings::MstlEts(mstl_ets::Settings::default()),
        ModelSettings::Prophet(prophet::Settings::default()),
        ModelSettings::Trees(trees::Settings::default()),
    ]
}

fn alone(model: &ModelSettings, slots: usize) -> Forecasts {
    let settings = Settings {
        models: Models::Given(vec![model.clone()]),
        ..settings()
    };
    let mut forecasts = Forecasts::build(&settings, grid(), &ModelFiles::new()).unwrap();
    forecasts.grow(slots);
    forecasts
}

fn bits(intervals: &[Interval]) -> Vec<[u32; 3]> {
    let bits =
        |interval: &Interval| [interval.expected, interval.lower, interval.upper].map(f32::to_bits);
    intervals.iter().map(bits).collect()
}

#[test]
fn the_list_is_sorted_and_names_are_their_kinds() {
    assert!(KINDS.is_sorted());
    for model in auto().into_iter().chain(others()) {
        let built = model.build(grid(), &[1], &ModelFiles::new()).unwrap();
        assert_eq!(built.kind(), model.kind());
        assert!(KINDS.contains(&built.kind()));
    }
}

#[test]
fn a_regular_series_is_forecast_within_its_noise() {
    let values = series(1, 12);
    let mut forecasts = fresh(1);
    let out = run(&mut forecasts, 0, &values, 12 * DAY - 40);
    for (h, interval) in out.iter().enumerate() {
        let steps = forecasts.horizons()[h];
        let phase = (values.len() - 1 + steps) as f32 / DAY as f32 * std::f32::consts::TAU;
        let truth = 100.0 + 20.0 * phase.sin();
        assert!(
            (interval.expected - truth).abs() < 2.0,
            "{h}: {interval:?} {truth}"
        );
        let width = interval.upper - interval.lower;
        assert!((3.0..9.0).contains(&width), "{h}: {interval:?}");
        let trust = forecasts.trust(0, h).unwrap();
        assert!(
            trust.skill_ratio > 0.1 && trust.error_ratio < 0.05,
            "{trust:?}"
        );
        assert!((0.8..=1.0).contains(&trust.coverage_ratio), "{trust:?}");
        assert!(forecasts.model(0, h).is_some());
    }
}

#[test]
fn exchanged_series_go_on_as_each_other() {
    let (one, other) = (series(2, 7), series(3, 7));
    let zone = Zone::default();
    let run = |exchanged: bool| {
        let mut forecasts = fresh(3);
        forecasts.rebuild(0, &past(&one, 6 * DAY, &zone));
        forecasts.rebuild(2, &past(&other, 6 * DAY, &zone));
        let (first, second) = if exchanged {
            forecasts.swap(0, 2);
            (2, 0)
        } else {
            (0, 2)
        };
        let mut out = vec![Interval::ABSENT; 2 * forecasts.horizons().len()];
        for index in 6 * DAY + 1..7 * DAY {
            let at = index as i64 * STEP;
            forecasts.step(at, &[first, second], &[one[index], other[index]]);
        }
        forecasts.intervals(&[first, second], &mut out);
        (
            bits(&out),
            forecasts.trust(first, 0),
            forecasts.model(second, 1),
        )
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn state_depends_on_the_past_at_the_epoch_and_the_samples_since_only() {
    let values = series(2, 9);
    let (early, late) = (6 * DAY, 8 * DAY);
    let mut other = fresh(7);
    let zone = Zone::default();
    // Another series in the neighbouring slot, an epoch before, an eviction.
    run(&mut other, 3, &series(3, 7), 5 * DAY);
    run(&mut other, 5, &series(4, 7), 5 * DAY);
    other.evict(5);
    other.rebuild(5, &past(&values, early, &zone));
    for (index, &value) in values.iter().enumerate().take(late + 1).skip(early + 1) {
        other.step(index as i64 * STEP, &[5], &[value]);
    }
    let ran_all_along = run(&mut other, 5, &values, late);
    let restarted = run(&mut fresh(1), 0, &values, late);
    assert_eq!(bits(&ran_all_along), bits(&restarted));
    assert!(restarted[2].expected.is_finite());
}

#[test]
fn a_step_at_the_time_of_the_rebuild_counts_once() {
    let values = series(5, 6);
    let last = values.len() - 1;
    let (mut once, mut twice) = (fresh(1), fresh(1));
    let expected = run(&mut once, 0, &values, last);
    run(&mut twice, 0, &values, last);
    twice.step(last as i64 * STEP, &[0], &[values[last]]);
    let mut got = expected.clone();
    twice.intervals(&[0], &mut got);
    assert_eq!(bits(&got), bits(&expected));
}

#[test]
fn carried_on_equals_fitted_later() {
    let values = series(6, 5);
    let zone = Zone::default();
    let horizons = [3, 12, 288];
    for model in auto() {
        if !matches!(model.kind(), "last_value" | "seasonal_naive") {
            continue; // What has parameters is held by the test of its recursion.
        }
        let build = || model.build(grid(), &horizons, &ModelFiles::new()).unwrap();
        let (mut carried, mut fitted): (Box<dyn Forecaster>, _) = (build(), build());
        carried.grow(1);
        fitted.grow(1);
        let last = values.len() - 1;
        assert!(carried.fit(0, &past(&values, last - 400, &zone)));
        assert!(fitted.fit(0, &past(&values, last, &zone)));
        for (index, &value) in values.iter().enumerate().skip(last - 399) {
            carried.extend(index as i64 * STEP, &[0], &[value]);
        }
        let (mut one, mut other) = ([0.0; 3], [0.0; 3]);
        carried.predict(&[0], &horizons, &mut one);
        fitted.predict(&[0], &horizons, &mut other);
        assert_eq!(one, other, "{}", model.kind());
    }
}

#[test]
fn what_auto_leaves_out_is_exchanged_and_evicted_whole() {
    let (one, other) = (series(2, 7), series(3, 7));
    let zone = Zone::default();
    for model in others() {
        let restarted = run(&mut alone(&model, 1), 0, &one, 6 * DAY);
        let mut used = alone(&model, 3);
        run(&mut used, 0, &other, 5 * DAY);
        used.evict(0);
        used.rebuild(0, &past(&one, 6 * DAY, &zone));
        used.rebuild(2, &past(&other, 6 * DAY, &zone));
        used.swap(0, 2);
        for index in 6 * DAY + 1..7 * DAY {
            used.step(index as i64 * STEP, &[2, 0], &[one[index], other[index]]);
        }
        let mut out = vec![Interval::ABSENT; 3];
        used.intervals(&[2], &mut out);
        assert_eq!(bits(&out), bits(&restarted), "{}", model.kind());
        assert!(out[2].expected.is_finite(), "{}", model.kind());
        assert_eq!(used.model(2, 0), Some(model.kind()));
    }
}

#[test]
fn a_constant_series_stays_what_it_is() {
    for constant in [0.0_f32, 7.0, -3e9] {
        let values = vec![constant; 6 * DAY];
        let mut out = run(&mut fresh(1), 0, &values, 5 * DAY);
        for model in others() {
            out.extend(run(&mut alone(&model, 1), 0, &values, 5 * DAY));
        }
        for interval in out {
            let near = |value: f32| (value - constant).abs() <= constant.abs() * 1e-5 + 1e-6;
            assert!(near(interval.expected), "{constant}: {interval:?}");
            assert!(
                near(interval.lower) && near(interval.upper),
                "{constant}: {interval:?}"
            );
            assert!((interval.lower..=interval.upper).contains(&constant));
        }
    }
}

#[test]
fn a_young_series_has_near_horizons_first() {
    let values = series(7, 1);
    let out = run(&mut fresh(1), 0, &values, 127);
    assert!(
        out[0].expected.is_finite() && out[1].expected.is_finite(),
        "{out:?}"
    );
    assert_eq!(
        bits(&out[2..]),
        bits(&[Interval::ABSENT]),
        "a day ahead after a day is a guess"
    );
    let out = run(&mut fresh(1), 0, &values[..31], 28);
    assert_eq!(bits(&out), bits(&[Interval::ABSENT; 3]));
}

#[test]
fn quantiles_are_absent_where_nothing_is_published_and_rise_where_something_is() {
    const LEVELS: [f32; 3] = [0.1, 0.5, 0.9];
    let values = series(4, 12);
    let mut forecasts = fresh(2);
    let mut out = vec![0.0; forecasts.horizons().len() * LEVELS.len()];
    forecasts.quantiles(0, &LEVELS, &mut out);
    assert!(
        out.iter().all(|value| value.is_nan()),
        "never seen: {out:?}"
    );
    run(&mut forecasts, 0, &values[..20], 19);
    forecasts.quantiles(0, &LEVELS, &mut out);
    assert!(out.iter().all(|value| value.is_nan()), "too young: {out:?}");
    run(&mut forecasts, 1, &values, values.len() - 1);
    forecasts.quantiles(1, &LEVELS, &mut out);
    for row in out.chunks_exact(LEVELS.len()) {
        assert!(row[0] < row[1] && row[1] < row[2], "{out:?}");
    }
    let none = Settings {
        horizons: Some(Vec::new()),
        ..Settings::default()
    };
    let mut none = Forecasts::build(&none, grid(), &ModelFiles::new()).unwrap();
    none.grow(1);
    none.quantiles(0, &LEVELS, &mut []);
}

#[test]
fn a_model_file_that_is_missing_is_named() {
    let onnx = ModelSettings::Onnx(super::onnx::Settings {
        path: Some("gone.onnx".into()),
        window: Some(8),
        ..Default::default()
    });
    let settings = Settings {
        models: Models::Given(vec![onnx]),
        ..settings()
    };
    assert_eq!(
        settings.model_paths(),
        [std::path::PathBuf::from("gone.onnx")]
    );
    let problem = Forecasts::build(&settings, grid(), &ModelFiles::new()).unwrap_err();
    assert!(problem.contains("gone.onnx"), "{problem}");
}

#[test]
fn memory_of_a_deep_series_is_bounded() {
    let grid = Grid::new(60_000).unwrap();
    let mut forecasts = Forecasts::build(&Settings::default(), grid, &ModelFiles::new()).unwrap();
    forecasts.grow(1);
    let mut random = fastrand::Rng::with_seed(8);
    let values: Vec<f32> = (0..18 * 1_440)
        .map(|minute| (minute as f32 / 1_440.0 * std::f32::consts::TAU).sin() + random.f32())
        .collect();
    let zone = Zone::default();
    let seasons = [1_440, 10_080];
    let past = Past {
        end: 0,
        grid,
        values: &values,
        seasons: &seasons,
        zone: &zone,
    };
    forecasts.rebuild(0, &past);
    for minute in 1..3_000 {
        forecasts.step(minute * 60_000, &[0], &[0.5]);
    }
    let bytes = forecasts.heap_bytes();
    assert!((20_000..100_000).contains(&bytes), "{bytes}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// By a power of two, which no rounding disturbs.
    #[test]
    fn scaling_the_series_scales_the_forecast(seed in 0_u64..1_000, power in -12_i32..12) {
        let factor = 2.0_f32.powi(power);
        let values = series(seed, 5);
        let scaled: Vec<f32> = values.iter().map(|value| value * factor).collect();
        let one = run(&mut fresh(1), 0, &values, 5 * DAY - 20);
        let other = run(&mut fresh(1), 0, &scaled, 5 * DAY - 20);
        for (one, other) in one.iter().zip(&other) {
            let tolerance = 1e-4 * factor * 100.0;
            prop_assert!((one.expected * factor - other.expected).abs() < tolerance);
            prop_assert!((one.lower * factor - other.lower).abs() < tolerance);
            prop_assert!((one.upper * factor - other.upper).abs() < tolerance);
        }
    }

    /// As above, of what `auto` leaves out: where seasons are factors too.
    #[test]
    fn scaling_scales_what_auto_leaves_out(seed in 0_u64..1_000, power in -12_i32..12) {
        let factor = 2.0_f32.powi(power);
        let values = series(seed, 5);
        let scaled: Vec<f32> = values.iter().map(|value| value * factor).collect();
        for model in others() {
            let one = run(&mut alone(&model, 1), 0, &values, 5 * DAY - 20);
            let other = run(&mut alone(&model, 1), 0, &scaled, 5 * DAY - 20);
            for (one, other) in one.iter().zip(&other) {
                let difference = (one.expected * factor - other.expected).abs();
                prop_assert!(difference < 1e-2 * factor, "{} {one:?} {other:?}", model.kind());
            }
        }
    }

    /// Values in eighths, so that the shifted series holds the same differences exactly. Choices
    /// between near equals may still fall the other way by rounding, within the noise.
    #[test]
    fn shifting_the_series_shifts_the_forecast(seed in 0_u64..1_000, shift in -4_i32..4) {
        let shift = shift as f32 * 1_024.0;
        let values: Vec<f32> = series(seed, 5).iter().map(|value| (value * 8.0).round() / 8.0).collect();
        let shifted: Vec<f32> = values.iter().map(|value| value + shift).collect();
        let one = run(&mut fresh(1), 0, &values, 5 * DAY - 20);
        let other = run(&mut fresh(1), 0, &shifted, 5 * DAY - 20);
        for (one, other) in one.iter().zip(&other) {
            prop_assert!((one.expected + shift - other.expected).abs() < 0.5, "{one:?} {other:?}");
            prop_assert!((one.lower + shift - other.lower).abs() < 1.0, "{one:?} {other:?}");
            prop_assert!((one.upper + shift - other.upper).abs() < 1.0, "{one:?} {other:?}");
        }
    }

    /// Forecasts of a series far from zero stay near its values, which lie between 76 and 124: never
    /// further outside than these are apart, however much is missing, and the expected value less far.
    #[test]
    fn gaps_never_become_zeros(
        seed in 0_u64..1_000,
        gaps in prop::collection::vec((0_usize..6 * DAY, 1_usize..200), 0..12),
    ) {
        let mut values = series(seed, 6);
        for (from, length) in gaps {
            let to = (from + length).min(values.len());
            values[from..to].fill(f32::NAN);
        }
        let mut usual = fresh(1);
        let mut out = run(&mut usual, 0, &values, 5 * DAY);
        // What a gap makes unknown is no failure of a member.
        let failed = |forecasts: &mut Forecasts| forecasts.take_failures().find(|(.., times)| *times > 0);
        prop_assert_eq!(failed(&mut usual), None);
        for model in others() {
            let mut other = alone(&model, 1);
            out.extend(run(&mut other, 0, &values, 5 * DAY));
            prop_assert_eq!(failed(&mut other), None);
        }
        for interval in out.iter().filter(|interval| interval.expected.is_finite()) {
            prop_assert!((60.0..140.0).contains(&interval.expected), "{interval:?}");
            prop_assert!(interval.lower > 28.0 && interval.upper < 172.0, "{interval:?}");
            prop_assert!(interval.lower <= interval.expected && interval.expected <= interval.upper);
        }
    }
}
