//! How much a query would give: for `check --against-source`.

use super::PrometheusSource;
use crate::{
    series::{Grid, Millis, Share, Span},
    source::{Cause, Matrix, RangeRequest, Source, SourceError},
};

/// History is looked at in about so many places: at 21 days, one every hour.
const PLACES: usize = 500;

/// A source that cannot count sends the series themselves: no more than these are taken in.
const MOST_SERIES: usize = 100_000;

/// What a query would give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Series it has now.
    pub series: usize,
    /// The oldest time with a sample, to about a 500th of the history asked for; `None` where there
    /// was none.
    pub oldest: Option<Millis>,
}

impl PrometheusSource {
    /// Asks how many series `query` has at `now` and how far back, at most `history`, it reaches. The
    /// source counts: only numbers travel.
    ///
    /// # Errors
    /// As [`Source::range`], and where `step` is not positive.
    pub async fn probe(
        &self,
        query: &str,
        now: Millis,
        history: Span,
        step: Span,
    ) -> Result<Probe, SourceError> {
        let grid = Grid::new(step.as_millis()).ok_or_else(|| SourceError {
            cause: Cause::Query,
            message: String::from("step must be longer than 0s"),
        })?;
        // The line ends keep a comment in the query from swallowing the bracket.
        let count = format!("count(\n{query}\n)");
        match self.probe_as(&count, now, history, grid, 1).await {
            Ok((newest, oldest)) => Ok(Probe {
                series: last(&newest),
                oldest,
            }),
            // A source that cannot count, or a query that is wrong in itself: the query says which.
            Err(error) if error.cause == Cause::Query => {
                let (newest, oldest) = self
                    .probe_as(query, now, history, grid, MOST_SERIES)
                    .await?;
                Ok(Probe {
                    series: newest.series.len(),
                    oldest,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// The newest answer, and the oldest time with a sample.
    async fn probe_as(
        &self,
        query: &str,
        now: Millis,
        history: Span,
        grid: Grid,
        max_series: usize,
    ) -> Result<(Matrix, Option<Millis>), SourceError> {
        let at = grid.floor(now);
        let newest = self.instant(query, at, max_series).await?;
        let coarse = grid.steps_up(history.as_millis()).div_ceil(PLACES).max(1);
        let step = grid.step() * coarse as Millis;
        let end = at.div_euclid(step) * step;
        let start = (at - history.as_millis()).div_euclid(step) * step + step;
        let request = RangeRequest {
            query: query.to_owned(),
            start: start.min(end),
            end,
            step,
            max_series,
            share: Share::ALL,
        };
        let past = self.range(request).await?;
        let oldest = [first(&past), first(&newest)];
        let oldest = oldest.into_iter().flatten().min();
        Ok((newest, oldest))
    }
}

fn first(matrix: &Matrix) -> Option<Millis> {
    let firsts = matrix
        .series
        .iter()
        .filter_map(|series| series.samples.first());
    firsts.map(|sample| sample.0).min()
}

fn last(matrix: &Matrix) -> usize {
    let newest = matrix
        .series
        .first()
        .and_then(|series| series.samples.last());
    newest.map_or(0, |sample| sample.1.max(0.0) as usize)
}
