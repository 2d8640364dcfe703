//! `external.metrics.k8s.io`: the real program behind what plays Kubernetes' front proxy and API server, read by `kubectl` and by
//! Kubernetes' own types.

mod cluster;
mod front;
mod reading;
mod refusing;

use crate::{
    keda::Shop,
    support::{certificates::Authority, eventually, program::Program},
};
use cluster::Cluster;
use front::Caller;
use serde_json::Value;
use std::{fs, path::PathBuf};

const GROUP: &str = "/apis/external.metrics.k8s.io";
const VERSION: &str = "/apis/external.metrics.k8s.io/v1beta1";
/// Who asks for metrics in a cluster.
const AUTOSCALER: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
/// The front proxy, as its certificate calls it.
const PROXY: &str = "front-proxy-client";

/// A shop, a cluster, and the authorities of the server and of the front proxy.
struct Scene {
    shop: Shop,
    cluster: Cluster,
    /// Signs our server's certificate.
    own: Authority,
    /// Signs the front proxy's.
    proxy: Authority,
}

impl Scene {
    fn new() -> Self {
        let proxy = Authority::new();
        let authority = fs::read_to_string(proxy.file("ca.pem")).unwrap();
        Self {
            shop: Shop::open(),
            cluster: Cluster::start(&authority),
            own: Authority::new(),
            proxy,
        }
    }

    /// The file behind `--external.config.file`, with `more` below the certificate.
    fn file(&self, more: &str) -> PathBuf {
        let own = &self.own;
        own.sign(
            "localhost",
            &own.file("server.pem"),
            &own.file("server.key"),
        );
        let file = own.file("external.yml");
        let text =
            format!("tls_server_config: {{cert_file: server.pem, key_file: server.key}}\n{more}\n");
        fs::write(&file, text).unwrap();
        file
    }

    /// What makes the cluster the judge of who may ask.
    fn reviewed(&self) -> String {
        let file = self.own.file("kubeconfig");
        fs::write(&file, self.cluster.kubeconfig()).unwrap();
        "kubernetes: {kubeconfig: kubeconfig}".to_owned()
    }

    /// What lets everybody ask for whom the front proxy asks.
    fn unreviewed(&self) -> String {
        let authority = self.proxy.file("ca.pem");
        format!(
            "request_header: {{client_ca_file: {}, allowed_names: [{PROXY}]}}\nauthorization: {{subject_access_review: false}}",
            authority.display()
        )
    }

    fn start(&self, more: &str) -> Program {
        let flag = format!("--external.config.file={}", self.file(more).display());
        let flags = ["--external.listen-address=127.0.0.1:0", &flag];
        Program::start(&self.shop.configuration(), &flags)
    }

    /// The front proxy, on behalf of the autoscaler.
    fn caller(&self, program: &Program) -> Caller {
        let [certificate, key] = self.proxy.client(PROXY);
        Caller::new(&program.external_address(), &self.own.file("ca.pem"))
            .showing(&certificate, &key)
            .with("X-Remote-User", AUTOSCALER)
            .with("X-Remote-Group", "system:serviceaccounts")
    }
}

/// The path of a metric.
fn metric(name: &str, selector: &str) -> String {
    let selector = crate::support::http::encode(selector);
    format!("{VERSION}/namespaces/shop/{name}?labelSelector={selector}")
}

/// Waits until a path is answered with this status, and gives the document.
fn answered(caller: &Caller, path: &str, status: u16) -> Value {
    eventually(&format!("{path} is answered with {status}"), 60, || {
        let reply = caller.get(path)?;
        match reply.status == status {
            true => Ok(serde_json::from_slice(&reply.body).unwrap_or_default()),
            false => Err(format!("{} {}", reply.status, reply.text())),
        }
    })
}
