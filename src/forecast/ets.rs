//! Exponential smoothing without a season: follows level and trend. Good up to an hour or so ahead.
//!
//! The form (level; level and trend; level and damped trend) and its parameters are chosen on a bounded
//! recent stretch, see [`super::smoothing`]; a gap is predicted through. Cost: O(1) per step, 48 bytes a
//! series; a fit is a few hundred thousand additions.

use super::{
    Forecaster, ModelFiles,
    column::{PerSeries, per_series},
    smoothing::{Smoothing, State, fit},
};
use crate::series::{Grid, Millis, Past, Slot};

/// Parameters are learnt from this many newest values: more would average over what has changed.
pub(super) const STRETCH: usize = 1_440;
/// Fewer values do not show a level, let alone a trend.
const LEAST: usize = 12;

/// Nothing to set.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Parameters and state of each series; `None` where it abstains.
#[derive(Debug)]
pub(super) struct Ets {
    models: PerSeries<(Smoothing, State)>,
}

impl Ets {
    /// See [`super::ModelSettings::build`].
    #[expect(
        clippy::unnecessary_wraps,
        reason = "every forecaster is built the same way"
    )]
    pub(super) fn build(
        _settings: &Settings,
        _grid: Grid,
        _horizons: &[usize],
        _files: &ModelFiles,
    ) -> Result<Self, String> {
        Ok(Self {
            models: PerSeries::new(),
        })
    }
}

impl Forecaster for Ets {
    fn kind(&self) -> &'static str {
        "ets"
    }

    per_series!(models);

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        let recent = past.tail(STRETCH).values;
        let known = recent.iter().filter(|value| value.is_finite()).count();
        let model = if known >= LEAST { fit(recent) } else { None };
        self.models.put(slot, model)
    }

    fn extend(&mut self, _at: Millis, slots: &[Slot], values: &[f32]) {
        self.models
            .extend(slots, values, |(smoothing, state), value| {
                state.step(smoothing, f64::from(value));
            });
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        self.models
            .predict(slots, horizons.len(), out, |_, (smoothing, state), row| {
                for (out, &steps) in row.iter_mut().zip(horizons) {
                    *out = state.ahead(smoothing, steps) as f32;
                }
            });
    }

    fn heap_bytes(&self) -> usize {
        self.models.heap_bytes(|_| 0)
    }
}
