//! KEDA's ScaledObject.

use super::{
    Document, Plan, Way, behavior, metadata,
    rules::{PREDICTED, REACTIVE, SCALE, selector},
};
use serde_json::{Map, Value, json};

/// What says that sleeping is wanted.
pub(super) const MAY_SLEEP: &str = "forethought/scale-to-zero";

pub(super) fn document(plan: &Plan, way: Way) -> Document {
    let mut metadata = metadata(plan, &plan.name);
    if plan.min == 0 {
        metadata["annotations"] = json!({ MAY_SLEEP: "intended" });
    }
    let mut triggers = triggers(plan, way);
    triggers.push(json!({
        "type": "cpu",
        "metricType": "Utilization",
        "metadata": {"value": plan.cpu.to_string()},
    }));
    let target = &plan.target;
    Document {
        comment: comment(plan, way),
        object: json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": metadata,
            "spec": {
                "scaleTargetRef": {"apiVersion": target.api_version, "kind": target.kind, "name": target.name},
                "pollingInterval": 30,
                "cooldownPeriod": 300,
                "minReplicaCount": plan.min,
                "maxReplicaCount": plan.max,
                "fallback": {"failureThreshold": 3, "replicas": plan.fallback.max(1), "behavior": "currentReplicasIfHigher"},
                "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior()}},
                "triggers": triggers,
            },
        }),
    }
}

fn triggers(plan: &Plan, way: Way) -> Vec<Value> {
    let own = selector(&plan.workload);
    let capacity = plan.capacity.unwrap_or(1.0);
    let prometheus = |name: &str, query: String| {
        // In replicas: KEDA's fallback reckons with the whole part of the threshold.
        let query = format!("{query} / {capacity}");
        json!({
            "type": "prometheus",
            "name": name,
            "metricType": "AverageValue",
            "metadata": {
                "serverAddress": plan.prometheus, "query": query, "threshold": "1", "ignoreNullValues": "false",
            },
        })
    };
    match way {
        Way::Prometheus | Way::Adapter | Way::ExternalMetrics => {
            vec![prometheus("demand", format!("{SCALE}{own}"))]
        }
        Way::TwoTriggers => vec![
            prometheus("reactive", format!("{REACTIVE}{own}")),
            prometheus(
                "predicted",
                format!(
                    "max by (workload) (max_over_time({PREDICTED}{own}[{}]))",
                    plan.hold
                ),
            ),
        ],
        Way::MetricsApi => {
            let workload = percent_encoding::utf8_percent_encode(
                &plan.workload,
                percent_encoding::NON_ALPHANUMERIC,
            );
            vec![json!({
                "type": "metrics-api",
                "name": "recommended",
                "metricType": "AverageValue",
                "metadata": {
                    "url": format!("{}/api/v1/scaling/value?workload={workload}", plan.forethought.trim_end_matches('/')),
                    "valueLocation": "value",
                    "targetValue": "1",
                },
            })]
        }
        Way::Grpc => {
            let mut metadata = Map::new();
            metadata.insert("scalerAddress".to_owned(), plan.grpc.clone().into());
            metadata.insert("workload".to_owned(), plan.workload.clone().into());
            vec![json!({
                "type": if plan.min == 0 { "external-push" } else { "external" },
                "name": "recommended",
                "metricType": "AverageValue",
                "useCachedMetrics": true,
                "metadata": metadata,
            })]
        }
    }
}

fn comment(plan: &Plan, way: Way) -> String {
    let reads = match way {
        Way::Prometheus | Way::Adapter | Way::ExternalMetrics => format!("Reads {SCALE} of Prometheus, which the rules above record."),
        Way::TwoTriggers => format!("Reads {REACTIVE} and {PREDICTED} of Prometheus, which the rules above record."),
        Way::MetricsApi => "Reads forethought's JSON: run at least two replicas of it, or its restart blocks scaling down.".to_owned(),
        Way::Grpc => "Reads forethought by gRPC: run at least two replicas behind a headless Service, or its restart blocks scaling down.\n\
                      The only external trigger, as what fails in one fails in all of them."
            .to_owned(),
    };
    format!(
        "{reads}\n\
         ignoreNullValues: \"false\", as no answer is no load otherwise. The processors are a second opinion that no failure of a metric touches.\n\
         fallback: when a trigger has failed three times, at least {} replicas; more where there are more (KEDA 2.17; before, exactly so many). Down slowly, up at once.",
        plan.fallback.max(1)
    )
}
