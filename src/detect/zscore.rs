//! How many standard deviations a value is from the expected one.
//!
//! *When*: the first choice for every series; with a seasonal baseline it is the seasonal residual.
//! *Cost*: a few nanoseconds and 4 bytes a series. *Reference*: z-score; a threshold of 6 to 8 is what
//! labelled operations data asks for, not the 2.5 or 3 of text books.

use super::{Batch, Detector, MAX_SCORE, Problems, Scope, positive};
use crate::series::{Grid, Slot};
use serde::Deserialize;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// So many standard deviations (of the baseline's robust scale) score 1.
    pub threshold: f64,
    /// The scale is never taken smaller than this, in the unit of the signal.
    pub min_scale: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threshold: 6.0,
            min_scale: 0.0,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("threshold", self.threshold);
        if !(self.min_scale.is_finite() && self.min_scale >= 0.0) {
            let text = format!("{} is not allowed; allowed: 0 or more", self.min_scale);
            problems.push(("min_scale".into(), text));
        }
        problems
    }

    /// The detector.
    pub fn build(&self, _grid: Grid) -> Box<dyn Detector> {
        Box::new(Zscore {
            threshold: self.threshold as f32,
            min_scale: self.min_scale as f32,
        })
    }
}

#[derive(Debug)]
struct Zscore {
    threshold: f32,
    min_scale: f32,
}

impl Detector for Zscore {
    fn kind(&self) -> &'static str {
        "zscore"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        0
    }

    fn grow(&mut self, _slots: usize) {}

    fn reset(&mut self, _slot: Slot) {}

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        for ((score, &value), band) in out.iter_mut().zip(batch.values).zip(batch.bands) {
            let scale = band.scale.max(self.min_scale);
            let z = (value - band.expected).abs() / scale;
            *score = if z.is_nan() {
                f32::NAN
            } else {
                (z / self.threshold).min(MAX_SCORE)
            };
        }
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}
