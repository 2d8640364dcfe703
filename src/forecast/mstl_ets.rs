//! Seasons by MSTL, the rest by exponential smoothing: the member for anything with a day or a week.
//!
//! The past is averaged onto a coarse grid, gaps are filled there, and MSTL (Bandara, Hyndman &
//! Bergmeir 2021, arXiv:2107.13462; `augurs`) takes its seasons apart. Their newest cycle is the profile,
//! read between its points by straight lines. What the profile leaves of the native values is followed
//! by [`super::smoothing`]. Cost: O(1) per step; four bytes per coarse step of the longest season.

use super::{
    Forecaster, ModelFiles,
    column::{PerSeries, per_series},
    ets::STRETCH,
    profile::{Profile, decompose},
    smoothing::{Smoothing, State, fit},
    wall::Wall,
};
use crate::series::{Grid, Millis, Past, Slot};

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

/// Profile and smoothing of each series; `None` where it abstains.
#[derive(Debug)]
pub(super) struct MstlEts {
    wall: Wall,
    models: PerSeries<Model>,
}

#[derive(Debug)]
struct Model {
    profile: Profile,
    smoothing: Smoothing,
    state: State,
    now: Millis,
}

impl MstlEts {
    /// See [`super::ModelSettings::build`].
    #[expect(
        clippy::unnecessary_wraps,
        reason = "every forecaster is built the same way"
    )]
    pub(super) fn build(
        _settings: &Settings,
        grid: Grid,
        _horizons: &[usize],
        _files: &ModelFiles,
    ) -> Result<Self, String> {
        Ok(Self {
            wall: Wall::new(grid),
            models: PerSeries::new(),
        })
    }

    fn learn(&mut self, past: &Past<'_>) -> Option<Model> {
        self.wall.set_zone(past.zone);
        let profile = decompose(past, &mut self.wall)?;
        let recent = past.tail(STRETCH);
        let rest: Vec<f32> = (0..recent.values.len())
            .map(|index| recent.values[index] - profile.at(self.wall.walk(recent.time(index))))
            .collect();
        let (smoothing, state) = fit(&rest)?;
        Some(Model {
            profile,
            smoothing,
            state,
            now: past.end,
        })
    }
}

impl Forecaster for MstlEts {
    fn kind(&self) -> &'static str {
        "mstl_ets"
    }

    per_series!(models);

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        let model = self.learn(past);
        self.models.put(slot, model)
    }

    fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let index = self.wall.walk(at);
        self.models.extend(slots, values, |model, value| {
            let rest = value - model.profile.at(index);
            let error = model.state.step(&model.smoothing, f64::from(rest));
            model.profile.learn(index, error as f32);
            model.now = at;
        });
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        let mut targets = self.wall.targets(horizons);
        self.models
            .predict(slots, horizons.len(), out, |_, model, row| {
                let walls = targets.after(model.now);
                for ((out, &steps), &index) in row.iter_mut().zip(horizons).zip(walls) {
                    let rest = model.state.ahead(&model.smoothing, steps) as f32;
                    *out = model.profile.at(index) + rest;
                }
            });
    }

    fn heap_bytes(&self) -> usize {
        self.models.heap_bytes(|model| model.profile.heap_bytes())
    }
}
