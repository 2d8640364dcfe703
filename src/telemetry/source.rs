//! What the sources count and log.

use crate::{
    series::Millis,
    source::{BreakerState, Cause, SourceError, prometheus::Change},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{fmt, sync::atomic::AtomicU64, time::Duration};

/// Upper bounds in seconds. A tick asks for a few points (milliseconds), a backfill for thousands
/// (seconds); 30 s is the default deadline.
const DURATION_BUCKETS: [f64; 10] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSource {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    source: String,
    cause: CauseLabel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CauseLabel(Cause);

impl EncodeLabelValue for CauseLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.0.as_str(), encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    source: String,
    state: &'static str,
}

type Counts = Family<OfSource, Counter>;

/// What the sources count and log. One method per event: the log line and its counter together.
#[derive(Debug)]
pub struct SourceEvents {
    requests: Counts,
    failures: Family<OfCause, Counter>,
    durations: Family<OfSource, Histogram, fn() -> Histogram>,
    bytes: Counts,
    retries: Counts,
    breaker: Family<OfState, Gauge>,
    up: Family<OfSource, Gauge>,
    last_success: Family<OfSource, Gauge<f64, AtomicU64>>,
    dropped: Counts,
    rejected: Counts,
    warnings: Counts,
}

impl SourceEvents {
    /// Registers the metrics; each source's series start at zero when it is announced.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self {
            requests: Family::default(),
            failures: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            bytes: Family::default(),
            retries: Family::default(),
            breaker: Family::default(),
            up: Family::default(),
            last_success: Family::default(),
            dropped: Family::default(),
            rejected: Family::default(),
            warnings: Family::default(),
        };
        events.register_requests(registry);
        events.register_answers(registry);
        events
    }

    fn register_requests(&self, registry: &mut Registry) {
        registry.register(
            "source_requests",
            "HTTP requests sent to the source, retries included",
            self.requests.clone(),
        );
        registry.register(
            "source_failures",
            "Failed requests to the source, by cause; breaker_open: it was not asked",
            self.failures.clone(),
        );
        registry.register(
            "source_request_duration_seconds",
            "Time from sending a request to its decoded answer or failure",
            self.durations.clone(),
        );
        registry.register(
            "source_response_bytes",
            "Bytes of answers, after decompression",
            self.bytes.clone(),
        );
        registry.register(
            "source_retries",
            "Requests that repeated a failed one",
            self.retries.clone(),
        );
        registry.register(
            "source_breaker_state",
            "Circuit breaker of the source: 1 for the state it is in",
            self.breaker.clone(),
        );
        registry.register(
            "source_up",
            "Whether the newest request to the source was answered",
            self.up.clone(),
        );
        registry.register(
            "source_last_success_timestamp_seconds",
            "When the source last answered; 0 where it never did",
            self.last_success.clone(),
        );
    }

    fn register_answers(&self, registry: &mut Registry) {
        registry.register(
            "source_series_dropped",
            "Series left out of answers because a signal has more than its max_series",
            self.dropped.clone(),
        );
        registry.register(
            "source_samples_rejected",
            "Samples left out because they were not finite, out of order or twice",
            self.rejected.clone(),
        );
        registry.register(
            "source_warnings",
            "Warnings in answers of the source, such as a partial response",
            self.warnings.clone(),
        );
    }

    /// A source is put in force: its series exist from now on, at zero, its breaker closed.
    pub fn announce(&self, source: &str) {
        let key = of(source);
        for family in [
            &self.requests,
            &self.bytes,
            &self.retries,
            &self.dropped,
            &self.rejected,
            &self.warnings,
        ] {
            drop(family.get_or_create(&key));
        }
        drop(self.durations.get_or_create(&key));
        drop(self.up.get_or_create(&key));
        drop(self.last_success.get_or_create(&key));
        for cause in Cause::ALL {
            drop(self.failures.get_or_create(&of_cause(source, cause)));
        }
        self.show_breaker(source, BreakerState::Closed);
    }

    /// A source is gone from the configuration: so are its series.
    pub fn forget(&self, source: &str) {
        let key = of(source);
        for family in [
            &self.requests,
            &self.bytes,
            &self.retries,
            &self.dropped,
            &self.rejected,
            &self.warnings,
        ] {
            family.remove(&key);
        }
        self.durations.remove(&key);
        self.up.remove(&key);
        self.last_success.remove(&key);
        for cause in Cause::ALL {
            self.failures.remove(&of_cause(source, cause));
        }
        for state in STATES {
            self.breaker.remove(&of_state(source, state));
        }
    }

    /// A request is sent.
    pub fn requested(&self, source: &str) {
        self.requests.get_or_create(&of(source)).inc();
    }

    /// Bytes of an answer arrived, counted after decompression.
    pub fn received(&self, source: &str, bytes: usize) {
        self.bytes.get_or_create(&of(source)).inc_by(bytes as u64);
    }

    /// A request ended, well or not, after `took`.
    pub fn finished(&self, source: &str, took: Duration) {
        let histogram = self.durations.get_or_create(&of(source));
        histogram.observe(took.as_secs_f64());
    }

    /// A request was answered at `at`.
    pub fn answered(&self, source: &str, at: Millis) {
        self.up.get_or_create(&of(source)).set(1);
        let gauge = self.last_success.get_or_create(&of(source));
        gauge.set(at as f64 / 1_000.0);
    }

    /// A request failed; it is sent again after `retry`, or never. Whoever wanted the answer logs
    /// that there is none: a warning here would say each failure twice.
    pub fn failed(&self, source: &str, error: &SourceError, retry: Option<Duration>) {
        let count = &self.failures;
        count.get_or_create(&of_cause(source, error.cause)).inc();
        // A query the source refuses says nothing about the source.
        if !matches!(error.cause, Cause::Query | Cause::Limit) {
            self.up.get_or_create(&of(source)).set(0);
        }
        let cause = error.cause.as_str();
        match retry {
            Some(pause) => {
                self.retries.get_or_create(&of(source)).inc();
                tracing::debug!(source, cause, ?pause, %error, "request failed, trying again");
            }
            None => tracing::debug!(source, cause, %error, "request failed"),
        }
    }

    /// The circuit breaker changed.
    pub fn breaker(&self, source: &str, change: &Change<'_>) {
        self.show_breaker(source, change.to);
        // Tenths of a second are what a person can use of a pause with jitter.
        let pause = change.pause.as_secs_f64();
        let pause = Duration::from_secs_f64((pause * 10.0).round() / 10.0);
        let reason = change.reason;
        match change.to {
            BreakerState::Closed => tracing::info!(source, "source answers again"),
            BreakerState::HalfOpen => tracing::debug!(source, "one trial request is sent"),
            BreakerState::Open if change.from == BreakerState::Closed => {
                tracing::warn!(
                    source,
                    ?pause,
                    reason,
                    "source keeps failing: nothing is sent for this long, then one trial"
                );
            }
            BreakerState::Open => {
                tracing::debug!(
                    source,
                    ?pause,
                    reason,
                    "the trial failed: nothing is sent again"
                );
            }
        }
    }

    /// The answer had a warning; `new`: the answer before had not.
    pub fn warned(&self, source: &str, query: &str, warning: &str, new: bool) {
        self.warnings.get_or_create(&of(source)).inc();
        if new {
            tracing::warn!(source, query, warning, "answer with a warning");
        }
    }

    /// `count` series were left out, among them `examples`; `new`: before this answer none were.
    pub fn dropped(&self, source: &str, query: &str, count: usize, examples: &str, new: bool) {
        self.dropped.get_or_create(&of(source)).inc_by(count as u64);
        if new {
            tracing::warn!(
                source,
                query,
                count,
                examples,
                "more series than max_series: some are left out; aggregate, or raise max_series"
            );
        }
    }

    /// `count` samples were left out; `new`: before this answer none were.
    pub fn rejected(&self, source: &str, query: &str, count: usize, new: bool) {
        let counter = self.rejected.get_or_create(&of(source));
        counter.inc_by(count as u64);
        if new {
            tracing::info!(
                source,
                query,
                count,
                "samples not finite, out of order or twice are gaps"
            );
        }
    }

    /// Shows the breaker of a source as `now`.
    pub fn show_breaker(&self, source: &str, now: BreakerState) {
        for state in STATES {
            let gauge = self.breaker.get_or_create(&of_state(source, state));
            gauge.set(i64::from(state == now));
        }
    }
}

