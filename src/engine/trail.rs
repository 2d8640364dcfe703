//! The recent past of some series of a unit, kept for charts only.

use super::outcome::Outcome;
use crate::series::{Labels, Millis};
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};

/// Grid times kept per series: a day at one minute.
const POINTS: usize = 1_440;
/// Series kept per unit; charts of more than these nobody looks at.
const SERIES: usize = 200;

/// The recent past of the first series of a unit. Bounded: a write takes microseconds, a read copies.
#[derive(Debug, Default)]
pub struct Trail {
    kept: Mutex<BTreeMap<Labels, VecDeque<TrailPoint>>>,
}

/// One evaluated grid time of one series. Fields that are unknown are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrailPoint {
    /// Grid time, milliseconds since the epoch.
    pub at: Millis,
    /// The value.
    pub value: Option<f32>,
    /// What was expected.
    pub expected: Option<f32>,
    /// Lower bound.
    pub lower: Option<f32>,
    /// Upper bound.
    pub upper: Option<f32>,
    /// Combined score.
    pub score: Option<f32>,
    /// Whether the verdict was on.
    pub active: bool,
}

impl Trail {
    /// Takes in one outcome.
    pub fn record(&self, outcome: &Outcome) {
        let Ok(mut kept) = self.kept.lock() else {
            return;
        };
        let known = |value: f32| value.is_finite().then_some(value);
        for series in &outcome.series {
            if kept.len() >= SERIES && !kept.contains_key(&series.labels) {
                continue;
            }
            let points = kept.entry(series.labels.clone()).or_default();
            if points.len() == POINTS {
                points.pop_front();
            }
            points.push_back(TrailPoint {
                at: outcome.at,
                value: known(series.value),
                expected: known(series.band.expected),
                lower: known(series.band.lower),
                upper: known(series.band.upper),
                score: known(series.score),
                active: series.active,
            });
        }
        let horizon = outcome.at - 86_400_000;
        kept.retain(|_, points| points.back().is_some_and(|newest| newest.at >= horizon));
    }

    /// The kept series, sorted by labels, oldest point first.
    pub fn read(&self) -> Vec<(Labels, Vec<TrailPoint>)> {
        let Ok(kept) = self.kept.lock() else {
            return Vec::new();
        };
        kept.iter()
            .map(|(labels, points)| (labels.clone(), points.iter().copied().collect()))
            .collect()
    }
}
