//! Detectors of vectors on a single series: the vector is its newest distances from what was expected.

use super::{
    Batch,
    vectors::{Calm, Learner, Reach, Vectors},
};
use crate::series::{Grid, Labels, Slot};

/// Steps that a vector reaches back, the newest included.
pub(super) const LAGS: usize = 8;

/// Steps that a model remembers: there are many series, and each keeps its vectors.
const MEMORY: usize = 1_125;

/// Neighbouring vectors share most of their values: the tail of a window is known worse than that of a panel, and a
/// mean would only repeat them.
const CALM: Calm = Calm {
    scales: &[1],
    reach: Reach::Tail(2.0),
};

/// Distances of one series, the newest first.
type Recent = [f32; LAGS];

/// A detector over the newest distances of each series.
#[derive(Debug, Clone)]
pub(super) struct Lagged<L: Learner> {
    vectors: Vectors<L>,
    grid: Grid,
    recent: Vec<Recent>,
}

impl<L: Learner> Lagged<L> {
    pub(super) fn new(learner: L, grid: Grid) -> Self {
        Self {
            vectors: Vectors::new(learner, grid, MEMORY, CALM),
            grid,
            recent: Vec::new(),
        }
    }

    /// See [`super::Detector::memory`].
    pub(super) fn memory(&self) -> usize {
        self.vectors.span() + LAGS
    }

    /// See [`super::Detector::grow`].
    pub(super) fn grow(&mut self, slots: usize) {
        self.vectors.make_room(slots);
        let slots = slots.max(self.recent.len());
        self.recent.resize(slots, [f32::NAN; LAGS]);
    }

    /// See [`super::Detector::assign`]: the series of a shard do not all learn at the same step.
    pub(super) fn assign(&mut self, slot: Slot, labels: &Labels) {
        self.vectors.place_in_turn(slot, labels);
    }

    /// See [`super::Detector::reset`].
    pub(super) fn reset(&mut self, slot: Slot) {
        self.vectors.forget(slot);
        self.recent[slot] = [f32::NAN; LAGS];
    }

    /// See [`super::Detector::swap`].
    pub(super) fn swap(&mut self, one: Slot, other: Slot) {
        self.vectors.swap(one, other);
        self.recent.swap(one, other);
    }

    /// See [`super::Detector::step`].
    pub(super) fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        let index = self.grid.index(batch.at);
        for (at, &slot) in batch.slots.iter().enumerate() {
            let band = &batch.bands[at];
            let distance = (batch.values[at] - band.expected) / band.scale;
            let recent = &mut self.recent[slot];
            recent.rotate_right(1);
            recent[0] = distance;
            let score = self.vectors.score(slot, index, recent.iter().copied());
            // What is not there cannot be judged, whatever was before it.
            out[at] = if distance.is_finite() {
                score
            } else {
                f32::NAN
            };
        }
    }

    /// See [`super::Detector::prepare`].
    pub(super) fn prepare(&mut self) -> bool {
        self.vectors.prepare_one()
    }

    /// See [`super::Detector::heap_bytes`].
    pub(super) fn heap_bytes(&self) -> usize {
        self.vectors.bytes() + self.recent.capacity() * size_of::<Recent>()
    }
}
