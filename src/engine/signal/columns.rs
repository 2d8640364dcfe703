//! What one step of a shard produced, in columns.

use super::restraint::Leniency;
use crate::{
    baseline::Band,
    detect::Verdict,
    forecast::{FailureReason, Interval},
    quality::Finding,
    series::Slot,
};

/// What one step produced, in columns: entry `i` is about the series `slots[i]`.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) slots: Vec<Slot>,
    pub(super) values: Vec<f32>,
    pub(super) bands: Vec<Band>,
    /// One column per configured detector, in the order of the configuration.
    pub(super) scores: Vec<Vec<f32>>,
    pub(super) lenient: Vec<Leniency>,
    /// Why a value is not believed.
    pub(super) doubts: Vec<Option<Finding>>,
    pub(super) combined: Vec<f32>,
    /// The combined score as it is published, see [`Onsets`].
    pub(super) news: Vec<f32>,
    pub(super) verdicts: Vec<Verdict>,
    /// Horizons inner; empty unless the mode asks for forecasts.
    pub(super) intervals: Vec<Interval>,
    /// The same of the greatest values within windows, windows inner.
    pub(super) maxima: Vec<Interval>,
    /// Quantiles of those, windows and then levels inner.
    pub(super) tails: Vec<f32>,
    /// Panics caught in this step, by component.
    pub(super) panics: Vec<&'static str>,
    /// Forecasters that failed since the step before, by reason, with how often; also those that never did.
    pub(super) failures: Vec<(&'static str, FailureReason, u64)>,
    /// Pieces of derivations that should have been done before this step and were done in it.
    pub(super) late_pieces: usize,
    /// Derivations that were to be installed in this step and were not done.
    pub(super) late_refits: usize,
    /// Series whose forecasts are too old to be published.
    pub(super) outdated: usize,
}
