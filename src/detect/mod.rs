//! Detectors: how far from normal a value is. 0 as expected, 1 at the threshold, above 1 anomalous.
//!
//! Pure: no IO, no clock (invariant 1). A detector is one file plus its name in the list of `kinds!`
//! (invariant 6). State is columnar: one instance owns every series of its shard or unit.

use crate::{
    baseline::Band,
    series::{Labels, Millis, Slot},
};

/// What a detector sees at one grid time. All slices have the same length.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The grid time.
    pub at: Millis,
    /// Which series, ascending.
    pub slots: &'a [Slot],
    /// Their values; `NaN` where there was no sample.
    pub values: &'a [f32],
    /// What was expected of them.
    pub bands: &'a [Band],
}

/// Whether a detector looks at each series by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One instance per shard; a series' state depends on the newest `memory` steps of that series alone.
    Series,
    /// One instance per unit that compares series with each other at one time; its state depends on
    /// the newest `memory` steps of all of them.
    Across,
}

/// A detector over the series of one shard (or unit, see [`Scope`]).
pub trait Detector: Send + std::fmt::Debug {
    /// Its name in configuration and in the `detector` label.
    fn kind(&self) -> &'static str;
    /// See [`Scope`].
    fn scope(&self) -> Scope;
    /// The bounded span its state depends on, in steps (invariant 3). `usize::MAX`: the whole window.
    fn memory(&self) -> usize;
    /// Makes room for `slots` series in all; new ones know nothing.
    fn grow(&mut self, slots: usize);
    /// Tells the labels of a new series (peer groups are made of them).
    fn assign(&mut self, _slot: Slot, _labels: &Labels) {}
    /// Forgets one series' state; it is about to be replayed, or evicted.
    fn reset(&mut self, slot: Slot);
    /// Scores one grid time and learns from it. `out[i]` is the score of `batch.slots[i]`, never
    /// negative; `NaN` where it abstains (missing value, warm-up).
    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]);
    /// Bytes of state, all series together.
    fn heap_bytes(&self) -> usize;
}

/// One configured detector.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settings {}

/// How the scores of several detectors become one. A member without a score abstains.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// The greatest score.
    #[default]
    Max,
}

/// Alert hygiene.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertingSettings {}

/// Score thresholds of the severities.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeverityThresholds {}
