//! How good forecasts were, once the future is known, beside the forecasts anybody could make.

use crate::{
    engine::{Horizon, Outcome},
    forecast::Interval,
    series::{Grid, Labels, Millis},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Sums over every forecast of one horizon whose time has come.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    forecasts: u64,
    /// Times at which our forecast and both naive ones and the actual were there.
    compared: u64,
    inside: u64,
    actual: f64,
    error: f64,
    seasonal_naive: f64,
    last_value: f64,
    interval_score: f64,
}

/// The figures of one horizon of one signal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HorizonScore {
    /// As configured.
    pub horizon: String,
    /// Forecasts whose time has come.
    pub forecasts: u64,
    /// WAPE of the forecasts: sum of absolute errors over sum of absolute values.
    pub error_ratio: Option<f64>,
    /// WAPE of the value one season before.
    pub seasonal_naive_error_ratio: Option<f64>,
    /// WAPE of the value known last.
    pub last_value_error_ratio: Option<f64>,
    /// `1 - error / error of seasonal naive`.
    pub skill_ratio: Option<f64>,
    /// Share of the values inside their interval.
    pub coverage_ratio: Option<f64>,
    /// Mean interval score (Gneiting and Raftery 2007, equation 43), in the unit of the signal: the
    /// width, and a penalty for every value outside.
    pub interval_score: Option<f64>,
}

/// Follows every series of one signal and checks each forecast when its time has come.
#[derive(Debug)]
pub(super) struct Scorer {
    grid: Grid,
    horizons: Arc<[Horizon]>,
    /// Season of the naive forecast in steps.
    season: usize,
    /// Nominal coverage of the intervals.
    nominal: f64,
    sums: Vec<Sums>,
    tracks: BTreeMap<Labels, Track>,
}

/// The values of one series back to one season before the newest, and the forecasts still open.
#[derive(Debug)]
struct Track {
    end: Millis,
    past: VecDeque<f32>,
    open: Vec<VecDeque<Open>>,
}

#[derive(Debug)]
struct Open {
    due: Millis,
    interval: Interval,
    last_value: f32,
    seasonal_naive: f32,
}

impl Scorer {
    pub(super) fn new(grid: Grid, horizons: Arc<[Horizon]>, season: usize, nominal: f64) -> Self {
        let sums = vec![Sums::default(); horizons.len()];
        Self {
            grid,
            horizons,
            season: season.max(1),
            nominal,
            sums,
            tracks: BTreeMap::new(),
        }
    }

    /// Takes in the outcome of one grid time.
    pub(super) fn observe(&mut self, outcome: &Outcome) {
        let horizons = self.horizons.len();
        for (index, series) in outcome.series.iter().enumerate() {
            let track = self
                .tracks
                .entry(series.labels.clone())
                .or_insert_with(|| Track {
                    end: outcome.at - self.grid.step(),
                    past: VecDeque::new(),
                    open: (0..horizons).map(|_| VecDeque::new()).collect(),
                });
            track.push(self.grid, outcome.at, series.value, self.season + 1);
            let own = outcome
                .forecasts
                .get(index * horizons..(index + 1) * horizons);
            for position in 0..horizons {
                let resolved = track.resolve(position, outcome.at, series.value);
                if let Some(open) = resolved {
                    self.sums[position].add(&open, series.value, 1.0 - self.nominal);
                }
                let steps = self.horizons[position].steps;
                let Some(interval) = own.map(|own| own[position]) else {
                    continue;
                };
                if interval.expected.is_finite() {
                    let seasonal_naive = track.seasonal_naive(steps, self.season);
                    track.open[position].push_back(Open {
                        due: outcome.at + steps as i64 * self.grid.step(),
                        interval,
                        last_value: series.value,
                        seasonal_naive,
                    });
                }
            }
        }
    }

    pub(super) fn scores(&self) -> Vec<HorizonScore> {
        let horizons = self.horizons.iter().zip(&self.sums);
        horizons
            .map(|(horizon, sums)| sums.score(horizon.span.to_string()))
            .collect()
    }
}

impl Track {
    fn push(&mut self, grid: Grid, at: Millis, value: f32, keep: usize) {
        let gap = usize::try_from(grid.index(at) - grid.index(self.end) - 1).unwrap_or(0);
        for _ in 0..gap.min(keep) {
            self.past.push_back(f32::NAN);
        }
        self.past.push_back(value);
        while self.past.len() > keep {
            self.past.pop_front();
        }
        self.end = at;
    }

