//! Seasonal naive: as at the same wall-clock time one season ago. The forecast every other one must beat.
//!
//! Of the known seasons it takes the one that erred least over the past. The newest value of every
//! phase is kept, so that a gap falls back to the season before it, never to zero. Cost: O(1) per step,
//! four bytes per step of the season.

use super::{
    Forecaster, ModelFiles,
    wall::{Wall, phase_of},
};
use crate::series::{Grid, Millis, Past, Slot};

/// Which season is repeated.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Of the seasons that a series has.
    pub season: Season,
}

/// One of the seasons that a series has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Season {
    /// The one that erred least over the past.
    #[default]
    Best,
    /// The shortest: a day, for most.
    Shortest,
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// One season of each series.
#[derive(Debug)]
pub(super) struct SeasonalNaive {
    wall: Wall,
    /// Only the shortest season counts: what skill is measured against.
    shortest: bool,
    /// By slot: the newest value of each phase, `NaN` where none was seen; empty where it abstains.
    seasons: Vec<Box<[f32]>>,
    /// By slot: the newest time taken in.
    now: Vec<Millis>,
}

impl SeasonalNaive {
    /// See [`super::ModelSettings::build`].
    #[expect(
        clippy::unnecessary_wraps,
        reason = "every forecaster is built the same way"
    )]
    pub(super) fn build(
        settings: &Settings,
        grid: Grid,
        _horizons: &[usize],
        _files: &ModelFiles,
    ) -> Result<Self, String> {
        Ok(Self::new(grid, settings.season == Season::Shortest))
    }

    /// Of the shortest season only (a day, where the series has one).
    pub(super) fn shortest(grid: Grid) -> Self {
        Self::new(grid, true)
    }

    fn new(grid: Grid, shortest: bool) -> Self {
        Self {
            wall: Wall::new(grid),
            shortest,
            seasons: Vec::new(),
            now: Vec::new(),
        }
    }

    /// The season with the least mean absolute difference to the season before it.
    fn choose(&self, past: &Past<'_>) -> Option<usize> {
        let mut known = past.seasons.iter().copied().filter(|&season| {
            // Less than a season and a quarter shows too little of it to judge or to use.
            season > 1 && past.values.len() * 4 >= season * 5
        });
        if self.shortest {
            return known.next();
        }
        // Both judged on the same newest values, or a quiet early week would decide.
        let longest = past.seasons.iter().copied().max()?;
        let judged = past.values.len().saturating_sub(longest);
        let judged = if judged * 4 >= longest {
            judged
        } else {
            past.values.len()
        };
        known
            .map(|season| (season, mean_difference(past.values, season, judged)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(season, _)| season)
    }
}

/// Mean of `|y[t] - y[t - season]|` over the newest `judged` times where both exist; infinite where none.
fn mean_difference(values: &[f32], season: usize, judged: usize) -> f64 {
    let from = season.max(values.len() - judged);
    let (mut sum, mut count) = (0.0_f64, 0_usize);
    for (new, old) in values[from..].iter().zip(&values[from - season..]) {
        let difference = f64::from((new - old).abs());
        if difference.is_finite() {
            sum += difference;
            count += 1;
        }
    }
    if count == 0 {
        f64::INFINITY
    } else {
        sum / count as f64
    }
}

impl Forecaster for SeasonalNaive {
    fn kind(&self) -> &'static str {
        "seasonal_naive"
    }

    fn abstains(&self) -> bool {
        true
    }

    fn grow(&mut self, slots: usize) {
        self.seasons.resize_with(slots, Box::default);
        self.now.resize(slots, Millis::MIN);
    }

    fn evict(&mut self, slot: Slot) {
        self.seasons[slot] = Box::default();
        self.now[slot] = Millis::MIN;
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.seasons.swap(one, other);
        self.now.swap(one, other);
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        self.evict(slot);
        self.wall.set_zone(past.zone);
        let Some(season) = self.choose(past) else {
            return false;
        };
        let mut phases = vec![f32::NAN; season].into_boxed_slice();
        // Two seasons: where the newest has a gap, the one before it serves.
        let from = past.values.len().saturating_sub(2 * season);
        for (index, &value) in past.values.iter().enumerate().skip(from) {
            if value.is_finite() {
                phases[phase_of(self.wall.walk(past.time(index)), season)] = value;
            }
        }
        self.seasons[slot] = phases;
        self.now[slot] = past.end;
        true
    }

    fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let index = self.wall.walk(at);
        for (&slot, &value) in slots.iter().zip(values) {
            let season = &mut self.seasons[slot];
            if season.is_empty() {
                continue;
            }
            self.now[slot] = at;
            if value.is_finite() {
                season[phase_of(index, season.len())] = value;
            }
        }
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        let mut targets = self.wall.targets(horizons);
        for (&slot, row) in slots.iter().zip(out.chunks_exact_mut(horizons.len())) {
            let season = &self.seasons[slot];
            if season.is_empty() {
                row.fill(f32::NAN);
                continue;
            }
            let now = self.now[slot];
            let walls = targets.after(now);
            for (out, &index) in row.iter_mut().zip(walls) {
                *out = season[phase_of(index, season.len())];
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        let seasons: usize = self
            .seasons
            .iter()
            .map(|season| size_of_val(&**season))
            .sum();
        seasons
            + self.seasons.capacity() * size_of::<Box<[f32]>>()
            + self.now.capacity() * size_of::<Millis>()
    }
}
