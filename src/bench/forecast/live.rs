//! Calibration in live use: a series walked from its start, derived anew as the engine does it and carried on
//! between, every origin judged when its value is known.

use super::{
    contender::{Contender, rebuild},
    score::{INTERVALS, LEVELS},
};
use crate::{
    forecast::Interval,
    series::{Grid, Millis},
};
use std::collections::BTreeMap;

const DAY: Millis = 86_400_000;
/// History of a signal by default; see `engine` for how epochs follow from it.
const HISTORY: Millis = 21 * DAY;
/// Origins per series that are judged, about.
const JUDGED: usize = 1_500;
/// Nominal coverage of the interval that is scored, and its place in [`INTERVALS`].
pub const NOMINAL: f64 = 0.9;
const PLACE: usize = 2;

/// Sums over judged origins of one series at one horizon.
#[derive(Debug, Default, Clone)]
pub struct Live {
    /// Origins judged.
    pub origins: usize,
    /// Actual values inside each of [`INTERVALS`].
    pub covered: [usize; 4],
    /// Winkler's score of the interval that is published.
    pub score: f64,
    /// Actual values inside it.
    pub published: usize,
    /// The same of split-conformal seasonal naive.
    pub baseline_score: f64,
    /// Its values inside.
    pub baseline_covered: usize,
    /// Absolute errors of the expected value and of seasonal naive.
    pub errors: [f64; 2],
    /// The widest interval by the range of the history it was derived from.
    pub widest: f64,
    /// How often each model was in force.
    pub models: BTreeMap<&'static str, usize>,
}

impl Live {
    /// Share of actual values inside each of [`INTERVALS`].
    pub fn coverage(&self) -> [f64; 4] {
        self.covered
            .map(|covered| covered as f64 / self.origins as f64)
    }

    /// Interval score by that of split-conformal seasonal naive.
    pub fn score_ratio(&self) -> f64 {
        self.score / self.baseline_score
    }

    /// Absolute error by that of seasonal naive.
    pub fn error_ratio(&self) -> f64 {
        self.errors[0] / self.errors[1]
    }
}

/// Levels at which quantiles of the greatest value within a window are judged.
pub const ONE_SIDED: [f32; 4] = [0.5, 0.8, 0.9, 0.95];

/// What came of the quantiles of the greatest value within one window.
#[derive(Debug, Default, Clone, Copy)]
pub struct Maxima {
    /// Origins judged.
    pub origins: usize,
    /// Greatest values at or below the quantile at each of [`ONE_SIDED`].
    pub held: [usize; ONE_SIDED.len()],
}

/// What came of one series.
#[derive(Debug, Default, Clone)]
pub struct Walked {
    /// By horizon.
    pub lives: Vec<Live>,
    /// By window.
    pub maxima: Vec<Maxima>,
}

impl Maxima {
    fn judge(&mut self, actual: f32, quantiles: &[f32]) {
        if actual.is_finite() && quantiles.iter().all(|value| value.is_finite()) {
            self.origins += 1;
            for (held, &quantile) in self.held.iter_mut().zip(quantiles) {
                *held += usize::from(actual <= quantile);
            }
        }
    }

    /// Share of greatest values at or below each quantile.
    pub fn shares(&self) -> [f64; ONE_SIDED.len()] {
        self.held.map(|held| held as f64 / self.origins as f64)
    }
}

/// Walks one series of values `step` apart, the first at `start`, with forecasts at `horizons` steps; the last
/// two thirds are judged. So are the greatest values within `windows` steps.
///
/// # Errors
/// A member that cannot be built.
pub fn walk(
    contender: &Contender,
    values: &[f32],
    start: Millis,
    grid: Grid,
    horizons: &[usize],
    windows: &[usize],
) -> Result<Walked, String> {
    let mut forecasts = contender.forecasts_with(grid, horizons, windows)?;
    let mut maxima = vec![Maxima::default(); windows.len()];
    let mut of_maxima = vec![f32::NAN; windows.len() * ONE_SIDED.len()];
    let mut lives = vec![Live::default(); horizons.len()];
    let mut published = vec![Interval::ABSENT; horizons.len()];
    let mut quantiles = vec![f32::NAN; horizons.len() * LEVELS.len()];
    let mut baseline = Baseline::new(horizons.len());
    let (refit, day) = (grid.steps(HISTORY / 21), grid.steps(DAY));
    let memory = grid.steps(HISTORY) - 3 * refit;
    let warm = values.len() / 3;
    let stride = ((values.len() - warm) / JUDGED).max(1);
    for index in 0..values.len() {
        let at = start + index as i64 * grid.step();
        let daily = index + 1 >= 2 * day;
        let lag = |steps: usize| if daily { day.max(steps) } else { steps };
        if due(index + 1, refit) {
            let past = &values[(index + 1).saturating_sub(memory)..=index];
            rebuild(&mut forecasts, past, at, grid);
            baseline.learn(past, horizons, lag);
        }
        forecasts.step(at, &[0], &[values[index]]);
        if index < warm || index % stride != 0 {
            continue;
        }
        forecasts.intervals(&[0], &mut published);
        forecasts.quantiles(0, &LEVELS, &mut quantiles);
        forecasts.quantiles_of_maxima(0, &ONE_SIDED, &mut of_maxima);
        let rows = of_maxima.chunks_exact(ONE_SIDED.len());
        for ((own, &steps), row) in maxima.iter_mut().zip(windows).zip(rows) {
            let came = values.get(index + 1..=index + steps).unwrap_or_default();
            // One that misses a value may have been greater.
            let known = came.iter().all(|value| value.is_finite());
            let came = came.iter().copied().fold(f32::NAN, f32::max);
            own.judge(if known { came } else { f32::NAN }, row);
        }
        for (h, &steps) in horizons.iter().enumerate() {
            let Some(&actual) = values.get(index + steps) else {
                continue;
            };
            let naive = values[index + steps - lag(steps)];
            let own = published[h];
            if !(actual.is_finite() && naive.is_finite() && own.expected.is_finite()) {
                continue;
            }
            let live = &mut lives[h];
            live.judge(actual, own, naive, &baseline, h);
            live.quantiles(actual, &quantiles[h * LEVELS.len()..][..LEVELS.len()]);
            let model = forecasts.model(0, h).unwrap_or("none");
            *live.models.entry(model).or_default() += 1;
        }
    }
    Ok(Walked { lives, maxima })
}

