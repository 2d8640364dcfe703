//! The label sets of what belongs to one signal or panel.

use prometheus_client::{encoding::EncodeLabelSet, metrics::family::Family};
use std::hash::Hash;

/// The label of everything that belongs to one signal or panel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Unit {
    signal: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct UnitCause {
    signal: String,
    cause: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct UnitKind {
    signal: String,
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct UnitDirection {
    signal: String,
    direction: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct UnitModel {
    signal: String,
    model: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct UnitReason {
    signal: String,
    reason: String,
}

/// Makes the metric of a label set appear, at zero.
pub(super) fn touch<S, M>(family: &Family<S, M>, labels: &S)
where
    S: Clone + Hash + Eq,
    M: Default + Clone,
{
    drop(family.get_or_create_owned(labels));
}

pub(super) fn of(unit: &str) -> Unit {
    Unit {
        signal: unit.to_owned(),
    }
}

pub(super) fn caused(unit: &str, cause: &str) -> UnitCause {
    UnitCause {
        signal: unit.to_owned(),
        cause: cause.to_owned(),
    }
}

pub(super) fn kind(unit: &str, kind: &str) -> UnitKind {
    UnitKind {
        signal: unit.to_owned(),
        kind: kind.to_owned(),
    }
}

pub(super) fn directed(unit: &str, direction: &str) -> UnitDirection {
    UnitDirection {
        signal: unit.to_owned(),
        direction: direction.to_owned(),
    }
}

pub(super) fn failing(unit: &str, model: &str, reason: &str) -> UnitModel {
    UnitModel {
        signal: unit.to_owned(),
        model: model.to_owned(),
        reason: reason.to_owned(),
    }
}

pub(super) fn reasoned(unit: &str, reason: &str) -> UnitReason {
    UnitReason {
        signal: unit.to_owned(),
        reason: reason.to_owned(),
    }
}
