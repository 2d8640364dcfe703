//! What the queue in front of a workload does.

use crate::series::{Millis, Span};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The newest readings of so long are looked at.
const LOOKED_AT: Millis = 600_000;
/// No two of them closer than this.
const APART: Millis = 10_000;
/// A trend needs so many.
const LEAST: usize = 5;
/// Slower changes than this share of the length per minute are none.
const SLOW: f64 = 0.02;
/// Quicker ones are fast.
const FAST: f64 = 0.1;
/// Share of the movement that a straight line must explain.
const LEAST_FIT: f64 = 0.5;

/// The queue in front of a workload, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueSettings {
    /// A query of its length, one value.
    pub query: String,
    /// A reading counts for so long.
    #[serde(default = "default_age")]
    pub max_age: Span,
    /// What waits shall be done within this time: it counts as demand, where the demand is a rate per second of the
    /// same things. Without it the queue is only described.
    #[serde(default)]
    pub drain_within: Option<Span>,
}

const fn default_age() -> Span {
    Span::minutes(2)
}

impl QueueSettings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let allowed = Span::seconds(1)..=Span::days(1);
        for (field, span) in [
            ("max_age", Some(self.max_age)),
            ("drain_within", self.drain_within),
        ] {
            if let Some(span) = span.filter(|span| !allowed.contains(span)) {
                let text = format!("{span} is not within 1s to 24h");
                problems.push((field.to_owned(), text));
            }
        }
        problems
    }
}

/// Where a queue is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// By more than a tenth of its length in a minute.
    GrowingFast,
    /// By more than a fiftieth of its length in a minute.
    GrowingSlow,
    /// It does not move, or not in one direction.
    Stable,
    /// It gets shorter.
    Shrinking,
}

impl Trend {
    /// As in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GrowingFast => "growing_fast",
            Self::GrowingSlow => "growing_slow",
            Self::Stable => "stable",
            Self::Shrinking => "shrinking",
        }
    }
}

/// What the queue in front of a workload does, over the last ten minutes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Its length now.
    pub length: f64,
    /// Where it is going.
    pub trend: Trend,
    /// By how much it grows in a minute: the slope of a straight line.
    pub growth_per_minute: f64,
    /// Share of its movement that the line explains, 0 to 1.
    pub fit: f64,
    /// Standard deviation around the line, as a share of the mean length.
    pub volatility: f64,
    /// Until it is empty at this pace, milliseconds; `None` unless it shrinks.
    pub drain: Option<Millis>,
}

/// The newest readings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Readings {
    readings: VecDeque<(Millis, f32)>,
}

impl Readings {
    /// The length at a time, finite and not negative.
    pub(super) fn note(&mut self, at: Millis, length: f64) {
        if self
            .readings
            .back()
            .is_some_and(|(last, _)| at < last + APART)
        {
            return;
        }
        self.readings.push_back((at, length as f32));
        while self
            .readings
            .front()
            .is_some_and(|(first, _)| *first < at - LOOKED_AT)
        {
            self.readings.pop_front();
        }
    }

    /// What the queue does, of length `length` now.
    pub(super) fn queue(&self, length: f64) -> Queue {
        let line = Line::through(&self.readings);
        let growth = line.slope * 60_000.0;
        let share = growth / line.mean.max(1.0);
        let trend = match share {
            _ if self.readings.len() < LEAST || line.fit < LEAST_FIT => Trend::Stable,
            share if share > FAST => Trend::GrowingFast,
            share if share > SLOW => Trend::GrowingSlow,
            share if share < -SLOW => Trend::Shrinking,
            _ => Trend::Stable,
        };
        let drain = (trend == Trend::Shrinking).then(|| (length / -line.slope) as Millis);
        Queue {
            length,
            trend,
            growth_per_minute: growth,
            fit: line.fit,
            volatility: line.deviation / line.mean.max(1.0),
            drain,
        }
    }

    /// The clock was set back: slopes across that would mean nothing.
    pub(super) fn rewind(&mut self) {
        self.readings.clear();
    }
}

/// Least squares over time in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    slope: f64,
    mean: f64,
    fit: f64,
    deviation: f64,
}

impl Line {
    fn through(readings: &VecDeque<(Millis, f32)>) -> Self {
        let Some((first, _)) = readings.front() else {
            return Self::default();
        };
        let count = readings.len() as f64;
        let points = || {
            readings
                .iter()
                .map(|(at, length)| ((at - first) as f64, f64::from(*length)))
        };
        let x_mean = points().map(|(x, _)| x).sum::<f64>() / count;
        let mean = points().map(|(_, y)| y).sum::<f64>() / count;
        let xx: f64 = points().map(|(x, _)| (x - x_mean).powi(2)).sum();
        let xy: f64 = points().map(|(x, y)| (x - x_mean) * (y - mean)).sum();
        let yy: f64 = points().map(|(_, y)| (y - mean).powi(2)).sum();
        if xx <= 0.0 {
            return Self {
                mean,
                ..Self::default()
            };
        }
        let slope = xy / xx;
        let rest = (yy - slope * xy).max(0.0);
        let fit = if yy > 0.0 { 1.0 - rest / yy } else { 1.0 };
        let deviation = (rest / count).sqrt();
        Self {
            slope,
            mean,
            fit,
            deviation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(course: fn(f64) -> f64) -> Queue {
        let mut readings = Readings::default();
        let mut last = 0.0;
        for step in 0..80 {
            let minutes = f64::from(step) / 4.0;
            last = course(minutes);
            readings.note(i64::from(step) * 15_000, last);
        }
        assert!(readings.readings.len() <= 41);
        readings.queue(last)
    }

    #[test]
    fn says_where_it_is_going() {
        let fast = queue(|minutes| 10.0 + (minutes - 9.0).max(0.0) * 40.0);
        assert_eq!(fast.trend, Trend::GrowingFast);
        assert!((fast.growth_per_minute - 40.0).abs() < 0.5 && fast.drain.is_none());
        let slow = queue(|minutes| 1_000.0 + 50.0 * minutes);
        assert_eq!(slow.trend, Trend::GrowingSlow);
        assert!(slow.fit > 0.99 && slow.volatility < 1e-6);
        let shrinking = queue(|minutes| 3_000.0 - 100.0 * minutes);
        assert_eq!(shrinking.trend, Trend::Shrinking);
        // 1,025 are left at 100 a minute.
        assert_eq!(shrinking.drain.unwrap() / 1_000, 615);
        let noisy = queue(|minutes| 500.0 + 300.0 * (minutes * 40.0).sin());
        assert_eq!(noisy.trend, Trend::Stable);
        assert!(noisy.volatility > 0.3);
        assert_eq!(queue(|_| 0.0).trend, Trend::Stable);
        assert_eq!(Readings::default().queue(7.0).trend, Trend::Stable);
    }
}
