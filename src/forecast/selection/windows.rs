//! Windows: who forecasts them, and what they remember of the day before.

use super::*;
use crate::{
    forecast::{ModelSettings, Models, last_value, recent, seasonal_mean},
    series::{Span, Zone},
};

const STEP: Millis = 300_000;
const DAY: usize = 288;

fn forecasts(models: Vec<ModelSettings>) -> Forecasts {
    let settings = Settings {
        horizons: Some(vec![Span::minutes(15), Span::minutes(60)]),
        windows: vec![Span::minutes(15)],
        models: Models::Given(models),
        ..Settings::default()
    };
    let grid = Grid::new(STEP).unwrap();
    let mut forecasts = Forecasts::build(&settings, grid, &ModelFiles::new()).unwrap();
    forecasts.grow(2);
    forecasts
}

fn rebuild(forecasts: &mut Forecasts, slot: Slot, values: &[f32], last: usize) {
    let zone = Zone::default();
    let past = Past {
        end: last as i64 * STEP,
        grid: Grid::new(STEP).unwrap(),
        values: &values[..=last],
        seasons: &[],
        zone: &zone,
    };
    forecasts.rebuild(slot, &past);
}

fn mean() -> ModelSettings {
    ModelSettings::SeasonalMean(seasonal_mean::Settings::default())
}

/// A level that walks slowly, and noise around it.
fn walking(count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(4);
    let mut level = 100.0_f32;
    let step = |_| {
        level += random.f32() - 0.5;
        level + 8.0 * random.f32()
    };
    (0..count).map(step).collect()
}

#[test]
fn who_is_about_windows_leaves_horizons_to_others_unless_alone() {
    let values = walking(8 * DAY);
    let recent = || ModelSettings::Recent(recent::Settings::default());
    let mut both = forecasts(vec![mean(), recent()]);
    rebuild(&mut both, 0, &values, 8 * DAY - 1);
    assert_eq!(both.model(0, 0), Some("seasonal_mean"));
    assert_eq!(both.model(0, 1), Some("seasonal_mean"));
    assert_eq!(both.model(0, 2), Some("recent"), "the window");
    let mut alone = forecasts(vec![recent()]);
    rebuild(&mut alone, 0, &values, 8 * DAY - 1);
    assert_eq!(alone.model(0, 0), Some("recent"));
}

/// Noise around ten; a job of a quarter of an hour at a fixed time of day takes forty.
fn with_a_job(days: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(8);
    let value = |index: usize| match index % DAY {
        100..103 => 40.0,
        _ => 10.0 + random.f32(),
    };
    (0..days * DAY).map(value).collect()
}

#[test]
fn a_job_of_every_day_is_in_the_quantiles_of_its_window_and_in_no_other() {
    let values = with_a_job(12);
    let last_value = ModelSettings::LastValue(last_value::Settings::default());
    let mut series = forecasts(vec![last_value]);
    let epoch = 11 * DAY;
    rebuild(&mut series, 0, &values, epoch);
    let quantile = |series: &mut Forecasts, slot: Slot| {
        let mut out = [f32::NAN];
        series.quantiles_of_maxima(slot, &[0.9], &mut out);
        out[0]
    };
    let mut told = vec![quantile(&mut series, 0)];
    for index in epoch + 1..epoch + 120 {
        series.step(index as i64 * STEP, &[0], &values[index..=index]);
        told.push(quantile(&mut series, 0));
    }
    // Windows of three steps that hold some of 100 to 102, asked for before and while it runs.
    assert!(told[97..102].iter().all(|&value| value >= 40.0), "{told:?}");
    assert!(told[..97].iter().all(|&value| value < 20.0), "{told:?}");
    // A fresh start, in another slot, tells the same.
    rebuild(&mut series, 1, &values, epoch);
    series.step(
        (epoch + 1) as i64 * STEP,
        &[1],
        &values[epoch + 1..epoch + 2],
    );
    assert_eq!(quantile(&mut series, 1), told[1]);
}
