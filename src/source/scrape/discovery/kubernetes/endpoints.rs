//! The endpoints of services, by `Endpoints` or by endpoint slices: a target for each address and port, and one for
//! each further port of the pods behind them.

use super::{
    super::Group,
    meta::{join, put, put_object, put_some, sanitised},
    pod, service,
};
use crate::{series::relabel::LabelMap, source::scrape::target::ADDRESS};
use k8s_openapi::api::{
    core::v1::{EndpointAddress, Endpoints, ObjectReference, Pod, Service},
    discovery::v1::{Endpoint, EndpointSlice},
};
use std::collections::{BTreeMap, BTreeSet};

/// Of an endpoint slice: the service it is of.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What stands behind endpoints, by namespace and name.
#[derive(Debug, Default)]
pub(super) struct Behind {
    services: BTreeMap<(String, String), Service>,
    pods: BTreeMap<(String, String), Pod>,
}

/// An address with a port.
struct Place<'a> {
    address: &'a str,
    port: Option<i32>,
    protocol: &'a str,
    labels: LabelMap,
    target: Option<&'a ObjectReference>,
}

impl Behind {
    pub(super) fn new(services: Vec<Service>, pods: Vec<Pod>) -> Self {
        let key = |namespace: Option<String>, name: Option<String>| {
            (namespace.unwrap_or_default(), name.unwrap_or_default())
        };
        let services = services.into_iter();
        let pods = pods.into_iter();
        Self {
            services: services
                .map(|own| {
                    (
                        key(own.metadata.namespace.clone(), own.metadata.name.clone()),
                        own,
                    )
                })
                .collect(),
            pods: pods
                .map(|own| {
                    (
                        key(own.metadata.namespace.clone(), own.metadata.name.clone()),
                        own,
                    )
                })
                .collect(),
        }
    }

    /// The targets of an `Endpoints`.
    pub(super) fn endpoints(&self, endpoints: &Endpoints) -> Group {
        let own = &endpoints.metadata;
        let mut labels = LabelMap::new();
        put_some(&mut labels, "namespace", own.namespace.as_ref());
        put_some(&mut labels, "endpoints_name", own.name.as_ref());
        put_object(&mut labels, "endpoints", own);
        let mut places = Vec::new();
        for subset in endpoints.subsets.iter().flatten() {
            let ready = subset
                .addresses
                .iter()
                .flatten()
                .map(|address| (address, true));
            let others = subset.not_ready_addresses.iter().flatten();
            let all: Vec<_> = ready
                .chain(others.map(|address| (address, false)))
                .collect();
            for port in subset.ports.iter().flatten() {
                let protocol = port.protocol.as_deref().unwrap_or("TCP");
                for (address, is_ready) in &all {
                    let mut labels = of_address(address, *is_ready);
                    put_some(&mut labels, "endpoint_port_name", port.name.as_ref());
                    put(&mut labels, "endpoint_port_protocol", protocol);
                    places.push(Place {
                        address: &address.ip,
                        port: Some(port.port),
                        protocol,
                        labels,
                        target: address.target_ref.as_ref(),
                    });
                }
            }
        }
        self.group(
            own.namespace.as_deref(),
            own.name.as_deref(),
            labels,
            places,
        )
    }

    /// The targets of an endpoint slice.
    pub(super) fn slice(&self, slice: &EndpointSlice) -> Group {
        let own = &slice.metadata;
        let mut labels = LabelMap::new();
        put_some(&mut labels, "namespace", own.namespace.as_ref());
        put_some(&mut labels, "endpointslice_name", own.name.as_ref());
        put(
            &mut labels,
            "endpointslice_address_type",
            &slice.address_type,
        );
        put_object(&mut labels, "endpointslice", own);
        let mut places = Vec::new();
        for port in slice.ports.iter().flatten() {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            for endpoint in slice.endpoints.iter().flatten() {
                let mut labels = of_endpoint(endpoint);
                put_some(&mut labels, "endpointslice_port_name", port.name.as_ref());
                put(&mut labels, "endpointslice_port_protocol", protocol);
                put_some(
                    &mut labels,
                    "endpointslice_port_app_protocol",
                    port.app_protocol.as_ref(),
                );
                put(
                    &mut labels,
                    "endpointslice_port",
                    port.port.map(|port| port.to_string()).unwrap_or_default(),
                );
                places.extend(endpoint.addresses.iter().map(|address| Place {
                    address,
                    port: port.port,
                    protocol,
                    labels: labels.clone(),
                    target: endpoint.target_ref.as_ref(),
                }));
            }
        }
        let service = own
            .labels
            .as_ref()
            .and_then(|labels| labels.get(SERVICE_NAME));
        self.group(
            own.namespace.as_deref(),
            service.map(String::as_str),
            labels,
            places,
        )
    }

