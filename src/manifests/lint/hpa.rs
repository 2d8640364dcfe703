//! A HorizontalPodAutoscaler.

use super::{Report, is_guarded, is_ours, slow_enough};
use crate::external::METRIC;
use serde_json::Value;

pub(super) fn look(object: &Value, report: &mut Report<'_>) {
    // KEDA writes these, and its ScaledObject is what to change.
    let is_of_keda =
        object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "keda-operator";
    let spec = &object["spec"];
    let none = Vec::new();
    let metrics = spec["metrics"].as_array().unwrap_or(&none);
    let ours: Vec<bool> = metrics.iter().map(|metric| is_ours(name(metric))).collect();
    if is_of_keda || !ours.contains(&true) {
        return;
    }
    for (place, metric) in metrics.iter().enumerate().filter(|(place, _)| ours[*place]) {
        let field = |name: &str| format!("spec.metrics[{place}].external.{name}");
        if metric["external"]["target"]["type"] == "Value" {
            report.error(
                "value-counts-ready-pods",
                field("target.type"),
                "Value is multiplied by the ready pods: those that were started ahead do not count, and with none ready the result is 0; write AverageValue",
            );
        }
        // Of what we serve ourselves nothing is there that is not known.
        if !is_guarded(name(metric)) && !is_served(name(metric)) {
            report.error(
                "raw-prediction",
                field("metric.name"),
                "is what is predicted as it is: gone, frozen or not a number when something fails; serve workload:demand:scale of the rules that forethought manifests writes",
            );
        }
        if metric["external"]["metric"]["selector"].is_null() && !is_of_one(name(metric)) {
            report.error(
                "sum-of-all",
                field("metric.selector"),
                "is left out: the values of all workloads are added up; write {matchLabels: {workload: NAME}}",
            );
        }
    }
    if !metrics.iter().any(|metric| {
        ["Resource", "ContainerResource"].contains(&metric["type"].as_str().unwrap_or_default())
    }) {
        report.error(
            "no-independent-trigger",
            "spec.metrics",
            "when Prometheus or forethought fails nothing scales this up any more; add a Resource metric of cpu",
        );
    }
    if spec["minReplicas"].as_u64() == Some(0) {
        report.warning(
            "may-sleep",
            "spec.minReplicas",
            "is 0: the workload may be scaled to nothing; write 1",
        );
    }
    if let Err(text) = slow_enough(&spec["behavior"], spec["maxReplicas"].as_u64().unwrap_or(1)) {
        report.error("sudden-scale-down", "spec.behavior.scaleDown", text);
    }
}

/// Whether it is a metric of our own API.
fn is_served(name: &str) -> bool {
    name == METRIC || is_of_one(name)
}

/// Whether it is that of one workload.
fn is_of_one(name: &str) -> bool {
    name.strip_prefix(METRIC)
        .is_some_and(|rest| rest.starts_with('-'))
}

fn name(metric: &Value) -> &str {
    let kinds = ["external", "object", "pods"].into_iter();
    let mut names = kinds.filter_map(|kind| metric[kind]["metric"]["name"].as_str());
    names.next().unwrap_or_default()
}
