//! What Kubernetes' API server asks on behalf of its autoscaler: external metrics, over TLS, as the front proxy.

use super::{certificate::Identity, paced::Protocol};
use crate::{external::METRIC, tls::pem};
use bytes::Bytes;
use http_body_util::{Collected, Full};
use hyper::{
    Request, StatusCode,
    http::{self, response::Parts},
};
use rustls::{ClientConfig, crypto::ring, pki_types::ServerName};
use serde::Deserialize;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What is asked for, as the table names it.
pub(super) const READ: &str = "/apis/external.metrics.k8s.io/v1beta1/../predicted-replicas";
/// The namespace of the metrics, which are the same in each.
const FOLDER: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default";
/// The server, as its certificate calls it.
pub(super) const HOST: &str = "localhost";
/// Who asks, as clusters call it.
const AUTOSCALER: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";

/// The front proxy.
pub(super) struct FrontProxy {
    address: SocketAddr,
    connector: TlsConnector,
    /// Where the metric of each workload is.
    paths: Vec<String>,
}

/// What is looked at of an answer.
#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    value: String,
}

impl FrontProxy {
    /// It asks `address`, whose certificate this is as well as its own, for these workloads.
    ///
    /// # Errors
    /// A certificate that cannot be used.
    pub(super) fn new(
        address: SocketAddr,
        identity: &Identity,
        workloads: &[String],
    ) -> Result<Self, String> {
        let path = |workload: &String| {
            format!("https://{HOST}{FOLDER}/{METRIC}?labelSelector=workload%3D{workload}")
        };
        Ok(Self {
            address,
            connector: TlsConnector::from(Arc::new(config(identity)?)),
            paths: workloads.iter().map(path).collect(),
        })
    }
}

impl Protocol for FrontProxy {
    type Stream = TlsStream<TcpStream>;

    fn name(&self) -> &str {
        READ
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn shake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
        self.connector.connect(name, stream).await
    }

    fn request(&self, turn: usize) -> http::Result<Request<Full<Bytes>>> {
        Request::get(&self.paths[turn % self.paths.len()])
            .header("accept", "application/json")
            .header("x-remote-user", AUTOSCALER)
            .header("x-remote-group", "system:serviceaccounts")
            .body(Full::default())
    }

    fn judge(&self, head: &Parts, body: Collected<Bytes>) -> Result<usize, String> {
        let body = body.to_bytes();
        let list = serde_json::from_slice::<List>(&body);
        match (head.status, list.as_ref().map(|list| list.items.as_slice())) {
            (StatusCode::OK, Ok([item])) if !item.value.is_empty() => Ok(body.len()),
            (status, _) => Err(format!(
                "status {status}, not one value: {}",
                String::from_utf8_lossy(&body)
            )),
        }
    }
}

fn config(identity: &Identity) -> Result<ClientConfig, String> {
    let own = identity.certificate.as_bytes();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(pem::authorities(own)?);
    let key = pem::key(identity.key.as_bytes())?;
    let config = builder.with_client_auth_cert(pem::certificates(own)?, key);
    let mut config = config.map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
