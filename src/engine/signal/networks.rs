//! What the shards found of the networks of a signal, together, after each step.

use super::shard::Shard;
use crate::{
    forecast::{Asked, Breaker},
    series::Grid,
};

/// The circuit breakers of the networks of a signal.
#[derive(Debug, Default)]
pub(super) struct Networks {
    /// By network: what it is called, and whether it is asked.
    breakers: Vec<(String, Breaker)>,
}

impl Networks {
    /// Takes in how the networks did at grid time number `index`, and tells the shards what follows.
    pub(super) fn settle(&mut self, index: i64, grid: Grid, shards: &mut [Shard]) {
        let asked = self.asked(grid, shards);
        for ((_, breaker), asked) in self.breakers.iter_mut().zip(&asked) {
            breaker.step(index, *asked);
        }
        for forecasts in shards
            .iter_mut()
            .filter_map(|shard| shard.forecasts.as_mut())
        {
            let verdicts = self.breakers.iter().zip(&asked);
            let verdicts = verdicts.map(|((_, one), asked)| (asked.answered > 0, !one.asks()));
            forecasts.settle(verdicts);
        }
    }

    /// What each network is called, and the state of its breaker.
    pub(super) fn states(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let states = self.breakers.iter();
        states.map(|(name, breaker)| (name.as_str(), breaker.state()))
    }

    /// By network, all shards together.
    fn asked(&mut self, grid: Grid, shards: &[Shard]) -> Vec<Asked> {
        let mut asked = Vec::new();
        for forecasts in shards.iter().filter_map(|shard| shard.forecasts.as_ref()) {
            for (place, (name, own)) in forecasts.networks().enumerate() {
                if place == asked.len() {
                    asked.push(Asked::default());
                }
                if place == self.breakers.len() {
                    self.breakers.push((name, Breaker::new(grid)));
                }
                asked[place].add(own);
            }
        }
        asked
    }
}
