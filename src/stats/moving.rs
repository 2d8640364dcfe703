//! Thinned moving windows of many series, in order: their quantiles and the least scale they allow.

use super::ordered::Ordered;
use crate::series::{Grid, Millis, Slot, Span};

/// Values kept of a window: quantiles of more are hardly better, and cost as much again.
const MOST: usize = 256;
/// A window is known when this share of it, and no fewer than [`FEWEST`] values, is there: the first hours
/// of a day say nothing of its evening.
const KNOWN_SHARE: usize = 2;
/// The fewest values that say anything of a tail.
const FEWEST: usize = 30;

/// The newest values of every series, indexed by slot. At most 256 evenly spaced values of a window are kept,
/// eight bytes each; which ones depends on the grid time alone.
#[derive(Debug, Clone)]
pub struct Moving {
    grid: Grid,
    /// Every so many grid times one value is kept.
    stride: i64,
    capacity: usize,
    held: Vec<Ordered>,
}

impl Moving {
    /// Windows that reach back `window` on `grid`.
    pub fn new(window: Span, grid: Grid) -> Self {
        let steps = grid.steps_up(window.as_millis()).max(FEWEST);
        let stride = steps.div_ceil(MOST);
        Self {
            grid,
            stride: stride as i64,
            capacity: steps / stride,
            held: Vec::new(),
        }
    }

    /// Steps after which a value has left, if there are no gaps.
    pub fn memory(&self) -> usize {
        self.capacity * self.stride as usize
    }

    /// Makes room for `slots` series in all.
    pub fn grow(&mut self, slots: usize) {
        self.held
            .resize_with(slots.max(self.held.len()), Ordered::default);
    }

    /// Forgets one series.
    pub fn reset(&mut self, slot: Slot) {
        self.held[slot].clear();
    }

    /// Exchanges the windows of two series.
    pub fn swap(&mut self, one: Slot, other: Slot) {
        self.held.swap(one, other);
    }

    /// Takes in a value (a gap is left out). The window, where it changed and holds enough to judge by.
    pub fn take(&mut self, slot: Slot, at: Millis, value: f32) -> Option<&Ordered> {
        if !value.is_finite() || self.grid.index(at) % self.stride != 0 {
            return None;
        }
        let held = &mut self.held[slot];
        held.push(value, self.capacity);
        let fewest = (self.capacity / KNOWN_SHARE).max(FEWEST);
        (held.sorted().len() >= fewest).then_some(held)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let held: usize = self.held.iter().map(Ordered::heap_bytes).sum();
        held + self.held.capacity() * size_of::<Ordered>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    /// How many values are held after each of so many steps of `moving`, one series; `None`: not known yet.
    fn held(moving: &mut Moving, steps: i64) -> Vec<Option<usize>> {
        moving.grow(1);
        let stride = moving.stride;
        (0..steps)
            .filter(|step| step % stride == 0)
            .map(|step| {
                let held = moving.take(0, step * MINUTE, step as f32);
                held.map(|held| held.sorted().len())
            })
            .collect()
    }

    #[test]
    fn a_day_of_minutes_is_thinned_and_known_after_half_of_it() {
        let mut moving = Moving::new(Span::days(1), Grid::new(MINUTE).unwrap());
        let held = held(&mut moving, 3 * 1_440);
        assert_eq!(moving.memory(), 1_440);
        assert_eq!(held[119], Some(120));
        assert_eq!(held[118], None);
        assert_eq!(held.last(), Some(&Some(240)));
        moving.reset(0);
        assert!(moving.take(0, 0, 1.0).is_none());
    }

    #[test]
    fn a_short_window_still_holds_enough_to_judge_by_and_gaps_are_left_out() {
        let mut moving = Moving::new(Span::minutes(5), Grid::new(MINUTE).unwrap());
        let held = held(&mut moving, 40);
        assert_eq!(held.iter().position(Option::is_some), Some(29));
        assert!(moving.take(0, 50 * MINUTE, f32::NAN).is_none());
        let sorted = moving.take(0, 51 * MINUTE, 0.5).unwrap().sorted().to_vec();
        assert_eq!((sorted.len(), sorted[0]), (30, 0.5));
    }
}
