//! Certificates of the tests' own.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::{TempDir, tempdir};

/// An authority, and files of what it signed; its own certificate is in `ca.pem`.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Another one.
    pub(crate) fn new() -> Self {
        let folder = tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { folder, issuer }
    }

    /// A file of its folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate for `host` and puts it and its key where they are read.
    pub(crate) fn sign(&self, host: &str, certificate: &Path, key: &Path) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, host);
        let own = KeyPair::generate().unwrap();
        let signed = params.signed_by(&own, &self.issuer).unwrap();
        fs::write(key, own.serialize_pem()).unwrap();
        fs::write(certificate, signed.pem()).unwrap();
    }

    /// Certificate and key of a client called `host`.
    pub(crate) fn client(&self, host: &str) -> [PathBuf; 2] {
        let files = [format!("{host}.pem"), format!("{host}.key")].map(|name| self.file(&name));
        self.sign(host, &files[0], &files[1]);
        files
    }
}
