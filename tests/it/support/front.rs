//! Who asks for external metrics: the front proxy with its certificate, and those who are not it.

use super::{
    certificates::Authority,
    http::{PATIENCE, Reply, parse},
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Who asks for metrics in a cluster.
pub(crate) const AUTOSCALER: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
/// The front proxy, as its certificate calls it.
pub(crate) const PROXY: &str = "front-proxy-client";

/// The authorities of our server and of the front proxy.
pub(crate) struct Front {
    /// Signs our server's certificate.
    pub(crate) own: Authority,
    /// Signs the front proxy's.
    pub(crate) proxy: Authority,
}

impl Front {
    pub(crate) fn new() -> Self {
        Self {
            own: Authority::new(),
            proxy: Authority::new(),
        }
    }

    /// The file behind `--external.config.file`, with `more` below the certificate.
    pub(crate) fn file(&self, more: &str) -> PathBuf {
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

    /// What lets everybody ask for whom the front proxy asks.
    pub(crate) fn unreviewed(&self) -> String {
        let authority = self.proxy.file("ca.pem");
        format!(
            "request_header: {{client_ca_file: {}, allowed_names: [{PROXY}]}}\nauthorization: {{subject_access_review: false}}",
            authority.display()
        )
    }

    /// The front proxy, on behalf of the autoscaler.
    pub(crate) fn caller(&self, address: &str) -> Caller {
        let [certificate, key] = self.proxy.client(PROXY);
        Caller::new(address, &self.own.file("ca.pem"))
            .showing(&certificate, &key)
            .with("X-Remote-User", AUTOSCALER)
            .with("X-Remote-Group", "system:serviceaccounts")
    }
}

/// Asks over TLS, one request a connection.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) address: String,
    pub(crate) authority: PathBuf,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) headers: Vec<(String, String)>,
    patience: Duration,
}

impl Caller {
    /// Whoever knows the authority of the server's certificate.
    pub(crate) fn new(address: &str, authority: &Path) -> Self {
        Self {
            address: address.to_owned(),
            authority: authority.to_owned(),
            identity: None,
            headers: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// With a certificate of its own.
    pub(crate) fn showing(mut self, certificate: &Path, key: &Path) -> Self {
        self.identity = Some((certificate.to_owned(), key.to_owned()));
        self
    }

    /// With another header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Waits no longer for an answer.
    pub(crate) fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// At another address.
    pub(crate) fn at(mut self, address: &str) -> Self {
        address.clone_into(&mut self.address);
        self
    }

    pub(crate) fn get(&self, path: &str) -> Result<Reply, String> {
        self.exchange("GET", path)
            .map_err(|error| format!("GET {path}: {error}"))
    }

    pub(crate) fn exchange(&self, method: &str, path: &str) -> std::io::Result<Reply> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(self.patience))?;
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

    /// What it trusts and shows.
    pub(crate) fn config(&self) -> ClientConfig {
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
}

/// The certificates of a file.
pub(crate) fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    let all = CertificateDer::pem_file_iter(path).unwrap();
    all.map(|one| one.unwrap()).collect()
}
