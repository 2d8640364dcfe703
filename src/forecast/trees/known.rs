//! What trees are told: differences of what was from the newest value, and the time of the target.

use crate::{
    forecast::harmonic::{Echo, Echoes, SEASONS},
    series::Millis,
};

/// Newest values that are kept.
const NEWEST: usize = 12;
/// Of those, the ones that are terms.
const LAGS: [usize; 3] = [1, 2, NEWEST - 1];
/// Half-lives of means: the first in values, the others as shares of the past, and in values at least.
const FASTEST: usize = 3;
const SHARES: [usize; 3] = [112, 28, 7];
const LEAST_HALF_LIVES: [usize; 3] = [5, 8, 16];
const MEANS: usize = 1 + SHARES.len();
/// Lags, means, deviation, least and greatest, echoes, steps ahead, hour and weekday of the target.
pub(super) const TERMS: usize = LAGS.len() + MEANS + 3 + SEASONS + 3;

const DAY: Millis = 86_400_000;

/// Weights of the newest value in the means, and the seasons that are looked back at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Memory {
    rates: [f32; MEANS],
    pub(super) echoes: Echoes,
}

impl Memory {
    /// For a past of `count` values with these seasons in steps.
    pub(super) fn of(count: usize, seasons: &[usize]) -> Self {
        let half_life = |mean: usize| match mean.checked_sub(1) {
            None => FASTEST,
            Some(share) => (count / SHARES[share]).max(LEAST_HALF_LIVES[share]),
        };
        Self {
            rates: std::array::from_fn(|mean| 1.0 - 0.5_f32.powf(1.0 / half_life(mean) as f32)),
            echoes: Echoes::of(seasons),
        }
    }
}

/// What is known of the rest of one series, by its known values.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Newest first.
    newest: [f32; NEWEST],
    means: [f32; MEANS],
    /// The share of each mean that is values, not its beginning.
    shares: [f32; MEANS],
    pub(super) echo: Echo,
    /// Number of the grid time of the newest value.
    pub(super) index: i64,
}

impl Known {
    pub(super) fn new(memory: &Memory) -> Self {
        Self {
            newest: [f32::NAN; NEWEST],
            means: [0.0; MEANS],
            shares: [0.0; MEANS],
            echo: memory.echoes.memory(),
            index: i64::MIN,
        }
    }

    /// Takes in the value at grid time number `index`; nothing where it is missing.
    pub(super) fn step(&mut self, memory: &Memory, index: i64, value: f32) {
        if !value.is_finite() {
            return;
        }
        if self.index == i64::MIN {
            self.newest = [value; NEWEST];
        }
        self.newest.rotate_right(1);
        self.newest[0] = value;
        for ((mean, share), rate) in self
            .means
            .iter_mut()
            .zip(&mut self.shares)
            .zip(memory.rates)
        {
            *share += rate * (1.0 - *share);
            *mean += rate / *share * (value - *mean);
        }
        self.echo.see(index, f64::from(value));
        self.index = index;
    }

    /// The newest value.
    pub(super) fn value(&self) -> f32 {
        self.newest[0]
    }

    /// The terms for a target `steps` after the newest value, where the wall clock shows `wall`; `echo` is what is
    /// read of a season ago.
    pub(super) fn terms(&self, echo: [f64; SEASONS], steps: usize, wall: Millis) -> [f32; TERMS] {
        let value = self.newest[0];
        let mean = self.newest.iter().sum::<f32>() / NEWEST as f32;
        let square = self
            .newest
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f32>();
        let least = self.newest.iter().copied().fold(f32::INFINITY, f32::min);
        let greatest = self
            .newest
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max);
        let lags = LAGS.map(|lag| self.newest[lag] - value);
        let means = self.means.map(|mean| mean - value);
        let echo = echo.map(|echo| (echo - f64::from(value)) as f32);
        let times = [
            (steps as f32).ln(),
            wall.rem_euclid(DAY) as f32,
            wall.div_euclid(DAY).rem_euclid(7) as f32,
        ];
        let rest = [
            (square / NEWEST as f32).sqrt(),
            least - value,
            greatest - value,
        ];
        let all = lags
            .into_iter()
            .chain(means)
            .chain(rest)
            .chain(echo)
            .chain(times);
        let mut terms = [f32::NAN; TERMS];
        for (term, value) in terms.iter_mut().zip(all) {
            *term = value;
        }
        terms
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.echo.heap_bytes()
    }
}
