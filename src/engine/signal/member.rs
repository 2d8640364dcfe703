//! One series of a shard, and what only a deep one has.

use crate::series::{Labels, Window};

/// One series of a shard.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) labels: Labels,
    /// Grid index of its first sample (since the last long gap).
    pub(super) first: i64,
    /// Grid index of its newest sample.
    pub(super) newest: i64,
    /// What only a deep series has.
    pub(super) deep: Option<Box<Deep>>,
}

/// What a deep series has beside its state: its past, and where in the cycle of epochs it is.
#[derive(Debug)]
pub(super) struct Deep {
    pub(super) window: Window,
    /// Its place in the cycle of epochs.
    pub(super) offset: u32,
    /// Season lengths found at its last epoch, in steps.
    pub(super) seasons: Box<[usize]>,
    /// Grid index from which forecasts are kept up; those of earlier epochs nobody will see.
    pub(super) forecast_from: i64,
    /// Whether forecasts were derived at an epoch.
    pub(super) forecasting: bool,
    /// Grid index of that epoch.
    pub(super) forecast_epoch: i64,
}

impl Member {
    /// Its place in the cycle of epochs, and the grid index of its first sample.
    pub(super) fn cycle(&self) -> (i64, i64) {
        let offset = self.deep.as_ref().map_or(0, |deep| deep.offset);
        (i64::from(offset), self.first)
    }

    /// Season lengths found at its last epoch, in steps.
    pub(super) fn seasons(&self) -> &[usize] {
        self.deep.as_ref().map_or(&[], |deep| &deep.seasons)
    }

    /// The epoch its forecasts were derived at, as a grid index; `None` where it has none.
    pub(super) fn forecast_epoch(&self) -> Option<i64> {
        let deep = self.deep.as_ref().filter(|deep| deep.forecasting)?;
        Some(deep.forecast_epoch)
    }
}
