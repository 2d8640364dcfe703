//! Accuracy of forecasts: the default ensemble and every member alone on real series, rolling origin, beside
//! what other programs reached on the same windows.
//!
//! Each window is forecast from its own history alone, as a signal would be at its start, over the whole path
//! of steps up to each horizon. Costs are those of the same fit with the horizons that are usual.

pub mod contender;
pub mod data;
pub mod drift;
pub mod live;
pub mod report;
pub mod score;
#[cfg(test)]
mod trial;
pub mod windows;

pub use report::Report;

use super::cpu::cpu_seconds;
use crate::series::{Grid, Millis};
use contender::{Contender, contenders, rebuild};
use data::{Hourly, STEP, Series};
use live::Walked;
use rayon::prelude::*;
use report::{HourlyRow, Row};
use score::{LEVELS, Tally};
use std::{collections::BTreeMap, path::PathBuf};
use windows::{HORIZONS, LONGEST, Plan, WINDOWS, Window};

/// Values of a day of the windows.
const DAY: usize = 288;
/// An hour, and a day of hours.
const HOUR: Millis = 3_600_000;
const HOURS: usize = 24;
/// Fits that are timed, at most.
const TIMED: usize = 40;
/// Steps that are carried on with each of them.
const CARRIED: usize = 288;

/// What to measure on.
#[derive(Debug, Clone, Default)]
pub struct ForecastOptions {
    /// Folder of the data, see [`data::series`] and [`windows::plan`].
    pub data: PathBuf,
    /// Only these contenders; all where empty.
    pub only: Vec<String>,
    /// Models that are judged as an ensemble, instead of the contenders; see [`contender::given`].
    pub models: Option<String>,
    /// Whether every series is walked as in live use too.
    pub live: bool,
    /// Whether the hourly series of M4 are left out.
    pub without_hourly: bool,
}

/// How often drift is seen where nothing was changed, and found where something was, with the first contender.
///
/// # Errors
/// As [`run`].
pub fn run_drift(
    options: &ForecastOptions,
    progress: Progress<'_>,
) -> Result<drift::Report, String> {
    let contender = match &options.models {
        Some(text) => contender::given(text)?,
        None => contenders(&options.only)?.swap_remove(0),
    };
    let series = data::series(&options.data)?;
    let grid = Grid::new(STEP).ok_or("no grid")?;
    progress(&format!("{}: drift of every series", contender.name));
    let horizons = HORIZONS.map(|(_, steps)| steps);
    drift::measure(&contender, &series, grid, &horizons)
}

/// Told what is being done; called from several threads.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// Measures every contender.
///
/// # Errors
/// A folder that is not what it should be, a name in `only` that is none.
pub fn run(options: &ForecastOptions, progress: Progress<'_>) -> Result<Report, String> {
    let contenders = match &options.models {
        Some(text) => vec![contender::given(text)?],
        None => contenders(&options.only)?,
    };
    let series = data::series(&options.data)?;
    let plan = windows::plan(&options.data, &series)?;
    let grid = Grid::new(STEP).ok_or("no grid")?;
    let mut report = Report::new(&plan);
    for contender in &contenders {
        progress(&format!(
            "{}: {} windows",
            contender.name,
            plan.windows.len()
        ));
        report.rows.push(measure(contender, &series, &plan, grid)?);
    }
    if options.live {
        for contender in &contenders {
            progress(&format!("{}: walking every series", contender.name));
            let row = measure_live(contender, &series, &plan, grid)?;
            report.live.push((contender.name.clone(), row));
        }
    }
    let hourly = data::packed(&options.data.join("forecast/m4_hourly.csv"));
    if let Some(path) = hourly.filter(|_| !options.without_hourly) {
        let all = data::hourly(&path)?;
        report.hourly_series = all.len();
        for contender in &contenders {
            progress(&format!("{}: {} hourly series", contender.name, all.len()));
            report.hourly.push(measure_hourly(contender, &all)?);
        }
    }
    Ok(report)
}

