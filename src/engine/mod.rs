//! Evaluation: units, outcomes, the catalogue that readers see, and the loop that drives them.
//!
//! A unit's `evaluate` is synchronous and pure; the live loop, `backtest`, the tests and the benches
//! all call it: what is measured offline is what runs.

pub mod catalogue;
pub mod clock;
mod demand;
pub mod division;
mod families;
mod guard;
pub mod outcome;
pub mod panel;
pub mod pool;
mod reason;
pub mod run;
pub mod scaling;
pub mod schedule;
mod served;
pub mod settings;
pub mod signal;
pub mod trail;

pub use catalogue::{Catalogue, ScalingHandle, UnitHandle, UnitReport};
pub use clock::Clock;
pub use demand::Demand;
pub use division::{Division, Divisions};
pub use outcome::{Contributor, Group, Horizon, Mode, Outcome, SeriesOutcome};
pub use panel::PanelUnit;
pub use pool::Pool;
pub use reason::{Around, Channel, Reason};
pub use scaling::{Scaling, ScalingUnit};
pub use served::Served;
pub use settings::{PanelSettings, SignalSettings};
pub use signal::{SignalUnit, UnitOptions};
