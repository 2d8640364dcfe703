//! Frontiers: what a policy can have of few violations and few replica-hours, whatever its knob is set to.

use super::Score;
use serde::Serialize;

/// A policy at one setting of its knob.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// The target, level or margin.
    pub knob: f64,
    /// What it came to.
    pub score: Score,
}

/// A policy at all settings of its knob.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Frontier {
    /// Of the policy.
    pub name: String,
    /// In the order of the knob.
    pub points: Vec<Point>,
}

impl Frontier {
    /// Points that no other beats in both, with the fewest replica-hours first: replica-hours and share of violations.
    pub fn best(&self) -> Vec<(f64, f64)> {
        let score = |point: &Point| (point.score.replica_hours, point.score.violation_ratio);
        let mut all: Vec<(f64, f64)> = self.points.iter().map(score).collect();
        all.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
        let mut best: Vec<(f64, f64)> = Vec::new();
        for point in all {
            if best.last().is_none_or(|last| point.1 < last.1) {
                best.push(point);
            }
        }
        best
    }

    /// The least share of violations with no more than so many replica-hours, interpolated linearly; `None` where every point takes
    /// more.
    pub fn violations_at(&self, replica_hours: f64) -> Option<f64> {
        let best = self.best();
        let after = best.partition_point(|point| point.0 <= replica_hours);
        let before = best.get(after.checked_sub(1)?)?;
        let Some(next) = best.get(after) else {
            return Some(before.1);
        };
        let share = (replica_hours - before.0) / (next.0 - before.0);
        Some(before.1 + share * (next.1 - before.1))
    }

    /// The fewest replica-hours with no more than such a share of violations, interpolated linearly; `None` where every point has more.
    pub fn replica_hours_at(&self, violation_ratio: f64) -> Option<f64> {
        let best = self.best();
        let place = best.iter().position(|point| point.1 <= violation_ratio)?;
        let at = best[place];
        let Some(before) = place.checked_sub(1).map(|before| best[before]) else {
            return Some(at.0);
        };
        let share = (before.1 - violation_ratio) / (before.1 - at.1);
        Some(before.0 + share * (at.0 - before.0))
    }

    /// The point of the least cost.
    pub fn cheapest(&self) -> Option<&Point> {
        let points = self.points.iter();
        points.min_by(|one, other| one.score.cost.total_cmp(&other.score.cost))
    }

    /// The point whose knob is nearest to `knob`.
    pub fn at(&self, knob: f64) -> Option<&Point> {
        let points = self.points.iter();
        points.min_by(|one, other| {
            (one.knob - knob)
                .abs()
                .total_cmp(&(other.knob - knob).abs())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontier(points: &[(f64, f64)]) -> Frontier {
        let point = |&(replica_hours, violation_ratio): &(f64, f64)| Point {
            knob: 0.0,
            score: Score {
                replica_hours,
                violation_ratio,
                ..Score::default()
            },
        };
        Frontier {
            name: "made".into(),
            points: points.iter().map(point).collect(),
        }
    }

    #[test]
    fn between_two_points_lies_a_line() {
        let made = frontier(&[(200.0, 0.01), (100.0, 0.05), (150.0, 0.06)]);
        let near = |one: Option<f64>, other: f64| assert!((one.unwrap() - other).abs() < 1e-12);
        near(made.violations_at(100.0), 0.05);
        near(made.violations_at(150.0), 0.03);
        near(made.violations_at(900.0), 0.01);
        assert_eq!(made.violations_at(99.0), None);
        near(made.replica_hours_at(0.03), 150.0);
        near(made.replica_hours_at(0.5), 100.0);
        near(made.replica_hours_at(0.01), 200.0);
        assert_eq!(made.replica_hours_at(0.001), None);
    }
}
