//! Whether forecasts err more than they did: a cumulative sum of their absolute errors.
//!
//! Page (1954), *Continuous inspection schemes*, one-sided: `S = max(0, S + z - k)`, where `z` is the absolute error in
//! deviations from its mean, both as known at the last derivation (of errors cut off at their 90 % quantile). The allowance `k`
//! is one deviation: half the rise of two that is looked for. The alarm is `S > h`. For independent errors `h = 5` gives a false
//! alarm in thousands (Montgomery, *Introduction to Statistical Quality Control*); those of forecasts that overlap come in runs,
//! so `h` is at least that, and three quarters more than the largest sum over the errors that mean and deviation are from. A
//! single error counts no more than three deviations.

use crate::stats::robust::{mean_and_deviation, quantile_of};

/// Deviations of the absolute error that are within the ordinary.
const ALLOWANCE: f32 = 1.0;
/// The limit of the sum for independent errors.
const LIMIT: f32 = 5.0;
/// Times the largest sum in the reference, below which a sum is within the ordinary.
const MARGIN: f32 = 1.75;
/// No single error counts more deviations than this: one outlier is no drift.
const MOST: f32 = 3.0;
/// Errors above this quantile do not say how large ordinary ones are.
const USUAL: f64 = 0.9;
/// The sum goes no higher than so many limits, so that the way back is bounded.
const CEILING: f32 = 2.0;
/// Errors without which nothing is known of ordinary ones.
const LEAST: usize = 50;

/// The sum of one series at one horizon. 16 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::forecast) struct Errors {
    mean: f32,
    deviation: f32,
    /// Zero while nothing is known.
    limit: f32,
    sum: f32,
}

impl Errors {
    /// As of the newest of these errors, oldest first (`NaN` where there was no forecast or no value). The newest `open` of them
    /// are judged, those before are what they are judged by.
    pub(in crate::forecast) fn derive(errors: &[f32], open: usize) -> Self {
        let reference = &errors[..errors.len().saturating_sub(open)];
        let sizes: Vec<f32> = sizes(reference).collect();
        if sizes.len() < LEAST {
            return Self::default();
        }
        let most = quantile_of(&mut sizes.clone(), USUAL);
        let usual: Vec<f32> = sizes.iter().map(|size| size.min(most)).collect();
        let (mean, deviation) = mean_and_deviation(&usual);
        let mut own = Self {
            mean,
            // Where nothing ever erred by more than a rounding, every error is a great one.
            deviation: deviation.max(f32::EPSILON * mean).max(f32::MIN_POSITIVE),
            ..Self::default()
        };
        let most = sizes.iter().map(|&size| own.add(size, f32::INFINITY));
        let most = most.fold(0.0, f32::max);
        own.limit = LIMIT.max(MARGIN * most);
        for size in self::sizes(&errors[reference.len()..]) {
            own.see(size);
        }
        own
    }

    /// Takes in an error; a missing one says nothing.
    pub(in crate::forecast) fn see(&mut self, error: f32) {
        if error.is_finite() && self.limit > 0.0 {
            self.add(error.abs(), CEILING * self.limit);
        }
    }

    /// The sum by its limit; `NaN` while nothing is known.
    pub(in crate::forecast) fn score(&self) -> f32 {
        if self.limit > 0.0 {
            self.sum / self.limit
        } else {
            f32::NAN
        }
    }

    fn add(&mut self, size: f32, most: f32) -> f32 {
        let z = ((size - self.mean) / self.deviation).min(MOST);
        self.sum = (self.sum + z - ALLOWANCE).clamp(0.0, most);
        self.sum
    }
}

fn sizes(errors: &[f32]) -> impl Iterator<Item = f32> {
    errors
        .iter()
        .map(|error| error.abs())
        .filter(|size| size.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(seed);
        let one = |_| (0..12).map(|_| random.f32()).sum::<f32>() - 6.0;
        (0..count).map(one).collect()
    }

    #[test]
    fn ordinary_errors_stay_below_and_greater_ones_are_found() {
        let mut errors = Errors::derive(&noise(500, 1), 0);
        let mut above = 0;
        for error in noise(20_000, 2) {
            errors.see(error);
            above += usize::from(errors.score() > 1.0);
        }
        assert!(above < 100, "{above} of 20,000");
        let doubled = noise(60, 3).into_iter().map(|error| 2.0 * error);
        let until = doubled.into_iter().position(|error| {
            errors.see(error);
            errors.score() > 1.0
        });
        assert!(until.is_some_and(|until| until < 40), "{until:?}");
    }

    #[test]
    fn one_outlier_is_no_drift() {
        let mut errors = Errors::derive(&noise(500, 1), 0);
        errors.see(1e9);
        assert!(errors.score() < 1.0, "{errors:?}");
    }

    #[test]
    fn it_comes_down_again() {
        let mut errors = Errors::derive(&noise(500, 1), 0);
        (0..10_000).for_each(|_| errors.see(1e9));
        assert!((errors.score() - CEILING).abs() < 1e-3, "{errors:?}");
        noise(200, 4)
            .into_iter()
            .for_each(|error| errors.see(error));
        assert!(errors.score() < 1.0, "{errors:?}");
    }

    #[test]
    fn the_newest_errors_are_judged_by_those_before() {
        let mut all = noise(300, 5);
        all.extend(noise(60, 6).into_iter().map(|error| 6.0 * error));
        assert!(Errors::derive(&all, 60).score() > 1.0);
        assert!(
            Errors::derive(&all, 0).score() <= 1.0,
            "part of what is ordinary"
        );
    }

    #[test]
    fn few_errors_say_nothing_and_perfect_ones_no_falsehood() {
        assert!(Errors::derive(&noise(20, 1), 0).score().is_nan());
        let mut perfect = Errors::derive(&[0.0; 100], 0);
        (0..100).for_each(|_| perfect.see(0.0));
        assert_eq!(perfect.score(), 0.0);
        (0..10).for_each(|_| perfect.see(1.0));
        assert!(perfect.score() > 1.0, "{perfect:?}");
    }
}
