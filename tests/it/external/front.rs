//! What only Kubernetes' own clients want of who asks.

use crate::support::{
    front::{Caller, certificates},
    http::Reply,
    server::{Answer, Server},
};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::path::Path;

impl Caller {
    /// Without the headers so far.
    pub(super) fn silent(mut self) -> Self {
        self.headers.clear();
        self
    }

    pub(super) fn ask(&self, method: &str, path: &str) -> Result<Reply, String> {
        self.exchange(method, path)
            .map_err(|error| format!("{method} {path}: {error}"))
    }

    /// The status of a GET.
    pub(super) fn status(&self, path: &str) -> u16 {
        self.get(path).unwrap().status
    }

    /// A client that speaks HTTP/2, as the API server does.
    pub(super) fn http2(&self) -> Client<HttpsConnector<HttpConnector>, Empty<Bytes>> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.config())
            .https_only()
            .enable_http2()
            .build();
        Client::builder(TokioExecutor::new()).build(connector)
    }

    /// A request of [`Caller::http2`].
    pub(super) fn request(&self, path: &str) -> Request<Empty<Bytes>> {
        let port = self.address.rsplit(':').next().unwrap();
        let mut request = Request::get(format!("https://localhost:{port}{path}"));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Empty::new()).unwrap()
    }

    /// The front proxy as a server without encryption, for `kubectl`.
    pub(super) fn serve(&self) -> Server {
        let caller = self.clone();
        Server::start(move |asked| match asked.path.as_str() {
            "/api" => Answer::json(200, r#"{"kind":"APIVersions","versions":[]}"#),
            _ => match caller.get(&asked.uri) {
                Ok(reply) => Answer::json(reply.status, reply.text()),
                Err(error) => Answer::json(502, error),
            },
        })
    }

    /// The same for the client of `kube`.
    pub(super) fn kube(&self) -> kube::Config {
        let port = self.address.rsplit(':').next().unwrap();
        let mut config = kube::Config::new(format!("https://localhost:{port}").parse().unwrap());
        config.default_retry = false;
        config.root_cert = Some(
            certificates(&self.authority)
                .iter()
                .map(|one| one.to_vec())
                .collect(),
        );
        if let Some((certificate, key)) = &self.identity {
            let file = |path: &Path| Some(path.display().to_string());
            config.auth_info.client_certificate = file(certificate);
            config.auth_info.client_key = file(key);
        }
        for (name, value) in &self.headers {
            config
                .headers
                .push((name.parse().unwrap(), value.parse().unwrap()));
        }
        config
    }
}
