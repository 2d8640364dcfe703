//! What is expected of a series now: expected value, bounds, and the scale of its ordinary noise.
//!
//! Pure: no IO, no clock (invariant 1). State is columnar: one instance owns every series of a shard.

mod seasonal;

use crate::series::{Grid, Millis, Past, Slot};
use seasonal::Seasonal;

/// What is expected of one series at one grid time, before its value is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// The expected value, in the unit of the series.
    pub expected: f32,
    /// Lower bound of what is ordinary.
    pub lower: f32,
    /// Upper bound of what is ordinary.
    pub upper: f32,
    /// Size of ordinary noise (one standard deviation or its robust equal); never zero or negative.
    pub scale: f32,
}

impl Band {
    /// No opinion yet: every field is `NaN`.
    pub const UNKNOWN: Self = Self {
        expected: f32::NAN,
        lower: f32::NAN,
        upper: f32::NAN,
        scale: f32::NAN,
    };

    /// Whether there is an opinion.
    pub fn is_known(&self) -> bool {
        self.expected.is_finite()
    }
}

/// A model of what is expected now, for all series of one shard.
///
/// A series' state is derived from its past alone: [`Baseline::fit`] learns what changes slowly (a
/// seasonal profile) from the whole past and sets what changes quickly (level, scale) as it was at the
/// *start* of that past; the caller then walks the past with `expect` and `observe` in turn, exactly
/// as it will walk the future.
pub trait Baseline: Send + std::fmt::Debug {
    /// Makes room for `slots` series in all; new ones know nothing.
    fn grow(&mut self, slots: usize);
    /// Forgets one series.
    fn evict(&mut self, slot: Slot);
    /// Learns one series from its past, see above.
    fn fit(&mut self, slot: Slot, past: &Past<'_>);
    /// `out[i]` is the band of `slots[i]` at grid time `at`.
    fn expect(&self, at: Millis, slots: &[Slot], out: &mut [Band]);
    /// Takes in the values at `at` (`NaN` where missing).
    fn observe(&mut self, at: Millis, slots: &[Slot], values: &[f32]);
    /// Bytes of state, all series together.
    fn heap_bytes(&self) -> usize;
}

/// Which baseline a signal has.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settings {
    /// Seasonal where a season is known, rolling otherwise.
    #[default]
    Auto,
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The baseline.
    pub fn build(&self, grid: Grid) -> Box<dyn Baseline> {
        Box::new(Seasonal::new(grid))
    }
}