    fn group(
        &self,
        namespace: Option<&str>,
        service: Option<&str>,
        mut labels: LabelMap,
        places: Vec<Place<'_>>,
    ) -> Group {
        let namespace = namespace.unwrap_or_default();
        let key = (namespace.to_owned(), service.unwrap_or_default().to_owned());
        if let Some(service) = self.services.get(&key) {
            labels.extend(service::labels(service));
        }
        let mut targets = Vec::new();
        let mut seen: BTreeMap<(String, String), BTreeSet<Option<i32>>> = BTreeMap::new();
        for place in places {
            let address = match place.port {
                Some(port) => join(place.address, port),
                None => place.address.to_owned(),
            };
            let mut target = place.labels;
            target.insert(ADDRESS.to_owned(), address);
            if let Some((key, pod)) = self.pod(namespace, place.target) {
                target.extend(pod::labels(pod));
                target.extend(of_port(pod, place.port, place.protocol));
                seen.entry(key).or_default().insert(place.port);
            }
            targets.push(target);
        }
        for (key, ports) in seen {
            targets.extend(
                self.pods
                    .get(&key)
                    .into_iter()
                    .flat_map(|pod| further(pod, &ports)),
            );
        }
        Group { targets, labels }
    }

    fn pod(
        &self,
        namespace: &str,
        target: Option<&ObjectReference>,
    ) -> Option<((String, String), &Pod)> {
        let target = target.filter(|target| target.kind.as_deref() == Some("Pod"))?;
        let namespace = target.namespace.as_deref().unwrap_or(namespace);
        let key = (namespace.to_owned(), target.name.clone()?);
        let pod = self.pods.get(&key)?;
        Some((key, pod))
    }
}

fn of_address(address: &EndpointAddress, is_ready: bool) -> LabelMap {
    let mut labels = LabelMap::new();
    put(&mut labels, "endpoint_ready", is_ready.to_string());
    put_some(
        &mut labels,
        "endpoint_node_name",
        address.node_name.as_ref(),
    );
    put_some(&mut labels, "endpoint_hostname", address.hostname.as_ref());
    if let Some(target) = &address.target_ref {
        put_some(
            &mut labels,
            "endpoint_address_target_kind",
            target.kind.as_ref(),
        );
        put_some(
            &mut labels,
            "endpoint_address_target_name",
            target.name.as_ref(),
        );
    }
    labels
}

fn of_endpoint(endpoint: &Endpoint) -> LabelMap {
    let mut labels = LabelMap::new();
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    for (name, condition) in [
        ("ready", conditions.ready),
        ("serving", conditions.serving),
        ("terminating", conditions.terminating),
    ] {
        let text = condition.map(|is_so| is_so.to_string()).unwrap_or_default();
        put(
            &mut labels,
            &format!("endpointslice_endpoint_conditions_{name}"),
            text,
        );
    }
    if let Some(target) = &endpoint.target_ref {
        put_some(
            &mut labels,
            "endpointslice_address_target_kind",
            target.kind.as_ref(),
        );
        put_some(
            &mut labels,
            "endpointslice_address_target_name",
            target.name.as_ref(),
        );
    }
    put_some(
        &mut labels,
        "endpointslice_endpoint_hostname",
        endpoint.hostname.as_ref(),
    );
    put_some(
        &mut labels,
        "endpointslice_endpoint_node_name",
        endpoint.node_name.as_ref(),
    );
    put_some(
        &mut labels,
        "endpointslice_endpoint_zone",
        endpoint.zone.as_ref(),
    );
    for (name, value) in endpoint.deprecated_topology.iter().flatten() {
        let name = sanitised(name);
        put(
            &mut labels,
            &format!("endpointslice_endpoint_topology_{name}"),
            value,
        );
        put(
            &mut labels,
            &format!("endpointslice_endpoint_topology_present_{name}"),
            "true",
        );
    }
    labels
}

/// What is said of the container that listens on a port, where one declares it.
fn of_port(pod: &Pod, number: Option<i32>, protocol: &str) -> LabelMap {
    let mut found = LabelMap::new();
    for (container, is_init) in pod::containers(pod) {
        let mut ports = container.ports.iter().flatten();
        if let Some(port) = ports.find(|port| Some(port.container_port) == number) {
            found = pod::container_labels(pod, container, is_init, Some(port));
            put(&mut found, "pod_container_port_protocol", protocol);
        }
    }
    found
}

/// The declared ports of a pod that are no endpoint.
fn further(pod: &Pod, seen: &BTreeSet<Option<i32>>) -> Vec<LabelMap> {
    let Some(address) = pod::address(pod) else {
        return Vec::new();
    };
    let mut targets = Vec::new();
    for (container, is_init) in pod::containers(pod) {
        let ports = container.ports.iter().flatten();
        for port in ports.filter(|port| !seen.contains(&Some(port.container_port))) {
            let mut target = pod::labels(pod);
            target.extend(pod::container_labels(pod, container, is_init, Some(port)));
            target.insert(ADDRESS.to_owned(), join(address, port.container_port));
            targets.push(target);
        }
    }
    targets
}
