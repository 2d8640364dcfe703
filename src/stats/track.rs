//! Level and scale of a series, followed step by step so that a few wild values do not move them.

use super::robust;
use crate::series::{Grid, Span};

/// `sqrt(pi / 2)`: mean absolute deviation to standard deviation, for normal noise.
const MEAN_DEVIATION: f32 = 1.253_314_1;
/// A residual moves level and scale by no more than so many scales.
const CLIP: f32 = 3.0;
/// So many residuals in a row beyond the clip, on one side, double the clip for the level, thrice as
/// many triple it, and so on: a shift that stays is followed at a growing pace (`n` steps move the level
/// by `gain * CLIP * n^2 / (2 * PATIENCE)` scales), a burst is not.
const PATIENCE: f32 = 16.0;

/// How fast level and scale follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gains {
    /// Share of a residual that moves the level, per step.
    pub level: f32,
    /// Share of a residual that moves the scale, per step.
    pub scale: f32,
}

impl Gains {
    /// Gains with these time constants (an exponential forgets all but `1/e` in that time).
    pub fn new(grid: Grid, level: Span, scale: Span) -> Self {
        let gain = |span: Span| {
            let steps = span.as_millis() as f64 / grid.step() as f64;
            (1.0 - (-1.0 / steps.max(1.0)).exp()) as f32
        };
        Self {
            level: gain(level),
            scale: gain(scale),
        }
    }
}

/// A level with the scale of the noise around it. 12 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tracker {
    /// Huberised exponentially weighted mean.
    pub level: f32,
    /// Exponentially weighted, clipped mean absolute deviation, as a standard deviation.
    pub scale: f32,
    run: i32,
}

impl Tracker {
    /// Starts at a known level and scale.
    pub const fn new(level: f32, scale: f32) -> Self {
        Self {
            level,
            scale,
            run: 0,
        }
    }

    /// Takes in a finite value whose noise is `spread` times as large as on average. The scale never
    /// falls below `floor`.
    pub fn take(&mut self, value: f32, spread: f32, floor: f32, gains: Gains) {
        let residual = value - self.level;
        let limit = CLIP * self.scale * spread;
        self.run = match () {
            () if residual > limit => self.run.max(0).saturating_add(1),
            () if residual < -limit => self.run.min(0).saturating_sub(1),
            () => 0,
        };
        let reach = limit * (1.0 + (self.run.unsigned_abs() as f32) / PATIENCE);
        self.level += gains.level * robust::clip(residual, reach);
        let size = robust::clip(residual, limit).abs() / spread;
        self.scale += gains.scale * (MEAN_DEVIATION * size - self.scale);
        self.scale = self.scale.max(floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracked(values: impl Iterator<Item = f32>) -> Tracker {
        let gains = Gains::new(
            Grid::new(60_000).unwrap(),
            Span::minutes(360),
            Span::days(1),
        );
        let mut tracker = Tracker::new(0.0, 1.0);
        for value in values {
            tracker.take(value, 1.0, 1e-3, gains);
        }
        tracker
    }

    fn noise(count: usize) -> impl Iterator<Item = f32> {
        let mut random = fastrand::Rng::with_seed(1);
        (0..count).map(move |_| (0..12).map(|_| random.f32()).sum::<f32>() - 6.0)
    }

    #[test]
    fn settles_on_the_scale_of_normal_noise() {
        let tracker = tracked(noise(20_000));
        assert!(tracker.level.abs() < 0.15, "{tracker:?}");
        assert!((tracker.scale - 1.0).abs() < 0.06, "{tracker:?}");
    }

    #[test]
    fn a_burst_hardly_moves_it_but_a_shift_that_stays_does() {
        let burst = tracked(noise(1_000).chain((0..10).map(|_| 1e6)));
        assert!(burst.level < 0.4, "{burst:?}");
        let shift = tracked(noise(1_000).chain(noise(600).map(|v| v + 20.0)));
        assert!((shift.level - 20.0).abs() < 5.0, "{shift:?}");
    }
}
