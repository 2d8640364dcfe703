//! Seasonal naive with our policy: the greatest minute of the same window a day before, and the quantile of what that fell short by.

use super::{Metric, Past, Policy, Size, publish::Published};
use crate::{
    series::Span,
    simulate::{Parameters, release::Release},
};

/// Misses of so many days are remembered.
const DAYS: usize = 7;

/// Seasonal naive with our policy.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Naive {
    level: f64,
    minute: usize,
    /// Minutes from the newest known one until what is asked for would be ready.
    reach: usize,
    day: usize,
    rate: usize,
    minutes: Vec<f64>,
    /// What the greatest minute was above that of a day before, oldest first.
    misses: Vec<f64>,
    /// Their quantile; worked out anew every hour.
    quantile: Option<f64>,
    release: Release,
    published: Published,
}

impl Naive {
    pub(in crate::simulate) fn new(level: f64, parameters: &Parameters) -> Self {
        let minute = parameters.ticks(Span::minutes(1));
        Self {
            level,
            minute,
            reach: parameters.reach().div_ceil(minute) + 1,
            day: parameters.ticks(Span::days(1)) / minute,
            rate: minute,
            minutes: Vec::new(),
            misses: Vec::new(),
            quantile: None,
            release: Release::new(parameters),
            published: Published::new(parameters),
        }
    }

    fn learn(&mut self, past: Past<'_>) {
        while (self.minutes.len() + 1) * self.minute <= past.end() {
            let from = self.minutes.len() * self.minute;
            self.minutes
                .push(past.mean(from, from + self.minute).unwrap_or(f64::NAN));
            let known = self.minutes.len();
            if known >= self.day + self.reach {
                let from = known - self.reach;
                self.misses.push(
                    greatest(&self.minutes[from..])
                        - greatest(&self.minutes[from - self.day..known - self.day]),
                );
            }
            if known.is_multiple_of(60) {
                self.quantile = self.quantile_of_misses();
            }
        }
    }

    fn quantile_of_misses(&self) -> Option<f64> {
        let from = self.misses.len().saturating_sub(DAYS * self.day);
        let mut misses: Vec<f64> = self.misses[from..]
            .iter()
            .copied()
            .filter(|miss| miss.is_finite())
            .collect();
        let rank = ((misses.len() + 1) as f64 * self.level).ceil() as usize;
        if misses.len() < self.day / 4 || rank > misses.len() {
            return None;
        }
        Some(*misses.select_nth_unstable_by(rank - 1, f64::total_cmp).1)
    }

    fn predicted(&self) -> Option<f64> {
        let from = self.minutes.len().checked_sub(self.day)?;
        let expected = greatest(self.minutes.get(from..from + self.reach)?);
        let predicted = expected + self.quantile?;
        predicted.is_finite().then_some(predicted)
    }
}

fn greatest(minutes: &[f64]) -> f64 {
    minutes.iter().copied().fold(f64::NAN, f64::max)
}

impl Policy for Naive {
    fn metrics(&mut self, tick: usize, past: Past<'_>, size: Size, out: &mut Vec<Metric>) {
        self.learn(past);
        let wanted = self
            .release
            .step(tick, past.rate(self.rate), self.predicted());
        out.push(self.published.step(tick, size, wanted));
    }
}
