//! TLS to a source: whom we trust and who we are.

use super::settings::TlsSettings;
use crate::tls::{Anyone, pem};
use hyper_rustls::ConfigBuilderExt;
use rustls::{ClientConfig, crypto::ring};
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

/// The client side of TLS, for what is no HTTP. Reads the files that are named; blocks.
///
/// # Errors
/// A file that cannot be used, with its key.
#[cfg(feature = "kafka")]
pub(crate) fn read_client_config(settings: &TlsSettings) -> Result<ClientConfig, String> {
    client_config(settings, &TlsFiles::read(settings)?)
}

/// The client side of TLS.
///
/// # Errors
/// A file without what it should hold, or a certificate that does not fit its key.
pub(super) fn client_config(
    settings: &TlsSettings,
    files: &TlsFiles,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("tls_config: {error}"))?;
    let builder = if settings.insecure_skip_verify {
        let anyone = Arc::new(Anyone::new(provider));
        builder.dangerous().with_custom_certificate_verifier(anyone)
    } else if let Some(authorities) = &files.authorities {
        let trusted = pem::authorities(authorities);
        builder.with_root_certificates(trusted.map_err(placed("ca_file"))?)
    } else {
        builder.with_webpki_roots()
    };
    let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = pem::certificates(certificate).map_err(placed("cert_file"))?;
    let key = pem::key(key).map_err(placed("key_file"))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| format!("tls_config.cert_file: {error}"))
}

/// A problem with the content of a file, with its key.
fn placed(key: &'static str) -> impl FnOnce(String) -> String {
    move |problem| format!("tls_config.{key}: {problem}")
}
