//! Last value: tomorrow is as now. The forecast to beat on a series without season.
//!
//! A gap keeps the newest value. Cost: O(1) per step, 12 bytes a series.

use super::{Forecaster, ModelFiles};
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

/// The newest value of each series; `NaN` where none was seen.
#[derive(Debug)]
pub(super) struct LastValue {
    newest: Vec<f32>,
}

impl LastValue {
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
        Ok(Self { newest: Vec::new() })
    }
}

impl Forecaster for LastValue {
    fn kind(&self) -> &'static str {
        "last_value"
    }

    fn grow(&mut self, slots: usize) {
        self.newest.resize(slots, f32::NAN);
    }

    fn evict(&mut self, slot: Slot) {
        self.newest[slot] = f32::NAN;
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.newest.swap(one, other);
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        let newest = past.values.iter().rev().find(|value| value.is_finite());
        self.newest[slot] = newest.copied().unwrap_or(f32::NAN);
        newest.is_some()
    }

    fn extend(&mut self, _at: Millis, slots: &[Slot], values: &[f32]) {
        for (&slot, &value) in slots.iter().zip(values) {
            // A series that was never fitted stays unknown.
            if value.is_finite() && self.newest[slot].is_finite() {
                self.newest[slot] = value;
            }
        }
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        for (&slot, row) in slots.iter().zip(out.chunks_exact_mut(horizons.len())) {
            row.fill(self.newest[slot]);
        }
    }

    fn heap_bytes(&self) -> usize {
        self.newest.capacity() * size_of::<f32>()
    }
}
