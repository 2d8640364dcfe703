//! The newest values: their median and a band between two percentiles.
//!
//! *When*: skewed or heavy-tailed series such as latencies, where a symmetric band is too wide on one side.
//! *Cost*: about 60 ns a value, eight bytes a value of the window (at most 256 of them, evenly spaced, are
//! kept). *Reference*: moving quantiles (linear interpolation, R's type 7).

use super::{Band, Baseline, Problems, positive, rolling::Windows};
use crate::{
    series::{Grid, Millis, Past, Slot, Span},
    stats::robust,
};
use serde::Deserialize;

/// Upper end of the band; its lower end is the percentile as far from the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Percentile {
    /// 10 to 90 %.
    P90,
    /// 5 to 95 %.
    P95,
    /// 1 to 99 %.
    #[default]
    P99,
}

impl Percentile {
    fn share(self) -> f64 {
        match self {
            Self::P90 => 0.90,
            Self::P95 => 0.95,
            Self::P99 => 0.99,
        }
    }
}

/// Settings of the baseline.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How far back the window reaches.
    pub window: Span,
    /// The band.
    pub percentile: Percentile,
    /// The scale is never smaller than this share of the range of the past.
    pub floor: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Span::days(1),
            percentile: Percentile::P99,
            floor: 0.01,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("window", self.window.as_millis() as f64);
        problems.extend(super::share("floor", self.floor));
        problems
    }

    /// The baseline.
    pub fn build(&self, grid: Grid) -> Box<dyn Baseline> {
        let share = self.percentile.share();
        Box::new(Quantile {
            share,
            normal: robust::normal_quantile(share) as f32,
            floor: self.floor as f32,
            windows: Windows::new(self.window, grid),
        })
    }
}

#[derive(Debug)]
struct Quantile {
    share: f64,
    /// How many standard deviations of normal noise the band's ends are away.
    normal: f32,
    floor: f32,
    windows: Windows,
}

impl Quantile {
    fn band(&self, slot: Slot) -> Band {
        let Some((held, floor)) = self.windows.known(slot) else {
            return Band::UNKNOWN;
        };
        let expected = held.quantile(0.5);
        let (lower, upper) = (held.quantile(1.0 - self.share), held.quantile(self.share));
        // The wider side: a score must not cry out over the long tail of a skewed series.
        let reach = (upper - expected).max(expected - lower);
        Band {
            expected,
            lower,
            upper,
            scale: super::at_least(reach / self.normal, floor),
        }
    }
}

impl Baseline for Quantile {
    fn grow(&mut self, slots: usize) {
        self.windows.grow(slots);
    }

    fn evict(&mut self, slot: Slot) {
        self.windows.evict(slot);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.windows.swap(one, other);
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) {
        self.windows.fit(slot, past, self.floor);
    }

    fn expect(&self, _at: Millis, slots: &[Slot], out: &mut [Band]) {
        for (band, &slot) in out.iter_mut().zip(slots) {
            *band = self.band(slot);
        }
    }

    fn observe(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        for (&slot, &value) in slots.iter().zip(values) {
            self.windows.take(slot, at, value);
        }
    }

    fn heap_bytes(&self) -> usize {
        self.windows.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Zone;

    #[test]
    fn the_band_is_between_the_percentiles_of_the_window() {
        let grid = Grid::new(60_000).unwrap();
        let values: Vec<f32> = (0..=100).map(|value| (value * value) as f32).collect();
        let settings = Settings {
            window: Span::minutes(101),
            percentile: Percentile::P90,
            ..Settings::default()
        };
        let mut baseline = settings.build(grid);
        baseline.grow(1);
        let past = Past {
            end: 100 * 60_000,
            grid,
            values: &values,
            seasons: &[],
            zone: &Zone::default(),
        };
        baseline.fit(0, &past);
        let mut bands = [Band::UNKNOWN];
        baseline.expect(0, &[0], &mut bands);
        assert!(!bands[0].is_known());
        for (index, &value) in values.iter().enumerate() {
            baseline.observe(past.time(index), &[0], &[value]);
        }
        baseline.expect(101 * 60_000, &[0], &mut bands);
        assert_eq!(
            (bands[0].lower, bands[0].expected, bands[0].upper),
            (100.0, 2_500.0, 8_100.0)
        );
        assert!((bands[0].scale - 5_600.0 / 1.281_55).abs() < 1.0);
    }
}
