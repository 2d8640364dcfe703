//! What comes by itself, scraped or pushed, as a source that signals ask like any other.
//!
//! Who scrapes or is pushed to puts samples into the [`Hub`]; [`LocalSource`] answers from it; [`disk`] keeps it over a restart.

pub mod disk;
mod hub;
mod routes;
mod taken;
#[cfg(test)]
mod tests;

pub use hub::{Hub, Subscription, joined};
pub use routes::{Route, SeriesKey};
pub use taken::Taken;

use super::{
    Answer, BreakerState, Cause, Matrix, RangeRequest, SeriesSamples, Source, SourceError, Table,
    TableRequest,
};
use crate::series::Millis;
use std::{future::ready, sync::Arc};
use tokio::sync::watch;

/// A hub as a source. Answers at once, from memory.
#[derive(Debug)]
pub struct LocalSource {
    name: String,
    hub: Arc<Hub>,
}

impl LocalSource {
    /// A source with the name `name` that answers from `hub`.
    pub fn new(name: &str, hub: Arc<Hub>) -> Self {
        Self {
            name: name.to_owned(),
            hub,
        }
    }

    fn answer(&self, request: &RangeRequest) -> Result<Matrix, SourceError> {
        let aligned = request.start % request.step.max(1) == 0;
        if aligned && let Some(matrix) = self.range_of(request) {
            return Ok(matrix);
        }
        let instant = (request.start == request.end).then(|| self.instant_of(request));
        instant.flatten().ok_or_else(|| SourceError {
            cause: Cause::Query,
            message: format!(
                "source {:?} has no PromQL engine behind it: it knows only what its signals select, and no signal selects {}",
                self.name, request.query
            ),
        })
    }

    fn range_of(&self, request: &RangeRequest) -> Option<Matrix> {
        self.hub.with(
            &request.query,
            (Some(request.step), &request.share),
            |recorder| {
                let mut series = Vec::new();
                // Another signal may select the same and carry more of it.
                let (span, share) = ((request.start, request.end), &request.share);
                let left = recorder.range(span, (request.max_series, share), |labels, samples| {
                    series.push(SeriesSamples {
                        labels: labels.clone(),
                        samples,
                    });
                });
                Matrix {
                    series,
                    dropped: left.over,
                    foreign: left.foreign,
                    ..Matrix::default()
                }
            },
        )
    }

    fn table_of(&self, request: &TableRequest) -> Option<Table> {
        let TableRequest { range, known } = request;
        let (start, end, step) = (range.start, range.end, range.step);
        if step <= 0 || start % step != 0 || end < start {
            return None;
        }
        self.hub.with_rows(&range.query, step, |recorder, key| {
            // First: a row is there as soon as its series is, but it is computed here that there is a value.
            let limits = (range.max_series, &range.share);
            let (values, left) = recorder.columns((start, end), limits);
            let rows = recorder.rows();
            let known = known.filter(|known| known.key == key && known.rows <= rows);
            let first_label = known.map_or(0, |known| known.rows);
            Table {
                key,
                rows,
                first_label,
                labels: recorder.labels_from(first_label).cloned().collect(),
                start,
                step,
                values,
                dropped: left.over,
                foreign: left.foreign,
            }
        })
    }

    /// What there is at one time, of whichever grid.
    fn instant_of(&self, request: &RangeRequest) -> Option<Matrix> {
        let at = request.start;
        let all = self
            .hub
            .with(&request.query, (None, &request.share), |recorder| {
                recorder.instant(at)
            })?;
        // Those that came first are kept.
        let all: Vec<_> = all
            .into_iter()
            .filter(|(labels, _)| request.share.has(labels))
            .collect();
        let dropped = all.len().saturating_sub(request.max_series);
        let mut kept = all;
        kept.truncate(request.max_series);
        kept.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let series = kept.into_iter().map(|(labels, value)| SeriesSamples {
            labels,
            samples: vec![(at, value)],
        });
        Some(Matrix {
            series: series.collect(),
            dropped,
            ..Matrix::default()
        })
    }
}

impl Source for LocalSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn range(&self, request: RangeRequest) -> Answer<'_> {
        Box::pin(ready(self.answer(&request)))
    }

    fn table(&self, request: &TableRequest) -> Option<Table> {
        self.table_of(request)
    }

    fn breaker(&self) -> BreakerState {
        BreakerState::Closed
    }

    fn arrivals(&self, query: &str, step: Millis) -> Option<watch::Receiver<Millis>> {
        self.hub.arrivals(query, step)
    }
}
