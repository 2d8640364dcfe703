//! Seasonal mean: what is usual at that time of the day; without a season, what is usual.
//!
//! It forgets the present, which is right for bursty series a day ahead: what is unusual now says
//! nothing about tomorrow. Alone it is rarely the best; in the mean with another it draws that back to
//! the usual. Cost: nothing per step; at most 400 bytes a series.

use super::{
    Forecaster, ModelFiles,
    wall::{Wall, phase_of},
};
use crate::series::{Grid, Millis, Past, Slot};

/// Points of the profile, at most: a quarter of an hour each, for a day.
const MOST_POINTS: usize = 96;
/// Fewer values show nothing usual.
const LEAST: usize = 12;

/// Nothing to set.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Profile of each series.
#[derive(Debug)]
pub(super) struct SeasonalMean {
    wall: Wall,
    slots: Vec<Usual>,
}

#[derive(Debug, Clone)]
struct Usual {
    /// In steps; 1 where no season is known.
    season: usize,
    /// Means at evenly spaced parts of the season; empty where it abstains.
    means: Box<[f32]>,
    /// Weight of a new value in the mean of its part.
    weight: f32,
    now: Millis,
}

impl Usual {
    fn unknown() -> Self {
        Self {
            season: 1,
            means: Box::default(),
            weight: 0.0,
            now: Millis::MIN,
        }
    }

    /// Between the middles of the two nearest parts, by a straight line.
    fn at(&self, index: i64) -> f32 {
        let count = self.means.len();
        let place = (phase_of(index, self.season) as f32 + 0.5) / self.season as f32;
        let place = place * count as f32 - 0.5;
        let share = place - place.floor();
        let left = if place < 0.0 {
            count - 1
        } else {
            place as usize
        };
        let right = if left + 1 == count { 0 } else { left + 1 };
        self.means[left] + share * (self.means[right] - self.means[left])
    }
}

impl SeasonalMean {
    /// See [`super::ModelSettings::build`].
    #[expect(
        clippy::unnecessary_wraps,
        reason = "every forecaster is built the same way"
    )]
    pub(super) fn build(
        _settings: &Settings,
        grid: Grid,
        _horizons: &[usize],
        _files: &ModelFiles,
    ) -> Result<Self, String> {
        Ok(Self {
            wall: Wall::new(grid),
            slots: Vec::new(),
        })
    }
}

impl Forecaster for SeasonalMean {
    fn kind(&self) -> &'static str {
        "seasonal_mean"
    }

    fn grow(&mut self, slots: usize) {
        self.slots.resize(slots, Usual::unknown());
    }

    fn evict(&mut self, slot: Slot) {
        self.slots[slot] = Usual::unknown();
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.slots.swap(one, other);
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        self.evict(slot);
        self.wall.set_zone(past.zone);
        let season = past.seasons.first().copied().unwrap_or(1);
        let season = if past.values.len() >= 2 * season {
            season
        } else {
            1
        };
        let parts = season.min(MOST_POINTS);
        let mut sums = vec![(0.0_f64, 0_u32); parts];
        for (index, &value) in past.values.iter().enumerate() {
            if value.is_finite() {
                let phase = phase_of(self.wall.walk(past.time(index)), season);
                let sum = &mut sums[phase * parts / season];
                sum.0 += f64::from(value);
                sum.1 += 1;
            }
        }
        let known: u32 = sums.iter().map(|sum| sum.1).sum();
        // A part never seen makes the whole profile a guess.
        if (known as usize) < LEAST || sums.iter().any(|sum| sum.1 == 0) {
            return false;
        }
        let means = sums
            .iter()
            .map(|&(sum, count)| (sum / f64::from(count)) as f32);
        self.slots[slot] = Usual {
            season,
            means: means.collect(),
            // As long a memory as what was fitted: a new value counts as one of those.
            weight: parts as f32 / known as f32,
            now: past.end,
        };
        true
    }

    fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let index = self.wall.walk(at);
        for (&slot, &value) in slots.iter().zip(values) {
            let usual = &mut self.slots[slot];
            usual.now = at;
            if value.is_finite() && !usual.means.is_empty() {
                let part = phase_of(index, usual.season) * usual.means.len() / usual.season;
                usual.means[part] += usual.weight * (value - usual.means[part]);
            }
        }
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        let mut targets = self.wall.targets(horizons);
        for (&slot, row) in slots.iter().zip(out.chunks_exact_mut(horizons.len())) {
            let usual = &self.slots[slot];
            if usual.means.is_empty() {
                row.fill(f32::NAN);
                continue;
            }
            let walls = targets.after(usual.now);
            for (out, &index) in row.iter_mut().zip(walls) {
                *out = usual.at(index);
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        let means: usize = self
            .slots
            .iter()
            .map(|usual| size_of_val(&*usual.means))
            .sum();
        means + self.slots.capacity() * size_of::<Usual>()
    }
}
