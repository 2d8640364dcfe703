//! TLS: whom we trust, who we are, and when not to ask.

use super::{
    Asker, ONE, is_one,
    server::{Reply, Server},
};
use crate::source::{Cause, prometheus::Settings};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{path::PathBuf, sync::Arc};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

/// An authority, and files of what it signed.
struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { directory, issuer }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes `name.pem` and `name.key` for the host `host`.
    fn sign(&self, name: &str, host: &str) {
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn acceptor(&self, name: &str, clients: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if clients {
            let mut roots = RootCertStore::empty();
            let ca = CertificateDer::from_pem_file(self.file("ca.pem")).unwrap();
            roots.add(ca).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_file(self.file(&format!("{name}.pem"))).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.file(&format!("{name}.key"))).unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn server(authority: &Authority, host: &str, clients: bool) -> (Server, Settings) {
    authority.sign("server", host);
    let acceptor = authority.acceptor("server", clients);
    let server = Server::with_tls(acceptor, |_| Reply::json(ONE)).await;
    let mut settings = Settings::new(&server.url("https"));
    settings.retries = 0;
    (server, settings)
}

#[tokio::test]
async fn a_certificate_is_trusted_only_by_its_authority_or_when_told_so() {
    let authority = Authority::new();
    let (server, mut settings) = server(&authority, "127.0.0.1", false).await;
    settings.retries = 3;
    let error = Asker::new(&settings).ask(1).await.unwrap_err();
    assert_eq!(error.cause, Cause::Connect);
    assert!(error.message.contains("UnknownIssuer"), "{error}");
    assert!(error.message.contains("check tls_config"), "{error}");
    assert!(server.asked().is_empty());
    settings.tls_config.insecure_skip_verify = true;
    is_one(&Asker::new(&settings).ask(1).await.unwrap());
    settings.tls_config.insecure_skip_verify = false;
    settings.tls_config.ca_file = Some(authority.file("ca.pem"));
    is_one(&Asker::new(&settings).ask(1).await.unwrap());
    let versions: Vec<_> = server.asked().iter().map(|asked| asked.version).collect();
    assert_eq!(versions, [hyper::Version::HTTP_2; 2]);
    settings.enable_http2 = false;
    is_one(&Asker::new(&settings).ask(1).await.unwrap());
    assert_eq!(server.asked()[2].version, hyper::Version::HTTP_11);
}

#[tokio::test]
async fn the_name_in_the_certificate_must_fit_the_url_or_the_server_name() {
    let authority = Authority::new();
    let (_server, mut settings) = server(&authority, "prometheus.example", false).await;
    settings.tls_config.ca_file = Some(authority.file("ca.pem"));
    let error = Asker::new(&settings).ask(1).await.unwrap_err();
    assert_eq!(error.cause, Cause::Connect, "{error}");
    settings.tls_config.server_name = Some(String::from("prometheus.example"));
    is_one(&Asker::new(&settings).ask(1).await.unwrap());
}

#[tokio::test]
async fn a_source_that_asks_who_we_are_is_shown_our_certificate() {
    let authority = Authority::new();
    let (_server, mut settings) = server(&authority, "127.0.0.1", true).await;
    settings.tls_config.ca_file = Some(authority.file("ca.pem"));
    let error = Asker::new(&settings).ask(1).await.unwrap_err();
    assert_eq!(error.cause, Cause::Connect, "{error}");
    authority.sign("client", "forethought");
    settings.tls_config.cert_file = Some(authority.file("client.pem"));
    settings.tls_config.key_file = Some(authority.file("client.key"));
    is_one(&Asker::new(&settings).ask(1).await.unwrap());
}

#[tokio::test]
async fn rotated_files_are_seen_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let (_server, mut settings) = server(&new, "127.0.0.1", false).await;
    let ca = old.file("ca.pem");
    settings.tls_config.ca_file = Some(ca.clone());
    let asker = Asker::new(&settings);
    assert_eq!(asker.ask(1).await.unwrap_err().cause, Cause::Connect);
    std::fs::copy(new.file("ca.pem"), &ca).unwrap();
    is_one(&asker.ask(1).await.unwrap());
    std::fs::write(&ca, "no PEM").unwrap();
    let error = asker.ask(1).await.unwrap_err();
    assert!(
        error
            .message
            .contains("tls_config.ca_file: no certificate in PEM form"),
        "{error}"
    );
}
