//! From series to the signals that want them.

use crate::series::{Labels, Millis};

/// Where the samples of one series go. Valid while [`Hub::generation`] is what it was when it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    index: u32,
    version: u32,
}

/// What became of samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// Samples of routes that are no more.
    pub lost: u64,
}

/// Where samples of scraped and pushed sources go.
#[derive(Debug, Default)]
pub struct Hub {}

impl Route {
    /// No signal wants it.
    pub const NOWHERE: Self = Self {
        index: u32::MAX,
        version: u32::MAX,
    };

    /// The route of this number.
    #[cfg(test)]
    pub(crate) const fn of(index: u32) -> Self {
        Self { index, version: 0 }
    }
}

impl Hub {
    /// Changes when signals come or go: routes must then be asked for anew.
    pub fn generation(&self) -> u64 {
        0
    }

    /// Where samples of the series go; `labels` without `__name__`, after relabelling.
    pub fn route(&self, _name: &str, _labels: &Labels, _at: Millis) -> Route {
        Route::NOWHERE
    }

    /// Takes in samples.
    pub fn take(&self, _samples: &[(Route, Millis, f64)], _now: Millis) -> Taken {
        Taken::default()
    }
}
