//! What is told of the forecasts of a signal beside the forecasts: who serves them, how versions compare, what failed.

use super::{
    super::{networks::Networks, shard::Shard},
    Publisher, Row, Sets,
};
use crate::{
    engine::families,
    expo::{
        self, Chunk, Kind, RenderedLabels,
        names::{self, ForecastFamily},
    },
    forecast::{Contest, FailureReason, Interval, Link, Trust},
};
use std::sync::Arc;

/// A forecaster, why it failed, and how often.
pub(super) type Failures = (&'static str, FailureReason, u64);

/// The labels a series is published with at each horizon, and what.
type Published<'a> = (&'a [Arc<RenderedLabels>], Vec<Interval>);

impl Publisher {
    /// The forecasts of a series that were read in this step.
    pub(super) fn intervals(&self, row: &Row<'_>) -> Vec<Interval> {
        let width = self.plan.horizons.len();
        read(&row.columns.intervals, row.position, width)
    }

    /// The greatest values within windows.
    pub(super) fn maxima(&self, row: &Row<'_>) -> Vec<Interval> {
        let width = self.plan.windows.len();
        read(&row.columns.maxima, row.position, width)
    }

    /// The quantiles of those that somebody scales by, windows and then levels inner.
    pub(super) fn tails(&self, row: &Row<'_>) -> Vec<f32> {
        let width = self.plan.windows.len() * self.plan.levels.len();
        let known = &row.columns.tails;
        let own = known.get(row.position * width..(row.position + 1) * width);
        own.map_or_else(|| vec![f32::NAN; width], <[f32]>::to_vec)
    }

    /// How far those can be trusted, by window; nothing where nobody scales by them.
    pub(super) fn tail_trust(&self, row: &Row<'_>, shards: &[Shard]) -> Vec<Option<Trust>> {
        if self.plan.levels.is_empty() {
            return Vec::new();
        }
        let (shard, slot) = (row.place.0 as usize, row.place.1 as usize);
        let forecasts = shards[shard].forecasts.as_ref();
        let windows = 0..self.plan.windows.len();
        windows
            .map(|window| forecasts?.trust_of_maximum(slot, window))
            .collect()
    }

    /// The families named after the signal.
    pub(super) fn predicted(&self, rows: &[(&Row<'_>, &Sets)]) -> Vec<Chunk> {
        let at_horizons = rows.iter().map(|(row, sets)| {
            let now = row.baseline(&self.plan);
            let intervals = std::iter::once(now).chain(self.intervals(row));
            (sets.predicted.as_slice(), intervals.collect())
        });
        let in_windows = rows.iter().map(|(row, sets)| {
            let maxima = self.maxima(row).into_iter().zip(&self.plan.shown_windows);
            let shown = maxima.filter(|(_, shown)| **shown);
            let shown = shown.map(|(interval, _)| interval);
            (sets.maxima.as_slice(), shown.collect())
        });
        let name = &self.plan.name;
        let mut chunks = chunks(
            names::forecast_families(name),
            &at_horizons.collect::<Vec<_>>(),
        );
        if self.plan.shown_windows.contains(&true) {
            let in_windows: Vec<_> = in_windows.collect();
            chunks.extend(self::chunks(names::maximum_families(name), &in_windows));
        }
        chunks
    }

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

/// The row of a series in a column of intervals.
fn read(column: &[Interval], position: usize, width: usize) -> Vec<Interval> {
    match column.get(position * width..(position + 1) * width) {
        Some(intervals) => intervals.to_vec(),
        None => vec![Interval::ABSENT; width],
    }
}

/// Expected values, lower and upper ends.
fn chunks(families: [ForecastFamily; 3], published: &[Published<'_>]) -> Vec<Chunk> {
    type Field = fn(&Interval) -> f32;
    let fields: [Field; 3] = [
        |interval| interval.expected,
        |interval| interval.lower,
        |interval| interval.upper,
    ];
    let chunk = |(family, field): (ForecastFamily, Field)| {
        let of = published
            .iter()
            .flat_map(|(labels, own)| labels.iter().zip(own));
        let samples =
            of.map(|(labels, interval)| (Arc::clone(labels), expo::shortest(field(interval))));
        let (name, help) = (family.name.into(), family.help.into());
        Chunk::new(name, help, Kind::Gauge, samples.collect())
    };
    families.into_iter().zip(fields).map(chunk).collect()
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
