//! Services: one target for each port.

use super::{
    super::Group,
    meta::{put, put_object, put_some},
};
use crate::{series::relabel::LabelMap, source::scrape::target::ADDRESS};
use k8s_openapi::api::core::v1::Service;

/// The targets of a service.
pub(super) fn group(service: &Service) -> Group {
    let spec = service.spec.clone().unwrap_or_default();
    let own = &service.metadata;
    let host = format!(
        "{}.{}.svc",
        own.name.as_deref().unwrap_or_default(),
        own.namespace.as_deref().unwrap_or_default()
    );
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    let target = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let mut labels = LabelMap::from([(ADDRESS.to_owned(), format!("{host}:{}", port.port))]);
        put_some(&mut labels, "service_port_name", port.name.as_ref());
        put(&mut labels, "service_port_number", port.port.to_string());
        put(
            &mut labels,
            "service_port_protocol",
            port.protocol.as_deref().unwrap_or("TCP"),
        );
        put(&mut labels, "service_type", kind);
        if kind == "ExternalName" {
            put_some(
                &mut labels,
                "service_external_name",
                spec.external_name.as_ref(),
            );
        } else {
            put_some(&mut labels, "service_cluster_ip", spec.cluster_ip.as_ref());
        }
        if kind == "LoadBalancer" {
            put_some(
                &mut labels,
                "service_loadbalancer_ip",
                spec.load_balancer_ip.as_ref(),
            );
        }
        labels
    };
    let mut labels = labels(service);
    put_some(&mut labels, "namespace", own.namespace.as_ref());
    Group {
        targets: spec.ports.iter().flatten().map(target).collect(),
        labels,
    }
}

/// What is said of a service wherever it is the reason for a target.
pub(super) fn labels(service: &Service) -> LabelMap {
    let mut labels = LabelMap::new();
    put_some(&mut labels, "service_name", service.metadata.name.as_ref());
    put_object(&mut labels, "service", &service.metadata);
    labels
}
