//! What is counted and logged of the external metrics API.

use super::{reload::Reloads, scaler::Connected, throttle::Throttle};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    code: u16,
    resource: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reviewed {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Told {
    source: &'static str,
}

/// What is counted and logged of the external metrics API.
#[derive(Debug)]
pub struct ExternalEvents {
    requests: Family<Answered, Counter>,
    reviews: Family<Reviewed, Counter>,
    handed_on: Family<Reviewed, Counter>,
    refusals: Family<Refused, Counter>,
    connections: Gauge,
    /// Nothing where the API is not served.
    front_proxy_known: Family<Told, Gauge>,
    reloads: Reloads,
    freshness: Histogram,
    /// Of what went wrong; all of it is counted.
    logged: Throttle,
}

impl ExternalEvents {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self {
            requests: Family::default(),
            reviews: Family::default(),
            handed_on: Family::default(),
            refusals: Family::default(),
            connections: Gauge::default(),
            front_proxy_known: Family::default(),
            reloads: Reloads::default(),
            // As custom-metrics-apiserver has it, so that one panel shows all adapters.
            freshness: Histogram::new(exponential_buckets(1.0, 1.364, 20)),
            logged: Throttle::default(),
        };
        registry.register(
            "external_requests",
            "Requests to the external metrics API, by what was asked for and status code",
            events.requests.clone(),
        );
        registry.register(
            "external_access_reviews",
            "Questions to Kubernetes' API server whether a user may read, by its answer; failed: it gave none",
            events.reviews.clone(),
        );
        registry.register(
            "external_handed_on",
            "Requests for metrics that are not ours, by whether the other adapter answered: answered, failed",
            events.handed_on.clone(),
        );
        registry.register(
            "external_refusals",
            "Connections to the external metrics API that were turned away, by cause: too many connections, a handshake that failed or was too slow",
            events.refusals.clone(),
        );
        registry.register(
            "external_connections",
            "Open connections to the external metrics API",
            events.connections.clone(),
        );
        registry.register(
            "external_front_proxy_known",
            "Whether it is known who Kubernetes' front proxy is (0 or 1), by who says so: cluster, file; until then nobody is answered",
            events.front_proxy_known.clone(),
        );
        registry.register(
            "external_reload_failures",
            "Times that certificates, the front proxy's authority or the other adapter's files could not be read, each problem once; the former stay in force then",
            events.reloads.failures.clone(),
        );
        registry.register(
            "external_last_reload_successful",
            "Whether the newest look at the files of the external metrics API worked, so that what lies there is in force: certificates, front_proxy (its authority), proxy (the other adapter's)",
            events.reloads.successful.clone(),
        );
        registry.register(
            "external_metric_freshness_seconds",
            "Age of the decision that a metric was answered with",
            events.freshness.clone(),
        );
        for cause in ["connections", "handshake"] {
            drop(events.refusals.get_or_create(&Refused { cause }));
        }
        for result in ["allowed", "denied", "failed"] {
            drop(events.reviews.get_or_create(&Reviewed { result }));
        }
        for result in ["answered", "failed"] {
            drop(events.handed_on.get_or_create(&Reviewed { result }));
        }
        events
    }

    /// The API is answered on this address.
    pub fn listening(&self, address: &std::net::SocketAddr) {
        tracing::info!(%address, "answering external.metrics.k8s.io");
    }

    /// A request was answered so; `resource` is what was asked for.
    pub fn answered(&self, resource: &'static str, code: u16, problem: Option<&str>) {
        let count = self
            .requests
            .get_or_create(&Answered { code, resource })
            .inc()
            + 1;
        if let Some(problem) = problem
            && self.logged.may_log()
        {
            tracing::warn!(
                resource,
                code,
                count,
                problem,
                "a request to external.metrics.k8s.io got no answer"
            );
        }
    }

    /// The API server was asked whether a user may: `allowed`, `denied` or `failed`.
    pub fn reviewed(&self, result: &'static str) {
        self.reviews.get_or_create(&Reviewed { result }).inc();
    }

    /// A request was handed on to the other adapter, which answered or did not.
    pub fn handed_on(&self, answered: bool) {
        let result = if answered { "answered" } else { "failed" };
        self.handed_on.get_or_create(&Reviewed { result }).inc();
    }

    /// A metric was answered with a decision so many milliseconds old.
    pub fn fresh(&self, age: i64) {
        self.freshness.observe(age as f64 / 1_000.0);
    }

    /// A connection was turned away; `cause` is `connections` or `handshake`.
    pub fn refused(&self, cause: &'static str, why: impl fmt::Display) {
        let refusals = self.refusals.get_or_create(&Refused { cause }).inc() + 1;
        if self.logged.may_log() {
            tracing::warn!(cause, refusals, %why, "turned a client of external.metrics.k8s.io away");
        }
    }

    /// It is not known yet who the front proxy is; `source`, `cluster` or `file`, will say so.
    pub fn front_proxy_sought(&self, source: &'static str) {
        self.front_proxy_known
            .get_or_create(&Told { source })
            .set(0);
    }

    /// It is known who the front proxy is, for the first time or anew.
    pub fn front_proxy_known(&self, source: &'static str) {
        self.front_proxy_known
            .get_or_create(&Told { source })
            .set(1);
        tracing::info!(source, "Kubernetes' front proxy is known");
    }

    /// Something was looked at again: what lies there is in force, or could not be read and the former is. `what` is
    /// `certificates`, `front_proxy` or `proxy`.
    pub fn read_again(&self, what: &'static str, result: &Result<(), String>) {
        self.reloads.read(what, result);
    }

    /// A connection is open for as long as this lives.
    pub fn connected(&self) -> Connected {
        Connected::new(&self.connections)
    }
}
