//! TLS to a source: whom we trust and who we are.

use super::settings::TlsSettings;
use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use std::{path::PathBuf, sync::Arc};
use xxhash_rust::xxh3::Xxh3;

/// The contents of the files of [`TlsSettings`].
#[derive(Default)]
pub(super) struct TlsFiles {
    authorities: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl TlsFiles {
    /// Reads the files; blocks.
    ///
    /// # Errors
    /// The first file that cannot be read, with its key.
    pub(super) fn read(settings: &TlsSettings) -> Result<Self, String> {
        Ok(Self {
            authorities: file("tls_config.ca_file", &settings.ca_file)?,
            certificate: file("tls_config.cert_file", &settings.cert_file)?,
            key: file("tls_config.key_file", &settings.key_file)?,
        })
    }

    /// Changes when a file changes.
    pub(super) fn stamp(&self) -> u64 {
        let mut hash = Xxh3::new();
        for file in [&self.authorities, &self.certificate, &self.key] {
            let bytes = file.as_deref().unwrap_or_default();
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        hash.digest()
    }
}

fn file(key: &str, path: &Option<PathBuf>) -> Result<Option<Vec<u8>>, String> {
    let Some(path) = path else {
        return Ok(None);
    };
    let read = std::fs::read(path);
    read.map(Some)
        .map_err(|error| format!("{key} {}: {error}", path.display()))
}

/// The client side of TLS.
///
/// # Errors
/// A file without what it should hold, or a certificate that does not fit its key.
pub(super) fn client_config(
    settings: &TlsSettings,
    files: &TlsFiles,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("tls_config: {error}"))?;
    let builder = if settings.insecure_skip_verify {
        let anyone = Arc::new(Anyone(provider));
        builder.dangerous().with_custom_certificate_verifier(anyone)
    } else if let Some(pem) = &files.authorities {
        builder.with_root_certificates(authorities(pem)?)
    } else {
        builder.with_webpki_roots()
    };
    let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("tls_config.cert_file", certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("tls_config.key_file: no private key in PEM form ({error})"))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| format!("tls_config.cert_file: {error}"))
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates("tls_config.ca_file", pem)? {
        let added = store.add(certificate);
        added.map_err(|error| format!("tls_config.ca_file: {error}"))?;
    }
    Ok(store)
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| format!("{key}: {error}"))?;
    if all.is_empty() {
        return Err(format!("{key}: no certificate in PEM form"));
    }
    Ok(all)
}

/// Accepts any certificate, for `insecure_skip_verify: true` only.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
