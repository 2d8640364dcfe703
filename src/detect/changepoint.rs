//! A level that shifted and stays: the sum of what values are beyond the expected one, on one side.
//!
//! *When*: deploys, failovers, leaks: a change too small for a single value to show, once it lasts. One shift
//! is one event: once confirmed, the new level is what later values are measured from. *Cost*: about 10 ns a
//! value and 44 bytes a series. *Reference*: Page, "Continuous inspection schemes" (Biometrika 1954): the
//! two-sided cumulative sum (CUSUM) of standardised residuals less half of the shift looked for, with clipped
//! residuals (one wild value is no level).
//!
//! A value counts only where it is on the same side of the expected value and of the level of the last shift:
//! by which the way back of a baseline that takes its time to follow is no second shift, and neither is the
//! end of an incident that was too short to be followed.

use super::{Batch, Detector, MAX_SCORE, Problems, Scope, is_usable, positive, tail::Tail};
use crate::{
    baseline::Band,
    series::{Grid, Slot},
    stats::robust,
};
use serde::Deserialize;

/// A residual counts as no more than so many shifts.
const CLIP: f32 = 2.0;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The shift looked for, in scales of the baseline; half of it is never confirmed.
    pub shift: f64,
    /// A shift of that size is confirmed after so many steps, a greater one after a third of them at the
    /// earliest. The score stays above 1 for as many steps again.
    pub confirm: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shift: 3.0,
            confirm: 10,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("shift", self.shift);
        if !(2..=1_000).contains(&self.confirm) {
            let text = format!("{} is not allowed; allowed: 2 to 1000", self.confirm);
            problems.push(("confirm".into(), text));
        }
        problems
    }

    /// The detector.
    pub fn build(&self, _grid: Grid) -> Box<dyn Detector> {
        let shift = self.shift as f32;
        Box::new(Changepoint {
            slack: 0.5 * shift,
            clip: CLIP * shift,
            threshold: 0.5 * shift * self.confirm as f32,
            confirm: self.confirm as u32,
            states: Vec::new(),
        })
    }
}

#[derive(Debug, Clone)]
struct Changepoint {
    /// What a residual must exceed to add to a sum, in scales.
    slack: f32,
    clip: f32,
    /// The sum that confirms, in scales.
    threshold: f32,
    confirm: u32,
    states: Vec<State>,
}

/// One series.
#[derive(Debug, Clone, Copy)]
struct State {
    /// The cumulative sums of either side, in scales.
    above: f32,
    below: f32,
    /// How far from the expected value the level of the last shift is, in the unit of the signal; the baseline
    /// catches up with it.
    explained: f32,
    /// Exponentially weighted mean of the residual, over about `confirm` steps.
    recent: f32,
    confirmed: Option<Confirmed>,
    tail: Tail,
}

/// A shift whose new level is being measured.
#[derive(Debug, Clone, Copy)]
struct Confirmed {
    score: f32,
    residuals: f32,
    count: u32,
}

impl State {
    fn new(threshold: f32) -> Self {
        Self {
            above: 0.0,
            below: 0.0,
            explained: 0.0,
            recent: 0.0,
            confirmed: None,
            tail: Tail::new(threshold),
        }
    }

    /// The residual in scales that neither the baseline nor the last shift explains.
    fn unexplained(&self, residual: f32, scale: f32) -> f32 {
        let rest = residual - self.explained;
        if residual * rest <= 0.0 {
            return 0.0;
        }
        residual.signum() * residual.abs().min(rest.abs()) / scale
    }

    /// Where the baseline has caught up with the last shift, it explains so much less. One scale is left to
    /// the noise: a shift must not be whittled away by its own low values.
    fn catch_up(&mut self, residual: f32, scale: f32, confirm: u32) {
        self.recent += (residual - self.recent) / confirm as f32;
        let caught = self.recent * self.explained.signum();
        if caught < scale {
            self.explained = 0.0;
        } else if caught + scale < self.explained.abs() {
            self.explained = (caught + scale).copysign(self.explained);
        }
    }

    /// The new level is that of the values since the confirmation.
    fn measure(&mut self, mut confirmed: Confirmed, residual: f32, confirm: u32) -> f32 {
        confirmed.residuals += residual;
        confirmed.count += 1;
        self.confirmed = Some(confirmed);
        if confirmed.count >= confirm {
            self.explained = confirmed.residuals / confirmed.count as f32;
            self.recent = self.explained;
            (self.above, self.below) = (0.0, 0.0);
            self.confirmed = None;
        }
        confirmed.score
    }
}

