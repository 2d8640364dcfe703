//! Demand of the past, replayed through a model of what scales workloads, under several policies.
//!
//! [`Demand`] is a trace, tick by tick; a policy says what the metrics of an [`autoscaler`] are, which follows as it would in a cluster; replicas
//! take time to become ready, and what they do not serve waits. [`study`] runs every policy and says what that means for ours. Every
//! number is in one file, [`PARAMETERS`]; a [`Subject`] says what is ours, the usual one of that file or a user's own workload.

pub mod autoscaler;
mod cluster;
mod compare;
mod demand;
mod draw;
mod foresight;
mod frontier;
mod measure;
mod parameters;
mod plot;
mod policy;
mod release;
mod report;
mod run;
mod study;
mod subject;
pub mod traces;
mod which;

pub use compare::{Beside, Comparison};
pub use demand::{Demand, Kind, Past, Trace};
pub use foresight::Foresight;
pub use frontier::{Frontier, Point};
pub use measure::Score;
pub use parameters::{PARAMETERS, Parameters};
pub use plot::plot;
pub use report::{Report, heading};
pub use study::{Outcome, Row, study};
pub use subject::{Forecasting, Subject};
pub use which::Which;

/// Correlation of values with those `lag` before them; those that are not known are left out.
fn autocorrelation(values: &[f64], lag: usize) -> f64 {
    let known: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let (mut both, mut one, mut other) = (0.0, 0.0, 0.0);
    for (new, old) in values.iter().skip(lag).zip(values) {
        let (new, old) = (new - mean, old - mean);
        if new.is_finite() && old.is_finite() {
            both += new * old;
            one += new * new;
            other += old * old;
        }
    }
    both / (one * other).sqrt()
}
