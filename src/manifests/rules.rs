//! Recording rules and alerts of one workload. Why each clause is there: docs/serving.md.

use super::{Document, Plan, Way, metadata};
use serde_json::{Value, json};

/// The series that autoscalers read.
pub(super) const SCALE: &str = "workload:demand:scale";
/// The demand without us.
pub(super) const REACTIVE: &str = "workload:demand:reactive";
/// Ours, where it can be trusted.
pub(super) const PREDICTED: &str = "workload:demand:predicted_ok";
/// The label that tells apart what is recorded for several workloads.
pub const FOR: &str = "for_workload";
/// Seconds that a decision may be old, and ahead of Prometheus' clock.
const OLDEST: i64 = 600;
/// Seconds after which somebody is told.
const TOLD: i64 = 300;
/// The alert on what KEDA gets.
const KEDA_ALERT: &str = "KedaScalerErrors";
/// A decision may come so many seconds late.
const SLACK: i64 = 120;
const AHEAD: u32 = 60;

/// Recording rules and alerts, as the operator of Prometheus takes them.
pub(super) fn document(plan: &Plan) -> Document {
    let mut rules = recording(plan);
    rules.extend(alerts(plan));
    Document {
        comment: "The greater of the demand of now and what forethought asks for, and alerts on the way it takes. One group: each rule reads the ones before it.\n\
                  Where the demand of now is not known, or some of its targets are gone, there is no series: KEDA gets an error and does not scale down."
            .to_owned(),
        object: resource(plan, rules),
    }
}

/// Alerts where nothing recorded is read; those on KEDA only where KEDA reads.
pub(super) fn alerts_only(plan: &Plan, way: Way) -> Document {
    let mut watched: Vec<Value> = alerts(plan).into_iter().skip(1).collect();
    if way == Way::ExternalMetrics {
        watched.retain(|rule| rule["alert"] != KEDA_ALERT);
    }
    Document {
        comment: "Alerts on the way from forethought to the autoscaler.".to_owned(),
        object: resource(plan, watched),
    }
}

fn resource(plan: &Plan, rules: Vec<Value>) -> Value {
    let name = format!("forethought-{}", plan.name);
    json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata(plan, &name),
        "spec": {"groups": [{"name": name, "interval": "15s", "rules": rules}]},
    })
}

fn recording(plan: &Plan) -> Vec<Value> {
    let own = selector(&plan.workload);
    // What stands after a dollar sign would be a group of a regular expression.
    let text = quoted(&plan.workload.replace('$', "$$"));
    let demand = &plan.demand;
    let mut rules = Vec::new();
    if let Some((name, query)) = &demand.recorded {
        // A series of its own for each workload: several may be of one signal, and what two groups record must differ.
        rules.push(json!({"record": name, "expr": query.trim(), "labels": {FOR: plan.workload}}));
    }
    let complete = demand.complete.as_ref().map_or(String::new(), |complete| {
        format!(
            "\n  and on () ({}\n >= {})",
            complete.share.trim(),
            complete.least
        )
    });
    let query = demand.query.trim();
    let reactive =
        format!("sum by (workload) (label_replace({query}\n, \"workload\", {text}, \"\", \"\"))");
    rules.push(json!({"record": REACTIVE, "expr": format!("{reactive}{complete}")}));
    let decided = format!(
        "(predicted_decided_timestamp_seconds{own} or on (workload, instance) predicted_generated_timestamp_seconds{own})"
    );
    let oldest = stale_after(plan, OLDEST);
    rules.push(json!({
        "record": PREDICTED,
        "expr": format!(
            "max by (workload) (\n  (predicted_demand{own} >= 0 < +Inf)\n  and on (workload, instance) (time() - {decided} < {oldest})\n  \
             and on (workload, instance) (time() - {decided} > -{AHEAD}))"
        ),
    }));
    let hold = plan.hold;
    rules.push(json!({
        "record": SCALE,
        "expr": format!(
            "max by (workload) (\n  label_replace({REACTIVE}{own}, \"src\", \"r\", \"\", \"\")\n  \
             or label_replace(max_over_time({PREDICTED}{own}[{hold}]), \"src\", \"p\", \"\", \"\"))\nand on (workload) {REACTIVE}{own}"
        ),
    }));
    rules
}

/// Seconds after which a decision is too old: `usual`, or more where decisions are rare.
fn stale_after(plan: &Plan, usual: i64) -> i64 {
    usual.max(2 * plan.review.as_millis() / 1_000 + SLACK)
}

/// The first is about what is recorded.
fn alerts(plan: &Plan) -> Vec<Value> {
    let (own, name) = (selector(&plan.workload), &plan.name);
    let alert = |name: &str,
                 expr: String,
                 wait: &str,
                 severity: &str,
                 summary: &str,
                 description: String| {
        json!({
            "alert": name, "expr": expr, "for": wait, "labels": {"severity": severity, "workload": plan.workload},
            "annotations": {"summary": summary, "description": description},
        })
    };
    let told = stale_after(plan, TOLD);
    let mut all = vec![
        alert(
            "WorkloadDemandUnknown",
            format!("absent({SCALE}{own})"),
            "5m",
            "critical",
            "The demand of a workload is not known, and its autoscaler stands still but for its processors.",
            format!(
                "{SCALE} of {} is absent: the demand of now has no answer, or some of its targets are gone.",
                plan.workload
            ),
        ),
        alert(
            "ScalerAnswerStale",
            format!(
                "(time() - max(predicted_decided_timestamp_seconds{own}) > {told}) or absent(predicted_decided_timestamp_seconds{own})"
            ),
            "5m",
            "warning",
            "forethought has decided nothing on a workload for minutes.",
            format!(
                "Nothing new is said about {}; it is scaled by the demand of now, once what is held has ended.",
                plan.workload
            ),
        ),
        alert(
            KEDA_ALERT,
            format!(
                "sum by (scaledObject) (increase(keda_scaler_detail_errors_total{{scaledObject={}}}[10m])) > 0",
                quoted(name)
            ),
            "5m",
            "warning",
            "KEDA gets errors from a trigger of a workload.",
            format!(
                "KEDA got {{{{ $value | humanize }}}} errors for {} within ten minutes. Nothing is scaled down meanwhile.",
                plan.workload
            ),
        ),
    ];
    // That of a workload which sleeps is inactive, and all is well.
    if plan.min > 0 {
        all.push(alert(
            "HpaScalingInactive",
            format!(
                "max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_status_condition{{horizontalpodautoscaler=~{},condition=\"ScalingActive\",status=\"false\"}}) == 1",
                quoted(&format!("(keda-hpa-)?{name}"))
            ),
            "10m",
            "critical",
            "The HPA of a workload does not scale.",
            format!(
                "{{{{ $labels.horizontalpodautoscaler }}}} of {} has no metric that it can use; kubectl describe says why.",
                plan.workload
            ),
        ));
    }
    all
}

/// `{workload="..."}`.
pub(super) fn selector(workload: &str) -> String {
    format!("{{workload={}}}", quoted(workload))
}

/// A string of PromQL, which JSON's are.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
