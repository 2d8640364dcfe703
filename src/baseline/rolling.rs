//! The newest values: their middle and how far they lie around it.
//!
//! *When*: no season is known, or the values of the last hours are all that counts. *Cost*: about 80 ns a
//! value, eight bytes a value of the window (at most 256 of them, evenly spaced, are kept). *Reference*:
//! moving median and median absolute deviation; moving mean and standard deviation.

use super::{Band, Baseline, Problems, band_width, positive};
use crate::{
    series::{Grid, Millis, Past, Slot, Span},
    stats::{ordered::Ordered, robust},
};
use serde::Deserialize;

/// Values kept of a window: quantiles of more are hardly better, and cost as much again.
const MOST: usize = 256;
/// No opinion with fewer values than this.
const FEWEST: usize = 8;

/// What stands in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Center {
    /// The median.
    #[default]
    Median,
    /// The mean.
    Mean,
}

/// How noise is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Median absolute deviation, scaled to a standard deviation.
    #[default]
    Mad,
    /// Standard deviation.
    StandardDeviation,
}

/// Settings of the baseline.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How far back the window reaches.
    pub window: Span,
    /// What stands in the middle.
    pub center: Center,
    /// How noise is measured.
    pub spread: Spread,
    /// Half the width of the band, in scales.
    pub width: f64,
    /// The scale is never smaller than this share of the range of the past.
    pub floor: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Span::days(1),
            center: Center::Median,
            spread: Spread::Mad,
            width: 3.0,
            floor: 0.01,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("window", self.window.as_millis() as f64);
        problems.extend(band_width(self.width));
        problems.extend(super::share("floor", self.floor));
        problems
    }

    /// The baseline.
    pub fn build(&self, grid: Grid) -> Box<dyn Baseline> {
        Box::new(Rolling::new(self, grid))
    }
}

/// Thinned moving windows of all series of a shard.
#[derive(Debug)]
pub(super) struct Windows {
    grid: Grid,
    /// Every so many grid times one value is kept.
    stride: i64,
    capacity: usize,
    held: Vec<Ordered>,
    /// `None` before the first fit; `NaN` where nothing is known of the scale.
    floors: Vec<Option<f32>>,
}

impl Windows {
    pub(super) fn new(window: Span, grid: Grid) -> Self {
        let steps = grid.steps_up(window.as_millis()).max(FEWEST);
        let stride = steps.div_ceil(MOST);
        Self {
            grid,
            stride: stride as i64,
            capacity: steps / stride,
            held: Vec::new(),
            floors: Vec::new(),
        }
    }

    pub(super) fn grow(&mut self, slots: usize) {
        self.held
            .resize_with(slots.max(self.held.len()), Ordered::default);
        self.floors.resize(slots.max(self.floors.len()), None);
    }

    pub(super) fn evict(&mut self, slot: Slot) {
        self.held[slot] = Ordered::default();
        self.floors[slot] = None;
    }

    pub(super) fn swap(&mut self, one: Slot, other: Slot) {
        self.held.swap(one, other);
        self.floors.swap(one, other);
    }

    /// Empties a window and takes the floor of its scale from the past.
    pub(super) fn fit(&mut self, slot: Slot, past: &Past<'_>, share: f32) {
        self.held[slot].clear();
        let known = robust::range_and_quantum(past.values);
        self.floors[slot] =
            known.map(|(range, quantum)| super::scale_floor(range, quantum, past.values, share));
    }

    /// Whether the window changed.
    pub(super) fn take(&mut self, slot: Slot, at: Millis, value: f32) -> bool {
        let kept = value.is_finite() && self.grid.index(at) % self.stride == 0;
        if kept {
            self.held[slot].push(value, self.capacity);
        }
        kept
    }

    /// The window and the floor of its scale, once there is enough in it.
    pub(super) fn known(&self, slot: Slot) -> Option<(&Ordered, f32)> {
        let held = &self.held[slot];
        let floor = self.floors[slot]?;
        (held.sorted().len() >= FEWEST).then_some((held, floor))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let held: usize = self.held.iter().map(Ordered::heap_bytes).sum();
        held + self.held.capacity() * size_of::<Ordered>()
            + self.floors.capacity() * size_of::<Option<f32>>()
    }
}

#[derive(Debug)]
pub(super) struct Rolling {
    settings: Settings,
    consistency: f32,
    windows: Windows,
    /// What the windows say: they change more rarely than they are asked.
    bands: Vec<Band>,
}

impl Rolling {
    pub(super) fn new(settings: &Settings, grid: Grid) -> Self {
        Self {
            windows: Windows::new(settings.window, grid),
            consistency: robust::mad_consistency(),
            bands: Vec::new(),
            settings: settings.clone(),
        }
    }

    pub(super) fn band(&self, slot: Slot) -> Band {
        self.bands[slot]
    }

    fn measure(&self, slot: Slot) -> Band {
        let Some((held, floor)) = self.windows.known(slot) else {
            return Band::UNKNOWN;
        };
        let median_wanted = self.settings.center == Center::Median;
        let mad_wanted = self.settings.spread == Spread::Mad;
        let (mean, deviation) = if median_wanted && mad_wanted {
            (f32::NAN, f32::NAN)
        } else {
            robust::mean_and_deviation(held.values())
        };
        let center = if median_wanted {
            held.quantile(0.5)
        } else {
            mean
        };
        let scale = if mad_wanted {
            self.consistency * held.deviation(center)
        } else {
            deviation
        };
        Band::around(
            center,
            super::at_least(scale, floor),
            self.settings.width as f32,
        )
    }

    pub(super) fn take(&mut self, slot: Slot, at: Millis, value: f32) {
        if self.windows.take(slot, at, value) {
            self.bands[slot] = self.measure(slot);
        }
    }
}

impl Baseline for Rolling {
    fn grow(&mut self, slots: usize) {
        self.windows.grow(slots);
        self.bands
            .resize(slots.max(self.bands.len()), Band::UNKNOWN);
    }

    fn evict(&mut self, slot: Slot) {
        self.windows.evict(slot);
        self.bands[slot] = Band::UNKNOWN;
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.windows.swap(one, other);
        self.bands.swap(one, other);
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) {
        self.windows.fit(slot, past, self.settings.floor as f32);
        self.bands[slot] = Band::UNKNOWN;
    }

    fn expect(&self, _at: Millis, slots: &[Slot], out: &mut [Band]) {
        for (band, &slot) in out.iter_mut().zip(slots) {
            *band = self.band(slot);
        }
    }

    fn observe(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        for (&slot, &value) in slots.iter().zip(values) {
            self.take(slot, at, value);
        }
    }

    fn heap_bytes(&self) -> usize {
        self.windows.heap_bytes() + self.bands.capacity() * size_of::<Band>()
    }
}
