//! What would be decided now if something were otherwise. Changes nothing.

use super::Scaling;
use crate::decide::{Board, Decision, DemandForecast, Maximum, Reading, Replicas};
use std::sync::Arc;

/// What is supposed to be otherwise; what is `None` is as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Supposed {
    /// The newest demand.
    pub demand: Option<f64>,
    /// The quantile of the greatest demand within every window.
    pub forecast: Option<f64>,
    /// Replicas that are ready.
    pub ready: Option<u32>,
}

impl Scaling {
    /// The decision on a workload as it would have been; `None` where it was not decided on. What is shared with others
    /// does not bind it.
    pub fn what_if(&self, workload: &str, supposed: Supposed) -> Option<Decision> {
        let is_meant = |one: &&super::Decided| *one.decision.workload == *workload;
        let place = self.decisions.iter().position(|one| is_meant(&one))?;
        let mut inputs = self.inputs.get(place)?.clone();
        let at = self.at;
        if let Some(value) = supposed.demand {
            inputs.demand = Some(Reading { at, value });
            inputs.incomplete = None;
        }
        if let Some(ready) = supposed.ready {
            let wanted = None;
            inputs.replicas = Some(Replicas { at, ready, wanted });
        }
        if let (Some(quantile), Some(forecast)) = (supposed.forecast, &inputs.forecast) {
            let maxima = forecast
                .maxima
                .iter()
                .map(|one| Maximum { quantile, ..*one });
            inputs.forecast = Some(Arc::new(DemandForecast {
                maxima: maxima.collect(),
                ..(**forecast).clone()
            }));
        }
        let mut board = Board {
            workloads: vec![self.before.workloads.get(place)?.clone()],
            ..Board::default()
        };
        board.decide(at, &[inputs]).pop()
    }
}
