//! What only a server has: a password that is changed while processes run, and TLS.

use super::*;
use crate::support::postgres::Postgres;
use forethought::{source::Secret, store::TlsMode};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::{fs, path::Path};

#[test]
fn a_password_that_is_changed_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let database = postgres().database();
    let url = postgres().user(&database, "rotated", "first");
    fs::write(&file, "first\n").unwrap();
    let mut settings = Settings::postgres(&url);
    settings.postgres.as_mut().unwrap().password_file = Some(file.clone());
    let store = store(&settings, &Arc::default());
    runtime().block_on(async {
        store.open().await.unwrap();
        store.add_event(event("before", NOW), None).await.unwrap();
        postgres().user(&database, "rotated", "second");
        postgres().throw_out("rotated");
        // The server has the new one and the file not yet: nothing works, and it says why.
        let mut errors = Vec::new();
        for _ in 0..5 {
            errors.extend(store.open().await.err());
        }
        let last = errors.pop().unwrap().to_string();
        assert!(last.contains("password authentication failed"), "{last}");
        fs::write(&file, "second\n").unwrap();
        store.open().await.unwrap();
        store.add_event(event("after", NOW), None).await.unwrap();
        assert_eq!(store.snapshot().events.len(), 2);
        store.close().await;
    });
}

/// A server with TLS whose certificate is for `name`; and the authority that signed it.
fn with_tls(name: &str) -> (Postgres, String) {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let server = server.signed_by(&key, &issuer).unwrap();
    let server = Postgres::with_tls(&server.pem(), &key.serialize_pem());
    (server, authority_pem)
}

async fn opens(url: &str, mode: TlsMode, authority: Option<&Path>) -> Result<(), StoreError> {
    let mut settings = Settings::postgres(url);
    let server = settings.postgres.as_mut().unwrap();
    server.password = Some(Secret::new(crate::support::postgres::PASSWORD));
    server.tls_config.mode = mode;
    server.tls_config.ca_file = authority.map(Path::to_owned);
    assert_eq!(settings.validate(), []);
    let store = store(&settings, &Arc::default());
    let opened = store.open().await;
    store.close().await;
    opened
}

#[test]
fn a_server_is_verified_as_far_as_is_asked() {
    let (server, authority) = with_tls("127.0.0.1");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, authority).unwrap();
    let url = server.database();
    let (elsewhere, unknown) = with_tls("elsewhere.example");
    let other = folder.path().join("other.pem");
    fs::write(&other, unknown).unwrap();
    let renamed = elsewhere.database();
    runtime().block_on(async {
        for (mode, url, authority, opened) in [
            (TlsMode::VerifyFull, &url, Some(&*file), true),
            (TlsMode::VerifyFull, &url, None, false),
            (TlsMode::VerifyFull, &url, Some(&*other), false),
            (TlsMode::VerifyFull, &renamed, Some(&*other), false),
            (TlsMode::VerifyCa, &url, Some(&*file), true),
            (TlsMode::VerifyCa, &url, Some(&*other), false),
            (TlsMode::Require, &url, None, true),
        ] {
            let result = opens(url, mode, authority).await;
            let what = format!("{mode:?} {url} {authority:?}: {result:?}");
            assert_eq!(result.is_ok(), opened, "{what}");
        }
        let plain = postgres().database();
        let result = opens(&plain, TlsMode::Require, None).await;
        assert!(result.is_err(), "a server without TLS: {result:?}");
    });
}
