//! As predictive-horizontal-pod-autoscaler does it: additive Holt-Winters on the *replicas* that the HPA calculated, one step ahead, and the greater of that
//! and what the HPA says.

use super::{Hpa, Metric, Past, Policy, Size};
use crate::series::Span;
use crate::simulate::Parameters;

/// Constants of the smoothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::simulate) struct Smoothing {
    pub(in crate::simulate) level: f64,
    pub(in crate::simulate) trend: f64,
    pub(in crate::simulate) season: f64,
}

/// Holt-Winters on replicas, with a season of a day.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Phpa {
    hpa: Hpa,
    smoothing: Smoothing,
    /// Ticks between replicas that are remembered: one is one step ahead, as long as a replica takes to be ready.
    stride: usize,
    season: usize,
    /// The first two seasons, from which it starts.
    first: Vec<f64>,
    state: Option<State>,
}

#[derive(Debug, Clone)]
struct State {
    level: f64,
    trend: f64,
    seasonal: Vec<f64>,
    next: usize,
}

impl Phpa {
    pub(in crate::simulate) fn new(
        hpa: Hpa,
        smoothing: Smoothing,
        parameters: &Parameters,
    ) -> Self {
        let stride = parameters.ticks(Span::minutes(5));
        Self {
            hpa,
            smoothing,
            stride,
            season: parameters.ticks(Span::days(1)) / stride,
            first: Vec::new(),
            state: None,
        }
    }

    /// Takes in the replicas of a step.
    fn learn(&mut self, replicas: f64) {
        let Some(state) = &mut self.state else {
            self.first.push(replicas);
            if self.first.len() == 2 * self.season {
                self.state = Some(State::start(&self.first, self.season));
                self.first = Vec::new();
            }
            return;
        };
        state.step(replicas, self.smoothing);
    }

    fn predicted(&self) -> Option<f64> {
        let state = self.state.as_ref()?;
        let next = state.level + state.trend + state.seasonal[state.next];
        Some(next.ceil().max(0.0))
    }
}

impl State {
    fn start(first: &[f64], season: usize) -> Self {
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (one, other) = first.split_at(season);
        let means = (mean(one), mean(other));
        let seasonal = one
            .iter()
            .zip(other)
            .map(|(one, other)| (one - means.0 + other - means.1) / 2.0);
        Self {
            level: means.1,
            trend: (means.1 - means.0) / season as f64,
            seasonal: seasonal.collect(),
            next: 0,
        }
    }

    fn step(&mut self, value: f64, by: Smoothing) {
        let seasonal = self.seasonal[self.next];
        let before = self.level + self.trend;
        let level = by.level * (value - seasonal) + (1.0 - by.level) * before;
        self.trend = by.trend * (level - self.level) + (1.0 - by.trend) * self.trend;
        self.seasonal[self.next] = by.season * (value - before) + (1.0 - by.season) * seasonal;
        self.level = level;
        self.next = (self.next + 1) % self.seasonal.len();
    }
}

impl Policy for Phpa {
    fn metrics(&mut self, tick: usize, past: Past<'_>, _size: Size, out: &mut Vec<Metric>) {
        let metric = self.hpa.metric(past);
        if tick.is_multiple_of(self.stride)
            && let Metric::Average { sum, target } = metric
        {
            // What the HPA calculates is remembered: replicas that were there because of a prediction would feed on themselves.
            self.learn((sum / target).ceil());
        }
        out.push(metric);
        out.extend(
            self.predicted()
                .map(|sum| Metric::Average { sum, target: 1.0 }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_season_of_replicas_is_carried_on() {
        let hpa = Hpa {
            target: 0.8,
            window: 4,
        };
        let smoothing = Smoothing {
            level: 0.1,
            trend: 0.01,
            season: 0.1,
        };
        let mut phpa = Phpa::new(hpa, smoothing, &Parameters::built_in().unwrap());
        assert_eq!(phpa.season, 288);
        let of = |step: usize| if step % 288 < 100 { 10.0 } else { 4.0 };
        for step in 0..288 * 5 {
            phpa.learn(of(step));
            if step > 288 * 3 {
                let ahead = phpa.predicted().unwrap();
                assert!((ahead - of(step + 1)).abs() <= 1.0, "{step}: {ahead}");
            }
        }
    }
}
