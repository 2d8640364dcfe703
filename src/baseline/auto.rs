//! Seasonal where a season is known, rolling otherwise: the default.

use super::{Band, Baseline, rolling, rolling::Rolling, seasonal, seasonal::Seasonal};
use crate::series::{Grid, Millis, Past, Slot};

#[derive(Debug)]
pub(super) struct Auto {
    seasonal: Seasonal,
    rolling: Rolling,
    has_season: Vec<bool>,
}

impl Auto {
    pub(super) fn new(grid: Grid) -> Self {
        let settings = seasonal::Settings::default();
        Self {
            seasonal: Seasonal::new(&settings, grid, seasonal::learn),
            rolling: Rolling::new(&rolling::Settings::default(), grid),
            has_season: Vec::new(),
        }
    }
}

impl Baseline for Auto {
    fn grow(&mut self, slots: usize) {
        self.seasonal.grow(slots);
        self.rolling.grow(slots);
        self.has_season
            .resize(slots.max(self.has_season.len()), false);
    }

    fn evict(&mut self, slot: Slot) {
        self.seasonal.evict(slot);
        self.rolling.evict(slot);
        self.has_season[slot] = false;
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.seasonal.swap(one, other);
        self.rolling.swap(one, other);
        self.has_season.swap(one, other);
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) {
        self.has_season[slot] = past
            .seasons
            .first()
            .is_some_and(|&season| past.values.len() >= 2 * season);
        if self.has_season[slot] {
            self.rolling.evict(slot);
            self.seasonal.fit(slot, past);
        } else {
            self.seasonal.evict(slot);
            self.rolling.fit(slot, past);
        }
    }

    fn expect(&self, at: Millis, slots: &[Slot], out: &mut [Band]) {
        let local = self.seasonal.local(at);
        for (band, &slot) in out.iter_mut().zip(slots) {
            *band = if self.has_season[slot] {
                self.seasonal.band(slot, local)
            } else {
                self.rolling.band(slot)
            };
        }
    }

    fn observe(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let local = self.seasonal.local(at);
        for (&slot, &value) in slots.iter().zip(values) {
            if self.has_season[slot] {
                self.seasonal.take(slot, local, value);
            } else {
                self.rolling.take(slot, at, value);
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.seasonal.heap_bytes() + self.rolling.heap_bytes() + self.has_season.capacity()
    }
}
