//! The recent past of workloads, kept for pictures only.

use super::{Decision, Millis, Scaling};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// Points kept of each workload: a day of those that are [`APART`].
const POINTS: usize = 720;
/// Points nearer to each other nobody can tell apart in a picture of a day.
const APART: Millis = 120_000;

/// The recent past of workloads: a day of each, about 35 kB.
#[derive(Debug, Default)]
pub struct Courses(Mutex<BTreeMap<Arc<str>, VecDeque<CoursePoint>>>);

/// A workload at one time. What was not known is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CoursePoint {
    /// When, milliseconds since the epoch.
    pub at: Millis,
    /// The newest demand.
    pub demand: Option<f32>,
    /// The quantile of the greatest demand within the window ahead.
    pub forecast: Option<f32>,
    /// What one replica could take.
    pub capacity: Option<f32>,
    /// The size for the newest demand.
    pub reactive: Option<u32>,
    /// The recommendation.
    pub replicas: Option<u32>,
    /// What it would have been in full mode.
    pub full: Option<u32>,
    /// The size there was.
    pub ready: Option<u32>,
}

impl CoursePoint {
    /// What a decision says of its time.
    pub fn of(decision: &Decision) -> Self {
        let short = |value: Option<f64>| value.map(|value| value as f32);
        Self {
            at: decision.at,
            demand: short(decision.demand),
            forecast: short(decision.demand_forecast),
            capacity: short(decision.capacity),
            reactive: decision.parts.reactive,
            replicas: decision.replicas,
            full: decision.would_be,
            ready: decision.ready,
        }
    }
}

impl Courses {
    /// Takes in new decisions; forgets workloads that are not among them.
    pub fn record(&self, scaling: &Scaling) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut former = std::mem::take(&mut *kept);
        for one in &scaling.decisions {
            let decision = &one.decision;
            let mut course = former.remove(&decision.workload).unwrap_or_default();
            let newest = course.back().map(|point| point.at);
            // A clock that was set back begins anew.
            if newest.is_some_and(|newest| newest > scaling.at) {
                course.clear();
            }
            if newest.is_none_or(|newest| scaling.at - newest >= APART || newest > scaling.at) {
                course.push_back(CoursePoint::of(decision));
            }
            while course.len() > POINTS {
                course.pop_front();
            }
            kept.insert(Arc::clone(&decision.workload), course);
        }
    }

    /// The recent past of a workload, oldest first.
    pub fn of(&self, workload: &str) -> Vec<CoursePoint> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(workload)
            .map(|course| course.iter().copied().collect())
            .unwrap_or_default()
    }
}
