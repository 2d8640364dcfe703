//! A plain HPA that asks forethought itself, and what Kubernetes needs for that once a cluster.

use super::{Document, External, Plan, autoscaler};
use crate::external::METRIC;
use serde_json::{Value, json};

const GROUP: &str = "external.metrics.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
/// Who asks for metrics on behalf of every HPA.
const AUTOSCALER: &str = "horizontal-pod-autoscaler";

/// The HPA.
pub(super) fn autoscaler(plan: &Plan) -> Document {
    let metric = json!({"name": METRIC, "selector": {"matchLabels": {"workload": plan.workload}}});
    Document {
        comment: format!(
            "Reads {METRIC} of external.metrics.k8s.io, which forethought serves: run at least two replicas of it, or its restart blocks\n\
             scaling down. The metric is a number of replicas, so each is to have 1 of it. What is not known is an error: then nothing is\n\
             scaled down. The processors are a second opinion that no failure of that metric touches. Down slowly, up at once."
        ),
        object: autoscaler::hpa(plan, &metric, "1"),
    }
}

/// What is there once a cluster; nothing where somebody else, the chart say, has put it there.
pub(super) fn once(plan: &Plan) -> Vec<Document> {
    let Some(external) = &plan.external else {
        return Vec::new();
    };
    let mut documents = vec![api_service(external)];
    documents.extend(rights(external));
    documents
}

fn api_service(external: &External) -> Document {
    Document {
        comment: format!(
            "Once a cluster: who serves {GROUP}. There can be only one, so KEDA or another adapter is replaced by this;\n\
             proxy in forethought's --external.config.file asks it for what is not ours.\n\
             caBundle: the authority of forethought's certificate, which must be for {}.{}.svc.",
            external.service, external.namespace
        ),
        object: json!({
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": format!("v1beta1.{GROUP}"), "labels": labels()},
            "spec": {
                "group": GROUP,
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": external.ca_bundle,
                "service": {
                    "name": external.service, "namespace": external.namespace, "port": external.port,
                },
            },
        }),
    }
}

fn rights(external: &External) -> Vec<Document> {
    let own = json!([{
        "kind": "ServiceAccount", "name": external.service_account, "namespace": external.namespace,
    }]);
    let document = |comment: &str, object: Value| Document {
        comment: comment.to_owned(),
        object,
    };
    let name = |what: &str| format!("forethought-external-{what}");
    vec![
        document(
            "forethought may ask the API server whether a user may.",
            json!({
                "apiVersion": format!("{RBAC}/v1"),
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name("auth-delegator"), "labels": labels()},
                "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "system:auth-delegator"},
                "subjects": own,
            }),
        ),
        document(
            "forethought may read who the front proxy is.",
            json!({
                "apiVersion": format!("{RBAC}/v1"),
                "kind": "RoleBinding",
                "metadata": {"name": name("auth-reader"), "namespace": "kube-system", "labels": labels()},
                "roleRef": {
                    "apiGroup": RBAC, "kind": "Role", "name": "extension-apiserver-authentication-reader",
                },
                "subjects": own,
            }),
        ),
        document(
            "HPAs may read external metrics.",
            json!({
                "apiVersion": format!("{RBAC}/v1"),
                "kind": "ClusterRole",
                "metadata": {"name": name("reader"), "labels": labels()},
                "rules": [{"apiGroups": [GROUP], "resources": ["*"], "verbs": ["get", "list"]}],
            }),
        ),
        document(
            "",
            json!({
                "apiVersion": format!("{RBAC}/v1"),
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name("reader"), "labels": labels()},
                "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name("reader")},
                "subjects": [{"kind": "ServiceAccount", "name": AUTOSCALER, "namespace": "kube-system"}],
            }),
        ),
    ]
}

fn labels() -> Value {
    json!({"app.kubernetes.io/managed-by": "forethought"})
}
