//! The source against servers in this process that behave well, badly, and worse.

mod chunks;
mod decoding;
mod faults;
mod requests;
pub(in crate::source) mod server;
mod tls;

use super::{PrometheusSource, Settings};
use crate::{
    series::{Share, Span},
    source::{Matrix, RangeRequest, Source, SourceError},
    telemetry::Telemetry,
};
use server::Server;

const MINUTE: i64 = 60_000;

/// A source and the metrics it shows.
struct Asker {
    source: PrometheusSource,
    telemetry: Telemetry,
}

impl Asker {
    fn new(settings: &Settings) -> Self {
        let telemetry = Telemetry::default();
        let events = telemetry.source.clone();
        events.announce("main");
        let source = PrometheusSource::build("main", settings, events).unwrap();
        Self { source, telemetry }
    }

    /// Asks for `points` minutes from 1970-01-01 01:00.
    async fn ask(&self, points: i64) -> Result<Matrix, SourceError> {
        self.source.range(minutes(points)).await
    }

    /// The value of one of our own metrics.
    #[track_caller]
    fn metric(&self, line: &str) -> f64 {
        let text = self.telemetry.open_metrics().unwrap();
        let start = format!("forethought_source_{line} ");
        let found = text.lines().find_map(|line| line.strip_prefix(&start));
        found
            .unwrap_or_else(|| panic!("no {start} in {text}"))
            .parse()
            .unwrap()
    }

    fn failures(&self, cause: &str) -> f64 {
        self.metric(&format!(
            "failures_total{{source=\"main\",cause=\"{cause}\"}}"
        ))
    }

    fn requests(&self) -> f64 {
        self.metric("requests_total{source=\"main\"}")
    }

    fn retries(&self) -> f64 {
        self.metric("retries_total{source=\"main\"}")
    }
}

fn minutes(points: i64) -> RangeRequest {
    let start = 60 * MINUTE;
    RangeRequest {
        query: String::from("up"),
        start,
        end: start + (points - 1) * MINUTE,
        step: MINUTE,
        max_series: 100,
        share: Share::ALL,
    }
}

/// Settings for a server of ours, without retries.
fn calm(server: &Server) -> Settings {
    let mut settings = Settings::new(&server.url("http"));
    settings.retries = 0;
    settings.timeout = Span::seconds(30);
    settings
}

/// One series `{a="1"}` with one sample at the first grid time.
const ONE: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","a":"1"},"values":[[3600,"1.5"]]}]}}"#;

#[track_caller]
fn is_one(matrix: &Matrix) {
    assert_eq!(matrix.series.len(), 1, "{matrix:?}");
    assert_eq!(matrix.series[0].labels.to_string(), r#"{a="1"}"#);
    assert_eq!(matrix.series[0].samples, [(60 * MINUTE, 1.5)]);
}
