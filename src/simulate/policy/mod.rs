//! Policies: what the autoscaler is told.
//!
//! As in a cluster, a policy answers metrics and an autoscaler follows. A policy sees nothing but [`Past`] (but for the oracle, which is given
//! the whole trace when it is made).

mod crane;
mod fixed;
mod hpa;
mod naive;
mod oracle;
mod ours;
mod phpa;
mod publish;

pub(super) use crane::Crane;
pub(super) use fixed::Fixed;
pub(super) use hpa::Hpa;
pub(super) use naive::Naive;
pub(super) use oracle::Oracle;
pub(super) use ours::Ours;
pub(super) use phpa::{Phpa, Smoothing};

use super::{
    Past,
    autoscaler::{Metric, Size},
};

/// Says what the metrics of an autoscaler are. Targets are such that 1 is what one replica can just serve.
pub(super) trait Policy {
    /// The metrics at the beginning of a tick, at which the autoscaler has `size`.
    fn metrics(&mut self, tick: usize, past: Past<'_>, size: Size, out: &mut Vec<Metric>);
}
