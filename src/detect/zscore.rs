//! How many standard deviations a value is from the expected one.
//!
//! *When*: the first choice for every series; with a seasonal baseline it is the seasonal residual.
//! *Cost*: a few nanoseconds a value and 12 bytes a series. *Reference*: z-score; a threshold of 6 to 8 is what
//! labelled operations data asks for, not the 2.5 or 3 of text books.

use super::{Batch, Detector, MAX_SCORE, Problems, Scope, at_least_zero, positive, tail::Tail};
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
        problems.extend(at_least_zero("min_scale", self.min_scale));
        problems
    }

    /// The detector.
    pub fn build(&self, _grid: Grid) -> Box<dyn Detector> {
        Box::new(Zscore {
            threshold: self.threshold as f32,
            min_scale: self.min_scale as f32,
            tails: Vec::new(),
        })
    }
}

#[derive(Debug, Clone)]
struct Zscore {
    threshold: f32,
    min_scale: f32,
    tails: Vec<Tail>,
}

impl Detector for Zscore {
    fn kind(&self) -> &'static str {
        "zscore"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        Tail::MEMORY
    }

    fn grow(&mut self, slots: usize) {
        let tail = Tail::new(self.threshold);
        self.tails.resize(slots.max(self.tails.len()), tail);
    }

    fn reset(&mut self, slot: Slot) {
        self.tails[slot] = Tail::new(self.threshold);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.tails.swap(one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        for (index, &slot) in batch.slots.iter().enumerate() {
            let band = batch.bands[index];
            let z = (batch.values[index] - band.expected).abs() / band.scale.max(self.min_scale);
            out[index] = f32::NAN;
            if z.is_nan() || !batch.values[index].is_finite() {
                continue;
            }
            out[index] = self.tails[slot].score(z, self.threshold).min(MAX_SCORE);
        }
    }

    fn heap_bytes(&self) -> usize {
        self.tails.capacity() * size_of::<Tail>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Band;

    fn detector(settings: &Settings) -> Box<dyn Detector> {
        let mut detector = settings.build(Grid::new(60_000).unwrap());
        detector.grow(1);
        detector
    }

    fn score(detector: &mut dyn Detector, value: f32) -> f32 {
        let band = Band {
            expected: 10.0,
            lower: 4.0,
            upper: 16.0,
            scale: 2.0,
        };
        let mut out = [0.0];
        let batch = Batch {
            at: 0,
            slots: &[0],
            values: &[value],
            bands: &[band],
        };
        detector.step(&batch, &mut out);
        out[0]
    }

    #[test]
    fn the_threshold_scores_one_on_either_side() {
        let detector = &mut *detector(&Settings::default());
        for (value, expected) in [
            (10.0, 0.0),
            (22.0, 1.0),
            (-2.0, 1.0),
            (70.0, 5.0),
            (4.0, 0.5),
        ] {
            assert_eq!(score(detector, value), expected);
        }
        assert!(score(detector, f32::NAN).is_nan());
        assert!(score(detector, f32::INFINITY).is_nan());
    }

    #[test]
    fn an_absolute_floor_makes_small_deviations_small() {
        let settings = Settings {
            min_scale: 20.0,
            ..Settings::default()
        };
        assert_eq!(score(&mut *detector(&settings), 22.0), 0.1);
    }

    #[test]
    fn a_series_with_a_heavy_tail_gets_used_to_it_and_forgets_again() {
        let detector = &mut *detector(&Settings::default());
        let first = score(detector, 70.0);
        assert_eq!(first, 5.0);
        for step in 0..20_000 {
            score(detector, if step % 200 == 0 { 70.0 } else { 11.0 });
        }
        assert!(score(detector, 70.0) < 1.0);
        for _ in 0..detector.memory() {
            score(detector, 11.0);
        }
        assert_eq!(score(detector, 70.0), first);
    }
}
