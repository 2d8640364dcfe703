//! Evaluation: units, outcomes, the catalogue that readers see, and the loop that drives them.
//!
//! A unit's `evaluate` is synchronous and pure; the live loop, `backtest`, the tests and the benches
//! all call it: what is measured offline is what runs.

pub mod catalogue;
pub mod clock;
pub mod outcome;
pub mod settings;
pub mod trail;

pub use catalogue::{Catalogue, UnitHandle, UnitReport};
pub use clock::Clock;
pub use outcome::{Horizon, Outcome, SeriesOutcome};
pub use settings::{PanelSettings, SignalSettings};
