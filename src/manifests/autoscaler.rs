//! A plain HPA, for clusters without KEDA.

use super::{Document, Plan, behavior, metadata, rules::SCALE};
use serde_json::json;

/// The recorded series as an adapter of Prometheus serves it.
pub(super) const METRIC: &str = "workload_demand_scale";

pub(super) fn document(plan: &Plan) -> Document {
    let target = &plan.target;
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
        object: json!({
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
                            "metric": {"name": METRIC, "selector": {"matchLabels": {"workload": plan.workload}}},
                            "target": {"type": "AverageValue", "averageValue": format!("{capacity}m")},
                        },
                    },
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": plan.cpu}},
                    },
                ],
            },
        }),
    }
}
