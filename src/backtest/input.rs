//! Where a backtest reads from: a source with history, or samples that are already here.

use crate::{
    engine::SignalSettings,
    series::{Millis, Share},
    source::{Matrix, RangeRequest, SeriesSamples, Source},
};
use std::{collections::BTreeMap, sync::Arc};

/// Where a backtest reads from.
#[derive(Debug)]
pub enum Input {
    /// Sources by name; a signal without one asks the only one.
    Sources(BTreeMap<String, Arc<dyn Source>>),
    /// Samples by signal, such as those of a file.
    Samples(BTreeMap<String, Matrix>),
}

impl Input {
    /// Oldest and newest sample of a signal, where that is known without asking.
    pub fn span(&self, settings: &SignalSettings) -> Option<(Millis, Millis)> {
        let Self::Samples(samples) = self else {
            return None;
        };
        let series = &samples.get(&settings.name)?.series;
        let oldest = series
            .iter()
            .filter_map(|series| series.samples.first())
            .map(|one| one.0);
        let newest = series
            .iter()
            .filter_map(|series| series.samples.last())
            .map(|one| one.0);
        Some((oldest.min()?, newest.max()?))
    }

    /// The samples of a signal from `from` to `to`, both included.
    ///
    /// # Errors
    /// A signal whose source is not there, and what the source says.
    pub async fn fetch(
        &self,
        settings: &SignalSettings,
        from: Millis,
        to: Millis,
    ) -> Result<Matrix, String> {
        match self {
            Self::Samples(samples) => {
                let matrix = samples.get(&settings.name);
                Ok(matrix
                    .map(|matrix| between(matrix, from, to))
                    .unwrap_or_default())
            }
            Self::Sources(sources) => {
                let source = match &settings.source {
                    Some(name) => sources.get(name),
                    None => sources.values().next(),
                };
                let source = source.ok_or("the source of this signal is not configured")?;
                let request = RangeRequest {
                    query: settings.query.clone(),
                    start: from,
                    end: to,
                    step: settings.step.as_millis(),
                    max_series: settings.max_series,
                    share: Share::ALL,
                };
                source
                    .range(request)
                    .await
                    .map_err(|error| error.to_string())
            }
        }
    }
}

/// The samples at exactly `at`.
pub(crate) fn only(matrix: &Matrix, at: Millis) -> Matrix {
    between(matrix, at, at)
}

fn between(matrix: &Matrix, from: Millis, to: Millis) -> Matrix {
    let series = matrix.series.iter().filter_map(|series| {
        let begin = series.samples.partition_point(|sample| sample.0 < from);
        let end = series.samples.partition_point(|sample| sample.0 <= to);
        let samples = series
            .samples
            .get(begin..end)
            .filter(|samples| !samples.is_empty())?;
        Some(SeriesSamples {
            labels: series.labels.clone(),
            samples: samples.to_vec(),
        })
    });
    Matrix {
        series: series.collect(),
        ..Matrix::default()
    }
}
