//! How far a value is outside everything seen so far.
//!
//! *When*: never-seen extremes of any shape of series, and level shifts. *Cost*: about ten nanoseconds
//! and a few floats a series. *Reference*: a decaying minimum and maximum; the novelty of a value is its
//! distance outside, relative to the width.

use super::{Batch, Detector, MAX_SCORE, Problems, Scope, positive};
use crate::series::{Grid, Slot, Span};
use serde::Deserialize;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// This far outside scores 1, as a share of the width of the envelope.
    pub novelty: f64,
    /// The envelope has lost half of what it knew after so long.
    pub half_life: Span,
    /// No score before a series was seen for so many steps.
    pub warm_up: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            novelty: 0.03,
            half_life: Span::days(24),
            warm_up: 128,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("novelty", self.novelty);
        problems.extend(positive("half_life", self.half_life.as_millis() as f64));
        problems
    }

    /// The detector.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        let steps = self.half_life.as_millis() as f64 / grid.step() as f64;
        Box::new(Envelope {
            novelty: self.novelty as f32,
            loss: (1.0 - 0.5_f64.powf(1.0 / steps.max(1.0))) as f32,
            warm_up: u32::try_from(self.warm_up).unwrap_or(u32::MAX),
            memory: (8.0 * steps) as usize,
            states: Vec::new(),
        })
    }
}

#[derive(Debug)]
struct Envelope {
    novelty: f32,
    loss: f32,
    warm_up: u32,
    memory: usize,
    states: Vec<State>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    low: f32,
    high: f32,
    seen: u32,
}

impl State {
    /// The distance outside relative to the width, before taking the value in.
    fn step(&mut self, value: f32, loss: f32) -> f32 {
        if self.seen == 0 {
            (self.low, self.high) = (value, value);
        }
        let outside = (value - self.high).max(self.low - value).max(0.0);
        let width = self.high - self.low;
        let novelty = if width > 0.0 {
            outside / width
        } else {
            f32::NAN
        };
        self.low = (self.low + loss * width).min(value);
        self.high = (self.high - loss * width).max(value);
        self.seen = self.seen.saturating_add(1);
        novelty
    }
}

impl Detector for Envelope {
    fn kind(&self) -> &'static str {
        "envelope"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        self.memory
    }

    fn grow(&mut self, slots: usize) {
        self.states
            .resize(slots.max(self.states.len()), State::default());
    }

    fn reset(&mut self, slot: Slot) {
        self.states[slot] = State::default();
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        for (index, &slot) in batch.slots.iter().enumerate() {
            out[index] = f32::NAN;
            if !batch.values[index].is_finite() {
                continue;
            }
            let state = &mut self.states[slot];
            let novelty = state.step(batch.values[index], self.loss);
            if state.seen > self.warm_up {
                out[index] = (novelty / self.novelty).min(MAX_SCORE);
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.states.capacity() * size_of::<State>()
    }
}
