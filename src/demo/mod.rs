//! A synthetic but honest workload behind a Prometheus-compatible API, to see everything work at once.
//!
//! The engine, the source and the configuration are the real ones: only the Prometheus is small. It is
//! also what tests and benches put in the place of a Prometheus, see [`server::serve`] and [`Generated`].

mod api;
pub mod generated;
pub mod incidents;
mod noise;
mod run;
pub mod server;
#[cfg(test)]
mod tests;
pub mod workload;

pub use generated::Generated;
pub use run::{Announcement, DemoOptions, SPEEDS, block_on, config_text, run};
pub use workload::Workload;

use crate::series::{Labels, Millis};

/// The synthetic targets are scraped so often: between two scrapes a series keeps its value.
const SCRAPE: Millis = 15_000;

/// What the synthetic Prometheus has stored: series whose value at any time can be computed.
pub trait Dataset: Send + Sync + std::fmt::Debug {
    /// The label sets, each with `__name__`.
    fn labels(&self) -> &[Labels];
    /// The value of `labels()[series]` at `at`; `None` where there is no sample.
    fn value(&self, series: usize, at: Millis) -> Option<f64>;
}
