//! Growth carried on by a rule of thumb: what a series is forecast with when nothing else has an answer.
//!
//! As older systems had it: the last level, plus its velocity, plus half its acceleration, here from robust levels and damped.
//! With `L0`, `L1`, `L2` the medians of the newest block of values, of the one before it and of the one before that (a
//! block is about five minutes long), `V = L0 - L1` and `A = L0 - 2 L1 + L2`, the forecast `s` steps ahead is
//!
//! ```text
//! L0 + V u + A u^2 / 2        u = 1 - exp(-s / block)
//! ```
//!
//! so growth goes on for no more than another block, then the series stays where it is. What is published is bounded by
//! [`super::reach`] like every forecast, and only where its errors on the past of the series are known.

use crate::{
    series::{Grid, Slot},
    stats::robust::median_of,
};

/// Blocks that are looked at.
const BLOCKS: usize = 3;
/// The length of a block.
const BLOCK_MILLIS: i64 = 300_000;
/// A median of fewer is no more robust than the value itself; more cost memory.
const BLOCK_STEPS: (usize, usize) = (3, 20);

/// The newest values of every series of a shard.
#[derive(Debug)]
pub(super) struct Rule {
    /// Steps in a block.
    block: usize,
    /// By slot, a ring of `BLOCKS * block` values.
    rings: Vec<f32>,
    /// By slot, where the oldest value is.
    oldest: Vec<u8>,
}

impl Rule {
    /// Without any series yet.
    pub(super) fn new(grid: Grid) -> Self {
        let (least, most) = BLOCK_STEPS;
        Self {
            block: grid.steps(BLOCK_MILLIS).clamp(least, most),
            rings: Vec::new(),
            oldest: Vec::new(),
        }
    }

    pub(super) fn grow(&mut self, slots: usize) {
        self.rings.resize(slots * self.kept(), f32::NAN);
        self.oldest.resize(slots, 0);
    }

    pub(super) fn evict(&mut self, slot: Slot) {
        let kept = self.kept();
        self.rings[slot * kept..(slot + 1) * kept].fill(f32::NAN);
        self.oldest[slot] = 0;
    }

    pub(super) fn swap(&mut self, one: Slot, other: Slot) {
        let kept = self.kept();
        crate::series::swap_rows(&mut self.rings, kept, one, other);
        self.oldest.swap(one, other);
    }

    /// Takes in the value of the next step, `NaN` where it is missing.
    pub(super) fn see(&mut self, slot: Slot, value: f32) {
        let (kept, oldest) = (self.kept(), usize::from(self.oldest[slot]));
        self.rings[slot * kept + oldest] = value;
        self.oldest[slot] = ((oldest + 1) % kept) as u8;
    }

    /// Takes in a past, oldest first.
    pub(super) fn learn(&mut self, slot: Slot, values: &[f32]) {
        self.evict(slot);
        let from = values.len().saturating_sub(self.kept());
        values[from..]
            .iter()
            .for_each(|&value| self.see(slot, value));
    }

    /// The newest of the values that are kept; `NaN` where all are missing.
    pub(super) fn newest(&self, slot: Slot) -> f32 {
        let back = (0..self.kept()).map(|steps| self.back(slot, steps));
        back.into_iter()
            .find(|value| value.is_finite())
            .unwrap_or(f32::NAN)
    }

