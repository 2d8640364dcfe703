//! The recent past of workloads, kept for pictures only.

use super::{Decision, Millis, Scaling, Settings};
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
pub struct Courses(Mutex<BTreeMap<Arc<str>, Course>>);

#[derive(Debug, Default)]
struct Course {
    points: VecDeque<CoursePoint>,
    /// Whether it was put behind what the signal knew.
    has_past: bool,
}

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
    /// The demand alone, of a time when nothing was decided.
    fn of_demand(at: Millis, demand: f32) -> Self {
        Self {
            at,
            demand: Some(demand),
            forecast: None,
            capacity: None,
            reactive: None,
            replicas: None,
            full: None,
            ready: None,
        }
    }

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

// === impl Courses ===

impl Courses {
    /// Takes in new decisions; forgets workloads that are not among them. `past` is what the signal of a workload knows of its
    /// demand so far, times and values, oldest first; `None` as long as it is still reading its history.
    pub fn record(
        &self,
        scaling: &Scaling,
        past: impl Fn(&Settings) -> Option<Vec<(Millis, f32)>>,
    ) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut former = std::mem::take(&mut *kept);
        for one in &scaling.decisions {
            let name = &one.decision.workload;
            let mut course = former.remove(name).unwrap_or_default();
            course.note(scaling.at, &one.decision);
            if !course.has_past
                && let Some(past) = past(&one.settings)
            {
                course.begin_with(&past);
            }
            kept.insert(Arc::clone(name), course);
        }
    }

    /// The recent past of a workload from `since` on, oldest first.
    pub fn of(&self, workload: &str, since: Millis) -> Vec<CoursePoint> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(course) = kept.get(workload) else {
            return Vec::new();
        };
        let first = course.points.partition_point(|point| point.at < since);
        course.points.range(first..).copied().collect()
    }
}

// === impl Course ===

impl Course {
    fn note(&mut self, at: Millis, decision: &Decision) {
        let newest = self.points.back().map(|point| point.at);
        // A clock that was set back begins anew.
        if newest.is_some_and(|newest| newest > at) {
            self.points.clear();
        }
        let newest = newest.filter(|newest| *newest <= at);
        if newest.is_none_or(|newest| at - newest >= APART) {
            self.points.push_back(CoursePoint::of(decision));
        }
        while self.points.len() > POINTS {
            self.points.pop_front();
        }
    }

    /// Puts before the first decision what is known of the demand: of the size nothing is.
    fn begin_with(&mut self, past: &[(Millis, f32)]) {
        self.has_past = true;
        let mut next = self.points.front().map_or(Millis::MAX, |point| point.at);
        for &(at, demand) in past.iter().rev() {
            if self.points.len() >= POINTS {
                break;
            }
            if demand.is_finite() && next.saturating_sub(at) >= APART {
                self.points.push_front(CoursePoint::of_demand(at, demand));
                next = at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(at: Millis) -> Decision {
        let text = format!(
            r#"{{"workload": "shop", "at": {at}, "mode": "observe", "replicas": 3, "would_be": 4, "parts": {{}}, "gate": "open",
                "binding": "forecast", "level": 0.95, "window": 1, "lead": 1, "reason": "a test"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_course_begins_with_the_demand_that_the_signal_knows() {
        let minute = |minute: i64| (minute * 60_000, minute as f32);
        let past: Vec<_> = (0..3_000).map(minute).chain([(1, f32::NAN)]).collect();
        let mut course = Course::default();
        course.note(2_500 * 60_000, &decision(2_500 * 60_000));
        course.begin_with(&past);
        assert_eq!(course.points.len(), POINTS);
        let demand = |place: usize| course.points[place].demand;
        assert_eq!(demand(0), Some(2_500.0 - 2.0 * 719.0));
        assert_eq!(demand(POINTS - 2), Some(2_498.0));
        let decided = course.points.iter().filter(|one| one.replicas.is_some());
        assert_eq!(decided.count(), 1);
    }

    #[test]
    fn points_lie_apart_and_end_where_the_clock_was_set_back() {
        let mut course = Course::default();
        for at in [0, 1, APART, APART + 1] {
            course.note(at, &decision(at));
        }
        let times = |course: &Course| -> Vec<Millis> {
            course.points.iter().map(|point| point.at).collect()
        };
        assert_eq!(times(&course), [0, APART]);
        course.note(5, &decision(5));
        assert_eq!(times(&course), [5]);
    }

    #[test]
    fn whoever_has_the_past_gets_what_is_new() {
        let courses = Courses::default();
        let mut course = Course::default();
        for n in 0..10 {
            course.note(n * APART, &decision(n * APART));
        }
        courses.0.lock().unwrap().insert("shop".into(), course);
        assert_eq!(courses.of("shop", Millis::MIN).len(), 10);
        assert_eq!(courses.of("shop", 7 * APART)[0].at, 7 * APART);
        assert!(courses.of("none", 0).is_empty());
    }
}
