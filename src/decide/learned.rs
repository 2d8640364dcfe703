//! What one replica can do, learned from its utilisation.
//!
//! Utilisation is taken for a straight line over demand per replica, with neither slope nor intercept below 0, fitted
//! robustly (Huber's weights). What counts is the upper confidence bound of the slope, only where the two go together
//! closely, and no further than a fifth beyond what was seen: contracts, section 8, step 4.

use crate::series::Millis;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Points are kept by size, so that hours of calm do not push out the peaks: bins are a seventh apart.
const BIN: f64 = 1.15;
const BINS: usize = 24;
/// Newest points of each bin.
const EACH: usize = 10;
/// A fit takes at least so many.
const LEAST: usize = 30;
/// A new fit is made after so many.
const NEWS: usize = 20;
/// Utilisation and demand must go together as closely as this.
const LEAST_CORRELATION: f64 = 0.9;
/// No further than this beyond the greatest demand per replica that was seen.
const REACH: f64 = 1.2;
/// One-sided 95 %.
const CONFIDENCE: f64 = 1.645;
/// Where Huber's weights begin to fall, in deviations.
const HUBER: f64 = 1.345;
const ROUNDS: usize = 6;
/// A fit counts for so long after the last that succeeded.
const LASTS: Millis = 86_400_000;

/// Demand per replica and utilisation, as seen lately.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Learner {
    /// Least demand first.
    bins: Vec<Bin>,
    /// The newest point.
    newest: Option<Millis>,
    /// Points since the last fit.
    news: usize,
    /// What one replica can take, and when that was found.
    found: Option<(f32, Millis)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Bin {
    place: i32,
    newest: Millis,
    points: VecDeque<(f32, f32)>,
}

impl Learner {
    /// What one replica can take at the utilisation aimed at; `None` where that is not known well enough.
    pub(super) fn capacity(&self, at: Millis) -> Option<f64> {
        let (capacity, then) = self.found?;
        (at.saturating_sub(then) <= LASTS).then_some(f64::from(capacity))
    }

    /// Demand per replica and utilisation at a time, which must be newer than the last; both finite. Learners of
    /// different `phase` fit at different times: a thousand fits at once would make one tick late.
    pub(super) fn note(
        &mut self,
        at: Millis,
        load: f64,
        utilisation: f64,
        target: f64,
        phase: usize,
    ) {
        let is_point = (1e-12..1e12).contains(&load) && (0.0..=1e6).contains(&utilisation);
        if !is_point || self.newest.is_some_and(|newest| at <= newest) {
            return;
        }
        self.newest = Some(at);
        self.keep(at, load, utilisation);
        self.news = (self.news + 1) % NEWS;
        if self.news == phase % NEWS {
            let wide = |&(load, used): &(f32, f32)| (f64::from(load), f64::from(used));
            let points: Vec<_> = self
                .bins
                .iter()
                .flat_map(|bin| &bin.points)
                .map(wide)
                .collect();
            let found = capacity_of(&points, target).map(|capacity| (capacity as f32, at));
            self.found = found.or(self.found);
        }
    }

    /// The clock was set back.
    pub(super) fn rewind(&mut self, at: Millis) {
        self.newest = self.newest.map(|newest| newest.min(at));
        self.found = self.found.map(|(found, then)| (found, then.min(at)));
    }

    fn keep(&mut self, at: Millis, load: f64, utilisation: f64) {
        let place = (load.ln() / BIN.ln()).floor() as i32;
        let known = self.bins.binary_search_by_key(&place, |bin| bin.place);
        let index = known.unwrap_or_else(|index| {
            let points = VecDeque::new();
            let bin = Bin {
                place,
                newest: at,
                points,
            };
            self.bins.insert(index, bin);
            index
        });
        let bin = &mut self.bins[index];
        if bin.points.len() == EACH {
            bin.points.pop_front();
        }
        bin.points.push_back((load as f32, utilisation as f32));
        bin.newest = at;
        if self.bins.len() > BINS {
            let oldest = (0..self.bins.len()).min_by_key(|&index| self.bins[index].newest);
            oldest.map(|index| self.bins.remove(index));
        }
    }
}

/// A straight line and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    intercept: f64,
    slope: f64,
    /// Standard error of the slope.
    error: f64,
    correlation: f64,
}

fn capacity_of(points: &[(f64, f64)], target: f64) -> Option<f64> {
    if points.len() < LEAST {
        return None;
    }
    let line = fit(points)?;
    let steepest = line.slope + CONFIDENCE * line.error;
    if line.correlation < LEAST_CORRELATION || line.intercept >= target {
        return None;
    }
    let greatest = points.iter().map(|one| one.0).fold(0.0, f64::max);
    let capacity = ((target - line.intercept) / steepest).min(REACH * greatest);
    (capacity.is_finite() && capacity > 0.0).then_some(capacity)
}

