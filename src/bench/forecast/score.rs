//! How good a forecast was: losses of the expected value and of quantiles, and coverage.
//!
//! Weighted quantile loss is that of the M5 and GIFT-Eval competitions: the mean over the deciles of twice
//! the pinball loss, summed over what was forecast, by the sum of absolute actual values. MASE is Hyndman &
//! Koehler's (2006): the mean absolute error by that of seasonal naive within the history.

/// The levels that are asked for: the deciles, and the ends of the intervals in [`INTERVALS`].
pub const LEVELS: [f32; 15] = [
    0.025, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.975,
];
/// Places of the deciles in [`LEVELS`].
const DECILES: [usize; 9] = [2, 3, 5, 6, 7, 8, 9, 11, 12];
/// Place of the middle in [`LEVELS`].
const MIDDLE: usize = 7;
/// Nominal coverage and the places of its ends in [`LEVELS`].
pub const INTERVALS: [(f64, usize, usize); 4] =
    [(0.5, 4, 10), (0.8, 2, 12), (0.9, 1, 13), (0.95, 0, 14)];

/// Sums over what was forecast of one series.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Values forecast and known.
    count: usize,
    /// Actual values for which there was no forecast.
    pub missing: usize,
    loss: f64,
    errors: f64,
    actuals: f64,
    /// Absolute percentage errors where the actual value is not 0, and their number.
    shares: (f64, usize),
    covered: [usize; 4],
    /// Interval scores (Winkler's) of the 80 % interval.
    pub winkler: f64,
    /// Sum over windows of the mean absolute error by the scale, and their number.
    scaled: (f64, usize),
}

impl Tally {
    /// Takes in one window: actual values, [`LEVELS`] for each, and what one unit of MASE is.
    pub fn window(&mut self, actual: &[f32], quantiles: &[f32], scale: f64) {
        let (mut error, mut count) = (0.0, 0);
        for (&actual, row) in actual.iter().zip(quantiles.chunks_exact(LEVELS.len())) {
            if !actual.is_finite() {
                continue;
            }
            if row.iter().any(|value| !value.is_finite()) {
                self.missing += 1;
                continue;
            }
            self.value(f64::from(actual), row);
            error += f64::from((actual - row[MIDDLE]).abs());
            count += 1;
        }
        if count > 0 && scale > 0.0 {
            self.scaled.0 += error / f64::from(count) / scale;
            self.scaled.1 += 1;
        }
    }

    /// Adds what another has summed up.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.missing += other.missing;
        self.loss += other.loss;
        self.errors += other.errors;
        self.actuals += other.actuals;
        self.shares.0 += other.shares.0;
        self.shares.1 += other.shares.1;
        for (own, other) in self.covered.iter_mut().zip(other.covered) {
            *own += other;
        }
        self.winkler += other.winkler;
        self.scaled.0 += other.scaled.0;
        self.scaled.1 += other.scaled.1;
    }

    /// Weighted quantile loss.
    pub fn wql(&self) -> f64 {
        self.loss / self.actuals
    }

    /// Mean absolute scaled error, the mean over windows.
    pub fn mase(&self) -> f64 {
        self.scaled.0 / self.scaled.1 as f64
    }

    /// Sum of absolute errors by the sum of absolute actual values.
    pub fn wape(&self) -> f64 {
        self.errors / self.actuals
    }

    /// Mean absolute percentage error, without actual values of 0.
    pub fn mape(&self) -> f64 {
        self.shares.0 / self.shares.1 as f64
    }

    /// Share of actual values within each of [`INTERVALS`].
    pub fn coverage(&self) -> [f64; 4] {
        self.covered
            .map(|covered| covered as f64 / self.count as f64)
    }

    fn value(&mut self, actual: f64, row: &[f32]) {
        let at = |place: usize| f64::from(row[place]);
        self.count += 1;
        self.actuals += actual.abs();
        let error = (actual - at(MIDDLE)).abs();
        self.errors += error;
        if actual != 0.0 {
            self.shares.0 += error / actual.abs();
            self.shares.1 += 1;
        }
        let pinball = |place: usize| {
            let (level, over) = (f64::from(LEVELS[place]), actual - at(place));
            (level * over).max((level - 1.0) * over)
        };
        self.loss += DECILES
            .iter()
            .map(|&place| 2.0 * pinball(place))
            .sum::<f64>()
            / 9.0;
        for (covered, (_, low, high)) in self.covered.iter_mut().zip(INTERVALS) {
            *covered += usize::from((at(low)..=at(high)).contains(&actual));
        }
        let (low, high) = (at(INTERVALS[1].1), at(INTERVALS[1].2));
        let outside = (low - actual).max(actual - high).max(0.0);
        self.winkler += high - low + 2.0 / (1.0 - INTERVALS[1].0) * outside;
    }
}

/// What one unit of MASE is: the mean absolute error of seasonal naive within a history.
pub fn scale(history: &[f32], season: usize) -> f64 {
    let errors = history[season.min(history.len())..]
        .iter()
        .zip(history)
        .map(|(new, old)| f64::from((new - old).abs()))
        .filter(|error| error.is_finite());
    let (mut sum, mut count) = (0.0, 0_u32);
    for error in errors {
        sum += error;
        count += 1;
    }
    sum / f64::from(count)
}

/// Geometric mean; `NaN` where any value is.
pub fn geometric(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in values {
        sum += if value <= 0.0 {
            f64::MIN_POSITIVE.ln()
        } else {
            value.ln()
        };
        count += 1;
    }
    (sum / f64::from(count)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(value: f32) -> Vec<f32> {
        vec![value; LEVELS.len()]
    }

    #[test]
    fn a_point_forecast_loses_its_absolute_error() {
        let mut tally = Tally::default();
        tally.window(&[10.0, 20.0], &[flat(12.0), flat(20.0)].concat(), 4.0);
        // All quantiles at one point: the mean over the deciles of twice the pinball loss is the error.
        assert!((tally.wql() - 2.0 / 30.0).abs() < 1e-6);
        assert!((tally.wape() - 2.0 / 30.0).abs() < 1e-6);
        assert!((tally.mape() - 0.1).abs() < 1e-6);
        assert!((tally.mase() - 0.25).abs() < 1e-6);
        assert_eq!(tally.coverage(), [0.5; 4]);
    }

    #[test]
    fn what_is_missing_is_counted_and_not_judged() {
        let mut tally = Tally::default();
        tally.window(
            &[f32::NAN, 5.0, 6.0],
            &[flat(1.0), flat(f32::NAN), flat(6.0)].concat(),
            1.0,
        );
        assert_eq!(tally.missing, 1);
        assert_eq!(tally.wql(), 0.0);
    }

    #[test]
    fn the_scale_is_the_error_of_seasonal_naive() {
        assert_eq!(scale(&[1.0, 2.0, 4.0, 6.0], 2), 3.5);
        assert_eq!(scale(&[1.0, f32::NAN, 4.0, 6.0], 2), 3.0);
    }
}
