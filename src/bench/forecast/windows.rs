//! Which stretches are forecast, and what other programs reached on them.
//!
//! Where the folder has `reference_forecast_windows.csv`, its series, origins and history lengths are
//! taken. It names series by a name of its own; which of ours it means is found by what the last value
//! carried forward errs on its windows, so a wrong series or a wrong origin cannot go unnoticed.

use super::data::Series;
use crate::{bench::table::Table, series::Millis};
use std::{collections::BTreeMap, path::Path};

/// Names of horizons in the reference and the steps each has.
pub const HORIZONS: [(&str, usize); 3] = [("15m", 3), ("60m", 12), ("24h", 288)];
/// Windows of which the greatest value is judged: name and steps of five minutes.
pub const WINDOWS: [(&str, usize); 2] = [("15m", 3), ("60m", 12)];
/// Steps of the longest.
pub const LONGEST: usize = 288;
/// History without a reference: two weeks, or this share of a shorter series.
const HISTORY: usize = 4_032;
const SHARE: f64 = 0.62;
/// Origins without a reference, and the steps they are spread over.
const ORIGINS: usize = 10;
const SPREAD: usize = 4_032;
/// The share by which errors may differ from those of the reference: it rounds.
const SAME: f64 = 2e-3;

/// A stretch to forecast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Place of the series.
    pub series: usize,
    /// Place of the first value that is forecast.
    pub origin: usize,
    /// Values before it that are known.
    pub history: usize,
}

/// What the models of the reference reached: by horizon and model, by name of the series, the weighted
/// quantile loss.
pub type Published = BTreeMap<(String, String), BTreeMap<String, f64>>;

/// Windows, the names of their series in the reference, and its figures.
#[derive(Debug, Default)]
pub struct Plan {
    /// The windows, by series.
    pub windows: Vec<Window>,
    /// By place of the series: the name to show.
    pub names: BTreeMap<usize, String>,
    /// Figures of the reference; empty where there is none.
    pub published: Published,
}

/// What is forecast of `series`: the windows of the reference in `folder`, or ten origins per series.
///
/// # Errors
/// A reference that cannot be understood, or whose windows none of the series reproduces.
pub fn plan(folder: &Path, series: &[Series]) -> Result<Plan, String> {
    let path = folder.join("reference_forecast_windows.csv");
    if !path.is_file() {
        return Ok(spread(series));
    }
    let named = |problem: String| format!("{}: {problem}", path.display());
    let wanted = wanted(&path).map_err(named)?;
    let mut plan = Plan::default();
    for (name, windows) in &wanted {
        let found = series.iter().position(|one| agrees(one, windows));
        let place = found.ok_or_else(|| {
            named(format!("no series of the folder errs on the windows of {name} as the last value carried forward does there"))
        })?;
        plan.names.insert(place, name.clone());
        for window in windows {
            let origin = series[place].index(window.origin).filter(|&origin| {
                origin >= window.history && origin + LONGEST <= series[place].values.len()
            });
            let origin = origin
                .ok_or_else(|| named(format!("{name}: a window reaches outside its series")))?;
            plan.windows.push(Window {
                series: place,
                origin,
                history: window.history,
            });
        }
    }
    let path = folder.join("reference_forecast.csv");
    if path.is_file() {
        plan.published =
            published(&path).map_err(|problem| format!("{}: {problem}", path.display()))?;
    }
    Ok(plan)
}

/// A window as the reference writes it.
struct Wanted {
    origin: Millis,
    history: usize,
    /// Mean error of the last value over the first steps, and the sum of actual values there.
    naive: (f64, f64),
}

fn wanted(path: &Path) -> Result<BTreeMap<String, Vec<Wanted>>, String> {
    let table = Table::read(path)?;
    let (names, models) = (table.column("series")?, table.column("model")?);
    let (origins, horizons) = (table.column("origin")?, table.column("horizon")?);
    let (lengths, errors) = (table.numbers("H")?, table.numbers("mae")?);
    let sums = table.numbers("abs")?;
    let mut wanted: BTreeMap<String, Vec<Wanted>> = BTreeMap::new();
    for row in 0..names.len() {
        if models[row] == "naive" && horizons[row] == HORIZONS[0].0 {
            wanted.entry(names[row].clone()).or_default().push(Wanted {
                origin: time(&origins[row])?,
                history: lengths[row] as usize,
                naive: (errors[row], sums[row]),
            });
        }
    }
    Ok(wanted)
}

/// `2013-08-15 22:00:00`, UTC.
fn time(text: &str) -> Result<Millis, String> {
    let wrong = |_| format!("{text:?} in column origin is no time such as 2014-04-01 00:00:00");
    let time: jiff::civil::DateTime = text.trim().parse().map_err(wrong)?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).map_err(wrong)?;
    Ok(zoned.timestamp().as_millisecond())
}

/// Whether the last value carried forward errs on every window as the reference says, and half of them show it.
fn agrees(series: &Series, windows: &[Wanted]) -> bool {
    let mut compared = 0;
    let agree = windows.iter().all(|window| {
        let Some(origin) = series.index(window.origin).filter(|&origin| origin > 0) else {
            return false;
        };
        let steps = HORIZONS[0].1;
        let Some(actual) = series.values.get(origin..origin + steps) else {
            return false;
        };
        let last = series.values[origin - 1];
        if !last.is_finite() || actual.iter().any(|value| !value.is_finite()) {
            // The reference filled what is missing in its own way: such a window shows nothing.
            return true;
        }
        let error: f64 = actual
            .iter()
            .map(|value| f64::from((value - last).abs()))
            .sum();
        let sum: f64 = actual.iter().map(|value| f64::from(value.abs())).sum();
        let close = |own: f64, other: f64| (own - other).abs() <= SAME * other.abs() + 2e-6;
        compared += 1;
        close(error / steps as f64, window.naive.0) && close(sum, window.naive.1)
    });
    agree && 2 * compared >= windows.len()
}

fn published(path: &Path) -> Result<Published, String> {
    let table = Table::read(path)?;
    let (names, models) = (table.column("series")?, table.column("model")?);
    let (horizons, sets) = (table.column("horizon")?, table.column("set")?);
    let losses = table.numbers("WQL")?;
    let mut published = Published::new();
    for row in (0..names.len()).filter(|&row| sets[row] == "all") {
        published
            .entry((horizons[row].clone(), models[row].clone()))
            .or_default()
            .insert(names[row].clone(), losses[row]);
    }
    Ok(published)
}

fn spread(series: &[Series]) -> Plan {
    let mut plan = Plan::default();
    for (place, one) in series.iter().enumerate() {
        let count = one.values.len();
        let history = HISTORY.min((count as f64 * SHARE) as usize);
        let Some(last) = count.checked_sub(LONGEST).filter(|&last| last > history) else {
            continue;
        };
        let first = last.saturating_sub(SPREAD).max(history);
        plan.names.insert(place, one.name.clone());
        for number in 0..ORIGINS {
            plan.windows.push(Window {
                series: place,
                origin: first + (last - first) * number / (ORIGINS - 1),
                history,
            });
        }
    }
    plan
}
