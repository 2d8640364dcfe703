//! Kubernetes manifests for a workload, safe by default: what a failure of ours, of Prometheus or of KEDA must never do is
//! scale it down.
//!
//! | file | what |
//! |---|---|
//! | `rules.rs` | recording rules that join the reactive demand and ours, and alerts |
//! | `scaled_object.rs` | KEDA's ScaledObject, by each way of reading |
//! | `autoscaler.rs` | a plain HPA, behind any adapter of Prometheus |
//! | `external.rs` | a plain HPA that asks us, and what a cluster needs for that |
//! | `lint` | hazards of manifests that are there |

mod autoscaler;
mod external;
pub mod lint;
mod rules;
mod scaled_object;
#[cfg(test)]
mod tests;

pub use rules::FOR;

use crate::series::Span;
use serde_json::{Value, json};
use std::fmt::Write;

/// How an autoscaler reads the recommendation; the safest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// KEDA asks Prometheus for one recorded series: the greater of the reactive demand and ours. Holds when we die, knows
    /// when Prometheus does. The default
    Prometheus,
    /// KEDA asks Prometheus for both separately: the safest against shrinking early, dearer until what failed is mended
    TwoTriggers,
    /// KEDA asks us for JSON, without Prometheus in the way; needs two replicas of us
    MetricsApi,
    /// KEDA asks us by gRPC, and workloads wake from zero before their load arrives; needs two replicas of us
    Grpc,
    /// A plain HPA asks us as external.metrics.k8s.io: for clusters without KEDA that want no adapter either; needs two replicas
    /// of us
    ExternalMetrics,
    /// A plain HPA reads the recorded series through an adapter of Prometheus: for clusters without KEDA
    Adapter,
}

impl Way {
    /// Whether it reads recorded series.
    pub fn needs_rules(self) -> bool {
        matches!(self, Self::Prometheus | Self::TwoTriggers | Self::Adapter)
    }
}

/// What manifests are made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The workload, as in the configuration.
    pub workload: String,
    /// The name of the objects: a label of DNS, see [`is_label`].
    pub name: String,
    /// What is scaled.
    pub target: Target,
    /// Its namespace.
    pub namespace: String,
    /// What one replica takes; `None` where it is learned.
    pub capacity: Option<f64>,
    /// The least size.
    pub min: u32,
    /// The greatest size.
    pub max: u32,
    /// The demand of now, without us.
    pub demand: Reactive,
    /// How often we decide.
    pub review: Span,
    /// The rules keep what we asked for so long, when we are gone.
    pub hold: Span,
    /// The size that KEDA keeps at least when a trigger fails.
    pub fallback: u32,
    /// The share of its processors, in percent, at which the second opinion grows.
    pub cpu: u32,
    /// Where Prometheus is.
    pub prometheus: String,
    /// Where we are, for `metrics-api`.
    pub forethought: String,
    /// Where we serve external metrics, for what is there once a cluster; `None` where that is there already.
    pub external: Option<External>,
    /// Where we are, for gRPC: every replica's address, as a headless Service gives them.
    pub grpc: String,
}

/// Where we serve external metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// The Service.
    pub service: String,
    /// Its namespace, and that of the service account.
    pub namespace: String,
    /// Its port.
    pub port: u16,
    /// The service account that we run as.
    pub service_account: String,
    /// The authorities of our certificate: PEM in base64.
    pub ca_bundle: String,
}

/// What is scaled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// The demand of now, as Prometheus knows it without us.
#[derive(Debug, Clone, PartialEq)]
pub struct Reactive {
    /// The query of the signal and the name it is recorded under, with the label [`FOR`] of the workload, where its demand is
    /// one of several series.
    pub recorded: Option<(String, String)>,
    /// PromQL with one series.
    pub query: String,
    /// How much of what it is made of must be there for it to be the demand.
    pub complete: Option<Complete>,
}

/// How much of what the demand is made of must be there.
#[derive(Debug, Clone, PartialEq)]
pub struct Complete {
    /// PromQL of the share that is there, one value.
    pub share: String,
    /// The least that will do.
    pub least: f64,
}

/// One document, and why it is as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Lines of comment.
    pub comment: String,
    /// The object.
    pub object: Value,
}

/// The manifests by which `way` works.
pub fn documents(plan: &Plan, way: Way) -> Vec<Document> {
    let mut all = Vec::new();
    if way.needs_rules() {
        all.push(rules::document(plan));
    } else {
        all.push(rules::alerts_only(plan, way));
    }
    match way {
        Way::Adapter => all.push(autoscaler::document(plan)),
        Way::ExternalMetrics => {
            all.push(external::autoscaler(plan));
            all.extend(external::once(plan));
        }
        _ => all.push(scaled_object::document(plan, way)),
    }
    all
}

/// The rules alone, as a rule file of Prometheus.
pub fn rule_file(plan: &Plan, way: Way) -> Document {
    let mut document = documents(plan, way).swap_remove(0);
    document.object = json!({ "groups": document.object["spec"]["groups"] });
    document
}

/// As a YAML stream.
///
/// # Errors
/// An object that YAML cannot hold.
pub fn yaml(documents: &[Document]) -> Result<String, String> {
    let mut text = String::new();
    for (place, document) in documents.iter().enumerate() {
        if place > 0 {
            text.push_str("---\n");
        }
        for line in document.comment.lines() {
            _ = writeln!(text, "# {line}");
        }
        let object = serde_yaml::to_string(&document.object);
        text.push_str(&object.map_err(|error| error.to_string())?);
    }
    Ok(text)
}

/// Whether Kubernetes takes it as a name, with room for the ends that others put to it.
pub fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let ends = [name.as_bytes().first(), name.as_bytes().last()];
    name.len() <= 50
        && name.bytes().all(plain)
        && ends.iter().all(|end| end.is_some_and(|end| *end != b'-'))
}

/// Whether Kubernetes takes it as the value of a label.
pub fn is_label_value(text: &str) -> bool {
    !text.is_empty() && crate::external::is_label_value(text)
}

/// Every expression of the rules that `way` needs.
pub fn expressions(plan: &Plan, way: Way) -> Vec<String> {
    let file = rule_file(plan, way).object;
    let rules = file["groups"][0]["rules"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let expressions = rules.iter().filter_map(|rule| rule["expr"].as_str());
    expressions.map(str::to_owned).collect()
}

fn metadata(plan: &Plan, name: &str) -> Value {
    json!({
        "name": name,
        "namespace": plan.namespace,
        "labels": {"app.kubernetes.io/managed-by": "forethought", "forethought/workload": plan.name},
    })
}

/// Slow down, quick up.
fn behavior() -> Value {
    json!({
        "scaleDown": {
            "stabilizationWindowSeconds": 600,
            "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
        },
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 15},
                {"type": "Pods", "value": 4, "periodSeconds": 15},
            ],
        },
    })
}
