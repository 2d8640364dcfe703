//! The past of one series: a ring that always reads as one slice.

use super::grid::{Grid, Millis};

/// Spare room beside the kept values, as a fraction of them: the values move to the front of the
/// buffer once per this many pushes, so that a push costs eight moves on average.
const SLACK_DIVISOR: usize = 8;

/// The newest `capacity` values of one series on its grid. A missing sample is `NaN`.
///
/// Memory: four bytes a value, with an eighth on top; a young series holds only what it has seen.
#[derive(Debug, Clone)]
pub struct Window {
    values: Vec<f32>,
    start: u32,
    capacity: u32,
    /// `Millis::MIN` while it is empty.
    end: Millis,
}

impl Window {
    /// An empty window that will keep `capacity` values (at least one).
    pub fn new(capacity: usize) -> Self {
        Self {
            values: Vec::new(),
            start: 0,
            capacity: u32::try_from(capacity.max(1)).unwrap_or(u32::MAX),
            end: Millis::MIN,
        }
    }

    /// Oldest to newest.
    pub fn as_slice(&self) -> &[f32] {
        &self.values[self.start as usize..]
    }

    /// Grid time of the newest value; `None` while empty.
    pub fn end(&self) -> Option<Millis> {
        (self.end != Millis::MIN).then_some(self.end)
    }

    /// Number of grid times held, gaps included.
    pub fn len(&self) -> usize {
        self.values.len() - self.start as usize
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.values.capacity() * size_of::<f32>()
    }

    /// Appends the value at grid time `at`; times jumped over become gaps. A time that is not after
    /// the newest one is refused with `false`: see [`Window::correct`].
    pub fn push(&mut self, grid: Grid, at: Millis, value: f32) -> bool {
        if let Some(end) = self.end() {
            if at <= end {
                return false;
            }
            let skipped = grid.index(at) - grid.index(end) - 1;
            let gaps = usize::try_from(skipped)
                .unwrap_or(0)
                .min(self.capacity as usize);
            for _ in 0..gaps {
                self.append(f32::NAN);
            }
        }
        self.append(value);
        self.end = at;
        true
    }

    /// Replaces the value at `at` where the window holds that time; says whether it changed.
    pub fn correct(&mut self, grid: Grid, at: Millis, value: f32) -> bool {
        let Some(position) = self.position(grid, at) else {
            return false;
        };
        let old = &mut self.values[position];
        let changed = old.to_bits() != value.to_bits() && !(old.is_nan() && value.is_nan());
        *old = value;
        changed
    }

    /// The value at grid time `at`; `NaN` where it is outside or missing.
    pub fn at(&self, grid: Grid, at: Millis) -> f32 {
        self.position(grid, at)
            .map_or(f32::NAN, |position| self.values[position])
    }

    /// The values up to and including grid time `at`, oldest first; empty where none is.
    pub fn until(&self, grid: Grid, at: Millis) -> &[f32] {
        let Some(end) = self.end() else { return &[] };
        if at >= end {
            return self.as_slice();
        }
        let newer = usize::try_from(grid.index(end) - grid.index(at)).unwrap_or(usize::MAX);
        let keep = self.len().saturating_sub(newer);
        &self.as_slice()[..keep]
    }

    fn position(&self, grid: Grid, at: Millis) -> Option<usize> {
        let back = usize::try_from(grid.index(self.end()?) - grid.index(at)).ok()?;
        (back < self.len()).then(|| self.values.len() - 1 - back)
    }

    fn append(&mut self, value: f32) {
        let capacity = self.capacity as usize;
        if self.len() == capacity {
            self.start += 1;
        }
        let limit = capacity + capacity / SLACK_DIVISOR + 1;
        if self.values.len() == limit {
            let start = self.start as usize;
            self.values.copy_within(start.., 0);
            self.values.truncate(limit - start);
            self.start = 0;
        }
        if self.values.len() == self.values.capacity() {
            let room = (self.values.len() * 2).max(16).min(limit);
            self.values.reserve_exact(room - self.values.len());
        }
        self.values.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid() -> Grid {
        Grid::new(10).unwrap()
    }

    #[test]
    fn a_jump_in_time_becomes_gaps_not_zeros() {
        let mut window = Window::new(8);
        window.push(grid(), 0, 1.0);
        window.push(grid(), 30, 2.0);
        let seen: Vec<bool> = window
            .as_slice()
            .iter()
            .map(|value| value.is_nan())
            .collect();
        assert_eq!(seen, [false, true, true, false]);
        assert!(!window.push(grid(), 30, 9.0));
    }

    #[test]
    fn a_correction_says_whether_it_changed_anything() {
        let mut window = Window::new(4);
        window.push(grid(), 0, 1.0);
        window.push(grid(), 20, 2.0);
        assert!(window.correct(grid(), 10, 5.0));
        assert!(!window.correct(grid(), 10, 5.0));
        assert!(!window.correct(grid(), 40, 5.0));
        assert_eq!(window.until(grid(), 10), [1.0, 5.0]);
    }

    proptest! {
        #[test]
        fn holds_the_newest_values_whatever_the_capacity(
            capacity in 1_usize..40,
            pushed in prop::collection::vec(-1e6_f32..1e6, 0..200),
        ) {
            let mut window = Window::new(capacity);
            for (index, &value) in pushed.iter().enumerate() {
                window.push(grid(), index as i64 * 10, value);
            }
            let from = pushed.len().saturating_sub(capacity);
            prop_assert_eq!(window.as_slice(), &pushed[from..]);
        }
    }
}
