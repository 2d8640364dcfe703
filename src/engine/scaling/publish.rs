//! The families of workloads.

use super::Decided;
use crate::{
    decide::{Decision, Mode},
    engine::families::{own, rendered},
    expo::{Chunk, RenderedLabels},
};
use std::sync::Arc;

type Samples = Vec<(Arc<RenderedLabels>, f64)>;
type Value<'a> = &'a dyn Fn(&Decided) -> Option<f64>;
/// The family of that name, of what is known of each workload.
type Gauge<'a> = &'a dyn Fn(&str, Value<'_>) -> Chunk;

/// Everything that is published of these decisions. Of a workload in mode `off` nothing is.
pub(super) fn chunks(decided: &[Decided], replica: Option<&str>) -> Vec<Chunk> {
    let shown: Vec<(&Decided, Arc<RenderedLabels>)> = decided
        .iter()
        .filter(|one| one.decision.mode != Mode::Off)
        .map(|one| {
            let workload = &*one.decision.workload;
            (one, rendered([("workload", workload)].into_iter(), replica))
        })
        .collect();
    let gauge = |name: &str, value: Value<'_>| {
        let known = shown
            .iter()
            .filter_map(|(one, labels)| Some((Arc::clone(labels), value(one)?)));
        own(name, known.filter(|(_, value)| value.is_finite()).collect())
    };
    let of = |value: fn(&Decision) -> Option<f64>| move |one: &Decided| value(&one.decision);
    let mut chunks = vec![
        gauge("predicted_replicas", &of(|one| one.replicas.map(f64::from))),
        gauge("predicted_demand", &of(|one| one.published_demand)),
        gauge("predicted_demand_forecast", &of(|one| one.demand_forecast)),
        gauge(
            "predicted_decided_timestamp_seconds",
            &of(|one| Some(one.at as f64 / 1_000.0)),
        ),
        gauge(
            "predicted_generated_timestamp_seconds",
            &of(|one| one.generated.map(|at| at as f64 / 1_000.0)),
        ),
        gauge(
            "predicted_gate_open",
            &of(|one| Some(f64::from(u8::from(one.gate.is_open())))),
        ),
        gauge("predicted_workload_level_ratio", &of(|one| Some(one.level))),
        gauge(
            "predicted_workload_lead_time_seconds",
            &of(|one| Some(one.lead as f64 / 1_000.0)),
        ),
        gauge("predicted_workload_capacity", &of(|one| one.capacity)),
        gauge(
            "predicted_workload_cost_per_hour",
            &of(|one| one.cost_per_hour),
        ),
        gauge(
            "predicted_workload_on_demand_replicas",
            &of(|one| one.on_demand.map(f64::from)),
        ),
        gauge("predicted_workload_coverage_ratio", &|one| one.coverage),
        gauge("predicted_workload_skill_ratio", &|one| one.skill),
    ];
    chunks.extend(queues(&shown, &gauge, replica));
    let (mut parts, mut modes) = (Samples::new(), Samples::new());
    for (one, _) in &shown {
        let workload = ("workload", &*one.decision.workload);
        for (part, size) in parts_of(&one.decision) {
            let labels = [workload, ("part", part)];
            let value = size.map_or(f64::NAN, f64::from);
            parts.push((rendered(labels.into_iter(), replica), value));
        }
        let (mode, gate) = (one.decision.mode.as_str(), one.decision.gate.as_str());
        let labels = [workload, ("mode", mode), ("gate", gate)];
        modes.push((rendered(labels.into_iter(), replica), 1.0));
    }
    // What is not known is absent.
    parts.retain(|(_, size)| size.is_finite());
    chunks.push(own("predicted_replicas_part", parts));
    chunks.push(own("predicted_mode_info", modes));
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

/// What the queues in front of workloads do.
fn queues(
    shown: &[(&Decided, Arc<RenderedLabels>)],
    gauge: Gauge<'_>,
    replica: Option<&str>,
) -> [Chunk; 3] {
    let queue = |one: &Decided| one.decision.queue;
    let trends = shown.iter().filter_map(|(one, _)| {
        let trend = queue(one)?.trend.as_str();
        let labels = [("workload", &*one.decision.workload), ("trend", trend)];
        Some((rendered(labels.into_iter(), replica), 1.0))
    });
    [
        own("predicted_queue_trend_info", trends.collect()),
        gauge("predicted_queue_growth_per_minute", &|one| {
            Some(queue(one)?.growth_per_minute)
        }),
        gauge("predicted_queue_drain_seconds", &|one| {
            Some(queue(one)?.drain? as f64 / 1_000.0)
        }),
    ]
}

/// The sizes behind a recommendation, by the label `part`.
pub(super) fn parts_of(decision: &Decision) -> [(&'static str, Option<u32>); 13] {
    let parts = &decision.parts;
    [
        ("budget", parts.budget),
        ("event", parts.event),
        ("forecast", parts.forecast),
        ("full", decision.would_be),
        ("hold", parts.hold),
        ("max", parts.max),
        ("min", parts.min),
        ("override", parts.r#override),
        ("prewarm", parts.prewarm),
        ("reactive", parts.reactive),
        ("rule", parts.rule),
        ("schedule", parts.schedule),
        ("shared", parts.shared),
    ]
}
