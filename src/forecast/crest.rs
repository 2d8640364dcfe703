//! The crest of the day before: whether the greatest value of the same window a day ago bounds the quantile of what is to come from below.
//!
//! A job of a few minutes at a fixed time of day is nothing to a forecast that is chosen by its usual error, and everything to those
//! who scale by a high quantile. So each quantile of a window's maximum is compared with the greater of itself and of what the
//! same window held a day ago, by the pinball loss at its level (Koenker & Bassett, "Regression Quantiles", 1978) over the origins of the
//! calibration, each quantile as it was known at its origin. Where the greater of both loses less, it is what is published.

/// Levels, 0 to 1, at which both are compared; another level is as the next one below.
const LEVELS: [f32; 8] = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995];
/// What counts must lose less by this factor: a surplus every day costs more than it seems where the gain is by chance.
const MUST_GAIN: f32 = 0.98;
/// Fewer origins than this, all weights together, show nothing.
const LEAST_WEIGHT: f32 = 20.0;

/// At which levels the day before counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Crest {
    counts: [bool; LEVELS.len()],
}

/// Losses so far, while a past is walked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Judged {
    weight: f32,
    /// By level: of the quantile alone, and of the greater of it and the day before.
    losses: [[f32; 2]; LEVELS.len()],
}

impl Judged {
    /// Takes in an origin: the greatest value that came, that of the day before, and the quantile at a level. What is not known
    /// says nothing.
    pub(super) fn see(
        &mut self,
        weight: f32,
        actual: f32,
        before: f32,
        quantile: impl Fn(f32) -> f32,
    ) {
        let quantiles = LEVELS.map(quantile);
        let known = quantiles.iter().chain([&actual, &before]);
        if !known.copied().all(f32::is_finite) {
            return;
        }
        self.weight += weight;
        for ((losses, quantile), level) in self.losses.iter_mut().zip(quantiles).zip(LEVELS) {
            losses[0] += weight * pinball(actual - quantile, level);
            losses[1] += weight * pinball(actual - quantile.max(before), level);
        }
    }

    /// What follows from it.
    pub(super) fn crest(&self) -> Crest {
        let gains = |[alone, both]: [f32; 2]| both < MUST_GAIN * alone;
        Crest {
            counts: self
                .losses
                .map(|losses| self.weight >= LEAST_WEIGHT && gains(losses)),
        }
    }
}

impl Crest {
    /// The quantile at `level`, given what the same window held a day ago (`NaN`: not known).
    pub(super) fn over(self, quantile: f32, before: f32, level: f32) -> f32 {
        let below = LEVELS.partition_point(|&own| own <= level + 1e-6);
        let counts = below.checked_sub(1).is_some_and(|place| self.counts[place]);
        // A quantile that is not known stays so.
        if counts && quantile.is_finite() {
            quantile.max(before)
        } else {
            quantile
        }
    }
}

/// The loss of a quantile at `level` that was missed by `miss`, actual value minus quantile.
fn pinball(miss: f32, level: f32) -> f32 {
    if miss > 0.0 {
        level * miss
    } else {
        (level - 1.0) * miss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days of 48 origins; a burst to 20 at one of them, at the same time of day or at another each day.
    fn judged(is_daily: bool) -> Crest {
        let actual = |origin: usize| {
            let (day, place) = (origin / 48, origin % 48);
            let at = if is_daily { 30 } else { (day * 13 + 5) % 48 };
            if place == at { 20.0 } else { 10.0 }
        };
        let mut judged = Judged::default();
        for origin in 48..48 * 9 {
            let margin = |level: f32| 10.0 + level;
            judged.see(1.0, actual(origin), actual(origin - 48), margin);
        }
        judged.crest()
    }

    #[test]
    fn a_burst_that_comes_every_day_counts_at_every_level() {
        let crest = judged(true);
        assert_eq!(crest.over(11.0, 20.0, 0.5), 20.0);
        assert_eq!(crest.over(11.0, 20.0, 0.95), 20.0);
        assert_eq!(crest.over(25.0, 20.0, 0.95), 25.0);
        assert_eq!(crest.over(11.0, f32::NAN, 0.95), 11.0);
        assert!(crest.over(f32::NAN, 20.0, 0.95).is_nan());
        assert_eq!(crest.over(11.0, 20.0, 0.3), 11.0, "below all levels");
    }

    #[test]
    fn a_burst_that_comes_when_it_will_counts_at_none() {
        assert_eq!(judged(false), Crest::default());
    }

    #[test]
    fn few_origins_show_nothing() {
        let mut judged = Judged::default();
        for _ in 0..19 {
            judged.see(1.0, 20.0, 20.0, |_| 10.0);
        }
        assert_eq!(judged.crest(), Crest::default());
        judged.see(1.0, f32::NAN, 20.0, |_| 10.0);
        assert_eq!(judged.crest(), Crest::default());
        judged.see(1.0, 20.0, 20.0, |_| 10.0);
        assert_ne!(judged.crest(), Crest::default());
    }
}
