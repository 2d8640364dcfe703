//! Whether a series is still what its forecasters were derived from: drift.
//!
//! | file | what |
//! |---|---|
//! | `inputs` | whether the newest day is like the days before it (population stability) |
//! | `errors` | whether forecasts err more than they did (Page's cumulative sum) |
//!
//! Both are derived with the forecasters at an epoch, from the same past, and stepped on until the next one; both are 1 at their
//! threshold. What changed is ordinary once it is older than a day or two: the score of a series says that something has just
//! changed, not that it was different once.

mod errors;
mod inputs;

pub(super) use errors::Errors;

use super::wall::Wall;
use crate::series::{Grid, Millis, Past, Slot};
use inputs::Inputs;

const DAY: Millis = 86_400_000;

/// The inputs of all series of one shard.
#[derive(Debug)]
pub(super) struct Health {
    /// Steps of a day.
    day: usize,
    inputs: Vec<Inputs>,
}

impl Health {
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            day: grid.steps(DAY),
            inputs: Vec::new(),
        }
    }

    pub(super) fn grow(&mut self, slots: usize) {
        self.inputs.resize_with(slots, Inputs::default);
    }

    pub(super) fn evict(&mut self, slot: Slot) {
        self.inputs[slot] = Inputs::default();
    }

    pub(super) fn swap(&mut self, one: Slot, other: Slot) {
        self.inputs.swap(one, other);
    }

    /// Derives one series from its past.
    pub(super) fn derive(&mut self, slot: Slot, past: &Past<'_>, wall: &Wall) {
        self.inputs[slot] = Inputs::derive(past, wall, self.day);
    }

    /// Takes in the values at wall-clock step `index`, `NaN` where missing.
    pub(super) fn step(&mut self, index: i64, slots: &[Slot], values: &[f32]) {
        for (&slot, &value) in slots.iter().zip(values) {
            self.inputs[slot].see(index, value, self.day);
        }
    }

    /// How far the newest day of a series is from those before it, 1 at the threshold; `NaN` while nothing is known.
    pub(super) fn inputs(&self, slot: Slot) -> f32 {
        self.inputs[slot].score()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let own = self.inputs.capacity() * size_of::<Inputs>();
        own + self.inputs.iter().map(Inputs::heap_bytes).sum::<usize>()
    }
}
