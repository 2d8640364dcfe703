//! How far a value is from what was forecast for it one step before, by a small forecaster of its own.
//!
//! *When*: series that change smoothly, whatever their level: breaks, jumps and dropouts of temperatures,
//! queues, disk usage. *Cost*: about 30 ns a value and 80 bytes a series, whatever its history.
//! *Reference*: damped trend exponential smoothing (Gardner & McKenzie, "Forecasting trends in time series",
//! Management Science 1985), updated with clipped residuals (Gelper, Fried & Croux, "Robust forecasting with
//! exponential and Holt-Winters smoothing", J. Forecasting 2010).
//!
//! The forecaster is not one of those a signal is forecast with, which look further ahead: of three members,
//! from one that follows at once to one that hardly moves, the one with the least recent error forecasts the
//! next step. Its residual is scored against the size that residuals of this series have.

use super::{
    Batch, Detector, MAX_SCORE, Problems, Scope, UNMEASURED, is_usable, positive, share, tail::Tail,
};
use crate::{
    baseline,
    series::{Grid, Slot},
    stats::robust,
};
use serde::Deserialize;

/// Smoothing of level and trend, and the damping of the trend, of each member.
const MEMBERS: [Smoothing; 3] = [
    Smoothing::new(0.8, 0.2, 0.8),
    Smoothing::new(0.3, 0.05, 0.9),
    Smoothing::new(0.05, 0.0, 0.0),
];
/// Values before there is a score.
const WARM_UP: u32 = 100;
/// After a gap of more steps than this the forecast says nothing; the members begin anew with the next value.
const LONGEST_GAP: u32 = 10;
/// Values before residuals are clipped: their size is not known well enough to say which are wild.
const UNCLIPPED: u32 = 20;
/// Share of an error that the recent error of a member moves by, a step.
const ERROR_GAIN: f32 = 0.01;
/// Share of a residual that the scale moves by, a step: it remembers some 500 steps.
const SCALE_GAIN: f32 = 0.002;
/// A residual moves a member by no more than so many scales.
const CLIP: f32 = 3.0;
/// So many residuals in a row beyond the clip on one side double it: a jump is news for some steps, and then
/// the new level.
const PATIENCE: f32 = 4.0;
/// A value is taken for part of the range when it is no farther than this from the forecast, in scales.
const RANGE_CLIP: f32 = 20.0;
/// The range loses this share of itself a step, the smallest difference grows by it.
const LOSS: f32 = 0.0005;
/// `sqrt(pi / 2)`: mean absolute deviation to standard deviation, for normal noise.
const MEAN_DEVIATION: f32 = 1.253_314_1;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// So many scales of the residual score 1.
    pub threshold: f64,
    /// The scale is never smaller than this share of the range of the newest values.
    pub floor: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threshold: 8.0,
            floor: 0.04,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("threshold", self.threshold);
        problems.extend(share("floor", self.floor));
        problems
    }

    /// The detector.
    pub fn build(&self, _grid: Grid) -> Box<dyn Detector> {
        Box::new(ForecastResidual {
            threshold: self.threshold as f32,
            floor: self.floor as f32,
            states: Vec::new(),
        })
    }
}

#[derive(Debug, Clone)]
struct ForecastResidual {
    threshold: f32,
    floor: f32,
    states: Vec<State>,
}

#[derive(Debug, Clone, Copy)]
struct Smoothing {
    level: f32,
    trend: f32,
    damping: f32,
}

impl Smoothing {
    const fn new(level: f32, trend: f32, damping: f32) -> Self {
        Self {
            level,
            trend,
            damping,
        }
    }
}

/// One forecaster of one series.
#[derive(Debug, Clone, Copy)]
struct Member {
    level: f32,
    trend: f32,
    /// Exponentially weighted mean of the absolute (clipped) residual.
    error: f32,
}

impl Member {
    const NEW: Self = Self {
        level: f32::NAN,
        trend: 0.0,
        error: 0.0,
    };

    fn forecast(&self, smoothing: Smoothing) -> f32 {
        self.level + smoothing.damping * self.trend
    }

    /// A step without a value.
    fn pass(&mut self, smoothing: Smoothing) {
        self.level = self.forecast(smoothing);
        self.trend *= smoothing.damping;
    }

