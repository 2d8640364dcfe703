//! Knows the future exactly: what nobody can do better with the same delays.

use super::{Metric, Past, Policy, Size, publish::Published};
use crate::simulate::{Demand, Parameters};

/// Asks for what the greatest minute needs until what is asked for next would be ready.
#[derive(Debug)]
pub(in crate::simulate) struct Oracle {
    wanted: Vec<u32>,
    published: Published,
}

impl Oracle {
    pub(in crate::simulate) fn new(demand: &Demand, parameters: &Parameters) -> Self {
        let minute = parameters.ticks(crate::series::Span::minutes(1));
        let lead = parameters.ticks(parameters.lead) as f64 * (1.0 + parameters.jitter);
        let pipeline = [parameters.publish, parameters.poll, parameters.sync];
        let reach = lead.ceil() as usize
            + pipeline
                .map(|span| parameters.ticks(span))
                .iter()
                .sum::<usize>()
            + 1;
        let length = demand.ticks.len();
        let minutes: Vec<f64> = (0..length.div_ceil(minute))
            .map(|index| {
                demand
                    .mean(index * minute, (index + 1) * minute)
                    .unwrap_or(0.0)
            })
            .collect();
        let greatest = |tick: usize| {
            let last = ((tick + reach) / minute).min(minutes.len() - 1);
            minutes[tick / minute..=last]
                .iter()
                .copied()
                .fold(0.0, f64::max)
        };
        let wanted = (0..length).map(|tick| (greatest(tick) - 1e-9).ceil().max(1.0) as u32);
        Self {
            wanted: wanted.collect(),
            published: Published::new(parameters),
        }
    }
}

impl Policy for Oracle {
    fn metrics(&mut self, tick: usize, _past: Past<'_>, size: Size, out: &mut Vec<Metric>) {
        let wanted = self.wanted.get(tick).copied();
        out.push(self.published.step(tick, size, wanted));
    }
}
