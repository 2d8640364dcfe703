//! Targets that run in Kubernetes, with the labels that Prometheus gives them.

#[cfg(feature = "kube")]
mod cluster;
#[cfg(feature = "kube")]
mod endpoints;
#[cfg(feature = "kube")]
mod meta;
#[cfg(feature = "kube")]
mod node;
#[cfg(feature = "kube")]
mod pod;
#[cfg(feature = "kube")]
mod service;
#[cfg(feature = "kube")]
#[cfg(test)]
mod tests;

use super::Publisher;
use crate::series::Span;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Targets that run in Kubernetes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesSdSettings {
    /// What is listed.
    pub role: Role,
    /// The cluster; left out: the one we run in.
    #[serde(default)]
    pub kubeconfig_file: Option<PathBuf>,
    /// Where to look; left out: everywhere.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// Which objects.
    #[serde(default)]
    pub selectors: Vec<Selector>,
    /// How often the API server is asked.
    #[serde(default = "KubernetesSdSettings::default_refresh")]
    pub refresh_interval: Span,
}

/// What is listed of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The endpoints of services, by `Endpoints`, which Kubernetes gives up.
    Endpoints,
    /// The endpoints of services, by endpoint slice.
    EndpointSlice,
    /// The nodes: their kubelets.
    Node,
    /// The declared ports of containers.
    Pod,
    /// The ports of services.
    Service,
}

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Namespaces {
    /// Whether our own namespace is one of them.
    pub own_namespace: bool,
    /// Their names.
    pub names: Vec<String>,
}

/// Which objects of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The kind.
    pub role: Role,
    /// As `kubectl get --selector`.
    #[serde(default)]
    pub label: Option<String>,
    /// As `kubectl get --field-selector`.
    #[serde(default)]
    pub field: Option<String>,
}

impl KubernetesSdSettings {
    /// A new pod is found within this; the API server answers such questions from its memory.
    fn default_refresh() -> Span {
        Span::seconds(15)
    }

    /// All problems, each with the path of the key and what to change.
    pub(in crate::source::scrape) fn validate(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if !cfg!(feature = "kube") {
            let text = "this forethought was built without Kubernetes (feature kube)";
            found.push(("role".to_owned(), text.to_owned()));
        }
        if self.refresh_interval < Span::seconds(1) {
            let text = "must be at least 1s".to_owned();
            found.push(("refresh_interval".to_owned(), text));
        }
        if self.namespaces.own_namespace && self.role == Role::Node {
            let text = "nodes are in no namespace".to_owned();
            found.push(("namespaces.own_namespace".to_owned(), text));
        }
        for (index, selector) in self.selectors.iter().enumerate() {
            let text = if !self.role.lists().contains(&selector.role) {
                {
                    let listed: Vec<&str> =
                        self.role.lists().iter().map(|role| role.as_str()).collect();
                    format!("has no meaning here; allowed: {}", listed.join(", "))
                }
            } else if selector.label.is_none() && selector.field.is_none() {
                "needs label or field".to_owned()
            } else {
                continue;
            };
            found.push((format!("selectors[{index}].role"), text));
        }
        found
    }

    /// Makes relative files relative to `directory`.
    pub(in crate::source::scrape) fn set_directory(&mut self, directory: &Path) {
        if let Some(file) = &mut self.kubeconfig_file {
            *file = directory.join(&*file);
        }
    }
}

impl Role {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslice",
            Self::Node => "node",
            Self::Pod => "pod",
            Self::Service => "service",
        }
    }

    /// The kinds of objects that are asked for.
    fn lists(self) -> &'static [Self] {
        match self {
            Self::Endpoints => &[Self::Endpoints, Self::Service, Self::Pod],
            Self::EndpointSlice => &[Self::EndpointSlice, Self::Service, Self::Pod],
            Self::Node => &[Self::Node],
            Self::Pod => &[Self::Pod],
            Self::Service => &[Self::Service],
        }
    }
}

/// Tells the targets of the cluster, for ever.
#[cfg(feature = "kube")]
pub(super) async fn run(settings: KubernetesSdSettings, publisher: Publisher) {
    cluster::run(&settings, &publisher).await;
}

/// Nothing: the settings are refused before.
#[cfg(not(feature = "kube"))]
pub(super) async fn run(_: KubernetesSdSettings, publisher: Publisher) {
    publisher.failed("this forethought was built without Kubernetes (feature kube)");
}
