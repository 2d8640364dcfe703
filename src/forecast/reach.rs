//! How far forecasts may reach: not far outside anything seen, and not long after the newest sample.
//!
//! A trend that is carried on for a day, or through a gap, ends at values that never were; an interval
//! that was calibrated a quarter of an hour ahead says nothing about ten hours ahead. Both would be
//! published with full confidence (invariant 8), so both are cut here, for members, reference and
//! calibration alike.

/// What one series has shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reach {
    least: f32,
    greatest: f32,
    /// Steps since its newest sample.
    silent: usize,
}

impl Reach {
    /// Nothing seen yet.
    pub(super) const NOTHING: Self = Self {
        least: f32::INFINITY,
        greatest: f32::NEG_INFINITY,
        silent: 0,
    };

    /// Takes in the value of the next step, `NaN` where it is missing.
    pub(super) fn see(&mut self, value: f32) {
        if value.is_finite() {
            self.least = self.least.min(value);
            self.greatest = self.greatest.max(value);
            self.silent = 0;
        } else {
            self.silent += 1;
        }
    }

    /// A forecast `steps` ahead as it may be published: no further outside what was seen than the seen
    /// values are apart. `NaN` where the newest sample is longer ago than the forecast reaches ahead.
    pub(super) fn limit(&self, forecast: f32, steps: usize) -> f32 {
        if !forecast.is_finite() || self.silent > steps || self.least > self.greatest {
            return f32::NAN;
        }
        let range = self.greatest - self.least;
        forecast.clamp(self.least - range, self.greatest + range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[f32]) -> Reach {
        let mut reach = Reach::NOTHING;
        values.iter().for_each(|&value| reach.see(value));
        reach
    }

    #[test]
    fn a_forecast_stays_within_a_range_of_what_was_seen() {
        let reach = seen(&[10.0, 30.0, 20.0]);
        assert_eq!(reach.limit(25.0, 1), 25.0);
        assert_eq!(reach.limit(1e9, 1), 50.0);
        assert_eq!(reach.limit(-1e9, 1), -10.0);
        assert!(reach.limit(f32::NAN, 1).is_nan());
        assert!(seen(&[]).limit(5.0, 1).is_nan());
    }

    #[test]
    fn a_forecast_reaches_no_shorter_than_the_silence_before_it() {
        let reach = seen(&[10.0, 30.0, f32::NAN, f32::NAN, f32::NAN]);
        assert!(reach.limit(20.0, 2).is_nan());
        assert_eq!(reach.limit(20.0, 3), 20.0);
    }
}
