//! The demand of a user's own last days.

use crate::{
    cli::Failure,
    engine::Clock,
    simulate::{Trace, traces},
    source::{
        RangeRequest, Source,
        prometheus::{PrometheusSource, Settings},
    },
    telemetry::Telemetry,
};

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
/// Asked for at once.
const CHUNK: i64 = 7 * DAY;

/// The one series of `query` over the last `days`, at a minute's step.
pub(super) fn fetch(url: &str, query: &str, days: u32) -> Result<Trace, Failure> {
    let source =
        PrometheusSource::build("simulate", &Settings::new(url), Telemetry::default().source)
            .map_err(|problem| Failure::Usage(format!("--prometheus.url: {problem}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let to = Clock::System.now().div_euclid(MINUTE) * MINUTE;
    let rows = runtime.block_on(rows(&source, query, to - i64::from(days) * DAY, to))?;
    traces::trace("demand".to_owned(), &rows).ok_or_else(|| {
        Failure::Failed(format!(
            "--query: {query}: too few samples in the last {days} days"
        ))
    })
}

async fn rows(
    source: &PrometheusSource,
    query: &str,
    from: i64,
    to: i64,
) -> Result<Vec<(i64, f32)>, Failure> {
    let mut rows = Vec::new();
    let mut start = from;
    while start < to {
        let end = (start + CHUNK - MINUTE).min(to);
        let request = RangeRequest {
            query: query.to_owned(),
            start,
            end,
            step: MINUTE,
            max_series: 2,
        };
        let matrix = source
            .range(request)
            .await
            .map_err(|error| Failure::Failed(error.to_string()))?;
        if matrix.series.len() > 1 {
            return Err(Failure::Usage(
                "--query: gives more than one series; sum them up".to_owned(),
            ));
        }
        let samples = matrix.series.into_iter().flat_map(|series| series.samples);
        rows.extend(samples.map(|(at, value)| (at, value as f32)));
        start = end + MINUTE;
    }
    Ok(rows)
}
