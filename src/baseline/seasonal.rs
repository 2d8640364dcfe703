//! Median by place in the season, beside a slowly tracked level and scale.

use super::{Band, Baseline};
use crate::{
    series::{Grid, Millis, Past, Slot},
    stats::robust,
};

const ALPHA: f32 = 0.01;

#[derive(Debug)]
pub(super) struct Seasonal {
    grid: Grid,
    states: Vec<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    profile: Vec<f32>,
    level: f32,
    scale: f32,
    floor: f32,
}

impl Seasonal {
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            grid,
            states: Vec::new(),
        }
    }

    fn shape(&self, state: &State, at: Millis) -> f32 {
        if state.profile.is_empty() {
            return 0.0;
        }
        let place = self.grid.index(at).rem_euclid(state.profile.len() as i64);
        state.profile[place as usize]
    }
}

impl Baseline for Seasonal {
    fn grow(&mut self, slots: usize) {
        self.states
            .resize(slots.max(self.states.len()), State::default());
    }

    fn evict(&mut self, slot: Slot) {
        self.states[slot] = State::default();
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) {
        let mut state = State::default();
        if let Some(&season) = past.seasons.first() {
            state.profile = profile(past, season);
        }
        let rest: Vec<f32> = past
            .values
            .iter()
            .enumerate()
            .map(|(index, value)| value - self.shape(&state, past.time(index)))
            .collect();
        if let Some((level, scale)) = robust::median_and_mad(&rest) {
            state.level = level;
            state.floor = (level.abs() * 1e-2).max(1e-6);
            state.scale = scale.max(state.floor);
            self.states[slot] = state;
        }
    }

    fn expect(&self, at: Millis, slots: &[Slot], out: &mut [Band]) {
        for (band, &slot) in out.iter_mut().zip(slots) {
            let state = &self.states[slot];
            *band = Band::UNKNOWN;
            if state.scale > 0.0 {
                let expected = state.level + self.shape(state, at);
                *band = Band {
                    expected,
                    lower: expected - 3.0 * state.scale,
                    upper: expected + 3.0 * state.scale,
                    scale: state.scale,
                };
            }
        }
    }

    fn observe(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        for (&slot, value) in slots.iter().zip(values) {
            let rest = value - self.shape(&self.states[slot], at);
            let state = &mut self.states[slot];
            if rest.is_finite() && state.scale > 0.0 {
                let step = (rest - state.level).clamp(-3.0 * state.scale, 3.0 * state.scale);
                state.level += ALPHA * step;
                state.scale += ALPHA * (1.2533 * step.abs() - state.scale);
                state.scale = state.scale.max(state.floor);
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        let profiles: usize = self
            .states
            .iter()
            .map(|state| state.profile.capacity() * 4)
            .sum();
        profiles + self.states.capacity() * size_of::<State>()
    }
}

fn profile(past: &Past<'_>, season: usize) -> Vec<f32> {
    let (center, _) = robust::median_and_mad(past.values).unwrap_or((0.0, 0.0));
    let mut places: Vec<Vec<f32>> = vec![Vec::new(); season];
    for (index, &value) in past.values.iter().enumerate() {
        let place = past.grid.index(past.time(index)).rem_euclid(season as i64);
        if value.is_finite() {
            places[place as usize].push(value - center);
        }
    }
    places
        .iter_mut()
        .map(|values| {
            if values.is_empty() {
                0.0
            } else {
                robust::median_of(values)
            }
        })
        .collect()
}
