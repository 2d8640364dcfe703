//! Recent: the next minutes as the last ten, between their middle and their greatest. A forecaster for the greatest value within a window.
//!
//! `0.6 * median + 0.4 * greatest` of the last ten minutes. What comes next is at its greatest above what is usual now, and how far above, the
//! last minutes know better than any season where the noise of a minute is large. Of a horizon it says too much: beside others it
//! is asked of windows alone ([`super::Forecaster::is_of_maxima`]), and `auto` has it where there are windows.
//!
//! A missing value leaves the others as they are. Cost: a sort of up to 60 values per answer, 4 bytes for each of them a series.
//! The share of the greatest and the span were chosen on the web and machine traces of the simulation together (docs/simulation.md).

use super::{Forecaster, ModelFiles};
use crate::series::{Grid, Millis, Past, Slot, swap_rows};

/// How far back it looks.
const SPAN: Millis = 600_000;
/// And in values at most.
const MOST_VALUES: usize = 60;
/// Weight of the greatest value beside the median.
const GREATEST: f32 = 0.4;

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

/// The newest values of each series.
#[derive(Debug)]
pub(super) struct Recent {
    /// Values of each.
    kept: usize,
    /// By slot, in a ring; `NaN` where missing.
    values: Vec<f32>,
    /// By slot, where the next one goes.
    next: Vec<u32>,
    /// By slot, whether it was learned.
    known: Vec<bool>,
}

impl Recent {
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
            kept: grid.steps_up(SPAN).clamp(1, MOST_VALUES),
            values: Vec::new(),
            next: Vec::new(),
            known: Vec::new(),
        })
    }

    fn see(&mut self, slot: Slot, value: f32) {
        let next = &mut self.next[slot];
        self.values[slot * self.kept + *next as usize] = value;
        *next = (*next + 1) % self.kept as u32;
    }

    /// What is expected; `NaN` where none of the newest values is known.
    fn expected(&self, slot: Slot) -> f32 {
        let mut sorted = [0.0_f32; MOST_VALUES];
        let mut count = 0;
        let own = &self.values[slot * self.kept..(slot + 1) * self.kept];
        for value in own.iter().copied().filter(|value| value.is_finite()) {
            sorted[count] = value;
            count += 1;
        }
        let sorted = &mut sorted[..count];
        sorted.sort_unstable_by(f32::total_cmp);
        match sorted.last() {
            Some(&greatest) => (1.0 - GREATEST) * sorted[count / 2] + GREATEST * greatest,
            None => f32::NAN,
        }
    }
}

impl Forecaster for Recent {
    fn kind(&self) -> &'static str {
        "recent"
    }

    fn abstains(&self) -> bool {
        true
    }

    fn is_of_maxima(&self) -> bool {
        true
    }

    fn grow(&mut self, slots: usize) {
        self.values.resize(slots * self.kept, f32::NAN);
        self.next.resize(slots, 0);
        self.known.resize(slots, false);
    }

    fn evict(&mut self, slot: Slot) {
        self.values[slot * self.kept..(slot + 1) * self.kept].fill(f32::NAN);
        self.next[slot] = 0;
        self.known[slot] = false;
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        swap_rows(&mut self.values, self.kept, one, other);
        self.next.swap(one, other);
        self.known.swap(one, other);
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        self.evict(slot);
        let from = past.values.len().saturating_sub(self.kept);
        for &value in &past.values[from..] {
            self.see(slot, value);
        }
        self.known[slot] = past.values.iter().any(|value| value.is_finite());
        self.known[slot]
    }

    fn extend(&mut self, _at: Millis, slots: &[Slot], values: &[f32]) {
        for (&slot, &value) in slots.iter().zip(values) {
            if self.known[slot] {
                self.see(slot, value);
            }
        }
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        for (&slot, row) in slots.iter().zip(out.chunks_exact_mut(horizons.len())) {
            row.fill(self.expected(slot));
        }
    }

    fn heap_bytes(&self) -> usize {
        self.values.capacity() * size_of::<f32>()
            + self.next.capacity() * size_of::<u32>()
            + self.known.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Zone;

    #[test]
    fn between_the_middle_and_the_greatest_of_ten_minutes() {
        let grid = Grid::new(60_000).unwrap();
        let mut recent = Recent::build(&Settings {}, grid, &[5], &ModelFiles::new()).unwrap();
        recent.grow(2);
        let values: Vec<f32> = (0..40).map(|minute| (minute % 20) as f32).collect();
        let zone = Zone::default();
        let past = Past {
            end: 39 * 60_000,
            grid,
            values: &values,
            seasons: &[],
            zone: &zone,
        };
        assert!(recent.fit(1, &past));
        let told = |recent: &Recent| {
            let mut out = [0.0; 2];
            recent.predict(&[1], &[5, 7], &mut out);
            assert_eq!(out[0].to_bits(), out[1].to_bits(), "a window is asked once");
            out[0]
        };
        // 10 to 19.
        assert!((told(&recent) - (0.6 * 15.0 + 0.4 * 19.0)).abs() < 1e-5);
        recent.extend(0, &[1], &[50.0]);
        // 11 to 19, and 50.
        assert!((told(&recent) - (0.6 * 16.0 + 0.4 * 50.0)).abs() < 1e-5);
        for _ in 0..10 {
            recent.extend(0, &[1], &[f32::NAN]);
        }
        assert!(told(&recent).is_nan());
        assert!(recent.expected(0).is_nan());
    }
}
