//! The documents of the API, as Kubernetes' own servers write them.

use super::accept::Form;
use crate::series::Millis;
use serde_json::{Value, json};

/// The group.
pub(super) const GROUP: &str = "external.metrics.k8s.io";
/// Its version.
pub(super) const VERSION: &str = "v1beta1";
/// What a metric is a list of.
pub(super) const KIND: &str = "ExternalMetricValueList";

/// `group/version`.
pub(super) fn group_version() -> String {
    format!("{GROUP}/{VERSION}")
}

/// A list of one value, never of more: an HPA adds them up.
pub(super) fn value(metric: &str, workload: &str, at: Millis, quantity: &str) -> Value {
    json!({
        "kind": KIND,
        "apiVersion": group_version(),
        "metadata": {},
        "items": [{
            "metricName": metric,
            "metricLabels": {"workload": workload},
            "timestamp": time(at),
            "value": quantity,
        }],
    })
}

/// Whole seconds, as Kubernetes writes times.
fn time(at: Millis) -> String {
    let time = jiff::Timestamp::from_second(at.div_euclid(1_000)).unwrap_or_default();
    time.to_string()
}

/// Why there is no answer.
pub(super) fn status(code: u16, message: &str) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason(code),
        "code": code,
    })
}

/// The word that Kubernetes has for a status code.
fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        406 => "NotAcceptable",
        409 => "Conflict",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    }
}

/// What is at `/apis`, for metrics of these names.
pub(super) fn groups(form: Form, metrics: &[String]) -> Value {
    let Form::Discovery(version) = form else {
        return json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [bare_group()]});
    };
    let resources: Vec<Value> = metrics
        .iter()
        .map(|metric| {
            json!({
                "resource": metric,
                "responseKind": {"group": GROUP, "version": VERSION, "kind": KIND},
                "scope": "Namespaced",
                "singularResource": "",
                "verbs": ["get"],
            })
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": [{
            "metadata": {"name": GROUP, "creationTimestamp": null},
            "versions": [{"version": VERSION, "resources": resources, "freshness": "Current"}],
        }],
    })
}

/// What is at `/apis/GROUP`.
pub(super) fn group() -> Value {
    let mut group = bare_group();
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    group
}

fn bare_group() -> Value {
    let version = json!({"groupVersion": group_version(), "version": VERSION});
    json!({"name": GROUP, "versions": [version.clone()], "preferredVersion": version})
}

/// What is at `/apis/GROUP/VERSION`.
pub(super) fn resources(metrics: &[String]) -> Value {
    let resources: Vec<Value> = metrics
        .iter()
        .map(|metric| json!({"name": metric, "singularName": "", "namespaced": true, "kind": KIND, "verbs": ["get"]}))
        .collect();
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version(),
        "resources": resources,
    })
}

/// What is at `/version`: of this program, in the words of Kubernetes.
pub(super) fn version() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let mut parts = version.split('.');
    json!({
        "major": parts.next().unwrap_or_default(),
        "minor": parts.next().unwrap_or_default(),
        "gitVersion": format!("v{version}"),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_as_the_contract_has_it() {
        let list = value(
            "predicted-replicas",
            "checkout",
            1_795_375_800_999,
            "17800m",
        );
        insta::assert_snapshot!(format!("{list:#}"));
    }

    #[test]
    fn discovery_is_written_as_the_contract_has_it() {
        let metrics = ["predicted-replicas".to_owned()];
        let all = json!([
            groups(Form::Json, &metrics),
            group(),
            resources(&metrics),
            groups(Form::Discovery("v2"), &metrics),
            status(503, "the size is not known"),
        ]);
        insta::assert_snapshot!(format!("{all:#}"));
    }
}
