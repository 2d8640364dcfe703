//! Members against the models of `statsforecast` and Prophet, on the windows these were measured on.
//!
//! `reference_forecast_windows.csv` beside the public series holds, for ten origins of each of eight series at five
//! minutes, the errors over the path of the next 15 minutes, hour and day. MASE is the mean absolute error over that of
//! repeating the day before, in the history given. `forethought bench forecast` says more, and takes longer.

use super::{ModelFiles, ModelSettings, arima, harmonic, prophet, trees};
use crate::{
    bench::forecast::{
        data::{STEP, Series, series},
        windows::{HORIZONS, LONGEST, Plan, Window, plan},
    },
    series::{Grid, Millis, Past, Zone},
    stats::season,
};
use std::{collections::BTreeMap, path::PathBuf};

const DAY: usize = 288;

/// By horizon.
type Errors = [f64; HORIZONS.len()];

fn data() -> Option<PathBuf> {
    let given = std::env::var_os("FORETHOUGHT_DATA").map(PathBuf::from);
    let root =
        given.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let windows = root.join("reference_forecast_windows.csv");
    windows.is_file().then_some(root)
}

/// Mean MASE over the windows, by model of the reference.
fn reference(root: &std::path::Path) -> BTreeMap<String, Errors> {
    let mut reader = csv::Reader::from_path(root.join("reference_forecast_windows.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    let mut sums: BTreeMap<String, [(f64, f64); HORIZONS.len()]> = BTreeMap::new();
    for row in reader.records().map(Result::unwrap) {
        let horizon = &row[place("horizon")];
        let h = HORIZONS.iter().position(|(name, _)| name == &horizon);
        let sum = &mut sums.entry(row[place("model")].to_owned()).or_default()[h.unwrap()];
        let error: f64 = row[place("mase")].parse().unwrap();
        *sum = (sum.0 + error, sum.1 + 1.0);
    }
    let means = sums.into_iter();
    let means = means.map(|(model, sums)| (model, sums.map(|(sum, count)| sum / count)));
    means.collect()
}

/// Mean absolute error of a path over each horizon; actual values that are missing do not count.
fn errors(path: &[f32], actual: &[f32]) -> Errors {
    HORIZONS.map(|(_, steps)| mean_error(&path[..steps], &actual[..steps]))
}

fn mean_error(one: &[f32], other: &[f32]) -> f64 {
    let apart = one
        .iter()
        .zip(other)
        .map(|(one, other)| f64::from((one - other).abs()));
    let known: Vec<f64> = apart.filter(|error| error.is_finite()).collect();
    known.iter().sum::<f64>() / known.len() as f64
}

fn forecast(model: &ModelSettings, history: &[f32], end: Millis) -> Vec<f32> {
    let (grid, zone) = (Grid::new(STEP).unwrap(), Zone::default());
    let past = Past {
        end,
        grid,
        values: history,
        seasons: &season::detect(history, grid),
        zone: &zone,
    };
    let usual = HORIZONS.map(|(_, steps)| steps);
    let mut built = model.build(grid, &usual, &ModelFiles::new()).unwrap();
    built.grow(1);
    assert!(built.fit(0, &past), "{} abstains", model.kind());
    let horizons: Vec<usize> = (1..=LONGEST).collect();
    let mut path = vec![f32::NAN; LONGEST];
    built.predict(&[0], &horizons, &mut path);
    path
}

/// Mean MASE of `model` over the windows.
fn measure(model: &ModelSettings, plan: &Plan, all: &[Series]) -> Errors {
    let mut sums = [0.0; HORIZONS.len()];
    for &Window {
        series,
        origin,
        history,
    } in &plan.windows
    {
        let Series { start, values, .. } = &all[series];
        let history = &values[origin - history..origin];
        let end = start + (origin as Millis - 1) * STEP;
        let scale = mean_error(&history[DAY..], history);
        let path = forecast(model, history, end);
        for (sum, error) in sums.iter_mut().zip(errors(&path, &values[origin..])) {
            *sum += error / scale / plan.windows.len() as f64;
        }
    }
    sums
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the table is what a person runs this test for"
)]
fn members_are_as_good_as_what_they_are_named_after() {
    let Some(root) = data() else {
        println!("SKIPPED: no data; set FORETHOUGHT_DATA");
        return;
    };
    let published = reference(&root);
    let all = series(&root).unwrap();
    let plan = plan(&root, &all).unwrap();
    assert_eq!(plan.windows.len(), 80);
    for (model, errors) in &published {
        println!("{model:<16} {errors:.3?}");
    }
    let (arima_of, prophet_of) = (published["AutoARIMA"], published["Prophet"]);
    let far = published["MSTL_day"][2];
    let bound = [arima_of[0], arima_of[1], far];
    for (member, bound) in [
        (ModelSettings::Arima(arima::Settings::default()), bound),
        (
            ModelSettings::Harmonic(harmonic::Settings::default()),
            bound,
        ),
        (
            ModelSettings::Prophet(prophet::Settings::default()),
            prophet_of.map(|error| 1.02 * error),
        ),
        (ModelSettings::Trees(trees::Settings::default()), bound),
    ] {
        let errors = measure(&member, &plan, &all);
        println!("{:<16} {errors:.3?}", member.kind());
        for (error, bound) in errors.into_iter().zip(bound) {
            assert!(error < bound, "{}: {error} {bound}", member.kind());
        }
    }
}
