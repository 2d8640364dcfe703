//! What comes `h` steps ahead by linear regression on what was: the newest values, averages of different
//! lengths, and the same time one, two and three seasons ago. One regression for each horizon ("direct"
//! multi-step forecasts: Marcellino, Stock & Watson 2006; Ben Taieb et al. 2012), so no error is carried
//! from step to step.
//!
//! Everything is relative to the newest value: with no relation found the forecast is that value, which a
//! small ridge draws it to. Where more horizons are asked for than [`MOST_FITTED`], regressions are fitted
//! at some of them and their coefficients read between. Cost: fitting about 0.5 us per value and horizon,
//! a step 0.2 us plus 0.3 us per horizon; memory four bytes per block (at most 288 to a season) of the
//! seasons looked back at, and 90 bytes per horizon. Holidays and events of the signal's calendars are taken out before
//! and put on again after.

use super::{
    Forecaster, ModelFiles, Occasions,
    column::{PerSeries, per_series},
    lags::{Lags, MOST_COLUMNS},
    occasions::Effects,
    wall::Wall,
};
use crate::{
    series::{Grid, Millis, Past, Slot},
    stats::ridge::Ridge,
};

/// Share of a column's sum of squares that is added to it.
const PENALTY: f64 = 1e-3;
/// Rows that a fit uses, at most: more of a series at a minute tell the same again.
const MOST_ROWS: usize = 4_100;
/// Rows below which nothing is fitted, for each column.
const ROWS_PER_COLUMN: usize = 5;
/// Horizons that have a regression of their own, at most.
const MOST_FITTED: usize = 16;

/// Nothing to set.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Set by the signal.
    #[serde(skip)]
    pub(super) occasions: Occasions,
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Lags and coefficients of each series; `None` where it abstains.
#[derive(Debug)]
pub(super) struct LagRegression {
    wall: Wall,
    /// Horizons with a regression of their own, ascending.
    fitted: Vec<usize>,
    grid: Grid,
    effects: Effects,
    models: PerSeries<Model>,
}

#[derive(Debug)]
struct Model {
    lags: Lags,
    /// By fitted horizon, columns inner; a horizon without enough rows has `NaN`.
    coefficients: Box<[f32]>,
    now: Millis,
}

impl LagRegression {
    /// See [`super::ModelSettings::build`].
    #[expect(
        clippy::unnecessary_wraps,
        reason = "every forecaster is built the same way"
    )]
    pub(super) fn build(
        settings: &Settings,
        grid: Grid,
        horizons: &[usize],
        _files: &ModelFiles,
    ) -> Result<Self, String> {
        Ok(Self {
            wall: Wall::new(grid),
            fitted: fitted(horizons),
            grid,
            effects: Effects::new(&settings.occasions, grid, horizons),
            models: PerSeries::new(),
        })
    }

    fn learn(&mut self, past: &Past<'_>) -> Option<Model> {
        self.wall.set_zone(past.zone);
        let mut lags = Lags::new(past.seasons.first().copied(), past.values.len());
        let columns = lags.columns();
        let mut sums = vec![Ridge::new(columns); self.fitted.len()];
        let stride = past.values.len().div_ceil(MOST_ROWS).max(1);
        let mut row = [0.0_f32; MOST_COLUMNS];
        for (index, &value) in past.values.iter().enumerate() {
            let at = past.time(index);
            lags.see(self.wall.walk(at), value);
            // Counted from the end: another start of the past changes few rows.
            let from_end = past.values.len() - 1 - index;
            if !value.is_finite() || !from_end.is_multiple_of(stride) || index < lags.warm_up() {
                continue;
            }
            for (sum, &steps) in sums.iter_mut().zip(&self.fitted) {
                let target = past.values.get(index + steps).copied();
                if let Some(target) = target.filter(|target| target.is_finite()) {
                    let wall = self.wall.index(at + steps as i64 * past.grid.step());
                    lags.row(wall, steps, &mut row[..columns]);
                    sum.add(&row[..columns], target - value);
                }
            }
        }
        let mut coefficients = Vec::with_capacity(sums.len() * columns);
        for sum in &sums {
            let enough = sum.rows() >= ROWS_PER_COLUMN * columns;
            let solved = if enough { sum.solve(PENALTY) } else { None };
            match solved {
                Some(solved) => coefficients.extend(solved),
                None => coefficients.extend(std::iter::repeat_n(f32::NAN, columns)),
            }
        }
        let any = coefficients.iter().any(|value| value.is_finite());
        any.then_some(Model {
            lags,
            coefficients: coefficients.into_boxed_slice(),
            now: past.end,
        })
    }
}

impl Forecaster for LagRegression {
    fn kind(&self) -> &'static str {
        "lag_regression"
    }

    /// A short past teaches the short horizons only.
    fn abstains(&self) -> bool {
        true
    }

    per_series!(models, effects);

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        let values = self.effects.learn(slot, past);
        let model = self.learn(&Past {
            values: &values,
            ..*past
        });
        self.models.put(slot, model)
    }

    fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let index = self.wall.walk(at);
        let values = self.effects.without(at, slots, values);
        self.models.extend(slots, &values, |model, value| {
            model.lags.see(index, value);
            model.now = at;
        });
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        let mut row = [0.0_f32; MOST_COLUMNS];
        let between: Vec<(usize, f32)> = horizons
            .iter()
            .map(|&steps| place(&self.fitted, steps))
            .collect();
        let mut targets = self.wall.targets(horizons);
        self.models
            .predict(slots, horizons.len(), out, |slot, model, out| {
                let walls = targets.after(model.now);
                let columns = model.lags.columns();
                for (j, out) in out.iter_mut().enumerate() {
                    model.lags.row(walls[j], horizons[j], &mut row[..columns]);
                    let change = |fitted: usize| -> f32 {
                        let coefficients = &model.coefficients[fitted * columns..][..columns];
                        coefficients.iter().zip(&row).map(|(a, b)| a * b).sum()
                    };
                    let (below, share) = between[j];
                    let mut ahead = change(below);
                    if share > 0.0 {
                        ahead += share * (change(below + 1) - ahead);
                    }
                    let at = model.now + horizons[j] as i64 * self.grid.step();
                    *out = self.effects.with(slot, at, model.lags.level() + ahead);
                }
            });
    }

    fn heap_bytes(&self) -> usize {
        let held = |model: &Model| model.lags.heap_bytes() + size_of_val(&*model.coefficients);
        self.effects.heap_bytes() + self.models.heap_bytes(held)
    }
}

/// All horizons, or where those are many some of them: denser where they are short.
fn fitted(horizons: &[usize]) -> Vec<usize> {
    if horizons.len() <= MOST_FITTED {
        return horizons.to_vec();
    }
    let (first, last) = (horizons[0] as f64, horizons[horizons.len() - 1] as f64);
    let ratio = (last / first).powf(1.0 / (MOST_FITTED - 1) as f64);
    let mut fitted: Vec<usize> = (0..MOST_FITTED)
        .map(|number| (first * ratio.powi(number as i32)).round() as usize)
        .collect();
    fitted.dedup();
    fitted
}

/// The last fitted horizon not over `steps` and how far `steps` is on the way to the next.
fn place(fitted: &[usize], steps: usize) -> (usize, f32) {
    let above = fitted.partition_point(|&one| one <= steps);
    let below = above.saturating_sub(1);
    if above == fitted.len() || fitted[below] >= steps {
        return (below, 0.0);
    }
    let span = (fitted[above] - fitted[below]) as f32;
    (below, (steps - fitted[below]) as f32 / span)
}
