//! Nodes: one target each, its kubelet.

use super::{
    super::Group,
    meta::{join, put, put_object, put_some},
};
use crate::{series::relabel::LabelMap, source::scrape::target::ADDRESS};
use k8s_openapi::api::core::v1::Node;

/// Which address is taken, best first, as Prometheus does.
const PREFERRED: [&str; 6] = [
    "InternalIP",
    "InternalDNS",
    "ExternalIP",
    "ExternalDNS",
    "LegacyHostIP",
    "Hostname",
];

/// The target of a node; nothing where it has no address yet.
pub(super) fn group(node: &Node) -> Option<Group> {
    let name = node.metadata.name.clone().unwrap_or_default();
    let status = node.status.as_ref()?;
    let addresses = status.addresses.as_deref().unwrap_or_default();
    let of = |kind: &&str| addresses.iter().find(|address| address.type_ == **kind);
    let address = PREFERRED.iter().find_map(of)?;
    let kubelet = status
        .daemon_endpoints
        .as_ref()?
        .kubelet_endpoint
        .as_ref()?;
    let mut labels = LabelMap::new();
    put(&mut labels, "node_name", &name);
    put_some(
        &mut labels,
        "node_provider_id",
        node.spec
            .as_ref()
            .and_then(|spec| spec.provider_id.as_ref()),
    );
    put_object(&mut labels, "node", &node.metadata);
    let mut target = LabelMap::from([
        (ADDRESS.to_owned(), join(&address.address, kubelet.port)),
        ("instance".to_owned(), name),
    ]);
    // Of several addresses of a kind the first.
    for address in addresses.iter().rev() {
        put(
            &mut target,
            &format!("node_address_{}", address.type_),
            &address.address,
        );
    }
    Some(Group {
        targets: vec![target],
        labels,
    })
}
