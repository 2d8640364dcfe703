//! What is found in a cluster: by what an API server answers, as Prometheus' documentation names it.

use super::*;
use crate::{
    series::relabel::LabelMap,
    source::{
        prometheus::tests::server::{Asked, Reply, Server},
        scrape::discovery::{Group, Told},
    },
    telemetry::Telemetry,
};
use serde_json::{Value, json};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

fn pod() -> Value {
    json!({
        "metadata": {
            "name": "checkout-x2", "namespace": "shop", "uid": "u1",
            "labels": {"app.kubernetes.io/name": "checkout"},
            "annotations": {"prometheus.io/scrape": "true"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout", "uid": "u2", "controller": true}],
        },
        "spec": {
            "nodeName": "n1",
            "initContainers": [{"name": "first", "image": "first:1"}],
            "containers": [
                {"name": "app", "image": "app:1", "ports": [{"name": "web", "containerPort": 8080}, {"containerPort": 9000, "protocol": "UDP"}]},
            ],
        },
        "status": {
            "podIP": "10.0.0.7", "hostIP": "10.1.0.1", "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "app", "image": "app:1", "imageID": "", "ready": true, "restartCount": 0, "containerID": "docker://1"}],
        },
    })
}

fn service() -> Value {
    json!({
        "metadata": {"name": "checkout", "namespace": "shop", "labels": {"team": "a"}},
        "spec": {"type": "ClusterIP", "clusterIP": "10.9.0.1", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    })
}

fn slice() -> Value {
    json!({
        "metadata": {"name": "checkout-abc", "namespace": "shop", "labels": {"kubernetes.io/service-name": "checkout"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": ["10.0.0.7"], "conditions": {"ready": true, "serving": true, "terminating": false}, "nodeName": "n1", "zone": "z1",
             "targetRef": {"kind": "Pod", "name": "checkout-x2", "namespace": "shop"}},
            {"addresses": ["10.0.0.9"], "conditions": {"ready": false}},
        ],
    })
}

fn endpoints() -> Value {
    json!({
        "metadata": {"name": "checkout", "namespace": "shop"},
        "subsets": [{
            "addresses": [{"ip": "10.0.0.7", "nodeName": "n1", "targetRef": {"kind": "Pod", "name": "checkout-x2", "namespace": "shop"}}],
            "notReadyAddresses": [{"ip": "fd00::9"}],
            "ports": [{"name": "http", "port": 8080}],
        }],
    })
}

fn node() -> Value {
    json!({
        "metadata": {"name": "n1", "labels": {"zone": "z1"}},
        "spec": {"providerID": "cloud://n1"},
        "status": {
            "addresses": [{"type": "Hostname", "address": "n1.local"}, {"type": "InternalIP", "address": "10.1.0.1"}, {"type": "InternalIP", "address": "10.1.0.2"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    })
}

/// A cluster with one of each, which sees the token, and a mechanism that looks at it.
struct Scene {
    server: Server,
    folder: TempDir,
    found: mpsc::Receiver<Told>,
    telemetry: Telemetry,
    _running: JoinSet<()>,
}

impl Scene {
    async fn new(
        yaml: &str,
        answer: impl Fn(&Asked) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        let server = Server::new(move |asked| {
            if asked.headers["authorization"] != "Bearer abc" {
                return Reply::status(401, "no");
            }
            match answer(asked) {
                Some(value) => Reply::with(200, &[("content-type", "application/json")], value.to_string()),
                None => Reply::status(403, r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "pods is forbidden"}"#),
            }
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "shop"}}],
            "clusters": [{"name": "here", "cluster": {"server": format!("http://{}", server.address)}}],
            "users": [{"name": "me", "user": {"token": "abc"}}],
        });
        fs::write(&file, config.to_string()).unwrap();
        let mut settings: KubernetesSdSettings = serde_yaml::from_str(yaml).unwrap();
        settings.kubeconfig_file = Some(file);
        assert_eq!(settings.validate(), []);
        settings.refresh_interval = Span::millis(50);
        let telemetry = Telemetry::default();
        telemetry.scrape.announce("direct");
        let (told, found) = mpsc::channel(16);
        let publisher = Publisher {
            index: 0,
            mechanism: "kubernetes",
            source: "direct".into(),
            told,
            events: Arc::clone(&telemetry.scrape),
        };
        let mut running = JoinSet::new();
        running.spawn(run(settings, publisher));
        Self {
            server,
            folder,
            found,
            telemetry,
            _running: running,
        }
    }

    /// The labels of each target that is told next.
    async fn next(&mut self) -> Vec<LabelMap> {
        let told = timeout(Duration::from_secs(20), self.found.recv()).await;
        let (_, groups) = told.expect("nothing is told").unwrap();
        groups.iter().flat_map(Group::each).collect()
    }
}

fn list(kind: &str, items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": "1"}, "items": items})
}

fn shop(asked: &Asked) -> Option<Value> {
    Some(match asked.path.as_str() {
        "/api/v1/pods" | "/api/v1/namespaces/shop/pods" => list("PodList", &[pod()]),
        "/api/v1/services" => list("ServiceList", &[service()]),
        "/api/v1/endpoints" => list("EndpointsList", &[endpoints()]),
        "/api/v1/nodes" => list("NodeList", &[node()]),
        "/apis/discovery.k8s.io/v1/endpointslices" => list("EndpointSliceList", &[slice()]),
        _ => return None,
    })
}

#[track_caller]
fn has(target: &LabelMap, address: &str, labels: &[(&str, &str)]) {
    assert_eq!(target["__address__"], address);
    for (name, value) in labels {
        let own = target.get(&format!("__meta_kubernetes_{name}"));
        assert_eq!(
            own.map(String::as_str),
            Some(*value),
            "{name} of {target:#?}"
        );
    }
}

const OF_POD: [(&str, &str); 12] = [
    ("namespace", "shop"),
    ("pod_name", "checkout-x2"),
    ("pod_ip", "10.0.0.7"),
    ("pod_host_ip", "10.1.0.1"),
    ("pod_phase", "Running"),
    ("pod_ready", "true"),
    ("pod_uid", "u1"),
    ("pod_node_name", "n1"),
    ("pod_controller_kind", "ReplicaSet"),
    ("pod_label_app_kubernetes_io_name", "checkout"),
    ("pod_labelpresent_app_kubernetes_io_name", "true"),
    ("pod_annotation_prometheus_io_scrape", "true"),
];

#[tokio::test]
async fn pods_have_a_target_for_each_port() {
    let yaml = "{role: pod, namespaces: {own_namespace: true}, selectors: [{role: pod, label: 'app=x', field: 'spec.nodeName=n1'}]}";
    let mut scene = Scene::new(yaml, shop).await;
    let targets = scene.next().await;
    assert_eq!(targets.len(), 3);
    for target in &targets {
        has(target, &target["__address__"], &OF_POD);
    }
    has(
        &targets[0],
        "10.0.0.7:8080",
        &[
            ("pod_container_name", "app"),
            ("pod_container_image", "app:1"),
            ("pod_container_id", "docker://1"),
            ("pod_container_init", "false"),
            ("pod_container_port_name", "web"),
            ("pod_container_port_number", "8080"),
            ("pod_container_port_protocol", "TCP"),
        ],
    );
    has(
        &targets[1],
        "10.0.0.7:9000",
        &[("pod_container_port_protocol", "UDP")],
    );
    has(
        &targets[2],
        "10.0.0.7",
        &[
            ("pod_container_name", "first"),
            ("pod_container_init", "true"),
        ],
    );
    let asked = &scene.server.asked()[0];
    assert_eq!(asked.form["labelSelector"], "app=x");
    assert_eq!(asked.form["fieldSelector"], "spec.nodeName=n1");
    assert_eq!(asked.form["resourceVersion"], "0");
    assert!(scene.folder.path().exists());
}

#[tokio::test]
async fn services_and_nodes_are_labelled() {
    let mut scene = Scene::new("{role: service}", shop).await;
    let targets = scene.next().await;
    let labels = [
        ("namespace", "shop"),
        ("service_name", "checkout"),
        ("service_type", "ClusterIP"),
        ("service_cluster_ip", "10.9.0.1"),
        ("service_label_team", "a"),
        ("service_port_name", "http"),
        ("service_port_number", "80"),
        ("service_port_protocol", "TCP"),
    ];
    has(&targets[0], "checkout.shop.svc:80", &labels);
    let mut scene = Scene::new("{role: node}", shop).await;
    let targets = scene.next().await;
    let labels = [
        ("node_name", "n1"),
        ("node_provider_id", "cloud://n1"),
        ("node_label_zone", "z1"),
        ("node_address_InternalIP", "10.1.0.1"),
        ("node_address_Hostname", "n1.local"),
    ];
    has(&targets[0], "10.1.0.1:10250", &labels);
    assert_eq!(targets[0]["instance"], "n1");
}

#[tokio::test]
async fn endpoints_have_the_labels_of_what_stands_behind_them() {
    let mut scene = Scene::new("{role: endpointslice}", shop).await;
    let targets = scene.next().await;
    assert_eq!(targets.len(), 3);
    has(&targets[0], "10.0.0.7:8080", &OF_POD);
    let labels = [
        ("service_name", "checkout"),
        ("service_label_team", "a"),
        ("endpointslice_name", "checkout-abc"),
        ("endpointslice_address_type", "IPv4"),
        ("endpointslice_port", "8080"),
        ("endpointslice_port_name", "http"),
        ("endpointslice_endpoint_conditions_ready", "true"),
        ("endpointslice_endpoint_conditions_terminating", "false"),
        ("endpointslice_endpoint_zone", "z1"),
        ("endpointslice_address_target_kind", "Pod"),
        ("pod_container_port_name", "web"),
    ];
    has(&targets[0], "10.0.0.7:8080", &labels);
    has(
        &targets[1],
        "10.0.0.9:8080",
        &[("endpointslice_endpoint_conditions_ready", "false")],
    );
    assert!(!targets[1].contains_key("__meta_kubernetes_pod_name"));
    // A port that the pod declares and that is no endpoint.
    has(
        &targets[2],
        "10.0.0.7:9000",
        &[("pod_name", "checkout-x2"), ("service_name", "checkout")],
    );

    let mut scene = Scene::new("{role: endpoints}", shop).await;
    let targets = scene.next().await;
    let labels = [
        ("endpoints_name", "checkout"),
        ("endpoint_ready", "true"),
        ("endpoint_port_name", "http"),
        ("endpoint_node_name", "n1"),
        ("endpoint_address_target_name", "checkout-x2"),
        ("service_name", "checkout"),
        ("pod_container_name", "app"),
    ];
    has(&targets[0], "10.0.0.7:8080", &labels);
    has(
        &targets[1],
        "[fd00::9]:8080",
        &[("endpoint_ready", "false")],
    );
    assert_eq!(targets.len(), 3);
}

#[tokio::test]
async fn what_changes_is_told_and_what_fails_changes_nothing() {
    let mood = Arc::new(AtomicUsize::new(0));
    let at = Arc::clone(&mood);
    let answer = move |_: &Asked| match at.load(Ordering::SeqCst) {
        0 => Some(list("PodList", &[pod()])),
        1 => None,
        _ => Some(list("PodList", &[])),
    };
    let mut scene = Scene::new("{role: pod}", answer).await;
    assert_eq!(scene.next().await.len(), 3);
    mood.store(1, Ordering::SeqCst);
    let failed =
        "forethought_scrape_discovery_failures_total{source=\"direct\",mechanism=\"kubernetes\"}";
    for _ in 0..1_000 {
        if scene.telemetry.open_metrics().unwrap().contains(failed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(scene.telemetry.open_metrics().unwrap().contains(failed));
    assert!(
        scene.found.try_recv().is_err(),
        "nothing is told where nothing is known"
    );
    mood.store(2, Ordering::SeqCst);
    assert_eq!(scene.next().await.len(), 0);
}

#[tokio::test]
async fn pages_are_put_together() {
    let answer = |asked: &Asked| {
        let page = asked.form.get("continue").map(String::as_str);
        let mut list = list("PodList", &[pod()]);
        if page.is_none() {
            list["metadata"]["continue"] = json!("more");
        }
        Some(list)
    };
    let mut scene = Scene::new("{role: pod}", answer).await;
    assert_eq!(scene.next().await.len(), 6);
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let problems = |yaml: &str| -> Vec<String> {
        let settings: KubernetesSdSettings = serde_yaml::from_str(yaml).unwrap();
        settings
            .validate()
            .into_iter()
            .map(|(path, text)| format!("{path}: {text}"))
            .collect()
    };
    assert_eq!(
        problems("{role: endpoints, selectors: [{role: pod, label: a}]}"),
        [""; 0]
    );
    assert_eq!(
        problems("{role: pod, selectors: [{role: node, label: a}]}"),
        ["selectors[0].role: has no meaning here; allowed: pod"]
    );
    assert_eq!(
        problems("{role: pod, selectors: [{role: pod}], refresh_interval: 1ms}").len(),
        2
    );
    assert_eq!(
        problems("{role: node, namespaces: {own_namespace: true}}").len(),
        1
    );
}
