//! What is counted and logged of decisions on workloads.

use crate::{
    decide::{Binding, Decision},
    series::{Millis, Span},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWorkload {
    workload: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Held {
    workload: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rise {
    workload: String,
    prewarmed: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    cause: &'static str,
}

/// Whether enough was ready.
const WHETHER: [&str; 2] = ["false", "true"];
/// Why a question had no answer, beside what a source says.
const CAUSES: [&str; 10] = [
    "breaker_open",
    "connect",
    "decode",
    "limit",
    "panic",
    "partial",
    "query",
    "status",
    "timeout",
    "tick",
];

/// What is counted and logged of decisions. One method per event: the log line and its counter together.
#[derive(Debug, Default)]
pub struct ScalingEvents {
    decisions: Counter,
    panics: Counter,
    workloads: Gauge,
    interval: Gauge<f64, AtomicU64>,
    last: Gauge<f64, AtomicU64>,
    duration: Gauge<f64, AtomicU64>,
    unanswered: Family<OfCause, Counter>,
    changes: Family<OfWorkload, Counter>,
    held: Family<Held, Counter>,
    rollbacks: Family<OfWorkload, Counter>,
    rises: Family<Rise, Counter>,
    known: Mutex<BTreeMap<String, Known>>,
}

/// What was told of a workload.
#[derive(Debug, Default)]
struct Known {
    /// Its newest size.
    size: Option<u32>,
    /// What held it so far.
    held: BTreeSet<&'static str>,
}

impl ScalingEvents {
    /// Registers the metrics; those of a workload begin when it is announced.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self::default();
        registry.register(
            "scaling_evaluations",
            "Times that all workloads were decided on",
            events.decisions.clone(),
        );
        registry.register(
            "scaling_panics",
            "Panics while a workload was decided on; it begins anew",
            events.panics.clone(),
        );
        registry.register(
            "scaling_workloads",
            "Workloads that are decided on",
            events.workloads.clone(),
        );
        registry.register(
            "scaling_interval_seconds",
            "How often workloads are decided on: the shortest review of all; 0 where there are none",
            events.interval.clone(),
        );
        registry.register(
            "scaling_last_evaluation_timestamp_seconds",
            "Aligned time of the newest decisions, seconds since the epoch",
            events.last.clone(),
        );
        registry.register(
            "scaling_last_evaluation_duration_seconds",
            "How long the newest decisions on all workloads took, without waiting for answers",
            events.duration.clone(),
        );
        registry.register(
            "scaling_queries_failed",
            "Queries at decision time without an answer, by cause",
            events.unanswered.clone(),
        );
        registry.register(
            "scaling_changes",
            "Times that the recommendation for a workload changed",
            events.changes.clone(),
        );
        registry.register(
            "scaling_held",
            "Decisions in the log that kept another size than wanted, by what held it; while nothing of it changes it is one",
            events.held.clone(),
        );
        registry.register(
            "scaling_rollbacks",
            "Times that the forecast was withdrawn from a workload, as following it made things worse",
            events.rollbacks.clone(),
        );
        registry.register(
            "scaling_rises",
            "Rises of the demand to a peak, by whether enough replicas were ready all the way up",
            events.rises.clone(),
        );
        for cause in CAUSES {
            drop(events.unanswered.get_or_create_owned(&OfCause { cause }));
        }
        events
    }

    /// These workloads are decided on from now on, every `tick`, and no others.
    pub fn announce<'w>(&self, workloads: impl Iterator<Item = &'w str>, tick: Span) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut former = std::mem::take(&mut *known);
        for name in workloads {
            let of = OfWorkload {
                workload: name.to_owned(),
            };
            drop(self.changes.get_or_create_owned(&of));
            drop(self.rollbacks.get_or_create_owned(&of));
            let mut before = former.remove(name).unwrap_or_default();
            for prewarmed in WHETHER {
                let workload = name.to_owned();
                drop(self.rises.get_or_create_owned(&Rise {
                    workload,
                    prewarmed,
                }));
            }
            // The one that an alert asks for: a counter that starts at 1 has no rate.
            let reason = Binding::Oscillation.as_str();
            let workload = name.to_owned();
            drop(self.held.get_or_create_owned(&Held { workload, reason }));
            before.held.insert(reason);
            known.insert(name.to_owned(), before);
        }
        for (workload, Known { held, .. }) in former {
            let of = OfWorkload { workload };
            self.changes.remove(&of);
            self.rollbacks.remove(&of);
            for prewarmed in WHETHER {
                let workload = of.workload.clone();
                self.rises.remove(&Rise {
                    workload,
                    prewarmed,
                });
            }
            for reason in held {
                let workload = of.workload.clone();
                self.held.remove(&Held { workload, reason });
            }
        }
        self.workloads.set(known.len() as i64);
        let none = known.is_empty();
        let seconds = if none {
            0.0
        } else {
            tick.as_millis() as f64 / 1_000.0
        };
        self.interval.set(seconds);
    }

    /// All workloads were decided on at `at`.
    pub fn decided(&self, at: Millis, workloads: usize, panicked: usize, took: Duration) {
        self.decisions.inc();
        self.panics.inc_by(panicked as u64);
        self.last.set(at as f64 / 1_000.0);
        self.duration.set(took.as_secs_f64());
        if panicked > 0 {
            tracing::error!(
                panicked,
                workloads,
                "the decision on workloads panicked; they begin anew"
            );
        }
    }

    /// The demand of a workload came to the end of a rise.
    pub fn rose(&self, workload: &str, prewarmed: bool) {
        let rise = Rise {
            workload: workload.to_owned(),
            prewarmed: WHETHER[usize::from(prewarmed)],
        };
        self.rises.get_or_create_owned(&rise).inc();
    }

    /// A decision that differs from the one before.
    pub fn news(&self, decision: &Decision) {
        let workload = &*decision.workload;
        let of = OfWorkload {
            workload: workload.to_owned(),
        };
        let held = decision.held.map(|held| held.by.as_str());
        if let Some(reason) = held {
            let held = Held {
                workload: workload.to_owned(),
                reason,
            };
            self.held.get_or_create_owned(&held).inc();
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.entry(workload.to_owned()).or_default();
        before.held.extend(held);
        let size = std::mem::replace(&mut before.size, decision.replicas);
        drop(known);
        if decision.withdrawn {
            self.rollbacks.get_or_create_owned(&of).inc();
            tracing::warn!(
                workload,
                reason = decision.reason,
                "the forecast is withdrawn from a workload"
            );
        }
        if size == decision.replicas {
            tracing::debug!(workload, reason = decision.reason, "decided");
            return;
        }
        if size.is_some() {
            self.changes.get_or_create_owned(&of).inc();
        }
        let (before, replicas) = (shown(size), shown(decision.replicas));
        let (mode, reason) = (decision.mode.as_str(), &decision.reason);
        tracing::info!(
            workload,
            mode,
            before,
            replicas,
            reason,
            "the recommendation changed"
        );
    }

    /// A question had no answer.
    pub fn unanswered(&self, cause: &'static str, query: &str, error: &dyn fmt::Display) {
        self.unanswered
            .get_or_create_owned(&OfCause { cause })
            .inc();
        tracing::warn!(cause, query, %error, "a query at decision time has no answer");
    }

    /// What a workload remembered cannot be read.
    pub fn state_unread(&self, workload: &str) {
        tracing::warn!(
            workload,
            "what was kept of this workload is of another version or damaged; it begins anew"
        );
    }

    /// What was kept could not be read from the store.
    pub fn not_restored(&self, error: &dyn fmt::Display) {
        tracing::warn!(%error, "decisions begin without what was kept of earlier ones");
    }

    /// What people ordered was never read: nothing is decided for a while, or without it.
    pub fn blind(&self, waits: bool) {
        match waits {
            true => {
                tracing::warn!("nothing is decided, as the store has not told the overrides yet")
            }
            false => tracing::error!(
                "decisions are made without the overrides, as the store does not tell them"
            ),
        }
    }

    /// The unit panicked as a whole.
    pub fn panicked(&self, error: &dyn fmt::Display) {
        self.panics.inc();
        tracing::error!(%error, "deciding on workloads panicked; it begins anew with what was kept");
    }
}

fn shown(size: Option<u32>) -> String {
    size.map_or_else(|| "unknown".to_owned(), |size| size.to_string())
}
