//! The most likely weights of the terms.

use super::history::{History, Waves};
use crate::stats::linear::{Cholesky, add_scaled, add_square, dot};

/// Prophet's defaults.
const TREND_DEVIATION: f64 = 5.0;
/// Of holidays too.
const WAVE_DEVIATION: f64 = 10.0;
const NOISE_DEVIATION: f64 = 0.5;
/// Rounds of majorisation, at most, and the change of the weights that ends them.
const ROUNDS: usize = 80;
const SETTLED: f64 = 1e-6;
/// A bend this small is none.
const NOTHING: f64 = 1e-7;

/// Products of the terms (level, slope, bends, waves, calendars) with each other and with the values.
pub(super) struct Sums {
    width: usize,
    gram: Vec<f64>,
    right: Vec<f64>,
    square: f64,
    count: f64,
}

impl Sums {
    pub(super) fn of(history: &History, bends: &[f64], waves: &Waves) -> Self {
        let trend = 2 + bends.len();
        let seasonal = trend + waves.terms();
        let width = seasonal + history.rows.first().map_or(0, |row| row.shares.len());
        let mut sums = Self {
            width,
            gram: vec![0.0; width * width],
            right: vec![0.0; width],
            square: history.within,
            count: history.count,
        };
        let mut terms = vec![0.0; width];
        for row in &history.rows {
            terms[..2].copy_from_slice(&[1.0, row.time]);
            for (term, place) in terms[2..].iter_mut().zip(bends) {
                *term = (row.time - place).max(0.0);
            }
            waves.put(row.index, row.share, &mut terms[trend..seasonal]);
            terms[seasonal..].copy_from_slice(&row.shares);
            add_square(&mut sums.gram, &terms, row.count);
            add_scaled(&mut sums.right, &terms, row.count * row.value);
            sums.square += row.count * row.value * row.value;
        }
        sums
    }

    /// The weights of greatest posterior probability, `bends` of which after the second may be sharp.
    pub(super) fn most_likely(&self, bends: usize, scale: f64) -> Option<Vec<f64>> {
        let mut weights = vec![0.0; self.width];
        // All bends are as likely at first, and the noise is what the values are.
        let mut sizes = vec![scale; bends];
        let mut variance = self.variance(self.square);
        for _ in 0..ROUNDS {
            let mut gram = self.gram.clone();
            for place in 0..self.width {
                let precision = match place {
                    0 | 1 => TREND_DEVIATION.powi(-2),
                    _ if place < 2 + bends => 1.0 / (scale * sizes[place - 2]),
                    _ => WAVE_DEVIATION.powi(-2),
                };
                gram[place * (self.width + 1)] += variance * precision;
            }
            let mut next = self.right.clone();
            Cholesky::new(gram, self.width)?.solve(&mut next);
            let moved = next
                .iter()
                .zip(&weights)
                .map(|(new, old)| (new - old).abs());
            let moved = moved.fold(0.0, f64::max);
            weights = next;
            for (size, bend) in sizes.iter_mut().zip(&weights[2..]) {
                *size = bend.abs().max(NOTHING);
            }
            variance = self.variance(self.error(&weights));
            if moved < SETTLED {
                break;
            }
        }
        weights
            .iter()
            .all(|weight| weight.is_finite())
            .then_some(weights)
    }

    /// The sum of squared errors.
    fn error(&self, weights: &[f64]) -> f64 {
        let mut product = vec![0.0; self.width];
        for row in 0..self.width {
            let line = &self.gram[row * self.width..][..=row];
            product[row] += dot(line, &weights[..=row]);
            add_scaled(&mut product, &line[..row], weights[row]);
        }
        (self.square - 2.0 * dot(weights, &self.right) + dot(weights, &product)).max(0.0)
    }

    /// The most likely variance of the noise: the root of `v^2 / deviation^2 + count v = error`.
    fn variance(&self, error: f64) -> f64 {
        let precision = NOISE_DEVIATION.powi(-2);
        let root = (self.count * self.count + 4.0 * precision * error).sqrt();
        // The difference of near equals, written as a sum.
        2.0 * error / (self.count + root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Level, slope and three bends over 0 to 1, without waves: `y = 0.3 + 0.4 t - 0.9 max(t - 0.5, 0)`.
    fn bent() -> Sums {
        let mut random = fastrand::Rng::with_seed(2);
        let mut sums = Sums {
            width: 5,
            gram: vec![0.0; 25],
            right: vec![0.0; 5],
            square: 0.0,
            count: 400.0,
        };
        for place in 0..400 {
            let time = f64::from(place) / 399.0;
            let bend = |at: f64| (time - at).max(0.0);
            let value = 0.3 + 0.4 * time - 0.9 * bend(0.5) + 0.1 * (random.f64() - 0.5);
            let terms = [1.0, time, bend(0.25), bend(0.5), bend(0.75)];
            add_square(&mut sums.gram, &terms, 1.0);
            add_scaled(&mut sums.right, &terms, value);
            sums.square += value * value;
        }
        sums
    }

    #[test]
    fn bends_are_few() {
        let weights = bent().most_likely(3, 0.05).unwrap();
        let near = |got: f64, expected: f64| assert!((got - expected).abs() < 0.1, "{weights:?}");
        near(weights[0], 0.3);
        near(weights[1], 0.4);
        near(weights[2], 0.0);
        near(weights[3], -0.9);
        near(weights[4], 0.0);
        // Held back for good, there are none.
        let weights = bent().most_likely(3, 1e-3).unwrap();
        assert!(
            weights[2..].iter().all(|bend| bend.abs() < 0.2),
            "{weights:?}"
        );
    }

    /// What a subgradient of the posterior says of a maximum: with the squares alone a weight would move no further
    /// than its prior holds it.
    #[test]
    fn no_weight_would_rather_be_another() {
        let (sums, scale) = (bent(), 0.05);
        let weights = sums.most_likely(3, scale).unwrap();
        let variance = sums.variance(sums.error(&weights));
        for bend in 2..5 {
            let at = |column: usize| sums.gram[bend.max(column) * 5 + bend.min(column)];
            let fitted: f64 = (0..5).map(|column| at(column) * weights[column]).sum();
            let pull = (sums.right[bend] - fitted) * scale / variance;
            if weights[bend].abs() > 1e-3 {
                assert!(
                    (pull - weights[bend].signum()).abs() < 0.01,
                    "{bend} {pull}"
                );
            } else {
                assert!(pull.abs() < 1.01, "{bend} {pull}");
            }
        }
        // v^2 / deviation^2 + count v = error
        let error = sums.error(&weights);
        assert!((4.0 * variance * variance + 400.0 * variance - error).abs() < 1e-9);
    }

    #[test]
    fn the_error_is_that_of_the_terms() {
        let sums = bent();
        assert!((sums.error(&[0.0; 5]) - sums.square).abs() < 1e-9);
        let exact = sums.error(&[0.3, 0.4, 0.0, -0.9, 0.0]);
        // Noise of a tenth, evenly: its variance is a twelfth of a hundredth.
        assert!((exact / 400.0 - 0.01 / 12.0).abs() < 2e-4, "{exact}");
    }
}
