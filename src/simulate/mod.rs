//! Demand of the past, replayed through a model of what scales workloads, under several policies.

pub mod autoscaler;
mod cluster;
mod demand;
mod draw;
mod foresight;
mod measure;
mod parameters;
mod policy;
mod release;
mod run;

pub use demand::{Demand, Kind, Past, Trace};
pub use foresight::Foresight;
pub use measure::Score;
pub use parameters::{PARAMETERS, Parameters};
