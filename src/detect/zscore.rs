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
            tails: Vec::new(),
        })
    }
}

#[derive(Debug)]
struct Zscore {
    threshold: f32,
    min_scale: f32,
    tails: Vec<Tail>,
}

/// How far the noise of one series reaches now and then: a heavy-tailed series is used to values that
/// would be a sensation elsewhere. Rises by [`RISE`] with every excursion beyond it, falls a little with
/// every step: it settles where excursions are about [`RARE`] steps apart.
#[derive(Debug, Clone, Copy)]
struct Tail {
    reach: f32,
    /// Steps since the last value beyond the reach: values near each other are one excursion.
    quiet: u32,
}

/// Steps between excursions that are taken for ordinary.
const RARE: f32 = 2_000.0;
/// What an excursion multiplies the reach by.
const RISE: f32 = 1.3;
/// Values beyond the reach that are no more steps apart than this are one excursion.
const EXCURSION: u32 = 30;
/// The threshold is at least this many times the reach.
const MARGIN: f32 = 1.5;

impl Tail {
    fn take(&mut self, z: f32, least: f32) {
        if z > self.reach {
            if self.quiet >= EXCURSION {
                self.reach = (self.reach * RISE).min(z);
            }
            self.quiet = 0;
        } else {
            self.quiet = self.quiet.saturating_add(1);
            self.reach = (self.reach * (1.0 - (RISE - 1.0) / RARE)).max(least);
        }
    }
}

impl Detector for Zscore {
    fn kind(&self) -> &'static str {
        "zscore"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        // A reach of a hundred thresholds has worn off by then.
        (RARE / (RISE - 1.0) * 100.0_f32.ln()) as usize
    }

    fn grow(&mut self, slots: usize) {
        let tail = Tail {
            reach: self.threshold / MARGIN,
            quiet: EXCURSION,
        };
        self.tails.resize(slots.max(self.tails.len()), tail);
    }

    fn reset(&mut self, slot: Slot) {
        self.tails[slot] = Tail {
            reach: self.threshold / MARGIN,
            quiet: EXCURSION,
        };
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        let least = self.threshold / MARGIN;
        for (index, &slot) in batch.slots.iter().enumerate() {
            let band = batch.bands[index];
            let z = (batch.values[index] - band.expected).abs() / band.scale.max(self.min_scale);
            out[index] = f32::NAN;
            if z.is_nan() || !batch.values[index].is_finite() {
                continue;
            }
            let tail = &mut self.tails[slot];
            out[index] = (z / (MARGIN * tail.reach)).min(MAX_SCORE);
            tail.take(z, least);
        }
    }

    fn heap_bytes(&self) -> usize {
        self.tails.capacity() * size_of::<Tail>()
    }
}