    fn take(&mut self, value: f32, smoothing: Smoothing, reach: f32, gain: f32) {
        let forecast = self.forecast(smoothing);
        let residual = robust::clip(value - forecast, reach);
        self.error += gain * (residual.abs() - self.error);
        self.level = forecast + smoothing.level * residual;
        self.trend = smoothing.damping * self.trend + smoothing.trend * smoothing.level * residual;
    }
}

/// One series.
#[derive(Debug, Clone, Copy)]
struct State {
    members: [Member; MEMBERS.len()],
    /// Of the residual, as a standard deviation.
    scale: f32,
    /// Residuals beyond the clip in a row, with their sign.
    run: i32,
    seen: u32,
    /// Steps without a value before this one.
    missing: u32,
    low: f32,
    high: f32,
    last: f32,
    quantum: f32,
    tail: Tail,
}

impl State {
    fn new(threshold: f32) -> Self {
        Self {
            members: [Member::NEW; MEMBERS.len()],
            scale: 0.0,
            run: 0,
            seen: 0,
            missing: 0,
            low: f32::INFINITY,
            high: f32::NEG_INFINITY,
            last: f32::NAN,
            quantum: f32::INFINITY,
            tail: Tail::new(threshold),
        }
    }

    fn begin(&mut self, value: f32) {
        self.missing = 0;
        for member in &mut self.members {
            (member.level, member.trend) = (value, 0.0);
        }
    }

    /// A step without a value.
    fn pass(&mut self) {
        self.missing = self.missing.saturating_add(1);
        for (member, smoothing) in self.members.iter_mut().zip(MEMBERS) {
            member.pass(smoothing);
        }
    }

    /// The member that was least wrong, and its smoothing.
    fn best(&self) -> (Member, Smoothing) {
        let mut best = (self.members[0], MEMBERS[0]);
        for (&member, smoothing) in self.members.iter().zip(MEMBERS) {
            if member.error < best.0.error {
                best = (member, smoothing);
            }
        }
        best
    }

    /// The least scale, see [`baseline::scale_floor`].
    fn least(&self, share: f32) -> f32 {
        let quantum = if self.quantum.is_finite() {
            self.quantum
        } else {
            0.0
        };
        baseline::scale_floor(
            (self.high - self.low).max(0.0),
            quantum,
            &[self.last],
            share,
        )
    }

    /// The residual in scales; `NaN` before there was a value.
    fn distance(&self, value: f32, floor: f32, threshold: f32) -> f32 {
        let (member, smoothing) = self.best();
        let residual = (value - member.forecast(smoothing)).abs();
        // The variance of a forecast so many steps ahead, for a level that wanders (Hyndman et al. 2008, 6.1).
        let ahead = (1.0 + self.missing as f32 * smoothing.level.powi(2)).sqrt();
        let scale = self.scale.max(self.least(floor)) * ahead;
        match residual {
            residual if residual.is_nan() => f32::NAN,
            0.0 => 0.0,
            residual if scale > 0.0 => residual / scale,
            _ => UNMEASURED * threshold,
        }
    }

    fn take(&mut self, value: f32, floor: f32) {
        if self.seen == 0 {
            self.begin(value);
        }
        self.seen = self.seen.saturating_add(1);
        self.missing = 0;
        let (member, smoothing) = self.best();
        let residual = value - member.forecast(smoothing);
        let least = self.least(floor).max(0.0);
        let (limit, reach) = self.limits(residual, least);
        let young = 1.0 / self.seen as f32;
        for (member, smoothing) in self.members.iter_mut().zip(MEMBERS) {
            member.take(value, smoothing, reach, young.max(ERROR_GAIN));
        }
        let size = robust::clip(residual, limit).abs();
        self.scale += young.max(SCALE_GAIN) * (MEAN_DEVIATION * size - self.scale);
        self.watch(value, residual);
    }

    /// What a residual can be at most when the scale is learned, and when the members are.
    fn limits(&mut self, residual: f32, least: f32) -> (f32, f32) {
        if self.seen < UNCLIPPED {
            return (f32::INFINITY, f32::INFINITY);
        }
        let limit = CLIP * self.scale.max(least);
        self.run = match () {
            () if residual > limit => self.run.max(0).saturating_add(1),
            () if residual < -limit => self.run.min(0).saturating_sub(1),
            () => 0,
        };
        let patience = 1.0 + self.run.unsigned_abs() as f32 / PATIENCE;
        (limit, limit * patience)
    }

