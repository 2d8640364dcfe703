//! The recent past of some series of a unit, kept for charts only.

use super::outcome::{Outcome, SeriesOutcome};
use crate::series::{Labels, Millis};
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

/// Grid times kept per series: a day at one minute.
const POINTS: usize = 1_440;
/// Series kept per unit, the first ones by labels; charts of more than these nobody looks at.
const SERIES: usize = 100;
/// Further series kept because their verdict was on: those are the ones to look at.
const ACTIVE: usize = 50;
/// A series without a point for so long is forgotten.
const MEMORY: Millis = 86_400_000;

/// The recent past of some series of a unit: the first ones by labels, and those that were anomalous.
///
/// Bounded at about 7 MB: 150 series of 1,440 points. A write takes microseconds, a read copies.
#[derive(Debug, Default)]
pub struct Trail {
    kept: Mutex<BTreeMap<Labels, VecDeque<Point>>>,
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

/// A [`TrailPoint`] in half the space: unknown is `NaN`.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: Millis,
    value: f32,
    expected: f32,
    lower: f32,
    upper: f32,
    score: f32,
    active: bool,
}

impl Trail {
    /// Takes in one outcome. A grid time that is not after the newest one of its series is left out:
    /// it was replayed.
    pub fn record(&self, outcome: &Outcome) {
        let Ok(mut kept) = self.kept.lock() else {
            return;
        };
        for series in &outcome.series {
            let room = if series.active {
                SERIES + ACTIVE
            } else {
                SERIES
            };
            if kept.len() < room || kept.contains_key(&series.labels) {
                let points = kept.entry(series.labels.clone()).or_default();
                append(points, Point::of(outcome.at, series));
            } else if !series.active && past_last(&kept, &series.labels) {
                // Sorted by labels: only an active one further on can still be of interest.
                record_active(&mut kept, outcome, &series.labels);
                break;
            }
        }
        let horizon = outcome.at - MEMORY;
        kept.retain(|_, points| points.back().is_some_and(|newest| newest.at >= horizon));
    }

    /// Forgets everything: the unit starts afresh at another time.
    pub fn clear(&self) {
        if let Ok(mut kept) = self.kept.lock() {
            kept.clear();
        }
    }

    /// The labels of the kept series, sorted.
    pub fn labels(&self) -> Vec<Labels> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keys().cloned().collect()
    }

    /// The points of one series, oldest first; none where it is not kept.
    pub fn points(&self, labels: &Labels) -> Vec<TrailPoint> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let points = kept.get(labels);
        points.map_or_else(Vec::new, |points| points.iter().map(Point::shown).collect())
    }

    /// The kept series, sorted by labels, oldest point first.
    pub fn read(&self) -> Vec<(Labels, Vec<TrailPoint>)> {
        let Ok(kept) = self.kept.lock() else {
            return Vec::new();
        };
        kept.iter()
            .map(|(labels, points)| (labels.clone(), points.iter().map(Point::shown).collect()))
            .collect()
    }
}

impl Point {
    fn of(at: Millis, series: &SeriesOutcome) -> Self {
        Self {
            at,
            value: series.value,
            expected: series.band.expected,
            lower: series.band.lower,
            upper: series.band.upper,
            score: series.score,
            active: series.active,
        }
    }

    fn shown(&self) -> TrailPoint {
        let known = |value: f32| value.is_finite().then_some(value);
        TrailPoint {
            at: self.at,
            value: known(self.value),
            expected: known(self.expected),
            lower: known(self.lower),
            upper: known(self.upper),
            score: known(self.score),
            active: self.active,
        }
    }
}

fn append(points: &mut VecDeque<Point>, point: Point) {
    if points.back().is_some_and(|newest| newest.at >= point.at) {
        return;
    }
    if points.len() == POINTS {
        points.pop_front();
    }
    points.push_back(point);
}

fn past_last(kept: &BTreeMap<Labels, VecDeque<Point>>, labels: &Labels) -> bool {
    kept.last_key_value().is_none_or(|(last, _)| labels > last)
}

/// The active series after `from`: a walk over flags, as a replay records thousands of outcomes.
fn record_active(kept: &mut BTreeMap<Labels, VecDeque<Point>>, outcome: &Outcome, from: &Labels) {
    let rest = outcome
        .series
        .partition_point(|series| series.labels <= *from);
    for series in outcome.series[rest..].iter().filter(|series| series.active) {
        if kept.len() < SERIES + ACTIVE || kept.contains_key(&series.labels) {
            let points = kept.entry(series.labels.clone()).or_default();
            append(points, Point::of(outcome.at, series));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Band;

    fn outcome(at: Millis, series: usize, active: &[usize]) -> Outcome {
        let one = |index: usize| SeriesOutcome {
            labels: Labels::new([("pod", format!("{index:05}"))]).unwrap(),
            value: at as f32,
            band: Band::UNKNOWN,
            score: f32::NAN,
            active: active.contains(&index),
            severity: 0,
            direction: 0,
            began: false,
            since: None,
            worst: 0,
            reason: None,
        };
        Outcome {
            at,
            series: (0..series).map(one).collect(),
            ..Outcome::default()
        }
    }

    #[test]
    fn unknown_fields_are_absent_and_replayed_times_are_left_out() {
        let trail = Trail::default();
        for at in [1, 2, 1, 2, 3] {
            trail.record(&outcome(at, 1, &[]));
        }
        let (_, points) = trail.read().remove(0);
        let times: Vec<Millis> = points.iter().map(|point| point.at).collect();
        assert_eq!(times, [1, 2, 3]);
        assert_eq!((points[0].value, points[0].score), (Some(1.0), None));
    }

    #[test]
    fn room_is_bounded_and_the_anomalous_get_in_late() {
        let trail = Trail::default();
        trail.record(&outcome(1, 2_000, &[]));
        assert_eq!(trail.read().len(), SERIES);
        trail.record(&outcome(2, 2_000, &[1_234]));
        let kept = trail.read();
        assert_eq!(kept.len(), SERIES + 1);
        assert_eq!(kept[SERIES].0.get("pod"), Some("01234"));
        let all: Vec<usize> = (0..2_000).collect();
        trail.record(&outcome(3, 2_000, &all));
        let kept = trail.read();
        assert_eq!(kept.len(), SERIES + ACTIVE);
        assert_eq!(kept[0].1.len(), 3, "every outcome reaches the first ones");
        trail.record(&outcome(4 + MEMORY, 1, &[]));
        assert_eq!(trail.read().len(), 1, "the silent are forgotten");
    }
}
