//! `external.metrics.k8s.io`: the real program behind what plays Kubernetes' front proxy and API server, read by `kubectl` and by
//! Kubernetes' own types.

mod cluster;
mod front;
mod reading;
mod refusing;

use crate::{
    keda::Shop,
    support::{
        eventually,
        front::{Caller, Front},
        program::Program,
    },
};
use cluster::Cluster;
use serde_json::Value;
use std::fs;

const GROUP: &str = "/apis/external.metrics.k8s.io";
const VERSION: &str = "/apis/external.metrics.k8s.io/v1beta1";

/// A shop, a cluster, and the authorities of the server and of the front proxy.
struct Scene {
    shop: Shop,
    cluster: Cluster,
    front: Front,
}

impl Scene {
    fn new() -> Self {
        let front = Front::new();
        let authority = fs::read_to_string(front.proxy.file("ca.pem")).unwrap();
        Self {
            shop: Shop::open(),
            cluster: Cluster::start(&authority),
            front,
        }
    }

    /// What makes the cluster the judge of who may ask.
    fn reviewed(&self) -> String {
        let file = self.front.own.file("kubeconfig");
        fs::write(&file, self.cluster.kubeconfig()).unwrap();
        "kubernetes: {kubeconfig: kubeconfig}".to_owned()
    }

    fn start(&self, more: &str) -> Program {
        let file = self.front.file(more);
        let flag = format!("--external.config.file={}", file.display());
        let flags = ["--external.listen-address=127.0.0.1:0", &flag];
        Program::start(&self.shop.configuration(), &flags)
    }

    /// The front proxy, on behalf of the autoscaler.
    fn caller(&self, program: &Program) -> Caller {
        self.front.caller(&program.external_address())
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
