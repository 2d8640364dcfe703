//! Pods: one target for each declared port of their containers.

use super::{
    super::Group,
    meta::{join, put, put_object, put_some},
};
use crate::{series::relabel::LabelMap, source::scrape::target::ADDRESS};
use k8s_openapi::api::core::v1::{Container, ContainerPort, Pod};

/// The targets of a pod; none where it has no address yet.
pub(super) fn group(pod: &Pod) -> Option<Group> {
    let address = address(pod)?;
    let mut targets = Vec::new();
    for (container, is_init) in containers(pod) {
        let ports = container.ports.as_deref().unwrap_or_default();
        for port in ports {
            let mut target = container_labels(pod, container, is_init, Some(port));
            target.insert(ADDRESS.to_owned(), join(address, port.container_port));
            targets.push(target);
        }
        if ports.is_empty() {
            let mut target = container_labels(pod, container, is_init, None);
            target.insert(ADDRESS.to_owned(), address.to_owned());
            targets.push(target);
        }
    }
    let mut labels = labels(pod);
    put_some(&mut labels, "namespace", pod.metadata.namespace.as_ref());
    Some(Group { targets, labels })
}

/// What is said of a pod wherever it is a target.
pub(super) fn labels(pod: &Pod) -> LabelMap {
    let mut labels = LabelMap::new();
    let (own, status) = (&pod.metadata, pod.status.clone().unwrap_or_default());
    put_some(&mut labels, "pod_name", own.name.as_ref());
    put_some(&mut labels, "pod_ip", status.pod_ip.as_ref());
    put_some(&mut labels, "pod_host_ip", status.host_ip.as_ref());
    put_some(&mut labels, "pod_phase", status.phase.as_ref());
    put_some(&mut labels, "pod_uid", own.uid.as_ref());
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
    put_some(&mut labels, "pod_node_name", node);
    let conditions = status.conditions.iter().flatten();
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    let ready = ready.next().map_or("unknown".to_owned(), |condition| {
        condition.status.to_lowercase()
    });
    put(&mut labels, "pod_ready", ready);
    let owners = own.owner_references.iter().flatten();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    if let Some(controller) = controllers.next() {
        put(&mut labels, "pod_controller_kind", &controller.kind);
        put(&mut labels, "pod_controller_name", &controller.name);
    }
    put_object(&mut labels, "pod", own);
    labels
}

/// The address of a pod, once it has one.
pub(super) fn address(pod: &Pod) -> Option<&str> {
    let address = pod.status.as_ref()?.pod_ip.as_deref()?;
    (!address.is_empty()).then_some(address)
}

/// The containers of a pod, and whether they are to end before the others begin.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let spec = pod.spec.iter();
    let usual = spec
        .clone()
        .flat_map(|spec| &spec.containers)
        .map(|own| (own, false));
    let first = spec.flat_map(|spec| spec.init_containers.iter().flatten());
    usual.chain(first.map(|own| (own, true)))
}

/// What is said of a container and one of its ports.
pub(super) fn container_labels(
    pod: &Pod,
    container: &Container,
    is_init: bool,
    port: Option<&ContainerPort>,
) -> LabelMap {
    let mut labels = LabelMap::new();
    put(&mut labels, "pod_container_name", &container.name);
    put_some(&mut labels, "pod_container_image", container.image.as_ref());
    put(&mut labels, "pod_container_init", is_init.to_string());
    let status = pod.status.iter();
    let all =
        status.flat_map(|status| [&status.container_statuses, &status.init_container_statuses]);
    let mut own = all
        .flatten()
        .flatten()
        .filter(|status| status.name == container.name);
    let id = own.next().and_then(|status| status.container_id.as_ref());
    put_some(&mut labels, "pod_container_id", id);
    if let Some(port) = port {
        put_some(&mut labels, "pod_container_port_name", port.name.as_ref());
        put(
            &mut labels,
            "pod_container_port_number",
            port.container_port.to_string(),
        );
        put(
            &mut labels,
            "pod_container_port_protocol",
            port.protocol.as_deref().unwrap_or("TCP"),
        );
    }
    labels
}
