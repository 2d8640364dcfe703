//! For very many series: a level for each of 24 parts of the day and one scale, nothing else.
//!
//! *When*: the size class `wide`, where no past is kept. *Cost*: about 10 ns a value and 124 bytes a series (32
//! with one level for the whole day), whatever its history. *Reference*: exponentially weighted, clipped mean and mean absolute deviation, as
//! in [`crate::baseline::seasonal`].
//!
//! Learns from what it observes: a fit only sets it back to its start. Until a day has passed, a part of
//! the day that was never seen takes the overall level.

use super::{Band, Baseline, Problems, band_width, positive};
use crate::{
    series::{Grid, Millis, Past, Slot, Span, swap_rows},
    stats::{
        clock::LocalTime,
        robust,
        track::{Gains, Tracker},
    },
};
use serde::Deserialize;

const DAY: Millis = 86_400_000;
/// Parts of the day that have their own level.
const PARTS: usize = 24;
/// No opinion with fewer values than this.
const FEWEST: u32 = 16;
/// Share of the way from a part's level to what is seen there that is gone in a day: the levels are those
/// of the last week or so.
const DAILY_GAIN: f32 = 0.2;
/// The same per value, on the first day.
const FIRST_GAIN: f32 = 1.0 / 16.0;
/// The scale is never smaller than this share of the distance between the extreme parts of the day, or,
/// where these are alike, of the level.
const FLOOR: f32 = 0.01;
/// Successive values of a series that moves slowly differ less than it does in an hour: the scale starts
/// at so many mean differences.
const START: f32 = 2.0;
/// Steps of the parts' levels are clipped at so many scales.
const CLIP: f32 = 3.0;

/// Settings of the baseline.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether each part of the day has its own level; otherwise there is one.
    pub daily: bool,
    /// Time constant of the overall level.
    pub level: Span,
    /// Time constant of the scale.
    pub scale: Span,
    /// Half the width of the band, in scales.
    pub width: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            daily: true,
            level: Span::minutes(180),
            scale: Span::days(1),
            width: 3.0,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("level", self.level.as_millis() as f64);
        problems.extend(positive("scale", self.scale.as_millis() as f64));
        problems.extend(band_width(self.width));
        problems
    }

    /// The baseline.
    pub fn build(&self, grid: Grid) -> Box<dyn Baseline> {
        let day = (DAY as f32 / grid.step() as f32).max(1.0);
        let parts = if self.daily { PARTS } else { 1 };
        let values_of_a_part = (day / parts as f32).max(1.0);
        Box::new(Wide {
            parts,
            gains: Gains::new(grid, self.level, self.scale),
            part_gain: DAILY_GAIN / values_of_a_part,
            day: day as u32,
            width: self.width as f32,
            local: LocalTime::default(),
            states: Vec::new(),
            levels: Vec::new(),
        })
    }
}

#[derive(Debug)]
struct Wide {
    parts: usize,
    gains: Gains,
    part_gain: f32,
    day: u32,
    width: f32,
    local: LocalTime,
    states: Vec<State>,
    /// Per slot `parts` levels, one for each part of the day; `NaN` where it was never seen.
    levels: Vec<f32>,
}

/// Where in the day a time is.
#[derive(Debug, Clone, Copy)]
struct Phase {
    part: usize,
    /// The other part nearest, and how near: 0 in the middle of `part`, a half at the border.
    neighbour: usize,
    share: f32,
}

/// One series, beside its levels.
#[derive(Debug, Clone, Copy)]
struct State {
    /// What the newest values are above the levels of the day, and their noise.
    tracker: Tracker,
    floor: f32,
    /// The smallest difference of two successive values; infinite where they never differed.
    quantum: f32,
    seen: u32,
    previous: f32,
}

impl State {
    const NEW: Self = Self {
        tracker: Tracker::new(0.0, 0.0),
        floor: 0.0,
        quantum: f32::INFINITY,
        seen: 0,
        previous: f32::NAN,
    };

    fn shape(&self, levels: &[f32], phase: Phase) -> f32 {
        let (here, there) = (levels[phase.part], levels[phase.neighbour]);
        match (here.is_finite(), there.is_finite()) {
            (true, true) => here + phase.share * (there - here),
            (true, false) => here,
            // The first time in this part of the day: as in the part just left.
            (false, _) => self.previous - self.tracker.level,
        }
    }

    fn take(&mut self, levels: &mut [f32], phase: Phase, value: f32, wide: (Gains, f32, u32)) {
        let (gains, part_gain, day) = wide;
        self.seen = self.seen.saturating_add(1);
        if self.seen == 1 {
            self.previous = value;
        }
        if !levels[phase.part].is_finite() {
            levels[phase.part] = self.shape(levels, phase);
            self.measure(levels);
        }
        let difference = (value - self.previous).abs();
        if difference > 0.0 && difference < self.quantum {
            self.quantum = difference;
            self.measure(levels);
        }
        let rest = value - self.shape(levels, phase);
        if self.seen <= FEWEST {
            let share = 1.0 / self.seen as f32;
            self.tracker.scale += share * (START * difference - self.tracker.scale);
            levels[phase.part] += share * (value - levels[phase.part]);
            self.measure(levels);
        } else {
            self.tracker.take(rest, 1.0, self.floor, gains);
            let limit = CLIP * self.tracker.scale;
            let gain = if self.seen <= day {
                part_gain.max(FIRST_GAIN)
            } else {
                part_gain
            };
            levels[phase.part] += gain * robust::clip(value - levels[phase.part], limit);
        }
        self.previous = value;
    }

