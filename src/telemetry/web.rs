//! What the server counts and logs.

use super::throttle::Throttle;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use tokio::time::Instant;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    handler: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Handled {
    handler: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    cause: &'static str,
}

/// What the server counts and logs.
#[derive(Debug)]
pub struct WebEvents {
    requests: Family<Answered, Counter>,
    in_flight: Gauge,
    duration: Family<Handled, Histogram>,
    refusals: Family<Refused, Counter>,
    accept_failures: Counter,
    series: Gauge,
    duplicates: Gauge,
    /// Of refusals; all of them are counted.
    logged: Throttle,
}

impl WebEvents {
    /// Registers the metrics, each at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self {
            requests: Family::default(),
            in_flight: Gauge::default(),
            // 0.1 ms (a read of what is encoded) to 1.6 s (a page's charts on a busy machine).
            duration: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_1, 4.0, 8))
            }),
            refusals: Family::default(),
            accept_failures: Counter::default(),
            series: Gauge::default(),
            duplicates: Gauge::default(),
            logged: Throttle::default(),
        };
        for code in [200, 503] {
            let handler = "metrics";
            drop(events.requests.get_or_create(&Answered { handler, code }));
        }
        for cause in ["connections", "scrapes", "slow_request"] {
            drop(events.refusals.get_or_create(&Refused { cause }));
        }
        drop(
            events
                .duration
                .get_or_create(&Handled { handler: "metrics" }),
        );
        events.show(registry);
        events
    }

    fn show(&self, registry: &mut Registry) {
        registry.register(
            "web_requests",
            "HTTP requests answered, by what was asked and status code",
            self.requests.clone(),
        );
        registry.register(
            "web_requests_in_flight",
            "HTTP requests being answered",
            self.in_flight.clone(),
        );
        registry.register_with_unit(
            "web_request_duration",
            "Time from a request's head to the first byte of its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "web_refusals",
            "Connections and requests turned away, by cause: too many connections, too many scrapes at once, a request too slow to come",
            self.refusals.clone(),
        );
        registry.register(
            "web_accept_failures",
            "Connections that could not be accepted, mostly for want of file descriptors",
            self.accept_failures.clone(),
        );
        registry.register(
            "web_exposition_series",
            "Samples in the exposition before this one",
            self.series.clone(),
        );
        registry.register(
            "web_exposition_duplicates",
            "Samples left out of the exposition before this one, because another had the same name and labels",
            self.duplicates.clone(),
        );
    }

    /// A request has come. Count it in what this gives.
    pub fn begin(&self, handler: &'static str) -> Running<'_> {
        self.in_flight.inc();
        Running {
            events: self,
            handler,
            since: Instant::now(),
        }
    }

    /// Somebody was turned away; `cause` is `connections`, `scrapes` or `slow_request`.
    pub fn refused(&self, cause: &'static str) {
        let refusals = self.refusals.get_or_create(&Refused { cause }).inc() + 1;
        if self.logged.may_log() {
            tracing::warn!(cause, refusals, "turned a reader away");
        } else {
            tracing::debug!(cause, refusals, "turned a reader away");
        }
    }

    /// A connection could not be accepted.
    pub fn accept_failed(&self, error: &std::io::Error) {
        self.accept_failures.inc();
        if self.logged.may_log() {
            tracing::error!(%error, "cannot accept connections");
        }
    }

    /// An exposition was put together.
    pub fn exposed(&self, series: usize, dropped: usize) {
        self.series.set(whole(series));
        let before = self.duplicates.set(whole(dropped));
        if before != whole(dropped) && dropped > 0 {
            tracing::warn!(
                dropped,
                "series with the same name and labels as another are left out: give the signals or their labels other names"
            );
        }
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A request being answered. Dropped without [`Running::finish`] it counts as one whose reader went away.
#[derive(Debug)]
pub struct Running<'a> {
    events: &'a WebEvents,
    handler: &'static str,
    since: Instant,
}

impl Running<'_> {
    /// The answer is ready.
    pub fn finish(self, code: u16) {
        let handler = self.handler;
        let requests = &self.events.requests;
        requests.get_or_create(&Answered { handler, code }).inc();
        let duration = &self.events.duration;
        let seconds = self.since.elapsed().as_secs_f64();
        duration
            .get_or_create(&Handled { handler })
            .observe(seconds);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.events.in_flight.dec();
    }
}