    /// Expected values, `horizons` steps ahead; `NaN` where a block is empty.
    pub(super) fn ahead(&self, slot: Slot, horizons: &[usize], out: &mut [f32]) {
        let [newest, before, oldest] =
            std::array::from_fn::<f32, BLOCKS, _>(|block| self.level(slot, block));
        let (velocity, acceleration) = (newest - before, newest - 2.0 * before + oldest);
        for (out, &steps) in out.iter_mut().zip(horizons) {
            let u = 1.0 - (-(steps as f32) / self.block as f32).exp();
            *out = newest + velocity * u + acceleration * u * u / 2.0;
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.rings.capacity() * size_of::<f32>() + self.oldest.capacity()
    }

    fn kept(&self) -> usize {
        BLOCKS * self.block
    }

    /// The value so many steps before the newest one.
    fn back(&self, slot: Slot, steps: usize) -> f32 {
        let kept = self.kept();
        let place = (usize::from(self.oldest[slot]) + kept - 1 - steps) % kept;
        self.rings[slot * kept + place]
    }

    /// The median of a block, the newest being 0.
    fn level(&self, slot: Slot, block: usize) -> f32 {
        let mut values = [f32::NAN; BLOCK_STEPS.1];
        let mut count = 0;
        for steps in block * self.block..(block + 1) * self.block {
            let value = self.back(slot, steps);
            if value.is_finite() {
                values[count] = value;
                count += 1;
            }
        }
        median_of(&mut values[..count])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        let mut rule = Rule::new(Grid::new(60_000).unwrap());
        rule.grow(2);
        rule
    }

    fn ahead(rule: &Rule, slot: Slot, steps: usize) -> f32 {
        let mut out = [0.0];
        rule.ahead(slot, &[steps], &mut out);
        out[0]
    }

    #[test]
    fn growth_goes_on_for_a_block_and_no_longer() {
        let mut rule = rule();
        let line: Vec<f32> = (0..40).map(|minute| minute as f32).collect();
        rule.learn(0, &line);
        // The newest block is 35 to 39, so the level is 37; a block is five minutes.
        assert_eq!(rule.newest(0), 39.0);
        let u = |steps: f32| 1.0 - (-steps / 5.0_f32).exp();
        assert!((ahead(&rule, 0, 5) - (37.0 + 5.0 * u(5.0))).abs() < 1e-4);
        assert!((ahead(&rule, 0, 1_000) - 42.0).abs() < 1e-4);
        // Faster and faster: 1, 4, 9, ... in blocks of five.
        let bent: Vec<f32> = (0..40).map(|minute| (minute as f32).powi(2)).collect();
        rule.learn(1, &bent);
        let (l0, l1, l2) = (37.0_f32.powi(2), 32.0_f32.powi(2), 27.0_f32.powi(2));
        let expected = l0 + (l0 - l1) + (l0 - 2.0 * l1 + l2) / 2.0;
        assert!((ahead(&rule, 1, 1_000) - expected).abs() < 0.1);
    }

    #[test]
    fn one_wild_value_moves_nothing_and_gaps_are_no_zeros() {
        let mut rule = rule();
        let mut values = vec![7.0; 30];
        values[27] = 1e9;
        values[20..23].fill(f32::NAN);
        rule.learn(0, &values);
        assert_eq!(ahead(&rule, 0, 15), 7.0);
        rule.learn(1, &values[..9]);
        assert!(ahead(&rule, 1, 15).is_nan(), "three blocks are needed");
        assert_eq!(rule.newest(1), 7.0);
        (0..5).for_each(|_| rule.see(0, f32::NAN));
        assert!(ahead(&rule, 0, 15).is_nan(), "nothing for a block");
    }

    #[test]
    fn taken_in_one_by_one_is_as_learnt_at_once_wherever_it_lies() {
        let values: Vec<f32> = (0..50).map(|step| (step as f32 * 0.7).sin()).collect();
        let (mut one, mut other) = (rule(), rule());
        one.learn(0, &values);
        other.learn(1, &values[..20]);
        values[20..].iter().for_each(|&value| other.see(1, value));
        other.swap(0, 1);
        assert_eq!(ahead(&one, 0, 3), ahead(&other, 0, 3));
        other.evict(0);
        assert!(ahead(&other, 0, 3).is_nan() && other.newest(0).is_nan());
    }

    #[test]
    fn a_block_fits_every_grid() {
        for (step, block) in [
            (1_000, 20),
            (15_000, 20),
            (60_000, 5),
            (300_000, 3),
            (3_600_000, 3),
        ] {
            assert_eq!(Rule::new(Grid::new(step).unwrap()).block, block, "{step}");
        }
    }
}