    /// Sets the least scale.
    fn measure(&mut self, levels: &[f32]) {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for &level in levels.iter().filter(|level| level.is_finite()) {
            (low, high) = (low.min(level), high.max(level));
        }
        let range = if high > low { high - low } else { high.abs() };
        let quantum = if self.quantum.is_finite() {
            self.quantum
        } else {
            0.0
        };
        self.floor = (FLOOR * range).max(super::QUANTUM_SHARE * quantum);
        self.tracker.scale = self.tracker.scale.max(self.floor);
    }
}

impl Wide {
    fn phase(&self, at: Millis) -> Phase {
        let local = self.local.read(at).rem_euclid(DAY);
        let place = local as f32 / DAY as f32 * self.parts as f32;
        let part = (place as usize).min(self.parts - 1);
        let inside = place - part as f32 - 0.5;
        let towards = if inside < 0.0 { self.parts - 1 } else { 1 };
        Phase {
            part,
            neighbour: (part + towards) % self.parts,
            share: inside.abs(),
        }
    }
}

impl Baseline for Wide {
    fn grow(&mut self, slots: usize) {
        let slots = slots.max(self.states.len());
        self.states.resize(slots, State::NEW);
        self.levels.resize(slots * self.parts, f32::NAN);
    }

    fn evict(&mut self, slot: Slot) {
        self.states[slot] = State::NEW;
        self.levels[slot * self.parts..][..self.parts].fill(f32::NAN);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.states.swap(one, other);
        swap_rows(&mut self.levels, self.parts, one, other);
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) {
        if self.local.zone() != past.zone {
            self.local = LocalTime::new(past.zone.clone());
        }
        self.evict(slot);
    }

    fn expect(&self, at: Millis, slots: &[Slot], out: &mut [Band]) {
        let phase = self.phase(at);
        for (band, &slot) in out.iter_mut().zip(slots) {
            let state = &self.states[slot];
            *band = Band::UNKNOWN;
            if state.seen >= FEWEST {
                let scale = if state.tracker.scale > 0.0 {
                    state.tracker.scale
                } else {
                    f32::NAN
                };
                let levels = &self.levels[slot * self.parts..][..self.parts];
                let expected = state.shape(levels, phase) + state.tracker.level;
                *band = Band::around(expected, scale, self.width);
            }
        }
    }

    fn observe(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let phase = self.phase(at);
        let wide = (self.gains, self.part_gain, self.day);
        for (&slot, &value) in slots.iter().zip(values) {
            if value.is_finite() {
                let levels = &mut self.levels[slot * self.parts..][..self.parts];
                self.states[slot].take(levels, phase, value, wide);
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.states.capacity() * size_of::<State>() + self.levels.capacity() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    #[test]
    fn learns_the_day_without_a_past_and_fits_in_128_bytes() {
        assert!(size_of::<State>() + PARTS * size_of::<f32>() <= 128);
        let grid = Grid::new(60_000).unwrap();
        let mut baseline = Settings::default().build(grid);
        baseline.grow(1);
        let mut random = fastrand::Rng::with_seed(3);
        let course = |minute: i64| 100.0 + 50.0 * (TAU * minute as f32 / 1_440.0).sin();
        for minute in 0..7 * 1_440 {
            let noise = 4.0 * random.f32() - 2.0;
            baseline.observe(minute * 60_000, &[0], &[course(minute) + noise]);
        }
        let mut bands = [Band::UNKNOWN];
        for minute in (7 * 1_440..8 * 1_440).step_by(60) {
            baseline.expect(minute * 60_000, &[0], &mut bands);
            let error = (bands[0].expected - course(minute)).abs();
            assert!(error < 15.0, "{error} at minute {minute}: {:?}", bands[0]);
            assert!((1.0..15.0).contains(&bands[0].scale), "{:?}", bands[0]);
        }
    }

    #[test]
    fn a_constant_series_has_a_scale_of_its_level_and_zero_has_none() {
        let grid = Grid::new(60_000).unwrap();
        let mut baseline = Settings::default().build(grid);
        baseline.grow(2);
        for minute in 0..3_000 {
            baseline.observe(minute * 60_000, &[0, 1], &[5.0, 0.0]);
        }
        let mut bands = [Band::UNKNOWN; 2];
        baseline.expect(0, &[0, 1], &mut bands);
        assert_eq!(bands[0].expected, 5.0);
        assert!((bands[0].scale - 0.05).abs() < 1e-6);
        assert_eq!(bands[1].expected, 0.0);
        assert!(bands[1].scale.is_nan());
    }
}