    /// The forecast of this horizon that was for `at`; those whose time passed in a gap are dropped.
    fn resolve(&mut self, position: usize, at: Millis, value: f32) -> Option<Open> {
        let open = &mut self.open[position];
        while open.front().is_some_and(|first| first.due < at) {
            open.pop_front();
        }
        let due = open.front().is_some_and(|first| first.due == at);
        if due && value.is_finite() {
            open.pop_front()
        } else {
            None
        }
    }

    /// The value a whole number of seasons before the time `steps` ahead, the newest that is known.
    fn seasonal_naive(&self, steps: usize, season: usize) -> f32 {
        let seasons = steps.div_ceil(season);
        let back = seasons * season - steps;
        let newest = self.past.len() - 1;
        newest
            .checked_sub(back)
            .map_or(f32::NAN, |position| self.past[position])
    }
}

impl Sums {
    fn add(&mut self, open: &Open, actual: f32, alpha: f64) {
        let actual = f64::from(actual);
        let Interval {
            expected,
            lower,
            upper,
        } = open.interval;
        self.forecasts += 1;
        if lower.is_finite() && upper.is_finite() {
            let (lower, upper) = (f64::from(lower), f64::from(upper));
            self.inside += u64::from((lower..=upper).contains(&actual));
            let outside = (lower - actual).max(0.0) + (actual - upper).max(0.0);
            self.interval_score += upper - lower + 2.0 / alpha * outside;
        }
        if open.seasonal_naive.is_finite() && open.last_value.is_finite() {
            self.compared += 1;
            self.actual += actual.abs();
            self.error += (actual - f64::from(expected)).abs();
            self.seasonal_naive += (actual - f64::from(open.seasonal_naive)).abs();
            self.last_value += (actual - f64::from(open.last_value)).abs();
        }
    }

    fn score(&self, horizon: String) -> HorizonScore {
        let ratio = |sum: f64| (self.actual > 0.0).then(|| sum / self.actual);
        let share = |sum: f64| (self.forecasts > 0).then(|| sum / self.forecasts as f64);
        HorizonScore {
            horizon,
            forecasts: self.forecasts,
            error_ratio: ratio(self.error),
            seasonal_naive_error_ratio: ratio(self.seasonal_naive),
            last_value_error_ratio: ratio(self.last_value),
            skill_ratio: (self.seasonal_naive > 0.0)
                .then(|| 1.0 - self.error / self.seasonal_naive),
            coverage_ratio: share(self.inside as f64),
            interval_score: share(self.interval_score),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{baseline::Band, engine::SeriesOutcome, series::Span};

    fn outcome(at: Millis, value: f32, expected: f32) -> Outcome {
        let series = SeriesOutcome {
            labels: Labels::default(),
            value,
            band: Band::UNKNOWN,
            score: 0.0,
            active: false,
            severity: 0,
            direction: 0,
            began: false,
            since: None,
            worst: 0,
            reason: None,
        };
        let interval = Interval {
            expected,
            lower: expected - 1.0,
            upper: expected + 1.0,
        };
        Outcome {
            at,
            series: vec![series],
            forecasts: vec![interval],
            ..Outcome::default()
        }
    }

    #[test]
    fn every_forecast_is_checked_against_its_own_time() {
        let horizons = [Horizon {
            span: Span::seconds(2),
            steps: 2,
        }];
        let grid = Grid::new(1_000).unwrap();
        let mut scorer = Scorer::new(grid, horizons.into(), 3, 0.9);
        // A ramp of one a step: a forecast of the value now is two too low two steps later.
        for step in 0..10_i64 {
            scorer.observe(&outcome(step * 1_000, step as f32, step as f32));
        }
        let score = &scorer.scores()[0];
        assert_eq!(score.forecasts, 8);
        assert_eq!(score.coverage_ratio, Some(0.0));
        // Width 2, and one outside the band at 2 / 0.1.
        assert!((score.interval_score.unwrap() - 22.0).abs() < 1e-9);
        // Seasonal naive is three steps back, known from the second forecast on: three too low.
        assert!((score.skill_ratio.unwrap() - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_gap_leaves_the_forecast_unchecked() {
        let horizons = [Horizon {
            span: Span::seconds(1),
            steps: 1,
        }];
        let mut scorer = Scorer::new(Grid::new(1_000).unwrap(), horizons.into(), 1, 0.9);
        scorer.observe(&outcome(0, 1.0, 1.0));
        scorer.observe(&outcome(5_000, 1.0, 1.0));
        assert_eq!(scorer.scores()[0].forecasts, 0);
    }
}