fn measure(
    contender: &Contender,
    series: &[Series],
    plan: &Plan,
    grid: Grid,
) -> Result<Row, String> {
    let judged: Result<Vec<[Tally; 3]>, String> = plan
        .windows
        .par_iter()
        .map(|window| judge(contender, &series[window.series], window, grid))
        .collect();
    let mut row = Row::new(&contender.name);
    for (window, tallies) in plan.windows.iter().zip(judged?) {
        let name = plan.names[&window.series].clone();
        let sums = row.series.entry(name).or_default();
        for (sum, tally) in sums.iter_mut().zip(&tallies) {
            sum.add(tally);
        }
    }
    (row.fit_seconds, row.step_seconds) = cost(contender, series, plan, grid)?;
    Ok(row)
}

/// One window: the sums of each horizon.
fn judge(
    contender: &Contender,
    series: &Series,
    window: &Window,
    grid: Grid,
) -> Result<[Tally; 3], String> {
    let history = &series.values[window.origin - window.history..window.origin];
    let actual = &series.values[window.origin..window.origin + LONGEST];
    let path = contender.path(history, end_of(series, window), grid, LONGEST)?;
    let scale = score::scale(history, DAY);
    Ok(HORIZONS.map(|(_, steps)| {
        let mut tally = Tally::default();
        tally.window(&actual[..steps], &path[..steps * LEVELS.len()], scale);
        tally
    }))
}

/// CPU seconds of one cold fit with the usual horizons, and of carrying it on by one value.
fn cost(
    contender: &Contender,
    series: &[Series],
    plan: &Plan,
    grid: Grid,
) -> Result<(f64, f64), String> {
    let horizons = HORIZONS.map(|(_, steps)| steps);
    let every = plan.windows.len().div_ceil(TIMED).max(1);
    let timed: Vec<&Window> = plan.windows.iter().step_by(every).collect();
    let (mut fits, mut steps) = (0.0, 0.0);
    for window in &timed {
        let one = &series[window.series];
        let mut forecasts = contender.forecasts(grid, &horizons)?;
        let history = &one.values[window.origin - window.history..window.origin];
        let start = cpu_seconds();
        rebuild(&mut forecasts, history, end_of(one, window), grid);
        let fitted = cpu_seconds();
        for (number, &value) in one.values[window.origin..].iter().take(CARRIED).enumerate() {
            let at = end_of(one, window) + (number as i64 + 1) * STEP;
            forecasts.step(at, &[0], &[value]);
        }
        fits += fitted - start;
        steps += cpu_seconds() - fitted;
    }
    let count = timed.len() as f64;
    Ok((fits / count, steps / count / CARRIED as f64))
}

/// Every series walked from its start, as in live use: by name, the figures of each horizon.
fn measure_live(
    contender: &Contender,
    series: &[Series],
    plan: &Plan,
    grid: Grid,
) -> Result<BTreeMap<String, Walked>, String> {
    let horizons = HORIZONS.map(|(_, steps)| steps);
    let places: Vec<(&usize, &String)> = plan.names.iter().collect();
    places
        .into_par_iter()
        .map(|(&place, name)| {
            let one = &series[place];
            let (values, windows) = (&one.values, WINDOWS.map(|(_, steps)| steps));
            let walked = live::walk(contender, values, one.start, grid, &horizons, &windows)?;
            Ok((name.clone(), walked))
        })
        .collect()
}

fn end_of(series: &Series, window: &Window) -> Millis {
    series.start + (window.origin as i64 - 1) * STEP
}

fn measure_hourly(contender: &Contender, all: &[Hourly]) -> Result<HourlyRow, String> {
    let grid = Grid::new(HOUR).ok_or("no grid")?;
    let judged: Result<Vec<Tally>, String> = all
        .par_iter()
        .map(|one| {
            let end = (one.train.len() as i64 - 1) * HOUR;
            let path = contender.path(&one.train, end, grid, one.test.len())?;
            let mut tally = Tally::default();
            tally.window(&one.test, &path, score::scale(&one.train, HOURS));
            Ok(tally)
        })
        .collect();
    let judged = judged?;
    let mut sum = Tally::default();
    judged.iter().for_each(|tally| sum.add(tally));
    Ok(HourlyRow {
        name: contender.name.clone(),
        mase: sum.mase(),
        coverage: sum.coverage(),
        missing: sum.missing,
    })
}
