//! Who takes the samples, as little as a scrape has to know of it.

use crate::{
    series::{Labels, Millis},
    source::local::{Hub, Route},
};
use std::fmt;

/// A sample on its way: where it goes, its time, its value.
pub(super) type Passed = (Route, Millis, f64);

/// Takes the samples of scrapes.
pub trait Taker: fmt::Debug + Send + Sync {
    /// Changes when routes must be asked for anew.
    fn generation(&self) -> u64;
    /// Where samples of a series go.
    fn route(&self, name: &str, labels: &Labels, at: Millis) -> Route;
    /// Takes in samples. Gives how many had a route that is no more, though the generation is the same: their series
    /// were silent for long.
    fn take(&self, samples: &[(Route, Millis, f64)], now: Millis) -> u64;
}

impl Taker for Hub {
    fn generation(&self) -> u64 {
        Self::generation(self)
    }

    fn route(&self, name: &str, labels: &Labels, at: Millis) -> Route {
        Self::route(self, name, labels, at)
    }

    fn take(&self, samples: &[(Route, Millis, f64)], now: Millis) -> u64 {
        Self::take(self, samples, now).lost
    }
}
