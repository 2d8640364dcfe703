//! The typical course over a day (or another season) and over a week, on a slowly tracked level.
//!
//! *When*: anything people or schedules drive. *Cost*: about 30 ns a value, at most 3 kB a series; a fit of
//! three weeks at a minute about a millisecond. *Reference*: medians by place in the season after the
//! trend is taken away, as in robust STL; the level is Huber's location, exponentially weighted.

use super::{Band, Baseline, Problems, band_width, positive};
use crate::{
    series::{Grid, Millis, Past, Slot, Span},
    stats::{
        clock::LocalTime,
        profile::Profile,
        robust,
        track::{Gains, Tracker},
    },
};
use serde::Deserialize;
use std::cell::Cell;

/// No more seasons than this are modelled: an hour, a day and a week.
const MOST_SEASONS: usize = 3;
const DAY: Millis = 86_400_000;
/// Quarters of a season in which the noise is told apart: work hours are noisier than nights.
const SPREADS: usize = 24;

/// Share of the change from one place of a profile to the next that counts as noise: nothing happens at
/// the same second every day.
const TIMING: f32 = 0.5;

/// Settings of the baseline.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Time constant of the level.
    pub level: Span,
    /// Time constant of the scale.
    pub scale: Span,
    /// Half the width of the band, in scales.
    pub width: f64,
    /// The scale is never smaller than this share of the range of the past.
    pub floor: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: Span::minutes(360),
            scale: Span::days(2),
            width: 3.0,
            floor: 0.01,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("level", self.level.as_millis() as f64);
        problems.extend(positive("scale", self.scale.as_millis() as f64));
        problems.extend(band_width(self.width));
        problems.extend(super::share("floor", self.floor));
        problems
    }

    /// The baseline.
    pub fn build(&self, grid: Grid) -> Box<dyn Baseline> {
        Box::new(Seasonal::new(self, grid, learn))
    }
}

/// What is learnt of a past.
#[derive(Debug)]
pub(super) struct Learnt {
    /// Shortest season first.
    pub(super) profiles: Vec<Profile>,
    /// The values less all profiles.
    pub(super) rest: Vec<f32>,
}

