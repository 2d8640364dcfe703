//! Tests of several parts together.

mod each;
mod laws;
mod nab;
mod settings;
mod smd;
mod walk;

use super::{Batch, Detector};
use crate::baseline::Band;

/// The scores of a detector that sees one series, five minutes apart, and asks no baseline.
pub(super) fn alone(mut detector: Box<dyn Detector>, values: &[f32]) -> Vec<f32> {
    detector.grow(1);
    let score = |(index, value): (usize, &f32)| {
        let mut out = [0.0];
        let batch = Batch {
            at: index as i64 * 300_000,
            slots: &[0],
            values: &[*value],
            bands: &[Band::UNKNOWN],
        };
        detector.step(&batch, &mut out);
        out[0]
    };
    values.iter().enumerate().map(score).collect()
}
