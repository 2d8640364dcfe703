//! The newest values of the series of a wide shard: as many grid times as are read again, for all series together.

use super::{epoch::REREAD, shard::SLOTS};
use crate::series::Slot;

/// Grid times that are kept: the one that is evaluated next, and those that are read again with it.
pub(super) const KEPT: usize = REREAD + 2;
/// Grid times after the newest evaluated one that are taken in; later ones would push out those that are read again.
pub(super) const AHEAD: i64 = 1;

/// A column of values for each of the newest grid times; `NaN` is a gap.
#[derive(Debug, Default)]
pub(super) struct Ring {
    values: Vec<f32>,
    /// Grid index of the newest column; of no meaning while there are none.
    end: i64,
    /// A bit for every series that came since the newest evaluated grid time.
    new: [u64; SLOTS / 64],
}

impl Ring {
    /// Makes room for the values of grid time `index`, unless there is.
    pub(super) fn reach(&mut self, index: i64) {
        if self.values.is_empty() {
            self.values = vec![f32::NAN; KEPT * SLOTS];
            self.end = index;
        }
        let from = (self.end + 1).max(index - KEPT as i64 + 1);
        for index in from..=index {
            self.column_mut(index).fill(f32::NAN);
        }
        self.end = self.end.max(index);
    }

    /// Grid time `index` is about to be evaluated: no series is new any more.
    pub(super) fn settle(&mut self, index: i64) {
        self.reach(index);
        self.new = Default::default();
    }

    /// A series comes to this slot.
    pub(super) fn begin(&mut self, slot: Slot) {
        self.new[slot / 64] |= 1 << (slot % 64);
    }

    /// Whether the series came since the newest evaluated grid time.
    pub(super) fn is_new(&self, slot: Slot) -> bool {
        self.new[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// The value of a series; `NaN` where it is not kept.
    pub(super) fn at(&self, slot: Slot, index: i64) -> f32 {
        if self.holds(index) {
            self.values[column(index) * SLOTS + slot]
        } else {
            f32::NAN
        }
    }

    /// Puts a value; gives the one that was there. Nothing is done where the time is not kept.
    pub(super) fn put(&mut self, slot: Slot, index: i64, value: f32) -> Option<f32> {
        if !self.holds(index) {
            return None;
        }
        let own = &mut self.values[column(index) * SLOTS + slot];
        Some(std::mem::replace(own, value))
    }

    /// Forgets a series.
    pub(super) fn clear(&mut self, slot: Slot) {
        for values in self.values.chunks_exact_mut(SLOTS) {
            values[slot] = f32::NAN;
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.values.capacity() * size_of::<f32>()
    }

    fn holds(&self, index: i64) -> bool {
        !self.values.is_empty() && index <= self.end && index > self.end - KEPT as i64
    }

    fn column_mut(&mut self, index: i64) -> &mut [f32] {
        &mut self.values[column(index) * SLOTS..][..SLOTS]
    }
}

fn column(index: i64) -> usize {
    index.rem_euclid(KEPT as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_newest_grid_times_and_no_others() {
        let mut ring = Ring::default();
        assert!(ring.at(0, 10).is_nan());
        for index in 10..20 {
            ring.reach(index);
            assert!(ring.put(3, index, index as f32).is_some_and(f32::is_nan));
        }
        let oldest = 20 - KEPT as i64;
        assert_eq!(ring.put(3, oldest - 1, 0.0), None);
        assert_eq!((ring.at(3, oldest), ring.at(3, 19)), (oldest as f32, 19.0));
        assert_eq!(ring.put(3, 19, 1.0), Some(19.0));
        assert!(ring.at(2, 19).is_nan() && ring.at(3, 20).is_nan());
        ring.reach(1_000);
        assert!((1_000 - KEPT as i64..=1_000).all(|index| ring.at(3, index).is_nan()));
    }
}