/// How the profiles of a past are learnt.
pub(super) type Learn = fn(&Past<'_>, &LocalTime) -> Learnt;

/// Profiles beside a tracked level: what [`Settings`] builds, and others with another way to learn.
#[derive(Debug)]
pub(super) struct Seasonal {
    gains: Gains,
    width: f32,
    floor: f32,
    learn: Learn,
    local: LocalTime,
    states: Vec<Option<State>>,
}

#[derive(Debug, Clone)]
struct State {
    profiles: Vec<Profile>,
    /// How noisy each part of the day is, relative to the whole; all 1 without a season.
    spreads: [f32; SPREADS],
    tracker: Tracker,
    floor: f32,
    /// Noise ahead is larger than the noise the profile was made of.
    inflation: f32,
    /// The newest time asked for, and what the profiles say then: a value is expected, then observed.
    last: Cell<(Millis, f32)>,
}

impl State {
    /// What the profiles say, and how steep they are.
    fn shape(&self, local: Millis) -> (f32, f32) {
        let shape = shape(&self.profiles, local);
        self.last.set((local, shape.0));
        shape
    }

    /// What the profiles say.
    fn shape_again(&self, local: Millis) -> f32 {
        let (known, shape) = self.last.get();
        if known == local {
            shape
        } else {
            self.shape(local).0
        }
    }

    fn spread(&self, local: Millis) -> f32 {
        self.spreads[part(local)]
    }
}

fn shape(profiles: &[Profile], local: Millis) -> (f32, f32) {
    let mut sum = (0.0, 0.0);
    for profile in profiles {
        let (value, change) = profile.at(local);
        sum.0 += value;
        sum.1 += change;
    }
    sum
}

fn part(local: Millis) -> usize {
    (local.rem_euclid(DAY) * SPREADS as i64 / DAY) as usize
}

impl Seasonal {
    pub(super) fn new(settings: &Settings, grid: Grid, learn: Learn) -> Self {
        Self {
            gains: Gains::new(grid, settings.level, settings.scale),
            width: settings.width as f32,
            floor: settings.floor as f32,
            learn,
            local: LocalTime::default(),
            states: Vec::new(),
        }
    }

    pub(super) fn local(&self, at: Millis) -> Millis {
        self.local.read(at)
    }

    pub(super) fn band(&self, slot: Slot, local: Millis) -> Band {
        let Some(state) = &self.states[slot] else {
            return Band::UNKNOWN;
        };
        let (shape, change) = state.shape(local);
        let noise = state.tracker.scale * state.spread(local) * state.inflation;
        let timing = TIMING * change;
        let scale = super::at_least((noise * noise + timing * timing).sqrt(), state.floor);
        Band::around(state.tracker.level + shape, scale, self.width)
    }

    pub(super) fn take(&mut self, slot: Slot, local: Millis, value: f32) {
        let gains = self.gains;
        if let Some(state) = &mut self.states[slot]
            && value.is_finite()
        {
            let rest = value - state.shape_again(local);
            let spread = state.spread(local);
            state.tracker.take(rest, spread, state.floor, gains);
        }
    }

    fn learn(&self, past: &Past<'_>) -> Option<State> {
        let Learnt { profiles, rest } = (self.learn)(past, &self.local);
        let scale = robust::rough_scale(&rest)?;
        let (range, quantum) = robust::range_and_quantum(past.values)?;
        let floor = super::scale_floor(range, quantum, past.values, self.floor);
        let start = &rest[..rest.len().min(past.grid.steps(DAY / 8).max(16))];
        let level = robust::median_and_mad(start)
            .or_else(|| robust::median_and_mad(&rest))?
            .0;
        let cycles = profiles
            .iter()
            .map(|profile| {
                past.values.len() as f32 * past.grid.step() as f32 / profile.period() as f32
            })
            .fold(f32::INFINITY, f32::min);
        Some(State {
            spreads: spreads(past, &self.local, &rest, &profiles),
            profiles,
            last: Cell::new((Millis::MIN, 0.0)),
            tracker: Tracker::new(level, scale.max(floor)),
            floor,
            // Residuals of a mean of n cycles have (n - 1) / n of the noise, those ahead (n + 1) / n.
            inflation: ((cycles + 1.0) / (cycles - 1.0).max(1.0))
                .sqrt()
                .clamp(1.0, 1.75),
        })
    }
}

impl Baseline for Seasonal {
    fn grow(&mut self, slots: usize) {
        self.states.resize(slots.max(self.states.len()), None);
    }

    fn evict(&mut self, slot: Slot) {
        self.states[slot] = None;
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.states.swap(one, other);
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) {
        if self.local.zone() != past.zone {
            self.local = LocalTime::new(past.zone.clone());
        }
        self.states[slot] = self.learn(past);
    }

    fn expect(&self, at: Millis, slots: &[Slot], out: &mut [Band]) {
        let local = self.local.read(at);
        for (band, &slot) in out.iter_mut().zip(slots) {
            *band = self.band(slot, local);
        }
    }

    fn observe(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let local = self.local.read(at);
        for (&slot, &value) in slots.iter().zip(values) {
            self.take(slot, local, value);
        }
    }

    fn heap_bytes(&self) -> usize {
        let profiles: usize = self
            .states
            .iter()
            .flatten()
            .flat_map(|state| &state.profiles)
            .map(|profile| profile.heap_bytes() + size_of::<Profile>())
            .sum();
        profiles + self.states.capacity() * size_of::<Option<State>>()
    }
}

/// Medians by place, one season after the other, each on what the shorter ones leave.
pub(super) fn learn(past: &Past<'_>, local: &LocalTime) -> Learnt {
    let times: Vec<Millis> = (0..past.values.len())
        .map(|index| local.read(past.time(index)))
        .collect();
    let mut rest = past.values.to_vec();
    let mut profiles = Vec::new();
    for &season in past.seasons.iter().take(MOST_SEASONS) {
        let period = season as i64 * past.grid.step();
        let Some(profile) = Profile::learn(&mut rest, &times, period, past.grid.step()) else {
            continue;
        };
        profiles.push(profile);
    }
    Learnt { profiles, rest }
}

/// How noisy each part of the day is, by the mean size of changes of what the profiles leave.
fn spreads(
    past: &Past<'_>,
    local: &LocalTime,
    rest: &[f32],
    profiles: &[Profile],
) -> [f32; SPREADS] {
    let mut spreads = [1.0; SPREADS];
    if profiles.is_empty() {
        return spreads;
    }
    let mut parts = vec![Vec::new(); SPREADS];
    let stride = rest.len().div_ceil(8_192).max(1);
    for index in (1..rest.len()).step_by(stride) {
        let change = (rest[index] - rest[index - 1]).abs();
        if change.is_finite() {
            parts[part(local.read(past.time(index)))].push(change);
        }
    }
    let mut all: Vec<f32> = parts.iter().flatten().copied().collect();
    let typical = robust::median_of(&mut all);
    if typical.is_nan() || typical <= 0.0 {
        return spreads;
    }
    for (spread, changes) in spreads.iter_mut().zip(&mut parts) {
        if changes.len() >= 30 {
            *spread = (robust::median_of(changes) / typical).clamp(0.5, 4.0);
        }
    }
    spreads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Zone;
    use std::f32::consts::TAU;

    const MINUTE: Millis = 60_000;
    const STEPS: usize = 1_440;

    /// Busy in the middle of the local day, quiet at weekends, growing by 2 % a day.
    fn traffic(local: Millis, zone_free: usize) -> f32 {
        let day = local as f32 / DAY as f32;
        let hours = (local.rem_euclid(DAY)) as f32 / DAY as f32;
        let weekend = if local.div_euclid(DAY).rem_euclid(7) < 2 {
            0.5
        } else {
            1.0
        };
        let noise = ((zone_free * 7_919) % 101) as f32 / 100.0 - 0.5;
        100.0 + 2.0 * (day % 365.0) + 40.0 * weekend * (1.0 - (TAU * hours).cos()) + 4.0 * noise
    }

    /// Mean absolute error over a day, as the engine would walk it, of a baseline that learnt 18 days.
    fn error(zone: &Zone, start: Millis, seasons: &[usize]) -> f32 {
        let grid = Grid::new(MINUTE).unwrap();
        let value = |index: usize| {
            let at = start + index as i64 * MINUTE;
            traffic(at + zone.offset(at), index)
        };
        let values: Vec<f32> = (0..18 * STEPS).map(value).collect();
        let past = Past {
            end: start + (values.len() as i64 - 1) * MINUTE,
            grid,
            values: &values,
            seasons,
            zone,
        };
        let mut baseline = Settings::default().build(grid);
        baseline.grow(1);
        baseline.fit(0, &past);
        let mut bands = [Band::UNKNOWN];
        let mut sum = 0.0;
        for index in 0..19 * STEPS {
            let at = start + index as i64 * MINUTE;
            baseline.expect(at, &[0], &mut bands);
            if index >= 18 * STEPS {
                sum += (bands[0].expected - value(index)).abs();
            }
            baseline.observe(at, &[0], &[value(index)]);
        }
        assert!(baseline.heap_bytes() <= 15_000, "{}", baseline.heap_bytes());
        sum / STEPS as f32
    }

    #[test]
    fn follows_day_week_and_trend() {
        let start = 20_002 * DAY;
        let utc = Zone::default();
        let both = error(&utc, start, &[STEPS, 7 * STEPS]);
        assert!(both < 3.0, "{both}");
        // The last day is the first of a week's other kind: without the week it cannot be known.
        let day_only = error(&utc, start, &[STEPS]);
        assert!(2.0 * both < day_only, "{both} {day_only}");
    }

    #[test]
    fn the_day_is_that_of_the_wall_clock() {
        // 31 March 2024, 1:00 UTC: Berlin's clocks go forward, in the middle of the 18 days.
        let start = 1_711_846_800_000 / DAY * DAY - 9 * DAY;
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let error = error(&berlin, start, &[STEPS]);
        assert!(error < 6.0, "{error}");
    }
}