const STATES: [BreakerState; 3] = [
    BreakerState::Closed,
    BreakerState::HalfOpen,
    BreakerState::Open,
];

fn of(source: &str) -> OfSource {
    OfSource {
        source: source.to_owned(),
    }
}

fn of_cause(source: &str, cause: Cause) -> OfCause {
    OfCause {
        source: source.to_owned(),
        cause: CauseLabel(cause),
    }
}

fn of_state(source: &str, state: BreakerState) -> OfState {
    let state = match state {
        BreakerState::Closed => "closed",
        BreakerState::HalfOpen => "half_open",
        BreakerState::Open => "open",
    };
    OfState {
        source: source.to_owned(),
        state,
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::Telemetry;
    use crate::{
        series::Millis,
        source::{BreakerState, Cause, SourceError, prometheus::Change},
    };

    use std::time::Duration;

    fn text(telemetry: &Telemetry) -> String {
        telemetry.open_metrics().unwrap()
    }

    #[test]
    fn an_announced_source_has_every_series_at_zero_and_a_forgotten_one_none() {
        let telemetry = Telemetry::default();
        telemetry.source.announce("main");
        let shown = text(&telemetry);
        for cause in Cause::ALL {
            let cause = cause.as_str();
            let line = format!(
                "forethought_source_failures_total{{source=\"main\",cause=\"{cause}\"}} 0\n"
            );
            assert!(shown.contains(&line), "{line} is not in {shown}");
        }
        for line in [
            "forethought_source_requests_total{source=\"main\"} 0",
            "forethought_source_response_bytes_total{source=\"main\"} 0",
            "forethought_source_retries_total{source=\"main\"} 0",
            "forethought_source_series_dropped_total{source=\"main\"} 0",
            "forethought_source_samples_rejected_total{source=\"main\"} 0",
            "forethought_source_warnings_total{source=\"main\"} 0",
            "forethought_source_up{source=\"main\"} 0",
            "forethought_source_request_duration_seconds_count{source=\"main\"} 0",
            "forethought_source_breaker_state{source=\"main\",state=\"closed\"} 1",
            "forethought_source_breaker_state{source=\"main\",state=\"open\"} 0",
        ] {
            assert!(shown.contains(line), "{line} is not in {shown}");
        }
        telemetry.source.forget("main");
        assert!(!text(&telemetry).contains("source=\"main\""));
    }

    #[test]
    fn events_are_counted() {
        let telemetry = Telemetry::default();
        let events = &telemetry.source;
        events.announce("main");
        let at: Millis = 1_700_000_000_500;
        events.answered("main", at);
        let error = SourceError {
            cause: Cause::Query,
            message: String::from("no"),
        };
        events.failed("main", &error, None);
        let change = Change {
            from: BreakerState::Closed,
            to: BreakerState::Open,
            pause: Duration::from_secs(5),
            reason: "no",
        };
        events.breaker("main", &change);
        let shown = text(&telemetry);
        for line in [
            "forethought_source_last_success_timestamp_seconds{source=\"main\"} 1700000000.5",
            "forethought_source_up{source=\"main\"} 1",
            "forethought_source_failures_total{source=\"main\",cause=\"query\"} 1",
            "forethought_source_breaker_state{source=\"main\",state=\"closed\"} 0",
            "forethought_source_breaker_state{source=\"main\",state=\"open\"} 1",
        ] {
            assert!(shown.contains(line), "{line} is not in {shown}");
        }
    }
}
