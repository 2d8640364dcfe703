//! Ours beside the others, in a few ratios.

use super::{Frontier, Row};
use serde::Serialize;

/// Ours beside the HPA: on the frontiers, and at the level that the costs give. All ratios are of ours by theirs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// Where the tuned HPA is.
    pub tuned: Beside,
    /// Where ours is at its own level: of ours by the best HPA with as many replica-hours, and with as many violations.
    pub own: Beside,
    /// Where the HPA has a hundredth of the minutes violated.
    pub hundredth: Beside,
    /// Where it has a thousandth.
    pub thousandth: Beside,
    /// Replica-hours of ours at its level by those of the tuned HPA.
    pub hours: f64,
    /// Violations; `None` where the tuned HPA has none.
    pub violations: Option<f64>,
    /// Mean of the days' longest queues; `None` where the tuned HPA has none.
    pub queue: Option<f64>,
    /// Cost by that of a static size for the peak.
    pub cost_of_static: f64,
    /// Share of peaks for which enough was ready.
    pub prewarmed: f64,
    /// The same of the tuned HPA.
    pub prewarmed_hpa: f64,
}

/// Our frontier beside one point of the HPA's. `None` where our frontier has no such point, or theirs has not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Beside {
    /// Violations with no more replica-hours.
    pub violations: Option<f64>,
    /// Replica-hours with no more violations.
    pub hours: Option<f64>,
}

/// Ours, by its name, beside the others; `None` where one of those that are compared was not run.
pub(super) fn compare(name: &str, rows: &[Row], frontiers: &[Frontier]) -> Option<Comparison> {
    let row = |name: &str| {
        let found = rows.iter().find(|row| row.name == name);
        found.map(|row| row.score)
    };
    let (fixed, tuned, own) = (row("static")?, row("HPA tuned")?, row(name)?);
    let ratio = |one: f64, other: f64| (other > 0.0).then_some(one / other);
    let ours = frontiers.iter().find(|one| one.name == name);
    let hpa = frontiers.iter().find(|one| one.name == "HPA");
    let beside = |hours: Option<f64>, violations: f64| Beside {
        violations: hours
            .and_then(|hours| ours?.violations_at(hours))
            .and_then(|own| ratio(own, violations)),
        hours: hours
            .zip(ours.and_then(|ours| ours.replica_hours_at(violations)))
            .and_then(|(hours, own)| ratio(own, hours)),
    };
    let at = |violations: f64| {
        beside(
            hpa.and_then(|hpa| hpa.replica_hours_at(violations)),
            violations,
        )
    };
    Some(Comparison {
        tuned: beside(Some(tuned.replica_hours), tuned.violation_ratio),
        own: Beside {
            violations: hpa
                .and_then(|hpa| hpa.violations_at(own.replica_hours))
                .and_then(|theirs| ratio(own.violation_ratio, theirs)),
            hours: hpa
                .and_then(|hpa| hpa.replica_hours_at(own.violation_ratio))
                .and_then(|theirs| ratio(own.replica_hours, theirs)),
        },
        hundredth: at(0.01),
        thousandth: at(0.001),
        hours: own.replica_hours / tuned.replica_hours,
        violations: ratio(own.violation_ratio, tuned.violation_ratio),
        queue: ratio(own.queue_peak, tuned.queue_peak),
        cost_of_static: own.cost / fixed.cost,
        prewarmed: own.prewarmed_ratio(),
        prewarmed_hpa: tuned.prewarmed_ratio(),
    })
}
