//! The newest values of a series, kept in order: median, quantiles and MAD of a moving window.

use super::robust;

/// The newest `capacity` values, also sorted. A push costs a binary search and a short move; a quantile
/// is a look-up; the median absolute deviation a binary search. Eight bytes a value.
#[derive(Debug, Clone, Default)]
pub struct Ordered {
    ring: Vec<f32>,
    sorted: Vec<f32>,
    next: usize,
}

impl Ordered {
    /// Takes in a finite value; the oldest one leaves where `capacity` are held already.
    pub fn push(&mut self, value: f32, capacity: usize) {
        if self.ring.len() < capacity {
            self.ring.push(value);
            let at = self.rank(value);
            self.sorted.insert(at, value);
            return;
        }
        let oldest = std::mem::replace(&mut self.ring[self.next], value);
        self.next = (self.next + 1) % capacity;
        self.swap(oldest, value);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.ring.clear();
        self.sorted.clear();
        self.next = 0;
    }

    /// Smallest to greatest.
    pub fn sorted(&self) -> &[f32] {
        &self.sorted
    }

    /// Oldest first within the ring's order; the order of the values does not matter to sums.
    pub fn values(&self) -> &[f32] {
        &self.ring
    }

    /// Median absolute deviation from `center` (not scaled); `NaN` where nothing is held.
    pub fn deviation(&self, center: f32) -> f32 {
        let count = self.sorted.len();
        if count == 0 {
            return f32::NAN;
        }
        let upper = self.nearest(center, count / 2 + 1);
        if count % 2 == 1 {
            return upper;
        }
        0.5 * (upper + self.nearest(center, count / 2))
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        (self.ring.capacity() + self.sorted.capacity()) * size_of::<f32>()
    }

    fn rank(&self, value: f32) -> usize {
        self.sorted.partition_point(|&held| held < value)
    }

    /// Replaces one value by another, moving only what lies between their places.
    fn swap(&mut self, old: f32, new: f32) {
        let from = self.rank(old);
        let to = self.rank(new);
        if to > from {
            self.sorted.copy_within(from + 1..to, from);
            self.sorted[to - 1] = new;
        } else {
            self.sorted.copy_within(to..from, to + 1);
            self.sorted[to] = new;
        }
    }

    /// The `k`-th smallest distance from `center` (1 is the nearest). The `k` nearest values are
    /// neighbours in the sorted order: of all runs of `k`, the one whose farther end is nearest. With
    /// the start of the run the distance of its lower end falls and that of its upper end rises.
    fn nearest(&self, center: f32, k: usize) -> f32 {
        let sorted = &self.sorted;
        let (mut low, mut high) = (0, sorted.len() - k);
        while low < high {
            let start = (low + high) / 2;
            if center - sorted[start] <= sorted[start + k - 1] - center {
                high = start;
            } else {
                low = start + 1;
            }
        }
        let reach = |start: usize| (center - sorted[start]).max(sorted[start + k - 1] - center);
        let found = reach(low);
        if low == 0 {
            found
        } else {
            found.min(reach(low - 1))
        }
    }

    /// The `q` quantile, see [`robust::quantile_of`].
    pub fn quantile(&self, q: f64) -> f32 {
        robust::quantile_of_sorted(&self.sorted, q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_sorting_the_window(
            capacity in 1_usize..20,
            pushed in prop::collection::vec((-20_i32..20).prop_map(|v| v as f32 * 0.5), 1..120),
        ) {
            let mut window = Ordered::default();
            for (index, &value) in pushed.iter().enumerate() {
                window.push(value, capacity);
                let mut newest = pushed[(index + 1).saturating_sub(capacity)..=index].to_vec();
                newest.sort_unstable_by(f32::total_cmp);
                prop_assert_eq!(window.sorted(), &newest[..]);
                let median = robust::median_of(&mut newest);
                let mut distances: Vec<f32> = newest.iter().map(|v| (v - median).abs()).collect();
                prop_assert_eq!(window.deviation(median), robust::median_of(&mut distances));
            }
        }
    }
}
