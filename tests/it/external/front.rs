//! Who asks: the front proxy with its certificate, and those who are not it.

use crate::support::{
    http::{Reply, parse},
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
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Asks over TLS, one request a connection.
#[derive(Clone)]
pub(super) struct Caller {
    address: String,
    authority: PathBuf,
    identity: Option<(PathBuf, PathBuf)>,
    headers: Vec<(String, String)>,
}

impl Caller {
    /// Whoever knows the authority of the server's certificate.
    pub(super) fn new(address: &str, authority: &Path) -> Self {
        Self {
            address: address.to_owned(),
            authority: authority.to_owned(),
            identity: None,
            headers: Vec::new(),
        }
    }

    /// With a certificate of its own.
    pub(super) fn showing(mut self, certificate: &Path, key: &Path) -> Self {
        self.identity = Some((certificate.to_owned(), key.to_owned()));
        self
    }

    /// With another header.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without the headers so far.
    pub(super) fn silent(mut self) -> Self {
        self.headers.clear();
        self
    }

    pub(super) fn get(&self, path: &str) -> Result<Reply, String> {
        self.ask("GET", path)
    }

    pub(super) fn ask(&self, method: &str, path: &str) -> Result<Reply, String> {
        self.exchange(method, path)
            .map_err(|error| format!("{method} {path}: {error}"))
    }

    /// The status of a GET.
    pub(super) fn status(&self, path: &str) -> u16 {
        self.get(path).unwrap().status
    }

    fn exchange(&self, method: &str, path: &str) -> std::io::Result<Reply> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(self.config()), name);
        let connection = connection.map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        parse(&bytes).ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
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

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.authority) {
            roots.add(certificate).unwrap();
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                builder
                    .with_client_auth_cert(certificates(certificate), key)
                    .unwrap()
            }
        }
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

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    let all = CertificateDer::pem_file_iter(path).unwrap();
    all.map(|one| one.unwrap()).collect()
}
