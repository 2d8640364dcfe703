//! Series whose values are not believed: what is counted and logged of them.

use super::unit_labels::{UnitReason, reasoned, touch};
use crate::quality::Finding;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::fmt;

/// What the engine counts and logs of values that it does not learn from.
#[derive(Default)]
pub struct InvalidEvents {
    series: Family<UnitReason, Gauge>,
    values: Family<UnitReason, Counter>,
}

impl fmt::Debug for InvalidEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvalidEvents").finish_non_exhaustive()
    }
}

impl InvalidEvents {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "signal_invalid_series",
            "Series whose newest value is not believed, by reason; nothing is learned from it",
            self.series.clone(),
        );
        registry.register(
            "signal_invalid_values",
            "Values that were not believed and left out of training, by reason",
            self.values.clone(),
        );
    }

    pub(super) fn begin(&self, unit: &str) {
        for finding in Finding::ALL {
            let labels = reasoned(unit, finding.reason());
            touch(&self.series, &labels);
            touch(&self.values, &labels);
        }
    }

    pub(super) fn forget(&self, unit: &str) {
        for finding in Finding::ALL {
            let labels = reasoned(unit, finding.reason());
            self.series.remove(&labels);
            self.values.remove(&labels);
        }
    }

    /// So many series have a newest value that is not believed for this reason.
    pub fn now(&self, unit: &str, finding: Finding, series: usize) {
        let gauge = self
            .series
            .get_or_create_owned(&reasoned(unit, finding.reason()));
        gauge.set(i64::try_from(series).unwrap_or(i64::MAX));
    }

    /// So many values of one grid time were left out of training.
    pub fn left_out(&self, unit: &str, finding: Finding, values: usize) {
        let counter = self
            .values
            .get_or_create_owned(&reasoned(unit, finding.reason()));
        counter.inc_by(u64::try_from(values).unwrap_or(u64::MAX));
    }

    /// Until now every series was believed as far as this reason goes; `example` is one of those that are not.
    pub fn began(
        &self,
        unit: &str,
        finding: Finding,
        series: usize,
        example: &dyn fmt::Display,
        value: f32,
    ) {
        let (reason, why) = (finding.reason(), finding.advice());
        tracing::warn!(
            signal = unit,
            reason,
            series,
            %example,
            value,
            why,
            "values are not believed; nothing is learned from them"
        );
    }

    /// Every series is believed again as far as this reason goes.
    pub fn ended(&self, unit: &str, finding: Finding) {
        let reason = finding.reason();
        tracing::info!(signal = unit, reason, "values are believed again");
    }
}