/// Iteratively reweighted least squares with Huber's weights; the scale is the median absolute residual.
fn fit(points: &[(f64, f64)]) -> Option<Line> {
    let mut weights = vec![1.0; points.len()];
    let mut sizes = vec![0.0; points.len()];
    let mut line = weighted(points, &weights)?;
    for _ in 0..ROUNDS {
        let residual = |(x, y): (f64, f64)| (y - line.intercept - line.slope * x).abs();
        for (size, point) in sizes.iter_mut().zip(points) {
            *size = residual(*point);
        }
        let middle = sizes.len() / 2;
        let (_, median, _) = sizes.select_nth_unstable_by(middle, f64::total_cmp);
        let limit = HUBER * (*median * 1.4826).max(1e-9);
        for (weight, point) in weights.iter_mut().zip(points) {
            *weight = (limit / residual(*point)).min(1.0);
        }
        line = weighted(points, &weights)?;
    }
    Some(line)
}

/// Weighted least squares; through 0 where the intercept would be below it. `None` without a slope above 0.
fn weighted(points: &[(f64, f64)], weights: &[f64]) -> Option<Line> {
    let (mut all, mut x_sum, mut y_sum) = (0.0, 0.0, 0.0);
    for (&(x, y), weight) in points.iter().zip(weights) {
        all += weight;
        x_sum += weight * x;
        y_sum += weight * y;
    }
    let (x_mean, y_mean) = (x_sum / all, y_sum / all);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (&(x, y), weight) in points.iter().zip(weights) {
        let (x, y) = (x - x_mean, y - y_mean);
        xx += weight * x * x;
        xy += weight * x * y;
        yy += weight * y * y;
    }
    let (xx_raw, xy_raw) = (xx + all * x_mean * x_mean, xy + all * x_mean * y_mean);
    let yy_raw = yy + all * y_mean * y_mean;
    let free = xy / xx;
    let (intercept, slope, spread, squares) = match y_mean - free * x_mean {
        intercept if intercept >= 0.0 => (intercept, free, xx, yy - free * xy),
        _ => {
            let slope = xy_raw / xx_raw;
            (0.0, slope, xx_raw, yy_raw - slope * xy_raw)
        }
    };
    let error = (squares.max(0.0) / (all - 2.0).max(1.0) / spread).sqrt();
    let correlation = xy / (xx * yy).sqrt();
    let is_line = slope > 0.0
        && [slope, error, correlation]
            .iter()
            .all(|one| one.is_finite());
    is_line.then_some(Line {
        intercept,
        slope,
        error,
        correlation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    /// So many points of `line` with noise, demand per replica from `least` to `most`.
    fn learner(count: i64, least: f64, most: f64, noise: f64, line: fn(f64) -> f64) -> Learner {
        let (mut learner, mut random) = (Learner::default(), fastrand::Rng::with_seed(7));
        for minute in 0..count {
            let load = least + (most - least) * random.f64();
            let utilisation = line(load) + noise * (random.f64() - 0.5);
            learner.note(minute * MINUTE, load, utilisation.max(0.0), 0.7, 0);
        }
        learner
    }

    #[test]
    fn finds_what_a_replica_can_take_and_errs_on_the_safe_side() {
        let learner = learner(500, 20.0, 120.0, 0.04, |load| 0.05 + load / 200.0);
        let capacity = learner.capacity(500 * MINUTE).unwrap();
        assert!((122.0..=130.0).contains(&capacity), "{capacity}");
        assert_eq!(learner.capacity(500 * MINUTE + 2 * LASTS), None);
    }

    #[test]
    fn a_few_wild_points_do_not_count() {
        let mut learner = learner(500, 20.0, 120.0, 0.02, |load| load / 150.0);
        for minute in 500..520 {
            learner.note(minute * MINUTE, 60.0 + minute as f64 / 10.0, 3.0, 0.7, 0);
        }
        let capacity = learner.capacity(520 * MINUTE).unwrap();
        assert!((90.0..=106.0).contains(&capacity), "{capacity}");
    }

    #[test]
    fn does_not_reach_far_beyond_what_was_seen() {
        let learner = learner(500, 10.0, 40.0, 0.001, |load| load / 200.0);
        let capacity = learner.capacity(500 * MINUTE).unwrap();
        assert!((47.0..=48.1).contains(&capacity), "{capacity}");
    }

    #[test]
    fn what_does_not_go_together_teaches_nothing() {
        let flat = learner(500, 20.0, 120.0, 0.4, |_| 0.5);
        assert_eq!(flat.capacity(500 * MINUTE), None);
        let falling = learner(500, 20.0, 120.0, 0.01, |load| 1.0 - load / 150.0);
        assert_eq!(falling.capacity(500 * MINUTE), None);
        let few = learner(29, 20.0, 120.0, 0.01, |load| load / 150.0);
        assert_eq!(few.capacity(29 * MINUTE), None);
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let mut learner = Learner::default();
        for step in 0..5_000 {
            let load = 1.2_f64.powi(step % 900 - 300);
            learner.note(i64::from(step), load, 0.5, 0.7, 0);
            learner.note(i64::from(step), f64::NAN, 0.5, 0.7, 0);
        }
        assert!(learner.bins.len() <= BINS);
        assert!(learner.bins.iter().all(|bin| bin.points.len() <= EACH));
    }
}
