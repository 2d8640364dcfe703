//! The demand of a user's own last days.

use crate::{
    cli::Failure,
    engine::{Clock, scaling::the_one},
    series::{Millis, Share},
    simulate::{Trace, traces},
    source::{
        RangeRequest, Source,
        prometheus::{PrometheusSource, Settings},
    },
    telemetry::Telemetry,
};
use std::collections::BTreeMap;

const MINUTE: Millis = 60_000;
const DAY: Millis = 86_400_000;
/// Asked for at once: servers refuse more than 11,000 points of a series.
const CHUNK_STEPS: Millis = 10_080;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// PromQL.
    pub(super) query: &'a str,
    /// Labels of the one series that is meant.
    pub(super) labels: &'a BTreeMap<String, String>,
    /// Series that the answer may have.
    pub(super) most: usize,
    /// How many days back.
    pub(super) days: u32,
    /// Milliseconds between samples.
    pub(super) step: Millis,
}

/// The one series of `query` over the last `days`, at a minute's step.
pub(super) fn fetch(url: &str, query: &str, days: u32) -> Result<Trace, Failure> {
    let source =
        PrometheusSource::build("simulate", &Settings::new(url), Telemetry::default().source)
            .map_err(|problem| Failure::Usage(format!("--prometheus.url: {problem}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let asked = Asked {
        query,
        labels: &BTreeMap::new(),
        most: 2,
        days,
        step: MINUTE,
    };
    let rows = runtime
        .block_on(rows(&source, &asked))
        .map_err(|wrong| match wrong {
            Wrong::Series(_) => {
                Failure::Usage("--query: gives more than one series; sum them up".to_owned())
            }
            Wrong::Source(problem) => Failure::Failed(problem),
        })?;
    traces::of_rows("demand".to_owned(), rows).map_err(|problem| {
        Failure::Failed(format!(
            "--query: {query}: too few samples in the last {days} days: {problem}"
        ))
    })
}

/// Why there are no samples.
#[derive(Debug)]
pub(super) enum Wrong {
    /// So many series are meant, and not one.
    Series(usize),
    /// The source did not answer.
    Source(String),
}

/// The samples of the one series that is meant, oldest first.
pub(super) async fn rows(
    source: &dyn Source,
    asked: &Asked<'_>,
) -> Result<Vec<(Millis, f32)>, Wrong> {
    let step = asked.step;
    let to = Clock::System.now().div_euclid(step) * step;
    let from = (to - i64::from(asked.days) * DAY).div_euclid(step) * step;
    let mut rows = Vec::new();
    let mut start = from;
    while start < to {
        let end = (start + (CHUNK_STEPS - 1) * step).min(to);
        let request = RangeRequest {
            query: asked.query.to_owned(),
            start,
            end,
            step,
            max_series: asked.most,
            share: Share::ALL,
        };
        let answer = source.range(request).await;
        let matrix = answer.map_err(|error| Wrong::Source(error.to_string()))?;
        let all = matrix.series.iter().map(|one| &one.labels);
        match the_one(asked.labels, all) {
            Ok(place) => {
                let samples = matrix.series[place].samples.iter();
                rows.extend(samples.map(|&(at, value)| (at, value as f32)));
            }
            // In that part of the past there was none.
            Err(0) => {}
            Err(count) => return Err(Wrong::Series(count)),
        }
        start = end + step;
    }
    Ok(rows)
}
