//! KEDA's ScaledObject.

use super::{
    super::{
        rules::{PREDICTED, REACTIVE},
        scaled_object::MAY_SLEEP,
    },
    Report, is_guarded, is_ours, slow_enough,
};
use serde_json::Value;

/// Triggers that no metric of anybody feeds.
const INDEPENDENT: [&str; 2] = ["cpu", "memory"];
/// Triggers that ask a service of ours by gRPC.
const GRPC: [&str; 2] = ["external", "external-push"];

pub(super) fn look(object: &Value, report: &mut Report<'_>) {
    let spec = &object["spec"];
    let none = Vec::new();
    let triggers = spec["triggers"].as_array().unwrap_or(&none);
    let ours: Vec<bool> = triggers.iter().map(asks_us).collect();
    for (place, (trigger, is_ours)) in triggers.iter().zip(&ours).enumerate() {
        look_at_trigger(place, trigger, *is_ours, report);
    }
    if !ours.contains(&true) {
        // Whoever does not read us only has hazards of everybody's.
        look_at_fallback(spec, false, report);
        return;
    }
    look_together(spec, triggers, &ours, report);
    look_at_fallback(spec, true, report);
    look_at_least(object, report);
    let behavior = &spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"];
    let most = spec["maxReplicaCount"].as_u64().unwrap_or(100);
    if let Err(text) = slow_enough(behavior, most) {
        let field = "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown";
        report.error("sudden-scale-down", field, text);
    }
}

/// Whether a trigger reads what we say.
fn asks_us(trigger: &Value) -> bool {
    let metadata = &trigger["metadata"];
    let text = |key: &str| metadata[key].as_str().unwrap_or_default();
    match trigger["type"].as_str().unwrap_or_default() {
        "prometheus" => is_ours(text("query")),
        "metrics-api" => text("url").contains("/api/v1/scaling/"),
        kind if GRPC.contains(&kind) => {
            let address = text("scalerAddress");
            let named = address.contains("forethought") || address.ends_with(":10058");
            named || !metadata["workload"].is_null()
        }
        _ => false,
    }
}

fn look_at_trigger(place: usize, trigger: &Value, is_ours: bool, report: &mut Report<'_>) {
    let field = |name: &str| format!("spec.triggers[{place}].{name}");
    let metadata = &trigger["metadata"];
    let kind = trigger["type"].as_str().unwrap_or_default();
    if kind == "prometheus" && !is_false(&metadata["ignoreNullValues"]) {
        report.error(
            "null-is-zero",
            field("metadata.ignoreNullValues"),
            "an empty answer is taken for no load, and the workload is scaled down; write ignoreNullValues: \"false\"",
        );
    }
    if !is_ours {
        return;
    }
    if trigger["metricType"] == "Value" {
        report.error(
            "value-counts-ready-pods",
            field("metricType"),
            "Value is multiplied by the ready pods: those that were started ahead do not count, and with none ready the result is 0; write AverageValue",
        );
    }
    let query = metadata["query"].as_str().unwrap_or_default();
    let is_held = query.contains(PREDICTED) && query.contains("max_over_time");
    if kind == "prometheus" && !is_guarded(query) && !query.contains(REACTIVE) && !is_held {
        report.error(
            "raw-prediction",
            field("metadata.query"),
            "reads what is predicted as it is: gone, frozen or not a number when something fails; read workload:demand:scale of the rules that forethought manifests writes",
        );
    }
    if GRPC.contains(&kind) {
        if trigger["useCachedMetrics"] != true {
            report.warning(
                "every-sync-asks",
                field("useCachedMetrics"),
                "each sync of the HPA asks again, with three seconds for an answer; write useCachedMetrics: true",
            );
        }
        if metadata["scalerAddress"]
            .as_str()
            .is_some_and(|address| address.starts_with("localhost") || address.starts_with("127."))
        {
            report.error(
                "address-of-keda",
                field("metadata.scalerAddress"),
                "is KEDA's own pod; write the address of forethought's headless Service",
            );
        }
    }
}

