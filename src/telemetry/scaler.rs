//! What is counted and logged of what autoscalers ask.

use super::{reload::Reloads, throttle::Throttle};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    call: &'static str,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    cause: &'static str,
}

/// What is counted and logged of what autoscalers ask.
#[derive(Debug, Default)]
pub struct ScalerEvents {
    requests: Family<Answered, Counter>,
    refusals: Family<Refused, Counter>,
    connections: Gauge,
    reloads: Reloads,
    /// Of what went wrong; all of it is counted.
    logged: Throttle,
}

impl ScalerEvents {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self::default();
        registry.register(
            "scaler_requests",
            "Questions of autoscalers, by what was asked and how it was answered (a gRPC status)",
            events.requests.clone(),
        );
        registry.register(
            "scaler_refusals",
            "Connections of autoscalers that were turned away, by cause: too many connections, a handshake that failed or was too slow, a certificate that may not ask",
            events.refusals.clone(),
        );
        registry.register(
            "scaler_connections",
            "Open connections of autoscalers",
            events.connections.clone(),
        );
        registry.register(
            "scaler_certificate_failures",
            "Times that changed certificates could not be read, each problem once; the former stay in force then",
            events.reloads.failures.clone(),
        );
        registry.register(
            "scaler_last_reload_successful",
            "Whether the newest look at the files of the server of scalers worked, so that what lies there is in force: certificates",
            events.reloads.successful.clone(),
        );
        for cause in ["connections", "handshake", "identity"] {
            drop(events.refusals.get_or_create(&Refused { cause }));
        }
        events
    }

    /// KEDA's operator is answered on this address.
    pub fn listening(&self, address: &std::net::SocketAddr, tls: bool) {
        tracing::info!(%address, tls, "answering KEDA's operator");
    }

    /// A call was answered so.
    pub fn answered(&self, call: &'static str, code: impl fmt::Debug, problem: Option<&str>) {
        let code = format!("{code:?}");
        let count = self
            .requests
            .get_or_create(&Answered {
                call,
                code: code.clone(),
            })
            .inc()
            + 1;
        if let Some(problem) = problem
            && self.logged.may_log()
        {
            tracing::warn!(call, code, count, problem, "an autoscaler got no answer");
        }
    }

    /// A connection was turned away; `cause` is `connections`, `handshake` or `identity`.
    pub fn refused(&self, cause: &'static str, why: impl fmt::Display) {
        let refusals = self.refusals.get_or_create(&Refused { cause }).inc() + 1;
        if self.logged.may_log() {
            tracing::warn!(cause, refusals, %why, "turned an autoscaler away");
        }
    }

    /// The certificates were looked at: those that lie there are in force, or could not be read and the former are.
    pub fn certificates_read(&self, result: &Result<(), String>) {
        self.reloads.read("certificates", result);
    }

    /// A connection is open for as long as this lives.
    pub fn connected(&self) -> Connected {
        Connected::new(&self.connections)
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connected(Gauge);

impl Connected {
    /// One more that `gauge` counts, for as long as this lives.
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}