    /// Keeps up the range and the smallest difference.
    fn watch(&mut self, value: f32, residual: f32) {
        let difference = (value - self.last).abs();
        self.last = value;
        self.quantum *= 1.0 + LOSS;
        if difference > 0.0 {
            self.quantum = self.quantum.min(difference);
        }
        let width = self.high - self.low;
        if width > 0.0 {
            self.low += 0.5 * LOSS * width;
            self.high -= 0.5 * LOSS * width;
        }
        // One wild value would make the floor deaf to all others.
        let far = RANGE_CLIP * self.scale;
        let inside = if self.seen < UNCLIPPED {
            value
        } else {
            value - residual + robust::clip(residual, far)
        };
        self.low = self.low.min(inside);
        self.high = self.high.max(inside);
    }
}

impl Detector for ForecastResidual {
    fn kind(&self) -> &'static str {
        "forecast_residual"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        // By then less than a thousandth is left of what the range and the scale were.
        (7.0 / LOSS) as usize + Tail::MEMORY
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
            let value = batch.values[index];
            let state = &mut self.states[slot];
            out[index] = f32::NAN;
            if !is_usable(value) {
                state.pass();
                continue;
            }
            if state.missing > LONGEST_GAP {
                state.begin(value);
                continue;
            }
            let distance = state.distance(value, self.floor, self.threshold);
            if state.seen >= WARM_UP && !distance.is_nan() {
                out[index] = state.tail.score(distance, self.threshold).min(MAX_SCORE);
            }
            state.take(value, self.floor);
        }
    }

    fn heap_bytes(&self) -> usize {
        self.states.capacity() * size_of::<State>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::alone;
    use std::f32::consts::TAU;

    fn scores(values: &[f32]) -> Vec<f32> {
        alone(
            Settings::default().build(Grid::new(300_000).unwrap()),
            values,
        )
    }

    /// A smooth course of 200 up and down a day, with noise of about 1.
    fn smooth(count: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(2);
        (0..count)
            .map(|step| {
                let noise = (0..12).map(|_| random.f32()).sum::<f32>() - 6.0;
                100.0 * (TAU * step as f32 / 288.0).sin() + noise
            })
            .collect()
    }

    #[test]
    fn a_break_of_a_smooth_course_is_seen_wherever_it_is() {
        // On the slope, at a level that is ordinary half a day later.
        let mut values = smooth(2_016);
        values[1_730..1_740]
            .iter_mut()
            .for_each(|value| *value += 90.0);
        let scores = scores(&values);
        let loud: Vec<usize> = (0..1_990).filter(|&step| scores[step] >= 1.0).collect();
        assert_eq!(loud.first(), Some(&1_730), "{loud:?}");
        assert!(
            loud.iter().all(|&step| (1_730..1_760).contains(&step)),
            "{loud:?}"
        );
    }

    #[test]
    fn a_jump_is_news_for_some_steps_and_then_the_new_level() {
        let mut values = smooth(1_500);
        values[1_000..].iter_mut().for_each(|value| *value += 150.0);
        let scores = scores(&values);
        let loud = scores.iter().filter(|score| **score >= 1.0).count();
        assert!((2..20).contains(&loud), "{loud}");
        assert!(scores[1_030..].iter().all(|score| *score < 1.0));
    }

    #[test]
    fn the_next_value_after_a_spike_is_not_one() {
        let mut values = smooth(1_500);
        values[1_000] += 500.0;
        let scores = scores(&values);
        assert!(scores[1_000] > 1.0);
        assert!(scores[1_001..].iter().all(|score| *score < 1.0));
    }

    #[test]
    fn what_is_forecast_is_what_a_straight_line_does() {
        // The members that follow know a line without noise almost to the digit.
        let values: Vec<f32> = (0..400).map(|step| 5.0 * step as f32).collect();
        let mut state = State::new(8.0);
        for &value in &values {
            state.take(value, 0.02);
        }
        let (member, smoothing) = state.best();
        let forecast = member.forecast(smoothing);
        assert!((forecast - 2_000.0).abs() < 5.0, "{forecast}");
    }
}