impl Changepoint {
    fn score(&mut self, slot: Slot, value: f32, band: Band) -> f32 {
        let residual = value - band.expected;
        if !is_usable(residual) || band.scale.is_nan() {
            return f32::NAN;
        }
        let state = &mut self.states[slot];
        state.catch_up(residual, band.scale, self.confirm);
        if let Some(confirmed) = state.confirmed {
            return state.measure(confirmed, residual, self.confirm);
        }
        let z = robust::clip(state.unexplained(residual, band.scale), self.clip);
        // A sum that is never confirmed, since the series is used to it, must not grow without end.
        let most = self.threshold * MAX_SCORE;
        state.above = (state.above + z - self.slack).clamp(0.0, most);
        state.below = (state.below - z - self.slack).clamp(0.0, most);
        let sum = state.above.max(state.below);
        let score = state.tail.score(sum, self.threshold).min(MAX_SCORE);
        if score >= 1.0 {
            state.confirmed = Some(Confirmed {
                score,
                residuals: residual,
                count: 1,
            });
        }
        score
    }
}

impl Detector for Changepoint {
    fn kind(&self) -> &'static str {
        "changepoint"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        Tail::MEMORY
    }

    fn grow(&mut self, slots: usize) {
        let state = State::new(self.threshold);
        self.states.resize(slots.max(self.states.len()), state);
    }

    fn reset(&mut self, slot: Slot) {
        self.states[slot] = State::new(self.threshold);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.states.swap(one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        for (index, &slot) in batch.slots.iter().enumerate() {
            out[index] = self.score(slot, batch.values[index], batch.bands[index]);
        }
    }

    fn heap_bytes(&self) -> usize {
        self.states.capacity() * size_of::<State>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores of values whose baseline expects `expected(step)`, with a scale of 2.
    fn scores(values: &[f32], expected: impl Fn(usize) -> f32) -> Vec<f32> {
        let mut detector = Settings::default().build(Grid::new(60_000).unwrap());
        detector.grow(1);
        let score = |(step, &value): (usize, &f32)| {
            let expected = expected(step);
            let mut out = [0.0];
            let batch = Batch {
                at: step as i64 * 60_000,
                slots: &[0],
                values: &[value],
                bands: &[Band {
                    expected,
                    lower: expected - 6.0,
                    upper: expected + 6.0,
                    scale: 2.0,
                }],
            };
            detector.step(&batch, &mut out);
            out[0]
        };
        values.iter().enumerate().map(score).collect()
    }

    /// First and last step of each run of scores of 1 and more.
    fn events(scores: &[f32]) -> Vec<(usize, usize)> {
        let mut events: Vec<(usize, usize)> = Vec::new();
        for (step, _) in scores
            .iter()
            .enumerate()
            .filter(|(_, score)| **score >= 1.0)
        {
            match events.last_mut() {
                Some((_, last)) if *last + 1 == step => *last = step,
                _ => events.push((step, step)),
            }
        }
        events
    }

    fn noise(count: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(5);
        let normal = |_| 2.0 * ((0..12).map(|_| random.f32()).sum::<f32>() - 6.0);
        (0..count).map(normal).collect()
    }

    #[test]
    fn a_shift_of_the_size_looked_for_is_confirmed_in_time_and_reported_once() {
        let mut values = vec![0.0; 3_000];
        values[1_000..].fill(6.0);
        assert_eq!(events(&scores(&values, |_| 0.0)), [(1_009, 1_018)]);
    }

    #[test]
    fn noise_is_no_shift_and_half_a_shift_neither() {
        let mut values = noise(4_000);
        values[2_000..].iter_mut().for_each(|value| *value += 2.0);
        let scores = scores(&values, |_| 0.0);
        assert_eq!(events(&scores), []);
        assert!(scores.iter().all(|score| *score >= 0.0));
    }

    #[test]
    fn one_wild_value_or_three_are_no_level() {
        let mut values = noise(2_000);
        values[1_000] = 1e6;
        values[1_500..1_503].fill(-1e6);
        assert_eq!(events(&scores(&values, |_| 0.0)), []);
    }

    #[test]
    fn a_baseline_that_follows_makes_no_second_shift_and_the_way_back_is_one() {
        let mut values = noise(4_000);
        values[1_000..3_000]
            .iter_mut()
            .for_each(|value| *value += 30.0);
        // The median of a long window: it jumps when half of the window is new.
        let expected = |step: usize| {
            if (1_700..3_700).contains(&step) {
                30.0
            } else {
                0.0
            }
        };
        let events = events(&scores(&values, expected));
        let starts: Vec<usize> = events.iter().map(|event| event.0 / 10 * 10).collect();
        assert_eq!(starts, [1_000, 3_000], "{events:?}");
    }

    #[test]
    fn the_end_of_a_short_incident_is_no_shift() {
        let mut values = noise(2_000);
        values[1_000..1_060]
            .iter_mut()
            .for_each(|value| *value += 30.0);
        let events = events(&scores(&values, |_| 0.0));
        assert_eq!(events.len(), 1, "{events:?}");
    }
}