impl Live {
    fn judge(&mut self, actual: f32, own: Interval, naive: f32, baseline: &Baseline, h: usize) {
        self.origins += 1;
        self.published += usize::from((own.lower..=own.upper).contains(&actual));
        self.score += winkler(actual, own.lower, own.upper);
        let width = baseline.widths[h];
        let (low, high) = (naive - width, naive + width);
        self.baseline_covered += usize::from((low..=high).contains(&actual));
        self.baseline_score += winkler(actual, low, high);
        self.errors[0] += f64::from((actual - own.expected).abs());
        self.errors[1] += f64::from((actual - naive).abs());
        if baseline.range > 0.0 {
            let share = f64::from((own.upper - own.lower) / baseline.range);
            self.widest = self.widest.max(share);
        }
    }

    fn quantiles(&mut self, actual: f32, row: &[f32]) {
        for (covered, (_, low, high)) in self.covered.iter_mut().zip(INTERVALS) {
            *covered += usize::from((row[low]..=row[high]).contains(&actual));
        }
    }

    /// Takes in what another series has summed up.
    pub fn add(&mut self, other: &Self) {
        self.origins += other.origins;
        for (own, other) in self.covered.iter_mut().zip(other.covered) {
            *own += other;
        }
        self.score += other.score;
        self.published += other.published;
        self.baseline_score += other.baseline_score;
        self.baseline_covered += other.baseline_covered;
        for (own, other) in self.errors.iter_mut().zip(other.errors) {
            *own += other;
        }
        self.widest = self.widest.max(other.widest);
        for (&model, count) in &other.models {
            *self.models.entry(model).or_default() += count;
        }
    }
}

/// Split-conformal seasonal naive.
struct Baseline {
    /// Half widths by horizon.
    widths: Vec<f32>,
    /// Range of the history.
    range: f32,
}

impl Baseline {
    fn new(horizons: usize) -> Self {
        Self {
            widths: vec![f32::NAN; horizons],
            range: 0.0,
        }
    }

    fn learn(&mut self, past: &[f32], horizons: &[usize], lag: impl Fn(usize) -> usize) {
        for (width, &steps) in self.widths.iter_mut().zip(horizons) {
            *width = split_conformal(past, lag(steps));
        }
        let known = past.iter().filter(|value| value.is_finite());
        let (low, high) = known.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| {
            (low.min(value), high.max(value))
        });
        self.range = high - low;
    }
}

/// The conformal quantile of absolute residuals of the past.
fn split_conformal(past: &[f32], lag: usize) -> f32 {
    let mut residuals: Vec<f32> = past[lag.min(past.len())..]
        .iter()
        .zip(past)
        .map(|(new, old)| (new - old).abs())
        .filter(|residual| residual.is_finite())
        .collect();
    if residuals.is_empty() {
        return f32::NAN;
    }
    residuals.sort_unstable_by(f32::total_cmp);
    let rank = ((residuals.len() + 1) as f64 * INTERVALS[PLACE].0).ceil() as usize;
    residuals[rank.min(residuals.len()) - 1]
}

/// Winkler's interval score.
fn winkler(actual: f32, lower: f32, upper: f32) -> f64 {
    let outside = (lower - actual).max(actual - upper).max(0.0);
    f64::from(upper - lower) + 2.0 / (1.0 - NOMINAL) * f64::from(outside)
}

/// Whether a series of this age is derived anew: at sixteen steps and their doublings while it is young,
/// then once an epoch.
fn due(age: usize, refit: usize) -> bool {
    age >= 16
        && (age.is_multiple_of(refit) || (age.is_multiple_of(16) && (age / 16).is_power_of_two()))
}
