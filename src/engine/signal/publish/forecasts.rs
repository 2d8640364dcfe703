//! What is told of the forecasts of a signal beside the forecasts: who serves them, how versions compare, what failed.

use super::{
    super::{networks::Networks, shard::Shard},
    Publisher, Row,
};
use crate::{
    engine::families,
    expo::Chunk,
    forecast::{Contest, FailureReason, Interval, Link},
};

/// A forecaster, why it failed, and how often.
pub(super) type Failures = (&'static str, FailureReason, u64);

impl Publisher {
    /// For each of `forecasts` what serves it, and whether that is not what was chosen.
    pub(super) fn served(
        &self,
        rows: &[Row<'_>],
        forecasts: &[Interval],
        shards: &[Shard],
    ) -> Vec<(Link, bool)> {
        let horizons = self.plan.horizons.len();
        let of = |(place, interval): (usize, &Interval)| {
            let (shard, slot) = rows[place / horizons].place;
            let (shard, slot, h) = (shard as usize, slot as usize, place % horizons);
            let Some(own) = &shards[shard].forecasts else {
                return (Link::Absent, false);
            };
            let shown = interval.expected.is_finite();
            let link = if shown {
                own.link(slot, h)
            } else {
                Link::Absent
            };
            (link, own.has_fallen_back(slot, h))
        };
        forecasts.iter().enumerate().map(of).collect()
    }

    /// How the versions of the trained models compare, over these series.
    pub(super) fn contests(&self, rows: &[Row<'_>], shards: &[Shard]) -> Vec<Contest> {
        let mut tallies = Vec::new();
        for row in rows {
            let (shard, slot) = (row.place.0 as usize, row.place.1 as usize);
            if let Some(forecasts) = &shards[shard].forecasts {
                forecasts.tally(slot, &mut tallies);
            }
        }
        let spans = || self.plan.horizons.iter().map(|horizon| horizon.span);
        let contests = tallies.into_iter();
        let contests = contests.map(|tally| tally.contest(self.plan.grid, spans()));
        contests.collect()
    }

    pub(super) fn about_chain(
        &self,
        served: &[(Link, bool)],
        contests: &[Contest],
        networks: &Networks,
    ) -> Vec<Chunk> {
        let (name, replica) = (&self.plan.name, self.plan.replica.as_deref());
        let mut chunks = families::links(name, replica, &self.plan.horizons, served);
        chunks.push(families::breaker_states(name, replica, networks.states()));
        chunks.extend(families::contests(name, replica, contests));
        chunks
    }
}

/// Adds to the count of failures of this forecaster.
pub(super) fn count_failure(failures: &mut Vec<Failures>, (kind, reason, times): Failures) {
    let same = |known: &&mut Failures| (known.0, known.1) == (kind, reason);
    match failures.iter_mut().find(same) {
        Some((.., count)) => *count += times,
        None => failures.push((kind, reason, times)),
    }
}

/// The forecasters in force for any series and horizon, sorted, each with its versions where it has some of its own.
pub(super) fn models_in_force(
    rows: &[Row<'_>],
    shards: &[Shard],
    horizons: usize,
) -> Vec<(&'static str, Vec<String>)> {
    let mut models: Vec<(&'static str, Vec<String>)> = Vec::new();
    for row in rows {
        let (shard, slot) = (row.place.0 as usize, row.place.1 as usize);
        let Some(forecasts) = &shards[shard].forecasts else {
            continue;
        };
        for model in (0..horizons).filter_map(|horizon| forecasts.model(slot, horizon)) {
            if !models.iter().any(|(known, _)| *known == model) {
                models.push((model, forecasts.versions(model).collect()));
            }
        }
    }
    models.sort_unstable();
    models
}
