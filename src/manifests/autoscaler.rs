//! A plain HPA, for clusters without KEDA.

use super::{Document, Plan, behavior, metadata, rules::SCALE};
use serde_json::{Value, json};

/// The recorded series as an adapter of Prometheus serves it.
pub(super) const METRIC: &str = "workload_demand_scale";

pub(super) fn document(plan: &Plan) -> Document {
    let metric = json!({"name": METRIC, "selector": {"matchLabels": {"workload": plan.workload}}});
    let capacity = (plan.capacity.unwrap_or(1.0) * 1_000.0).ceil();
    Document {
        comment: format!(
            "Reads {METRIC} of external.metrics.k8s.io. In prometheus-adapter's configuration:\n\
             \x20 externalRules:\n\
             \x20 - seriesQuery: '{SCALE}'\n\
             \x20   resources: {{namespaced: false}}\n\
             \x20   name: {{as: {METRIC}}}\n\
             \x20   metricsQuery: max(<<.Series>>{{<<.LabelMatchers>>}})\n\
             The processors are a second opinion that no failure of that metric touches. Down slowly, up at once."
        ),
        object: hpa(plan, &metric, &format!("{capacity}m")),
    }
}

/// An HPA by an external metric, of which each replica is to have `average`.
pub(super) fn hpa(plan: &Plan, metric: &Value, average: &str) -> Value {
    let target = &plan.target;
    json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(plan, &plan.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": target.api_version, "kind": target.kind, "name": target.name},
            "minReplicas": plan.min.max(1),
            "maxReplicas": plan.max,
            "behavior": behavior(),
            "metrics": [
                {
                    "type": "External",
                    "external": {
                        "metric": metric,
                        "target": {"type": "AverageValue", "averageValue": average},
                    },
                },
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": plan.cpu}},
                },
            ],
        },
    })
}