/// What triggers do to each other.
fn look_together(spec: &Value, triggers: &[Value], ours: &[bool], report: &mut Report<'_>) {
    let kind = |trigger: &Value| trigger["type"].as_str().unwrap_or_default().to_owned();
    let independent = triggers
        .iter()
        .any(|trigger| INDEPENDENT.contains(&kind(trigger).as_str()));
    // What we say ourselves holds the present; what is predicted, read of Prometheus, does not.
    let knows_present = triggers.iter().zip(ours).any(|(trigger, ours)| {
        let query = trigger["metadata"]["query"].as_str().unwrap_or_default();
        let kind = kind(trigger);
        match (*ours, kind.as_str()) {
            (true, "prometheus") => is_guarded(query) || query.contains(REACTIVE),
            (true, _) => true,
            (false, kind) => !INDEPENDENT.contains(&kind),
        }
    });
    if !knows_present {
        report.error(
            "prediction-alone",
            "spec.triggers",
            "nothing but what is predicted scales this: add a trigger on the demand of now, and cpu",
        );
    }
    if !independent {
        report.error(
            "no-independent-trigger",
            "spec.triggers",
            "when Prometheus or forethought fails nothing scales this up any more; add a cpu trigger with metricType: Utilization",
        );
    }
    let asks = |wanted: &[&str]| {
        triggers
            .iter()
            .filter(|trigger| wanted.contains(&kind(trigger).as_str()))
            .count()
    };
    let grpc = asks(&GRPC);
    let beside = triggers.len() - grpc - asks(&INDEPENDENT);
    if grpc > 0 && beside > 0 {
        report.error(
            "grpc-beside-others",
            "spec.triggers",
            "a gRPC trigger that cannot be reached makes every external trigger of the ScaledObject fail, and the fallback may never begin; let it be the only one beside cpu",
        );
    }
    let formula = spec["advanced"]["scalingModifiers"]["formula"].as_str();
    if let Some(formula) = formula.filter(|formula| !formula.contains("??")) {
        report.warning(
            "formula-without-otherwise",
            "spec.advanced.scalingModifiers.formula",
            format!("{formula:?} has no value where a trigger has failed; write max(reactive, predicted ?? 0) and fallback.behavior: scalingModifiers"),
        );
    }
}

fn look_at_fallback(spec: &Value, reads_us: bool, report: &mut Report<'_>) {
    let fallback = &spec["fallback"];
    if fallback.is_null() {
        if reads_us {
            report.error(
                "no-fallback",
                "spec.fallback",
                "a trigger that goes on failing leaves the workload as it is for good; write {failureThreshold: 3, replicas: a size that is enough, behavior: currentReplicasIfHigher}",
            );
        }
        return;
    }
    if fallback["replicas"].as_u64().unwrap_or_default() == 0 {
        report.error(
            "fallback-to-zero",
            "spec.fallback.replicas",
            "is 0: a failing trigger ends in no replica at all; write a size that is enough",
        );
    }
    let replicas = fallback["replicas"].as_u64().unwrap_or_default();
    let least = spec["minReplicaCount"].as_u64().unwrap_or_default();
    if reads_us && replicas > 0 && replicas <= least {
        report.warning(
            "fallback-is-the-least",
            "spec.fallback.replicas",
            format!("{replicas} is the least size: KEDA before 2.17 goes down to it when a trigger fails; write a size that carries a usual peak"),
        );
    }
    let behavior = fallback["behavior"].as_str().unwrap_or("static");
    if reads_us && !["currentReplicasIfHigher", "scalingModifiers"].contains(&behavior) {
        report.warning(
            "fallback-may-shrink",
            "spec.fallback.behavior",
            format!("{behavior}: a failure may take replicas away; write currentReplicasIfHigher (KEDA 2.17)"),
        );
    }
}

fn look_at_least(object: &Value, report: &mut Report<'_>) {
    let spec = &object["spec"];
    let least = spec["minReplicaCount"].as_u64().unwrap_or_default();
    let intended = object["metadata"]["annotations"][MAY_SLEEP] == "intended";
    if least == 0 && !intended {
        report.warning(
            "may-sleep",
            "spec.minReplicaCount",
            format!("is 0, as it is where it is left out: the workload may be scaled to nothing; write 1, or the annotation {MAY_SLEEP}: intended"),
        );
    }
    let (most, idle) = (
        spec["maxReplicaCount"].as_u64().unwrap_or(100),
        spec["idleReplicaCount"].as_u64(),
    );
    if most < least.max(idle.unwrap_or_default()) {
        report.error(
            "most-below-least",
            "spec.maxReplicaCount",
            format!("{most} is below the least size {least}"),
        );
    }
}

fn is_false(value: &Value) -> bool {
    *value == Value::Bool(false) || value.as_str().is_some_and(|text| text == "false")
}
